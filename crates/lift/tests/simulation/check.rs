//! What happened in a run comes in; every promise of the protocol that it broke goes out.

use std::collections::{BTreeMap, BTreeSet};

use lift::limits::Limits;
use lift::task::record::{Outcome, Record, SEQ_PER_CLAIM, State};
use serde_json::Value;

use crate::ledger::{Acknowledged, Posted};
use crate::store::{everything, word};
use crate::world::{World, owner};

pub(crate) async fn all(world: &World) {
    let mut records = everything(world.truth(), &owner(0)).await;
    records.extend(everything(world.truth(), &owner(2)).await);
    let mut broken = Vec::new();
    {
        let facts = world.ledger.facts();
        every_request_ended_once(&records, &facts.ended, &mut broken);
        nothing_acknowledged_is_lost(&records, &facts.acknowledged, &mut broken);
        one_key_is_one_request(&records, &facts.acknowledged, &mut broken);
        one_seq_is_one_content(&facts.posted, &facts.shown, &mut broken);
        progress_is_below_the_end_and_never_goes_down(&records, &facts.posted, &mut broken);
        outcomes_have_a_reason(&records, &facts.cancels, &mut broken);
        what_took_effect_was_not_stopped(&records, &facts.effects, &mut broken);
        attempts_are_bounded(&records, &facts.failures, &mut broken);
        let unposted: &[_] = if world.plan.jumps {
            &facts.unposted
        } else {
            &[]
        };
        nobody_doubts_for_nothing(&facts.doubted, unposted, &mut broken);
        let resumed = &facts.resumed;
        the_attached_heard_the_end(world, &records, &facts.posted, resumed, &mut broken);
    }
    for violation in broken {
        world.ledger.broken(violation);
    }
}

fn id(record: &Record) -> String {
    record.key.id.to_string()
}

fn every_request_ended_once(
    records: &[Record],
    ended: &[(lift::task::record::Key, lift::task::record::Terminal)],
    broken: &mut Vec<String>,
) {
    for record in records {
        let ends: Vec<_> = ended.iter().filter(|(key, _)| *key == record.key).collect();
        match (&record.terminal, ends.as_slice()) {
            (Some(terminal), [(_, end)]) if terminal == end => {}
            (None, _) => broken.push(format!("{} is {}", id(record), word(record.state))),
            (Some(_), ends) => broken.push(format!("{} ended {} times", id(record), ends.len())),
        }
        if record.due_at.is_some() {
            broken.push(format!("{} ended and is due", id(record)));
        }
    }
}

fn nothing_acknowledged_is_lost(
    records: &[Record],
    acknowledged: &[Acknowledged],
    broken: &mut Vec<String>,
) {
    let stored: BTreeSet<String> = records.iter().map(id).collect();
    for one in acknowledged {
        if !stored.contains(&one.request_id) {
            broken.push(format!(
                "{} was acknowledged and is not stored",
                one.request_id
            ));
        }
    }
}

fn one_key_is_one_request(
    records: &[Record],
    acknowledged: &[Acknowledged],
    broken: &mut Vec<String>,
) {
    let mut by_key: BTreeMap<(usize, &str), BTreeSet<&str>> = BTreeMap::new();
    for one in acknowledged {
        let ids = by_key.entry((one.client, &one.key)).or_default();
        ids.insert(&one.request_id);
    }
    for ((_, key), ids) in &by_key {
        if ids.len() != 1 {
            broken.push(format!("the key {key} names {ids:?}"));
        }
    }
    // Every submission has a key and is acknowledged in the end.
    if by_key.len() != records.len() {
        let (keys, stored) = (by_key.len(), records.len());
        broken.push(format!("{keys} keys are {stored} requests"));
    }
}

fn seq_of(message: &Value) -> Option<(String, u64)> {
    let request_id = message["request_id"].as_str()?.to_owned();
    Some((request_id, message["seq"].as_u64()?))
}

fn one_seq_is_one_content(
    posted: &[Posted],
    shown: &[(String, u64, f64, String)],
    broken: &mut Vec<String>,
) {
    let mut contents: BTreeMap<(String, u64), &Value> = BTreeMap::new();
    for Posted { message, .. } in posted {
        let Some(seq) = seq_of(message) else {
            broken.push(format!("{message} is about no request"));
            continue;
        };
        let first = contents.entry(seq).or_insert(message);
        if **first != *message {
            broken.push(format!("one seq is {first} and {message}"));
        }
    }
    for (request_id, seq, percentage, text) in shown {
        let Some(message) = contents.get(&(request_id.clone(), *seq)) else {
            continue;
        };
        if message["percentage"] != *percentage || message["message"] != **text {
            broken.push(format!("{message} was shown as {percentage} % {text}"));
        }
    }
}

