//! Which progress is worth a message: updates and the time come in, what to send goes out. Pure.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::json::Json;

/// Messages about one request are at least this far apart.
pub const SPACING: Duration = Duration::from_millis(100);
/// Longest progress `message`, in bytes; longer ones are cut.
pub const MESSAGE_BYTES_MAX: usize = 512;
/// Longest progress `metadata`, in bytes; longer ones are left out.
pub const METADATA_BYTES_MAX: usize = 2 * 1024;

/// How far a task says it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// 0 to 100; what is outside is brought inside.
    pub percentage: f64,
    /// For people.
    pub message: String,
    /// For programs: an object.
    pub metadata: Option<Json>,
}

/// Keeps the latest update until it may be sent. Percentages never go down.
#[derive(Debug)]
pub struct Coalescer {
    sent_at: Option<Timestamp>,
    floor: f64,
    pending: Option<Update>,
}

impl Coalescer {
    /// Goes on from the percentage that was last told.
    pub fn new(floor: f64) -> Self {
        Self {
            sent_at: None,
            floor,
            pending: None,
        }
    }

    /// Takes an update; the one before, if unsent, is forgotten.
    pub fn offer(&mut self, mut update: Update) {
        let percentage = if update.percentage.is_finite() {
            update.percentage
        } else {
            0.0
        };
        self.floor = percentage.clamp(0.0, 100.0).max(self.floor);
        update.percentage = self.floor;
        cut(&mut update.message, MESSAGE_BYTES_MAX);
        let fits =
            |json: &Json| json.get().starts_with('{') && json.len_bytes() <= METADATA_BYTES_MAX;
        if update.metadata.as_ref().is_some_and(|json| !fits(json)) {
            tracing::warn!(
                "progress metadata that is no object of {METADATA_BYTES_MAX} bytes left out"
            );
            update.metadata = None;
        }
        self.pending = Some(update);
    }

    /// When [`poll`](Self::poll) has something to send.
    pub fn ready_at(&self) -> Option<Timestamp> {
        self.pending.as_ref()?;
        Some(self.sent_at.map_or(Timestamp::default(), |at| at + SPACING))
    }

    /// An update was sent, later than it was polled for where its write took time.
    pub fn told(&mut self, now: Timestamp) {
        self.sent_at = Some(now);
    }

    /// An update was not sent after all; a newer one wins over it.
    pub fn put_back(&mut self, update: Update) {
        self.pending.get_or_insert(update);
    }

    /// The update to send now, if one is due.
    pub fn poll(&mut self, now: Timestamp) -> Option<Update> {
        if self.ready_at()? > now {
            return None;
        }
        self.sent_at = Some(now);
        self.pending.take()
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        tracing::warn!("progress message over {bytes_max} bytes cut");
        text.truncate(text.floor_char_boundary(bytes_max));
    }
}

#[cfg(test)]
mod tests {
    use super::{Coalescer, Update};
    use crate::clock::Timestamp;

    /// Each case: `(at ms, percentage offered or NaN to only poll)`; gives `(at, percentage)` sent.
    fn check(floor: f64, script: &[(u64, Option<f64>)], sent: &[(u64, f64)]) {
        let mut coalescer = Coalescer::new(floor);
        let mut got = Vec::new();
        for (at, offered) in script {
            if let Some(percentage) = offered {
                let update = Update {
                    percentage: *percentage,
                    message: String::new(),
                    metadata: None,
                };
                coalescer.offer(update);
            }
            if let Some(update) = coalescer.poll(Timestamp::from_millis(*at)) {
                got.push((*at, update.percentage));
            }
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn the_first_update_is_sent_at_once_and_later_ones_are_spaced() {
        check(
            0.0,
            &[(5, Some(1.0)), (50, Some(2.0)), (104, None), (105, None)],
            &[(5, 1.0), (105, 2.0)],
        );
    }

    #[test]
    fn the_latest_update_wins() {
        check(
            0.0,
            &[
                (0, Some(1.0)),
                (10, Some(2.0)),
                (20, Some(3.0)),
                (100, None),
            ],
            &[(0, 1.0), (100, 3.0)],
        );
    }

    #[test]
    fn percentages_never_go_down_and_stay_within_0_and_100() {
        check(
            40.0,
            &[
                (0, Some(10.0)),
                (200, Some(90.0)),
                (400, Some(20.0)),
                (600, Some(250.0)),
                (800, Some(f64::NAN)),
            ],
            &[
                (0, 40.0),
                (200, 90.0),
                (400, 90.0),
                (600, 100.0),
                (800, 100.0),
            ],
        );
    }

    #[test]
    fn nothing_is_sent_twice() {
        check(
            0.0,
            &[(0, Some(1.0)), (100, None), (200, None)],
            &[(0, 1.0)],
        );
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let mut coalescer = Coalescer::new(0.0);
        coalescer.offer(Update {
            percentage: 0.0,
            message: "é".repeat(300),
            metadata: None,
        });
        let update = coalescer.poll(Timestamp::default()).unwrap();
        assert_eq!(update.message, "é".repeat(256));
    }
}
