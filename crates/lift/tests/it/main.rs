//! What the framework promises at its public edge.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test fails by panicking"
)]

mod world;
mod faulty;
mod envelope;
mod order;
mod messages;
mod control;
mod errors;
mod payloads;
mod limits;
mod middleware;
mod wiring;
mod worker;
mod telling;
mod registry;
mod tasks_conformance;
