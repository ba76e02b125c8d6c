//! One claim of a bulk operation comes in; its outcomes are published and its counts go out.

use std::time::Duration;

use object_store::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::batch::{Applied, Batch, Position, Target};
use super::lines::{Lines, Place};
use super::request::{Asked, BulkOperation, Changes};
use super::rule::{Change, Counts};
use super::store::Collections;
use crate::objects::{Objects, Tenant, WorkId};
use crate::tasks::claim::{Ended, Flow, Hooks, Job, percentage};
use crate::tasks::failure::Failure;
use crate::tasks::work::{self, Publication, Work};

/// Tenths of a percent at which all changes are applied.
const APPLIED: u32 = 950;

/// The limits of `bulk_operation` and the pace of its checkpoints, each by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Most changes of a request (100,000).
    pub items_max: u64,
    /// Largest input object, in bytes (1 GiB): its lines are counted before the first is applied.
    pub input_bytes_max: u64,
    /// Longest record, in bytes of its JSON text (64 KiB).
    pub record_bytes_max: usize,
    /// Most records of a collection (1,000,000).
    pub records_max: u64,
    /// Most collections of a tenant (100).
    pub collections_max: usize,
    /// Most changes that are applied with one write (500).
    pub batch_items: usize,
    /// Bytes of records after which a batch takes no more changes (4 MiB).
    pub batch_bytes: usize,
    /// Time between two checkpoints (1 s). They say that the request moves; the place itself is with the records.
    pub checkpoint_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            items_max: 100_000,
            input_bytes_max: 1 << 30,
            record_bytes_max: 64 << 10,
            records_max: 1_000_000,
            collections_max: 100,
            batch_items: 500,
            batch_bytes: 4 << 20,
            checkpoint_every: Duration::from_secs(1),
        }
    }
}

/// How many changes are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// So many, at least.
    pub items: u64,
}

/// What a finished request says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BulkOperationResult")]
pub struct Outcome {
    /// The collection.
    pub collection: String,
    /// How many changes there were.
    pub items: u64,
    /// What they came to.
    #[serde(flatten)]
    pub counts: Counts,
    /// The name of the object with an outcome for each.
    pub output: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Applies changes to one place of collections, from and to one place of objects.
#[derive(Debug, Clone)]
pub struct Bulk {
    objects: Objects,
    collections: Collections,
    options: Options,
}

/// Where the changes come from.
enum Source<'a> {
    Inline(&'a [super::Item]),
    Lines(Lines<'a>),
}

impl Source<'_> {
    /// The next changes, none at the end.
    async fn batch(&mut self, from: Place, options: &Options) -> Result<Option<Batch>, Failure> {
        let (mut changes, mut bytes, mut next) = (Vec::new(), 0, from);
        while changes.len() < options.batch_items.max(1) && bytes < options.batch_bytes.max(1) {
            let change = match self {
                Self::Lines(lines) => lines.change(options).await?,
                Self::Inline(items) => {
                    let at = usize::try_from(next.items).unwrap_or(usize::MAX);
                    items.get(at).map(|item| Change {
                        number: next.items + 1,
                        line: None,
                        item: Ok(item.clone()),
                    })
                }
            };
            let Some(change) = change else { break };
            let record = change
                .item
                .as_ref()
                .ok()
                .and_then(|item| item.record.as_ref());
            bytes += record.map_or(0, |record| record.get().len());
            next = match self {
                Self::Lines(lines) => lines.next,
                Self::Inline(_) => Place {
                    items: next.items + 1,
                    ..next
                },
            };
            changes.push(change);
        }
        Ok((!changes.is_empty()).then_some(Batch { changes, next }))
    }
}

impl Bulk {
    /// Over `collections` and `objects`, within `options` and the batches that the collections take.
    #[must_use]
    pub fn new(objects: Objects, collections: Collections, mut options: Options) -> Self {
        let most = collections.store.batch_max();
        options.batch_items = options.batch_items.min(most.items);
        options.batch_bytes = options.batch_bytes.min(most.bytes);
        Self {
            objects,
            collections,
            options,
        }
    }

    /// Checks a request before it is acknowledged; nothing is written or reserved.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for badly shaped names and items; [`Failure::NotFound`] without the input;
    /// [`Failure::Conflict`] where the output exists unless it may be replaced, or is being written.
    pub async fn precheck(&self, tenant: &Tenant, request: &BulkOperation) -> Result<(), Failure> {
        let asked = Asked::of(request, &self.options)?;
        self.input(tenant, &asked).await?;
        let overwrite = request.output.overwrite;
        work::precheck_output(&self.objects, tenant, &asked.output, overwrite).await
    }

