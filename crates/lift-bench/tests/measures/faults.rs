//! Random sets of faults come in; that each is found once, and that one seed sends the same, comes out.

use std::collections::{BTreeMap, HashMap};

use lift_bench::report::count::*;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    load::{counted, load, plain},
    plans::seeds,
    server::{Do, Rules, Server, id_of},
};

/// Clients, and messages of each.
const CLIENTS: u64 = 6;
const EACH: u32 = 40;

const TALK: &str = "{ name: talk, duration: 800ms, messages_per_second: 300 }";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Lose,
    Double,
    Swap,
    Misdirect,
}

/// Every message may have a fault; one that is answered after the next is never followed by another fault.
fn faults(seed: u64) -> HashMap<(u64, u32), Fault> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut faults = HashMap::new();
    for client in 0..CLIENTS {
        let mut seq = 1;
        while seq < EACH {
            let fault = match dice.next_u32() % 16 {
                0 => Fault::Lose,
                1 => Fault::Double,
                2 => Fault::Swap,
                3 => Fault::Misdirect,
                _ => {
                    seq += 1;
                    continue;
                }
            };
            faults.insert((client, seq), fault);
            seq += if fault == Fault::Swap { 2 } else { 1 };
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_a_random_set_is_found_once() {
    let runs = seeds().into_iter().map(|seed| async move {
        let known = faults(seed);
        let count = |fault| u64::try_from(known.values().filter(|f| **f == fault).count()).unwrap();
        let all = CLIENTS * u64::from(EACH);
        let (lost, misdirected) = (count(Fault::Lose), count(Fault::Misdirect));
        let expected = BTreeMap::from([
            (CONNECTIONS, CLIENTS),
            (OPENED, CLIENTS),
            (DUE, all),
            (SENT, all),
            (ANSWERED, all - lost - misdirected),
            (LOST, lost + misdirected),
            (DUPLICATES, count(Fault::Double)),
            (REORDERED, count(Fault::Swap)),
            (UNKNOWN, misdirected),
        ]);
        let server = Server::start(Rules::faulty(move |client, seq| {
            let answer = format!("you said lift:{client}.{seq}; did you");
            Some(match known.get(&(client, seq)) {
                Some(Fault::Lose) => vec![],
                Some(Fault::Double) => vec![Do::Say(answer.clone()), Do::Say(answer)],
                Some(Fault::Swap) => vec![Do::Hold(answer)],
                Some(Fault::Misdirect) => {
                    vec![Do::Say(format!("lift:{}.{seq};", (client + 1) % CLIENTS))]
                }
                None => vec![Do::Say(answer)],
            })
        }));
        let text = plain(
            "{ in_flight: 100, messages: [{ text: '{{ id }}' }] }",
            TALK,
            "drain: 500ms",
        )
        .replace("connections_per_second: 15", "connections_per_second: 30");
        let report = load(&text, &server).await;
        let expected = expected.into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted(&report.total.counts), expected, "seed {seed}");
    });
    futures_util::future::join_all(runs).await;
}

/// The texts of each client, in the order in which they came.
fn texts(server: &Server) -> BTreeMap<u64, Vec<String>> {
    let mut texts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for logged in server.log() {
        let (client, _) = id_of(&logged.text).unwrap();
        texts.entry(client).or_default().push(logged.text);
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_seed_sends_the_same_texts_of_the_same_clients_in_the_same_order() {
    let seed = seeds().pop().unwrap();
    let sent = |seed: u64| async move {
        let server = Server::start(Rules::echo());
        let messages = "[{ text: 'a {{ id }} {{ random(1, 1000000) }}' }, { text: 'b {{ id }} {{ random(1, 9) }}', weight: 2 }]";
        // As good as at once, so that they do not open in the order in which they begin.
        let text = plain(
            &format!("{{ in_flight: 9, messages: {messages} }}"),
            TALK,
            "drain: 5s",
        )
        .replace("name: plain", &format!("name: plain\nseed: {seed}"))
        .replace(
            "duration: 200ms, connections_per_second: 15",
            "duration: 1ms, connections_per_second: 20000",
        );
        load(&text, &server).await;
        texts(&server)
    };
    let (first, again, other) = tokio::join!(sent(seed), sent(seed), sent(seed.wrapping_add(1)));
    assert_eq!(first.len(), 20, "seed {seed}");
    assert!(first.values().all(|texts| texts.len() == 12), "seed {seed}");
    assert_eq!(first, again, "seed {seed}");
    assert_ne!(first, other, "seed {seed}");
}
