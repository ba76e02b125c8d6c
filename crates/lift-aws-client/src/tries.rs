//! In: that a try failed in a way that may pass. Out: a wait before the next one, or that there is none.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{deadline, retry};

/// The tries of one call.
#[derive(Debug)]
pub struct Tries {
    until: Instant,
    failed: u32,
}

impl Tries {
    /// As many as come within a time, and within the [deadline] around it.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self {
            until: deadline::at_most(Instant::now() + time),
            failed: 0,
        }
    }

    /// Waits before the next try; false, at once, where it would come too late or there were enough.
    pub async fn again(&mut self) -> bool {
        self.failed += 1;
        let pause = retry::delay(self.failed, getrandom::u32().unwrap_or_default());
        let again = pause.map(|pause| Instant::now() + pause);
        let Some(again) = again.filter(|again| *again < self.until) else {
            return false;
        };
        sleep_until(again).await;
        true
    }
}
