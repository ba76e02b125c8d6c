//! The actions that are answered at once, one a file.

pub(crate) mod echo;
pub(crate) mod health;
