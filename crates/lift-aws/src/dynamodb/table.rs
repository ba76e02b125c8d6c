//! In: calls of one table. Out: their answers, failed conditions, or faults that name the table.

use std::sync::Arc;

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift_aws_client::dynamodb::{Client, Error};
use serde::Serialize;

use super::call::{Answer, Call, Image, Reason, TransactItem, Transaction};
use super::item::Item;
use super::moment::Moment;

/// A table and what it is for.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: Arc<str>,
    role: &'static str,
}

/// What became of a write with a condition.
#[derive(Debug)]
pub(crate) enum Written {
    /// It was written; the item's image, where the call asked for it.
    Done(Option<Item>),
    /// The condition failed on this item, or on nothing.
    Failed(Option<Item>),
}

/// What became of a transaction.
#[derive(Debug)]
pub(crate) enum Committed {
    /// All of it was written.
    Done,
    /// Nothing was; why not, for each item.
    Cancelled(Vec<Reason>),
}

/// A table that is not as `deploy/template.yaml` has it, or may not be used.
#[derive(Debug, thiserror::Error)]
#[error("the table of {role}, `{table}`, {wrong}")]
struct Unusable {
    table: Arc<str>,
    role: &'static str,
    wrong: &'static str,
    #[source]
    source: Error,
}

impl Table {
    pub(crate) fn new(client: Client, name: impl Into<Arc<str>>, role: &'static str) -> Self {
        let name = name.into();
        Self { client, name, role }
    }

    /// A moment that was just read from the clock of the table's client.
    pub(crate) fn moment(&self, now: Timestamp) -> Moment<'_> {
        Moment::new(now, self.client.clock())
    }

    /// A call with nothing but the table's name.
    pub(crate) fn call(&self) -> Call {
        Call {
            table_name: Arc::clone(&self.name),
            ..Call::default()
        }
    }

    /// Makes a call that has no condition.
    pub(crate) async fn send(&self, operation: &str, call: &Call) -> Result<Answer, StoreError> {
        let answered = self.answer(operation, call).await;
        answered.map_err(|error| self.fault(error))
    }

    /// Makes a write that has a condition.
    pub(crate) async fn write(
        &self,
        operation: &str,
        mut call: Call,
    ) -> Result<Written, StoreError> {
        call.return_values_on_condition_check_failure = Some(Image::Old);
        match self.answer(operation, &call).await {
            Ok(answer) => Ok(Written::Done(answer.attributes)),
            Err(error) if error.is("ConditionalCheckFailedException") => {
                Ok(Written::Failed(self.refused(error)?.item))
            }
            Err(error) => Err(self.fault(error)),
        }
    }

    /// Puts several items, each under its condition.
    pub(crate) async fn put_all(&self, puts: Vec<Call>) -> Result<Committed, StoreError> {
        let transact_items = puts.into_iter().map(|mut put| {
            put.return_values_on_condition_check_failure = Some(Image::Old);
            TransactItem { put }
        });
        let transact_items = transact_items.collect();
        let call = Transaction { transact_items };
        match self.answer("TransactWriteItems", &call).await {
            Ok(_) => Ok(Committed::Done),
            Err(error) if error.is("TransactionCanceledException") && !error.is_passing() => {
                let reasons = reasons(&error)?;
                let known = |reason: &Reason| {
                    matches!(
                        reason.code.as_str(),
                        "None" | "ConditionalCheckFailed" | "TransactionConflict"
                    )
                };
                if reasons.iter().all(known) {
                    Ok(Committed::Cancelled(reasons))
                } else {
                    Err(self.fault(error))
                }
            }
            Err(error) => Err(self.fault(error)),
        }
    }

    async fn answer(&self, operation: &str, call: &impl Serialize) -> Result<Answer, Error> {
        let target = format!("DynamoDB_20120810.{operation}");
        let answer = self.client.call(&target, call).await?;
        serde_json::from_slice(&answer).map_err(|error| Error::malformed(&target, error))
    }

    fn refused(&self, error: Error) -> Result<Answer, StoreError> {
        match said(&error) {
            Ok(answer) => Ok(answer),
            Err(unread) => {
                tracing::error!(table = &*self.name, error = %unread, "a refusal cannot be read");
                Err(self.fault(error))
            }
        }
    }

    fn fault(&self, error: Error) -> StoreError {
        let kind = error.refusal().map(|refusal| refusal.kind.as_str());
        let wrong = match kind {
            Some("ResourceNotFoundException") => "is missing, or an index of it is",
            Some("ValidationException") => {
                "takes no such call: its keys and indexes must be those of the template, \
                 and an item has at most 400 KB"
            }
            Some("AccessDeniedException") => "may not be used with these credentials",
            _ if matches!(error, Error::Malformed { .. }) => return StoreError::corrupt(error),
            _ => return StoreError::unavailable(error),
        };
        StoreError::unavailable(Unusable {
            table: Arc::clone(&self.name),
            role: self.role,
            wrong,
            source: error,
        })
    }
}

fn said(error: &Error) -> Result<Answer, serde_json::Error> {
    let body = error.refusal().map(|refusal| &*refusal.body);
    serde_json::from_slice(body.unwrap_or_default())
}

fn reasons(error: &Error) -> Result<Vec<Reason>, StoreError> {
    let said = said(error).map_err(StoreError::corrupt)?;
    Ok(said.cancellation_reasons)
}
