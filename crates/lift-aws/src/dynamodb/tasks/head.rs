//! In: records. Out: the items that keep them, and back.

use std::time::Duration;

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::record::{NewTask, Outcome, Record, State, Terminal};
use lift::task::store::Activity;
use serde::{Deserialize, Serialize};

use super::layout;
use crate::dynamodb::item::{Item, Value, item};
use crate::dynamodb::reader::{MISSING, Reader, Undecodable};

/// How long whoever cancelled a waiting request has to tell of it, before the sweeper does.
pub(super) const POSTED_WITHIN: Duration = Duration::from_secs(15);

/// Attributes that a later state may lack.
const PASSING: [&str; 12] = [
    "progress",
    "ckpt",
    "cancel",
    "committed",
    "started",
    "due_at",
    "due",
    "term",
    "ended",
    "failed",
    "ttl",
    "w",
];

/// What never changes and nothing looks for.
#[derive(Serialize, Deserialize)]
struct Fixed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    metadata: std::collections::BTreeMap<String, String>,
}

/// The item of a request that nobody has claimed yet; its payload comes to it or lies beside it.
pub(super) fn of_new(new: &NewTask, record: &Record) -> Result<Item, StoreError> {
    let fixed = Fixed {
        client_id: new.client_id.clone(),
        metadata: new.metadata.clone(),
    };
    let Activity { accepted, .. } = Activity::of(record);
    let tenant = &record.key.owner.tenant;
    let shard = layout::activity_shard(record.key.id);
    let mut head = layout::head(&record.key);
    head.extend(item([
        ("rec", Some(json(&fixed)?)),
        ("act", Some(Value::text(&record.action))),
        ("created", Some(moment(record.created_at))),
        ("deadline", Some(moment(record.deadline_at))),
        ("exp", Some(moment(record.expires_at))),
        ("exp_s", Some(layout::seconds(record.expires_at))),
        ("sh", Some(Value::text(layout::due_shard(record.key.id)))),
        ("ta", Some(Value::text(layout::tenant_shard(tenant, shard)))),
        ("acc", Some(Value::text(layout::accepted(&accepted)))),
        ("v", Some(Value::number(1_u64))),
    ]));
    head.extend(changing(record)?);
    Ok(head)
}

/// The item that follows on `image` once its request stands as `next` says.
pub(super) fn following(image: &Item, next: &Record) -> Result<Item, StoreError> {
    let before = read(image)?;
    let mut head = image.clone();
    let told_late = head.get("due").cloned();
    for name in PASSING {
        head.remove(name);
    }
    head.extend(changing(next)?);
    head.insert("v".to_owned(), Value::number(version(image)? + 1));
    let Some(terminal) = &next.terminal else {
        return Ok(head);
    };
    // One that waited was ended by its owner, whose process may die before it tells anybody.
    let due = match before.state {
        State::Queued | State::Retrying => Some(Value::S(layout::due(
            terminal.at + POSTED_WITHIN,
            &next.key,
        ))),
        State::Running => None,
        State::Completed | State::Failed | State::Cancelled => told_late,
    };
    head.extend(item([("due", due)]));
    Ok(head)
}

/// The image's version.
pub(super) fn version(image: &Item) -> Result<u64, StoreError> {
    Ok(Reader(image).number("v")?)
}

/// What says that a request ended, and how.
pub(super) fn ended(terminal: &Terminal) -> Result<Item, StoreError> {
    let failed = match &terminal.outcome {
        Outcome::Failed(error) => Some(name(&error.code)?),
        Outcome::Completed(_) | Outcome::Cancelled => None,
    };
    Ok(item([
        ("term", Some(json(terminal)?)),
        ("ended", Some(moment(terminal.at))),
        ("failed", failed),
    ]))
}

fn changing(record: &Record) -> Result<Item, StoreError> {
    let due = record.due_at;
    let progress = record.progress.as_ref().map(json).transpose()?;
    let attached = record.attached.iter();
    let attached = attached.map(|id| Value::text(id.as_str())).collect();
    let mut changing = item([
        ("st", Some(state(record.state))),
        ("cl", Some(Value::number(record.claim))),
        ("claimed", Some(moment(record.claimed_at))),
        ("renewed", Some(moment(record.renewed_at))),
        ("fails", Some(Value::number(record.failures))),
        ("lost", Some(Value::number(record.lost))),
        ("row", Some(Value::number(record.lost_in_a_row))),
        ("progress", progress),
        (
            "ckpt",
            record.checkpoint.as_ref().map(|at| Value::text(at.get())),
        ),
        ("ckpt_at", Some(moment(record.checkpoint_at))),
        (
            "cancel",
            record.cancel_requested.then_some(Value::Bool(true)),
        ),
        ("committed", record.committed.then_some(Value::Bool(true))),
        ("att", Some(Value::L(attached))),
        ("started", record.started_at.map(moment)),
        ("due_at", due.map(moment)),
        ("due", due.map(|at| Value::S(layout::due(at, &record.key)))),
    ]);
    if let Some(terminal) = &record.terminal {
        changing.extend(ended(terminal)?);
        changing.insert("ttl".to_owned(), layout::seconds(record.expires_at));
    }
    Ok(changing)
}

/// A state as text.
pub(super) fn state(state: State) -> Value {
    Value::text(match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Retrying => "retrying",
        State::Completed => "completed",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    })
}

/// One of a closed set of names, as text.
fn name(named: &impl Serialize) -> Result<Value, StoreError> {
    match serde_json::to_value(named).map_err(StoreError::corrupt)? {
        serde_json::Value::String(name) => Ok(Value::S(name)),
        _ => Err(StoreError::corrupt("a name that is no text")),
    }
}

/// A moment as a number.
pub(super) fn moment(at: Timestamp) -> Value {
    Value::number(at.as_millis())
}

/// A value as the text of its JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Value, StoreError> {
    let text = serde_json::to_string(value).map_err(StoreError::corrupt)?;
    Ok(Value::S(text))
}

/// The record of an item.
pub(super) fn decode(image: &Item) -> Result<Record, StoreError> {
    Ok(read(image)?)
}

fn read(image: &Item) -> Result<Record, Undecodable> {
    let reader = Reader(image);
    let fixed: Fixed = reader
        .json("rec")?
        .ok_or_else(|| reader.wrong("rec", MISSING))?;
    let key = layout::parse(reader.text("pk")?, reader.text("sk")?);
    Ok(Record {
        key: key.ok_or_else(|| reader.wrong("sk", "is no request's"))?,
        client_id: fixed.client_id,
        action: reader.text("act")?.to_owned(),
        metadata: fixed.metadata,
        state: reader.state()?,
        claim: reader.number("cl")?,
        claimed_at: reader.moment("claimed")?,
        renewed_at: reader.moment("renewed")?,
        // Known only where a store is one process's own.
        died_alone: false,
        failures: reader.number("fails")?,
        lost: reader.number("lost")?,
        lost_in_a_row: reader.number("row")?,
        progress: reader.json("progress")?,
        checkpoint: reader.raw("ckpt")?,
        checkpoint_at: reader.moment("ckpt_at")?,
        cancel_requested: reader.flag("cancel")?,
        committed: reader.flag("committed")?,
        attached: reader.connections()?,
        created_at: reader.moment("created")?,
        started_at: reader.moment_if_there("started")?,
        deadline_at: reader.moment("deadline")?,
        due_at: reader.moment_if_there("due_at")?,
        expires_at: reader.moment("exp")?,
        terminal: reader.json("term")?,
    })
}
