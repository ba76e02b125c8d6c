//! The `streamer` binary: arguments come in, an exit code goes out.

use std::process::ExitCode;

fn main() -> ExitCode {
    match streamer_server::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
