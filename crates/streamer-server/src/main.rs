//! The `streamer` binary: arguments come in, an exit code goes out.

use std::process::ExitCode;

/// A request's memory is taken by one thread and given back by another, which glibc's allocator pays
/// for: with this one a durable request takes three quarters of the CPU time (`docs/benchmarks.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match streamer_server::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
