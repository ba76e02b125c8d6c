//! In: nothing. Out: the time of day that sessions see, which never jumps.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::session::Timestamp;

/// The wall clock at start plus monotonic time since, so that setting the clock fires no timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the gateway's one look at the wall clock"
        )]
        let wall = SystemTime::now();
        let since_epoch = wall
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            started_at: Timestamp::default() + since_epoch,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }

    /// The instant of a timestamp; the past is the start.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(self.started_at)
    }
}
