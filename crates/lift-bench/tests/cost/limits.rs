//! Quotas that a scenario meets, and those that it does not.

use lift_bench::cost::{Quota, Raise, Terms, Verdict};

use crate::{check, near};

fn talking(rate: u32, action: &str, sub: &str) -> String {
    format!(
        "{{ name: n, tokens: {{ sub: '{sub}' }}, behaviours: {{ b: {{ messages: [{{ action: {action} }}] }} }},
           phases: [{{ name: a, duration: 100s, connections_per_second: 10 }},
                    {{ name: p, duration: 100s, messages_per_second: {rate} }}] }}"
    )
}

const EACH: &str = "u-{{ client }}";

#[test]
fn new_connections_past_the_quota_are_over_until_it_is_raised() {
    let text = |rate: u32| {
        format!(
            "{{ name: n, behaviours: {{ b: {{}} }}, phases: [{{ name: p, duration: 10s, connections_per_second: {rate} }}] }}"
        )
    };
    for (rate, verdict) in [
        (100, Verdict::Ok),
        (400, Verdict::Near),
        (500, Verdict::Near),
        (600, Verdict::Over),
    ] {
        let check = check(&text(rate), &Terms::default(), Quota::Connects).unwrap();
        assert_eq!(check.verdict, verdict, "{check:?}");
        assert!(near(check.peak, rate.into()), "{check:?}");
        assert!(matches!(check.raise, Raise::Ask(_)));
    }
    let mut raised = Terms::default();
    raised.quotas.insert(Quota::Connects, 2_000.0);
    let check = check(&text(600), &raised, Quota::Connects).unwrap();
    assert_eq!((check.verdict, check.share), (Verdict::Ok, 0.3));
}

#[test]
fn posts_share_the_accounts_requests_with_messages() {
    // A report is a message and a post.
    let (echo, report) = (
        talking(900, "echo", EACH),
        talking(900, "generate_report", EACH),
    );
    let peak = |text: &str, quota| check(text, &Terms::default(), quota).unwrap().peak;
    assert!(near(peak(&echo, Quota::Requests), 900.0));
    assert!(near(peak(&report, Quota::Requests), 1_800.0));
    assert!(near(peak(&report, Quota::Stage), 900.0));
    let stage = check(&echo, &Terms::default(), Quota::Stage).unwrap();
    assert_eq!(stage.verdict, Verdict::Near);
    assert!(matches!(stage.raise, Raise::Set(what) if what.contains("RequestRate")));
}

#[test]
fn concurrency_is_rate_times_duration() {
    let mut terms = Terms::default();
    for (name, ms) in [
        ("accept_ms", 20.0),
        ("dispatch_ms", 30.0),
        ("task_ms", 5_950.0),
    ] {
        terms.assumed.set(name, ms).unwrap();
    }
    let text = talking(100, "generate_report", EACH);
    let all = check(&text, &terms, Quota::Concurrency).unwrap();
    assert!(near(all.peak, 600.0), "{all:?}");
    let ramp = check(&text, &terms, Quota::ConcurrencyRamp).unwrap();
    assert!(near(ramp.peak, 595.0), "{ramp:?}");
    assert_eq!(ramp.of.as_deref(), Some("ProcessorFunction"));
    // Where it grows in 100 s, most comes in the first ten, before which there was nothing: 10.5 a second then.
    let slowly = "{ name: n, behaviours: { b: { messages: [{ action: generate_report }] } },
        phases: [{ name: p, duration: 100s, messages_per_second: 1, ramp_to: 101 }] }";
    let ramp = check(slowly, &terms, Quota::ConcurrencyRamp).unwrap();
    assert!(near(ramp.peak, 10.5 * 5.95), "{ramp:?}");
}

