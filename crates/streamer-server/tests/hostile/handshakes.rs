//! Handshakes that never end come in; each is closed in time, and nobody else waits.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, interval};

use crate::raw::Raw;
use crate::siege::{Memory, crowd, under};
use crate::support::within;

/// Time for a head, and what a busy machine adds.
const HEAD: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn five_thousand_handshakes_that_never_finish() {
    let bound = Memory { peak_mib: 88 };
    under(
        "never-finished handshakes",
        &[],
        bound,
        async |_, server| {
            let begun = Instant::now();
            let half = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
            let mut all = crowd(250, 5_000, async |_| {
                let mut raw = Raw::connect(&server.address).await.unwrap();
                // A connection that made room for another one is reset.
                let _ = raw.send(half).await;
                raw
            })
            .await;
            let opened = begun.elapsed();
            let ends = join_all(all.iter_mut().map(Raw::status)).await;
            assert!(ends.iter().all(Option::is_none), "no head, no answer");
            let ended = begun.elapsed();
            assert!(
                ended < opened + HEAD + LATE,
                "{opened:?} to open, {ended:?} to the last end"
            );
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn heads_of_one_byte_a_second_and_responses_that_nobody_reads() {
    let bound = Memory { peak_mib: 64 };
    under("one byte a second", &[], bound, async |_, server| {
        let begun = Instant::now();
        let slow = async |_| {
            let mut raw = Raw::connect(&server.address).await.unwrap();
            let mut pace = interval(Duration::from_secs(1));
            let head = "GET / HTTP/1.1\r\nX-Slow: "
                .bytes()
                .chain(std::iter::repeat(b'a'));
            for byte in head {
                pace.tick().await;
                if raw.send(&[byte]).await.is_err() {
                    break;
                }
            }
            begun.elapsed()
        };
        let deaf = async |_| {
            let mut raw = Raw::connect(&server.address).await.unwrap();
            let many = "GET /schemas HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
            // Not one byte of the responses is read: the socket takes no more some time, and is
            // closed some time after.
            let _ = raw.send(many.as_bytes()).await;
            while raw
                .stream
                .ready(tokio::io::Interest::WRITABLE)
                .await
                .is_ok()
                && raw.stream.try_write(b"\r\n").is_ok()
            {
                tokio::task::yield_now().await;
            }
            begun.elapsed()
        };
        let (slow, deaf) = within("the end of the slow ones", async {
            tokio::join!(crowd(200, 200, slow), crowd(50, 50, deaf))
        })
        .await;
        for ended in slow.into_iter().chain(deaf) {
            assert!(ended < HEAD + LATE, "lived {ended:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_megabyte_of_headers() {
    let bound = Memory { peak_mib: 64 };
    under("a megabyte of headers", &[], bound, async |_, server| {
        let mut head = "GET / HTTP/1.1\r\nHost: x\r\n".to_owned();
        while head.len() < 1024 * 1024 {
            head.push_str(&format!("X-{}: {}\r\n", head.len(), "h".repeat(1_000)));
        }
        let one = format!("GET / HTTP/1.1\r\nX-Long: {}", "h".repeat(1024 * 1024));
        let many = "GET / HTTP/1.1\r\n".to_owned() + &"a:\r\n".repeat(300);
        for (head, fits) in [(head, false), (one, false), (many, true)] {
            let statuses = crowd(200, 200, async |_| {
                let mut raw = Raw::connect(&server.address).await.unwrap();
                let sent = raw.send(head.as_bytes()).await;
                (within("the end", raw.status()).await, sent.is_ok())
            })
            .await;
            for (status, sent) in statuses {
                // What is sent after the end resets the connection, and may take the answer along.
                let cut = !fits && (status.is_none() || !sent);
                assert!(cut || status == Some(431), "{status:?}");
            }
        }
    })
    .await;
}
