//! The bodies of the fuzz targets without a fuzzer: their committed seeds, and mutations of these, come
//! in; what each did in its time goes out, or the bytes that broke a promise.
//!
//! `FUZZ_SECONDS=60` is the time for all of them together (5); `FUZZ_SEED` repeats the mutations of a run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and says its seed"
)]

#[path = "../../../../fuzz/bodies/frame_session/mod.rs"]
mod frame_session;
#[path = "../../../../fuzz/bodies/event_parse.rs"]
mod event_parse;
#[path = "../../../../fuzz/bodies/message_parse.rs"]
mod message_parse;
#[path = "../../../../fuzz/bodies/store_recovery.rs"]
mod store_recovery;
#[path = "../../../../fuzz/bodies/token_verify.rs"]
mod token_verify;

mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::Dice;

const TARGETS: u32 = 5;
const SECONDS: u64 = 5;
/// A run that takes longer is a finding: the fuzzer's own bound, on a busier machine.
const RUN_MAX: Duration = Duration::from_secs(25);

fn number(variable: &str) -> Option<u64> {
    let given = std::env::var_os(variable)?;
    Some(given.to_str().unwrap().parse().unwrap())
}

/// The committed seeds of a target, in an order that every machine has.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus-seeds");
    let entries = fs::read_dir(folder.join(name)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Feeds a target its seeds, then mutations of them until its time is over.
fn check(name: &str, run: fn(&[u8])) {
    let seconds = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(SECONDS));
    let seed = number("FUZZ_SEED").unwrap_or_else(mutate::any_seed);
    // Before all else: a run may end the process.
    eprintln!("{name}: FUZZ_SEED={seed}");
    let (seeds, mut dice) = (seeds(name), Dice::new(seed));
    let (began, mut runs) = (Instant::now(), 0_u64);
    let mut feed = |data: &[u8]| {
        let at = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| run(data))).is_err() {
            panic!(
                "`{name}`, FUZZ_SEED={seed}, run {runs}: b\"{}\"",
                data.escape_ascii()
            );
        }
        assert!(
            at.elapsed() < RUN_MAX,
            "`{name}`: b\"{}\"",
            data.escape_ascii()
        );
        runs += 1;
    };
    assert!(!seeds.is_empty(), "`{name}` has no seeds");
    seeds.iter().for_each(|seed| feed(seed));
    while began.elapsed() < seconds / TARGETS {
        feed(&dice.mutated(&seeds));
    }
    println!("{name}: {runs} runs");
}

#[test]
fn frame_session_holds_its_promises() {
    check("frame_session", frame_session::run);
}

#[test]
fn event_parse_holds_its_promises() {
    check("event_parse", event_parse::run);
}

#[test]
fn message_parse_holds_its_promises() {
    check("message_parse", message_parse::run);
}

#[test]
fn store_recovery_holds_its_promises() {
    check("store_recovery", store_recovery::run);
}

#[test]
fn token_verify_holds_its_promises() {
    check("token_verify", token_verify::run);
}

#[test]
#[should_panic(expected = "FUZZ_SEED")]
fn a_broken_promise_is_found_and_named() {
    check("message_parse", |data| {
        assert!(!data.windows(2).any(|two| two == b"{\""), "no object");
    });
}
