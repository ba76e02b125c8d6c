//! In: the environment of the role `message`. Out: what its function takes for an `echo`, without the Runtime API.

use std::process::Stdio;
use std::time::{Duration, Instant};

use lift_aws::host::{Function, Invocation, current_trace};
use lift_aws::telemetry::Telemetry;
use streamer::lambda::settings::Settings;
use tokio::process::Command;
use tracing::Instrument;

use crate::Result;
use crate::bootstrap::environment;
use crate::events;
use crate::stand_in::StandIn;

/// The argument that makes this program the one that is measured, whose output is a function's log.
pub(crate) const MODE: &str = "in-process";
const EVENTS: u32 = 20_000;
const WARM_UP: u32 = 2_000;
/// Rounds, of which the fastest counts: the machine may have other things to do.
const ROUNDS: u32 = 15;
const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) async fn figures(stand_in: &StandIn) -> Result<()> {
    let measuring = Command::new(std::env::current_exe()?)
        .args([MODE, &stand_in.url])
        .env("AWS_CA_BUNDLE", &stand_in.authority.certificate)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let measured = tokio::time::timeout(DEADLINE, measuring).await??;
    println!(
        "\nThe same `echo` in process, event's JSON to proxy response's; the fastest of {ROUNDS} rounds of {EVENTS}\n"
    );
    println!("| what | µs/event |");
    println!("|---|--:|");
    print!("{}", String::from_utf8_lossy(&measured.stderr));
    match measured.status.success() {
        true => Ok(()),
        false => Err("it cannot be measured in process".into()),
    }
}

/// What the started program does.
pub(crate) fn run() -> Result<()> {
    let url = std::env::args().nth(2).ok_or("no URL of a DynamoDB")?;
    let mut variables: Vec<(String, String)> = environment("message", &url)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let roots = std::env::vars().find(|(name, _)| name == "AWS_CA_BUNDLE");
    variables.extend(roots);
    let settings = Settings::read(&variables)?;
    let telemetry = Telemetry::install(settings.telemetry.clone(), current_trace)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let function = streamer::lambda::function(settings).await?;
        let event = events::message();
        invoke(&function, &event, WARM_UP).await?;
        let mut fastest = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            let (began, [alone, whole]) = (Instant::now(), &mut fastest);
            invoke(&function, &event, EVENTS).await?;
            *alone = alone.min(each(began));
            let began = Instant::now();
            invoke_told(&function, &telemetry, &event).await?;
            *whole = whole.min(each(began));
        }
        let [alone, whole] = fastest;
        eprintln!("| `Function::invoke`, all middleware | {alone:.2} |");
        eprintln!(
            "| the same in an invocation's span, its metrics written as a line | {whole:.2} |"
        );
        Ok(())
    })
}

fn each(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / f64::from(EVENTS)
}

fn invocation() -> Invocation<'static> {
    Invocation {
        until: tokio::time::Instant::now() + Duration::from_secs(29),
        trace: None,
    }
}

async fn invoke(function: &Function, event: &str, times: u32) -> Result<()> {
    for _ in 0..times {
        let answer = function.invoke(event.as_bytes(), &invocation()).await?;
        if !answer.starts_with(br#"{"statusCode":200"#) {
            return Err(String::from_utf8_lossy(&answer).into());
        }
    }
    Ok(())
}

/// As `serve` does it.
async fn invoke_told(function: &Function, telemetry: &Telemetry, event: &str) -> Result<()> {
    const ID: &str = "8476a536-e9f4-11e8-9739-000000000000";
    for _ in 0..EVENTS {
        let span = telemetry.begin(ID, None);
        invoke(function, event, 1).instrument(span).await?;
        drop(telemetry.written_at_the_end(ID));
    }
    Ok(())
}
