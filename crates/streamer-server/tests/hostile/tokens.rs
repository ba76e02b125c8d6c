//! Tokens that were forged come in; one and the same 401 goes out.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::EncodingKey;
use serde_json::json;
use streamer::auth::Algorithm;

use crate::forge::{Files, Pair, claims, encode, sign};
use crate::siege::{Memory, during};
use crate::support::home::Home;

/// Good claims for now, with some replaced.
pub(crate) fn now(changes: &[(&str, &str)]) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary under test has the real clock"
    )]
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (iat, exp) = (seconds.to_string(), (seconds + 600).to_string());
    let mut all = vec![("iat", iat.as_str()), ("exp", exp.as_str())];
    all.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    all.extend(changes);
    claims(&all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn forged_tokens_are_refused_alike() {
    let home = Home::new();
    let (files, rsa) = (Files::new(), Pair::new(Algorithm::RS256));
    let public = files.write("rsa.pem", &rsa.made.public_pem);
    // The server's own keys as well, for the good client.
    drop(home.token("ada", "acme"));
    let own: Vec<_> = std::fs::read_dir(home.data().join("keys"))
        .unwrap()
        .collect();
    let own = own.into_iter().map(|file| file.unwrap().path());
    let own = own.filter(|path| path.extension().is_some_and(|kind| kind == "pem"));
    let keys: Vec<String> = own
        .chain([public.clone()])
        .map(|path| path.display().to_string())
        .collect();
    let server = home.start(&["--jwt-key", &keys.join(",")]).await;
    let good = now(&[]);
    let hmac = |header: serde_json::Value, key: &[u8]| {
        sign(
            &header.to_string(),
            &good,
            &EncodingKey::from_secret(key),
            Algorithm::HS256,
        )
    };
    let pem = rsa.made.public_pem.as_bytes();
    let mut forged = vec![
        (
            "alg none",
            format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&good)),
        ),
        (
            "alg nOnE",
            format!("{}.{}.", encode(r#"{"alg":"nOnE"}"#), encode(&good)),
        ),
        (
            "no signature",
            format!("{}.{}.", encode(r#"{"alg":"RS256"}"#), encode(&good)),
        ),
        (
            "HS256 by the public key",
            hmac(json!({"alg": "HS256"}), pem),
        ),
        (
            "HS256 by the public key, said RS256",
            hmac(json!({"alg": "RS256"}), pem),
        ),
        (
            "its key in the header",
            hmac(
                json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}),
                b"\0",
            ),
        ),
        (
            "its key's URL in the header",
            hmac(json!({"alg": "HS256", "jku": "http://127.0.0.1:1/"}), b"\0"),
        ),
    ];
    let paths = [
        "../../../../dev/null",
        "/dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "' UNION SELECT 'a",
        "|whoami",
        "\u{0}",
        "..",
        "http://127.0.0.1:1/jwks.json",
        public.to_str().unwrap(),
    ];
    for kid in paths {
        forged.push((
            "kid leads to a known file",
            hmac(json!({"alg": "HS256", "kid": kid}), b""),
        ));
        forged.push((
            "kid leads to a known file",
            hmac(json!({"alg": "HS256", "kid": kid}), b"2\n"),
        ));
    }
    let types = [
        ("sub", "7"),
        ("sub", "null"),
        ("sub", "[\"ada\"]"),
        ("sub", "\"../root\""),
        ("tenant_id", "7"),
        ("tenant_id", "[\"acme\"]"),
        ("tenant_id", "\"..\""),
        ("tenant_id", "{}"),
        ("exp", "\"9999999999\""),
        ("exp", "null"),
        ("exp", "true"),
        ("exp", "1e300"),
        ("exp", "-1"),
        ("nbf", "\"0\""),
        ("iat", "[]"),
        ("permissions", "\"*\""),
        ("permissions", "{}"),
        ("permissions", "[null]"),
        ("iss", "{}"),
        ("aud", "7"),
    ];
    for (claim, text) in types {
        forged.push((
            "a claim of the wrong type",
            rsa.token(None, &now(&[(claim, text)])),
        ));
    }
    during(
        "forged tokens",
        &home,
        &server,
        Memory { peak_mib: 32 },
        async |_, server| {
            let answer = async |token: &str| {
                let answer = server
                    .upgrade("/", &[("authorization", &format!("Bearer {token}"))])
                    .await;
                let headers: Vec<_> = answer
                    .headers
                    .into_iter()
                    .filter(|(name, _)| name != "date")
                    .collect();
                (answer.status, headers, answer.body)
            };
            assert_eq!(
                answer(&rsa.token(None, &good)).await.0,
                101,
                "the keys are right"
            );
            let first = answer("").await;
            assert_eq!(
                (first.0, first.2.as_str()),
                (401, r#"{"message":"Unauthorized"}"#)
            );
            for (name, token) in &forged {
                assert_eq!(answer(token).await, first, "{name}: {token}");
            }
        },
    )
    .await;
}
