//! Frames that no client may send come in; the close code that RFC 6455 asks for goes out.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::raw::{End, Raw, frame, text};
use crate::siege::{Memory, count, crowd, under};
use crate::support::within;

/// Time after which a client that cannot send any more has given up.
const STUCK: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn frames_against_the_protocol_close_with_their_code() {
    let ping = text(r#"{"action":"ping"}"#);
    let mut unmasked = vec![0x81, 2];
    unmasked.extend(b"{}");
    let mut cases = vec![
        ("unmasked", unmasked, 1002),
        ("a ping over 125 bytes", frame(0x89, &[0; 126]), 1002),
        ("a pong over 125 bytes", frame(0x8a, &[0; 1_000]), 1002),
        ("a close frame over 125 bytes", frame(0x88, &[3; 126]), 1002),
        ("a ping in pieces", frame(0x09, b"x"), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        (
            "a message in a message",
            [frame(0x01, b"{"), ping].concat(),
            1002,
        ),
        ("a close frame of one byte", frame(0x88, &[3]), 1002),
        (
            "a close code for no wire, 1005",
            frame(0x88, &1005_u16.to_be_bytes()),
            1002,
        ),
        (
            "a close code for no wire, 1006",
            frame(0x88, &1006_u16.to_be_bytes()),
            1002,
        ),
        (
            "a close code below all, 999",
            frame(0x88, &999_u16.to_be_bytes()),
            1002,
        ),
        (
            "a close reason that is no UTF-8",
            frame(0x88, &[0x03, 0xe8, 0xff]),
            1007,
        ),
        ("text that is no UTF-8", frame(0x81, b"\xc3\x28"), 1007),
        (
            "half a character at the end",
            frame(0x81, "\"\u{e9}".as_bytes().split_last().unwrap().1),
            1007,
        ),
        ("binary", frame(0x82, b"{}"), 1003),
        (
            "a frame over 32 KiB",
            frame(0x81, &[b' '; 32 * 1024 + 1]),
            1009,
        ),
        (
            "a frame of 2^62 bytes",
            [&[0x81, 0xff, 0x40][..], &[0; 11]].concat(),
            1009,
        ),
        (
            "a frame of 2^64 - 1 bytes",
            [&[0x81, 0xff][..], &[0xff; 8], &[0; 4]].concat(),
            1009,
        ),
    ];
    for bits in [0x40, 0x20, 0x10] {
        cases.push(("a reserved bit", frame(0x81 | bits, b"{}"), 1002));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push(("a reserved opcode", frame(0x80 | opcode, b""), 1002));
    }
    under(
        "frames",
        &[],
        Memory { peak_mib: 64 },
        async |home, server| {
            let token = home.token("eve", "umbrella");
            for (name, bytes, code) in cases {
                let mut raw = Raw::upgraded(&server.address, &token).await;
                raw.send(&bytes).await.unwrap();
                let end = within(name, raw.ended()).await;
                assert_eq!(
                    end,
                    End::Code(code),
                    "{name}: {:02x?}",
                    &bytes[..bytes.len().min(16)]
                );
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_million_fragments_of_one_byte() {
    let bound = Memory { peak_mib: 64 };
    under("fragments of one byte", &[], bound, async |home, server| {
        let token = home.token("eve", "umbrella");
        let endless = frame(0x00, b"x").repeat(1_024);
        let ends = crowd(4, 8, async |_| {
            let mut raw = Raw::upgraded(&server.address, &token).await;
            raw.send(&frame(0x01, b"\"")).await.unwrap();
            let mut sent = 0;
            // A message may have 128 KiB.
            while sent < 256 * 1_024 && raw.send(&endless).await.is_ok() {
                sent += 1_024;
            }
            (within("the end", raw.ended()).await, sent)
        })
        .await;
        for (end, sent) in &ends {
            // Bytes that are sent after the end may take the close frame along.
            assert!(matches!(end, End::Code(1009) | End::Cut), "{end:?}");
            assert!(*sent >= 128 * 1_024, "{sent}");
        }
        assert!(
            ends.iter().any(|(end, _)| *end == End::Code(1009)),
            "{ends:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fragments_without_end_are_no_message_and_keep_nothing_open() {
    let args = ["--idle-timeout", "2s"];
    under(
        "fragments of no byte",
        &args,
        Memory { peak_mib: 32 },
        async |home, server| {
            let token = home.token("eve", "umbrella");
            let empty = frame(0x00, b"").repeat(100);
            // Long enough that each empty fragment must not cost a look at all of it.
            let long = [frame(0x00, &"ü".repeat(8_000).into_bytes()).as_slice()]
                .concat()
                .repeat(7);
            let ends = crowd(4, 4, async |n| {
                let mut raw = Raw::upgraded(&server.address, &token).await;
                let first = if n % 2 == 0 { 0x01 } else { 0x02 };
                raw.send(&frame(first, b"\"")).await.unwrap();
                raw.send(&long).await.unwrap();
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(30) {
                    if raw.send(&empty).await.is_err() {
                        return begun.elapsed();
                    }
                    tokio::task::yield_now().await;
                }
                panic!("open after {:?} without a message", begun.elapsed());
            })
            .await;
            for lived in ends {
                assert!(lived > Duration::from_secs(1), "{lived:?}");
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pings_without_number_whose_pongs_nobody_reads() {
    let pings = count("HOSTILE_PINGS", 400_000);
    under(
        "a flood of pings",
        &[],
        Memory { peak_mib: 24 },
        async |home, server| {
            let token = home.token("eve", "umbrella");
            let flood = frame(0x89, &[b'p'; 125]).repeat(1_000);
            let ends = crowd(4, 4, async |_| {
                let mut raw = Raw::upgraded(&server.address, &token).await;
                let begun = Instant::now();
                for _ in 0..pings / 4_000 {
                    match timeout(STUCK, raw.send(&flood)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => break,
                        // Linux may drop what acknowledges the pings, since no pong is read, and
                        // then sends no more of them.
                        Err(_stuck) => return (None, begun.elapsed()),
                    }
                }
                let still = text(r#"{"id":"still","action":"ping"}"#);
                let asked = raw.send(&still).await.is_ok();
                let mut pongs = 0;
                let answer = loop {
                    match within("an end of the pongs", raw.frame()).await {
                        Some((0x8a, _)) => pongs += 1,
                        Some((0x81, payload)) => break Some(payload),
                        Some((0x88, _)) | None => break None,
                        other => panic!("{other:?}"),
                    }
                };
                assert!(pongs < pings / 4, "all {pongs} pongs were kept");
                (asked.then_some(answer).flatten(), begun.elapsed())
            })
            .await;
            for (answer, lived) in ends {
                match answer {
                    Some(answer) => {
                        let answer: Value = serde_json::from_slice(&answer).unwrap();
                        assert_eq!(answer["type"], "pong");
                    }
                    // Who reads no pong for ten seconds is a client that does not read.
                    None => assert!(lived >= Duration::from_secs(10), "{lived:?}"),
                }
            }
        },
    )
    .await;
}
