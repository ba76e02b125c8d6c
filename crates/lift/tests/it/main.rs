//! What the framework promises at its public edge.

mod world;
mod faulty;
mod envelope;
mod order;
mod messages;
mod control;
mod errors;
mod payloads;
mod middleware;
mod wiring;
mod worker;
mod registry;
mod tasks_conformance;
