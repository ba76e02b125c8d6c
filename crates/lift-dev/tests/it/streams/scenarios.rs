//! Batches, failures and shards, one situation each.

use std::time::Duration;

use lift_dev::plan::{self, Bisect, PartialFailures, Start};
use lift_dev::streams::failure::Condition;
use lift_dev::streams::mapping::ShardState;
use lift_dev::streams::{Faults, InvokeFailed};

use super::world::{Answer, Call, World, failed, mapping, numbers, ok, record, stream};

const NOW: Duration = Duration::ZERO;
const ALL: &[u64] = &[1, 2, 3, 4];

struct Case {
    name: &'static str,
    mapping: plan::Mapping,
    faults: Faults,
    records: u64,
    function: fn(&[u64], usize) -> Answer,
    calls: &'static [&'static [u64]],
    failures: &'static [(Condition, u32, &'static str, &'static str)],
}

/// All well.
fn case(name: &'static str, mapping: plan::Mapping, calls: &'static [&'static [u64]]) -> Case {
    Case {
        name,
        mapping,
        faults: Faults::default(),
        records: 4,
        function: |_, _| ok(""),
        calls,
        failures: &[],
    }
}

fn poison(numbers: &[u64], _: usize) -> Answer {
    if numbers.contains(&3) {
        failed()
    } else {
        ok("{}")
    }
}

fn bisecting() -> plan::Mapping {
    plan::Mapping {
        bisect: Bisect::On,
        ..mapping()
    }
}

fn partial() -> plan::Mapping {
    plan::Mapping {
        partial: PartialFailures::Reported,
        retries_max: Some(1),
        ..mapping()
    }
}

fn check(case: &Case) {
    let records = (1..=case.records)
        .map(|number| record(number, 1, NOW))
        .collect();
    let open = stream("shard", None, ShardState::Open, records);
    let mut world = World::new(&case.mapping, 1, case.faults, vec![open]);
    let mut nth = 0;
    let calls = world.run(Duration::from_secs(60), |call| {
        nth += 1;
        (case.function)(&numbers(&call.event), nth)
    });
    let calls: Vec<Vec<u64>> = calls.iter().map(|call| numbers(&call.event)).collect();
    assert_eq!(calls, case.calls, "{}", case.name);
    let wanted = case.failures.iter().map(|(why, invokes, first, last)| {
        (*why, *invokes, (*first).to_owned(), (*last).to_owned())
    });
    assert_eq!(
        world.failures(),
        wanted.collect::<Vec<_>>(),
        "{}",
        case.name
    );
}

const EXHAUSTED: Condition = Condition::RetryAttemptsExhausted;

#[test]
fn batches_are_retried_halved_and_given_up_as_lambda_does() {
    let sized = plan::Mapping {
        batch_size: 3,
        ..mapping()
    };
    let retried = |retries| plan::Mapping {
        retries_max: Some(retries),
        ..mapping()
    };
    let cases = [
        case(
            "batches are of their size at most",
            sized,
            &[&[1, 2, 3], &[4]],
        ),
        Case {
            function: poison,
            failures: &[(EXHAUSTED, 3, "1", "4")],
            ..case(
                "a batch is tried whole, then given up",
                retried(2),
                &[ALL; 3],
            )
        },
        Case {
            function: poison,
            failures: &[(EXHAUSTED, 3, "3", "3")],
            ..case(
                "a poison record is halved down to, in order, without a retry",
                bisecting(),
                &[&[1, 2, 3, 4], &[1, 2], &[3, 4], &[3], &[4]],
            )
        },
        Case {
            function: poison,
            failures: &[(EXHAUSTED, 4, "3", "3")],
            ..case(
                "what cannot be halved is retried",
                plan::Mapping {
                    retries_max: Some(1),
                    ..bisecting()
                },
                &[&[1, 2, 3, 4], &[1, 2], &[3, 4], &[3], &[3], &[4]],
            )
        },
        Case {
            function: |_, nth| match nth {
                1 | 2 => Err(InvokeFailed::Throttled),
                3 => Err(InvokeFailed::Unavailable {
                    reason: "no".to_owned(),
                }),
                _ => ok(""),
            },
            ..case("throttles are no attempts", mapping(), &[ALL; 4])
        },
        Case {
            faults: Faults {
                duplicate: 1000,
                ..Faults::default()
            },
            ..case("a duplicate is the batch once more", mapping(), &[ALL; 2])
        },
    ];
    for case in &cases {
        check(case);
    }
}

#[test]
fn a_function_names_the_items_that_failed() {
    let twice: &[&[u64]] = &[ALL; 2];
    let whole: [(&str, fn(&[u64], usize) -> Answer); 5] = [
        ("no item of the batch", |_, nth| {
            ok(if nth == 1 {
                r#"{"batchItemFailures":[{"itemIdentifier":"9"}]}"#
            } else {
                ""
            })
        }),
        ("an empty identifier beside a good one", |_, nth| {
            ok(if nth == 1 {
                r#"{"batchItemFailures":[{"itemIdentifier":"3"},{"itemIdentifier":""}]}"#
            } else {
                ""
            })
        }),
        ("null", |_, nth| {
            ok(if nth == 1 {
                r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#
            } else {
                "{}"
            })
        }),
        ("an answer that is no JSON", |_, nth| {
            ok(if nth == 1 { "{" } else { "null" })
        }),
        ("another type", |_, nth| {
            ok(if nth == 1 {
                r#"{"batchItemFailures":7}"#
            } else {
                r#"{"batchItemFailures":null}"#
            })
        }),
    ];
    for (name, function) in whole {
        check(&Case {
            function,
            ..case(name, partial(), twice)
        });
    }
    let named = |_: &[u64], nth| {
        ok(if nth == 1 {
            r#"{"batchItemFailures":[{"itemIdentifier":"4"},{"itemIdentifier":"3"}]}"#
        } else {
            r#"{"batchItemFailures":[]}"#
        })
    };
    let lowest: &[&[u64]] = &[&[1, 2, 3, 4], &[3, 4]];
    check(&Case {
        function: named,
        ..case("the lowest is where the retry begins", partial(), lowest)
    });
    let split = plan::Mapping {
        retries_max: Some(0),
        bisect: Bisect::On,
        ..partial()
    };
    check(&Case {
        function: named,
        ..case("a split there is no retry", split, lowest)
    });
    let ignored = plan::Mapping {
        partial: PartialFailures::Ignored,
        ..partial()
    };
    check(&Case {
        function: named,
        ..case("unless it may", ignored, &[&[1, 2, 3, 4]])
    });
}

#[test]
fn records_that_are_too_old_are_given_up() {
    let mapping = plan::Mapping {
        retries_max: None,
        record_age_max: Some(Duration::from_secs(60)),
        ..mapping()
    };
    for (speed, last) in [(1, 60_000), (10, 6_000)] {
        let records = vec![record(1, 1, NOW), record(2, 1, Duration::from_millis(500))];
        let open = stream("shard", None, ShardState::Open, records);
        let mut world = World::new(&mapping, speed, Faults::default(), vec![open]);
        let calls = world.run(Duration::from_secs(200), |call| {
            if numbers(&call.event).contains(&1) {
                failed()
            } else {
                ok("")
            }
        });
        let (second, first): (Vec<&Call>, Vec<&Call>) =
            calls.iter().partition(|call| numbers(&call.event) == [2]);
        assert!(first.len() > 5, "{first:?}");
        assert!(
            first
                .iter()
                .all(|call| call.after <= Duration::from_millis(last)),
            "{first:?}"
        );
        let failures = world.failures();
        let (condition, _, from, to) = &failures[0];
        assert_eq!(
            (*condition, from.as_str(), to.as_str()),
            (Condition::RecordAgeExceeded, "1", "1")
        );
        assert_eq!(failures.len(), 2 - second.len(), "{failures:?}");
    }
}

#[test]
fn a_batch_waits_for_its_window_unless_it_is_full() {
    let mapping = plan::Mapping {
        batch_size: 3,
        batch_window: Duration::from_secs(2),
        ..mapping()
    };
    let written = [0, 900, 5_000, 5_100, 5_200].map(Duration::from_millis);
    let records = (1..)
        .zip(written)
        .map(|(number, after)| record(number, 1, after))
        .collect();
    let open = stream("shard", None, ShardState::Open, records);
    let mut world = World::new(&mapping, 1, Faults::default(), vec![open]);
    let calls = world.run(Duration::from_secs(60), |_| ok(""));
    let seen: Vec<_> = calls
        .iter()
        .map(|call| (numbers(&call.event), call.after.as_millis()))
        .collect();
    assert_eq!(seen, [(vec![1, 2], 2_000), (vec![3, 4, 5], 5_250)]);
}

#[test]
fn an_event_has_six_megabytes_at_most() {
    let mut records: Vec<_> = (1..=4).map(|number| record(number, 1, NOW)).collect();
    for record in &mut records {
        let fill = "x".repeat(2 * 1024 * 1024);
        record.json = format!("{{\"n\":{},\"fill\":\"{fill}\"}}", record.sequence).into();
    }
    let open = stream("shard", None, ShardState::Open, records);
    let mut world = World::new(&mapping(), 1, Faults::default(), vec![open]);
    let calls = world.run(Duration::from_secs(60), |_| ok(""));
    let calls: Vec<_> = calls.iter().map(|call| numbers(&call.event)).collect();
    assert_eq!(calls, [[1, 2], [3, 4]]);
}

#[test]
fn a_child_shard_is_read_after_all_of_its_parent_is_done() {
    let shards = || {
        vec![
            stream(
                "b-child",
                Some("c-parent"),
                ShardState::Open,
                vec![record(3, 1, NOW), record(4, 2, NOW)],
            ),
            stream(
                "c-parent",
                Some("forgotten"),
                ShardState::Closed,
                vec![record(1, 1, NOW), record(2, 2, NOW)],
            ),
        ]
    };
    let retried = plan::Mapping {
        retries_max: Some(3),
        parallelization: 2,
        ..mapping()
    };
    let mut world = World::new(&retried, 1, Faults::default(), shards());
    let mut failing = 2;
    let calls = world.run(Duration::from_secs(60), |call| {
        if numbers(&call.event) == [2] && failing > 0 {
            failing -= 1;
            return failed();
        }
        ok("")
    });
    let calls: Vec<_> = calls.iter().map(|call| numbers(&call.event)).collect();
    assert_eq!(calls.len(), 6, "{calls:?}");
    let last_of_parent = calls.iter().rposition(|call| call == &[2]).unwrap();
    let first_of_child = calls.iter().position(|call| call[0] >= 3).unwrap();
    assert_eq!((last_of_parent, first_of_child), (3, 4), "{calls:?}");
}

#[test]
fn latest_begins_after_what_is_there_and_misses_nothing_after_that() {
    let latest = plan::Mapping {
        start: Start::Latest,
        ..mapping()
    };
    let (old, new) = (NOW, Duration::from_secs(10));
    let shards = vec![
        stream("a", None, ShardState::Closed, vec![record(1, 1, old)]),
        stream(
            "b",
            Some("a"),
            ShardState::Open,
            vec![record(2, 1, old), record(3, 1, new)],
        ),
    ];
    let mut world = World::new(&latest, 1, Faults::default(), shards);
    let mut seen = world.run(Duration::from_secs(11), |_| ok(""));
    world.streams[1].shard.state = ShardState::Closed;
    world.streams.push(stream(
        "c",
        Some("b"),
        ShardState::Open,
        vec![record(4, 1, old)],
    ));
    seen.extend(world.run(Duration::from_secs(30), |_| ok("")));
    let seen: Vec<_> = seen.iter().flat_map(|call| numbers(&call.event)).collect();
    assert_eq!(seen, [3, 4]);
}

#[test]
fn a_mapping_that_was_killed_goes_on_at_the_oldest_record_that_is_not_dealt_with() {
    let two_lanes = plan::Mapping {
        batch_size: 1,
        parallelization: 2,
        ..mapping()
    };
    let windows = plan::Mapping {
        tumbling_window: Some(Duration::from_secs(10)),
        ..mapping()
    };
    let latest = plan::Mapping {
        start: Start::Latest,
        ..mapping()
    };
    // Records 1 to 3 lie there, and the function is at this one when the process is killed; 4 comes before the next.
    for (name, mapping, at, again) in [
        ("all is dealt with", &mapping(), None, vec![4]),
        ("one runs", &two_lanes, Some(3), vec![3, 4]),
        ("one lane is ahead", &two_lanes, Some(2), vec![2, 3, 4]),
        ("a window is open", &windows, None, vec![1, 2, 3, 4]),
        ("nothing was read: the latest again", &latest, None, vec![]),
    ] {
        let records = (1..=3).map(|number| record(number, number % 2, NOW));
        let open = stream("shard", None, ShardState::Open, records.collect());
        let mut world = World::new(mapping, 1, Faults::default(), vec![open]);
        loop {
            let numbers_of = |call: &Call| numbers(&call.event);
            let next = world
                .running
                .iter()
                .position(|call| at.is_none_or(|at| !numbers_of(call).contains(&at)));
            match next.and_then(|next| world.running.remove(next)) {
                Some(call) => world.answer(&call, ok("{}")),
                None if world.pass(Duration::from_secs(5)) => {}
                None => break,
            }
        }
        world.restart(mapping, Faults::default());
        world.streams[0].records.push(record(4, 1, NOW));
        let calls = world.run(Duration::from_secs(60), |_| ok("{}"));
        let mut seen: Vec<_> = calls.iter().flat_map(|call| numbers(&call.event)).collect();
        seen.sort_unstable();
        assert_eq!(seen, again, "{name}");
    }
}
