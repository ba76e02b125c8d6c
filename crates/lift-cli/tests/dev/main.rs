//! In: templates and functions in four languages. Out: what `lift dev` makes of them, with clients that are not ours.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod running;
mod examples;
mod editing;
mod talking;
mod sdks;
mod feed;
mod faults;
mod signed;
mod living;
mod schedules;
mod hostile_functions;
mod ramp;
mod ports;
mod why;
mod without_api;
mod callers;
mod stopping;
mod refused;
