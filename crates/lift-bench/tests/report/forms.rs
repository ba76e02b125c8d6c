//! A report comes in; each of its forms comes out, whole and readable by its own rules.

use lift_bench::report::{Form, Outcome, Report, count};
use serde_json::Value;

use crate::sample::{judged, report};

#[test]
fn a_text_says_the_verdict_first() {
    let mut report = report();
    let first = |report: &Report| {
        report
            .written(Form::Text)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        first(&report),
        "passed: message-throughput · 600,000 of 600,000 answered · reply p50 0.80 p99 3.2 max 12.0 ms \
         · 0 lost, 0 twice, 0 out of order"
    );
    report.verdict.outcome = Outcome::Broken;
    report.total.counts.insert(count::LOST.to_owned(), 3);
    assert!(first(&report).starts_with("broken: "), "{}", first(&report));
    assert!(first(&report).contains(" · 3 lost, "), "{}", first(&report));
    // Connections alone.
    report.verdict.outcome = Outcome::Invalid;
    report.total.counts.remove(count::DUE);
    report.total.latencies.remove("reply");
    assert_eq!(
        first(&report),
        "invalid: message-throughput · 1,000 of 1,000 connections opened · connect p50 1.2 p99 4.8 max 18.0 ms \
         · 0 failed, 1 dropped"
    );
}

#[test]
fn a_text_has_every_table_aligned() {
    let mut report = report();
    report.thresholds.push(judged("errors == 0", None, false));
    report.verdict.reasons = vec!["`errors == 0` did not hold".to_owned()];
    let text = report.written(Form::Text);
    for expected in [
        "\n  `errors == 0` did not hold\n",
        "\n  ws://127.0.0.1:7070/ · 70.4 s from 2026-11-29T10:00:00Z · seed 7\n",
        "\n  lift 0.1.0 · Linux 6.1 · 2 of Processor X · 8.0 GiB\n",
        "\nthresholds\n  verdict  threshold               measured\n  held     reply.p99 < 100ms          3.2ms\n",
        "\n  BROKEN   errors == 0         not measured\n",
        "\n  reply                      600,000  0.20   1.0  0.80  1.6  2.4  3.2    6.4  12.0\n",
        "\n  reply.uncorrected          600,000  ",
        "\n  reply{talker}              300,000  ",
        "\n  messages.lost              0        0        0\n",
        "\n  messages.due         600,000  300,000  300,000\n",
        "\n  close 1006 (no close frame)      1\n",
        "\n  handshake 101                1,000\n",
        "\n  arrive (not counted)   0.0 s  10.0 s  ",
        "\n  generator lag p99, ms                                     0.16\n",
        "\n  server memory, most                                   96.0 MiB\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    for boring in ["messages.missed", "requests.ended", "RATE_LIMITED"] {
        assert!(!text.contains(boring), "{boring} is in:\n{text}");
    }
}

#[test]
fn a_name_of_a_file_cannot_command_a_terminal() {
    let mut report = report();
    report.name = "a\u{1b}[2Jb\nc".to_owned();
    report.phases[0].name = "\u{1b}]0;x\u{7}".to_owned();
    report.thresholds[0].threshold = "\u{9b}31m".to_owned();
    let text = report.written(Form::Text);
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(control), "{text:?}");
    assert!(
        text.starts_with("passed: a\u{fffd}[2Jb\u{fffd}c · "),
        "{text}"
    );
}

#[test]
fn json_is_read_as_it_was_written() {
    let report = report();
    assert_eq!(Report::read(&report.written(Form::Json)).unwrap(), report);
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    let mut value: Value = serde_json::from_str(&report().written(Form::Json)).unwrap();
    value["format"] = "lift-load/9".into();
    for (text, said) in [
        (
            value.to_string(),
            "its format is `lift-load/9`, and this version reads `lift-load/1`",
        ),
        ("{}".to_owned(), "it is no report of a load test"),
        ("[1".to_owned(), "it is no report of a load test"),
    ] {
        assert_eq!(Report::read(&text).unwrap_err().to_string(), said);
    }
}
