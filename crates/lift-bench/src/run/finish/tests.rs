//! What processes measured comes in; that the report has it all, and judges it by phase, comes out.

use super::*;
use crate::books::{Awaited, Books, Note, OfConnection, OfMessage, Said};

fn reported(scenario: &str, partials: Vec<Partial>) -> Report {
    let scenario = Scenario::parse(scenario).expect("a scenario");
    let facts = Facts::now(&scenario, &Means::default());
    report(
        &scenario,
        facts,
        partials,
        (None, Ran::default()),
        &[],
        false,
    )
}

/// As it comes from another process.
fn sent(partial: &Partial) -> Partial {
    let text = serde_json::to_string(partial).expect("JSON");
    serde_json::from_str(&text).expect("the same")
}

/// Messages of a client each, which take from microseconds to half a minute, of the clients that are chosen.
fn books(chosen: impl Fn(u64) -> bool) -> Books {
    let mut books = Books::new(10_000_000, vec![60_000_000]);
    let place = Place {
        phase: 0,
        behaviour: 0,
    };
    for client in (0..3_000).filter(|client| chosen(*client)) {
        let due = client * 10_000;
        let took = 40 + client.pow(3) / 1_000;
        let opened = OfConnection::Opened {
            at: due + 300 + client,
        };
        let awaited = Awaited::Answer;
        let heard = OfMessage::Heard {
            at: due + took,
            said: Said::Reply,
        };
        let messages = [
            OfMessage::Due {
                place,
                due,
                awaited,
            },
            OfMessage::Sent { at: due + took / 3 },
            heard,
        ];
        books.note(Note::Begun { client, place, due });
        books.note(Note::Connection {
            client,
            what: opened,
        });
        let seq = Some(1);
        for what in messages {
            books.note(Note::Message { client, seq, what });
        }
        books.note(Note::Lag {
            at: due,
            late: client / 7,
        });
    }
    books
}

#[test]
fn parts_of_a_load_have_the_latencies_of_the_whole() {
    let one = books(|_| true).close();
    let parts: [fn(u64) -> bool; 3] = [
        |client| client % 7 == 0,
        |client| client % 7 != 0 && client < 900,
        |client| client % 7 != 0 && client >= 900,
    ];
    let partials = parts.map(|part| {
        let closed = books(part).close();
        sent(&Partial {
            cells: closed.cells.into_iter().collect(),
            seconds: closed.seconds,
            lag: closed.lag.into_iter().collect(),
            ..Partial::default()
        })
    });
    let scenario =
        "{ name: parts, behaviours: { one: {} }, phases: [{ name: all, duration: 60s }] }";
    let report = reported(scenario, partials.into());

    // What is compared with has not been merged, packed or sent.
    let whole = one.cells.values().next().expect("its one place").measures();
    assert_eq!(report.total.latencies, whole.latencies);
    assert_eq!(report.total.counts, whole.counts);
    let names: Vec<_> = whole.latencies.keys().map(String::as_str).collect();
    assert_eq!(names, ["connect", "reply", "reply.uncorrected"]);
    let spread = whole.latencies.get("reply").expect("replies");
    assert!(
        spread.min_us < 100 && spread.max_us > 20_000_000,
        "{spread:?}"
    );
    let lag = one.lag.get(&0).expect("lag").latency();
    assert_eq!(report.generator.lag, lag);
    let timeline = |moments: &[Moment]| -> Vec<_> {
        let figures = |moment: &Moment| {
            (
                moment.second,
                moment.answered.to_bits(),
                moment.p50_us,
                moment.p99_us,
                moment.max_us,
            )
        };
        moments.iter().map(figures).collect()
    };
    let seconds = one.seconds.iter().zip(0..).map(|(of, second)| Moment {
        second,
        answered: float(of.answered),
        p50_us: of.took.at(50.0),
        p99_us: of.took.at(99.0),
        max_us: of.took.max(),
        ..Moment::default()
    });
    let seconds: Vec<_> = seconds.collect();
    assert!(seconds.len() > 50, "{}", seconds.len());
    assert_eq!(timeline(&report.timeline), timeline(&seconds));
}

