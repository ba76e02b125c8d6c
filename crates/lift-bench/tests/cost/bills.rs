//! Bills worked out by hand, to the cent.

use lift_bench::cost::{Counts, Estimate, FreeTier, Period, Price, Priced, Prices, Terms};

use crate::{near, scenario, used};

/// Counts that no measurement changes.
const COUNTS: &str = r#"{
  "memory_mb": { "AuthorizerFunction": 256, "ConnectFunction": 256, "DisconnectFunction": 256, "DispatchFunction": 256,
                 "MessageFunction": 256, "ProcessorFunction": 1024, "SweeperFunction": 256 },
  "events": {
    "connect": { "invokes": { "AuthorizerFunction": 1, "ConnectFunction": 1 }, "starts": 0, "dynamodb": { "PutItem": 1 },
                 "read_units": {}, "write_units": { "ConnectionsTable": 3 }, "posts": 0, "post_bytes": 0, "s3": {}, "log_bytes": 0 },
    "disconnect": { "invokes": { "DisconnectFunction": 1 }, "starts": 0, "dynamodb": { "DeleteItem": 1 },
                 "read_units": {}, "write_units": { "ConnectionsTable": 3 }, "posts": 0, "post_bytes": 0, "s3": {}, "log_bytes": 0 },
    "answered": { "invokes": { "MessageFunction": 1 }, "starts": 0, "dynamodb": {},
                 "read_units": {}, "write_units": {}, "posts": 0, "post_bytes": 0, "s3": {}, "log_bytes": 500 },
    "process_data": { "invokes": { "MessageFunction": 1, "DispatchFunction": 1, "ProcessorFunction": 1 }, "starts": 1,
                 "dynamodb": { "TransactWriteItems": 1, "UpdateItem": 4 }, "read_units": { "RequestsTable": 2 },
                 "write_units": { "RequestsTable": 8, "RequestsTable/index/due": 9, "RequestsTable/index/activity": 4 },
                 "posts": 3, "post_bytes": 600, "s3": { "put": 10, "get": 13, "list": 5, "delete": 2 }, "log_bytes": 1500 },
    "sweep": { "invokes": { "SweeperFunction": 1 }, "starts": 0, "dynamodb": { "Query": 16 },
                 "read_units": {}, "write_units": {}, "posts": 0, "post_bytes": 0, "s3": {}, "log_bytes": 300 }
  }
}"#;

/// 100 clients in 10 s, then 50 s of 100 messages a second: 43,200 such minutes are 720 hours. One in 100 of the
/// messages is a task.
const MINUTE: &str = r#"
name: minute
tokens: { sub: "u-{{ client }}" }
behaviours:
  talker:
    messages:
      - { weight: 99, action: echo, payload: abcdefgh }
      - { weight: 1, action: process_data, payload: {} }
phases:
  - { name: arrive, duration: 10s, connections_per_second: 10 }
  - { name: talk, duration: 50s, messages_per_second: 100 }
"#;

fn terms() -> Terms {
    let mut terms = Terms {
        period: Period::Month(720.0),
        counts: serde_json::from_str(COUNTS).unwrap(),
        ..Terms::default()
    };
    for (name, value) in [
        ("authorizer_ms", 4.5),
        ("connect_ms", 12.0),
        ("disconnect_ms", 12.0),
        ("message_ms", 3.0),
        ("accept_ms", 20.0),
        ("dispatch_ms", 15.0),
        ("task_ms", 2_000.0),
        ("sweep_ms", 50.0),
        ("platform_log_bytes", 700.0),
        ("log_days", 30.0),
        ("log_kept_share", 0.15),
        ("trace_share", 0.05),
        ("head_bytes", 2_048.0),
        ("head_days", 7.0),
        ("object_bytes", 100_000.0),
        ("object_days", 30.0),
        ("ack_bytes", 180.0),
        ("answer_bytes", 100.0),
    ] {
        terms.assumed.set(name, value).unwrap();
    }
    terms
}

