//! A report comes in; each of its forms comes out, whole and readable by its own rules.

use lift_bench::report::{self, FaultReport, Form, Outcome, Report, count};
use serde_json::Value;

use crate::sample::{judged, report, written_to};

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
         · 1 dropped · 0 lost, 0 twice, 0 out of order"
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
    report.faults = vec![FaultReport {
        phase: "talk".to_owned(),
        began_us: 12_000_000,
        what: "run of kill".to_owned(),
        ran: 1200,
        failed: 3,
        failure: Some("nobody was there".to_owned()),
    }];
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
        "\n  close 1006     no close frame           1\n",
        "\n  handshake 101                       1,000\n",
        "\n  arrive (not counted)   0.0 s  10.0 s  ",
        "  errors  reply p50, ms  reply p99, ms\n",
        "\n  generator lag p99, ms                               0.16\n",
        "\n  fault        phase  what a failure said    ran  failed   began\n  run of kill  talk   nobody was there     1,200       3  12.0 s\n",
        "\n  server memory, most                             96.0 MiB\n",
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
fn a_report_of_before_commands_were_counted_is_read() {
    let mut value: Value = serde_json::from_str(&report().written(Form::Json)).unwrap();
    value["faults"] =
        serde_json::json!([{ "phase": "talk", "began_us": 1, "what": "run of kill", "failed": 2 }]);
    let fault = Report::read(&value.to_string()).unwrap().faults.remove(0);
    assert_eq!((fault.ran, fault.failed), (0, 2));
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
        ("{}".to_owned(), "it is not of the shape that it should be"),
        ("[1".to_owned(), "it is not of the shape that it should be"),
    ] {
        assert_eq!(Report::read(&text).unwrap_err().to_string(), said);
    }
}

#[test]
fn the_published_schema_is_the_types_own_and_a_report_keeps_it() {
    let schema = report::schema();
    written_to("docs/schemas/load-report.json", &schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut value: Value = serde_json::from_str(&report().written(Form::Json)).unwrap();
    assert_eq!(validator.iter_errors(&value).count(), 0);
    value["verdict"]["outcome"] = "perhaps".into();
    assert!(!validator.is_valid(&value));
}

/// The records of a CSV text, each with its five fields.
fn records(text: &str) -> Vec<[String; 5]> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    assert_eq!(
        reader.headers().unwrap(),
        vec!["part", "name", "metric", "value", "unit"]
    );
    let records = reader.deserialize::<[String; 5]>();
    records.collect::<Result<_, _>>().unwrap()
}

#[test]
fn csv_has_a_row_for_each_figure() {
    let mut report = report();
    report.phases[1].name = "talk, \"loud\"\nand long".to_owned();
    let text = report.written(Form::Csv);
    assert!(
        text.starts_with("part,name,metric,value,unit\r\n"),
        "{text}"
    );
    let records = records(&text);
    for expected in [
        ["run", "", "seed", "7", ""],
        ["run", "", "outcome", "passed", ""],
        ["threshold", "reply.p99 < 100ms", "held", "true", ""],
        ["threshold", "reply.p99 < 100ms", "measured", "3.2ms", ""],
        ["total", "", "reply.p99", "3200", "us"],
        ["total", "", "reply.uncorrected.count", "600000", ""],
        ["total", "", "closes.1006", "1", ""],
        ["behaviour", "talker", "messages.due", "300000", ""],
        [
            "phase",
            "talk, \"loud\"\nand long",
            "took",
            "60000000",
            "us",
        ],
        ["phase", "arrive", "measured", "false", ""],
        ["generator", "", "lag.p99", "160", "us"],
        ["generator", "", "cpu.median", "31.00", "%"],
        ["server", "", "memory.max", "100663296", "bytes"],
        ["second", "3", "p99", "", "us"],
        ["second", "12", "sent", "10000", "/s"],
    ] {
        let expected = expected.map(str::to_owned);
        assert!(records.contains(&expected), "{expected:?}");
    }
}

/// Name and attributes of every element, as an XML parser reads them.
fn elements(text: &str) -> Vec<(String, std::collections::BTreeMap<String, String>)> {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut elements = Vec::new();
    loop {
        use quick_xml::events::Event;
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => {
                let attributes = element.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let name = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let raw = String::from_utf8(attribute.value.to_vec()).unwrap();
                    (
                        name,
                        quick_xml::escape::unescape(&raw).unwrap().into_owned(),
                    )
                });
                let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
                elements.push((name, attributes.collect()));
            }
            Event::Eof => return elements,
            _ => {}
        }
    }
}

