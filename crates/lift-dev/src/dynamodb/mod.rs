//! In: a plan's tables, and where DynamoDB Local may be. Out: both on an endpoint.

pub mod local;
pub mod tables;

pub use lift_aws_client::client::EndpointError;
pub use lift_aws_client::dynamodb::{Client, Error};
pub use lift_aws_client::sigv4::Credentials;