#[test]
fn one_user_is_one_partition_key() {
    let (one, each) = (
        check(
            &talking(200, "process_data", "ann"),
            &Terms::default(),
            Quota::KeyWrites,
        )
        .unwrap(),
        check(
            &talking(200, "process_data", EACH),
            &Terms::default(),
            Quota::KeyWrites,
        )
        .unwrap(),
    );
    assert_eq!(one.verdict, Verdict::Over);
    assert!(
        one.of
            .as_ref()
            .unwrap()
            .starts_with("RequestsTable, the busiest user"),
        "{one:?}"
    );
    assert_eq!(one.raise, Raise::No);
    assert_eq!(each.verdict, Verdict::Ok);
    // One tenant's reports are in four keys, all requests that are due in sixteen.
    assert!(
        each.of
            .as_ref()
            .unwrap()
            .starts_with("RequestsTable/index/"),
        "{each:?}"
    );
    let ten = talking(200, "process_data", "u-{{ client % 10 }}");
    let ten = check(&ten, &Terms::default(), Quota::KeyWrites).unwrap();
    assert!(
        one.peak > ten.peak && ten.peak >= each.peak,
        "{one:?} {ten:?}"
    );
}

#[test]
fn times_and_sizes_are_held_to_the_gateways() {
    let stays = |length: &str, speaks: &str| {
        format!(
            "{{ name: n, speaks: {speaks}, behaviours: {{ b: {{}} }}, phases: [{{ name: p, duration: 1s, connections_per_second: 1 }}, {{ name: q, duration: {length} }}] }}"
        )
    };
    for (length, open, idle) in [
        ("5m", Verdict::Ok, Verdict::Ok),
        ("9m", Verdict::Ok, Verdict::Near),
        ("11m", Verdict::Ok, Verdict::Over),
        ("110m", Verdict::Near, Verdict::Over),
        ("3h", Verdict::Over, Verdict::Over),
    ] {
        // Streamer's client pings; a plain one does not.
        for (speaks, idle) in [("plain", idle), ("streamer", Verdict::Ok)] {
            let text = stays(length, speaks);
            let of = |quota| check(&text, &Terms::default(), quota).unwrap().verdict;
            let seen = (of(Quota::OpenSeconds), of(Quota::IdleSeconds));
            assert_eq!(seen, (open, idle), "{length} {speaks}");
        }
    }
    // 1,000 connections that send 10 a second in all say something each 100 s.
    let idle = check(
        &talking(10, "echo", EACH),
        &Terms::default(),
        Quota::IdleSeconds,
    )
    .unwrap();
    assert!(near(idle.peak, 100.0), "{idle:?}");

    let sized = |bytes: usize| {
        let payload = "x".repeat(bytes);
        format!(
            "{{ name: n, behaviours: {{ b: {{ messages: [{{ action: echo, payload: {payload} }}] }} }}, phases: [{{ name: p, duration: 1s, messages_per_second: 1 }}] }}"
        )
    };
    for (bytes, message, frame) in [
        (1_000, Verdict::Ok, Verdict::Ok),
        (33 * 1_024, Verdict::Ok, Verdict::Over),
        (130 * 1_024, Verdict::Over, Verdict::Over),
    ] {
        let text = sized(bytes);
        let of = |quota| check(&text, &Terms::default(), quota).unwrap().verdict;
        assert_eq!(
            (of(Quota::MessageBytes), of(Quota::FrameBytes)),
            (message, frame),
            "{bytes}"
        );
        assert_eq!(of(Quota::EventBytes), Verdict::Ok);
    }
}

#[test]
fn a_plain_server_has_no_quotas_of_dynamodb() {
    let text = "{ name: n, speaks: plain, behaviours: { b: { messages: [{ text: hello }] } },
                  phases: [{ name: p, duration: 10s, messages_per_second: 10 }] }";
    for quota in [
        Quota::KeyWrites,
        Quota::KeyReads,
        Quota::TableWrites,
        Quota::Stream,
    ] {
        assert!(check(text, &Terms::default(), quota).is_none(), "{quota:?}");
    }
}
