//! Targets and headers that are templates come in; what the server sees of each client's handshake comes out.

use std::{collections::BTreeMap, fs};

use lift_bench::report::count::{FAILED, OPENED};

use crate::{
    load::{at, run},
    server::{Rules, Server},
};

/// Three clients, of two behaviours, that come and go.
fn scenario(speaks: &str, more: &str, faults: &str) -> String {
    format!(
        "
name: handshakes
speaks: {speaks}
headers: {{ X-Kind: any, cookie: 'session={{{{ client }}}}', origin: 'https://a.example' }}
{more}
behaviours:
  guest: {{ steps: [connect, disconnect] }}
  owner: {{ steps: [connect, disconnect], headers: {{ x-kind: 'own {{{{ client }}}}', x-api-key: key }} }}
phases:
  - {{ name: guests, duration: 200ms, connections_per_second: 10, behaviour: guest {faults} }}
  - {{ name: owners, duration: 100ms, connections_per_second: 10, behaviour: owner }}
limits: {{ lag: 1m, cpu: 100%, drain: 5s }}
"
    )
}

/// How often the server saw which path and headers.
fn seen(server: &Server) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    for request in server.handshakes() {
        let headers = ["x-kind", "cookie", "origin", "x-api-key"].map(|name| {
            let mut values = request.headers().get_all(name).iter();
            let value = values.next().map_or("-", |value| value.to_str().unwrap());
            assert_eq!(values.next(), None, "{name}");
            value.to_owned()
        });
        let line = format!("{} {}", request.uri(), headers.join(" "));
        *seen.entry(line).or_default() += 1;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_has_its_own_headers_and_its_own_url() {
    let dir = tempfile::tempdir().unwrap();
    let rows = dir.path().join("rows.csv");
    fs::write(&rows, "room\nred\nblue\n").unwrap();
    let data = format!("data: '{}'", rows.display());
    for (speaks, faults) in [
        ("plain", ""),
        ("streamer", ""),
        ("plain", ", faults: [{ network: { latency: 1ms } }]"),
    ] {
        let server = Server::start(Rules::echo());
        let target = format!("{}{{{{ data.room }}}}?user={{{{ client }}}}", server.url);
        let text = scenario(speaks, &data, faults);
        let report = run(&text, at(&target)).await.unwrap();
        assert_eq!(report.total.counts[OPENED], 3, "{report:?}");
        // Each behaviour's way is tried once before, as its first client would be.
        let wanted = [
            ("/red?user=0 any session=0 https://a.example -", 2),
            ("/blue?user=1 any session=1 https://a.example -", 1),
            ("/red?user=0 own 0 session=0 https://a.example key", 1),
            ("/red?user=2 own 2 session=2 https://a.example key", 1),
        ];
        let wanted = wanted.map(|(line, times)| (line.to_owned(), times));
        assert_eq!(seen(&server), BTreeMap::from(wanted), "{speaks} {faults}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_row_makes_no_url_does_not_connect() {
    let dir = tempfile::tempdir().unwrap();
    let rows = dir.path().join("rows.csv");
    fs::write(&rows, "room\nred\ntwo words\n").unwrap();
    let data = format!("data: '{}'", rows.display());
    let server = Server::start(Rules::echo());
    let target = format!("{}{{{{ data.room }}}}", server.url);
    let report = run(&scenario("plain", &data, ""), at(&target)).await;
    let total = report.unwrap().total;
    assert_eq!((total.counts[OPENED], total.counts[FAILED]), (2, 1));
}
