//! In: what an app keeps. Out: the same in DynamoDB, whose tables `deploy/template.yaml` describes.

mod item;
mod call;
mod reader;
mod moment;
pub mod tasks;
mod rates;
mod registry;
mod table;

pub use rates::DynamoRates;
pub use registry::DynamoRegistry;
