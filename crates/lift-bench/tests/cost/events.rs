//! Which events a scenario makes.

use std::collections::{BTreeMap, BTreeSet};

use lift_bench::{
    cost::{Estimate, Terms},
    plan::{Part, Plan, What},
};

use crate::{events, near, scenario, used};

/// Behaviours and phases; how often each event happens in a run.
fn case(behaviours: &str, phases: &str, expected: &[(&str, f64)]) {
    let text = format!("{{ name: n, behaviours: {{ {behaviours} }}, phases: [{phases}] }}");
    let events = events(&text, &Terms::default());
    let same = events.len() == expected.len()
        && events
            .iter()
            .zip(expected)
            .all(|(a, b)| a.0 == b.0 && near(a.1, b.1));
    assert!(same, "{text}\n{events:?}, not {expected:?}");
}

#[test]
fn steps_are_done_by_each_client_that_starts() {
    let phases = "{ name: p, duration: 100s, connections_per_second: 2 }";
    let edges = ("connect", 200.0);
    case(
        "b: { steps: [connect, { send: { action: echo } }, disconnect] }",
        phases,
        &[edges, ("disconnect", 200.0), ("echo", 200.0)],
    );
    // A repeat that is laid out, and one that is spread over its time.
    for times in [3_u32, 3_000] {
        case(
            &format!(
                "b: {{ steps: [connect, {{ repeat: {{ times: {times}, steps: [{{ send: {{ action: health }} }}] }} }}] }}"
            ),
            phases,
            &[
                edges,
                ("disconnect", 200.0),
                ("health", 200.0 * f64::from(times)),
            ],
        );
    }
    // What would come after the run's end does not: those that start in the first half do it once, 50 s later.
    case(
        "b: { steps: [connect, { think: 50s }, { send: { action: echo } }] }",
        phases,
        &[edges, ("disconnect", 200.0), ("echo", 100.0)],
    );
}

#[test]
fn who_loses_the_connection_connects_again_and_resumes_its_tasks() {
    let phases = "{ name: p, duration: 100s, connections_per_second: 2 }";
    case(
        "b: { steps: [connect, { reconnect: { offline: 1s } }, { send: { action: echo } }, disconnect] }",
        phases,
        &[("connect", 398.0), ("disconnect", 398.0), ("echo", 198.0)],
    );
    case(
        "b: { steps: [connect, { send: { action: process_data } }, { reconnect: {} }, disconnect] }",
        phases,
        &[
            ("connect", 400.0),
            ("disconnect", 400.0),
            ("process_data", 200.0),
            ("request.resume", 200.0),
        ],
    );
}

#[test]
fn cuts_are_a_disconnect_and_a_connect_of_a_share_of_the_connections() {
    let arrive = "{ name: arrive, duration: 10s, connections_per_second: 10 }";
    let cut =
        |cut: &str| format!("{arrive}, {{ name: p, duration: 100s, faults: [{{ cut: {cut} }}] }}");
    case(
        "b: {}",
        &cut("{ at: 5s }"),
        &[("connect", 200.0), ("disconnect", 200.0)],
    );
    case(
        "b: {}",
        &cut("{ at: 5s, share: 10% }"),
        &[("connect", 110.0), ("disconnect", 110.0)],
    );
    // 100 s of 100 connections, of which each is cut every 20 s.
    case(
        "b: {}",
        &cut("{ each: 20s }"),
        &[("connect", 600.0), ("disconnect", 600.0)],
    );
}

#[test]
fn messages_go_by_the_weights_of_behaviours_and_messages() {
    case(
        "a: { weight: 3, messages: [{ action: echo }, { weight: 2, action: health }] }, b: { messages: [{ action: other }] }, c: {}",
        "{ name: p, duration: 10s, connections_per_second: 5, behaviour: c },
         { name: r, duration: 100s, messages_per_second: 12 }",
        &[
            ("connect", 50.0),
            ("disconnect", 50.0),
            ("echo", 300.0),
            ("health", 600.0),
            ("other", 300.0),
        ],
    );
    // A phase's one behaviour sends all of it.
    case(
        "a: { messages: [{ action: echo }] }, b: { messages: [{ action: health }] }",
        "{ name: q, duration: 10s, messages_per_second: 10, behaviour: b }",
        &[("health", 100.0)],
    );
    // A ramp of messages has the mean of its ends.
    case(
        "a: { messages: [{ action: echo }] }",
        "{ name: q, duration: 10s, messages_per_second: 10, ramp_to: 30 }",
        &[("echo", 200.0)],
    );
}

