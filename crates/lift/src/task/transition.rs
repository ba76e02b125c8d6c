//! The task state machine: a record, a transition and the time come in, the next record goes out.
//!
//! Pure. A local store applies it inside its one writer; DynamoDB expresses each variant as one
//! conditional `UpdateItem`, whose returned image (`ALL_NEW`, or `ALL_OLD` of a failed condition)
//! is what [`Applied`] carries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::record::{ATTACHED_KEPT_MAX, Outcome, Progress, Record, SEQ_PER_CLAIM, State, Terminal};
use crate::clock::Timestamp;
use crate::id::ConnectionId;
use crate::json::Json;

/// A claim that ran this long without moving its checkpoint counts when it is lost.
pub const LOST_COUNTS_AFTER: Duration = Duration::from_secs(30);

/// What may happen to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// A worker takes the request: refused unless it is due and no live lease holds it.
    Claim {
        /// How long the lease lasts without a renewal.
        lease: Duration,
    },
    /// The worker lives on, and says how far it is.
    Renew {
        /// The worker's claim.
        claim: u64,
        /// How long the lease lasts from now.
        lease: Duration,
        /// Progress to keep; an older one stays if absent.
        progress: Option<Progress>,
        /// Where the next claim goes on; an older one stays if absent.
        checkpoint: Option<Json>,
    },
    /// The worker is about to do what cannot be undone: refused once the request is to stop.
    Commit {
        /// The worker's claim.
        claim: u64,
        /// How long the lease lasts from now.
        lease: Duration,
    },
    /// The worker hands the request back unharmed (drain, continuation).
    GiveBack {
        /// The worker's claim.
        claim: u64,
    },
    /// The attempt failed and another is due after a wait.
    Retry {
        /// The worker's claim.
        claim: u64,
        /// How long to wait.
        wait: Duration,
    },
    /// The request ends.
    Finish {
        /// The worker's claim.
        claim: u64,
        /// How it ends.
        outcome: Outcome,
        /// The number of the terminal message within the claim, from 1.
        n: u64,
        /// A result that is too large for the record, stored beside it.
        result: Option<Json>,
    },
    /// Its owner wants it to stop.
    Cancel,
    /// A connection wants to hear of it.
    Attach {
        /// Which.
        connection: ConnectionId,
    },
}

impl Transition {
    /// Whether the write must have reached the disk before its answer is used.
    ///
    /// Progress and attachments need only outlive the process, not the machine.
    pub const fn must_sync(&self) -> bool {
        match self {
            Self::Renew { checkpoint, .. } => checkpoint.is_some(),
            Self::Attach { .. } => false,
            Self::Claim { .. }
            | Self::Commit { .. }
            | Self::GiveBack { .. }
            | Self::Retry { .. }
            | Self::Finish { .. }
            | Self::Cancel => true,
        }
    }
}

/// Why a transition was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request has ended.
    Ended,
    /// Another worker's lease is alive, or the request is not due yet.
    NotDue,
    /// The claim is not the current one.
    Fenced,
    /// Its owner asked for it to be cancelled, or its deadline passed.
    Stopping,
    /// It is committed: it ends as its worker says.
    Committed,
}

/// What became of a transition, with the record as it is now.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// It was written; this is the new record.
    Done(Box<Record>),
    /// It was refused; this is the record that refused it.
    Refused(Refusal, Box<Record>),
    /// There is no such request.
    Missing,
}

/// The next record.
///
/// # Errors
/// When the record's state does not allow the transition.
pub fn apply(record: &Record, transition: &Transition, now: Timestamp) -> Result<Record, Refusal> {
    let mut next = record.clone();
    match transition {
        Transition::Claim { lease } => claim(&mut next, *lease, now)?,
        Transition::Renew {
            claim,
            lease,
            progress,
            checkpoint,
        } => {
            fence(record, *claim)?;
            next.renewed_at = now;
            next.due_at = Some(now + *lease);
            if let Some(progress) = progress {
                next.progress = Some(progress.clone());
            }
            if let Some(checkpoint) = checkpoint {
                next.checkpoint = Some(checkpoint.clone());
                next.checkpoint_at = now;
                next.lost_in_a_row = 0;
            }
        }
        Transition::Commit { claim, lease } => {
            fence(record, *claim)?;
            if !record.committed && (record.cancel_requested || record.deadline_at <= now) {
                return Err(Refusal::Stopping);
            }
            next.renewed_at = now;
            next.due_at = Some(now + *lease);
            next.committed = true;
        }
        Transition::GiveBack { claim } => {
            fence(record, *claim)?;
            next.state = State::Queued;
            next.due_at = Some(now);
        }
        Transition::Retry { claim, wait } => {
            fence(record, *claim)?;
            next.state = State::Retrying;
            next.failures += 1;
            next.due_at = Some((now + *wait).min(record.ends_by().max(now)));
        }
        Transition::Finish {
            claim, outcome, n, ..
        } => {
            fence(record, *claim)?;
            let seq = record.seq(*n);
            end(&mut next, outcome.clone(), seq, now);
        }
        Transition::Cancel => cancel(&mut next, now)?,
        Transition::Attach { connection } => attach(&mut next, connection),
    }
    Ok(next)
}

