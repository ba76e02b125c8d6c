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
            "line 3, column 36: `x-a`: unknown name `clinet`",
        ),
        ("headers: { x-a: '{{ clinet }}' }", "did you mean `client`?"),
        (
            "headers: { x-a: '{{ client' }",
            "line 3, column 36: `x-a`: the template `{{ client`",
        ),
        ("headers: { x-a: \"a\\r\\nb\" }", "line 3, column 36"),
        ("headers: { x-a: ' a' }", "begins or ends with a space"),
        (
            "headers: { x a: b }",
            "line 3, column 31: `x a`: it is no name of a header",
        ),
        ("headers: { x-a: a, X-A: b }", "`x-a` is there twice"),
        (
            "headers: { x-a: a, Host: b }",
            "line 3, column 39: `Host`: the header `host` is set by the handshake itself",
        ),
        ("headers: { upgrade: a }", "`upgrade` is set"),
        ("headers: { connection: a }", "`connection` is set"),
        ("headers: { sec-websocket-key: a }", "-key` is set"),
        (
            "target: 'ws://{{ client }}.example/'",
            "line 3, column 28: `target`: `ws://{{ client }}.example/` has a template before its path",
        ),
        (
            "target: 'ws://a.example/{{ seq }}'",
            "line 3, column 28: `target`: unknown name `seq`",
        ),
    ] {
        check(&behaving(key), wanted);
    }
    let whole = behaving("").replace("ws://127.0.0.1:1", "ws://a.example/?a={{ clinet }}");
    check(&whole, "line 2, column 9: `target`: unknown name `clinet`");
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

/// What is said of a text, all of it.
fn said(text: &str) -> String {
    match Scenario::parse(text) {
        Ok(_) => format!("nothing:\n{text}"),
        Err(problem) => problem.to_string(),
    }
}

/// Of a phase, what is said of one more key.
fn check_phase_says(inner: &str, column: usize, wanted: &str) {
    let wanted = format!("line 4, column {column}: {wanted}");
    assert_eq!(said(&phase(inner)), wanted, "{inner}");
}

#[test]
fn a_rate_that_is_no_number_is_said_with_its_key_and_what_is_wanted() {
    for (inner, column, is) in [
        ("connections_per_second: lots", 60, "`lots`"),
        ("messages_per_second: 10/s", 57, "`10/s`"),
        ("messages_per_second: [1]", 57, "a list"),
        ("messages_per_second: { a: 1 }", 57, "a map"),
        ("messages_per_second: ", 55, "empty"),
        ("ramp_to: 'up'", 45, "`'up'`"),
    ] {
        let (key, _) = inner.split_once(':').unwrap();
        let wanted = format!("`{key}` is {is}: write a number, such as `20` or `0.5`");
        check_phase_says(inner, column, &wanted);
    }
}

#[test]
fn a_value_that_its_key_does_not_take_is_said_with_both_and_with_what_is_wanted() {
    for (inner, column, wanted) in [
        (
            "hold: 1.5",
            42,
            "`hold` is `1.5`: write a whole number from 0 to 4294967295",
        ),
        (
            "measured: maybe",
            46,
            "`measured` is `maybe`: write `true` or `false`",
        ),
        (
            "faults: { kill: {} }",
            44,
            "`faults` is a map: write a list, such as `[one, two]`",
        ),
        (
            "faults: [{ cut: { at: [1s] } }]",
            58,
            "`at` is a list: write a time, such as `500ms` or `30s`",
        ),
        (
            "faults: [{ cut: { at: soon } }]",
            58,
            "`at`: `soon` is no time: write 500ms, 30s, 5m or 1h",
        ),
        (
            "faults: [{ cut: { share: 2 } }]",
            61,
            "`share`: `2` is no share: write 0.5 or 50%",
        ),
        (
            "faults: [{ network: { reset_after: 5MB } }]",
            71,
            "`reset_after` is `5MB`: write a whole number of bytes, such as `65536`",
        ),
        (
            "faults: [{ run: { command: false } }]",
            63,
            "`command` is `false`: write a list of words, such as `[my-server, --port, \"7070\"]`",
        ),
    ] {
        check_phase_says(inner, column, wanted);
    }
}

#[test]
fn what_is_no_value_of_the_whole_file_is_said_in_its_own_words() {
    let rest = "behaviours: { a: {} }\nphases: [{ name: p, duration: 1s }]\n";
    let threshold = "write a text, such as `reply.p99 < 100ms`";
    for (text, wanted) in [
        (
            "thresholds:\n  - reply.p99: 100ms",
            format!("line 6, column 5: one of `thresholds` is a map: {threshold}"),
        ),
        (
            "thresholds: [{ reply.p99: 100ms }]",
            format!("line 5, column 14: one of `thresholds` is a map: {threshold}"),
        ),
        (
            "thresholds: reply.p99 < 100ms",
            "line 5, column 13: `thresholds` is `reply.p99 < 100ms`: write a list of texts, such as \
             `[\"reply.p99 < 100ms\"]`"
                .to_owned(),
        ),
        (
            "server: { command: lift dev }",
            "line 5, column 20: `command` is `lift dev`: write a list of words, such as `[my-server, --port, \
             \"7070\"]`"
                .to_owned(),
        ),
        (
            "server: {}",
            "line 5, column 9: `server` has no `command`".to_owned(),
        ),
        (
            "server: lift",
            "line 5, column 9: `server` is `lift`: write keys with values, such as `key: value`"
                .to_owned(),
        ),
        (
            "sources: [here]",
            "line 5, column 11: one of `sources` is `here`: write an IP address, such as `127.0.0.2`"
                .to_owned(),
        ),
        (
            "processes: 100000",
            "line 5, column 12: `processes` is `100000`: write a whole number from 1 to 64".to_owned(),
        ),
        (
            "limits: { lag:  }",
            "line 5, column 14: `lag` is empty: write a time, such as `500ms` or `30s`".to_owned(),
        ),
        (
            "about: b\nabout: c",
            "line 6, column 1: `about` is there twice".to_owned(),
        ),
    ] {
        assert_eq!(said(&format!("{START}{rest}{text}\n")), wanted);
    }
    // A value by way of an alias has the place where it is written.
    let alias = "name: n\nabout: &many lots\nbehaviours: { a: {} }\nphases:\n  - name: p\n    duration: 1s\n    \
                 connections_per_second: *many\n";
    assert_eq!(
        said(alias),
        "line 2, column 14: `connections_per_second` is `lots`: write a number, such as `20` or `0.5`"
    );
}