#[test]
fn a_held_number_of_connections_is_kept_up() {
    // 10 s of 20/s would be 200; 50 stay.
    case(
        "b: {}",
        "{ name: p, duration: 10s, connections_per_second: 20, hold: 50 }",
        &[("connect", 50.0), ("disconnect", 50.0)],
    );
    // Each stays 10 s, so that about 50 in 10 s are replaced, all 100 s long.
    let text = "{ name: n, behaviours: { b: { steps: [connect, { stay: { for: 10s } }] } },
                  phases: [{ name: p, duration: 100s, connections_per_second: 20, hold: 50 }] }";
    let connects = events(text, &Terms::default())[0].1;
    assert!((450.0..=520.0).contains(&connects), "{connects}");
    let scenario = scenario(text);
    let terms = Terms::default();
    let peak = Estimate::of(&scenario, &terms).load().open_peak;
    assert!((45.0..=60.0).contains(&peak), "{peak}");
}

#[test]
fn a_silent_connection_of_streamer_is_kept_open_by_pings() {
    // 100 connections stay an hour; each pings once in 240 s.
    let stay = |speaks: &str| {
        format!(
            "{{ name: n, speaks: {speaks}, behaviours: {{ b: {{}} }},
               phases: [{{ name: p, duration: 1s, connections_per_second: 100 }}, {{ name: q, duration: 1h }}] }}"
        )
    };
    let pings = |text: &str| {
        let events = events(text, &Terms::default());
        let pings = events.into_iter().find(|(name, _)| name == "ping");
        pings.map(|(_, times)| times)
    };
    let times = pings(&stay("streamer")).unwrap();
    assert!((1_490.0..=1_510.0).contains(&times), "{times}");
    assert_eq!(pings(&stay("plain")), None);
    assert_eq!(pings(&stay("streamer").replace("1h", "3m")), None);
    let used = used(&stay("streamer"), &Terms::default());
    assert!(near(used.received, times) && near(used.replies, times));
    // No function hears of it: two for a connect, one for a disconnect.
    assert!(near(used.invokes.values().sum(), 300.0));
}

#[test]
fn actions_are_priced_as_what_they_do() {
    let text = |action: &str, payload: &str| {
        format!(
            "{{ name: n, behaviours: {{ b: {{ messages: [{{ action: {action}, payload: \"{payload}\" }}] }} }},
               phases: [{{ name: p, duration: 10s, messages_per_second: 1 }}] }}"
        )
    };
    let terms = Terms {
        tasks: BTreeSet::from(["render".to_owned()]),
        ..Terms::default()
    };
    for (action, payload, tasks, invokes, posts) in [
        ("echo", "x", 0.0, 10.0, 0.0),
        ("anything", "x", 0.0, 10.0, 0.0),
        ("request.get", "x", 0.0, 10.0, 0.0),
        ("request.resume", "x", 0.0, 10.0, 10.0),
        ("generate_report", "x", 10.0, 30.0, 10.0),
        ("render", "x", 10.0, 30.0, 20.0),
    ] {
        let used = used(&text(action, payload), &terms);
        let invoked: f64 = used.invokes.values().sum();
        let seen = (used.tasks, invoked, used.posts);
        let same = near(seen.0, tasks) && near(seen.1, invokes) && near(seen.2, posts);
        assert!(same, "{action}: {seen:?}");
    }
    let (small, large) = (
        used(&text("process_data", "x"), &terms),
        used(&text("process_data", &"x".repeat(5_000)), &terms),
    );
    assert!(!small.writes.contains_key("BodiesTable"));
    assert!(large.writes["BodiesTable"] > 0.0);
}

