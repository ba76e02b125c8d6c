//! The service as Lambda functions: an environment comes in, the function of its role serves.

mod function;
pub mod settings;
pub mod variables;

use lift_aws::host::{current_trace, serve};
use lift_aws::telemetry::Telemetry;
use settings::Settings;
use tokio::runtime::{Builder, Runtime};

pub use function::function;

/// Runs the function that an environment describes until Lambda ends it.
///
/// # Errors
/// If the environment is wrong, something that it names cannot be used, or Lambda's Runtime API is away.
pub fn run(variables: &[(String, String)]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings::read(variables)?;
    let telemetry = Telemetry::install(settings.telemetry.clone(), current_trace)?;
    runtime(variables)?.block_on(async {
        let function = function(settings).await?;
        serve(function, telemetry).await
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
