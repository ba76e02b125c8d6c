//! In: the gateway's conversation scripts. Out: whether they hold through `lift dev`, with real functions.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

#[path = "../../../lift-gateway/tests/it/client.rs"]
#[expect(dead_code, reason = "the gateway's own tests use more of it")]
mod client;
#[path = "../../../lift-gateway/tests/it/compare.rs"]
mod compare;
#[path = "../../../lift-gateway/tests/it/script.rs"]
mod script;
#[path = "../../../lift-gateway/tests/it/setup.rs"]
mod setup;

mod dev;
mod names;
mod reach;
mod real;
mod relay;
mod shape;
mod suite;
mod template;
mod verdict;
