//! Reports of two sides come in; what changed, what is noise and what is not compared comes out.

use lift_bench::{
    comparison::{
        self, Comparison, Figure, Figures, Form, Group, Noise, Row, Run, Scenarios, Side, Verdict,
    },
    report::{Outcome, Report, count},
};
use serde_json::Value;

use crate::sample::{latency, report, written_to};

/// A side of runs whose median replies are these.
fn side(medians_us: &[u64]) -> Side {
    let runs = medians_us.iter().enumerate().map(|(index, median)| {
        let mut report = report();
        report
            .total
            .latencies
            .insert("reply".to_owned(), latency(600_000, *median));
        Run {
            label: format!("{index}.json"),
            report,
        }
    });
    Side {
        runs: runs.collect(),
        figures: Vec::new(),
    }
}

fn changed(mut side: Side, change: impl Fn(&mut Report)) -> Side {
    side.runs.iter_mut().for_each(|run| change(&mut run.report));
    side
}

fn figure(name: &str, value: Option<f64>) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        unit: "lines".to_owned(),
        lower_is_better: true,
        group: Group::Code,
        source: "tokei 14".to_owned(),
        date: "2026-11-29".to_owned(),
    }
}

fn compared(baseline: &Side, now: &Side) -> Comparison {
    Comparison::of(baseline, now, Scenarios::Same).unwrap()
}

fn row<'a>(comparison: &'a Comparison, metric: &str) -> &'a Row {
    let mut rows = comparison.rows.iter();
    let found = rows.find(|row| row.metric == metric);
    found.unwrap_or_else(|| panic!("no {metric}: {:?}", comparison.rows))
}

