//! The order of a message's checks: envelope, token, action, permission, payload.

use std::time::Duration;

use lift::action::Action;
use lift::app::App;
use lift::error::Error;
use lift::extract::Payload;
use lift::identity::Identity;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::world::{START, World, owner};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Count {
    to: u32,
}

fn world() -> World {
    async fn count(Payload(count): Payload<Count>) -> Result<u32, Error> {
        Ok(count.to)
    }
    let audit = Action::sync(count).needs("tenant.read");
    World::new(
        App::new()
            .on("count", count)
            .on("other", count)
            .action("audit", audit),
    )
}

#[tokio::test(start_paused = true)]
async fn the_first_check_that_fails_is_told() {
    let world = world();
    for expired in [true, false] {
        let until = if expired {
            START
        } else {
            START + Duration::from_secs(60)
        };
        let identity = Identity {
            owner: owner("ann"),
            permissions: Some(vec!["other".to_owned()]),
            expires_at: Some(until),
        };
        let client = world.connect_as("c1=", identity);
        let valid_token = |code| if expired { "TOKEN_EXPIRED" } else { code };
        let cases = [
            ("{", "INVALID_JSON"),
            (
                r#"{"action":"a b","payload":{"to":-1}}"#,
                "VALIDATION_ERROR",
            ),
            (
                r#"{"action":"nothing","payload":{"to":-1}}"#,
                valid_token("UNKNOWN_ACTION"),
            ),
            (
                r#"{"action":"count","payload":{"to":-1}}"#,
                valid_token("FORBIDDEN"),
            ),
            (
                r#"{"action":"count","timeout_ms":999999999999}"#,
                valid_token("FORBIDDEN"),
            ),
            (
                r#"{"action":"other","payload":{"to":-1}}"#,
                valid_token("VALIDATION_ERROR"),
            ),
            (
                r#"{"action":"request.get"}"#,
                valid_token("VALIDATION_ERROR"),
            ),
        ];
        for (message, code) in cases {
            let answer = client.send(message).await;
            assert_eq!(
                answer["error"]["code"], code,
                "expired: {expired}, {message}"
            );
        }
        let pong = json!({"type": "pong", "id": "p", "server_time": "<time>"});
        client.check(r#"{"id":"p","action":"ping"}"#, &pong).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_until_its_exp() {
    let world = world();
    let identity = Identity {
        owner: owner("ann"),
        permissions: None,
        expires_at: Some(START + Duration::from_secs(60)),
    };
    let client = world.connect_as("c1=", identity);
    tokio::time::advance(Duration::from_millis(59_999)).await;
    let message = r#"{"action":"count","payload":{"to":3}}"#;
    assert_eq!(client.send(message).await["data"], 3);
    tokio::time::advance(Duration::from_millis(1)).await;
    let refused = json!({"type": "error", "error": {
        "code": "TOKEN_EXPIRED", "message": "<text>", "retryable": true}});
    client.check(message, &refused).await;
}

#[tokio::test(start_paused = true)]
async fn permissions_name_actions_or_all_and_never_stop_control_actions() {
    let world = world();
    for (permissions, allowed) in [
        (None, true),
        (Some(vec![]), false),
        (Some(vec!["other"]), false),
        (Some(vec!["count"]), true),
        (Some(vec!["*"]), true),
        (Some(vec!["coun*"]), false),
    ] {
        let identity = Identity {
            owner: owner("ann"),
            permissions: permissions
                .clone()
                .map(|names| names.into_iter().map(str::to_owned).collect()),
            expires_at: None,
        };
        let client = world.connect_as("c1=", identity);
        let answer = client.ask("count", json!({"to": 1})).await;
        let expected = if allowed { "response" } else { "error" };
        assert_eq!(answer["type"], expected, "{permissions:?}: {answer}");
        let listed = client.ask("request.list", json!(null)).await;
        assert_eq!(listed["type"], "response", "{permissions:?}: {listed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_goes_on_after_the_token_expires() {
    async fn slow() -> Result<u32, Error> {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Ok(7)
    }
    let mut world = World::new(App::new().task("slow", slow));
    let identity = Identity {
        owner: owner("ann"),
        permissions: None,
        expires_at: Some(START + Duration::from_secs(1)),
    };
    let client = world.connect_as("c1=", identity);
    client.submit("slow", json!(null)).await;
    world.settle().await;
    let complete =
        json!({"type": "complete", "request_id": "<ulid>", "id": "c", "seq": 1, "result": 7});
    client.check_inbox(&[complete]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_given_by_its_name_alone_and_checked_before_the_payload() {
    let world = world();
    for (permissions, allowed) in [
        (None, false),
        (Some(vec!["*"]), false),
        (Some(vec!["audit"]), false),
        (Some(vec!["tenant.read"]), false),
        (Some(vec!["audit", "tenant.*"]), false),
        (Some(vec!["audit", "tenant.read"]), true),
        (Some(vec!["tenant.read", "*"]), true),
    ] {
        let named = permissions.as_ref();
        let named = named.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let identity = Identity {
            owner: owner("ann"),
            permissions: named,
            expires_at: None,
        };
        let client = world.connect_as("c1=", identity);
        let answer = client
            .send(r#"{"action":"audit","payload":{"to":-1}}"#)
            .await;
        let expected = if allowed {
            "VALIDATION_ERROR"
        } else {
            "FORBIDDEN"
        };
        assert_eq!(answer["error"]["code"], expected, "{permissions:?}");
        let answer = client.send(r#"{"action":"audti"}"#).await;
        let expected = if allowed { json!("audit") } else { json!(null) };
        let suggestion = answer["error"]
            .get("suggestion")
            .cloned()
            .unwrap_or_default();
        assert_eq!(suggestion, expected, "{permissions:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_action_suggests_the_nearest_that_the_caller_may_call() {
    let world = world();
    let check = async |permissions: Option<&[&str]>, action: &str, suggestion: Option<&str>| {
        let permissions =
            permissions.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let identity = Identity {
            owner: owner("ann"),
            permissions,
            expires_at: None,
        };
        let client = world.connect_as("c1=", identity);
        let mut error = json!({"code": "UNKNOWN_ACTION", "message": "<text>", "retryable": false});
        if let Some(suggestion) = suggestion {
            error["suggestion"] = json!(suggestion);
        }
        let message = json!({"id": "c", "action": action}).to_string();
        client
            .check(
                &message,
                &json!({"type": "error", "id": "c", "error": error}),
            )
            .await;
    };
    check(None, "cuont", Some("count")).await;
    check(None, "requestget", Some("request.get")).await;
    check(None, "something_else", None).await;
    check(Some(&["other"]), "cuont", None).await;
    check(None, "channel.subscribe", None).await;
    check(None, "presence.get", None).await;
}
