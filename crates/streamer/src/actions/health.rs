//! `health`: anything comes in, the service's version goes out.

use std::convert::Infallible;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Health {
    status: &'static str,
    version: &'static str,
}

pub(crate) async fn health() -> Result<Health, Infallible> {
    Ok(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}
