//! In: calls of AWS's APIs. Out: their answers, signed for and repeated where that helps, or typed errors.
//!
//! One pool of connections, one set of roots and one notion of the server's time serve every service.
#![warn(missing_docs)]

pub mod sigv4;
pub mod client;
pub mod answer;
pub mod clock;
mod connector;
pub mod deadline;
pub mod dynamodb;
pub mod retry;
pub mod tries;
