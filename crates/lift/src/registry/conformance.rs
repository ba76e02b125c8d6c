//! One suite for every [`Registry`](super::Registry).