fn claim(next: &mut Record, lease: Duration, now: Timestamp) -> Result<(), Refusal> {
    let due = next.due_at.ok_or(Refusal::Ended)?;
    if due > now {
        return Err(Refusal::NotDue);
    }
    if next.state == State::Running {
        count_lost(next);
    }
    next.state = State::Running;
    next.claim += 1;
    next.claimed_at = now;
    next.renewed_at = now;
    next.died_alone = false;
    next.started_at = next.started_at.or(Some(now));
    next.due_at = Some(now + lease);
    Ok(())
}

/// A running record that can be claimed has lost its worker. That counts against the task only
/// where the task itself may be the reason.
fn count_lost(next: &mut Record) {
    let moved = next.checkpoint_at.max(next.claimed_at);
    if next.died_alone || next.renewed_at.since(moved) >= LOST_COUNTS_AFTER {
        next.lost += 1;
        next.lost_in_a_row += 1;
    }
}

fn fence(record: &Record, claim: u64) -> Result<(), Refusal> {
    match record.state {
        state if state.is_terminal() => Err(Refusal::Ended),
        State::Running if record.claim == claim => Ok(()),
        _ => Err(Refusal::Fenced),
    }
}

fn end(next: &mut Record, outcome: Outcome, seq: u64, now: Timestamp) {
    next.state = outcome.state();
    next.due_at = None;
    next.checkpoint = None;
    next.terminal = Some(Terminal {
        seq,
        outcome,
        at: now,
    });
}

/// Without a worker the request ends at once; a running one is asked through its next renewal.
fn cancel(next: &mut Record, now: Timestamp) -> Result<(), Refusal> {
    match next.state {
        State::Queued | State::Retrying | State::Running if next.committed => {
            Err(Refusal::Committed)
        }
        State::Queued | State::Retrying => {
            next.cancel_requested = true;
            let seq = next.claim * SEQ_PER_CLAIM + 1;
            end(next, Outcome::Cancelled, seq, now);
            Ok(())
        }
        State::Running => {
            next.cancel_requested = true;
            Ok(())
        }
        State::Completed | State::Failed | State::Cancelled => Err(Refusal::Ended),
    }
}

