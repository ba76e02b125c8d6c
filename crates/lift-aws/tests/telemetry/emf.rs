//! Metrics are recorded by the facade's macros; each line that is written must be a document of the format.

use std::io::{self, Write};
use std::sync::LazyLock;

use lift_aws::telemetry::emf::{Config, Emf, NoNames, cold_start};
use lift_aws::telemetry::names::{Kind, Metric, On, Unit};
use metrics::{counter, gauge, histogram, with_local_recorder};
use serde_json::{Value, json};

use crate::NOW;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("emf.schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

const OWN: &[Metric] = &[Metric {
    name: "shop_orders",
    kind: Kind::Counter,
    unit: Unit::Count,
    dimensions: &[&["country"]],
    on: On::Everywhere,
    says: "Orders.",
}];

fn emf() -> Emf {
    let config = Config {
        service: "shop".to_owned(),
        namespace: "Shops".to_owned(),
        own: OWN,
    };
    Emf::new(config).unwrap()
}

fn flush(emf: &Emf, properties: &[(&str, &str)]) -> Vec<Value> {
    let mut out = Vec::new();
    emf.flush(&mut out, NOW, properties).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
    text.lines().map(document).collect()
}

/// A line as JSON, after what the schema and the specification's sentences about references say.
fn document(line: &str) -> Value {
    assert!(line.len() < 256 * 1024, "{} bytes", line.len());
    let document: Value = serde_json::from_str(line).unwrap();
    let broken: Vec<_> = SCHEMA
        .iter_errors(&document)
        .map(|e| e.to_string())
        .collect();
    assert!(broken.is_empty(), "{broken:?} in {line}");
    let mut metrics = 0;
    for directive in document["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        for dimension in directive["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(list)
        {
            let target = &document[dimension.as_str().unwrap()];
            assert!(target.is_string(), "{dimension} in {line}");
        }
        for metric in list(&directive["Metrics"]) {
            metrics += 1;
            let target = &document[metric["Name"].as_str().unwrap()];
            assert!(
                !target.is_null() && !target.is_string(),
                "{metric} in {line}"
            );
        }
    }
    assert!(metrics <= 100, "{metrics} metrics");
    document
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

#[test]
fn the_metrics_of_an_event_are_one_line() {
    let emf = emf();
    with_local_recorder(&emf, || {
        cold_start("shop-gateway");
        counter!("lift_requests_total", "action" => "echo", "outcome" => "ok").increment(1);
        histogram!("lift_request_seconds", "action" => "echo").record(0.25);
    });
    let line = json!({
        "_aws": {
            "Timestamp": 1_795_946_400_500_u64,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Shops",
                    "Dimensions": [["service", "function_name"]],
                    "Metrics": [{"Name": "ColdStart", "Unit": "Count"}],
                },
                {
                    "Namespace": "Shops",
                    "Dimensions": [["service"], ["service", "outcome"], ["service", "action", "outcome"]],
                    "Metrics": [{"Name": "lift_requests_total", "Unit": "Count"}],
                },
                {
                    "Namespace": "Shops",
                    "Dimensions": [["service"], ["service", "action"]],
                    "Metrics": [{"Name": "lift_request_seconds", "Unit": "Seconds"}],
                },
            ],
        },
        "service": "shop",
        "function_name": "shop-gateway",
        "action": "echo",
        "outcome": "ok",
        "ColdStart": 1,
        "lift_requests_total": 1,
        "lift_request_seconds": 0.25,
        "function_request_id": "8a1f",
    });
    let properties = [
        ("function_request_id", "8a1f"),
        ("service", "not this"),
        ("outcome", "nor this"),
    ];
    assert_eq!(flush(&emf, &properties), [line]);
}

#[test]
fn nothing_is_written_where_nothing_changed() {
    let emf = emf();
    assert!(flush(&emf, &[("a", "b")]).is_empty());
    let record = || {
        counter!("c").increment(2);
        gauge!("g").set(7.0);
        histogram!("h").record(0.5);
    };
    with_local_recorder(&emf, record);
    assert_eq!(flush(&emf, &[]).len(), 1);
    assert!(flush(&emf, &[]).is_empty());
    with_local_recorder(&emf, || counter!("c").increment(3));
    let again = flush(&emf, &[]);
    assert_eq!(again[0]["c"], 3, "what was added since");
    assert!(again[0].get("g").is_none() && again[0].get("h").is_none());
}

