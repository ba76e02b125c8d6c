//! Conditions come in; what is wrong with them, or whether a report keeps them, comes out.

use lift_bench::{
    report::{count, latency},
    scenario::Scenario,
    threshold::Threshold,
};

use crate::sample::{self, judged, report};

const SCENARIO: &str = "
name: two
target: ws://127.0.0.1:7070
behaviours:
  talker: { messages: [{ action: echo, payload: hello }] }
  raw: { messages: [{ action: echo, payload: hello }] }
phases:
  - { name: 'ramp < 5', duration: 1s, connections_per_second: 10 }
  - { name: talk, duration: 10s, messages_per_second: 100 }
";

#[test]
fn a_condition_is_judged_by_what_was_measured() {
    let mut report = report();
    report.total.counts.insert(count::LOST.to_owned(), 3);
    report.total.counts.insert(count::FAILED.to_owned(), 1);
    report.total.counts.insert(count::OPENED.to_owned(), 999);
    report.total.errors.insert("TIMEOUT".to_owned(), 2);
    let talker = report.behaviours.get_mut("talker").unwrap();
    talker
        .latencies
        .insert("reply".to_owned(), sample::latency(300_000, 900));
    for (text, measured, held) in [
        ("reply.p99 < 100ms", Some("3.2ms"), true),
        ("reply.p99 < 3.2ms", Some("3.2ms"), false),
        ("reply.p99 <= 3.2ms", Some("3.2ms"), true),
        ("reply.p99 == 3200us", Some("3200us"), true),
        ("reply.max > 0.012s", Some("0.012s"), false),
        ("reply.max >= 0.012s", Some("0.012s"), true),
        ("reply.uncorrected.p50<1ms", Some("0.64ms"), true),
        ("reply.count == 600000", Some("600000"), true),
        ("messages.lost == 0", Some("3"), false),
        ("messages.lost{talker} == 0", Some("0"), true),
        ("messages.refused == 0", Some("0"), true),
        // Failed 1, dropped 1, lost 3.
        ("errors <= 5", Some("5"), true),
        ("errors[talk] <= 1", Some("1"), true),
        ("errors.TIMEOUT < 2", Some("2"), false),
        ("closes.1006 == 1", Some("1"), true),
        ("handshakes.403 == 0", Some("0"), true),
        ("connections.reliability >= 99.9%", Some("99.8%"), false),
        ("messages.answered_share == 100%", Some("100%"), true),
        ("rate.sent >= 9999", Some("10000"), true),
        ("rate.sent[talk] >= 10001", Some("10000"), false),
        (
            "reply{talker}.p99 <= reply{raw}.p99 + 3ms",
            Some("3.6ms against 3.2ms"),
            true,
        ),
        (
            "reply{talker}.p99 <= reply{raw}.p99+399us",
            Some("3600us against 3200us"),
            false,
        ),
        (
            "reply.p99{raw} <= reply{talker}.p99 - 400us",
            Some("3200us against 3600us"),
            true,
        ),
        (
            "messages.answered == messages.due",
            Some("600000 against 600000"),
            true,
        ),
        // Nothing was measured.
        ("completion.p99 < 1s", None, false),
        ("reply.p99 < completion.p99", None, false),
        ("reply{nobody}.p99 < 1s", None, false),
        ("messages.lost[never] == 0", None, false),
    ] {
        let threshold = Threshold::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(threshold.judge(&report), judged(text, measured, held));
    }
}

#[test]
fn nothing_in_a_measure_rounds_a_broken_share_up() {
    let mut report = report();
    report
        .total
        .counts
        .insert(count::DUE.to_owned(), 1_000_000_000);
    report
        .total
        .counts
        .insert(count::ANSWERED.to_owned(), 999_999_999);
    let threshold = Threshold::parse("messages.answered_share == 100%").unwrap();
    assert_eq!(
        threshold.judge(&report).measured.as_deref(),
        Some("99.9999999%")
    );
}

