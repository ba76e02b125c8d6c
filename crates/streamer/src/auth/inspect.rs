//! A token and perhaps keys come in; what it says, and whether it would be believed, go out for
//! people to read.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{claims::Rules, keys::Keys, rejection::Rejection, token::Token};

/// Whether a token's signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// No keys were given.
    NotChecked,
    /// One of the keys made it.
    Good,
    /// None of the keys made it.
    Bad,
}

/// What a token says. Nothing of it is to be believed unless the signature is good.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The header, as it stands in the token.
    pub header: Map<String, Value>,
    /// The claims, as they stand in the token.
    pub claims: Map<String, Value>,
    /// Whether the signature holds.
    pub signature: Signature,
    /// Why a server of many tenants would refuse the claims, if it would.
    pub refusal: Option<String>,
}

/// Takes a token apart at a time, in milliseconds since the epoch, checking its signature where
/// keys are given.
///
/// # Errors
/// Unauthorized where the text is no token; [`Rejection::reason`] says why.
pub fn inspect(text: &str, keys: Option<&Keys>, now_ms: u64) -> Result<Inspection, Rejection> {
    let token = Token::parse(text)?;
    let signature = match keys {
        None => Signature::NotChecked,
        Some(keys) if signed_by_one(keys, &token) => Signature::Good,
        Some(_) => Signature::Bad,
    };
    let refusal = Rules::default()
        .check(&token.claims, now_ms)
        .err()
        .map(|error| error.reason().to_owned());
    Ok(Inspection {
        header: token.header,
        claims: token.claims,
        signature,
        refusal,
    })
}

fn signed_by_one(keys: &Keys, token: &Token<'_>) -> bool {
    let Ok(algorithm) = token.algorithm.parse() else {
        return false;
    };
    let message = token.message.as_bytes();
    keys.clone()
        .public()
        .iter()
        .any(|key| key.verifies(algorithm, message, &token.signature))
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "header    {}", Value::Object(self.header.clone()))?;
        writeln!(f, "claims    {:#}", Value::Object(self.claims.clone()))?;
        writeln!(
            f,
            "signature {}",
            match self.signature {
                Signature::NotChecked => "not checked",
                Signature::Good => "good",
                Signature::Bad => "BAD: made by none of the keys",
            }
        )?;
        write!(
            f,
            "claims    {}",
            self.refusal.as_deref().unwrap_or("would be accepted")
        )
    }
}