    /// Runs a claim to its end, from where earlier claims came.
    ///
    /// # Errors
    /// [`Failure`] by what its caller can do; only [`Failure::Storage`] is worth another try.
    pub async fn run<H: Hooks<Checkpoint>>(
        &self,
        job: &Job<BulkOperation>,
        hooks: &mut H,
    ) -> Result<Ended<Outcome>, Failure> {
        let asked = Asked::of(&job.request, &self.options)?;
        let work = Work {
            objects: &self.objects,
            id: &job.request_id,
            claim: job.claim,
        };
        let overwrite = job.request.output.overwrite;
        let begun = work.begin(&job.tenant, &asked.output, overwrite, hooks);
        if let Some(ended) = begun.await? {
            return Ok(ended);
        }
        let input = self.input(&job.tenant, &asked).await?;
        let Some(position) = self.begin(job, &asked, input.as_ref()).await? else {
            return Ok(Ended::Stopped);
        };
        let source = match (&asked.changes, &input) {
            (Changes::Object(name), Some(input)) => {
                let (objects, next) = (&self.objects, position.next);
                Source::Lines(Lines::new(objects, input, name, next, &self.options))
            }
            (Changes::Inline(items), _) => Source::Inline(items),
            (Changes::Object(name), None) => return Err(Failure::NotFound(name.clone())),
        };
        let Some(position) = self.apply(job, source, position, hooks).await? else {
            return Ok(Ended::Stopped);
        };
        let mut staging = work.stage()?;
        for n in 0..position.chunks {
            let outcomes = self.collections.store.outcomes(&job.request_id, n).await?;
            staging.write(&outcomes).await?;
            let (done, all) = (u64::from(n), u64::from(position.chunks));
            let percentage = percentage(APPLIED, 1000, done, all);
            if hooks.progress(percentage, "publishing the outcomes").await == Flow::Stop {
                staging.abort().await?;
                return Ok(Ended::Stopped);
            }
        }
        let publication = Publication {
            outcome: Outcome {
                collection: asked.collection.to_owned(),
                items: position.items,
                counts: position.counts,
                output: asked.output.as_str().to_owned(),
                bytes: staging.bytes,
            },
            staged: staging.finish().await?,
            overwrite,
        };
        work.finish(publication, &job.tenant, &asked.output, hooks)
            .await
    }

    /// Forgets what a request that ended kept for its claims; what it changed stays. Does nothing twice.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub async fn abandon(&self, request_id: &WorkId) -> Result<(), Failure> {
        // First: a start finds what a death of the process left by the folder of work.
        self.collections.store.forget(request_id).await?;
        work::abandon(&self.objects, request_id).await
    }

    async fn input(
        &self,
        tenant: &Tenant,
        asked: &Asked<'_>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        match &asked.changes {
            Changes::Inline(_) => Ok(None),
            Changes::Object(name) => {
                let input = work::input(&self.objects, tenant, name).await?;
                let max = self.options.input_bytes_max;
                if input.size > max {
                    return Err(limit("input_bytes_max", max));
                }
                Ok(Some(input))
            }
        }
    }

    /// Takes the request for this claim; none where a later one has it.
    async fn begin(
        &self,
        job: &Job<BulkOperation>,
        asked: &Asked<'_>,
        input: Option<&ObjectMeta>,
    ) -> Result<Option<Position>, Failure> {
        let (store, id) = (&self.collections.store, &job.request_id);
        let version = input.map(|input| self.objects.version(input));
        let items = match (&asked.changes, input) {
            (Changes::Inline(items), _) => items.len() as u64,
            (Changes::Object(name), None) => return Err(Failure::NotFound(name.clone())),
            (Changes::Object(name), Some(input)) => match store.position(id).await? {
                Some(known) => known.items,
                None => {
                    let (objects, options) = (&self.objects, &self.options);
                    let lines = Lines::new(objects, input, name, Place::START, options);
                    lines.count(self.options.items_max).await?
                }
            },
        };
        if items > self.options.items_max {
            return Err(limit("items_max", self.options.items_max));
        }
        let position = Position {
            claim: job.claim,
            next: Place::START,
            items,
            input: version.clone(),
            counts: Counts::default(),
            chunks: 0,
        };
        match (store.take(id, position).await?, &asked.changes) {
            (Some(taken), Changes::Object(name)) if taken.input != version => {
                Err(Failure::InputChanged(name.clone()))
            }
            (taken, _) => Ok(taken),
        }
    }

    /// Applies all that is left; none where a hook said stop or a later claim has the request.
    async fn apply<H: Hooks<Checkpoint>>(
        &self,
        job: &Job<BulkOperation>,
        mut source: Source<'_>,
        mut position: Position,
        hooks: &mut H,
    ) -> Result<Option<Position>, Failure> {
        let mut checkpoint_at = Instant::now() + self.options.checkpoint_every;
        let target = Target {
            tenant: job.tenant.clone(),
            collection: job.request.collection.clone(),
        };
        while let Some(batch) = source.batch(position.next, &self.options).await? {
            let (store, id) = (&self.collections.store, &job.request_id);
            let applied = store.apply(&target, id, &position, batch, &self.options);
            position = match applied.await? {
                Applied::Done(position) => position,
                Applied::Fenced => return Ok(None),
            };
            let done = position.next.items;
            let percentage = percentage(0, APPLIED, done, position.items);
            let message = format!("{done} of {} changes applied", position.items);
            let mut flow = hooks.progress(percentage, &message).await;
            if flow == Flow::Continue && Instant::now() >= checkpoint_at {
                flow = hooks.checkpoint(&Checkpoint { items: done }).await;
                checkpoint_at = Instant::now() + self.options.checkpoint_every;
            }
            if flow == Flow::Stop {
                return Ok(None);
            }
        }
        Ok(Some(position))
    }
}

fn limit(limit: &'static str, max: u64) -> Failure {
    Failure::Limit {
        limit,
        max,
        pointer: Some("/payload/input".to_owned()),
        line: None,
    }
}
