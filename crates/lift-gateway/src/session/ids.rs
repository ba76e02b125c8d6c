//! In: a seed. Out: the ids of one connection's requests, the same for the same seed.

use crate::{ConnectionId, RequestId};

/// Makes ids by SplitMix64 (Steele, Lea, Flood 2014); they need to differ, not to be secret.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    state: u64,
    /// The last bytes of the connection's id.
    tail: [u8; 4],
}

impl Ids {
    pub(super) fn new(seed: u64, connection: ConnectionId) -> Self {
        let [.., a, b, c, d] = connection.to_bytes();
        Self {
            state: seed,
            tail: [a, b, c, d],
        }
    }

    pub(super) fn request(&mut self) -> RequestId {
        RequestId::from_bytes(self.bytes())
    }

    /// Its last characters are the connection id's, as captured events have it.
    pub(super) fn message(&mut self) -> RequestId {
        let mut bytes = self.bytes();
        let [.., a, b, c, d] = &mut bytes;
        [*a, *b, *c, *d] = self.tail;
        RequestId::from_bytes(bytes)
    }

    /// `X-Amzn-Trace-Id`: the time in seconds and 96 random bits, in hex.
    pub(super) fn trace(&mut self, epoch_ms: u64) -> String {
        let (high, low) = (self.next(), self.next() >> 32);
        format!("Root=1-{:08x}-{high:016x}{low:08x}", epoch_ms / 1000)
    }

    fn bytes(&mut self) -> [u8; 11] {
        let mut bytes = [0; 11];
        let random = self
            .next()
            .to_le_bytes()
            .into_iter()
            .chain(self.next().to_le_bytes());
        bytes
            .iter_mut()
            .zip(random)
            .for_each(|(to, from)| *to = from);
        bytes
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
