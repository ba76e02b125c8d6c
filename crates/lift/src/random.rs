//! Randomness for ids and jitter: nothing comes in, numbers that no one can foresee go out.

use std::cell::RefCell;

/// Numbers that a thread asks the system for at a time: each call is a system call.
const AT_ONCE: usize = 64;

thread_local! {
    /// Those that nobody has got yet.
    static LEFT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// 64 random bits; falls back on a hash of the process's own seed where the system has none.
pub(crate) fn u64() -> u64 {
    #[cfg(feature = "test-util")]
    if let Some(number) = seeded::next() {
        return number;
    }
    LEFT.with_borrow_mut(next).unwrap_or_else(|error| {
        use std::hash::{BuildHasher, RandomState};
        tracing::error!(%error, "the system gave no randomness");
        RandomState::new().hash_one(())
    })
}

fn next(left: &mut Vec<u64>) -> Result<u64, getrandom::Error> {
    if let Some(number) = left.pop() {
        return Ok(number);
    }
    let mut bytes = [0; AT_ONCE * size_of::<u64>()];
    getrandom::fill(&mut bytes)?;
    let (numbers, _) = bytes.as_chunks();
    left.extend(numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)));
    left.pop().map_or_else(getrandom::u64, Ok)
}

/// The random part of a ULID.
pub(crate) fn u80() -> u128 {
    (u128::from(u64()) << 16) | u128::from(u64() & 0xffff)
}

#[cfg(feature = "test-util")]
pub use seeded::seed_this_thread;

#[cfg(feature = "test-util")]
mod seeded {
    use std::cell::Cell;

    thread_local! {
        static NEXT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Makes the numbers of this thread the same in every run: a simulation that failed must fail
    /// again. Never for a program that serves anyone.
    pub fn seed_this_thread(seed: u64) {
        NEXT.set(Some(seed));
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    pub(super) fn next() -> Option<u64> {
        let state = NEXT.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
        NEXT.set(Some(state));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    }
}
