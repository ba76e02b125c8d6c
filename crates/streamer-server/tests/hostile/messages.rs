//! Messages made to confuse come in; typed errors that tell nothing go out, and the connection
//! stays.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::siege::{Memory, under};
use crate::support::home::Home;
use crate::support::orders;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn json_made_to_exhaust_a_parser_is_an_error_of_its_own_connection() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    let digits = "9".repeat(20_000);
    let quantity = |value: &str| {
        let payload = orders::payload("in.csv", "out.csv").to_string();
        let payload = payload.replace("\"value\":2", &format!("\"value\":{value}"));
        format!(r#"{{"action":"process_data","payload":{payload}}}"#)
    };
    let cases = [
        (deep("[", "]"), "INVALID_JSON"),
        ("[".repeat(20_000), "INVALID_JSON"),
        (objects, "INVALID_JSON"),
        (
            format!(r#"{{"action":{}}}"#, deep("[", "]")),
            "INVALID_JSON",
        ),
        (
            format!(
                r#"{{"action":"process_data","payload":{}}}"#,
                deep("[", "]")
            ),
            "INVALID_JSON",
        ),
        (
            r#"{"action":"echo","action":"health"}"#.to_owned(),
            "INVALID_JSON",
        ),
        (
            r#"{"action":"echo","\u0061ction":"health"}"#.to_owned(),
            "INVALID_JSON",
        ),
        (
            r#"{"id":"1","id":"2","action":"echo"}"#.to_owned(),
            "INVALID_JSON",
        ),
        (format!(r#"{{"action":{digits}}}"#), "VALIDATION_ERROR"),
        (
            r#"{"action":"request.list","payload":{"limit":1e400}}"#.to_owned(),
            "VALIDATION_ERROR",
        ),
        (
            format!(r#"{{"action":"request.list","payload":{{"limit":{digits}}}}}"#),
            "VALIDATION_ERROR",
        ),
        (
            r#"{"action":"request.list","payload":{"limit":18446744073709551616}}"#.to_owned(),
            "VALIDATION_ERROR",
        ),
        (
            r#"{"action":"request.list","payload":{"limit":-1}}"#.to_owned(),
            "VALIDATION_ERROR",
        ),
        (quantity("1e400"), "VALIDATION_ERROR"),
        (quantity(&digits), "VALIDATION_ERROR"),
    ];
    under(
        "hostile JSON",
        &[],
        Memory { peak_mib: 64 },
        async |home, server| {
            orders::write(&home.objects("acme").join("in.csv"), 10, 1);
            let mut eve = server.connect(&home.token("eve", "acme")).await;
            for (message, code) in &cases {
                let shown = &message[..message.len().min(80)];
                eve.send_raw(Message::text(message.clone())).await;
                let answer = eve.next().await;
                assert_eq!(answer["type"], "error", "{shown}: {answer}");
                assert_eq!(answer["error"]["code"], *code, "{shown}: {answer}");
            }
            assert_eq!(eve.call("echo", json!(1)).await, 1, "the connection stays");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_tenants_request_is_byte_for_byte_an_unknown_one() {
    let home = Home::new();
    let server = home.start(&[]).await;
    orders::write(&home.objects("acme").join("in.csv"), 10, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let id = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    ada.ended(&id).await;
    // One character of its random part is another.
    let unknown = format!(
        "{}{}",
        &id[..id.len() - 1],
        if id.ends_with('0') { '1' } else { '0' }
    );
    let token = home.token("ada", "umbrella");
    let mut eve = server.connect(&token).await;
    let messages = [
        r#"{"id":"1","action":"request.get","payload":{"request_id":"ID"}}"#,
        r#"{"id":"1","action":"request.cancel","payload":{"request_id":"ID"}}"#,
        r#"{"id":"1","action":"request.resume","payload":{"requests":[{"request_id":"ID","after_seq":0}]}}"#,
        r#"{"id":"1","action":"request.retry","payload":{"request_id":"ID"}}"#,
    ];
    for message in messages {
        let mut answers = Vec::new();
        for id in [&id, &unknown] {
            eve.send_raw(Message::text(message.replace("ID", id))).await;
            answers.push(eve.text().await.replace(id, "ID"));
        }
        assert_eq!(answers[0], answers[1], "{message}");
        let text = &answers[0];
        assert!(
            text.contains("NOT_FOUND") || text.contains("UNKNOWN_ACTION"),
            "{text}"
        );
    }
    let bearer = format!("Bearer {token}");
    let mut answers = Vec::new();
    for id in [&id, &unknown] {
        let found = server
            .get(&format!("/requests/{id}"), &[("authorization", &bearer)])
            .await;
        let headers: Vec<_> = found
            .headers
            .into_iter()
            .filter(|(name, _)| name != "date")
            .collect();
        answers.push((found.status, headers, found.body.replace(id, "ID")));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn names_that_lead_elsewhere_lead_nowhere() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let secret = "order_id,country,quantity\nsecret,DE,2\n";
    std::fs::write(home.objects("acme").join("in.csv"), secret).unwrap();
    std::fs::write(home.data().join("objects/root.csv"), secret).unwrap();
    let folder = home.objects("umbrella");
    orders::write(&folder.join("in.csv"), 10, 1);
    std::os::unix::fs::symlink(home.objects("acme").join("in.csv"), folder.join("link.csv"))
        .unwrap();
    std::os::unix::fs::symlink(home.objects("acme"), folder.join("folder")).unwrap();
    let mut eve = server.connect(&home.token("eve", "umbrella")).await;
    let names = [
        "../acme/in.csv",
        "../root.csv",
        "./../acme/in.csv",
        "a/../../acme/in.csv",
        "/etc/passwd",
        "..",
        ".",
        "",
        "%2e%2e/acme/in.csv",
        "%2e%2e%2facme%2fin.csv",
        "..\\acme\\in.csv",
        "..%5cacme%5cin.csv",
        "....//acme/in.csv",
        "in.csv/../../acme/in.csv",
        "\u{0}",
        "in.csv\u{0}.txt",
        "\u{ff0e}\u{ff0e}/acme/in.csv",
        "file:///etc/passwd",
        "link.csv",
        "folder/in.csv",
        "../../keys",
        "C:\\in.csv",
        "a//b",
        "a/",
        ".names/x",
    ];
    let long = "a/".repeat(3_000) + "x";
    for name in names.into_iter().chain([long.as_str()]) {
        let read = orders::payload(name, "stolen.csv");
        let write = orders::payload("in.csv", name);
        for (payload, reads) in [(read, true), (write, false)] {
            let answer = eve
                .ask(json!({"action": "process_data", "payload": payload}))
                .await;
            let end = match answer["request_id"].as_str() {
                Some(id) => eve.ended(id).await.message,
                None => answer,
            };
            let code = end["error"]["code"].as_str();
            let refused = matches!(
                code,
                Some("NOT_FOUND" | "VALIDATION_ERROR" | "CONFLICT" | "TASK_FAILED")
            );
            // An encoded or a foreign separator is a name like any other one, to be written inside.
            assert!(refused || !reads, "{name:?}: {end}");
        }
    }
    let inside = home.objects("acme").read_dir().unwrap().count();
    assert_eq!(inside, 1, "nothing is written to another tenant");
    assert_eq!(
        std::fs::read_to_string(home.objects("acme").join("in.csv")).unwrap(),
        secret
    );
    let paths = [
        "/results/../keys",
        "/results/..%2f..%2fkeys",
        "/requests/..%2f..",
        "/../etc/passwd",
        "//etc/passwd",
    ];
    for path in paths {
        let found = server.get(path, &[]).await;
        assert!(
            matches!(found.status, 400 | 401 | 404 | 426),
            "{path}: {found:?}"
        );
    }
    assert_eq!(eve.call("health", Value::Null).await["status"], "ok");
}
