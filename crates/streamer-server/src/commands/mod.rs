//! What the binary does, one command a file.

pub(crate) mod serve;
pub(crate) mod demo;
pub(crate) mod salvage;
pub(crate) mod generate_csv;
