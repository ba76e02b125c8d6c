//! Events and spans are recorded by `tracing`'s macros; the lines must have Powertools' keys.

use std::error::Error;
use std::fmt;
use std::io::Write;

use lift::clock::Clock;
use lift_aws::telemetry::logs::{self, Config, Form, Invocation, Start};
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;

use crate::Sink;

/// The lines that `record` makes.
fn lines(level: LevelFilter, form: Form, record: impl FnOnce()) -> String {
    let sink = Sink::default();
    let config = Config {
        service: "shop".to_owned(),
        level,
        form,
        clock: Clock::system(),
    };
    let subscriber = logs::subscriber(config, sink.clone());
    tracing::subscriber::with_default(subscriber, record);
    sink.text()
}

/// The same as JSON, each without its time, which must be one.
fn objects(level: LevelFilter, record: impl FnOnce()) -> Vec<Value> {
    let text = lines(level, Form::Json, record);
    let object = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        let time = time.as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        line
    };
    text.lines().map(object).collect()
}

const INVOCATION: Invocation<'_> = Invocation {
    function_name: "shop-gateway",
    function_request_id: "8a1f",
    xray_trace_id: Some("1-5759e988-bd862e3fe1be46a994272793"),
    start: Start::Cold,
};

#[test]
fn a_line_has_the_keys_of_its_invocation_and_its_request() {
    let told = objects(LevelFilter::INFO, || {
        let _invocation = logs::invocation_span(&INVOCATION).entered();
        let request = tracing::info_span!(
            "request",
            request_id = %"01K", action = "echo", owner = %"acme#ada", connection = %"c=1",
            metadata = tracing::field::Empty,
        );
        request.record("metadata", tracing::field::debug([1]));
        let _request = request.entered();
        tracing::warn!(target: "shop", late = 1.5, wait = -3, sheds = true, count = 7_u64, "order \"{}\"", 1);
    });
    let line = json!({
        "level": "WARN",
        "service": "shop",
        "message": "order \"1\"",
        "target": "shop",
        "cold_start": true,
        "function_name": "shop-gateway",
        "function_request_id": "8a1f",
        "xray_trace_id": "1-5759e988-bd862e3fe1be46a994272793",
        "connection_id": "c=1",
        "request_id": "01K",
        "action": "echo",
        "tenant": "acme",
        "owner": "acme#ada",
        "metadata": "[1]",
        "late": 1.5,
        "wait": -3,
        "sheds": true,
        "count": 7,
    });
    assert_eq!(told, [line]);
}

#[test]
fn a_key_stands_once_and_the_innermost_counts() {
    let text = lines(LevelFilter::INFO, Form::Json, || {
        let _outer = tracing::info_span!("outer", request_id = "outer", kept = 1).entered();
        let _inner = tracing::info_span!("inner", request_id = "inner", level = "mine").entered();
        tracing::info!("no id of its own");
        tracing::info!(request_id = "own", service = "other", "one of its own");
    });
    for (line, id) in text.lines().zip(["inner", "own"]) {
        for key in ["request_id", "level", "service", "kept"] {
            assert_eq!(line.matches(&format!("\"{key}\":")).count(), 1, "{line}");
        }
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            [&line["request_id"], &line["level"], &line["service"]],
            [id, "INFO", "shop"]
        );
    }
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn an_error_has_its_chain() {
    #[derive(Debug)]
    struct Failed(Option<Box<Self>>);
    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0.as_ref().map_or("the disk is full", |_| "not stored"))
        }
    }
    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.as_deref().map(|cause| cause as _)
        }
    }
    let failed = Failed(Some(Box::new(Failed(None))));
    let told = objects(LevelFilter::ERROR, || {
        tracing::error!(error = &failed as &dyn Error, "internal error");
    });
    assert_eq!(told[0]["error"], "not stored: the disk is full");
}

#[test]
fn a_line_over_the_level_is_not_written_but_a_warning_keeps_its_request() {
    let told = objects(LevelFilter::WARN, || {
        let _request = tracing::info_span!("request", request_id = "01K").entered();
        let _detail = tracing::debug_span!("detail", detail = 1).entered();
        tracing::info!("no");
        tracing::warn!("yes");
    });
    let line = json!({
        "level": "WARN", "service": "shop", "message": "yes", "target": "telemetry::logs", "request_id": "01K",
    });
    assert_eq!(told, [line]);
}