#[test]
fn a_small_scenario_costs_what_it_costs_by_hand() {
    const RUNS: f64 = 43_200.0;
    const ECHOES: f64 = RUNS * 4_950.0;
    const TASKS: f64 = RUNS * 50.0;
    const CONNECTS: f64 = RUNS * 100.0;
    const SWEEPS: f64 = 43_200.0;
    const INVOKES: f64 = CONNECTS * 3.0 + ECHOES + TASKS * 3.0 + SWEEPS;
    const LOG: f64 = ECHOES * 500.0 + TASKS * 1_500.0 + SWEEPS * 300.0 + INVOKES * 700.0;
    const GB: f64 = 1_073_741_824.0;
    // Every function has 256 MB, a quarter of 1 GB, but for the processor.
    const QUARTERS_MS: f64 =
        CONNECTS * (5.0 + 12.0 + 12.0) + ECHOES * 3.0 + TASKS * (20.0 + 15.0) + SWEEPS * 50.0;
    const PROCESSOR_MS: f64 = TASKS * 2_000.0;
    let by_hand = [
        (Priced::Message, (ECHOES * 2.0 + TASKS * 5.0) * 1.00 / 1e6),
        // They came 5 s after the start on average, and stay to the end.
        (Priced::Minute, CONNECTS * 55.0 / 60.0 * 0.25 / 1e6),
        (Priced::Invocation, INVOKES * 0.20 / 1e6),
        (
            Priced::GbSecond,
            (QUARTERS_MS / 4.0 + PROCESSOR_MS) / 1e3 * 0.0000166667,
        ),
        (Priced::Write, (CONNECTS * 6.0 + TASKS * 21.0) * 0.625 / 1e6),
        (Priced::Read, (TASKS * 2.0 + SWEEPS * 8.0) * 0.125 / 1e6),
        (
            Priced::TableGb,
            TASKS * 2_048.0 / GB * 7.0 * 24.0 / 730.0 * 0.25,
        ),
        (Priced::StreamRead, 0.0),
        (Priced::LogGb, LOG / GB * 0.50),
        (
            Priced::LogGbMonth,
            LOG / GB * 0.15 * 30.0 * 24.0 / 730.0 * 0.03,
        ),
        // Two actions: 3 + 2 x 2 of messages, 3 + 2 of tasks, 7 functions.
        (Priced::Metric, 19.0 * 720.0 / 730.0 * 0.30),
        (
            Priced::Trace,
            (2_592_000.0 + (INVOKES - 2_592_000.0) * 0.05) * 5.00 / 1e6,
        ),
        (Priced::Put, TASKS * 15.0 * 0.005 / 1e3),
        (Priced::Get, TASKS * 13.0 * 0.0004 / 1e3),
        (
            Priced::ObjectGb,
            TASKS * 100_000.0 / GB * 30.0 * 24.0 / 730.0 * 0.023,
        ),
        // The payload is 10 bytes with its quotes.
        (
            Priced::TransferGb,
            (ECHOES * 110.0 + TASKS * (180.0 + 600.0)) / GB * 0.09,
        ),
    ];
    let terms = terms();
    let scenario = scenario(MINUTE);
    let bill = Estimate::of(&scenario, &terms).bill();
    let lines = bill.lines.iter().map(|line| (line.price, line.usd));
    for ((price, usd), (expected, by_hand)) in lines.zip(by_hand) {
        assert_eq!(price, expected);
        assert!(
            (usd - by_hand).abs() < 0.005,
            "{price:?}: {usd}, not {by_hand}"
        );
    }
    let total: f64 = by_hand.iter().map(|(_, usd)| usd).sum();
    assert_eq!(bill.lines.len(), by_hand.len());
    assert!((bill.usd - total).abs() < 0.01, "{}, not {total}", bill.usd);
    // The total as a number, so that a change of both sides is seen.
    assert_eq!(format!("{total:.2}"), "991.69");
}

#[test]
fn once_is_one_run() {
    let scenario = scenario(MINUTE);
    let month = terms();
    let mut once = terms();
    once.period = Period::Once;
    let (month, once) = (
        Estimate::of(&scenario, &month),
        Estimate::of(&scenario, &once),
    );
    assert_eq!((month.runs(), once.runs()), (43_200.0, 1.0));
    for (line, of_month) in once.bill().lines.iter().zip(month.bill().lines) {
        assert!(
            near(line.quantity * 43_200.0, of_month.quantity),
            "{line:?}"
        );
    }
}

