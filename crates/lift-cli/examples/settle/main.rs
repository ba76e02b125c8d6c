//! In: the gateway's conversation scripts, and an account's APIs or a `lift dev`. Out: which rules hold there.
//!
//! `docs/settle-on-aws.md` has the commands.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "lines on stdout are the output, and an absent field of JSON is null"
)]

#[path = "../../../lift-gateway/tests/it/client.rs"]
#[expect(dead_code, reason = "the gateway's own tests use more of it")]
mod client;
#[path = "../../../lift-gateway/tests/it/compare.rs"]
mod compare;
#[path = "../../../lift-gateway/tests/it/script.rs"]
mod script;
#[path = "../../../lift-gateway/tests/it/setup.rs"]
mod setup;

#[path = "../../tests/conversations/names.rs"]
mod names;
#[path = "../../tests/conversations/reach.rs"]
mod reach;
#[path = "../../tests/conversations/real.rs"]
mod real;
#[path = "../../tests/conversations/relay.rs"]
mod relay;
#[path = "../../tests/conversations/shape.rs"]
mod shape;
#[path = "../../tests/conversations/template.rs"]
mod template;
#[path = "../../tests/conversations/verdict.rs"]
mod verdict;

mod apis;
mod args;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::{Args, Command, Run};
use crate::real::{Stage, converse};
use crate::relay::{Behaviours, Relay};
use crate::shape::{Script, scripts};

/// How long nothing more must come after a conversation: functions report from far away.
const QUIET: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let command = Args::parse().command;
    let done = scripts().and_then(|scripts| match command {
        Command::Template {
            directory,
            scripts: named,
        } => {
            known(&scripts, &named)?;
            let wanted = scripts.iter().filter(|script| is_wanted(script, &named));
            let fit = wanted.filter(|script| script.unfit_on_aws().is_none());
            let apis = shape::apis_of(&scripts, fit);
            let written = template::write(&directory, &apis, None);
            written.map_err(|error| format!("{}: {error}", directory.display()))?;
            eprintln!(
                "{} APIs and their relay: {}",
                apis.len(),
                directory.join("template.json").display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(run) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build();
            runtime
                .map_err(|error| error.to_string())?
                .block_on(settle(scripts, &run))
        }
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn is_wanted(script: &Script, named: &[String]) -> bool {
    named.is_empty() || named.contains(&script.name)
}

/// Whether there is a script of each name that was given, and that it can be run on an account.
fn known(scripts: &[Script], named: &[String]) -> Result<(), String> {
    for name in named {
        let script = scripts.iter().find(|script| script.name == *name);
        let script = script.ok_or_else(|| format!("no script is named `{name}`"))?;
        if let Some(why) = script.unfit_on_aws() {
            return Err(format!("`{name}` cannot be run so: {why}"));
        }
    }
    Ok(())
}

/// Runs the scripts that were asked for, and says of each whether it is there as written.
async fn settle(scripts: Vec<Script>, run: &Run) -> Result<ExitCode, String> {
    known(&scripts, &run.scripts)?;
    let names = apis::Names::of(&scripts);
    let apis = apis::Apis::of(run, &names)?;
    // One error, instead of one for each script.
    let behaviours = Behaviours {
        by_function: HashMap::new(),
        api_id: String::new(),
    };
    drop(Relay::open(Arc::clone(&apis.reach), &apis.relay, behaviours).await?);
    let all = scripts.len();
    let wanted: Vec<_> = scripts
        .into_iter()
        .filter(|script| is_wanted(script, &run.scripts))
        .collect();
    for (why, names) in verdict::unfit(&wanted, Script::unfit_on_aws) {
        println!("not run     {}: {why}: {}", names.len(), names.join(" "));
    }
    let turns = Arc::new(Semaphore::new(run.at_a_time));
    let mut conversations = JoinSet::new();
    let (mut too_long, mut absent) = (Vec::new(), Vec::new());
    for script in wanted
        .into_iter()
        .filter(|script| script.unfit_on_aws().is_none())
    {
        if script.waits() > run.longest.0 {
            too_long.push(script.name);
            continue;
        }
        let Some(api) = apis.find(&names, &script) else {
            absent.push(script.name);
            continue;
        };
        let stage = Stage {
            reach: Arc::clone(&apis.reach),
            api,
            relay: apis.relay.clone(),
            speed: 1,
            quiet: QUIET,
            process: None,
        };
        let turns = Arc::clone(&turns);
        conversations.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let outcome = converse(&script, &stage).await;
            println!("{}", verdict::told(&script, &outcome));
            outcome.is_ok()
        });
    }
    for (why, names) in [
        ("wait longer than `--longest`", too_long),
        ("no API was named for it", absent),
    ] {
        if !names.is_empty() {
            println!("not run     {}: {why}: {}", names.len(), names.join(" "));
        }
    }
    let outcomes = conversations.join_all().await;
    let held = outcomes.iter().filter(|held| **held).count();
    let otherwise = outcomes.len() - held;
    println!(
        "{all} scripts: {held} as written, {otherwise} otherwise, {} not run",
        all - outcomes.len()
    );
    Ok(if otherwise == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
