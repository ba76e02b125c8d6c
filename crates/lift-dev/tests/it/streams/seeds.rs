//! Random mappings, results and faults: whatever happens, the order of an item's changes is kept and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lift_dev::plan::{self, Bisect, PartialFailures};
use lift_dev::streams::mapping::ShardState;
use lift_dev::streams::{Faults, InvokeFailed};
use serde_json::json;

use super::world::{Answer, Call, World, failed, mapping, numbers, ok, record, stream};

const KEYS: u64 = 7;
const RECORDS: u64 = 120;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 29)) % limit
    }

    fn mapping(&mut self) -> plan::Mapping {
        plan::Mapping {
            batch_size: 1 + u32::try_from(self.below(12)).unwrap(),
            parallelization: 1 + u32::try_from(self.below(4)).unwrap(),
            bisect: [Bisect::Off, Bisect::On][usize::try_from(self.below(2)).unwrap()],
            partial: [PartialFailures::Ignored, PartialFailures::Reported]
                [usize::try_from(self.below(2)).unwrap()],
            retries_max: [None, Some(0), Some(2)][usize::try_from(self.below(3)).unwrap()],
            batch_window: Duration::from_millis(self.below(2) * 700),
            ..mapping()
        }
    }

    /// An answer, and from which record on the batch is not done.
    fn answer(&mut self, numbers: &[u64], partial: PartialFailures) -> (Answer, usize) {
        match self.below(10) {
            0..3 => (failed(), 0),
            3 => (Err(InvokeFailed::Throttled), 0),
            4 if partial == PartialFailures::Reported => {
                let at = usize::try_from(self.below(numbers.len() as u64)).unwrap();
                let named = numbers[at].to_string();
                let answer = json!({ "batchItemFailures": [{ "itemIdentifier": named }] });
                (ok(&answer.to_string()), at)
            }
            _ => (ok("{}"), numbers.len()),
        }
    }
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let mapping = random.mapping();
    let faults = Faults {
        duplicate: u16::try_from(random.below(2) * 200).unwrap(),
        reorder: u16::try_from(random.below(2) * 500).unwrap(),
        seed,
    };
    let restarts = random.below(2) == 0;
    let mut written: Vec<_> = (1..=RECORDS)
        .map(|number| {
            record(
                number,
                random.below(KEYS),
                Duration::from_millis(number * 40),
            )
        })
        .collect();
    let key: BTreeMap<u64, u64> = written
        .iter()
        .map(|record| (record.sequence.parse().unwrap(), record.key))
        .collect();
    let child = written.split_off(written.len() / 2);
    let shards = vec![
        stream("child", Some("parent"), ShardState::Open, child),
        stream("parent", None, ShardState::Closed, written),
    ];
    let mut world = World::new(&mapping, 1, faults, shards);
    let mut finished: BTreeSet<u64> = BTreeSet::new();
    let until = Duration::from_secs(100_000);
    while finished.len() < key.len() {
        if restarts && random.below(40) == 0 {
            world.restart(&mapping, faults);
        }
        // In any order, but time goes on only while something may still come.
        if !world.running.is_empty() && (random.below(3) > 0 || !world.pass(until)) {
            let at = usize::try_from(random.below(world.running.len() as u64)).unwrap();
            let call = world.running.remove(at).unwrap();
            let batch = numbers(&call.event);
            ordered(seed, &call, &batch, &key, &finished, &world);
            let (answer, done) = random.answer(&batch, mapping.partial);
            world.answer(&call, answer);
            finished.extend(&batch[..done]);
            if let Some(failure) = world.given_up.pop() {
                assert_eq!(failure.records, batch.len() - done, "seed {seed}");
                finished.extend(&batch);
            }
        } else if world.running.is_empty() && !world.pass(until) {
            break;
        }
    }
    let missing: Vec<_> = key
        .keys()
        .filter(|number| !finished.contains(number))
        .collect();
    assert!(
        missing.is_empty(),
        "seed {seed}: {missing:?} of {mapping:?}"
    );
}

/// No change is seen before all earlier ones of its item are done, and no item is at two calls.
fn ordered(
    seed: u64,
    call: &Call,
    batch: &[u64],
    key: &BTreeMap<u64, u64>,
    finished: &BTreeSet<u64>,
    world: &World,
) {
    for (at, number) in batch.iter().enumerate() {
        let earlier = key
            .range(..number)
            .filter(|(_, item)| **item == key[number]);
        for (before, _) in earlier {
            let seen = finished.contains(before) || batch[..at].contains(before);
            assert!(
                seen,
                "seed {seed}: {number} before {before} in {batch:?} of {}",
                call.shard
            );
        }
        for other in &world.running {
            let both = numbers(&other.event)
                .iter()
                .any(|other| key[other] == key[number]);
            assert!(!both, "seed {seed}: item of {number} is in two calls");
        }
    }
}

#[test]
fn the_order_of_an_item_is_kept_and_nothing_is_lost() {
    let seed = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = seed.map_or(0..400, |seed| seed..seed + 1);
    println!("seeds {seeds:?}; one alone: SEED=N");
    for seed in seeds {
        check(seed);
    }
}