#[test]
fn junit_has_a_case_for_each_threshold() {
    let mut report = report();
    report.name = "a <\"&'> \u{1} b".to_owned();
    report
        .thresholds
        .push(judged("reply.max < 10ms", Some("12ms"), false));
    report.thresholds.push(judged("errors == 0", None, false));
    report.verdict.outcome = Outcome::Broken;
    let elements = elements(&report.written(Form::Junit));
    let suite = &elements[1].1;
    assert_eq!(
        [
            "name",
            "tests",
            "failures",
            "errors",
            "skipped",
            "time",
            "timestamp"
        ]
        .map(|name| suite[name].as_str()),
        [
            "a <\"&'> \u{fffd} b",
            "4",
            "2",
            "0",
            "0",
            "70.400",
            "2026-11-29T10:00:00Z"
        ]
    );
    let cases: Vec<_> = elements
        .iter()
        .filter(|(name, _)| name == "testcase")
        .collect();
    let names: Vec<_> = cases
        .iter()
        .map(|(_, attributes)| attributes["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "reply.p99 < 100ms",
            "messages.lost == 0",
            "reply.max < 10ms",
            "errors == 0"
        ]
    );
    let failures = elements.iter().filter(|(name, _)| name == "failure");
    let messages: Vec<_> = failures
        .map(|(_, attributes)| attributes["message"].as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "`reply.max < 10ms`: measured 12ms",
            "`errors == 0`: measured nothing"
        ]
    );
}

#[test]
fn junit_calls_a_run_that_was_interrupted_so_and_no_more() {
    let mut report = report();
    report.verdict.outcome = Outcome::Interrupted;
    report.verdict.reasons.clear();
    let elements = elements(&report.written(Form::Junit));
    let (_, error) = elements.iter().find(|(name, _)| name == "error").unwrap();
    assert_eq!(error["message"], "interrupted");
}

#[test]
fn junit_calls_an_invalid_run_an_error_and_its_thresholds_skipped() {
    let mut report = report();
    report.verdict.outcome = Outcome::Invalid;
    report.verdict.reasons = vec!["the generator was late".to_owned()];
    let elements = elements(&report.written(Form::Junit));
    let suite = &elements[1].1;
    assert_eq!(
        ["tests", "failures", "errors", "skipped"].map(|name| suite[name].as_str()),
        ["3", "0", "1", "2"]
    );
    let (name, attributes) = &elements[3];
    assert_eq!(
        (name.as_str(), attributes["message"].as_str()),
        ("error", "invalid: the generator was late")
    );
    // One of which nothing was asked is one case.
    report.verdict.outcome = Outcome::Passed;
    report.thresholds.clear();
    let elements = self::elements(&report.written(Form::Junit));
    assert_eq!(elements[1].1["tests"], "1");
    assert_eq!(elements[2].1["name"], "the run");
}

#[test]
fn markdown_is_a_verdict_and_two_tables_whatever_the_names_hold() {
    let mut report = report();
    report.name = "a|b <img src=x> @everyone [x](y) `z`\n# h".to_owned();
    report
        .thresholds
        .push(judged("reply{a|b}.p99 < 1ms", None, false));
    report.verdict.reasons = vec!["it `broke`".to_owned()];
    let text = report.written(Form::Markdown);
    assert!(
        text.starts_with(
            "**passed: a\\|b &lt;img src=x&gt; &#64;everyone \\[x\\](y) \\`z\\`\u{fffd}\\# h · 600,000 of 600,000"
        ),
        "{text}"
    );
    for expected in [
        "\n- it \\`broke\\`\n",
        "\n| verdict | threshold | measured |\n| --- | --- | ---: |\n| held | reply.p99 &lt; 100ms | 3.2ms |\n",
        "\n| BROKEN | reply{a\\|b}.p99 &lt; 1ms | not measured |\n",
        "\n| reply | 600,000 | 0.20 | 1.0 | 0.80 | 1.6 | 2.4 | 3.2 | 6.4 | 12.0 |\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    assert!(
        rows.map(cells).all(|cells| cells == 4 || cells == 11),
        "{text}"
    );
}

#[test]
fn a_page_holds_names_as_text_and_stays_small() {
    let mut report = report();
    let evil = "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    report.name = evil.to_owned();
    report.about = evil.to_owned();
    report.target = evil.to_owned();
    report.verdict.reasons = vec![evil.to_owned()];
    report.machine.processor = evil.to_owned();
    report.phases[0].name = evil.to_owned();
    report.thresholds[0].threshold = evil.to_owned();
    report.thresholds[0].measured = Some(evil.to_owned());
    report.total.errors.insert(evil.to_owned(), 1);
    let measures = report.behaviours["raw"].clone();
    report.behaviours.insert(evil.to_owned(), measures);
    let moments = report.timeline.iter().cycle().take(600).cloned();
    report.timeline = moments.collect();
    for (second, moment) in (0..).zip(&mut report.timeline) {
        moment.second = second * 6;
    }
    let page = report.written(Form::Html);
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert_eq!(page.matches("</title></style>").count(), 0);
    assert!(page.matches("&lt;script&gt;").count() >= 8, "{page}");
    assert!(page.len() < 500_000, "{} bytes", page.len());
    assert!(page.contains("Latency by percentile"), "{page}");
}

#[test]
fn a_report_of_nothing_has_every_form() {
    let mut report = report();
    report.total = lift_bench::report::Measures::default();
    report.behaviours.clear();
    report.phases.clear();
    report.timeline.clear();
    report.thresholds.clear();
    report.server = None;
    report.machine = lift_bench::report::Machine::default();
    for form in Form::ALL {
        let text = report.written(form);
        assert!(text.contains("message-throughput"), "{form}: {text}");
        assert!(
            !text.contains("NaN") && !text.contains("inf"),
            "{form}: {text}"
        );
        assert_eq!(Form::named(form.name()), Some(form));
    }
    assert_eq!(Form::named("pdf"), None);
}
