//! Project tasks: a name comes in, its steps run in order, the first that fails ends it.

mod counts;
mod fuzz;
mod steps;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo x TASK
  test           everything CI runs: tidy, format, clippy, all tests, docs, examples, demo
  tidy           architecture and house checks alone
  schemas        writes docs/asyncapi.json and docs/schemas/, from the types
  compatibility  writes docs/compatibility.md, from the conversation scripts
  fuzz-smoke     the fuzz targets' seeds and mutations of them, 60 s in all; no nightly needed
  fuzz [SECONDS] the fuzz targets under libFuzzer, each for so long (60)
  counts [write] instructions a message, beside their baseline (or as it)
  full           what takes longer: coverage, benchmarks, the long crash test";

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let done = match task.as_str() {
        "test" => steps::test(),
        "tidy" => tidy::check(),
        "schemas" => steps::schemas(),
        "fuzz-smoke" => steps::fuzz_smoke(),
        "fuzz" => fuzz::run(std::env::args().nth(2).as_deref()),
        "counts" => counts::run(std::env::args().nth(2).as_deref()),
        "full" => steps::full(),
        "compatibility" => steps::compatibility(),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
