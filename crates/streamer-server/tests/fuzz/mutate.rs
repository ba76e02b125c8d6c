//! A seed and inputs come in; other inputs, near to them, go out: the same ones for the same seed.

use std::hash::{BuildHasher, RandomState};

/// Longest input that is made, in bytes.
const BYTES_MAX: usize = 8 * 1024;
/// What parsers look for.
const WORDS: [&[u8]; 16] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"\\u0000",
    b"18446744073709551616",
    b"\xff",
    b"\xf0\x9f\x92\xa9",
    b"\0\0\0\0",
];

/// A seed that differs from run to run.
pub(crate) fn any_seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// Throws of dice (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.throw() % end).unwrap()
    }

    /// One of the inputs, changed in one to eight places.
    pub(crate) fn mutated(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut data = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut data, inputs);
        }
        data.truncate(BYTES_MAX);
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(data.len() + 1);
        let end = at + self.below((data.len() - at).min(32) + 1);
        match self.below(6) {
            0 => _ = data.drain(at..end),
            1 => {
                let word = WORDS[self.below(WORDS.len())];
                data.splice(at..at, word.iter().copied());
            }
            2 => {
                let copied = data[at..end].to_vec();
                data.splice(at..at, copied);
            }
            3 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                data.splice(at.., other[from..].iter().copied());
            }
            _ if at < data.len() => data[at] ^= 1 << self.below(8),
            _ => data.push(self.throw().to_le_bytes()[0]),
        }
    }
}
