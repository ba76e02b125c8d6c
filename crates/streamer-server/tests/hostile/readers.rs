//! Clients that never read come in while they are answered and posted to; 1013 after ten seconds
//! goes out, and no more memory than their limits.

use serde_json::json;

use crate::UNLIMITED;
use crate::raw::{End, Raw, text};
use crate::siege::{Memory, count, crowd, during};
use crate::support::home::{Home, Server};
use crate::support::{orders, within};

/// Requests whose ends are replayed to everybody.
const ENDED: usize = 20;
/// Answers that each asks for: more than its queue and the kernel's buffers hold.
const ECHOES: usize = 20;
/// What the kernel keeps unread for each, twice over: what it has for TCP is shared with the server,
/// and ten thousand clients must not use that up.
const RECEIVE_BUFFER_BYTES: u32 = 8 * 1024;
/// How many begin together: what they ask for is work, and this test is about what waits.
const AT_ONCE: usize = 2;
/// What one such client may cost, in KiB: its queue of 256, one frame being written, one being
/// read, and a margin as large again.
const READER_KIB: u64 = 768;
/// What all of them may cost, in MiB: what their tenant's clients may hold (64), and as much for
/// what the allocator keeps.
const TENANT_MIB: u64 = 2 * 64;
/// What each of them may cost past that, in KiB: a frame that came with the end of another and the
/// echo of what was read are not refused, and a connection has its own state.
const NOT_REFUSED_KIB: u64 = 128;

/// Open connections, as the metrics say.
async fn open(server: &Server) -> u64 {
    let metrics = server.get("/metrics", &[]).await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("lift_connections_open "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clients_that_never_read_are_let_go() {
    let readers = count("HOSTILE_READERS", 40);
    let home = Home::new();
    let server = home.start(&UNLIMITED).await;
    let replays = ended(&home, &server).await;
    let of_each = |kib: u64| u64::try_from(readers).unwrap() * kib / 1024;
    let peak_mib = 32 + of_each(READER_KIB).min(TENANT_MIB + of_each(NOT_REFUSED_KIB));
    during(
        "clients that never read",
        &home,
        &server,
        Memory { peak_mib },
        async |home, server| {
            let token = home.token("ada", "acme");
            let echo = format!(
                r#"{{"action":"echo","payload":"{}"}}"#,
                "x".repeat(30 * 1024)
            );
            // Posts come first: a queue that is full of answers lets nothing more be asked.
            let flood = [text(&replays).repeat(2), text(&echo).repeat(ECHOES)].concat();
            let mut raws = crowd(AT_ONCE, readers, async |_| {
                let mut raw =
                    Raw::upgraded_with(&server.address, &token, RECEIVE_BUFFER_BYTES).await;
                // Where many wait, one may be let go, and reset, while it still sends.
                let sent = within("a flood", raw.send(&flood)).await.is_ok();
                (raw, sent)
            })
            .await;
            let let_go = async {
                // The good client's connection alone is left; those of newcomers come and go.
                while open(server).await > 1 {
                    tokio::task::yield_now().await;
                }
            };
            within("the end of those that do not read", let_go).await;
            // The last one that sent all has its close frame for two more seconds.
            let (last, _) = raws.iter_mut().rev().find(|(_, sent)| *sent).unwrap();
            assert_eq!(within("a close frame", last.ended()).await, End::Code(1013));
        },
    )
    .await;
}

/// Ends some requests, and gives the message that has their ends sent again.
async fn ended(home: &Home, server: &Server) -> String {
    orders::write(&home.objects("acme").join("in.csv"), 10, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let mut requests = Vec::new();
    for index in 0..ENDED {
        let output = format!("out-{index}.csv");
        let id = ada
            .submit("process_data", orders::payload("in.csv", &output))
            .await;
        ada.ended(&id).await;
        requests.push(json!({"request_id": id, "after_seq": 0}));
    }
    json!({"action": "request.resume", "payload": {"requests": requests}}).to_string()
}
