//! Requests that run functions or set faults. Out: that programs of this machine may make them, and nobody else.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::running::{Running, project, within};

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$default" = "work"
[function.work]
runtime = "python3.12"
handler = "app.handler"
code = "code"
"#;

const CODE: &str = "
def handler(event, context):
    return event
";

fn home() -> tempfile::TempDir {
    project(&[("lift.toml", TEMPLATE), ("code/app.py", CODE)])
}

const INVOKE: &str = "/2015-03-31/functions/work/invocations";
const FAULTS: &str = "/_lift/faults";

/// The status of a request with these headers, from this address where one is given.
async fn asked(to: SocketAddr, from: Option<IpAddr>, request: (&str, &str), headers: &str) -> u16 {
    let (line, body) = request;
    let request = format!(
        "{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let asking = async {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0)).unwrap();
        }
        let mut stream = socket.connect(to).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    };
    let response = within("an HTTP response", asking).await;
    response.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_runs_no_function_and_sets_no_fault() {
    let home = home();
    let running = Running::start(&home.path().join("lift.toml"), &[]).await;
    let to: SocketAddr = running.authority().parse().unwrap();
    let own = format!("host: {to}\r\n");
    let faults = r#"{"faults":[]}"#;
    let invoke = format!("POST {INVOKE}");
    let (put, get) = (format!("PUT {FAULTS}"), format!("GET {FAULTS}"));
    let requests = [
        (invoke.as_str(), "7"),
        (put.as_str(), faults),
        (get.as_str(), ""),
    ];
    let cases = [
        (own.clone(), 200),
        (format!("host: localhost:{}\r\n", to.port()), 200),
        (format!("{own}sec-fetch-site: same-origin\r\n"), 200),
        (format!("{own}sec-fetch-site: none\r\n"), 200),
        (format!("{own}origin: https://example.com\r\n"), 403),
        // A form of a page, and one in a sandbox.
        (
            format!("{own}origin: null\r\ncontent-type: text/plain\r\n"),
            403,
        ),
        (format!("{own}sec-fetch-site: cross-site\r\n"), 403),
        (format!("{own}sec-fetch-site: same-site\r\n"), 403),
        // A name of the page's own that leads here.
        (format!("host: rebound.example:{}\r\n", to.port()), 403),
        (String::new(), 403),
    ];
    for (headers, expected) in &cases {
        for request in requests {
            let status = asked(to, None, request, headers).await;
            assert_eq!(status, *expected, "{} {headers}", request.0);
        }
    }
    running.stop().await;
}

/// An address of this machine that is not loopback.
fn outward() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent; the kernel chooses the address.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_runs_no_function_and_this_one_does_at_any_of_its_addresses() {
    let Some(outward) = outward() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let home = home();
    let template = home.path().join("lift.toml");
    let running = Running::start(&template, &["--listen", "0.0.0.0:0"]).await;
    let here: SocketAddr = running.authority().parse().unwrap();
    let there = SocketAddr::new(outward, here.port());
    let invoke = format!("POST {INVOKE}");
    let get = format!("GET {FAULTS}");
    for request in [(invoke.as_str(), "7"), (get.as_str(), "")] {
        let host = |to: SocketAddr| format!("host: {to}\r\n");
        // Who comes from another address than the one that is asked is taken for another machine.
        assert_eq!(asked(here, Some(outward), request, &host(here)).await, 403);
        assert_eq!(asked(there, None, request, &host(there)).await, 200);
        assert_eq!(asked(here, None, request, &host(here)).await, 200);
    }
    running.stop().await;
}
