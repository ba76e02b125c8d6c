//! JWK sets come in; which of their keys verify which tokens is checked.

use serde_json::{Value, json};
use streamer::auth::{Algorithm, KeySource, Secret, Verifier, VerifierConfig};

use crate::support::{Files, NOW_MS, Pair, SECRET, claims, encode};

/// Whether a set of this key, with `changes`, and another good one, verifies a token of `pair`
/// named `kid`.
async fn accepts(pair: &Pair, kid: Option<&str>, changes: Value) -> bool {
    let mut jwk = pair.jwk("k1");
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
            value => jwk[name] = value.clone(),
        }
    }
    let other = Pair::new(Algorithm::EdDSA).jwk("other");
    let files = Files::new();
    let set = json!({"keys": [jwk, other, {"kty": "new"}, 7, null]}).to_string();
    let verifier = Verifier::new(VerifierConfig {
        keys: vec![
            KeySource::JwksFile(files.write("jwks.json", set)),
            KeySource::Secret(Secret(SECRET.to_vec())),
        ],
        ..VerifierConfig::default()
    });
    verifier
        .unwrap()
        .verify(&pair.token(kid, &claims(&[])), NOW_MS)
        .await
        .is_ok()
}

#[tokio::test]
async fn a_key_is_used_for_what_its_type_and_its_set_say() {
    let (rsa, ps, ec) = (
        Pair::new(Algorithm::RS256),
        Pair::new(Algorithm::PS384),
        Pair::new(Algorithm::ES256),
    );
    let p384 = Pair::new(Algorithm::ES384);
    let short = encode([0xc3; 128]);
    let cases = [
        (&ec, Some("k1"), json!({}), true),
        (&ec, None, json!({}), true),
        (&ec, Some("other"), json!({}), false),
        (&ec, Some("k2"), json!({}), false),
        (&ec, Some("K1"), json!({}), false),
        (&ec, Some("k2"), json!({"kid": null}), true),
        (&ec, Some("k1"), json!({"alg": null, "use": null}), true),
        (&ec, Some("k1"), json!({"use": "enc"}), false),
        (&ec, Some("k1"), json!({"key_ops": ["verify"]}), true),
        (&ec, Some("k1"), json!({"key_ops": ["sign"]}), false),
        (&ec, Some("k1"), json!({"alg": "ES384"}), false),
        (&ec, Some("k1"), json!({"alg": "ECDH-ES"}), false),
        (&ec, Some("k1"), json!({"crv": "secp256k1"}), false),
        (&ec, Some("k1"), json!({"x": encode([1; 32])}), false),
        (&ec, Some("k1"), json!({"y": null}), false),
        (&p384, Some("k1"), json!({}), true),
        (&p384, Some("k1"), json!({"crv": "P-256"}), false),
        (&rsa, Some("k1"), json!({"alg": null}), true),
        (&ps, Some("k1"), json!({"alg": null}), true),
        (&ps, Some("k1"), json!({"alg": "PS384"}), true),
        (&ps, Some("k1"), json!({"alg": "RS256"}), false),
        (&rsa, Some("k1"), json!({"alg": "RSA-OAEP"}), false),
        (&rsa, Some("k1"), json!({"n": short}), false),
    ];
    for (pair, kid, changes, expected) in cases {
        let algorithm = pair.algorithm;
        let shown = format!("{algorithm} {kid:?} {changes}");
        assert_eq!(accepts(pair, kid, changes).await, expected, "{shown}");
    }
}

#[tokio::test]
async fn a_secret_in_a_set_is_not_used() {
    let secret = b"ffffffffffffffffffffffffffffffff";
    let files = Files::new();
    let oct = json!({"kty": "oct", "kid": "k1", "alg": "HS256", "k": encode(secret)});
    let set = json!({"keys": [oct, Pair::new(Algorithm::ES256).jwk("k2")]}).to_string();
    let verifier = Verifier::new(VerifierConfig {
        keys: vec![
            KeySource::JwksFile(files.write("jwks.json", set)),
            KeySource::Secret(Secret(SECRET.to_vec())),
        ],
        ..VerifierConfig::default()
    })
    .unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    let header = r#"{"alg":"HS256","kid":"k1"}"#;
    let token = crate::support::sign(header, &claims(&[]), &key, Algorithm::HS256);
    assert!(verifier.verify(&token, NOW_MS).await.is_err());
}

#[tokio::test]
async fn a_file_that_changed_is_read_again_for_an_unknown_kid_or_after_a_minute() {
    let (old, new) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let files = Files::new();
    let set = |keys: Value| json!({ "keys": keys }).to_string();
    let path = files.write("jwks.json", set(json!([old.jwk("old")])));
    let verifier = Verifier::new(VerifierConfig {
        keys: vec![KeySource::JwksFile(path)],
        ..VerifierConfig::default()
    })
    .unwrap();
    let (of_old, of_new) = (
        old.token(Some("old"), &claims(&[])),
        new.token(Some("new"), &claims(&[])),
    );
    let accepts =
        async |token: &str, after_ms: u64| verifier.verify(token, NOW_MS + after_ms).await.is_ok();
    assert!(accepts(&of_old, 0).await);
    files.write("jwks.json", set(json!([new.jwk("new")])));
    assert!(!accepts(&of_new, 999).await, "a second has not passed");
    assert!(accepts(&of_old, 999).await);
    assert!(accepts(&of_new, 1000).await);
    assert!(!accepts(&of_old, 1000).await, "its key was withdrawn");
    files.write("jwks.json", set(json!([old.jwk("old")])));
    assert!(accepts(&of_new, 60_999).await);
    assert!(!accepts(&of_new, 61_000).await, "its key was withdrawn");
    files.write("jwks.json", "half a fi");
    assert!(
        accepts(&of_old, 200_000).await,
        "what cannot be read leaves the keys of before"
    );
}
