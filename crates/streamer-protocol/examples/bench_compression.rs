//! What gzip and base64 make of five messages: nothing comes in, a table of bytes, of the units that API Gateway meters and of time goes out.
//!
//! `cargo run --release -p streamer-protocol --example bench_compression`
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::error::Error;
use std::io::{Read, Write};
use std::time::Instant;

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use streamer_protocol::message::ServerMessage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let r = &mut 20_261_129;
    print!("| message | bytes | units | gzip 1 + base64 | units | µs there, back ");
    println!("| gzip 6 + base64 | units | µs there, back |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let about = format!(r#""request_id":"01KB6XGT8Q{}","id":"c-17""#, letters(r, 16));
    let echo = letters(r, 98);
    let response = format!(r#"{{"type":"response",{about},"data":"{echo}"}}"#);
    line("response of `echo`, 100 bytes in it", &response)?;
    let acknowledgment = format!(r#"{{"type":"acknowledgment",{about},"status":"queued"}}"#);
    line("acknowledgment", &acknowledgment)?;
    let so_far = r#""seq":12,"percentage":41.3,"message":"412000 rows read""#;
    let progress = format!(r#"{{"type":"progress",{about},{so_far}}}"#);
    line("progress", &progress)?;
    let listed = (0..100).map(|n| listed(n, r)).collect::<Vec<_>>().join(",");
    let page = format!(r#"{{"type":"response","id":"c-6","data":{{"requests":[{listed}]}}}}"#);
    line("`request.list`, a page of 100", &page)?;
    let rows = (0..990).map(|n| row(n, r)).collect::<Vec<_>>().join(",");
    let complete = format!(r#"{{"type":"complete",{about},"seq":15,"result":[{rows}]}}"#);
    line("complete, 990 rows as an inline result", &complete)
}

fn line(name: &str, message: &str) -> Result<()> {
    let text = serde_json::to_string(&ServerMessage::parse(message)?)?;
    let sized = |text: &str| print!(" {} | {} |", text.len(), text.len().div_ceil(32 * 1024));
    print!("| {name} |");
    sized(&text);
    for level in [1, 6].map(Compression::new) {
        let small = compressed(&text, level)?;
        assert_eq!(decompressed(&small)?, text);
        sized(&small);
        print!(" {:.1},", fastest_us(|| compressed(&text, level))?);
        print!(" {:.1} |", fastest_us(|| decompressed(&small))?);
    }
    println!();
    Ok(())
}

/// As `docs/protocol.md` has a request; random is what is in a ULID, and when it ended.
fn listed(n: u32, r: &mut u32) -> String {
    let id = letters(r, 16);
    let [created, started, ended] = [0, 3, 100 + below(r, 100)].map(|ms| moment(300 * n + ms));
    let done = r#""action":"bulk_operation","state":"completed","attempt":1,"progress":{"seq":12,"percentage":99.0,"message":"publishing the outcomes"}"#;
    let times = format!(r#""created_at":{created},"started_at":{started},"finished_at":{ended}"#);
    format!(r#"{{"request_id":"01KB6XGT8Q{id}","id":"c-{n}",{done},{times}}}"#)
}

fn row(n: u32, r: &mut u32) -> String {
    let (name, cents, at) = (letters(r, 8), below(r, 1_000_000), moment(below(r, 60_000)));
    format!(r#"{{"row":{n},"customer":"{name}","currency":"EUR","cents":{cents},"paid_at":{at}}}"#)
}

fn moment(ms: u32) -> String {
    format!(r#""2026-11-29T10:00:{:06.3}Z""#, f64::from(ms) / 1e3)
}

fn compressed(text: &str, level: Compression) -> Result<String> {
    let mut gzip = GzEncoder::new(Vec::new(), level);
    gzip.write_all(text.as_bytes())?;
    Ok(STANDARD.encode(gzip.finish()?))
}

fn decompressed(text: &str) -> Result<String> {
    let mut out = String::new();
    GzDecoder::new(STANDARD.decode(text)?.as_slice()).read_to_string(&mut out)?;
    Ok(out)
}

/// One call, of the fastest of 100 rounds of 50.
fn fastest_us(work: impl Fn() -> Result<String>) -> Result<f64> {
    let mut fastest = f64::MAX;
    for _ in 0..100 {
        let began = Instant::now();
        for _ in 0..50 {
            std::hint::black_box(work()?);
        }
        fastest = fastest.min(began.elapsed().as_secs_f64() * 1e6 / 50.0);
    }
    Ok(fastest)
}

/// The next step of a xorshift generator.
fn below(r: &mut u32, bound: u32) -> u32 {
    *r ^= *r << 13;
    *r ^= *r >> 17;
    *r ^= *r << 5;
    *r % bound
}

/// Of 32, as in a ULID.
fn letters(r: &mut u32, count: usize) -> String {
    let letter = |_| char::from_digit(below(r, 32), 32);
    (0..count).filter_map(letter).collect()
}
