//! Processes that die and disks that fail under load: a child writes and says what was answered, and
//! afterwards every answer must hold.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod child;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod faults;
