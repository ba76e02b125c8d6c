//! Headers and documents as X-Ray's documentation has them, sent to a real socket in the daemon's place.

use std::net::UdpSocket;
use std::time::Duration;

use lift::error::Code;
use lift_aws::telemetry::xray::{Daemon, NoDaemon, Outcome, Sampled, Subsegment, TraceHeader};
use serde_json::{Value, json};

use crate::NOW;

const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";
pub(crate) const KEPT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=25:1a2b3c4d:0";

fn header(text: &str) -> TraceHeader {
    text.parse().unwrap()
}

#[test]
fn a_header_is_printed_as_it_was_read() {
    for text in [
        KEPT,
        "Root=1-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=?;Self=1-67891234-12456789abcdef012345678;CalledFrom=app",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=000000000000000f",
    ] {
        assert_eq!(header(text).to_string(), text);
    }
    let read = header(KEPT);
    assert_eq!(read.trace_id(), ROOT);
    assert_eq!(read.parent().unwrap().to_string(), "53995c3f42cd8ad8");
    assert_eq!(read.sampled(), Some(Sampled::Yes));
    assert_eq!(
        header(&format!(" Sampled=1 ; Root={ROOT};")).to_string(),
        format!("Root={ROOT};Sampled=1")
    );
}

#[test]
fn what_is_no_header_is_refused() {
    let long = format!("{KEPT};Long={}", "x".repeat(1_024));
    for text in [
        "",
        "Sampled=1",
        "Root",
        "Root=",
        "Root=1-5759e988",
        "Root=2-5759e988-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a99427279",
        "Root=1-5759e98g-bd862e3fe1be46a994272793",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=+3995c3f42cd8ad8",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=2",
        &long,
    ] {
        assert!(text.parse::<TraceHeader>().is_err(), "{text}");
    }
}

/// The document of a subsegment that began at `NOW` and took 250 ms.
fn document(name: &str, outcome: Outcome) -> Value {
    let segment = Subsegment::begin(name, &header(KEPT), NOW);
    let document = segment
        .end(outcome, NOW + Duration::from_millis(250))
        .unwrap();
    serde_json::from_str(document.as_str()).unwrap()
}

#[test]
fn a_document_has_what_x_ray_requires_and_ids_alone_as_annotations() {
    let outer = header(KEPT);
    let mut segment = Subsegment::begin("echo", &outer, NOW);
    segment.request_id("01KB0V5ZZZZZZZZZZZZZZZZZZZ");
    segment.action("echo");
    segment.claim(2);
    let inner = segment.header().clone();
    let done = segment
        .end(Outcome::Ok, NOW + Duration::from_millis(250))
        .unwrap();
    let expected = json!({
        "name": "echo",
        "id": inner.parent().unwrap().to_string(),
        "trace_id": ROOT,
        "parent_id": "53995c3f42cd8ad8",
        "type": "subsegment",
        "start_time": 1_795_946_400.5,
        "end_time": 1_795_946_400.75,
        "annotations": {"request_id": "01KB0V5ZZZZZZZZZZZZZZZZZZZ", "action": "echo", "claim": 2},
    });
    assert_eq!(
        serde_json::from_str::<Value>(done.as_str()).unwrap(),
        expected
    );
    // What it calls is below it, in the same trace.
    assert_ne!(inner.parent(), outer.parent());
    assert_eq!(
        inner.to_string(),
        outer.child(inner.parent().unwrap()).to_string()
    );
}

