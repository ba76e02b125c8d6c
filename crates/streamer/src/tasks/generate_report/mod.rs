//! A range of days comes in; what the tenant's requests of that time came to goes out, as CSV or as one page.
//!
//! Counts, states, durations and error codes for each day (UTC) and action, from the records of tasks: an action that
//! is answered at once leaves none. A duration is the time from acceptance to the end. No payload, no
//! result and no user is in a report. The store is read page by page, not at one moment: a request counts in the state
//! in which it is met.

mod request;
mod day;
mod histogram;
mod tally;
mod text;
mod csv;
mod chart;
mod page;
mod engine;

pub use engine::{Checkpoint, Options, Outcome, Reports};
pub use request::GenerateReport;

/// The grant that a token must name (`docs/protocol.md`, "Connecting").
pub const GRANT: &str = "tenant.read";
