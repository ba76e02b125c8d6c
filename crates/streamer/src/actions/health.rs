//! `health`: anything comes in, the service's version goes out.

use std::convert::Infallible;

use schemars::JsonSchema;
use serde::Serialize;

/// What `health` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The service's version.
    version: &'static str,
}

pub(crate) async fn health() -> Result<Health, Infallible> {
    Ok(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}