#[test]
fn each_subsegment_has_an_id_of_its_own() {
    let mut ids: Vec<_> = (0..100)
        .map(|_| document("a", Outcome::Ok)["id"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn an_outcome_is_sorted_as_x_ray_sorts_it() {
    let flags = |code: Option<Code>| {
        let document = document("a", Outcome::from(code));
        ["error", "throttle", "fault"].map(|flag| document.get(flag) == Some(&Value::Bool(true)))
    };
    assert_eq!(flags(None), [false; 3]);
    for code in Code::ALL {
        let expected = match code {
            Code::RateLimited | Code::Overloaded => [true, true, false],
            Code::InternalError | Code::TaskFailed | Code::Timeout => [false, false, true],
            _ => [true, false, false],
        };
        assert_eq!(flags(Some(code)), expected, "{code:?}");
    }
}

#[test]
fn a_name_has_the_characters_that_x_ray_allows() {
    for (name, allowed) in [
        ("request.get", "request.get"),
        ("a/b:c%d&e#f=g+h\\i-j@k l_m", "a/b:c%d&e#f=g+h\\i-j@k l_m"),
        ("schön\n\"<{*", "schön_____"),
        (&"x".repeat(300), &"x".repeat(200)),
    ] {
        assert_eq!(document(name, Outcome::Ok)["name"], allowed);
    }
}

#[test]
fn time_that_went_back_makes_no_negative_duration() {
    let segment = Subsegment::begin("a", &header(KEPT), NOW);
    let document = segment
        .end(Outcome::Ok, NOW - Duration::from_secs(1))
        .unwrap();
    let document: Value = serde_json::from_str(document.as_str()).unwrap();
    assert_eq!(document["start_time"], document["end_time"]);
}

#[test]
fn a_trace_that_is_not_kept_has_no_document_and_its_header_goes_on() {
    for text in [
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
    ] {
        let mut segment = Subsegment::begin("a", &header(text), NOW);
        segment.action("echo");
        assert_eq!(segment.header().to_string(), text);
        assert!(segment.end(Outcome::Fault, NOW).is_none(), "{text}");
    }
}

/// A socket in the daemon's place.
pub(crate) fn daemon() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

#[test]
fn the_daemon_gets_its_header_and_the_document() {
    let (socket, address) = daemon();
    let addresses = [
        address.clone(),
        format!("udp:{address}"),
        format!("tcp:127.0.0.1:1 udp:{address}"),
        format!("udp:{address} tcp:127.0.0.1:1"),
    ];
    for address in addresses {
        let daemon = Daemon::connect(&address).unwrap();
        let mut segment = Subsegment::begin("echo", &header(KEPT), NOW);
        segment.action(&"x".repeat(100_000));
        let document = segment.end(Outcome::Ok, NOW).unwrap();
        daemon.send(&document);
        let mut datagram = vec![0; 65_536];
        let bytes = socket.recv(&mut datagram).unwrap();
        let text = std::str::from_utf8(&datagram[..bytes]).unwrap();
        let (first, second) = text.split_once('\n').unwrap();
        assert_eq!(first, r#"{"format":"json","version":1}"#);
        assert_eq!(second, document.as_str());
        assert!(serde_json::from_str::<Value>(second).unwrap().is_object());
        assert!(bytes < 64 * 1024);
        assert_eq!(daemon.unsent(), 0);
    }
}

#[test]
fn what_a_daemon_that_is_gone_does_not_take_is_counted() {
    let (socket, address) = daemon();
    let daemon = Daemon::connect(&address).unwrap();
    drop(socket);
    let document = Subsegment::begin("a", &header(KEPT), NOW)
        .end(Outcome::Ok, NOW)
        .unwrap();
    // The first datagram's refusal is told to the second.
    (0..10).for_each(|_| daemon.send(&document));
    assert!(daemon.unsent() > 0);
}

#[test]
fn what_is_no_address_of_a_daemon_is_refused() {
    for address in [
        "",
        "localhost:2000",
        "127.0.0.1",
        "tcp:127.0.0.1:2000",
        "tcp:127.0.0.1:1 127.0.0.1:2",
        "a b c",
    ] {
        let refused = Daemon::connect(address);
        assert!(
            matches!(refused, Err(NoDaemon::Address(it)) if it == address),
            "{address}"
        );
    }
}
