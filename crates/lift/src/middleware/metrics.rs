//! Counts and times: one `lift_requests_total` and one `lift_request_seconds` for every message.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use metrics::{Counter, Histogram};
use tokio::time::Instant;

use crate::error::Code;
use crate::request::Reply;

/// What counts the good answers of each action, looked up in the recorder once: at the first.
#[derive(Debug, Default)]
pub struct Counters(BTreeMap<String, OnceLock<(Counter, Histogram)>>);

impl Counters {
    /// For actions of these names.
    pub fn new<'a>(actions: impl IntoIterator<Item = &'a str>) -> Self {
        let actions = actions.into_iter();
        Self(
            actions
                .map(|name| (name.to_owned(), OnceLock::new()))
                .collect(),
        )
    }
}

/// Counts the reply by its kind. An action that nobody registered is not a label: clients choose
/// those freely.
pub async fn metrics(
    counters: &Counters,
    action: String,
    rest: impl Future<Output = Reply>,
) -> Reply {
    let started = Instant::now();
    let reply = rest.await;
    let code = reply.code();
    let known = counters.0.get(&action);
    let action = known.map_or_else(|| "-".to_owned(), |_| action);
    let known = known.filter(|_| code.is_none());
    let outcome = code.map_or("ok", Code::as_str);
    if code.is_some() {
        tracing::Span::current().record("outcome", outcome);
    }
    let look_up = || {
        (
            metrics::counter!("lift_requests_total", "action" => action.clone(), "outcome" => outcome),
            metrics::histogram!("lift_request_seconds", "action" => action.clone()),
        )
    };
    let looked_up;
    let (count, seconds) = match known {
        Some(known) => known.get_or_init(look_up),
        None => {
            looked_up = look_up();
            &looked_up
        }
    };
    count.increment(1);
    seconds.record(started.elapsed());
    reply
}
