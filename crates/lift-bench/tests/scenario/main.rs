//! Scenarios as they are written: those of this project can be run, and what is wrong with one is said with its place.
use std::{fs, path::Path};

use lift_bench::{plan::Plan, run, scenario::Scenario};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn every_scenario_of_the_project_can_be_run() {
    let mut read = 0;
    for folder in [
        "scenarios",
        "scenarios/short",
        "scenarios/aws",
        "scenarios/aws/short",
        "tests/load",
    ] {
        let files = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
        for file in files.map(|file| file.unwrap().path()) {
            if file.extension().is_some_and(|ending| ending == "yaml") {
                let text = fs::read_to_string(&file).unwrap();
                let scenario = Scenario::parse(&text)
                    .unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
                run::thresholds(&scenario)
                    .unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
                assert!(
                    !scenario.thresholds.is_empty(),
                    "{} asks for nothing",
                    file.display()
                );
                read += 1;
            }
        }
    }
    assert!(read >= 26, "{read} scenarios are there");
}

#[test]
fn the_seeds_rates_come_out_of_the_schedule_exactly() {
    for (file, phase, wanted) in [
        ("connection-storm", 0, 30_000),
        ("message-throughput", 3, 660_000),
        ("jitter", 1, 160_000),
        ("workers", 1, 10_000),
        ("aws/connection-storm", 0, 30_000),
        ("aws/message-throughput", 3, 660_000),
        ("aws/jitter", 1, 8_000),
        ("aws/workers", 1, 10_000),
    ] {
        let text = fs::read_to_string(format!("{ROOT}/scenarios/{file}.yaml")).unwrap();
        let scenario = Scenario::parse(&text).unwrap();
        let due = Plan::new(&scenario, lift_bench::plan::Part::WHOLE);
        let count = due.filter(|due| due.phase == phase).count();
        assert_eq!(count, wanted, "{file}");
    }
}

#[test]
fn the_pages_examples_are_scenarios() {
    let page = fs::read_to_string(format!("{ROOT}/docs/load-scenarios.md")).unwrap();
    let blocks: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 5, "{} examples", blocks.len());
    for block in blocks {
        let text = if block.starts_with("faults:") {
            let faults = block
                .lines()
                .map(|line| format!("    {line}\n"))
                .collect::<String>();
            format!(
                "{START}behaviours: {{ a: {{ messages: [{{ action: echo }}] }} }}\nphases:\n  - name: p\n    duration: 30s\n{faults}"
            )
        } else if block.starts_with("server:") {
            format!("{START}behaviours: {{ a: {{ messages: [{{ action: echo }}] }} }}\n{block}")
        } else if block.starts_with("thresholds:") {
            continue;
        } else {
            block.to_owned()
        };
        Scenario::parse(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    }
}

const START: &str = "name: n\ntarget: ws://127.0.0.1:1\n";

fn check(text: &str, wanted: &str) {
    let problem =
        match Scenario::parse(text).and_then(|scenario| run::thresholds(&scenario).map(|_| ())) {
            Ok(()) => panic!("it is accepted, and should say `{wanted}`:\n{text}"),
            Err(problem) => problem.to_string(),
        };
    assert!(
        problem.contains(wanted),
        "it says `{problem}` and not `{wanted}`"
    );
}

fn behaving(inner: &str) -> String {
    format!("{START}behaviours: {{ a: {{ {inner} }} }}\nphases: [{{ name: p, duration: 1s }}]\n")
}

fn phase(inner: &str) -> String {
    let behaviours = "behaviours: { a: { messages: [{ action: echo }] } }";
    format!("{START}{behaviours}\nphases: [{{ name: p, duration: 10s, {inner} }}]\n")
}

