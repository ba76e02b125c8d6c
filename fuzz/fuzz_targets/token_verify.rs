//! `bodies/token_verify.rs` under libFuzzer.
#![no_main]

#[path = "../bodies/token_verify.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| body::run(data));
