//! The service as Lambda functions: an environment comes in, the function of its role goes out.

pub mod settings;
pub mod variables;
