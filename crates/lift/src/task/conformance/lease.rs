//! Claims: leases hold, expire and fence, and a lost one counts only where it should.

use std::time::Duration;

use super::{
    LEASE, Store, apply, at, checkpoint, claim, done, every_fenced_write, finish, json, refused,
    renew, stored, task,
};
use crate::id::RequestId;
use crate::task::record::{Key, NewTask, Progress, SEQ_PER_CLAIM, State};
use crate::task::transition::{Applied, LOST_COUNTS_AFTER, Refusal, Transition};

pub(super) async fn a_claim_waits_until_the_request_is_due(store: Store) {
    let new = NewTask {
        start_after: Duration::from_secs(10),
        ..task("ann", 0)
    };
    let key = stored(&store, &new).await;
    assert_eq!(refused(&store, &key, claim(), at(9)).await, Refusal::NotDue);
    let record = done(&store, &key, claim(), at(10)).await;
    assert_eq!(
        (record.state, record.claim, record.attempt()),
        (State::Running, 1, 1)
    );
    assert_eq!(
        (record.started_at, record.due_at),
        (Some(at(10)), Some(at(25)))
    );
    let missing = Key {
        id: RequestId::from_bytes([9; 16]),
        ..key
    };
    assert_eq!(
        apply(&store, &missing, claim(), at(10)).await,
        Applied::Missing
    );
}

pub(super) async fn an_expired_lease_can_be_claimed_again(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    done(&store, &key, claim(), at(0)).await;
    assert_eq!(
        refused(&store, &key, claim(), at(14)).await,
        Refusal::NotDue
    );
    done(&store, &key, renew(1), at(10)).await;
    assert_eq!(
        refused(&store, &key, claim(), at(24)).await,
        Refusal::NotDue
    );
    let record = done(&store, &key, claim(), at(25)).await;
    assert_eq!((record.claim, record.started_at), (2, Some(at(0))));
    assert_eq!(record.seq(1), SEQ_PER_CLAIM + 1);
}

pub(super) async fn a_renewal_keeps_what_it_brings(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    done(&store, &key, claim(), at(0)).await;
    let metadata = Some(json("{\"row\":1}"));
    let told = Progress {
        seq: 1,
        percentage: 12.5,
        message: "reading".to_owned(),
        metadata,
    };
    let progress = Some(told.clone());
    let brings = Transition::Renew {
        claim: 1,
        lease: LEASE,
        progress,
        checkpoint: None,
    };
    done(&store, &key, brings, at(1)).await;
    done(&store, &key, checkpoint(1), at(2)).await;
    let record = done(&store, &key, renew(1), at(3)).await;
    assert_eq!(
        (&record.progress, &record.checkpoint),
        (&Some(told), &Some(json("{\"offset\":7}")))
    );
    assert_eq!((record.due_at, record.checkpoint_at), (Some(at(18)), at(2)));
    assert_eq!(done(&store, &key, finish(1), at(4)).await.checkpoint, None);
}

pub(super) async fn an_old_claim_is_fenced_from_every_write(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    for write in every_fenced_write(0) {
        assert_eq!(
            refused(&store, &key, write, at(0)).await,
            Refusal::Fenced,
            "never claimed"
        );
    }
    done(&store, &key, claim(), at(0)).await;
    done(&store, &key, claim(), at(20)).await;
    for write in every_fenced_write(1) {
        assert_eq!(
            refused(&store, &key, write, at(21)).await,
            Refusal::Fenced,
            "claimed anew"
        );
    }
    done(&store, &key, Transition::GiveBack { claim: 2 }, at(22)).await;
    for write in every_fenced_write(2) {
        assert_eq!(
            refused(&store, &key, write, at(23)).await,
            Refusal::Fenced,
            "given back"
        );
    }
}

pub(super) async fn a_retry_is_due_after_its_wait(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    done(&store, &key, claim(), at(0)).await;
    let wait = Duration::from_secs(30);
    let record = done(&store, &key, Transition::Retry { claim: 1, wait }, at(5)).await;
    assert_eq!(
        (record.state, record.failures, record.attempt()),
        (State::Retrying, 1, 2)
    );
    assert_eq!(record.due_at, Some(at(35)));
    assert_eq!(
        refused(&store, &key, claim(), at(34)).await,
        Refusal::NotDue
    );
    let record = done(&store, &key, claim(), at(35)).await;
    assert_eq!(
        (record.claim, record.lost),
        (2, 0),
        "a retry is no lost claim"
    );
}

pub(super) async fn a_request_given_back_is_due_and_unharmed(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    done(&store, &key, claim(), at(0)).await;
    done(&store, &key, checkpoint(1), at(1)).await;
    done(&store, &key, renew(1), at(60)).await;
    let record = done(&store, &key, Transition::GiveBack { claim: 1 }, at(61)).await;
    assert_eq!(
        (record.state, record.due_at, record.attempt()),
        (State::Queued, Some(at(61)), 1)
    );
    let record = done(&store, &key, claim(), at(61)).await;
    assert_eq!((record.claim, record.lost, record.attempt()), (2, 0, 1));
    assert_eq!(record.checkpoint, Some(json("{\"offset\":7}")));
}

pub(super) async fn a_lost_claim_counts_after_thirty_seconds(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    let long = LOST_COUNTS_AFTER.as_secs();
    let (mut now, mut claims) = (0, 0);
    let lost = async |renewed_after: &[(u64, bool)], now: &mut u64, claims: &mut u64| {
        done(&store, &key, claim(), at(*now)).await;
        *claims += 1;
        for (after, moves) in renewed_after {
            let renewal = if *moves {
                checkpoint(*claims)
            } else {
                renew(*claims)
            };
            done(&store, &key, renewal, at(*now + after)).await;
        }
        *now += 1_000;
        let record = done(&store, &key, claim(), at(*now)).await;
        *claims += 1;
        done(
            &store,
            &key,
            Transition::GiveBack { claim: *claims },
            at(*now),
        )
        .await;
        (record.lost, record.lost_in_a_row, record.attempt())
    };
    assert_eq!(
        lost(&[], &mut now, &mut claims).await,
        (0, 0, 1),
        "died at once"
    );
    assert_eq!(
        lost(&[(long - 1, false)], &mut now, &mut claims).await,
        (0, 0, 1),
        "too short"
    );
    assert_eq!(
        lost(&[(long, false)], &mut now, &mut claims).await,
        (1, 1, 2)
    );
    assert_eq!(
        lost(&[(long, false)], &mut now, &mut claims).await,
        (2, 2, 3)
    );
    let moved = [(10, true), (9 + long, false)];
    assert_eq!(
        lost(&moved, &mut now, &mut claims).await,
        (2, 0, 3),
        "its checkpoint moved"
    );
    let stuck = [(10, true), (10 + long, false)];
    assert_eq!(
        lost(&stuck, &mut now, &mut claims).await,
        (3, 1, 4),
        "moved, then stuck"
    );
}
