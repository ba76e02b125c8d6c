//! What the engines want of the place of records comes in; whichever place there is answers.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::batch::{Applied, Batch, Position, Target};
use super::engine::Options;
use crate::objects::{Tenant, WorkId};
use crate::tasks::failure::Failure;

/// The records of every tenant, and how far requests that change them are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Collections {
    pub(super) store: Arc<dyn Store>,
}

/// The most that one atomic write of a place takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchMax {
    pub(super) items: usize,
    /// Bytes of records, of all but the last one.
    pub(super) bytes: usize,
}

/// A place of records.
#[async_trait]
pub(super) trait Store: fmt::Debug + Send + Sync {
    fn batch_max(&self) -> BatchMax;

    /// How far a request is, if it has begun.
    async fn position(&self, id: &WorkId) -> Result<Option<Position>, Failure>;

    /// Takes a request for a claim: it begins at `begin`, or goes on where it is. None for a later claim's.
    async fn take(&self, id: &WorkId, begin: Position) -> Result<Option<Position>, Failure>;

    /// Applies the changes that follow the place `from` of a request: records, outcomes and the new place together.
    async fn apply(
        &self,
        target: &Target,
        id: &WorkId,
        from: &Position,
        batch: Batch,
        options: &Options,
    ) -> Result<Applied, Failure>;

    /// The nth row of a request's outcomes.
    async fn outcomes(&self, id: &WorkId, n: u32) -> Result<Vec<u8>, Failure>;

    /// Forgets how far a request is and its outcomes; what it changed stays. Does nothing twice.
    async fn forget(&self, id: &WorkId) -> Result<(), Failure>;

    async fn view(&self, target: Target) -> Result<Box<dyn Pages>, Failure>;
}

/// The records of a collection, a page at a time.
#[async_trait]
pub(super) trait Pages: fmt::Debug + Send {
    fn records(&self) -> u64;

    async fn next(&mut self, most: usize) -> Result<Page, Failure>;
}

/// The records of a collection as they were at one moment, in the order of their keys.
#[derive(Debug)]
pub struct View(Box<dyn Pages>);

/// What comes next in a view.
#[derive(Debug, PartialEq, Eq)]
pub enum Page {
    /// At least one record.
    Records(Vec<Record>),
    /// Nothing: the records that came are all, and of one moment.
    End,
    /// The collection was changed meanwhile: the records that came are of no one moment.
    Moved,
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Which change of the collection wrote it; no version is given out twice.
    pub version: u64,
    /// The JSON text, as it was sent.
    pub text: String,
}

impl Collections {
    /// A collection as it is at this moment.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub async fn view(&self, tenant: &Tenant, collection: &str) -> Result<View, Failure> {
        let target = Target {
            tenant: tenant.clone(),
            collection: collection.to_owned(),
        };
        Ok(View(self.store.view(target).await?))
    }
}

impl View {
    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.records()
    }

    /// The next records, at most so many.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub async fn next(&mut self, most: usize) -> Result<Page, Failure> {
        self.0.next(most).await
    }
}