fn price(of: Priced) -> Price {
    Prices::built_in().prices.remove(&of).unwrap()
}

#[test]
fn each_part_of_a_quantity_has_its_tier() {
    let (messages, seconds, transfer) = (
        price(Priced::Message),
        price(Priced::GbSecond),
        price(Priced::TransferGb),
    );
    for (price, quantity, usd) in [
        (&messages, 0.0, 0.0),
        (&messages, 1e9, 1_000.0),
        (&messages, 1e9 + 1e6, 1_000.8),
        (&messages, 1.5e9, 1_400.0),
        (&seconds, 6e9, 100_000.2),
        (&seconds, 7e9, 100_000.2 + 15_000.0),
        (&seconds, 16e9, 100_000.2 + 135_000.0 + 13_333.4),
        (&transfer, 10_240.0, 921.6),
        (&transfer, 61_440.0, 921.6 + 3_481.6 + 716.8),
        (&transfer, 163_840.0, 921.6 + 3_481.6 + 7_168.0 + 512.0),
    ] {
        assert!(
            near(price.of(quantity), usd),
            "{quantity}: {}",
            price.of(quantity)
        );
    }
}

#[test]
fn what_is_free_is_taken_off_only_where_it_is_asked_for() {
    let scenario = scenario(MINUTE);
    let paid = terms();
    let mut free = terms();
    free.free_tier = FreeTier::On;
    let (paid, free) = (
        Estimate::of(&scenario, &paid).bill(),
        Estimate::of(&scenario, &free).bill(),
    );
    let usd = |of: Priced| {
        let find = |bill: &lift_bench::cost::Bill| {
            let line = bill.lines.iter().find(|line| line.price == of);
            line.map(|line| line.usd).unwrap()
        };
        find(&paid) - find(&free)
    };
    for (of, saved) in [
        (Priced::Message, 1.0),
        (Priced::Minute, 0.1875),
        (Priced::Invocation, 0.2),
        (Priced::GbSecond, 400_000.0 * 0.0000166667),
        (Priced::Write, 0.0),
        (Priced::LogGb, 2.5),
        (Priced::Trace, 0.5),
    ] {
        assert!(near(usd(of), saved), "{of:?}: {}", usd(of));
    }
    // No more is free than is used.
    assert!(near(usd(Priced::TableGb), paid.lines[6].usd));
}

#[test]
fn a_message_of_33_kib_is_two() {
    let of = |bytes: usize| {
        let payload = "x".repeat(bytes);
        let text = format!(
            "{{ name: n, behaviours: {{ b: {{ messages: [{{ action: echo, payload: {payload} }}] }} }},
               phases: [{{ name: p, duration: 10s, connections_per_second: 1, messages_per_second: 1 }}] }}"
        );
        let used = used(&text, &terms());
        (used.received, used.replies)
    };
    let (received, replies) = of(1_000);
    assert!(
        near(received, 10.0) && near(replies, 10.0),
        "{received} {replies}"
    );
    let (received, replies) = of(33 * 1_024);
    assert!(
        near(received, 20.0) && near(replies, 20.0),
        "{received} {replies}"
    );
    let (received, replies) = of(96 * 1_024);
    assert!(
        near(received, 40.0) && near(replies, 40.0),
        "{received} {replies}"
    );
}

#[test]
fn the_counts_of_this_version_price_every_action() {
    for action in Counts::built_in()
        .events
        .keys()
        .filter(|it| it.contains('_'))
    {
        let action = action
            .trim_end_matches("_large")
            .trim_end_matches("_limited");
        let text = format!(
            "{{ name: n, behaviours: {{ b: {{ messages: [{{ action: {action} }}] }} }},
               phases: [{{ name: p, duration: 10s, connections_per_second: 1, messages_per_second: 1 }}] }}"
        );
        assert!(used(&text, &Terms::default()).log_bytes > 0.0, "{action}");
    }
}
