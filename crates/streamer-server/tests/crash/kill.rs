//! SIGKILL at random moments under load; what every client was told must hold afterwards.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::home::Home;
use crate::support::{orders, within};
use crate::worker::Client;

const CLIENTS: u32 = 4;
const ARGS: [&str; 2] = ["--process-checkpoint-every", "30ms"];
/// The latest moment of a kill after the first acknowledgment that follows a start.
const KILL_WITHIN_MS: u64 = 1_200;

/// A number of the environment, which is none of Streamer's own settings.
fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var_os(name).map(|text| text.to_str().unwrap().parse().unwrap());
    given.unwrap_or(default)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_however_often_the_server_is_killed() {
    let kills = number("CRASH_KILLS", 8);
    let seed = number("CRASH_SEED", u64::from(std::process::id()));
    println!("CRASH_SEED={seed} CRASH_KILLS={kills}");
    let mut random = Random(seed);
    let home = Home::new();
    let folder = home.objects("acme");
    orders::write(&folder.join("small.csv"), 2_000, seed);
    orders::write(&folder.join("large.csv"), 40_000, seed);
    let mut server = home.start(&ARGS).await;
    let (enough, acknowledged) = (CancellationToken::new(), watch::Sender::new(0));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        // Two users, each on two connections.
        let client = Client {
            name: format!("c{n}"),
            address: server.address.clone(),
            token: home.token(&format!("user{}", n % 2), "acme"),
            enough: enough.clone(),
            acknowledged: acknowledged.clone(),
        };
        let token = client.token.clone();
        clients.spawn(async move { (token, client.run().await) });
    }
    for _ in 0..kills {
        within("an acknowledgment", acknowledged.subscribe().changed())
            .await
            .unwrap();
        let moment = Duration::from_millis(random.below(KILL_WITHIN_MS));
        // The moment is the input of this test, not a wait for something.
        tokio::time::sleep(moment).await;
        server.kill().await;
        server = home.start_at(&server.address, &[], &ARGS).await;
        assert!(clients.try_join_next().is_none(), "a client gave up");
    }
    enough.cancel();
    let ledgers = within("the end of every request", clients.join_all()).await;

    let (mut requests, mut frames) = (0, 0);
    let mut expected =
        ["small.csv", "large.csv"].map(|input| (orders::expected(&folder.join(input)), 0));
    for (token, ledger) in &ledgers {
        let mut fresh = server.connect(token).await;
        frames += ledger.frames;
        for (request, told) in &ledger.acknowledged {
            requests += 1;
            let terminal = told
                .terminal()
                .unwrap_or_else(|| panic!("{request} has no end"));
            let resumed = fresh.resume(request, 0).await;
            assert_eq!(resumed["state"], "completed", "{request}: {resumed}");
            assert_eq!(
                &fresh.ended(request).await.message,
                terminal,
                "the end was told otherwise before"
            );
            let view = fresh
                .call("request.get", json!({"request_id": request}))
                .await;
            assert_eq!(view["result"], terminal["result"], "{view}");
            let found = orders::read(&folder.join(&told.output));
            let of = expected.iter_mut().find(|(rows, _)| *rows == found);
            of.unwrap_or_else(|| panic!("{} is not what it must be", told.output))
                .1 += 1;
        }
    }
    println!("{kills} kills, {requests} requests, {frames} frames");
    assert!(
        requests > kills,
        "too little load to mean anything: {requests} requests"
    );
    assert!(
        expected.iter().all(|(_, outputs)| *outputs > 0),
        "both inputs were worked on"
    );
    // Requests whose acknowledgment a kill took go on too, and then nothing of any is left.
    let mut idle = server.connect(&home.token("user0", "acme")).await;
    let cleaned = async {
        while !home.left_of_work().is_empty() {
            idle.call("health", json!(null)).await;
        }
    };
    within("no work of an ended request is left", cleaned).await;
}
