//! `bodies/frame_session/mod.rs` under libFuzzer.
#![no_main]

#[path = "../bodies/frame_session/mod.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| body::run(data));
