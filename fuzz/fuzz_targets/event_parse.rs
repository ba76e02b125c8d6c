//! `bodies/event_parse.rs` under libFuzzer.
#![no_main]

#[path = "../bodies/event_parse.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| body::run(data));
