//! What a command works with comes in, what it does goes out to stdout, stderr and the network.

pub(crate) mod dev;
pub(crate) mod ws;
mod conversation;
mod plain;
mod person;
mod texts;
mod job;
pub(crate) mod smoke;
pub(crate) mod cost;
pub(crate) mod load;

pub(crate) mod report;
pub(crate) mod token;
pub(crate) mod store;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod pages;
