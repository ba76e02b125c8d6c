//! In: a mapping of the plan and a DynamoDB endpoint. Out: the function's invocations with the records of the table's stream.
//!
//! The rules are Lambda's and pure ([`mapping`]); [`run()`] does the reading, invoking and writing.

pub mod filter;
pub mod record;
pub mod rules;
pub mod mapping;
mod reader;
mod lane;
mod batch;
mod answer;
pub mod failure;
mod faults;
mod calls;
mod kept;
mod run;

pub use faults::Faults;
pub use run::{RunError, Settings, run};

/// Why an invocation brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeFailed {
    /// The function answered an error, timed out or ended: an attempt.
    #[error("the function failed: {error}")]
    Function {
        /// What it said.
        error: String,
    },
    /// There was no room for it: no attempt.
    #[error("throttled")]
    Throttled,
    /// It could not be called: no attempt.
    #[error("the function cannot be called: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}
