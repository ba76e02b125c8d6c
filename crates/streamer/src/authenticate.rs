//! Tokens as a Lift app's way to authenticate: a handshake comes in, the token's identity goes out.

use std::sync::Arc;

use async_trait::async_trait;
use lift::clock::Timestamp;
use lift::id::Owner;
use lift::identity::{Authenticate, Denied, Handshake, Identity};

use crate::auth::{
    self, Claims, QueryToken, Rejection, RejectionKind, Verifier, check_origin, presented_token,
};

/// Where a token may be and where a browser may come from.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// Whether `?token=` counts.
    pub query: QueryToken,
    /// Values of `Origin` that are let in; empty lets all in.
    pub origins: Vec<String>,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            query: QueryToken::Off,
            origins: Vec::new(),
        }
    }
}

/// Lets in who has a good token.
#[derive(Debug, Clone)]
pub struct TokenAuthenticator {
    verifier: Arc<Verifier>,
    rules: TokenRules,
}

impl TokenAuthenticator {
    /// Checks tokens with `verifier`.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, rules: TokenRules) -> Self {
        Self { verifier, rules }
    }

    async fn claims(&self, handshake: &Handshake, now: Timestamp) -> Result<Claims, Rejection> {
        let headers: Vec<(&str, &str)> = borrowed(&handshake.headers);
        let query: Vec<(&str, &str)> = borrowed(&handshake.query);
        let subprotocols: Vec<&str> = handshake.subprotocols().collect();
        let presented = auth::Handshake {
            headers: &headers,
            query: &query,
            subprotocols: &subprotocols,
        };
        let token = presented_token(&presented, self.rules.query)?;
        let claims = self.verifier.verify(token, now.as_millis()).await?;
        check_origin(&headers, &self.rules.origins)?;
        Ok(claims)
    }
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[async_trait]
impl Authenticate for TokenAuthenticator {
    async fn authenticate(
        &self,
        handshake: &Handshake,
        now: Timestamp,
    ) -> Result<Identity, Denied> {
        let claims = self.claims(handshake, now).await.map_err(|rejection| {
            let reason = rejection.reason().to_owned();
            match rejection.kind() {
                RejectionKind::Unauthorized => Denied::Unauthorized(reason),
                RejectionKind::Forbidden => Denied::Forbidden(reason),
            }
        })?;
        let owner = Owner::new(&claims.tenant, &claims.user)
            .map_err(|error| Denied::Unauthorized(error.to_string()))?;
        let expires_at = Some(Timestamp::from_millis(claims.expires_at_ms));
        Ok(Identity {
            owner,
            permissions: claims.permissions,
            expires_at,
        })
    }
}