#[test]
fn requests_that_differ_in_a_dimension_are_lines_of_their_own() {
    let emf = emf();
    with_local_recorder(&emf, || {
        for (outcome, times) in [("ok", 3), ("FORBIDDEN", 1)] {
            counter!("lift_requests_total", "action" => "echo", "outcome" => outcome)
                .increment(times);
        }
        counter!("lift_requests_total", "action" => "health", "outcome" => "ok").increment(5);
    });
    let told: Vec<_> = flush(&emf, &[])
        .iter()
        .map(|line| ["action", "outcome", "lift_requests_total"].map(|key| line[key].to_string()))
        .collect();
    let told: Vec<_> = told.iter().map(|line| line.join(" ")).collect();
    assert_eq!(
        told,
        [
            r#""echo" "ok" 3"#,
            r#""echo" "FORBIDDEN" 1"#,
            r#""health" "ok" 5"#
        ]
    );
}

#[test]
fn an_id_never_becomes_a_dimension() {
    let emf = emf();
    with_local_recorder(&emf, || {
        for tenant in ["acme", "zeta"] {
            // No registry knows this one.
            counter!("mine", "tenant" => tenant).increment(1);
            // And these have other dimensions.
            counter!("shop_orders", "country" => "at", "user" => tenant).increment(1);
            let labels = [
                ("action", "echo"),
                ("outcome", "ok"),
                ("connection_id", tenant),
            ];
            counter!("lift_requests_total", &labels).increment(1);
        }
    });
    let lines = flush(&emf, &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        [
            &lines[0]["mine"],
            &lines[0]["shop_orders"],
            &lines[0]["lift_requests_total"]
        ],
        [2, 2, 2]
    );
    assert_eq!(lines[0]["country"], "at");
    assert!(!lines[0].to_string().contains("acme"));
}

#[test]
fn values_that_repeat_are_counted_and_few_are_exact() {
    let emf = emf();
    with_local_recorder(&emf, || {
        let seconds = histogram!("h");
        seconds.record(0.1);
        seconds.record(0.3);
        seconds.record_many(0.1, 40);
        histogram!("each once").record(1.5);
        histogram!("each once").record(-2.5);
    });
    let lines = flush(&emf, &[]);
    assert_eq!(
        lines[0]["h"],
        json!({"Values": [0.1, 0.3], "Counts": [41, 1]})
    );
    assert_eq!(lines[0]["each once"], json!([1.5, -2.5]));
}

/// Values 1, 2 … `last`, each scaled: how many came back, and how far the sum is off.
fn many(last: u32, scale: f64) -> (u64, f64) {
    let emf = emf();
    let mut sum = 0.0;
    with_local_recorder(&emf, || {
        for n in 1..=last {
            sum += f64::from(n) * scale;
            histogram!("h").record(f64::from(n) * scale);
        }
    });
    let lines = flush(&emf, &[]);
    let numbers = |key: &str| list(&lines[0]["h"][key]).clone();
    let pairs: Vec<_> = numbers("Values")
        .into_iter()
        .zip(numbers("Counts"))
        .collect();
    assert!(pairs.len() > 25, "{} buckets tell little", pairs.len());
    let told: f64 = pairs
        .iter()
        .map(|(v, n)| v.as_f64().unwrap() * n.as_f64().unwrap())
        .sum();
    (
        pairs.iter().map(|(_, n)| n.as_u64().unwrap()).sum(),
        (told / sum - 1.0).abs(),
    )
}

#[test]
fn more_values_than_a_line_takes_share_buckets_and_none_is_lost() {
    for (last, scale) in [(101, 1.0), (1_000, 0.001), (100_000, 1e-6)] {
        let (count, off) = many(last, scale);
        assert_eq!(count, u64::from(last));
        assert!(off < 0.03, "the sum of {last} values is off by {off}");
    }
}

#[test]
fn what_cloudwatch_refuses_is_not_written() {
    let emf = emf();
    with_local_recorder(&emf, || {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            histogram!("h").record(value);
            gauge!("g").set(value);
        }
    });
    assert!(flush(&emf, &[]).is_empty());
    with_local_recorder(&emf, || {
        histogram!("h").record(1e300);
        histogram!("h").record(1e-300);
        counter!("lift_requests_total", "action" => "", "outcome" => "x".repeat(2_000))
            .increment(1);
    });
    let lines = flush(&emf, &[]);
    let values: Vec<_> = list(&lines[0]["h"])
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect();
    assert_eq!(values, [2_f64.powi(360), 0.0]);
    assert_eq!(lines[0]["action"], "-");
    assert_eq!(lines[0]["outcome"].as_str().unwrap().len(), 1_024);
}

