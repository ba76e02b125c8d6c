//! In: a function. Out: it runs behind Lambda's Runtime API until the environment ends.

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use lift_aws_client::{clock, deadline};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Function, Invocation};
use crate::event::Failure;
use crate::telemetry::Telemetry;

/// What an answer needs to reach Lambda before it ends the invocation.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// Serves invocations, one at a time, or as many as `AWS_LAMBDA_MAX_CONCURRENCY` says (Lambda Managed
/// Instances), until the environment ends.
///
/// # Errors
/// If the Runtime API cannot be reached or refuses.
pub async fn serve(
    function: Function,
    telemetry: Telemetry,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Function::Processor(processor) = &function {
        // Told to end by SIGTERM, since the handler registers an internal extension for it.
        let processor = processor.clone();
        lambda_runtime::spawn_graceful_shutdown_handler(move || async move { processor.drain() })
            .await;
    }
    let telemetry = Arc::new(telemetry);
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let (function, telemetry) = (function.clone(), Arc::clone(&telemetry));
        async move {
            let id = event.context.request_id.clone();
            let span = telemetry.begin(&id, event.context.xray_trace_id.as_deref());
            let _counts = telemetry.written_at_the_end(&id);
            Box::pin(invoke(&function, event)).instrument(span).await
        }
    });
    Box::pin(lambda_runtime::run_concurrent(handler)).await
}

async fn invoke(
    function: &Function,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Box<RawValue>, Diagnostic> {
    let (payload, context) = event.into_parts();
    let invocation = Invocation {
        until: Instant::now() + remaining(context.deadline),
        trace: context.xray_trace_id.as_deref(),
    };
    let answered = function.invoke(payload.get().as_bytes(), &invocation);
    let answered = deadline::within(invocation.until, answered).await;
    let answered = answered.and_then(|body| {
        let text =
            String::from_utf8(Vec::from(body)).map_err(|error| Failure::Event(error.into()))?;
        RawValue::from_string(text).map_err(|error| Failure::Event(error.into()))
    });
    answered.map_err(|failure| diagnostic(&failure))
}

fn diagnostic(failure: &Failure) -> Diagnostic {
    let error_type = match failure {
        Failure::Unauthorized => "Unauthorized",
        Failure::Event(_) => "BadEvent",
        Failure::Backend(_) => "Unavailable",
    };
    if !matches!(failure, Failure::Unauthorized) {
        tracing::error!(error = lift::error::chain(failure), "the invocation failed");
    }
    Diagnostic {
        error_type: error_type.to_owned(),
        error_message: failure.to_string(),
    }
}

/// The time until a moment in ms since 1970, by this machine's clock, which Lambda's deadline is of.
fn remaining(deadline_ms: u64) -> Duration {
    let remaining = deadline_ms.saturating_sub(clock::wall_ms());
    Duration::from_millis(remaining).saturating_sub(ANSWER_WITHIN)
}