#[test]
fn repeats_tell_noise_from_change() {
    for (before, after, verdict, noise) in [
        (
            &[800, 820, 840][..],
            &[830, 850, 870][..],
            Verdict::Noise,
            Noise::Known,
        ),
        (
            &[800, 820, 840],
            &[850, 860, 870],
            Verdict::Worse,
            Noise::Known,
        ),
        (
            &[800, 820, 840],
            &[700, 710, 790],
            Verdict::Better,
            Noise::Known,
        ),
        (&[800, 800], &[800, 800], Verdict::Same, Noise::Known),
        (&[800], &[700], Verdict::Better, Noise::Unknown),
        (&[800], &[801], Verdict::Worse, Noise::Unknown),
        (&[800], &[800], Verdict::Same, Noise::Unknown),
        (&[800], &[790, 810], Verdict::Noise, Noise::Unknown),
        (&[800], &[810, 820], Verdict::Worse, Noise::Unknown),
    ] {
        let comparison = compared(&side(before), &side(after));
        let row = row(&comparison, "reply.p50");
        assert_eq!(
            (row.verdict, row.noise),
            (verdict, noise),
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn more_is_better_where_it_is() {
    let baseline = changed(side(&[800]), |report| {
        report.total.counts.insert(count::OPENED.to_owned(), 990);
        report.total.counts.insert(count::LOST.to_owned(), 4);
    });
    let comparison = compared(&baseline, &side(&[800]));
    let reliability = row(&comparison, "connections.reliability");
    assert_eq!(reliability.verdict, Verdict::Better);
    assert!(
        (reliability.change.unwrap() - 1.0).abs() < 1e-9,
        "{reliability:?}"
    );
    assert_eq!(row(&comparison, "messages.lost").verdict, Verdict::Better);
    assert_eq!(row(&comparison, "messages.lost").change, Some(-100.0));
    let back = compared(&side(&[800]), &baseline);
    assert_eq!(
        row(&back, "connections.reliability").verdict,
        Verdict::Worse
    );
    assert_eq!(row(&back, "messages.lost").change, None);
}

#[test]
fn a_table_says_what_it_was_what_it_is_and_what_that_means() {
    let mut baseline = side(&[800, 820, 840]);
    let mut now = side(&[400, 410, 430]);
    baseline.figures = vec![
        figure("lines of code", Some(20_000.0)),
        figure("boilerplate", None),
    ];
    now.figures = vec![
        figure("lines of code", Some(19_000.0)),
        figure("boilerplate", None),
    ];
    let text = compared(&baseline, &now).written(Form::Markdown);
    for expected in [
        "**message-throughput: 6 better, 0 worse, 0 noise**\n",
        "\n| metric | baseline | now | change | verdict |\n| --- | ---: | ---: | ---: | --- |\n| **performance** | | | | |\n",
        "\n| reply.p50, ms | 0.82 (0.80–0.84) | 0.41 (0.40–0.43) | −50.0 % | better |\n",
        "\n| messages.lost | 0 | 0 | 0 | same |\n",
        "\n| connections.reliability, % | 99.9 | 99.9 | 0 points | same |\n",
        "\n| **code** | | | | |\n| lines of code, lines | 20,000 | 19,000 | −5.0 % | better |\n",
        "\n| boilerplate, lines | not measured | not measured | – | not measured |\n",
        "ranges lie apart by chance in 10.0 of 100 rows.",
        "\n<sub>Figures: lines of code: tokei 14, 2026-11-29.</sub>",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    let text = compared(&side(&[800]), &side(&[400])).written(Form::Markdown);
    for expected in [
        "**message-throughput: 0 better, 0 worse, 0 noise, 5 that may be noise or not**\n",
        "\n| reply.p50, ms | 0.80 | 0.40 | −50.0 % | better, noise unknown |\n",
        "<sub>Noise is unknown: it takes at least two runs of each side",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn what_one_side_did_not_measure_is_said() {
    let now = changed(side(&[800]), |report| {
        report.total.latencies.remove("reply");
        report.server = None;
    });
    let comparison = compared(&side(&[800]), &now);
    for metric in ["reply.p99", "server memory, most"] {
        assert_eq!(row(&comparison, metric).verdict, Verdict::NotMeasured);
        assert_eq!(row(&comparison, metric).now, None);
    }
    let rows = comparison.rows.iter();
    let nowhere = rows.filter(|row| row.metric.starts_with("completion"));
    assert_eq!(nowhere.count(), 0);
}

#[test]
fn what_says_nothing_is_not_compared() {
    let invalid = changed(side(&[800]), |report| {
        report.verdict.outcome = Outcome::Invalid;
        report.verdict.reasons = vec!["it was late".to_owned()];
    });
    let interrupted = changed(side(&[800]), |report| {
        report.verdict.outcome = Outcome::Interrupted;
    });
    let another = changed(side(&[800]), |report| report.name = "another".to_owned());
    let mut inches = side(&[800]);
    inches.figures = vec![Figure {
        unit: "inches".to_owned(),
        ..figure("lines of code", Some(1.0))
    }];
    let mut lines = side(&[800]);
    lines.figures = vec![figure("lines of code", Some(1.0))];
    let good = side(&[800]);
    for (baseline, now, said) in [
        (
            &good,
            &invalid,
            "`0.json` is of a run that was invalid: it was late",
        ),
        (
            &interrupted,
            &good,
            "`0.json` is of a run that was interrupted",
        ),
        (
            &good,
            &another,
            "`0.json` is of the scenario `message-throughput`, and `0.json` is of `another`",
        ),
        (&good, &Side::default(), "the other side has no report"),
        (&Side::default(), &good, "the baseline side has no report"),
        (
            &inches,
            &lines,
            "the figure `lines of code` is in `lines` and in `inches`",
        ),
    ] {
        let refused = Comparison::of(baseline, now, Scenarios::Same).unwrap_err();
        assert_eq!(refused.to_string(), said);
    }
    let comparison = Comparison::of(&good, &another, Scenarios::Different).unwrap();
    assert_eq!(comparison.scenarios.len(), 2);
    assert!(Comparison::of(&good, &invalid, Scenarios::Different).is_err());
}

#[test]
fn what_makes_the_sides_less_alike_is_warned_of() {
    assert_eq!(
        compared(&side(&[800]), &side(&[800])).warnings,
        Vec::<String>::new()
    );
    let other = changed(side(&[800]), |report| {
        report.machine.processors = 4;
        report.seed = 8;
        report.phases[1].name = "shout".to_owned();
        report.verdict.outcome = Outcome::Broken;
    });
    assert_eq!(
        compared(&side(&[800]), &other).warnings,
        [
            "the runs are of different machines: 2 of Processor X, 8 GiB, Linux 6.1 / 4 of Processor X, 8 GiB, Linux 6.1",
            "the runs are of different seeds: 7 / 8",
            "the scenario has other phases: arrive, shout / arrive, talk",
            "thresholds were broken in `0.json`",
        ]
    );
}

#[test]
fn phases_of_other_length_or_load_are_warned_of() {
    let sized = |took_s: u64, begun: u64, due: u64| {
        changed(side(&[800, 820]), move |report| {
            let phase = &mut report.phases[1];
            phase.took_us = took_s * 1_000_000;
            phase
                .measures
                .counts
                .insert(count::CONNECTIONS.to_owned(), begun);
            phase.measures.counts.insert(count::DUE.to_owned(), due);
        })
    };
    for (now, said) in [
        (sized(600, 1000, 60_000), Some("60.0 s to 10 min 0 s")),
        (sized(60, 100, 60_000), Some("100 to 1,000 connections")),
        (
            sized(6, 1000, 6_000),
            Some("6.0 s to 60.0 s, 6,000 to 60,000 messages"),
        ),
        (sized(60, 0, 60_000), Some("0 to 1,000 connections")),
        // Repeats.
        (sized(61, 1040, 63_000), None),
    ] {
        let comparison = compared(&sized(60, 1000, 60_000), &now);
        let said =
            said.map(|said| format!("the phases are of different length or load: `talk` {said}"));
        assert_eq!(comparison.warnings, Vec::from_iter(said));
    }
    // A few more or less of what is seldom are no other load.
    let few = compared(&sized(60, 20, 4), &sized(60, 25, 0));
    assert_eq!(few.warnings, Vec::<String>::new());
}

#[test]
fn the_other_forms_hold_the_same() {
    let evil = "</style><script>alert(1)</script>";
    let mut now = changed(side(&[400]), |report| report.name = evil.to_owned());
    now.figures = vec![figure(evil, Some(1.0))];
    let comparison = Comparison::of(&side(&[800]), &now, Scenarios::Different).unwrap();
    let value: Value = serde_json::from_str(&comparison.written(Form::Json)).unwrap();
    assert_eq!(value["format"], "lift-comparison/1");
    let rows = value["rows"].as_array().unwrap();
    let reply = rows
        .iter()
        .find(|row| row["metric"] == "reply.p50")
        .unwrap();
    assert_eq!(
        [
            &reply["baseline"]["middle"],
            &reply["now"]["middle"],
            &reply["verdict"],
            &reply["noise"]
        ],
        [
            &Value::from(0.8),
            &Value::from(0.4),
            &Value::from("better"),
            &Value::from("unknown")
        ]
    );
    let page = comparison.written(Form::Html);
    assert!(!page.contains("<script"), "{page}");
    for expected in [
        "&lt;script&gt;",
        "<tr class=\"better\"><td>reply.p50, ms</td>",
        "<tr class=\"group\"><td colspan=\"5\">code</td></tr>",
    ] {
        assert!(page.contains(expected), "{expected:?} is not in:\n{page}");
    }
}

#[test]
fn a_file_of_figures_is_read_or_refused() {
    let text = r#"{"format":"lift-figures/1","figures":[
        {"name":"lines of code","value":19000,"unit":"lines","lower_is_better":true,"group":"code","source":"tokei","date":"2026-11-29"},
        {"name":"coverage","value":null,"unit":"%","lower_is_better":false,"group":"code","source":"","date":"2026-11-29"},
        {"name":"boilerplate","unit":"%","lower_is_better":true,"group":"code","source":"","date":"2026-11-29"}]}"#;
    let figures = Figures::read(text).unwrap();
    let values: Vec<_> = figures.figures.iter().map(|figure| figure.value).collect();
    assert_eq!(values, [Some(19_000.0), None, None]);
    let schema = comparison::schema();
    written_to("docs/schemas/load-figures.json", &schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(text).unwrap()));
    for (text, said) in [
        (
            text.replace("lift-figures/1", "lift-figures/2"),
            "its format is `lift-figures/2`, and this version reads `lift-figures/1`",
        ),
        (
            "{}".to_owned(),
            "its format is ``, and this version reads `lift-figures/1`",
        ),
        (
            text.replace("\"value\"", "\"valve\""),
            "it is not of the shape that it should be",
        ),
        (
            "nothing".to_owned(),
            "it is not of the shape that it should be",
        ),
    ] {
        assert_eq!(Figures::read(&text).unwrap_err().to_string(), said);
    }
}
