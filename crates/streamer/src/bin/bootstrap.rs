//! What Lambda starts: the environment comes in, the function of its role serves until it ends.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables: Vec<_> = std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    match streamer::lambda::run(&variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootstrap: {}", lift::error::chain(&*error));
            ExitCode::FAILURE
        }
    }
}
