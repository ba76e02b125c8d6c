//! `bodies/store_recovery.rs` under libFuzzer.
#![no_main]

#[path = "../bodies/store_recovery.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // The database has assertions about its files, which an opening catches; this hook leaves
        // them to it. A panic that nobody catches still ends the run.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or("", |location| location.file());
            if !place.contains("fjall") && !place.contains("lsm-tree") {
                eprintln!("{panic}");
                std::process::abort();
            }
        }));
    },
    |data: &[u8]| body::run(data)
);
