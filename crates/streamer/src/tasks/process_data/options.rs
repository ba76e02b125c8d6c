//! The limits of `process_data` and the pace of its checkpoints, each by name.

use std::time::Duration;

/// What one run may hold and how often it makes its progress durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Most distinct keys of a `deduplicate` or `aggregate`, and most rows of a `top`.
    pub keys_max: u64,
    /// Most bytes of one operator's state; while it is saved, twice that is in memory.
    pub state_bytes_max: u64,
    /// Longest row of the input, in bytes, its line end included.
    pub row_bytes_max: u32,
    /// Most columns of an input.
    pub columns_max: usize,
    /// Most operations of a request.
    pub operations_max: usize,
    /// Time between two checkpoints; more where saving the state takes over a fifth of it.
    pub checkpoint_every: Duration,
    /// Rows after which a checkpoint is made however short the time.
    pub checkpoint_rows_max: u64,
    /// Bytes read from the input at once.
    pub chunk_bytes: u32,
    /// Bytes of output after which a part is written.
    pub part_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keys_max: 10_000_000,
            state_bytes_max: 256 << 20,
            row_bytes_max: 1 << 20,
            columns_max: 1024,
            operations_max: 32,
            checkpoint_every: Duration::from_secs(1),
            checkpoint_rows_max: 10_000_000,
            chunk_bytes: 512 << 10,
            part_bytes: 8 << 20,
        }
    }
}
