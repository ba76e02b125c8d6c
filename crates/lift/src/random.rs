//! Randomness for ids and jitter: nothing comes in, numbers that no one can foresee go out.

/// 64 random bits; falls back on a hash of the process's own seed where the system has none.
pub(crate) fn u64() -> u64 {
    getrandom::u64().unwrap_or_else(|error| {
        use std::hash::{BuildHasher, RandomState};
        tracing::error!(%error, "the system gave no randomness");
        RandomState::new().hash_one(())
    })
}

/// The random part of a ULID.
pub(crate) fn u80() -> u128 {
    (u128::from(u64()) << 16) | u128::from(u64() & 0xffff)
}
