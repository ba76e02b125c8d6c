//! The service as Lambda functions: an environment comes in, the function of its role serves.

mod function;
pub mod settings;
pub mod variables;

use settings::{Log, Settings, Text};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::LevelFilter;

pub use function::function;

/// Runs the function that an environment describes until Lambda ends it.
///
/// # Errors
/// If the environment is wrong, something that it names cannot be used, or Lambda's Runtime API is away.
pub fn run(variables: &[(String, String)]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings::read(variables)?;
    log(&settings.log);
    runtime(variables)?.block_on(async {
        let function = function(settings).await?;
        lift_aws::host::serve(function).await
    })
}

/// One thread serves one event at a time; where Lambda sends several, each may have a thread.
fn runtime(variables: &[(String, String)]) -> std::io::Result<Runtime> {
    let concurrency = variables
        .iter()
        .find(|(name, _)| name == "AWS_LAMBDA_MAX_CONCURRENCY")
        .and_then(|(_, value)| value.parse::<u32>().ok());
    let mut builder = match concurrency {
        Some(2..) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

fn log(log: &Log) {
    let level = match log.level.as_str() {
        "error" | "critical" => LevelFilter::ERROR,
        "warn" | "warning" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false);
    match log.text {
        Text::Plain => lines.init(),
        Text::Json => lines.json().flatten_event(true).init(),
    }
}
