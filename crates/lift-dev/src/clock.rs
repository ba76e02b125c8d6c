//! In: nothing. Out: the wall clock, which signatures and the ages of stream records are measured by.

use std::time::SystemTime;

use lift_gateway::Timestamp;

/// The time of day. It may jump: whoever waits uses tokio's clock.
pub(crate) fn wall_clock() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "signatures and records carry the wall clock of others"
    )]
    let now = SystemTime::now();
    Timestamp::default()
        + now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
}
