//! The `seq` of a message about a request comes in, whether it is news goes out.

/// What a client has seen of one request.
///
/// A message is news if its `seq` is above the last seen and no terminal message was seen before it. Gaps mean
/// nothing: progress is the latest, not every one.
///
/// ```
/// use streamer_protocol::seq::{Kind, Seen};
///
/// let mut seen = Seen::default();
/// assert!(seen.admit(3, Kind::Progress));
/// assert!(!seen.admit(3, Kind::Progress));
/// assert!(seen.admit(1_000_001, Kind::Terminal));
/// assert!(!seen.admit(1_000_002, Kind::Progress));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    last: u64,
    ended: bool,
}

/// Whether more may follow a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// More may follow.
    Progress,
    /// Nothing follows.
    Terminal,
}

impl Seen {
    /// Everything up to `last` was seen, and it was not the end; 0 for nothing.
    #[must_use]
    pub fn up_to(last: u64) -> Self {
        Self { last, ended: false }
    }

    /// Takes note of a message; `false` if it must be dropped.
    #[must_use]
    pub fn admit(&mut self, seq: u64, kind: Kind) -> bool {
        if self.ended || seq <= self.last {
            return false;
        }
        *self = Self {
            last: seq,
            ended: kind == Kind::Terminal,
        };
        true
    }

    /// The last `seq` seen: `after_seq` of a resume.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }
}
