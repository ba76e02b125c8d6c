//! Project tasks: a name comes in, its steps run in order, the first that fails ends it.

mod counts;
mod figures;
mod fuzz;
mod load;
mod package;
mod steps;
mod tidy;

use std::process::ExitCode;

use load::Host;

const USAGE: &str = include_str!("usage.txt");

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let words: Vec<String> = std::env::args().skip(2).collect();
    let done = match task.as_str() {
        "test" => steps::test(),
        "tidy" => tidy::check(),
        "schemas" => steps::schemas(),
        "fuzz-smoke" => steps::fuzz_smoke(),
        "fuzz" => fuzz::run(words.first().map(String::as_str)),
        "counts" => counts::run(words.first().map(String::as_str)),
        "figures" => figures::run(words.first().map(String::as_str)),
        "full" => steps::full(),
        "compatibility" => steps::compatibility(),
        "environment" => steps::environment(),
        "package" => package::run_package(),
        "aws" => steps::aws(),
        "aws-costs" => steps::aws_costs(),
        "load" => load::load(Host::Machine, &words),
        "load-aws" => load::load(Host::Lambda, &words),
        "telemetry" => steps::telemetry(),
        _ => Err(USAGE.trim_end().to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
