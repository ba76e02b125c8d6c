//! Scenarios come in; when what is due, of the whole and of its parts, comes out.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use lift_bench::plan::{Due, Part, Plan, What};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::load::scenario;

fn plan(text: &str) -> Vec<Due> {
    Plan::new(&scenario(text), Part::WHOLE).collect()
}

fn phases(phases: &str) -> String {
    format!(
        "
name: plan
behaviours:
  often: {{ weight: 3, messages: [{{ action: a }}, {{ action: b, weight: 4 }}] }}
  quiet: {{ weight: 5 }}
  rarely: {{ weight: 1, messages: [{{ action: a }}] }}
phases: [{phases}]
"
    )
}

/// Some seeds, one of which nobody has tried before.
pub(crate) fn seeds() -> Vec<u64> {
    let new = RandomState::new().build_hasher().finish();
    vec![1, 2, 3, 4, new]
}

#[test]
fn a_constant_rate_is_due_at_even_times() {
    let due = plan(&phases(
        "{ name: p, duration: 10s, messages_per_second: 200 }",
    ));
    assert_eq!(due.len(), 2000);
    for (number, due) in due.iter().enumerate() {
        let expected = (number as f64 + 0.5) / 200.0;
        let off = (due.at.as_secs_f64() - expected).abs();
        assert!(off < 1e-6, "message {number} is due at {:?}", due.at);
    }
}

#[test]
fn a_rate_that_changes_evenly_has_its_mean_in_all_and_its_own_in_every_part() {
    for (from, to) in [
        (0.1, 400.0),
        (10.0, 400.0),
        (400.0, 10.0),
        (400.0, 0.0),
        (200.0, 200.0),
    ] {
        let due = plan(&phases(&format!(
            "{{ name: p, duration: 10s, connections_per_second: {from}, ramp_to: {to} }}"
        )));
        let all = (from + to) / 2.0 * 10.0;
        assert!(
            (due.len() as f64 - all).abs() <= 0.5,
            "{from} to {to}: {}",
            due.len()
        );
        for second in 0..10 {
            let (begins, ends) = (f64::from(second), f64::from(second + 1));
            let rate = |at: f64| from + (to - from) * at / 10.0;
            let expected = f64::midpoint(rate(begins), rate(ends));
            let here = due
                .iter()
                .filter(|due| (begins..ends).contains(&due.at.as_secs_f64()));
            let off = here.count() as f64 - expected;
            assert!(
                off.abs() <= 1.0,
                "{from} to {to}, second {second}: {off} more than {expected}"
            );
        }
        assert!(due.is_sorted_by_key(|due| due.at), "{from} to {to}");
        assert!(due.iter().all(|due| due.at <= Duration::from_secs(10)));
    }
}

#[test]
fn phases_begin_where_the_one_before_ends_and_numbers_go_on() {
    let due = plan(&phases(
        "{ name: a, duration: 2s, connections_per_second: 5, messages_per_second: 1 },
         { name: rest, duration: 500ms },
         { name: b, duration: 1s, messages_per_second: 3, connections_per_second: 2 }",
    ));
    let place = |due: &Due| (due.phase, matches!(due.what, What::Start { .. }));
    let mut counts = HashMap::new();
    for due in &due {
        *counts.entry(place(due)).or_insert(0) += 1;
        let within = match due.phase {
            0 => Duration::ZERO..Duration::from_secs(2),
            _ => Duration::from_millis(2500)..Duration::from_millis(3500),
        };
        assert!(within.contains(&due.at), "{due:?}");
    }
    assert_eq!(
        counts,
        HashMap::from([
            ((0, true), 10),
            ((0, false), 2),
            ((2, false), 3),
            ((2, true), 2)
        ])
    );
    let clients = due.iter().filter_map(|due| match due.what {
        What::Start { client, .. } => Some(client),
        What::Message { .. } => None,
    });
    assert!(clients.eq(0..12));
    let numbers = due.iter().filter_map(|due| match due.what {
        What::Message { number, .. } => Some(number),
        What::Start { .. } => None,
    });
    assert!(numbers.eq(0..5));
}

