//! What Lambda waits and pays for: bootstraps come in, tables of their cold starts and warm events go out.
//!
//! `cargo run --release -p streamer --features lambda --example bench_lambda -- [RUNS] [--bootstrap PATH] [--baseline NAME=PATH]...`
//!
//! The bootstrap is the one that `cargo x package` has built, unless another is named; what it is measured against
//! is any bootstrap that answers `$connect` by calls of DynamoDB. Lambda's Runtime API and DynamoDB, behind TLS,
//! are in this process; bootstraps are processes of their own, and take turns, since the machine may have other
//! things to do. docs/benchmarks.md says how everything is built.
#![expect(clippy::print_stdout, reason = "the tables are the output")]

mod bootstrap;
mod cold;
mod events;
mod in_process;
mod quota;
mod runtime_api;
mod stand_in;
mod warm;

use std::error::Error;
use std::path::PathBuf;

use crate::bootstrap::{Bootstrap, Trusted};
use crate::stand_in::StandIn;

/// As in `bootstrap`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const RUNS: usize = 40;

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(in_process::MODE) {
        return in_process::run();
    }
    let asked = Asked::read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(figures(&asked))
}

async fn figures(asked: &Asked) -> Result<()> {
    let stand_in = StandIn::start().await?;
    let mut cold = vec![Bootstrap::new("ours", &asked.bootstrap, Trusted::One)];
    for (name, path) in &asked.baselines {
        cold.push(Bootstrap::new(name, path, Trusted::Many));
        cold.push(Bootstrap::new(name, path, Trusted::One));
    }
    cold::figures(&stand_in, &cold, asked.runs).await?;
    warm::figures(&stand_in, &asked.bootstrap).await?;
    in_process::figures(&stand_in).await
}

/// What is measured.
struct Asked {
    runs: usize,
    bootstrap: PathBuf,
    baselines: Vec<(String, PathBuf)>,
}

impl Asked {
    fn read() -> Result<Self> {
        let example = std::env::current_exe()?;
        let target = example.ancestors().nth(3).ok_or("no target directory")?;
        let mut asked = Self {
            runs: RUNS,
            bootstrap: target.join("lambda/bootstrap"),
            baselines: Vec::new(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
            match arg.as_str() {
                "--bootstrap" => asked.bootstrap = value()?.into(),
                "--baseline" => {
                    let value = value()?;
                    let (name, path) = value.split_once('=').ok_or("`--baseline` is NAME=PATH")?;
                    asked.baselines.push((name.to_owned(), path.into()));
                }
                runs => {
                    let read = runs.parse().ok().filter(|runs| *runs > 0);
                    asked.runs = read.ok_or_else(|| format!("`{runs}` is no number of runs"))?;
                }
            }
        }
        let all = asked.baselines.iter().map(|(_, path)| path);
        for path in all.chain([&asked.bootstrap]) {
            if !path.is_file() {
                return Err(format!("`{}` is not there: build it first", path.display()).into());
            }
        }
        Ok(asked)
    }
}
