//! In: what an app keeps. Out: the same in DynamoDB, whose tables `deploy/template.yaml` describes.

#[allow(dead_code, reason = "the stores over it come next")]
mod item;
