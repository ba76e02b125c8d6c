//! Ends: a request ends once, by its worker or its owner, and those attached hear of it.

use std::time::Duration;

use super::{
    LEASE, Store, at, attach, claim, done, every_fenced_write, finish, json, refused, renew,
    stored, task,
};
use crate::error::{Code, Error};
use crate::id::ConnectionId;
use crate::task::record::{ATTACHED_KEPT_MAX, Outcome, ResultAt, SEQ_PER_CLAIM, State};
use crate::task::transition::{Refusal, Transition};

pub(super) async fn a_request_ends_once(store: Store) {
    let failed = Error::new(Code::TaskFailed, "no such column").into_body();
    let endings = [
        Outcome::Completed(ResultAt::Object("r/1".to_owned())),
        Outcome::Failed(failed),
        Outcome::Cancelled,
    ];
    for (n, outcome) in (0..).zip(endings) {
        let key = stored(&store, &task("ann", n)).await;
        done(&store, &key, claim(), at(1)).await;
        let end = Transition::Finish {
            claim: 1,
            outcome: outcome.clone(),
            n: 4,
            result: None,
        };
        let record = done(&store, &key, end, at(2)).await;
        assert_eq!((record.state, record.due_at), (outcome.state(), None));
        let terminal = record.terminal.clone().expect("an ended request says how");
        assert_eq!(
            (terminal.seq, terminal.at, terminal.outcome),
            (4, at(2), outcome)
        );
        let more = [claim(), Transition::Cancel]
            .into_iter()
            .chain(every_fenced_write(1));
        for write in more {
            assert_eq!(refused(&store, &key, write, at(60)).await, Refusal::Ended);
        }
        let attached = done(&store, &key, attach("two="), at(61)).await;
        assert_eq!(
            (attached.state, attached.terminal),
            (record.state, record.terminal)
        );
    }
}

pub(super) async fn a_large_result_lies_beside_the_record(store: Store) {
    let large = Some(json(&format!("\"{}\"", "x".repeat(64 * 1024))));
    let key = stored(&store, &task("ann", 0)).await;
    done(&store, &key, claim(), at(1)).await;
    let outcome = Outcome::Completed(ResultAt::Beside);
    let end = Transition::Finish {
        claim: 1,
        outcome,
        n: 1,
        result: large.clone(),
    };
    let fenced = Transition::Finish {
        claim: 9,
        outcome: Outcome::Completed(ResultAt::Beside),
        n: 1,
        result: Some(json("0")),
    };
    refused(&store, &key, fenced.clone(), at(1)).await;
    assert_eq!(
        store.result(&key).await.expect("result"),
        None,
        "a refused finish leaves none"
    );
    done(&store, &key, end, at(2)).await;
    refused(&store, &key, fenced, at(3)).await;
    assert_eq!(store.result(&key).await.expect("result"), large);
}

pub(super) async fn a_commit_and_a_cancel_exclude_each_other(store: Store) {
    let commit = |claim| Transition::Commit {
        claim,
        lease: LEASE,
    };
    let asked = stored(&store, &task("ann", 0)).await;
    done(&store, &asked, claim(), at(1)).await;
    done(&store, &asked, Transition::Cancel, at(2)).await;
    let refusal = refused(&store, &asked, commit(1), at(3)).await;
    assert_eq!(refusal, Refusal::Stopping);

    let late = stored(&store, &task("ann", 1)).await;
    done(&store, &late, claim(), at(3590)).await;
    let refusal = refused(&store, &late, commit(1), at(3601)).await;
    assert_eq!(refusal, Refusal::Stopping);

    let key = stored(&store, &task("ann", 2)).await;
    done(&store, &key, claim(), at(1)).await;
    let record = done(&store, &key, commit(1), at(2)).await;
    assert!(record.committed);
    assert_eq!(record.due_at, Some(at(2) + LEASE));
    let refusal = refused(&store, &key, Transition::Cancel, at(3)).await;
    assert_eq!(refusal, Refusal::Committed);
    done(&store, &key, claim(), at(60)).await;
    assert_eq!(
        refused(&store, &key, commit(1), at(61)).await,
        Refusal::Fenced
    );
    done(&store, &key, commit(2), at(61)).await;
    done(&store, &key, Transition::GiveBack { claim: 2 }, at(62)).await;
    let refusal = refused(&store, &key, Transition::Cancel, at(63)).await;
    assert_eq!(refusal, Refusal::Committed);
}

pub(super) async fn a_cancel_ends_what_does_not_run(store: Store) {
    let queued = stored(&store, &task("ann", 0)).await;
    let record = done(&store, &queued, Transition::Cancel, at(1)).await;
    assert_eq!(
        record.terminal.map(|end| (end.seq, end.outcome)),
        Some((1, Outcome::Cancelled))
    );
    let retrying = stored(&store, &task("ann", 1)).await;
    done(&store, &retrying, claim(), at(1)).await;
    let wait = Duration::from_secs(60);
    done(
        &store,
        &retrying,
        Transition::Retry { claim: 1, wait },
        at(2),
    )
    .await;
    let record = done(&store, &retrying, Transition::Cancel, at(3)).await;
    assert_eq!((record.state, record.due_at), (State::Cancelled, None));
    assert_eq!(
        record.terminal.map(|end| end.seq),
        Some(SEQ_PER_CLAIM + 1),
        "after what it said"
    );
}

pub(super) async fn a_cancel_asks_what_runs(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    done(&store, &key, claim(), at(1)).await;
    let record = done(&store, &key, Transition::Cancel, at(2)).await;
    assert_eq!(
        (record.state, record.cancel_requested),
        (State::Running, true)
    );
    done(&store, &key, Transition::Cancel, at(2)).await;
    assert!(
        done(&store, &key, renew(1), at(3)).await.cancel_requested,
        "the worker learns of it"
    );
    assert_eq!(
        done(&store, &key, finish(1), at(4)).await.state,
        State::Completed,
        "may still win"
    );
}

pub(super) async fn attached_connections_are_compacted(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    let mut connections = vec!["one=".to_owned()];
    for n in 0..100 {
        connections.push(format!("c{}", n % 11));
        let latest = connections.last().expect("just pushed");
        let record = done(&store, &key, attach(latest), at(1)).await;
        assert!(
            record.attached.len() < ATTACHED_KEPT_MAX,
            "the list stays short"
        );
        let mut expected: Vec<&str> = Vec::new();
        for id in connections.iter().rev() {
            if expected.len() < 8 && !expected.contains(&id.as_str()) {
                expected.insert(0, id);
            }
        }
        let told = record.told();
        assert_eq!(
            told.iter().map(ConnectionId::as_str).collect::<Vec<_>>(),
            expected
        );
    }
}
