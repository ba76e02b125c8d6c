//! AWS for Lift apps: API Gateway's events come in, its answers go out; what must last lies in DynamoDB.
#![warn(missing_docs)]

pub mod event;
pub mod address;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "management")]
pub mod management;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "telemetry")]
pub mod telemetry;
