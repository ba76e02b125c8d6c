//! The framework's spans come in; the daemon must get a subsegment of each.

use std::io;
use std::net::UdpSocket;

use lift::clock::Clock;
use lift_aws::telemetry::logs::{self, Config, Form};
use lift_aws::telemetry::traces::Traces;
use lift_aws::telemetry::xray::Daemon;
use serde_json::{Value, json};
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

use crate::xray::{KEPT, daemon};

/// Does what records within a function that logs and traces; the header is that of all it handles.
fn traced(header: fn() -> Option<String>, record: impl FnOnce()) -> UdpSocket {
    let (socket, address) = daemon();
    let config = Config {
        service: "shop".to_owned(),
        level: LevelFilter::ERROR,
        form: Form::Json,
        clock: Clock::system(),
    };
    let traces = Traces {
        daemon: Daemon::connect(&address).unwrap(),
        clock: Clock::system(),
        header,
    };
    let subscriber = logs::subscriber(config, io::sink()).with(traces);
    tracing::subscriber::with_default(subscriber, record);
    socket
}

fn next(socket: &UdpSocket) -> Value {
    let mut datagram = vec![0; 65_536];
    let bytes = socket.recv(&mut datagram).unwrap();
    let text = std::str::from_utf8(&datagram[..bytes]).unwrap();
    serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
}

#[test]
fn a_message_and_a_claim_are_subsegments_of_the_connections_trace() {
    let socket = traced(
        || Some(KEPT.to_owned()),
        || {
            let message = tracing::info_span!(
                "request",
                request_id = %"01K",
                action = "echo",
                owner = %"acme#ada",
                outcome = Empty,
            );
            message.record("outcome", "RATE_LIMITED");
            drop(message);
            tracing::info_span!("of the app");
            tracing::info_span!("task", request_id = %"01K", action = "sum", claim = 2_u64);
        },
    );
    let told = [next(&socket), next(&socket)];
    let header: Vec<&str> = KEPT.split([';', '=']).collect();
    for (told, name, annotations, throttled) in [
        (
            &told[0],
            "request",
            json!({"request_id": "01K", "action": "echo"}),
            json!(true),
        ),
        (
            &told[1],
            "task",
            json!({"request_id": "01K", "action": "sum", "claim": 2}),
            Value::Null,
        ),
    ] {
        assert_eq!(told["name"], name, "{told}");
        assert_eq!(told["annotations"], annotations, "{told}");
        assert_eq!(told["throttle"], throttled, "{told}");
        assert!(
            header.contains(&told["trace_id"].as_str().unwrap()),
            "{told}"
        );
        assert!(
            header.contains(&told["parent_id"].as_str().unwrap()),
            "{told}"
        );
    }
}

#[test]
fn without_a_trace_nothing_is_sent() {
    for header in [(|| None) as fn() -> Option<String>, || Some("?".to_owned())] {
        let socket = traced(header, || {
            tracing::info_span!("request", request_id = %"01K");
        });
        socket.set_nonblocking(true).unwrap();
        let empty = socket.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }
}