#[test]
fn a_behaviour_that_cannot_work_is_said_with_its_place_and_what_was_perhaps_meant() {
    for (text, wanted) in [
        (behaving("stepz: []"), "line 3, column 20"),
        (behaving("steps: [conect]"), "did you mean `connect`?"),
        (behaving("steps: [{ think: 5 parsecs }]"), "is no time"),
        (behaving("steps: [{ think: 5s..1s }]"), "goes down"),
        (
            behaving("steps: [{ think: 1s }]"),
            "its first step is not `connect`",
        ),
        (behaving("messages: [{ text: hi }]"), "has an `action`"),
        (behaving("messages: [{ action: ping }]"), "use `health`"),
        (
            behaving("speaks: plain, messages: [{ action: echo }]"),
            "has a `text`",
        ),
        (behaving("in_flight: 0"), "line 3"),
    ] {
        check(&text, wanted);
    }
}

#[test]
fn a_step_is_its_name_or_its_name_with_what_it_needs() {
    for steps in [
        "[connect, stay, disconnect]",
        "[connect, { stay: {} }, { stay: { for: 1s..2s } }]",
        "[connect, reconnect, { reconnect: { offline: 1s } }]",
        "[connect: , think: 1s, stay: ]",
        "[connect, { repeat: { times: 2, steps: [{ send: { action: echo } }] } }]",
    ] {
        let text = behaving(&format!("steps: {steps}"));
        Scenario::parse(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    }
    for (steps, wanted) in [
        ("[connect, think]", "`think` needs to be told what"),
        (
            "[connect, { think: 1s, stay: {} }]",
            "`stay` is a second step",
        ),
        ("[connect, { stya: {} }]", "did you mean `stay`?"),
        ("[connect, { stay: { fro: 1s } }]", "unknown field `fro`"),
        ("[connect, 7]", "7"),
    ] {
        check(&behaving(&format!("steps: {steps}")), wanted);
    }
}

#[test]
fn a_handshake_that_cannot_be_is_said_with_its_place() {
    for (key, wanted) in [
        (
            "headers: { x-a: '{{ clinet }}' }",
            "line 3, column 36: unknown name `clinet`",
        ),
        ("headers: { x-a: '{{ clinet }}' }", "did you mean `client`?"),
        (
            "headers: { x-a: '{{ client' }",
            "line 3, column 36: the template `{{ client`",
        ),
        ("headers: { x-a: \"a\\r\\nb\" }", "line 3, column 36"),
        ("headers: { x-a: ' a' }", "begins or ends with a space"),
        ("headers: { x a: b }", "line 3, column 31: `x a` is no name"),
        ("headers: { x-a: a, X-A: b }", "`x-a` is there twice"),
        (
            "headers: { x-a: a, Host: b }",
            "line 3, column 39: the header `host` is set by the handshake itself",
        ),
        ("headers: { upgrade: a }", "`upgrade` is set"),
        ("headers: { connection: a }", "`connection` is set"),
        ("headers: { sec-websocket-key: a }", "-key` is set"),
        (
            "target: 'ws://{{ client }}.example/'",
            "line 3, column 28: `ws://{{ client }}.example/` has a template before its path",
        ),
        (
            "target: 'ws://a.example/{{ seq }}'",
            "line 3, column 28: unknown name `seq`",
        ),
    ] {
        check(&behaving(key), wanted);
    }
    let whole = behaving("").replace("ws://127.0.0.1:1", "ws://a.example/?a={{ clinet }}");
    check(&whole, "line 2, column 9: unknown name `clinet`");
    check(
        &format!("headers: {{ te xt: a }}\n{}", behaving("")),
        "line 1, column 12",
    );
}

#[test]
fn a_handshake_that_the_first_client_cannot_make_is_said_before_a_run() {
    for (inner, more, wanted) in [
        (
            "target: 'ws://a.example/{{ data.room }}'",
            "",
            "behaviour `a`: the template `ws://a.example/{{ data.room }}`",
        ),
        (
            "target: 'ws://a.example/two words{{ client }}'",
            "",
            "`ws://a.example/two words0` cannot be read",
        ),
        (
            "headers: { x-a: '{{ data.room }}' }",
            "",
            "the header `x-a`: the template",
        ),
        (
            "headers: { x-a: '{{ \"\\n\" }}' }",
            "",
            "the header `x-a`: its value begins or ends",
        ),
        (
            "headers: { x-a: 'a{{ \"\\n\" }}b' }",
            "",
            "the header `x-a`: its value has characters",
        ),
        (
            "headers: { Authorization: Basic YTpi }",
            "tokens: {}\n",
            "the header `authorization` is set by the handshake itself, from the token",
        ),
    ] {
        let text = format!("{}{more}", behaving(inner));
        let refused = run::check(&Scenario::parse(&text).unwrap()).unwrap_err();
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
    let text = behaving("headers: { Authorization: Basic YTpi }, target: echo");
    run::check(&Scenario::parse(&text).unwrap()).unwrap();
}

#[test]
fn what_a_run_cannot_do_is_said_before_it() {
    for (inner, wanted) in [
        (
            "messages: [{ action: echo, payload: \"{{ clinet }}\" }]",
            "clinet",
        ),
        (
            "messages: [{ action: echo, payload: \"{{ client\" }]",
            "template",
        ),
    ] {
        let text = format!(
            "{START}behaviours: {{ a: {{ {inner} }} }}\nphases: [{{ name: p, duration: 1s, connections_per_second: 1 }}]\n"
        );
        let refused = run::check(&Scenario::parse(&text).unwrap()).unwrap_err();
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
    let text = phase("messages_per_second: 1");
    let refused = run::check(&Scenario::parse(&text).unwrap()).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("no phase until then has `connections_per_second`"),
        "{refused}"
    );
}

#[test]
fn a_phase_that_cannot_work_is_refused() {
    for (text, wanted) in [
        (
            phase("connections_per_second: -1"),
            "`connections_per_second` is not in",
        ),
        (
            phase("connections_per_second: .nan"),
            "`connections_per_second` is not in",
        ),
        (
            phase("connections_per_second: 1, messages_per_second: 1, ramp_to: 5"),
            "has two",
        ),
        (phase("ramp_to: 5"), "has none"),
        (phase("behaviour: b"), "there is no behaviour `b`"),
        (phase("faults: [{ kill: {} }]"), "it has no `server`"),
        (
            phase("faults: [{ cut: { at: 10s } }]"),
            "begins after its end",
        ),
        (phase("faults: [{ cut: { each: 0 } }]"), "`each` of `cut`"),
        (phase("faults: [{ network: { slice: 0 } }]"), "at least 1"),
        (
            phase("faults: [{ network: { for: 3s } }, { network: { at: 2s } }]"),
            "overlap",
        ),
    ] {
        check(&text, wanted);
    }
}

#[test]
fn a_file_that_is_no_scenario_is_refused() {
    let rest = "behaviours: { a: {} }\nphases: [{ name: p, duration: 1s }]\n";
    for (text, wanted) in [
        (
            format!("{START}behaviuors: {{}}\n"),
            "line 3, column 1: unknown field `behaviuors`",
        ),
        (
            format!("{START}behaviuors: {{}}\n"),
            "did you mean `behaviours`?",
        ),
        (
            format!("{START}{rest}thresholds: [\"repyl.p99 < 1ms\"]"),
            "reply",
        ),
        (
            format!("{START}{rest}thresholds: [\"messages.lost < 1ms\"]"),
            "ms",
        ),
        (format!("{START}{rest}processes: 0"), "`processes` is 0"),
        (
            format!("{START}phases: []\nbehaviours: {{}}\n"),
            "at least one",
        ),
        (format!("{START}name: again\n{rest}"), "line 3"),
        ("]".to_owned(), "line 1"),
        (String::new(), "line 1"),
        ("x".repeat(2 * 1024 * 1024), "at most"),
    ] {
        check(&text, wanted);
    }
}
