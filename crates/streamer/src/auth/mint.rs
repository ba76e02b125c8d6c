//! Who a token is for and the time come in; the token, signed with the newest local key, goes out.

use std::time::Duration;

use jsonwebtoken::{Header, encode};
use serde::Serialize;

use super::{
    TOKEN_BYTES_MAX,
    algorithm::provider,
    claims::{check_permissions, is_name},
    keys::Keys,
};

/// What a token is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintRequest {
    /// `sub`: the user.
    pub sub: String,
    /// `tenant_id`; none only where the server is configured with a single tenant.
    pub tenant: Option<String>,
    /// `permissions`; none allows every action.
    pub permissions: Option<Vec<String>>,
    /// `iss`, where the server is configured with one.
    pub issuer: Option<String>,
    /// `aud`, where the server is configured with one.
    pub audience: Option<String>,
    /// How long the token is valid, at least; `exp` is the next whole second after.
    pub expires_in: Duration,
    /// The time, in milliseconds since the epoch.
    pub now_ms: u64,
}

/// A token that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The server would refuse the name.
    #[error("{claim} `{found}` is not 1 to 128 of [A-Za-z0-9._:@|+=-]")]
    Name {
        /// `sub` or `tenant_id`.
        claim: &'static str,
        /// The name.
        found: String,
    },
    /// The server would refuse the permissions.
    #[error("{0}")]
    Permissions(String),
    /// The token would be expired at once, or valid for longer than time can be counted.
    #[error("a token cannot be valid for {0:?}")]
    ExpiresIn(Duration),
    /// The token would be longer than the server reads.
    #[error("the token would have {0} bytes, the most is {TOKEN_BYTES_MAX}")]
    TooLong(usize),
    /// None of the keys is a private one.
    #[error("no private key to sign with")]
    NoPrivateKey,
    /// The crypto library failed.
    #[error("the token could not be signed")]
    Sign(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a [String]>,
    iat: u64,
    exp: u64,
}

/// Makes a token, refusing what the server would refuse.
///
/// # Errors
/// Names, permissions or a lifetime that no server takes; keys none of which is private.
pub fn mint(keys: &Keys, request: &MintRequest) -> Result<String, MintError> {
    let named = [
        ("sub", Some(&request.sub)),
        ("tenant_id", request.tenant.as_ref()),
    ];
    for (claim, name) in named {
        if let Some(found) = name.filter(|name| !is_name(name)) {
            return Err(MintError::Name {
                claim,
                found: found.clone(),
            });
        }
    }
    if let Some(entries) = &request.permissions {
        check_permissions(entries).map_err(MintError::Permissions)?;
    }
    let exp = u64::try_from(request.expires_in.as_millis())
        .ok()
        .filter(|lifetime_ms| *lifetime_ms > 0)
        .and_then(|lifetime_ms| request.now_ms.checked_add(lifetime_ms))
        .ok_or(MintError::ExpiresIn(request.expires_in))?
        .div_ceil(1000);
    let signing = keys.signing().ok_or(MintError::NoPrivateKey)?;
    let body = Body {
        iss: request.issuer.as_deref(),
        sub: &request.sub,
        aud: request.audience.as_deref(),
        tenant_id: request.tenant.as_deref(),
        permissions: request.permissions.as_deref(),
        iat: request.now_ms / 1000,
        exp,
    };
    let mut header = Header::new(signing.algorithm.jwt());
    header.kid = Some(signing.kid.clone());
    provider();
    let token =
        encode(&header, &body, &signing.key).map_err(|error| MintError::Sign(Box::new(error)))?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(MintError::TooLong(token.len()));
    }
    Ok(token)
}
