//! The process's arguments come in, its exit status goes out.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use lift_cli::{Exit, args::Args};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match lift_cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed stderr changes nothing of the status.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit.into()
        }
    }
}
