//! SIGKILL at random moments under load, with a ledger on the client's side: nothing acknowledged
//! is lost, nothing ends twice, nothing goes backwards.
//!
//! `CRASH_KILLS` says how often (8), `CRASH_SEED` repeats a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::server::{Data, Server, Socket, deduplicate, in_time};

const ROWS: u64 = 30_000;
const SUBMITS_A_ROUND: usize = 3;

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::vars().find(|(key, _)| key == name);
    given.map_or(default, |(_, value)| value.parse().unwrap())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What one client was told about one request.
#[derive(Default)]
struct Told {
    contents: BTreeMap<u64, Value>,
    end: Option<Value>,
}

#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<String, Told>,
    outputs: BTreeMap<String, String>,
}

impl Ledger {
    fn note(&mut self, message: &Value) {
        let Some(id) = message["request_id"].as_str() else {
            return;
        };
        if message["type"] == "acknowledgment" {
            let output = message["id"].as_str().unwrap().to_owned();
            let known = self.outputs.insert(output, id.to_owned());
            assert!(
                known.is_none_or(|known| known == id),
                "one key, two requests: {message}"
            );
            self.acknowledged.entry(id.to_owned()).or_default();
            return;
        }
        let Some(seq) = message["seq"].as_u64() else {
            panic!("unexpected {message}")
        };
        let told = self.acknowledged.entry(id.to_owned()).or_default();
        let same = told.contents.insert(seq, message.clone());
        assert!(
            same.is_none_or(|same| same == *message),
            "one seq, two contents: {message}"
        );
        if message["type"] != "progress" {
            let end = told.end.get_or_insert_with(|| message.clone());
            assert_eq!(end, message, "a request ended twice");
        }
    }

    fn check(&self) {
        for (id, told) in &self.acknowledged {
            let end = told
                .end
                .as_ref()
                .unwrap_or_else(|| panic!("{id} was acknowledged and lost"));
            assert_eq!(end["type"], "complete", "{end}");
            let percentages = told
                .contents
                .values()
                .filter_map(|said| said["percentage"].as_f64());
            assert!(
                percentages.is_sorted(),
                "{id} went backwards: {:?}",
                told.contents
            );
            let (last, _) = told.contents.last_key_value().unwrap();
            assert_eq!(
                Some(*last),
                end["seq"].as_u64(),
                "{id} went on after its end"
            );
        }
    }
}

async fn read_until(socket: &mut Socket, ledger: &mut Ledger, until: Instant) {
    while let Ok(Ok(message)) = timeout_at(until, socket.read()).await {
        ledger.note(&message);
    }
}

async fn come_back(server: &Server, token: &str, ledger: &Ledger) -> Socket {
    let mut socket = server.connect(token).await;
    let open = ledger
        .acknowledged
        .iter()
        .filter(|(_, told)| told.end.is_none());
    let requests: Vec<Value> = open
        .map(|(id, told)| {
            let after_seq = told.contents.last_key_value().map_or(0, |(seq, _)| *seq);
            json!({"request_id": id, "after_seq": after_seq})
        })
        .collect();
    if !requests.is_empty() {
        let answer =
            json!({"id": "resume", "action": "request.resume", "payload": {"requests": requests}});
        socket.send(&answer).await;
    }
    socket
}

async fn submit(socket: &mut Socket, output: &str) {
    let message = json!({"id": output, "action": "process_data", "idempotency_key": output,
        "payload": deduplicate(output)});
    socket.send(&message).await;
}

#[tokio::test]
async fn no_acknowledged_request_is_lost_or_ends_twice_however_often_the_server_is_killed() {
    let (kills, seed) = (setting("CRASH_KILLS", 8), setting("CRASH_SEED", 20_261_125));
    println!("CRASH_KILLS={kills} CRASH_SEED={seed}");
    let (mut random, mut ledger) = (Random(seed), Ledger::default());
    let data = Data::new();
    data.orders(ROWS);
    let mut server = data.serve().await;
    let token = data.token("ada", "acme");
    let address = server.address.clone();
    let mut submitted: Vec<String> = Vec::new();
    for kill in 0..kills {
        let mut socket = come_back(&server, &token, &ledger).await;
        for _ in 0..SUBMITS_A_ROUND {
            submitted.push(format!("out-{}.csv", submitted.len()));
        }
        // An unanswered submit may be sent again with its key, without harm.
        let unanswered = submitted
            .iter()
            .filter(|output| !ledger.outputs.contains_key(*output));
        for output in unanswered.cloned().collect::<Vec<_>>() {
            submit(&mut socket, &output).await;
        }
        let until = Instant::now() + Duration::from_millis(10 + random.below(500));
        read_until(&mut socket, &mut ledger, until).await;
        server.kill().await;
        server = data.serve_with(&["--listen", &address]).await;
        println!(
            "kill {}: {} acknowledged",
            kill + 1,
            ledger.acknowledged.len()
        );
    }
    let mut socket = come_back(&server, &token, &ledger).await;
    in_time("every acknowledged request's end", async {
        while ledger.acknowledged.values().any(|told| told.end.is_none()) {
            let message = socket.read().await.unwrap();
            ledger.note(&message);
        }
    })
    .await;
    ledger.check();
    assert!(!ledger.acknowledged.is_empty());
    let mut outputs = ledger
        .outputs
        .keys()
        .map(|output| std::fs::read(data.object("acme", output)).unwrap());
    let first = outputs.next().unwrap();
    assert!(outputs.all(|output| output == first), "an output differs");
}