/// Conditions that cannot be, and what is said of them.
const REFUSED: [(&str, &str); 35] = [
    (
        "reply.p99",
        "it has no `<`, `<=`, `>`, `>=` or `==`: write `reply.p99 < 100ms`",
    ),
    (
        "",
        "it has no `<`, `<=`, `>`, `>=` or `==`: write `reply.p99 < 100ms`",
    ),
    ("errors = 0", "`=` is no comparison: write `==`"),
    (
        "errors <> 0",
        "`<>` is no comparison: there are `<`, `<=`, `>`, `>=` and `==`",
    ),
    (
        "messages.lost != 0",
        "`!=` is no comparison: there are `<`, `<=`, `>`, `>=` and `==`",
    ),
    (
        "messages.lost!=0",
        "`!=` is no comparison: there are `<`, `<=`, `>`, `>=` and `==`",
    ),
    (
        "errors => 0",
        "`=>` is no comparison: there are `<`, `<=`, `>`, `>=` and `==`",
    ),
    (
        "errors < = 5",
        "it has two operators: there are `<`, `<=`, `>`, `>=` and `==`",
    ),
    (
        "reply.p98 < 1ms",
        "there is no metric `reply.p98`; did you mean `reply.p99`?",
    ),
    (
        "repply.p99 < 1ms",
        "there is no metric `repply.p99`; did you mean `reply.p99`?",
    ),
    (
        "message.lost == 0",
        "there is no metric `message.lost`; did you mean `messages.lost`?",
    ),
    (
        "error == 0",
        "there is no metric `error`; did you mean `errors`?",
    ),
    (
        "reply < 1ms",
        "there is no metric `reply`; did you mean `reply.p99`?",
    ),
    ("closes.70000 == 0", "there is no metric `closes.70000`"),
    ("zzz < 1", "there is no metric `zzz`"),
    ("reply.p99 < reply{raw.p99", "`reply{raw.p99` has no `}`"),
    (
        "reply{raw}[talk].p99 < 1ms",
        "`reply{raw}[talk].p99` names two parts of a run; a metric is of one behaviour or of one phase",
    ),
    (
        "reply.p99 < 100",
        "`reply.p99` is a time, and `100` has no unit: write `100ms`",
    ),
    (
        "reply.p99 < 100%",
        "`reply.p99` is a time, and `100%` is a share in `%`",
    ),
    (
        "connections.reliability > 99",
        "`connections.reliability` is a share in `%`, and `99` has no unit: write `99%`",
    ),
    (
        "connections.reliability >= 0.999",
        "`connections.reliability` is a share in `%`, and `0.999` has no unit: write `99.9%`",
    ),
    (
        "connections.reliability >= 0.9999999990",
        "`connections.reliability` is a share in `%`, and `0.9999999990` has no unit: write `99.9999999%`",
    ),
    (
        "connections.reliability > .5",
        "`connections.reliability` is a share in `%`, and `.5` has no unit: write `50%`",
    ),
    (
        "connections.reliability > 0.005",
        "`connections.reliability` is a share in `%`, and `0.005` has no unit: write `0.5%`",
    ),
    (
        "messages.answered_share == 1",
        "`messages.answered_share` is a share in `%`, and `1` has no unit: write `100%`",
    ),
    (
        "messages.answered_share > 0",
        "`messages.answered_share` is a share in `%`, and `0` has no unit: write `0%`",
    ),
    (
        "messages.lost < 5ms",
        "`messages.lost` is a number, and `5ms` is a time",
    ),
    (
        "reply.count < 5ms",
        "`reply.count` is a number, and `5ms` is a time",
    ),
    (
        "reply.p99 < 5min",
        "`min` of `5min` is no unit: `us`, `ms`, `s`, `%` or none",
    ),
    (
        "reply.p99 < -5ms",
        "`-5ms` is no number with a unit and no metric: write `100ms`, `99.9%` or `0`",
    ),
    (
        "reply.p99 < ",
        "`` is no number with a unit and no metric: write `100ms`, `99.9%` or `0`",
    ),
    (
        "reply.p99 < 1.2.3ms",
        "`1.2.3ms` is no number with a unit and no metric: write `100ms`, `99.9%` or `0`",
    ),
    (
        "reply.p99 < messages.lost",
        "`reply.p99` is a time, and `messages.lost` is a number",
    ),
    (
        "reply.p99 < connect.p99 + 3",
        "`reply.p99` is a time, and `3` has no unit: write `3ms`",
    ),
    ("reply.p99 < inf", "there is no metric `inf`"),
];

#[test]
fn a_condition_that_cannot_be_is_refused_with_what_is_wrong() {
    for (text, said) in REFUSED {
        let error = Threshold::parse(text).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}`: {said}", text.trim()));
    }
}

#[test]
fn parts_that_the_scenario_does_not_have_are_refused_before_a_run() {
    let scenario = Scenario::parse(SCENARIO).unwrap();
    for (text, said) in [
        ("reply{talker}.p99 < 1ms", None),
        ("reply[ramp < 5].p99 < 1ms", None),
        ("reply.p99 < reply{raw}.p99", None),
        (
            "reply{talkr}.p99 < 1ms",
            Some("`reply{talkr}.p99`: there is no behaviour `talkr`; did you mean `talker`?"),
        ),
        (
            "reply{talker}.p99 < reply{row}.p99",
            Some("`reply{row}.p99`: there is no behaviour `row`; did you mean `raw`?"),
        ),
        (
            "messages.lost[tallk] == 0",
            Some("`messages.lost[tallk]`: there is no phase `tallk`; did you mean `talk`?"),
        ),
        ("errors[x] == 0", Some("`errors[x]`: there is no phase `x`")),
    ] {
        let checked = Threshold::parse(text).unwrap().check(&scenario);
        assert_eq!(
            checked.err().map(|error| error.to_string()).as_deref(),
            said
        );
    }
}

#[test]
fn the_page_names_every_metric_and_its_examples_are_conditions() {
    let page = include_str!("../../../../docs/load-reports.md");
    let row = |base: &str| {
        page.lines()
            .find(|line| line.starts_with(&format!("| `{base}")))
    };
    for name in count::ALL {
        let (base, end) = name.split_once('.').unwrap();
        let row = row(base).unwrap_or_else(|| panic!("no row of {base}"));
        let named = row.contains(&format!("`{name}`")) || row.contains(&format!("`.{end}`"));
        assert!(named, "{name} is not in {row}");
    }
    for name in latency::ALL {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    let (_, examples) = page.split_once("```yaml\nthresholds:\n").unwrap();
    let (examples, _) = examples.split_once("```").unwrap();
    let examples: Vec<_> = examples
        .lines()
        .map(|line| line.trim_start_matches("  - "))
        .collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        Threshold::parse(example).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_metric_that_is_suggested_is_one() {
    // A name that is like nothing has no suggestion; one letter more than each has it.
    for name in count::ALL {
        let refused = Threshold::parse(&format!("{name}x == 0")).unwrap_err();
        assert_eq!(refused.suggestion.as_deref(), Some(name));
        assert!(Threshold::parse(&format!("{name} == 0")).is_ok(), "{name}");
    }
    for name in latency::ALL {
        for statistic in ["p50", "p90", "p95", "p99", "p999", "min", "mean", "max"] {
            let text = format!("{name}.{statistic} < 1s");
            assert!(Threshold::parse(&text).is_ok(), "{text}");
        }
    }
}
