//! Header and claims as JSON text come in, signed tokens go out; and verifiers for the tests' keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
use serde_json::{Value, json};
use streamer::auth::{Algorithm, Generated, KeySource, Secret, Verifier, VerifierConfig, generate};
use tempfile::TempDir;

/// The time of every test, in seconds and in milliseconds since the epoch.
pub(crate) const NOW_S: u64 = 1_800_000_000;
pub(crate) const NOW_MS: u64 = NOW_S * 1000;
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The claims of a good token with some replaced, as (name, JSON text); an empty text leaves the
/// claim out.
pub(crate) fn claims(changes: &[(&str, &str)]) -> String {
    let exp = (NOW_S + 3600).to_string();
    let iat = NOW_S.to_string();
    let good = [
        ("sub", r#""u1""#),
        ("tenant_id", r#""acme""#),
        ("exp", exp.as_str()),
        ("iat", &iat),
    ];
    let kept = good
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    let members: Vec<String> = kept
        .chain(changes.iter().filter(|(_, text)| !text.is_empty()))
        .map(|(name, text)| format!("{name:?}:{text}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A token of any header and claims, signed as told whatever the header says.
pub(crate) fn sign(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let algorithm: jsonwebtoken::Algorithm = algorithm.name().parse().unwrap();
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

pub(crate) fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A key pair for the tests, made when they run.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) algorithm: Algorithm,
    pub(crate) made: Generated,
    pub(crate) key: EncodingKey,
}

impl Pair {
    /// A pair for any algorithm with a public key.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let name = algorithm.name();
        let kind = if name.starts_with(['R', 'P']) {
            Algorithm::RS256
        } else {
            algorithm
        };
        let made = generate(kind).unwrap();
        let pem = made.private_pem.as_bytes();
        let key = match kind {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_ec_pem(pem),
        };
        Self {
            algorithm,
            made,
            key: key.unwrap(),
        }
    }

    /// A token of these claims, signed with this key, the header naming `kid` where there is one.
    pub(crate) fn token(&self, kid: Option<&str>, claims: &str) -> String {
        let mut header = json!({"typ": "JWT", "alg": self.algorithm});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        sign(&header.to_string(), claims, &self.key, self.algorithm)
    }

    /// The public key as a JWK of this name.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let algorithm: jsonwebtoken::Algorithm = self.algorithm.name().parse().unwrap();
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.key, algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = kid.into();
        jwk["use"] = "sig".into();
        jwk
    }
}

/// Files that a verifier reads, gone when the test ends.
#[derive(Debug)]
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

/// A verifier with the public keys of these pairs, and the secret.
pub(crate) fn verifier(pairs: &[&Pair]) -> (Verifier, Files) {
    let files = Files::new();
    let config = VerifierConfig {
        keys: sources(&files, pairs),
        ..VerifierConfig::default()
    };
    (Verifier::new(config).unwrap(), files)
}

pub(crate) fn sources(files: &Files, pairs: &[&Pair]) -> Vec<KeySource> {
    let pem = |(index, pair): (usize, &&Pair)| {
        KeySource::Pem(files.write(&format!("{index}.pem"), &pair.made.public_pem))
    };
    let mut keys: Vec<KeySource> = pairs.iter().enumerate().map(pem).collect();
    keys.push(KeySource::Secret(Secret(SECRET.to_vec())));
    keys
}