#[test]
fn levels_have_the_names_that_powertools_and_lambda_give_them() {
    for (name, level) in [
        ("trace", LevelFilter::TRACE),
        ("DEBUG", LevelFilter::DEBUG),
        ("Info", LevelFilter::INFO),
        ("WARN", LevelFilter::WARN),
        ("WARNING", LevelFilter::WARN),
        ("ERROR", LevelFilter::ERROR),
        ("FATAL", LevelFilter::ERROR),
        ("CRITICAL", LevelFilter::ERROR),
        ("SILENT", LevelFilter::OFF),
    ] {
        assert_eq!(logs::level(name), Some(level), "{name}");
    }
    assert_eq!(logs::level(""), None);
    assert_eq!(logs::level("loud"), None);
}

#[test]
fn a_warm_invocation_without_a_trace_says_so_and_learns_its_connection() {
    let warm = Invocation {
        xray_trace_id: None,
        start: Start::Warm,
        ..INVOCATION
    };
    let told = objects(LevelFilter::ERROR, || {
        let span = logs::invocation_span(&warm);
        let _entered = span.clone().entered();
        tracing::error!("before");
        span.record("connection_id", "c=1");
        tracing::error!("after");
    });
    assert_eq!(told[0]["cold_start"], false);
    assert!(told[0].get("xray_trace_id").is_none() && told[0].get("connection_id").is_none());
    assert_eq!(told[1]["connection_id"], "c=1");
}

#[test]
fn text_is_for_people() {
    let text = lines(LevelFilter::INFO, Form::Text, || {
        let _request = tracing::info_span!("request", request_id = "01K").entered();
        tracing::info!(target: "shop", count = 2, "sold");
    });
    let (_, rest) = text.split_once(' ').unwrap();
    assert_eq!(rest, " INFO shop: sold count=2 request_id=\"01K\"\n");
}

#[test]
fn a_line_break_makes_no_line_of_its_own() {
    for form in [Form::Json, Form::Text] {
        let text = lines(LevelFilter::INFO, form, || {
            tracing::info!(path = "a\nb", "one\nline")
        });
        assert_eq!(text.lines().count(), 1, "{form:?}: {text}");
    }
}

#[test]
fn a_value_is_cut_at_8_kib_between_characters() {
    let told = objects(LevelFilter::INFO, || {
        let long = format!("x{}", "é".repeat(10_000));
        tracing::info!(long, "{long}");
    });
    for key in ["long", "message"] {
        assert_eq!(told[0][key].as_str().unwrap().len(), 8 * 1024 - 1, "{key}");
    }
}

#[test]
fn a_value_that_logs_while_it_is_shown_does_not_stop_the_line() {
    struct Loud;
    impl fmt::Debug for Loud {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("inner");
            f.write_str("loud")
        }
    }
    let told = objects(LevelFilter::INFO, || {
        let span = tracing::info_span!("span", value = tracing::field::Empty).entered();
        span.record("value", tracing::field::debug(Loud));
        tracing::info!(own = ?Loud, "outer");
    });
    let messages: Vec<_> = told
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    // `tracing` itself drops an event within another's recording.
    assert!(messages.contains(&"outer"), "{messages:?}");
    let outer = told.iter().find(|line| line["message"] == "outer").unwrap();
    assert_eq!([&outer["own"], &outer["value"]], ["loud", "loud"]);
}

#[test]
fn many_threads_write_whole_lines() {
    struct Bytewise(Sink);
    impl Write for Bytewise {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(&bytes[..bytes.len().min(7)])
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    let config = Config {
        service: "shop".to_owned(),
        level: LevelFilter::INFO,
        form: Form::Json,
        clock: Clock::system(),
    };
    let dispatch = tracing::Dispatch::new(logs::subscriber(config, Bytewise(sink.clone())));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dispatch = dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    (0..200).for_each(|n| tracing::info!(thread, n, "line"));
                });
            });
        }
    });
    let text = sink.text();
    let parsed = text
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(parsed.count(), 800);
}

#[test]
fn whole_events_are_not_said_whatever_the_level() {
    let said = lines(LevelFilter::TRACE, Form::Json, || {
        tracing::trace!(target: "lambda_runtime::layers::api_response", body = "Bearer x", "raw event");
        tracing::debug!(target: "lambda_runtime::runtime", body = "Bearer x", "event");
        tracing::error!(target: "lambda_runtime::layers::panic", "Diagnostic");
        tracing::trace!(target: "shop", "other");
    });
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("other"), "{said}");
}
