//! Requests kept in DynamoDB: calls come in, durable answers go out.
//!
//! `docs/dynamodb-layout.md` has every item and attribute, and what a call costs.

mod layout;
mod head;
mod change;
mod bodies;
mod quota;
mod recent;
mod put;
mod apply;
mod find;
mod due;
mod purge;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::id::{Owner, TenantId};
use lift::json::Json;
use lift::task::record::{Idempotency, Key, NewTask, Record};
use lift::task::store::{
    ActivityPage, ActivityQuery, Due, ListQuery, Page, Put, Snapshots, TaskStore,
};
use lift::task::transition::{Applied, Transition};
use lift_aws_client::dynamodb::Client;

use crate::dynamodb::call::Call;
use crate::dynamodb::item::Item;
use crate::dynamodb::reader::Reader;
use crate::dynamodb::table::Table;
use bodies::Bodies;
pub use due::Waiting;
use quota::Quota;
use recent::Recent;

/// Payloads and expiries of claims that this process has just made: of more than it runs at once.
const CLAIMS_MAX: usize = 128;
/// Results that this process has just written.
const RESULTS_MAX: usize = 8;

/// The header of the trace that a request belongs to, if there is one.
pub type Trace = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A [`TaskStore`] in two tables of DynamoDB.
///
/// A transition is one conditional write wherever its condition holds; what a failed one brings is
/// decided by [`apply`](lift::task::transition::apply). A write whose answer was lost knows itself again when
/// it is repeated.
///
/// Reads of one request and of an owner's list are consistent; those of the indexes, which are
/// [`due`](TaskStore::due), [`waiting`](Self::waiting) and [`activity`](TaskStore::activity), lag by
/// what DynamoDB needs, mostly milliseconds.
pub struct DynamoTasks {
    heads: Table,
    bodies: Bodies,
    quota: Quota,
    tokens: Tokens,
    trace: Option<Trace>,
    inputs: Recent<Input>,
    expiries: Recent<Timestamp>,
    results: Recent<Json>,
}

/// Where a claimed request's payload is.
#[derive(Debug)]
enum Input {
    Inline(Json),
    Beside,
}

impl DynamoTasks {
    /// A store in these tables, whose keys and indexes are those of `RequestsTable` and `BodiesTable` in
    /// `deploy/template.yaml`.
    pub fn new(client: Client, requests: impl Into<String>, bodies: impl Into<String>) -> Self {
        let bodies = Table::new(client.clone(), bodies.into(), "bodies");
        Self {
            heads: Table::new(client, requests.into(), "requests"),
            bodies: Bodies(bodies),
            quota: Quota::default(),
            tokens: Tokens::new(),
            trace: None,
            inputs: Recent::new(CLAIMS_MAX),
            expiries: Recent::new(CLAIMS_MAX),
            results: Recent::new(RESULTS_MAX),
        }
    }

    /// Keeps with each request what `trace` says while it is put: the `X-Amzn-Trace-Id` that whoever runs
    /// it goes on with.
    #[must_use]
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The item of a request, or some attributes of it.
    async fn image(
        &self,
        key: &Key,
        attributes: Option<&'static str>,
    ) -> Result<Option<Item>, StoreError> {
        let call = Call {
            key: Some(layout::head(key)),
            projection_expression: attributes,
            consistent_read: Some(true),
            ..self.heads.call()
        };
        Ok(self.heads.send("GetItem", &call).await?.item)
    }
}

impl fmt::Debug for DynamoTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoTasks")
            .field("heads", &self.heads)
            .field("bodies", &self.bodies)
            .finish_non_exhaustive()
    }
}

/// Marks that no two writes have in common.
#[derive(Debug)]
struct Tokens {
    process: u64,
    next: AtomicU64,
}

impl Tokens {
    fn new() -> Self {
        let process = getrandom::u64().expect("the system has random numbers");
        Self {
            process,
            next: AtomicU64::new(0),
        }
    }

    fn next(&self) -> String {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{next:x}", self.process)
    }
}

#[async_trait]
impl TaskStore for DynamoTasks {
    /// A task that says how far it is ten times a second would cost ten writes.
    fn snapshots(&self) -> Snapshots {
        Snapshots::WithLease
    }

    async fn put(&self, new: NewTask) -> Result<Put, StoreError> {
        self.put_new(&new).await
    }

    async fn find(
        &self,
        owner: &Owner,
        action: &str,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Put>, StoreError> {
        self.found(owner, action, idempotency, now).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let image = self.image(key, None).await?;
        image.as_ref().map(head::decode).transpose()
    }

    async fn input(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        match self.inputs.take(key) {
            Some(Input::Inline(input)) => return Ok(Some(input)),
            Some(Input::Beside) => return self.bodies.input(key).await,
            None => {}
        }
        let Some(image) = self.input_image(key).await? else {
            return Ok(None);
        };
        match Reader(&image).raw("in")? {
            Some(input) => Ok(Some(input)),
            None => self.bodies.input(key).await,
        }
    }

    async fn result(&self, key: &Key) -> Result<Option<Json>, StoreError> {
        match self.results.take(key) {
            Some(result) => Ok(Some(result)),
            None => self.bodies.result(key).await,
        }
    }

    async fn list(&self, owner: &Owner, query: &ListQuery) -> Result<Page, StoreError> {
        self.page(owner, query).await
    }

    async fn activity(
        &self,
        tenant: &TenantId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        self.activities(tenant, query).await
    }

    async fn apply(
        &self,
        key: &Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        self.transit(key, transition, now).await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.due_by(now, after, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.first_due().await
    }

    async fn purge(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.purge_by(now, limit).await
    }
}

impl DynamoTasks {
    async fn input_image(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        let call = Call {
            key: Some(layout::head(key)),
            projection_expression: Some("pk, sk, #in"),
            expression_attribute_names: BTreeMap::from([("#in".to_owned(), "in".to_owned())]),
            consistent_read: Some(true),
            ..self.heads.call()
        };
        Ok(self.heads.send("GetItem", &call).await?.item)
    }
}
