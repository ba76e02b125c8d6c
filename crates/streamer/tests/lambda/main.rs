//! The service on Lambda, as far as this machine goes: its own template and binary, API Gateway's rules, DynamoDB's own engine.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, says what it skips, and sees what this machine has"
)]

#[path = "../../../../tests/dynamodb-local/start.rs"]
mod dynamodb_local;
#[path = "../../../../tests/foreign/moto.rs"]
mod moto;
#[path = "../../../lift-aws/tests/shared/relay.rs"]
mod relay;
mod asking;
mod budget;
mod clocks;
mod collections;
mod counts;
mod deadline;
mod environment;
mod events;
mod hostile;
mod journey;
mod killed;
mod load;
mod poison;
mod races;
mod records;
mod throttled;
mod world;