#[test]
fn behaviours_and_messages_are_chosen_by_weight() {
    let due = plan(&phases(
        "{ name: p, duration: 90s, connections_per_second: 100, messages_per_second: 100 }",
    ));
    let mut chosen: HashMap<(&str, u16, u16), f64> = HashMap::new();
    for due in due {
        let key = match due.what {
            What::Start { behaviour, .. } => ("start", behaviour, 0),
            What::Message {
                behaviour, message, ..
            } => ("message", behaviour, message),
        };
        *chosen.entry(key).or_default() += 1.0;
    }
    // Of 9000 each. One whose share is p is within four standard deviations, 4 sqrt(9000 p (1 - p)).
    for (key, part) in [
        (("start", 0, 0), 3.0 / 9.0),
        (("start", 1, 0), 5.0 / 9.0),
        (("start", 2, 0), 1.0 / 9.0),
        (("message", 0, 0), 3.0 / 4.0 / 5.0),
        (("message", 0, 1), 3.0 / 4.0 * 4.0 / 5.0),
        (("message", 2, 0), 1.0 / 4.0),
    ] {
        let off = chosen.remove(&key).unwrap() - 9000.0 * part;
        let bound = 4.0 * (9000.0 * part * (1.0 - part)).sqrt();
        assert!(
            off.abs() < bound,
            "{key:?} is off by {off}, and may be by {bound}"
        );
    }
    assert_eq!(chosen, HashMap::new(), "who has no message sends none");
}

#[test]
fn a_phase_of_one_behaviour_has_no_other() {
    let due = plan(&phases(
        "{ name: p, duration: 5s, connections_per_second: 20, messages_per_second: 20, behaviour: rarely }",
    ));
    assert_eq!(due.len(), 200);
    assert!(due.iter().all(|due| matches!(
        due.what,
        What::Start { behaviour: 2, .. }
            | What::Message {
                behaviour: 2,
                message: 0,
                ..
            }
    )));
}

#[test]
fn one_seed_is_one_plan() {
    let text = |seed: u64| {
        phases("{ name: p, duration: 5s, connections_per_second: 20, messages_per_second: 50 }")
            .replace("name: plan", &format!("name: plan\nseed: {seed}"))
    };
    for seed in seeds() {
        assert_eq!(plan(&text(seed)), plan(&text(seed)), "seed {seed}");
        assert_ne!(
            plan(&text(seed)),
            plan(&text(seed.wrapping_add(1))),
            "seed {seed}"
        );
    }
}

#[test]
fn the_parts_of_a_plan_are_the_whole() {
    for seed in seeds() {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut upto = |bound: u64| dice.next_u64() % bound;
        for _ in 0..20 {
            let all: Vec<_> = (0..=upto(4))
                .map(|phase| {
                    let (millis, starts, messages) = (1 + upto(3000), upto(60), upto(120));
                    let ramp = match (starts, messages) {
                        (0, 0) => String::new(),
                        (0, _) | (_, 0) => format!(", ramp_to: {}", upto(100)),
                        _ => String::new(),
                    };
                    let hold = if upto(2) == 0 { String::new() } else { format!(", hold: {}", upto(50)) };
                    format!(
                        "{{ name: p{phase}, duration: {millis}ms, connections_per_second: {starts}, messages_per_second: {messages}{ramp}{hold} }}"
                    )
                })
                .collect();
            let text = phases(&all.join(", ")).replace(
                "name: plan",
                &format!("name: plan\nseed: {}", upto(u64::MAX)),
            );
            let of = 1 + u16::try_from(upto(7)).unwrap();
            let whole = plan(&text);
            let read = scenario(&text);
            let mut parts: Vec<Due> = (0..of)
                .flat_map(|number| Plan::new(&read, Part { number, of }))
                .collect();
            let order = |due: &Due| (due.phase, due.at, matches!(due.what, What::Message { .. }));
            parts.sort_by_key(order);
            assert_eq!(parts, whole, "seed {seed}, {of} parts of:\n{text}");
            for all in [0, 1, 7, 1000] {
                let shares = (0..of).map(|number| Part { number, of }.share(all));
                assert_eq!(shares.sum::<u32>(), all, "{of} parts");
            }
        }
    }
}