fn progress_is_below_the_end_and_never_goes_down(
    records: &[Record],
    posted: &[Posted],
    broken: &mut Vec<String>,
) {
    for record in records {
        let id = id(record);
        let mut by_seq: BTreeMap<u64, &Value> = BTreeMap::new();
        for Posted { message, .. } in posted {
            if let Some((of, seq)) = seq_of(message)
                && of == id
            {
                by_seq.insert(seq, message);
            }
        }
        let Some(terminal) = &record.terminal else {
            continue;
        };
        let mut highest = 0.0;
        for (seq, message) in &by_seq {
            let claim = seq / SEQ_PER_CLAIM + 1;
            if *seq > terminal.seq || claim > record.claim + 1 {
                broken.push(format!("{message} is above the end, {}", terminal.seq));
            }
            match message["percentage"].as_f64() {
                Some(percentage) if percentage < highest => {
                    broken.push(format!("{message} is below {highest} %"));
                }
                Some(percentage) => highest = percentage,
                None if *seq != terminal.seq => {
                    broken.push(format!("{message} is an end that was not recorded"));
                }
                None => {}
            }
        }
        let stored = record.progress.as_ref();
        if stored.is_some_and(|progress| progress.seq >= terminal.seq) {
            broken.push(format!("{id} keeps progress that is not below its end"));
        }
    }
}

fn outcomes_have_a_reason(records: &[Record], cancels: &[String], broken: &mut Vec<String>) {
    for record in records {
        let id = id(record);
        let reason = match record.terminal.as_ref().map(|end| &end.outcome) {
            Some(Outcome::Cancelled) => cancels.contains(&id),
            Some(Outcome::Failed(error)) => match error.code.as_str() {
                "TIMEOUT" => record.deadline_at.since(record.created_at).as_secs() < 3_600,
                "TASK_FAILED" => record.failures == 2 || record.lost_in_a_row >= 5,
                _ => false,
            },
            Some(Outcome::Completed(_)) => record.state == State::Completed,
            None => true,
        };
        if !reason {
            broken.push(format!(
                "{id} ended without a reason: {:?}",
                record.terminal
            ));
        }
    }
}

fn what_took_effect_was_not_stopped(
    records: &[Record],
    effects: &[String],
    broken: &mut Vec<String>,
) {
    for record in records {
        let stopped = match record.terminal.as_ref().map(|end| &end.outcome) {
            Some(Outcome::Cancelled) => true,
            Some(Outcome::Failed(error)) => error.code.as_str() == "TIMEOUT",
            Some(Outcome::Completed(_)) | None => false,
        };
        if stopped && effects.contains(&id(record)) {
            broken.push(format!("{} took effect and was stopped", id(record)));
        }
    }
}

/// A failure that was not written (the worker died, or was fenced) is not counted, so that the
/// handler may fail more often than the record says.
fn attempts_are_bounded(records: &[Record], failures: &[String], broken: &mut Vec<String>) {
    let limits = Limits::default();
    for record in records {
        let id = id(record);
        if record.failures >= limits.tries || record.lost > record.claim as u32 {
            broken.push(format!(
                "{id}: {} failures, {} lost",
                record.failures, record.lost
            ));
        }
        let failed = failures.iter().filter(|of| **of == id).count() as u64;
        if failed > record.claim || record.claim > 60 {
            broken.push(format!(
                "{id}: {failed} failures in {} claims",
                record.claim
            ));
        }
    }
}

/// An end that a gateway did not take for longer than it is offered waits in its record; here only
/// a jump in time makes that.
fn nobody_doubts_for_nothing(
    doubted: &[(String, String)],
    unposted: &[(String, String)],
    broken: &mut Vec<String>,
) {
    for (connection, request_id) in doubted {
        if !unposted.contains(&(connection.clone(), request_id.clone())) {
            broken.push(format!("{connection} had to ask again about {request_id}"));
        }
    }
}

/// Every connection that is attached and alive has the terminal message, or asked for nothing
/// below it.
fn the_attached_heard_the_end(
    world: &World,
    records: &[Record],
    posted: &[Posted],
    resumed: &[(String, String, u64)],
    broken: &mut Vec<String>,
) {
    for record in records {
        let id = id(record);
        let Some(terminal) = &record.terminal else {
            continue;
        };
        for connection in record.told() {
            if !world.gateway.is_open(&connection) {
                continue;
            }
            let connection = connection.as_str();
            let heard = posted.iter().any(|posted| {
                posted.connection == connection
                    && seq_of(&posted.message) == Some((id.clone(), terminal.seq))
            });
            let had_it = resumed
                .iter()
                .any(|(on, of, after)| on == connection && *of == id && *after >= terminal.seq);
            if !heard && !had_it {
                broken.push(format!(
                    "{connection} is attached to {id} and did not hear its end"
                ));
            }
        }
    }
}
