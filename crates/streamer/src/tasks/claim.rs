//! What all tasks have in common: one claim of a request goes in; its outcome comes out, or word that it stopped.

use super::failure::Failure;
use crate::objects::{Tenant, WorkId};

/// What the caller wants of a run that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Return soon, keeping everything: the request was cancelled, the claim was lost, or it is given back.
    Stop,
}

/// The caller's side of a run.
pub trait Hooks<C>: Send {
    /// Tells how far the run is, about every 50 ms: 0–100, and what was done.
    fn progress(&mut self, percentage: f64, message: &str) -> impl Future<Output = Flow> + Send;

    /// Makes a checkpoint durable; the one before it may no longer be used once this returns `Continue`.
    fn checkpoint(&mut self, checkpoint: &C) -> impl Future<Output = Flow> + Send;

    /// Asked before the output is published: `Continue` once nothing but this run ends the request.
    fn commit(&mut self) -> impl Future<Output = Flow> + Send;
}

/// One claim of one request.
#[derive(Debug, Clone)]
pub struct Job<R> {
    /// Whose objects.
    pub tenant: Tenant,
    /// The folder of work that all claims of the request share.
    pub request_id: WorkId,
    /// The claim's number; a later claim has a greater one.
    pub claim: u64,
    /// What to do.
    pub request: R,
}

/// How a run came back without a failure.
#[derive(Debug, Clone)]
pub enum Ended<O> {
    /// The output is published.
    Finished(O),
    /// A hook said [`Flow::Stop`].
    Stopped,
}

/// Between two bounds in tenths of a percent, as far as `done` is in `total`.
pub(super) fn percentage(from: u32, to: u32, done: u64, total: u64) -> f64 {
    let span = u128::from(to.saturating_sub(from));
    let tenths = span * u128::from(done.min(total)) / u128::from(total.max(1));
    f64::from(from + u32::try_from(tenths).unwrap_or(0)) / 10.0
}

/// Runs what may block where it may; a panic stays one.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // A panic is a bug and stays one: whoever runs the task decides what becomes of it.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Failure::storage(error)),
        },
    }
}
