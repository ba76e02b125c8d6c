//! Project tasks: a name comes in, its steps run in order, the first that fails ends it.

mod counts;
mod figures;
mod fuzz;
mod load;
mod package;
mod steps;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = include_str!("usage.txt");

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let done = match task.as_str() {
        "test" => steps::test(),
        "tidy" => tidy::check(),
        "schemas" => steps::schemas(),
        "fuzz-smoke" => steps::fuzz_smoke(),
        "fuzz" => fuzz::run(std::env::args().nth(2).as_deref()),
        "counts" => counts::run(std::env::args().nth(2).as_deref()),
        "figures" => figures::run(std::env::args().nth(2).as_deref()),
        "full" => steps::full(),
        "compatibility" => steps::compatibility(),
        "environment" => steps::environment(),
        "package" => package::run_package(),
        "aws" => steps::aws(),
        "aws-costs" => steps::aws_costs(),
        "load" | "load-aws" => load::run(std::env::args().skip(1)),
        "telemetry" => steps::telemetry(),
        _ => Err(USAGE.trim_end().to_owned()),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    ExitCode::FAILURE
}
