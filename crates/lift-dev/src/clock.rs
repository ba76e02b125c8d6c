//! In: nothing. Out: the wall clock, which signatures and the ages of stream records are measured by.

use lift_gateway::Timestamp;

/// The time of day. It may jump: whoever waits uses tokio's clock.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::from_epoch_ms(lift_aws_client::clock::wall_ms())
}