#[test]
fn what_no_run_can_do_is_refused_with_its_place() {
    let phases = |phases: &str| format!("{START}behaviours: {{ a: {{}} }}\nphases:\n{phases}");
    let target = |target: &str| {
        let rest = "behaviours: { a: {} }\nphases: [{ name: p, duration: 1s }]";
        format!("name: n\ntarget: {target}\n{rest}\n")
    };
    for (text, wanted) in [
        (
            target("http://127.0.0.1:7070"),
            "line 2, column 9: `target`: `http://127.0.0.1:7070` is no `ws://` or `wss://` URL: write \
             `ws://127.0.0.1:7070`",
        ),
        (
            target("127.0.0.1:7070"),
            "line 2, column 9: `target`: `127.0.0.1:7070` is no `ws://` or `wss://` URL: write `ws://127.0.0.1:7070`",
        ),
        (
            target("ws://"),
            "line 2, column 9: `target`: `ws://` is no `ws://` or `wss://` URL: write `ws://127.0.0.1:7070`",
        ),
        (
            target("echo"),
            "line 2, column 9: `target`: `echo` is no `ws://` or `wss://` URL: write `ws://127.0.0.1:7070`",
        ),
        (
            behaving("target: localhost"),
            "line 3, column 28: `target`: `localhost` is no `ws://` or `wss://` URL: write `ws://127.0.0.1:7070`, or \
             `echo` for the generator's own server",
        ),
        (
            phases("  - name: p\n    duration: 0s\n"),
            "line 6, column 15: `duration`: it is 0: nothing is due in no time",
        ),
        (
            phases("  - { name: p, duration: 0 }\n"),
            "line 5, column 26: `duration`: it is 0: nothing is due in no time",
        ),
        (
            phases(
                "  - { name: p, duration: 1s }\n  - { name: q, duration: 1s }\n  - { duration: 1s, name: p }\n",
            ),
            "line 7, column 27: two phases are named `p`: reports and thresholds know a phase by its name",
        ),
        (
            phases(
                "  - { name: p, duration: 1s }\n  - name: q\n    duration: 1s\n    ramp_to: 5\n",
            ),
            "line 6, column 5: phase `q`: `ramp_to` changes a rate, and the phase has none: give one to begin with, such \
             as 0.1",
        ),
        (
            behaving("steps: [stay]"),
            "line 3, column 18: behaviour `a`: its first step is not `connect`",
        ),
    ] {
        assert_eq!(said(&text), wanted);
    }
    for text in [
        target("wss://example.test/prod?x=1"),
        target("ws://[::1]:7070/"),
        target("~"),
        behaving("target: echo, speaks: plain"),
        behaving("target: wss://example.test"),
    ] {
        Scenario::parse(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    }
}

#[test]
fn a_template_that_cannot_be_used_is_said_as_it_was_written_with_the_names_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("people.csv");
    fs::write(&file, "name,zip\nada,01\n").unwrap();
    let data = format!("data: {}\n", file.display());
    let names = "there are `client`, `seq`, `id`, `seed`, `random(from, to)`";
    for (data, payload, wanted) in [
        (
            data.as_str(),
            r#"{ n: "{{ seq }}", deep: [{ who: "{{ data.nam }}" }], x: y }"#,
            format!(
                "the template `{{{{ data.nam }}}}` uses a name that there is not: {names}, `data.name`, `data.zip`"
            ),
        ),
        (
            "",
            r#"{ text: "to {{ data.zip }}!" }"#,
            format!(
                "the template `to {{{{ data.zip }}}}!` uses a name that there is not: {names}; the columns of a file that \
                 `data` names are `data.COLUMN`"
            ),
        ),
        (
            "",
            r#"{ n: "{{ random(2, 1) }}" }"#,
            "the template `{{ random(2, 1) }}`: invalid operation: random(2, 1) has nothing to choose from"
                .to_owned(),
        ),
    ] {
        let text = format!(
            "{START}{data}behaviours: {{ a: {{ messages: [{{ action: echo, payload: {payload} }}] }} }}\nphases: [{{ name: p, \
             duration: 1s, connections_per_second: 1 }}]\n"
        );
        let refused = run::check(&Scenario::parse(&text).unwrap()).unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.ends_with(&wanted),
            "it says `{refused}` and not `{wanted}`"
        );
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
