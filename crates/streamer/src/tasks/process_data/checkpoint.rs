//! How far a run came; a later claim of the same request goes on from it.

use serde::{Deserialize, Serialize};

/// Names what is durable in the request's folder of work: small JSON, about 300 bytes and 50 for each
/// earlier claim that wrote parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The size of the input and its time of change, or its tag in a bucket.
    pub input_version: String,
    /// Bytes of the input that are done; a row starts here.
    pub offset: u64,
    /// The line of that row, from 1.
    pub line: u64,
    /// Rows of the input that are done.
    pub rows_in: u64,
    /// The finished parts of the output, in order.
    pub parts: Vec<Parts>,
    /// The name of the object with the operators' state.
    pub state: String,
}

/// The parts that one claim finished: `part-{claim}-0` to `part-{claim}-{count - 1}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// The claim's number.
    pub claim: u64,
    /// How many.
    pub count: u64,
    /// Their bytes together.
    pub bytes: u64,
}
