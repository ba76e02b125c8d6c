//! In: a transition. Out: one conditional update that is right wherever its condition holds. Pure.
//!
//! The rules are [`apply`](lift::task::transition::apply)'s. A condition here is sufficient for its
//! update and may fail where the rules would allow the transition: what fails is decided by the rules,
//! on the image that the failure brings.

use std::collections::BTreeMap;

use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::record::{ATTACHED_KEPT_MAX, Key, Outcome, SEQ_PER_CLAIM, State, Terminal};
use lift::task::transition::Transition;

use super::{head, layout};
use crate::dynamodb::call::{Call, Image};
use crate::dynamodb::item::{Item, Value};

/// Names that expressions may not say as they are (Developer Guide, "Reserved words").
const RESERVED: [&str; 2] = ["row", "ttl"];

/// An update under a condition.
#[derive(Debug, Default)]
pub(super) struct Change {
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: BTreeMap<String, String>,
    values: Item,
}

/// The update for a transition; `token` marks it, so that whoever lost its answer knows it again.
pub(super) fn of(
    key: &Key,
    transition: &Transition,
    now: Timestamp,
    token: &str,
) -> Result<Change, StoreError> {
    let change = Change::default();
    let change = match transition {
        Transition::Claim { lease } => change
            .value("queued", head::state(State::Queued))
            .value("retrying", head::state(State::Retrying))
            .value("now", head::moment(now))
            .when("st IN (:queued, :retrying) AND due_at <= :now")
            .set("st", head::state(State::Running))
            .add("cl")
            .set("claimed", head::moment(now))
            .set("renewed", head::moment(now))
            .to("started", "if_not_exists(started, :now)")
            .due(key, now + *lease),
        Transition::Renew {
            claim,
            lease,
            progress,
            checkpoint,
        } => {
            let mut change = change.of_claim(*claim);
            if let Some(progress) = progress {
                change = change.set("progress", head::json(progress)?);
            }
            if let Some(checkpoint) = checkpoint {
                change = change
                    .set("ckpt", Value::text(checkpoint.get()))
                    .set("ckpt_at", head::moment(now))
                    .set("row", Value::number(0_u64));
            }
            let change = change.set("renewed", head::moment(now));
            change.due(key, now + *lease)
        }
        Transition::Commit { claim, lease } => change
            .of_claim(*claim)
            .value("now", head::moment(now))
            .when("(attribute_exists(committed) OR (attribute_not_exists(cancel) AND deadline > :now))")
            .set("committed", Value::Bool(true))
            .set("renewed", head::moment(now))
            .due(key, now + *lease),
        Transition::GiveBack { claim } => change
            .of_claim(*claim)
            .set("st", head::state(State::Queued))
            .due(key, now),
        Transition::Retry { claim, wait } => change
            .of_claim(*claim)
            .when("(attribute_exists(committed) OR deadline >= :due_at)")
            .set("st", head::state(State::Retrying))
            .add("fails")
            .due(key, now + *wait),
        Transition::Finish {
            claim, outcome, n, ..
        } => change
            .of_claim(*claim)
            .end(*claim, *n, outcome, now)?,
        Transition::Cancel => change
            .value("running", head::state(State::Running))
            .when("st = :running AND attribute_not_exists(committed)")
            .set("cancel", Value::Bool(true)),
        Transition::Attach { connection } => {
            let kept = u64::try_from(ATTACHED_KEPT_MAX).unwrap_or(u64::MAX);
            change
                .value("kept", Value::number(kept.saturating_sub(1)))
                .value("ids", Value::L(vec![Value::text(connection.as_str())]))
                .when("size(att) < :kept")
                .to("att", "list_append(att, :ids)")
        }
    };
    Ok(change.signed(token))
}

/// The update once its end was told: the index of due requests loses it.
pub(super) fn posted() -> Change {
    Change::default()
        .when("attribute_exists(term)")
        .add("v")
        .remove("due")
}

impl Change {
    /// The call that makes it.
    pub(super) fn call(self, call: Call) -> Call {
        let mut update = format!("SET {}", self.sets.join(", "));
        if !self.removes.is_empty() {
            update.push_str(" REMOVE ");
            update.push_str(&self.removes.join(", "));
        }
        Call {
            update_expression: Some(update),
            condition_expression: Some(self.conditions.join(" AND ")),
            expression_attribute_names: self.names,
            expression_attribute_values: self.values,
            return_values: Some(Image::New),
            ..call
        }
    }

    fn place(&mut self, name: &str) -> String {
        if !RESERVED.contains(&name) {
            return name.to_owned();
        }
        let place = format!("#{name}");
        self.names.insert(place.clone(), name.to_owned());
        place
    }

    fn value(mut self, name: &str, value: Value) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    fn when(mut self, condition: &str) -> Self {
        self.conditions.push(condition.to_owned());
        self
    }

    fn to(mut self, name: &str, expression: &str) -> Self {
        let place = self.place(name);
        self.sets.push(format!("{place} = {expression}"));
        self
    }

    fn set(self, name: &str, value: Value) -> Self {
        self.value(name, value).to(name, &format!(":{name}"))
    }

    fn add(self, name: &str) -> Self {
        let one = self.value("one", Value::number(1_u64));
        one.to(name, &format!("{name} + :one"))
    }

    fn remove(mut self, name: &str) -> Self {
        let place = self.place(name);
        self.removes.push(place);
        self
    }

    fn due(self, key: &Key, at: Timestamp) -> Self {
        self.set("due_at", head::moment(at))
            .set("due", Value::S(layout::due(at, key)))
    }

    fn of_claim(self, claim: u64) -> Self {
        self.value("running", head::state(State::Running))
            .value("claim", Value::number(claim))
            .when("st = :running AND cl = :claim")
    }

    fn end(
        mut self,
        claim: u64,
        n: u64,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let terminal = Terminal {
            seq: claim
                .saturating_sub(1)
                .saturating_mul(SEQ_PER_CLAIM)
                .saturating_add(n),
            outcome: outcome.clone(),
            at: now,
        };
        for (name, value) in head::ended(&terminal)? {
            self = self.set(&name, value);
        }
        Ok(self
            .set("st", head::state(outcome.state()))
            .to("ttl", "exp_s")
            .remove("due_at")
            .remove("due")
            .remove("ckpt"))
    }

    fn signed(self, token: &str) -> Self {
        self.set("w", Value::text(token)).when("w <> :w").add("v")
    }
}
