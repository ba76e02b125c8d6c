//! In: a moment and a future. Out: the future, whose calls do not outlast the moment.

use tokio::time::Instant;

tokio::task_local! {
    static UNTIL: Instant;
}

/// Runs a future whose calls of AWS end by `until`: a function's invocation has a deadline, and a call
/// that outlives it answers nobody. A task that it spawns does not inherit it.
pub async fn within<F: Future>(until: Instant, future: F) -> F::Output {
    UNTIL.scope(until, future).await
}

/// The earlier of the two.
pub(crate) fn at_most(until: Instant) -> Instant {
    UNTIL.try_with(|limit| until.min(*limit)).unwrap_or(until)
}
