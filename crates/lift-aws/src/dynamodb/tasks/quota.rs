//! In: an owner that wants to put a request. Out: leave to do so, or that too many of theirs wait.
//!
//! Counting an owner's requests reads them, so that not every put counts: a tenth of what may wait is
//! put between two counts. Within one process no put passes another's count; each further process that
//! puts for the same owner may add a tenth.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lift::error::StoreError;
use lift::id::Owner;
use lift::task::record::State;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::{head, layout};
use crate::dynamodb::call::{Call, Select};
use crate::dynamodb::item::{Value, item};
use crate::dynamodb::table::Table;

/// Owners that are kept track of; with more, all are forgotten, as by a new process.
const OWNERS_MAX: usize = 4_096;
/// Part of `queued_max` that is put between two counts.
const UNCOUNTED_PART: usize = 10;
/// Pages of an owner's newest requests, 1 MB each, that a count reads.
const PAGES_MAX: usize = 8;

/// How many more an owner may put before the next count; puts hold it for reading, counts for writing.
type Left = Arc<RwLock<AtomicUsize>>;

/// What owners may put.
#[derive(Debug, Default)]
pub(super) struct Quota(Mutex<HashMap<Owner, Left>>);

/// Leave to put one request, kept until the put has its answer: a count waits for it.
#[derive(Debug)]
pub(super) struct Leave(
    #[expect(dead_code, reason = "dropping it is what counts wait for")]
    OwnedRwLockReadGuard<AtomicUsize>,
);

impl Quota {
    /// Leave to put one, unless `queued_max` wait.
    pub(super) async fn ask(
        &self,
        heads: &Table,
        owner: &Owner,
        queued_max: usize,
    ) -> Result<Option<Leave>, StoreError> {
        let uncounted = queued_max / UNCOUNTED_PART;
        let left = self.of(owner, uncounted);
        if uncounted > 0 {
            let left = Arc::clone(&left).read_owned().await;
            if take(&left) {
                return Ok(Some(Leave(left)));
            }
        }
        let left = left.write_owned().await;
        if uncounted > 0 && take(&left) {
            // Another has counted meanwhile.
            return Ok(Some(Leave(left.downgrade())));
        }
        let waiting = count(heads, owner, queued_max).await?;
        let room = queued_max.saturating_sub(waiting);
        if room == 0 {
            return Ok(None);
        }
        let more = uncounted.min(room).saturating_sub(1);
        left.store(more, Ordering::Relaxed);
        Ok(Some(Leave(left.downgrade())))
    }

    fn of(&self, owner: &Owner, uncounted: usize) -> Left {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = owners.get(owner) {
            return Arc::clone(left);
        }
        if owners.len() >= OWNERS_MAX {
            owners.clear();
        }
        let left = Left::new(RwLock::new(AtomicUsize::new(uncounted)));
        owners.insert(owner.clone(), Arc::clone(&left));
        left
    }
}

fn take(left: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_ok()
}

/// How many of an owner's newest requests wait; it stops once `enough` do.
async fn count(heads: &Table, owner: &Owner, enough: usize) -> Result<usize, StoreError> {
    let mut call = Call {
        key_condition_expression: Some("pk = :pk AND sk < :ids"),
        filter_expression: Some("st IN (:queued, :retrying)"),
        expression_attribute_values: item([
            (":pk", Some(Value::text(owner.to_string()))),
            (":ids", Some(Value::text(layout::BEHIND_IDS))),
            (":queued", Some(head::state(State::Queued))),
            (":retrying", Some(head::state(State::Retrying))),
        ]),
        consistent_read: Some(true),
        scan_index_forward: Some(false),
        select: Some(Select::Count),
        ..heads.call()
    };
    let mut waiting = 0;
    for _ in 0..PAGES_MAX {
        let answer = heads.send("Query", &call).await?;
        waiting += answer.count;
        call.exclusive_start_key = answer.last_evaluated_key;
        if waiting >= enough || call.exclusive_start_key.is_none() {
            break;
        }
    }
    Ok(waiting)
}
