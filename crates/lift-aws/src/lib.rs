//! AWS for Lift apps: API Gateway's events come in, its answers go out.
#![warn(missing_docs)]

pub mod event;
