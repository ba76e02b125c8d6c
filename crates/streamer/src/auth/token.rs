//! The text of a JWT comes in; its header, its claims and its signature, none of them believed yet,
//! go out.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    TOKEN_BYTES_MAX,
    rejection::{Rejection, shown},
};

/// A JWS in compact form (RFC 7515 §7.1), taken apart.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) header: Map<String, Value>,
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What is signed: the first two parts as they came.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart; the strictest reading of each part, so that no two readers can differ
    /// about it.
    pub(super) fn parse(text: &'a str) -> Result<Self, Rejection> {
        if text.len() > TOKEN_BYTES_MAX {
            let length = text.len();
            return Err(Rejection::unauthorized(format!(
                "the token has {length} bytes, the most is {TOKEN_BYTES_MAX}"
            )));
        }
        let parts = || {
            let (message, signature) = text.rsplit_once('.')?;
            let (header, claims) = message.split_once('.')?;
            (!claims.contains('.')).then_some((message, header, claims, signature))
        };
        let Some((message, header, claims, signature)) = parts() else {
            return Err(Rejection::unauthorized(
                "the token does not have three parts",
            ));
        };
        let header = object("header", &decoded("header", header)?)?;
        // RFC 7515 §4.1.11: an extension that is not understood must be refused, and none is.
        if header.contains_key("crit") {
            return Err(Rejection::unauthorized("the token's header has a `crit`"));
        }
        let Some(Value::String(algorithm)) = header.get("alg") else {
            return Err(Rejection::unauthorized(
                "the token's header has no `alg` that is a string",
            ));
        };
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(Rejection::unauthorized("the token's `kid` is not a string")),
        };
        Ok(Self {
            algorithm: algorithm.clone(),
            kid,
            header,
            claims: object("claims", &decoded("claims", claims)?)?,
            message,
            signature: decoded("signature", signature)?,
        })
    }
}

fn decoded(part: &str, text: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| {
        Rejection::unauthorized(format!("the token's {part} is not base64url: {error}"))
    })
}

fn object(part: &str, json: &[u8]) -> Result<Map<String, Value>, Rejection> {
    match serde_json::from_slice(json) {
        Ok(UniqueKeys(map)) => Ok(map),
        Err(error) => Err(Rejection::unauthorized(format!(
            "the token's {part}: {error}"
        ))),
    }
}

/// A JSON object no key of which is repeated (RFC 7519 §4 lets a reader refuse one that is).
struct UniqueKeys(Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UniqueKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<UniqueKeys, A::Error> {
                let mut map = Map::new();
                while let Some((key, value)) = access.next_entry::<String, Value>()? {
                    if map.contains_key(&key) {
                        return Err(A::Error::custom(format!("{} is repeated", shown(&key))));
                    }
                    map.insert(key, value);
                }
                Ok(UniqueKeys(map))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
