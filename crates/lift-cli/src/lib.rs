//! The command line comes in, an exit status goes out.
//!
//! `lift dev` runs Lambda functions behind the local gateway; `lift ws` talks to a WebSocket server, by hand or in a script;
//! `lift smoke` checks a deployment of Streamer; `lift load` puts load on a server, `lift report` shows and compares what came of it, `lift cost`
//! prices it on AWS; `lift token` makes and reads the tokens of one machine; `lift store` and `lift doctor` look after a data directory and a server;

//! `lift explain` says what codes mean. stdout carries data alone; whatever is said to people goes to stderr.
#![warn(missing_docs)]

pub mod args;
mod config;
mod commands;
mod input;
mod editor;
mod line;
mod heard;
mod expect;
mod screen;
mod output;
mod tree;
mod failure;

pub use failure::{Exit, Failure};

/// Does what the command line asks for.
///
/// # Errors
/// Whatever makes the exit status other than 0.
pub fn run(args: args::Args) -> Result<(), Failure> {
    let environment = config::Environment::read();
    match args.command {
        args::Command::Dev(args) => commands::dev::run(args),
        args::Command::Ws(args) => commands::ws::run(config::Ws::new(args, environment)?),
        args::Command::Smoke(args) => commands::smoke::run(config::Smoke::new(args, environment)?),
        args::Command::Cost(args) => commands::cost::run(&args),
        args::Command::Load(args) => commands::load::run(&args, &environment),

        args::Command::Report(args) => commands::report::run(&args.command),
        args::Command::Token(args) => commands::token::run(args.command, environment),
        args::Command::Store(args) => commands::store::run(args.command),
        args::Command::Doctor(args) => commands::doctor::run(&args),
        args::Command::Explain(args) => commands::explain::run(&args),
        args::Command::Completions(args) => commands::pages::completions(&args),
        args::Command::Man(args) => commands::pages::man(&args),
    }
}
