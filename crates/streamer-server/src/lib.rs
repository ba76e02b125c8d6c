//! The Streamer service on one machine: what was typed comes in, a running server goes out.

mod args;
mod config;
mod descriptors;
mod commands;

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;

use args::{Args, Command};
use config::Config;

/// Runs what the command line asks for.
///
/// # Errors
/// With a sentence for people, and its causes.
pub fn run() -> anyhow::Result<()> {
    let Args { command, settings } = Args::parse();
    match command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let config = Arc::new(Config::new(settings)?);
            runtime()?.block_on(commands::serve::run(&config))
        }
        Command::Salvage => commands::salvage::run(&Config::new(settings)?),
        Command::Demo(demo) => runtime()?.block_on(commands::demo::run(&demo)),
        Command::GenerateCsv(generate) => commands::generate_csv::run(&generate),
    }
}

/// Tasks that a busy thread runs between two looks at the sockets. Tokio's 61 are a long time where
/// each handles a large message.
const TASKS_BETWEEN_LOOKS: u32 = 16;

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_LOOKS)
        .build()
        .context("the async runtime cannot be started")
}
