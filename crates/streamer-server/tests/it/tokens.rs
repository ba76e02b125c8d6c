//! Who may connect: tokens, where they are given, and what a refusal says.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::connection::Connection;
use crate::support::home::Home;
use crate::support::{orders, within};

#[tokio::test]
async fn a_refusal_never_says_which_check_failed() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let good = home.token("ada", "acme");
    let expired = home.token_with("ada", "acme", |token| {
        token.now_ms -= 3_600_000;
        token.expires_in = Duration::from_secs(60);
    });
    let no_tenant = home.token_with("ada", "acme", |token| token.tenant = None);
    let other = Home::new();
    let forged = other.token("ada", "acme");
    let bearer = |token: &str| format!("Bearer {token}");
    let altered = bearer(&good.replacen(|c: char| c.is_ascii_lowercase(), "A", 1));
    let cases = [
        vec![],
        vec![("authorization", "Bearer".to_owned())],
        vec![("authorization", format!("Basic {good}"))],
        vec![("authorization", bearer(&expired))],
        vec![("authorization", bearer(&no_tenant))],
        vec![("authorization", bearer(&forged))],
        vec![("authorization", altered)],
        vec![
            ("authorization", bearer(&good)),
            ("authorization", bearer(&good)),
        ],
        vec![(
            "sec-websocket-protocol",
            format!("streamer.v1, bearer.{expired}"),
        )],
    ];
    for headers in cases {
        let borrowed: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let refusal = server.upgrade("/", &borrowed).await;
        assert_eq!(refusal.status, 401, "{headers:?}");
        assert_eq!(refusal.body, r#"{"message":"Unauthorized"}"#, "{headers:?}");
    }
    let query = server.upgrade(&format!("/?token={good}"), &[]).await;
    assert_eq!(query.status, 401, "a token in the query is off by default");
    let elsewhere = server
        .upgrade("/other", &[("authorization", &bearer(&good))])
        .await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn the_token_may_come_as_a_subprotocol_which_is_not_echoed() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let token = home.token("ada", "acme");
    let as_header = format!("bearer {token}");
    let offered = format!("bearer.{token}, streamer.v1");
    let cases = [
        (vec![("authorization", as_header.as_str())], None),
        (
            vec![("sec-websocket-protocol", offered.as_str())],
            Some("streamer.v1"),
        ),
        (
            vec![
                ("authorization", as_header.as_str()),
                ("sec-websocket-protocol", "other"),
            ],
            None,
        ),
    ];
    for (headers, echoed) in cases {
        let answer = server.upgrade("/", &headers).await;
        assert_eq!(answer.status, 101, "{headers:?}");
        assert_eq!(
            answer.header("sec-websocket-protocol"),
            echoed,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_browser_from_elsewhere_is_forbidden_where_origins_are_listed() {
    let home = Home::new();
    let server = home.start(&["--allow-origin", "https://app.example"]).await;
    let bearer = format!("Bearer {}", home.token("ada", "acme"));
    for (origin, status) in [("https://app.example", 101), ("https://evil.example", 403)] {
        let answer = server
            .upgrade("/", &[("authorization", &bearer), ("origin", origin)])
            .await;
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            assert_eq!(answer.body, r#"{"message":"Forbidden"}"#);
        }
    }
}

#[tokio::test]
async fn after_the_token_expires_only_ping_is_answered_and_what_was_accepted_goes_on() {
    let home = Home::new();
    let server = home
        .start(&["--connection-rate=off", "--user-rate=off"])
        .await;
    orders::write(&home.objects("acme").join("in.csv"), 2_000, 1);
    let short = home.token_with("ada", "acme", |token| {
        token.expires_in = Duration::from_secs(1)
    });
    let mut ada = server.connect(&short).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    let expired = async {
        loop {
            let answer = ada.ask(json!({"action": "echo"})).await;
            if answer["type"] == "error" {
                break answer["error"]["code"].clone();
            }
        }
    };
    assert_eq!(within("expiry", expired).await, "TOKEN_EXPIRED");
    assert_eq!(ada.ask(json!({"action": "ping"})).await["type"], "pong");
    assert_eq!(ada.ended(&request).await.message["type"], "complete");
}

#[tokio::test]
async fn permissions_name_what_a_token_may_call() {
    let home = Home::new();
    let server = home.start(&[]).await;
    let limited = home.token_with("ada", "acme", |token| {
        token.permissions = Some(vec!["echo".to_owned()]);
    });
    let mut ada = server.connect(&limited).await;
    assert_eq!(ada.call("echo", json!(1)).await, 1);
    assert_eq!(
        ada.refused("health", Value::Null).await["code"],
        "FORBIDDEN"
    );
    assert_eq!(
        ada.call("request.list", Value::Null).await,
        json!({"requests": []})
    );
}

#[tokio::test]
async fn another_tenant_or_user_finds_nothing() {
    let home = Home::new();
    let server = home.start(&[]).await;
    orders::write(&home.objects("acme").join("in.csv"), 100, 1);
    let mut ada = server.connect(&home.token("ada", "acme")).await;
    let request = ada
        .submit("process_data", orders::payload("in.csv", "out.csv"))
        .await;
    ada.ended(&request).await;
    for (user, tenant) in [("bob", "acme"), ("ada", "umbrella")] {
        let headers = [(
            "authorization",
            format!("Bearer {}", home.token(user, tenant)),
        )];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let opened = Connection::open_with(&server.address, &headers).await;
        let mut other = opened.unwrap();
        let one = json!({"request_id": request});
        assert_eq!(
            other.refused("request.get", one.clone()).await["code"],
            "NOT_FOUND"
        );
        assert_eq!(
            other.refused("request.cancel", one).await["code"],
            "NOT_FOUND"
        );
        assert_eq!(
            other.resume(&request, 0).await["error"]["code"],
            "NOT_FOUND"
        );
        assert_eq!(
            other.call("request.list", Value::Null).await,
            json!({"requests": []})
        );
        let found = server.get(&format!("/requests/{request}"), &headers).await;
        assert_eq!(
            (found.status, found.body.as_str()),
            (404, r#"{"message":"Not Found"}"#)
        );
    }
    let mut eve = server.connect(&home.token("eve", "umbrella")).await;
    for input in ["in.csv", "../acme/in.csv", "/in.csv"] {
        let error = eve
            .refused("process_data", orders::payload(input, "stolen.csv"))
            .await;
        assert!(
            error["code"] == "NOT_FOUND" || error["code"] == "VALIDATION_ERROR",
            "{error}"
        );
    }
}
