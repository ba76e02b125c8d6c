//! In: clients that mean harm. Out: whether they are refused as on one machine, and others are served.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use streamer_client::Client;
use streamer_client::options::Terms;
use tokio::time::timeout;

use crate::asking::{aggregate, completed, rows, submitted};
use crate::world::{DEADLINE, Setup, World};

fn encode(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// What a text is answered with.
async fn answer(client: &Client, text: &str) -> String {
    let mut told = client.tap();
    client.send_text(text).await.unwrap();
    let told = timeout(DEADLINE, told.recv()).await.unwrap().unwrap();
    told.as_ref().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_and_hostile_messages_are_refused_and_others_served() {
    let Some(world) = World::start(Setup::default()).await else {
        return;
    };
    let good = json!({"sub": "ada", "tenant": "acme", "exp": 4_000_000_000_u64});
    let (none, confused) = (json!({"alg": "none"}), json!({"alg": "HS256"}));
    let signed = format!("{}.{}", encode(&confused), encode(&good));
    // The public key as the secret of a MAC.
    let key = hmac::Key::new(hmac::HMAC_SHA256, world.public_key().as_bytes());
    let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    for token in [
        "x".to_owned(),
        "x".repeat(7_000),
        format!("{}.{}.", encode(&none), encode(&good)),
        format!("{signed}.{mac}"),
    ] {
        let refused = world.refused_token(&token).await;
        assert!(refused.contains("status: 401"), "{token}: {refused}");
    }

    let client = world.client("ada").await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let digits = "9".repeat(20_000);
    for (text, code) in [
        (deep.clone(), "INVALID_JSON"),
        (
            format!(r#"{{"action":"echo","payload":{deep}}}"#),
            "INVALID_JSON",
        ),
        (
            r#"{"action":"echo","\u0061ction":"health"}"#.to_owned(),
            "INVALID_JSON",
        ),
        (format!(r#"{{"action":{digits}}}"#), "VALIDATION_ERROR"),
        (
            format!(r#"{{"action":"request.list","payload":{{"limit":{digits}}}}}"#),
            "VALIDATION_ERROR",
        ),
        (
            json!({"action": "process_data", "payload": aggregate("../acme/a.csv", "b.csv")})
                .to_string(),
            "VALIDATION_ERROR",
        ),
    ] {
        let told = answer(&client, &text).await;
        assert!(told.contains(code), "{code}: {told}");
    }

    let (text, _) = rows(10);
    world.put("sales.csv", text).await;
    let mut request = submitted(&client, &aggregate("sales.csv", "kinds.csv")).await;
    completed(&mut request).await;
    let other = world.client_of("umbrella", "ada").await;
    let id = request.id().to_string();
    let (kept, last) = id.split_at(id.len() - 1);
    let unknown = format!("{kept}{}", if last == "0" { "1" } else { "0" });
    for action in ["request.get", "request.cancel"] {
        let ask = |id: &str| {
            json!({"id": "1", "action": action, "payload": {"request_id": id}}).to_string()
        };
        let of_another = answer(&other, &ask(&id)).await.replace(&id, "ID");
        let of_none = answer(&other, &ask(&unknown)).await.replace(&unknown, "ID");
        assert_eq!(of_another, of_none, "{action}");
        assert!(of_none.contains("NOT_FOUND"), "{of_none}");
    }

    let payload = json!([1]);
    let calling = client.call("echo", &payload, Terms::default());
    let echoed = timeout(DEADLINE, calling).await.unwrap().unwrap();
    assert_eq!(echoed.get(), payload.to_string());
    world.stop().await;
}
