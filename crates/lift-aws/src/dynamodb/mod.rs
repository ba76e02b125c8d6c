//! In: what an app keeps. Out: the same in DynamoDB, whose tables `deploy/template.yaml` describes.

mod item;
pub mod tasks;