#[test]
fn templates_and_other_targets_are_as_far_known_as_they_are() {
    let bytes = |payload: &str| {
        let text = format!(
            "{{ name: n, behaviours: {{ b: {{ messages: [{{ action: echo, payload: {payload} }}] }} }},
               phases: [{{ name: p, duration: 1s, messages_per_second: 1 }}] }}"
        );
        let scenario = scenario(&text);
        let terms = Terms::default();
        let estimate = Estimate::of(&scenario, &terms);
        estimate.load().flows[0].sort.bytes
    };
    assert_eq!(bytes("'{{ client }}'"), bytes("5"));
    assert_eq!(bytes("'{{ client }}{{ seq }}'"), bytes("xy"));
    assert_eq!(bytes("'{{ random(10, 99) }}'"), bytes("''"));
    // What a data file would fill in is as long as its template.
    assert_eq!(
        bytes("['{{ client }}-{{ data.name }}']"),
        bytes(&format!("['{}']", "x".repeat(28)))
    );

    let text = "{ name: n, behaviours: { ours: {}, theirs: { target: 'ws://other' } },
                  phases: [{ name: p, duration: 10s, connections_per_second: 10 }] }";
    assert!(near(events(text, &Terms::default())[0].1, 50.0));
    let scenario = scenario(text);
    let terms = Terms::default();
    let notes = Estimate::of(&scenario, &terms).load().notes.join("\n");
    assert!(
        notes.contains("`theirs` is left out: it goes to `ws://other`"),
        "{notes}"
    );
}

#[test]
fn a_plain_server_is_one_invocation_a_message() {
    let text = "{ name: n, speaks: plain, behaviours: { b: { messages: [{ text: hello }] } },
                  phases: [{ name: p, duration: 10s, connections_per_second: 1, messages_per_second: 10 }] }";
    let used = used(text, &Terms::default());
    // 100 messages, 10 connects, 10 disconnects.
    assert!(near(used.invokes.values().sum(), 120.0), "{used:?}");
    assert!(used.writes.is_empty() && used.reads.is_empty() && used.puts == 0.0);
    let scenario = scenario(text);
    let terms = Terms::default();
    let estimate = Estimate::of(&scenario, &terms);
    assert!(estimate.load().notes[0].contains("speaks `plain`"));
    let bill = estimate.bill();
    let free = bill
        .lines
        .iter()
        .filter(|line| line.says.starts_with("DynamoDB"));
    assert!(free.clone().count() == 4 && free.clone().all(|line| line.usd == 0.0));
}

#[test]
fn a_run_has_due_what_is_priced() {
    let text = "{ name: n,
        behaviours: {
          a: { weight: 3, messages: [{ action: echo }, { action: process_data, weight: 4 }] },
          b: { messages: [{ action: health }] },
          c: {} },
        phases: [
          { name: up, duration: 20s, connections_per_second: 10, ramp_to: 50 },
          { name: talk, duration: 1500ms, messages_per_second: 2000 },
          { name: one, duration: 30s, messages_per_second: 100, behaviour: b },
          { name: down, duration: 20s, messages_per_second: 900, ramp_to: 100 }] }";
    let scenario = scenario(text);
    let mut due = BTreeMap::<String, f64>::new();
    for one in Plan::new(&scenario, Part::WHOLE) {
        let name = match one.what {
            What::Start { .. } => "connect",
            What::Message {
                behaviour: 0,
                message: 0,
                ..
            } => "echo",
            What::Message { behaviour: 0, .. } => "process_data",
            What::Message { .. } => "health",
        };
        *due.entry(name.to_owned()).or_default() += 1.0;
    }
    let priced: BTreeMap<_, _> = events(text, &Terms::default()).into_iter().collect();
    for (name, times) in &due {
        // What is chosen by weight is chosen by chance.
        let slack = if name == "connect" { 1.0 } else { times * 0.05 };
        assert!(
            (times - priced[name]).abs() <= slack,
            "{name}: {due:?} {priced:?}"
        );
    }
    let messages = |of: &BTreeMap<String, f64>| of["echo"] + of["process_data"] + of["health"];
    assert!(
        (messages(&due) - messages(&priced)).abs() <= 2.0,
        "{due:?} {priced:?}"
    );
}
