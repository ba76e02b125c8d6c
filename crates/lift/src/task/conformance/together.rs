//! Many calls at once, and long random walks of calls beside the memory backend.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{
    LEASE, START, Store, activity, apply, at, attach, checkpoint, claim, finish, listed, owner,
    put, read, renew, stored, task, with_key,
};
use crate::task::memory::MemoryTasks;
use crate::task::record::NewTask;
use crate::task::store::Put;
use crate::task::transition::{Applied, Transition};

/// Seeds of the random walks that every store takes beside a [`MemoryTasks`].
const WALKS: u64 = 8;

/// Runs calls at once and gives their answers.
async fn at_once<T: Send + 'static>(
    calls: impl Iterator<Item: Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut running = JoinSet::new();
    calls.for_each(|call| drop(running.spawn(call)));
    running.join_all().await
}

pub(super) async fn one_of_many_claims_wins(store: Store) {
    let key = stored(&store, &task("ann", 0)).await;
    for round in 1..=3 {
        let claims = (0..32).map(|_| {
            let (store, key) = (Arc::clone(&store), key.clone());
            async move { apply(&store, &key, claim(), at(round * 100)).await }
        });
        let answers = at_once(claims).await;
        let won = answers
            .iter()
            .filter(|answer| matches!(answer, Applied::Done(_)))
            .count();
        assert_eq!(won, 1, "{answers:?}");
        assert_eq!(
            read(&store, &key).await.map(|record| record.claim),
            Some(round)
        );
    }
}

pub(super) async fn one_of_many_puts_is_stored(store: Store) {
    let puts = (0..32).map(|n| {
        let store = Arc::clone(&store);
        async move { put(&store, &with_key(task("ann", n), "k", "h")).await }
    });
    let (mut first, mut duplicates) = (None, Vec::new());
    for answer in at_once(puts).await {
        match answer {
            Put::Stored(record) => assert_eq!(first.replace(record.key.id), None, "stored twice"),
            Put::Duplicate(id) => duplicates.push(id),
            Put::Mismatch | Put::Full => panic!("{answer:?}"),
        }
    }
    let first = first.expect("one is stored");
    assert_eq!(duplicates, vec![first; 31]);
    let ids = listed(&store, "ann", None, 100).await;
    assert_eq!(
        ids.iter().map(|record| record.key.id).collect::<Vec<_>>(),
        [first]
    );
}

pub(super) async fn a_full_owner_is_full_for_many_at_once(store: Store) {
    let puts = (0..32).map(|n| {
        let store = Arc::clone(&store);
        async move {
            put(
                &store,
                &NewTask {
                    queued_max: 10,
                    ..task("ann", n)
                },
            )
            .await
        }
    });
    let answers = at_once(puts).await;
    let stored = answers
        .iter()
        .filter(|answer| matches!(answer, Put::Stored(_)))
        .count();
    assert_eq!(
        (stored, listed(&store, "ann", None, 100).await.len()),
        (10, 10)
    );
}

/// Numbers that look random and are the same for one seed.
struct Dice(u64);

impl Dice {
    /// A number below `sides`, by SplitMix64.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn transition(&mut self) -> Transition {
        let claim = self.roll(4);
        match self.roll(9) {
            0..=2 => Transition::Claim { lease: LEASE },
            3 => renew(claim),
            4 => checkpoint(claim),
            5 => Transition::GiveBack { claim },
            6 => Transition::Retry {
                claim,
                wait: Duration::from_secs(self.roll(40)),
            },
            7 => finish(claim),
            _ if self.roll(4) == 0 => Transition::Cancel,
            _ => attach(&format!("c{}", self.roll(12))),
        }
    }
}

/// The rules live in one pure function and the memory backend is the plainest store of them, so
/// every answer of another store must equal its answer.
pub(super) async fn a_random_walk_agrees_with_memory(store: Store) {
    for seed in 0..WALKS {
        let (mut dice, mut seconds) = (Dice(seed), 0);
        let memory: Store = Arc::new(MemoryTasks::default());
        let user = format!("walker{seed}");
        for step in 0..120 {
            seconds += dice.roll(12);
            let place = format!("seed {seed} step {step}");
            if dice.roll(4) == 0 {
                let mut new = task(&user, dice.roll(30) + 1);
                new.created_at = at(seconds);
                new.queued_max = 5;
                new.keep = Duration::from_secs(300);
                let key = format!("k{}", dice.roll(4));
                let new = with_key(new, &key, if dice.roll(8) == 0 { "h2" } else { "h" });
                assert_eq!(
                    put(&store, &new).await,
                    put(&memory, &new).await,
                    "{place}: {new:?}"
                );
                continue;
            }
            let key = task(&user, dice.roll(30) + 1).key;
            let (transition, now) = (dice.transition(), at(seconds));
            let expected = apply(&memory, &key, transition.clone(), now).await;
            let answer = apply(&store, &key, transition.clone(), now).await;
            assert_eq!(answer, expected, "{place}: {transition:?} at {now:?}");
        }
        let expected = listed(&memory, &user, None, 7).await;
        assert_eq!(
            listed(&store, &user, None, 7).await,
            expected,
            "seed {seed}: list"
        );
        let due = async |store: &Store| {
            let mut due = store.due(at(seconds + 20), None, 1_000).await.expect("due");
            due.retain(|due| due.key.owner == owner(&user));
            due
        };
        assert_eq!(due(&store).await, due(&memory).await, "seed {seed}: due");
        let active = async |store: &Store| {
            let until = at(seconds + 1);
            let mut requests = activity::of(store, "acme", START, until, 7).await;
            requests.retain(|request| request.accepted.key.owner == owner(&user));
            requests
        };
        let expected = active(&memory).await;
        assert_eq!(active(&store).await, expected, "seed {seed}: activity");
        let late = at(seconds + 200);
        for store in [&store, &memory] {
            while store.purge(late, 1_000).await.expect("purge") > 0 {}
        }
        let expected = listed(&memory, &user, None, 7).await;
        assert_eq!(
            listed(&store, &user, None, 7).await,
            expected,
            "seed {seed}: purged"
        );
    }
}
