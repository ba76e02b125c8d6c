//! In: the crate's public edges. Out: whether they behave.

mod lambda;
mod template;