const CALM_AND_BUSY: &str = "{ name: cpu, behaviours: { one: {} }, phases: [{ name: rest, duration: 20s }, \
    { name: peak, duration: 4s }, { name: calm, duration: 10s }] }";

#[test]
fn a_phase_that_fills_the_machine_makes_a_calm_run_invalid() {
    let used = |peak: [f64; 4], drain: f64| {
        let shares = [&[0.05; 20][..], &peak, &[0.02; 10], &[drain; 9]].concat();
        // Two processes that share it.
        let half = || Partial {
            cpu: shares.iter().map(|share| share / 2.0).collect(),
            took_us: 43_000_000,
            ..Partial::default()
        };
        reported(CALM_AND_BUSY, vec![half(), half()]).verdict
    };
    let busy = used([0.3, 0.96, 0.97, 0.98], 0.0);
    assert_eq!(
        busy.reasons,
        [
            "the generator was short of processor time: it used 97 % of the machine in `peak`, and 80 % are allowed"
        ]
    );
    assert_eq!(busy.outcome, Outcome::Invalid);
    // A second is no phase, and what comes after the last is none either.
    for calm in [used([0.3, 0.4, 0.5, 1.0], 0.0), used([0.1; 4], 1.0)] {
        assert_eq!(calm.outcome, Outcome::Passed, "{calm:?}");
    }
    let all = reported(
        "{ name: short, behaviours: { one: {} }, phases: [{ name: dash, duration: 300ms }] }",
        vec![Partial {
            cpu: vec![0.9; 3],
            ..Partial::default()
        }],
    );
    assert_eq!(
        all.verdict.reasons,
        [
            "the generator was short of processor time: it used 90 % of the machine over all, and 80 % are allowed"
        ]
    );
}

/// Of each phase, how many microseconds late so many were.
fn lagging(phases: [&[(u64, u64)]; 3]) -> Verdict {
    let of_phase = |late: &[(u64, u64)]| {
        let mut sketch = Sketch::default();
        for (late, times) in late {
            (0..*times).for_each(|_| sketch.record(*late));
        }
        sketch
    };
    let partial = Partial {
        lag: (0..).zip(phases.map(of_phase)).collect(),
        ..Partial::default()
    };
    reported(CALM_AND_BUSY, vec![sent(&partial)]).verdict
}

#[test]
fn one_hiccup_in_a_phase_of_few_does_not_make_a_run_invalid_and_a_starved_generator_does() {
    const HICCUP: (u64, u64) = (500_000, 1);
    let late = |place: &str| {
        format!(
            "the generator was late: 1 % of what was due {place} was begun 500 ms late or more, and 20 ms are allowed"
        )
    };
    for (phases, reason) in [
        // One of 50, where all phases together have 1,050.
        ([&[(100, 49), HICCUP][..], &[(100, 1_000)], &[]], None),
        ([&[(100, 98), HICCUP], &[(100, 1)], &[]], None),
        // All of the few, and of all more than 1 %.
        (
            [&[(500_000, 50)], &[(100, 1_000)], &[]],
            Some(late("over all")),
        ),
        // A phase of 100 is judged alone, whatever there is besides.
        (
            [&[(100, 98), (500_000, 2)], &[(100, 100_000)], &[]],
            Some(late("in `rest`")),
        ),
        ([&[(100, 99), HICCUP], &[], &[]], None),
        // Of so few, the worst one is all that there is.
        (
            [&[(100, 49), HICCUP], &[(100, 49)], &[]],
            Some(late("in `rest`")),
        ),
        // Three phases of few are a hundred together.
        (
            [&[(500_000, 40)], &[(500_000, 40)], &[(500_000, 40)]],
            Some(late("over all")),
        ),
        // The phase is named where the whole is as late.
        ([&[], &[(500_000, 500)], &[]], Some(late("in `peak`"))),
    ] {
        let verdict = lagging(phases);
        assert_eq!(verdict.reasons, Vec::from_iter(reason), "{phases:?}");
    }
}
