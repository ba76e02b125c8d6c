//! A list of changes to a collection comes in; they are applied, each once, and an object says what became of each.
//!
//! A collection is a tenant's: JSON objects by key. Changes are applied in their order and one by one: one that cannot be
//! applied is an outcome, not the end. `docs/bulk-operation.md` has the rules.
//!
//! # Interruption
//! [`Collections`] writes the effects of some changes, their outcomes and how far the request is in one atomic batch that is
//! durable before anything is said of it. A later claim reads how far the request is from the same place, so that no
//! change is applied twice or left out, whenever the process died.

mod request;
mod rule;
mod lines;
mod batch;
mod store;
#[cfg(feature = "embedded")]
mod embedded;
#[cfg(feature = "lambda")]
mod dynamodb;
mod engine;

#[cfg(feature = "embedded")]
pub use embedded::OpenError;
pub use engine::{Bulk, Checkpoint, Options, Outcome};
pub(super) use request::checked_collection;
pub use request::{BulkOperation, COLLECTION_BYTES_MAX, Item, KEY_BYTES_MAX, Op};
pub use rule::Counts;
pub use store::{Collections, Page, Record, View};
