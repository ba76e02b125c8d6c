//! Tokens that other libraries made come in, by each way that their keys can be configured; all are
//! accepted.
//!
//! `vectors/make.py` and `vectors/make.mjs` made them, and say how.

use serde::Deserialize;
use serde_json::{Value, json};
use streamer::auth::{Claims, KeySource, Secret, Verifier, VerifierConfig};

use crate::support::{Files, NOW_MS};

#[derive(Deserialize)]
struct Vectors {
    made_by: String,
    user: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    algorithm: String,
    pem: Option<String>,
    jwk: Option<Value>,
    secret: Option<String>,
    token: String,
}

#[tokio::test]
async fn tokens_of_other_libraries_are_accepted() {
    for text in [
        include_str!("vectors/pyjwt.json"),
        include_str!("vectors/npm.json"),
    ] {
        let set: Vectors = serde_json::from_str(text).unwrap();
        let expected = Claims {
            user: set.user,
            tenant: "acme".to_owned(),
            permissions: Some(vec!["echo".to_owned(), "tenant.read".to_owned()]),
            expires_at_ms: NOW_MS + 3_600_000,
            issued_at_ms: Some(NOW_MS),
        };
        assert_eq!(set.vectors.len(), 10, "{}", set.made_by);
        for vector in set.vectors {
            for (way, keys, _files) in ways(&vector) {
                let config = VerifierConfig {
                    keys: vec![keys],
                    algorithms: vec![vector.algorithm.parse().unwrap()],
                    issuer: Some("https://id.example.com/".to_owned()),
                    audience: Some("streamer".to_owned()),
                    ..VerifierConfig::default()
                };
                let answer = Verifier::new(config)
                    .unwrap()
                    .verify(&vector.token, NOW_MS)
                    .await;
                let case = format!("{} {} by {way}", set.made_by, vector.algorithm);
                assert_eq!(answer.as_ref(), Ok(&expected), "{case}");
            }
        }
    }
}

fn ways(vector: &Vector) -> Vec<(&'static str, KeySource, Files)> {
    let mut ways = Vec::new();
    if let Some(pem) = &vector.pem {
        let files = Files::new();
        ways.push(("PEM", KeySource::Pem(files.write("key.pem", pem)), files));
    }
    if let Some(jwk) = &vector.jwk {
        let files = Files::new();
        let set = json!({"keys": [jwk]}).to_string();
        ways.push((
            "JWK set",
            KeySource::JwksFile(files.write("jwks.json", set)),
            files,
        ));
    }
    if let Some(secret) = &vector.secret {
        let secret = Secret(secret.clone().into_bytes());
        ways.push(("secret", KeySource::Secret(secret), Files::new()));
    }
    ways
}
