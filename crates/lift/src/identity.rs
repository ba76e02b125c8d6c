//! Who is calling: a handshake comes in, an identity or a refusal goes out.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::Owner;

/// Who a connection belongs to, from its verified token by way of the gateway's authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Tenant and user.
    pub owner: Owner,
    /// The actions that the token may call, by name or `*`; absent means all.
    pub permissions: Option<Vec<String>>,
    /// When the token stops being valid, if it does.
    pub expires_at: Option<Timestamp>,
}

impl Identity {
    /// Whether the token may call `action`.
    pub fn may_call(&self, action: &str) -> bool {
        let Some(permissions) = &self.permissions else {
            return true;
        };
        permissions
            .iter()
            .any(|granted| granted == "*" || granted == action)
    }

    /// Whether the token names `grant`: unlike an action, it is given neither by `*` nor by absence.
    pub fn holds(&self, grant: &str) -> bool {
        let named = self.permissions.iter().flatten();
        named.into_iter().any(|granted| granted == grant)
    }
}

/// What a client sent to be let in.
#[derive(Debug, Clone, Default)]
pub struct Handshake {
    /// Header names and values as sent; names may repeat.
    pub headers: Vec<(String, String)>,
    /// Decoded query parameters as sent; names may repeat.
    pub query: Vec<(String, String)>,
    /// The address that the client connected from.
    pub source_ip: String,
}

impl Handshake {
    /// Every value of a header, by its name in any case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self
            .headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The subprotocols that the client offered, in order (RFC 6455 §4.1).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let values = self.header("Sec-WebSocket-Protocol");
        values
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
    }
}

/// Why a handshake is refused. The client learns the kind alone, the log learns the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No good token: 401.
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    /// A good token that is not allowed here: 403.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Whether the token is good could not be found out: 500.
    #[error("cannot tell: {0}")]
    Unavailable(String),
}

/// Decides who may connect. Implement it to add a way to authenticate.
#[async_trait]
pub trait Authenticate: fmt::Debug + Send + Sync + 'static {
    /// The identity that the handshake proves.
    async fn authenticate(&self, handshake: &Handshake, now: Timestamp)
    -> Result<Identity, Denied>;
}

/// Lets everyone in as one owner: for an app without accounts, on a machine of its own.
#[derive(Debug, Clone)]
pub struct Everyone(pub Owner);

#[async_trait]
impl Authenticate for Everyone {
    async fn authenticate(&self, _: &Handshake, _: Timestamp) -> Result<Identity, Denied> {
        Ok(Identity {
            owner: self.0.clone(),
            permissions: None,
            expires_at: None,
        })
    }
}
