//! A JWK set (RFC 7517 §5) comes in, the keys of it that can verify a token go out.

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    KEYS_MAX,
    algorithm::Algorithm,
    key::{Kid, VerifyKey},
    rejection::shown,
};

/// A JWK set that no key can be taken from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// It is not JSON of the shape `{"keys":[…]}`.
    #[error("it is not a JWK set")]
    Malformed(#[source] serde_json::Error),
    /// None of its keys can verify a token.
    #[error("none of its {0} keys is a public RSA, P-256, P-384 or Ed25519 key for signatures")]
    NoneUsable(usize),
    /// It has more usable keys than are tried for one token.
    #[error("it has {0} usable keys, the most is {KEYS_MAX}")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// Takes the usable keys of a set; each other is left out, as RFC 7517 §5 says a reader should.
pub(super) fn parse(json: &[u8]) -> Result<Vec<VerifyKey>, JwksError> {
    let set: Set = serde_json::from_slice(json).map_err(JwksError::Malformed)?;
    let total = set.keys.len();
    let keys: Vec<VerifyKey> = set.keys.into_iter().filter_map(usable).collect();
    match keys.len() {
        0 => Err(JwksError::NoneUsable(total)),
        1..=KEYS_MAX => Ok(keys),
        many => Err(JwksError::TooMany(many)),
    }
}

fn usable(value: Value) -> Option<VerifyKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let found = verify_key(&jwk);
    if found.is_none() {
        let kid = jwk.common.key_id.as_deref().map(shown);
        tracing::debug!(kid, "a key of the JWK set cannot be used");
    }
    found
}

fn verify_key(jwk: &Jwk) -> Option<VerifyKey> {
    let for_signatures = match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
    };
    let may_verify = jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    // A secret in a published set is no secret: `oct` is not for us.
    let of_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &Algorithm::RSA,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            &[Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => {
            &[Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => return None,
    };
    if !(for_signatures && may_verify) {
        return None;
    }
    let mut key = VerifyKey::from_public(DecodingKey::from_jwk(jwk).ok()?).ok()?;
    key.algorithms
        .retain(|algorithm| of_type.contains(algorithm));
    if let Some(named) = jwk.common.key_algorithm {
        let named: Algorithm = named.to_string().parse().ok()?;
        key.algorithms.retain(|algorithm| *algorithm == named);
    }
    key.kid = jwk.common.key_id.clone().map_or(Kid::None, Kid::Declared);
    (!key.algorithms.is_empty()).then_some(key)
}