#[test]
fn a_gauge_is_what_it_is_now_and_a_counter_never_goes_back() {
    let emf = emf();
    with_local_recorder(&emf, || {
        gauge!("g").set(4.0);
        gauge!("g").increment(2.5);
        gauge!("g").decrement(1.0);
        counter!("c").absolute(10);
        counter!("c").absolute(7);
    });
    let lines = flush(&emf, &[]);
    assert_eq!([&lines[0]["g"], &lines[0]["c"]], [&json!(5.5), &json!(10)]);
    with_local_recorder(&emf, || counter!("c").absolute(12));
    assert_eq!(flush(&emf, &[])[0]["c"], 2);
}

#[test]
fn a_line_has_a_hundred_metrics_at_most_and_stays_below_the_limit_of_its_size() {
    let emf = emf();
    with_local_recorder(&emf, || {
        for metric in 0..250 {
            let sample = histogram!(format!("metric {metric}"));
            for value in 1..=100 {
                sample.record_many(f64::from(value) / 7.0, 1_000_000_007);
            }
        }
    });
    let lines = flush(&emf, &[]);
    let metrics: usize = lines
        .iter()
        .flat_map(|line| list(&line["_aws"]["CloudWatchMetrics"]))
        .map(|directive| list(&directive["Metrics"]).len())
        .sum();
    assert_eq!(metrics, 250);
    let emf = self::emf();
    with_local_recorder(&emf, || {
        (0..250).for_each(|n| counter!(format!("metric {n}")).increment(1))
    });
    assert_eq!(flush(&emf, &[]).len(), 3);
}

#[test]
fn there_are_a_thousand_metrics_at_most_and_the_first_ones_go_on() {
    let emf = emf();
    for round in 0..2 {
        with_local_recorder(&emf, || {
            (0..2_000).for_each(|n| counter!(format!("m{n}")).increment(1))
        });
        let lines = flush(&emf, &[]);
        let has = |name: &str| lines.iter().any(|line| line.get(name).is_some());
        assert!(has("m0") && has("m999") && !has("m1000"), "round {round}");
    }
}

#[test]
fn one_name_has_one_kind() {
    let emf = emf();
    with_local_recorder(&emf, || {
        counter!("both").increment(1);
        gauge!("both").set(9.0);
    });
    let lines = flush(&emf, &[]);
    assert_eq!((lines.len(), &lines[0]["both"]), (1, &json!(1)));
}

#[test]
fn names_that_cloudwatch_refuses_are_refused() {
    let check = |service: &str, namespace: &str| {
        let (service, namespace) = (service.to_owned(), namespace.to_owned());
        Emf::new(Config {
            service,
            namespace,
            own: &[],
        })
        .map(drop)
    };
    assert!(check("shop", "Shops").is_ok());
    assert!(Emf::new(Config::default()).is_ok());
    for namespace in ["", ":Shops", "n".repeat(256).as_str()] {
        assert!(matches!(check("shop", namespace), Err(NoNames::Namespace(it)) if it == namespace));
    }
    for service in ["", "s".repeat(1_025).as_str()] {
        assert!(matches!(check(service, "Shops"), Err(NoNames::Service(it)) if it == service));
    }
}

#[test]
fn text_of_others_stays_text() {
    let emf = emf();
    let nasty = "\"},\n\u{1}é";
    with_local_recorder(&emf, || {
        counter!("lift_requests_total", "action" => nasty, "outcome" => "ok").increment(1);
        counter!("\"}é").increment(1);
    });
    let lines = flush(&emf, &[("property", nasty)]);
    assert_eq!([&lines[0]["action"], &lines[0]["property"]], [nasty, nasty]);
    assert_eq!(lines[0]["\"}é"], 1);
}

#[test]
fn a_line_is_written_at_once_and_a_failed_write_is_said() {
    struct Lines(Vec<String>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let emf = emf();
    with_local_recorder(&emf, || {
        (0..150).for_each(|n| counter!(format!("m{n}")).increment(1))
    });
    let mut lines = Lines(Vec::new());
    emf.flush(&mut lines, NOW, &[]).unwrap();
    assert_eq!(lines.0.len(), 2);
    lines
        .0
        .iter()
        .for_each(|line| drop(document(line.strip_suffix('\n').unwrap())));
    with_local_recorder(&emf, || counter!("m0").increment(1));
    let full: &mut [u8] = &mut [0; 3];
    let mut full = io::Cursor::new(full);
    assert!(emf.flush(&mut full, NOW, &[]).is_err());
}
