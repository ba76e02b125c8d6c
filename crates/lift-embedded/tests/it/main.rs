//! What the embedded store promises: on every call, across openings, and where its files are damaged.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
#[path = "../../../../tests/small-disk/tmpfs.rs"]
mod tmpfs;

#[cfg(test)]
mod steps;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod reopen;
#[cfg(test)]
mod refuse;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod upkeep;