fn attach(next: &mut Record, connection: &ConnectionId) {
    next.attached.push(connection.clone());
    if next.attached.len() >= ATTACHED_KEPT_MAX {
        next.attached = next.told();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::id::{Owner, RequestId};
    use crate::task::record::{Key, NewTask, ResultAt};

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_750_000_000_000) + Duration::from_secs(seconds)
    }

    /// A request that was accepted at second 0.
    fn queued() -> Record {
        NewTask {
            key: Key {
                owner: Owner::new("acme", "ann").unwrap(),
                id: RequestId::from_bytes([1; 16]),
            },
            client_id: None,
            action: "sum".to_owned(),
            metadata: BTreeMap::new(),
            input: Json::null(),
            connection: ConnectionId::new("one="),
            idempotency: None,
            created_at: at(0),
            start_after: Duration::ZERO,
            timeout: Duration::from_secs(3600),
            keep: Duration::from_secs(7200),
            queued_max: 1,
        }
        .record()
    }

    fn claim() -> Transition {
        Transition::Claim { lease: LEASE }
    }

    fn renew(claim: u64, checkpoint: Option<Json>) -> Transition {
        Transition::Renew {
            claim,
            lease: LEASE,
            progress: None,
            checkpoint,
        }
    }

    fn checkpoint(claim: u64) -> Transition {
        renew(claim, Some(Json::parse("7".to_owned()).unwrap()))
    }

    fn commit(claim: u64) -> Transition {
        Transition::Commit {
            claim,
            lease: LEASE,
        }
    }

    fn finish(claim: u64, outcome: Outcome) -> Transition {
        Transition::Finish {
            claim,
            outcome,
            n: 1,
            result: None,
        }
    }

    fn after(transitions: &[(u64, Transition)]) -> Record {
        transitions
            .iter()
            .fold(queued(), |record, (seconds, transition)| {
                apply(&record, transition, at(*seconds)).unwrap()
            })
    }

    /// Every transition that claim 1 or anybody else may try, by name.
    fn all() -> [(&'static str, Transition); 7] {
        [
            ("claim", claim()),
            ("renew", renew(1, None)),
            ("give back", Transition::GiveBack { claim: 1 }),
            (
                "retry",
                Transition::Retry {
                    claim: 1,
                    wait: LEASE,
                },
            ),
            (
                "finish",
                finish(1, Outcome::Completed(ResultAt::Inline(Json::null()))),
            ),
            ("cancel", Transition::Cancel),
            (
                "attach",
                Transition::Attach {
                    connection: ConnectionId::new("two="),
                },
            ),
        ]
    }

    /// Where each transition leads from a record at second 100.
    #[track_caller]
    fn check(from: &Record, expected: [Result<State, Refusal>; 7]) {
        for ((name, transition), expected) in all().into_iter().zip(expected) {
            let next = apply(from, &transition, at(100)).map(|next| next.state);
            assert_eq!(next, expected, "{name} from {:?}", from.state);
        }
    }

    #[test]
    fn every_transition_from_every_state() {
        use Refusal::{Ended, Fenced, NotDue};
        use State::{Cancelled, Completed, Failed, Queued, Retrying, Running};

        let fenced = Err(Fenced);
        let from_queued = [
            Ok(Running),
            fenced,
            fenced,
            fenced,
            fenced,
            Ok(Cancelled),
            Ok(Queued),
        ];
        check(&queued(), from_queued);
        let given_back = after(&[(1, claim()), (2, Transition::GiveBack { claim: 1 })]);
        check(&given_back, from_queued);

        let running = [
            Ok(Running),
            Ok(Queued),
            Ok(Retrying),
            Ok(Completed),
            Ok(Running),
            Ok(Running),
        ];
        let [a, b, c, d, e, f] = running;
        check(&after(&[(99, claim())]), [Err(NotDue), a, b, c, d, e, f]);
        check(&after(&[(85, claim())]), [Ok(Running), a, b, c, d, e, f]);
        let taken_over = after(&[(50, claim()), (99, claim())]);
        check(
            &taken_over,
            [
                Err(NotDue),
                fenced,
                fenced,
                fenced,
                fenced,
                Ok(Running),
                Ok(Running),
            ],
        );

        let wait = Duration::from_secs(60);
        let retry = |seconds| {
            after(&[
                (1, claim()),
                (seconds, Transition::Retry { claim: 1, wait }),
            ])
        };
        let [_, rest @ ..] = from_queued;
        let [a, b, c, d, e, _] = rest;
        check(&retry(41), [Err(NotDue), a, b, c, d, e, Ok(Retrying)]);
        check(&retry(40), [Ok(Running), a, b, c, d, e, Ok(Retrying)]);

        let error = crate::error::Error::invalid("/payload", "no").into_body();
        let completed = Outcome::Completed(ResultAt::Beside);
        for outcome in [completed, Outcome::Failed(error), Outcome::Cancelled] {
            let state = outcome.state();
            let ended = Err(Ended);
            let record = after(&[(1, claim()), (2, finish(1, outcome))]);
            check(
                &record,
                [ended, ended, ended, ended, ended, ended, Ok(state)],
            );
        }
        assert_eq!(
            [Failed, Completed, Cancelled].map(State::is_terminal),
            [true; 3]
        );
    }

    #[test]
    fn a_commit_and_a_cancel_or_the_deadline_exclude_each_other() {
        let refused = |record: &Record, transition, seconds| {
            apply(record, &transition, at(seconds)).unwrap_err()
        };
        let asked = after(&[(1, claim()), (2, Transition::Cancel)]);
        assert_eq!(refused(&asked, commit(1), 3), Refusal::Stopping);
        let running = after(&[(3595, claim())]);
        assert_eq!(refused(&running, commit(1), 3600), Refusal::Stopping);

        let committed = after(&[(3595, claim()), (3599, commit(1))]);
        assert_eq!(
            refused(&committed, Transition::Cancel, 3600),
            Refusal::Committed
        );
        let wait = Duration::from_secs(60);
        let retrying = apply(&committed, &Transition::Retry { claim: 1, wait }, at(3600)).unwrap();
        assert_eq!(
            refused(&retrying, Transition::Cancel, 3601),
            Refusal::Committed
        );
        let again = apply(&committed, &claim(), at(3620)).unwrap();
        assert!(
            apply(&again, &commit(2), at(3621)).is_ok(),
            "the next claim"
        );
        assert_eq!(refused(&again, commit(1), 3621), Refusal::Fenced);
    }

    #[test]
    fn nothing_that_waits_is_due_after_its_deadline() {
        let wait = Duration::from_secs(60);
        let retry = after(&[
            (3590, claim()),
            (3591, Transition::Retry { claim: 1, wait }),
        ]);
        assert_eq!(retry.due_at, Some(retry.deadline_at));
    }

    #[test]
    fn a_process_that_died_with_one_task_running_counts_against_it_at_once() {
        let mut record = after(&[(1, claim())]);
        (record.died_alone, record.due_at) = (true, Some(Timestamp::default()));
        let next = apply(&record, &claim(), at(2)).unwrap();
        assert_eq!((next.lost, next.lost_in_a_row, next.attempt()), (1, 1, 2));
        assert!(!next.died_alone, "a new claim starts with a clean slate");
        record.died_alone = false;
        assert_eq!(apply(&record, &claim(), at(2)).unwrap().lost, 0);
    }

    #[test]
    fn only_a_moved_checkpoint_ends_a_row_of_lost_claims() {
        let mut record = queued();
        let mut now = 0;
        for n in 1..=4 {
            record = apply(&record, &claim(), at(now)).unwrap();
            assert_eq!(record.lost_in_a_row, n - 1);
            let longest = now + LOST_COUNTS_AFTER.as_secs();
            record = apply(&record, &renew(record.claim, None), at(longest)).unwrap();
            now = longest + 15;
        }
        record = apply(&record, &checkpoint(4), at(now)).unwrap();
        assert_eq!((record.lost, record.lost_in_a_row), (3, 0));
        let next = apply(&record, &claim(), at(now + 15)).unwrap();
        assert_eq!(
            (next.lost, next.lost_in_a_row),
            (3, 0),
            "it moved right before it was lost"
        );
    }

    #[test]
    fn what_must_be_on_the_disk_before_it_is_answered() {
        let syncs: Vec<&str> = all()
            .into_iter()
            .filter(|(_, transition)| transition.must_sync())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(syncs, ["claim", "give back", "retry", "finish", "cancel"]);
        assert!(checkpoint(1).must_sync(), "a checkpoint");
        assert!(commit(1).must_sync(), "a commit");
    }

    fn any_transition() -> impl Strategy<Value = Transition> {
        let number = 0..4_u64;
        prop_oneof![
            3 => Just(claim()),
            1 => number.clone().prop_map(|claim| renew(claim, None)),
            1 => number.clone().prop_map(checkpoint),
            1 => number.clone().prop_map(commit),
            1 => number.clone().prop_map(|claim| Transition::GiveBack { claim }),
            1 => (number.clone(), 0..60_u64).prop_map(|(claim, wait)| {
                Transition::Retry { claim, wait: Duration::from_secs(wait) }
            }),
            1 => number.prop_map(|claim| finish(claim, Outcome::Cancelled)),
            1 => Just(Transition::Cancel),
            2 => "[a-l]".prop_map(|id| Transition::Attach { connection: ConnectionId::new(id) }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_goes_backwards_and_nothing_happens_after_the_end(
            steps in prop::collection::vec((0..40_u64, any_transition()), 1..80),
        ) {
            let (mut record, mut now) = (queued(), 0);
            for (passed, transition) in steps {
                now += passed;
                let Ok(next) = apply(&record, &transition, at(now)) else { continue };
                prop_assert!(next.claim >= record.claim && next.attempt() >= record.attempt());
                prop_assert!(next.lost_in_a_row <= next.lost && next.lost < u32::try_from(next.claim.max(1)).unwrap());
                prop_assert_eq!(next.terminal.is_some(), next.state.is_terminal());
                prop_assert_eq!(next.due_at.is_none(), next.state.is_terminal());
                prop_assert!(next.attached.len() < ATTACHED_KEPT_MAX);
                prop_assert!(record.cancel_requested <= next.cancel_requested);
                prop_assert!(record.committed <= next.committed);
                prop_assert!(!(next.committed && next.cancel_requested));
                if record.state.is_terminal() {
                    prop_assert_eq!(&next.terminal, &record.terminal);
                    prop_assert_eq!(next.state, record.state);
                }
                let stored = serde_json::to_string(&next).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Record>(&stored).unwrap(), &next);
                record = next;
            }
        }
    }
}
