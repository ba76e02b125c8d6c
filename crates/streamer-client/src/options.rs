//! A URL and a source of tokens come in, what every connection is made with goes out.

use std::{fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use streamer_protocol::SUBPROTOCOL;

use crate::{
    error::{Error, Source},
    handshake::Target,
};

/// How to connect.
///
/// ```
/// use streamer_client::options::{Options, Token};
///
/// let options = Options::new("ws://127.0.0.1:8080/").token(Token::fixed("eyJ…"));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// `ws://` or `wss://` URL.
    pub url: String,
    /// Where each connection's token comes from; none sends none.
    pub token: Option<Token>,
    /// Subprotocols to offer, the best first; `streamer.v1` by default.
    pub subprotocols: Vec<String>,
    /// Sent with every handshake, besides what it sets itself; none by default. Names are sent in lower case.
    pub headers: HeaderMap,
    /// PEM certificates to trust besides the public roots.
    pub roots_pem: Option<String>,
    /// How long the first connection is tried; zero makes one attempt. 10 s by default.
    pub patience: Duration,
    /// Deadline of every direct answer that has none of its own, reconnecting included. 30 s by default.
    pub answer_within: Duration,
    /// This machine's address to connect from; the system chooses by default.
    pub from: Option<IpAddr>,
    /// Who is told of every connection and text; nobody by default.
    pub observer: Option<Observer>,
}

impl Options {
    /// Options for `url`, without a token.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            subprotocols: vec![SUBPROTOCOL.to_owned()],
            headers: HeaderMap::new(),
            roots_pem: None,
            patience: Duration::from_secs(10),
            answer_within: Duration::from_secs(30),
            from: None,
            observer: None,
        }
    }

    /// Looks whether a connection can be tried with them, without trying one.
    ///
    /// # Errors
    /// `Options` that cannot work.
    pub fn check(&self) -> Result<(), Error> {
        Target::new(self).map(drop)
    }

    /// Sets where tokens come from.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets the subprotocols to offer; a server need not choose one.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: Vec<String>) -> Self {
        self.subprotocols = subprotocols;
        self
    }

    /// Trusts the certificates in `pem` besides the public roots.
    #[must_use]
    pub fn roots_pem(mut self, pem: impl Into<String>) -> Self {
        self.roots_pem = Some(pem.into());
        self
    }

    /// Sets how long the first connection is tried; zero makes one attempt.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the deadline of direct answers.
    #[must_use]
    pub fn answer_within(mut self, deadline: Duration) -> Self {
        self.answer_within = deadline;
        self
    }

    /// Sets this machine's address to connect from.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Sets who is told of every connection and text.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }
}

/// Told of what happens on the wire, as it happens; it must not take long, for the connection waits.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(Seen<'_>) + Send + Sync>);

impl Observer {
    /// Tells `see`.
    pub fn new(see: impl Fn(Seen<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }

    pub(crate) fn see(&self, seen: Seen<'_>) {
        (self.0)(seen);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// What happened on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// It is open.
    Opened,
    /// The handshake was answered with this HTTP status, which is not 101.
    Answered(u16),
    /// There was no answer to the handshake, or none that can be understood.
    Unanswered,
    /// A text came.
    Text(&'a str),
    /// An open connection ended: the close code of the server, 1005 for a frame that has none (RFC 6455 §7.1.5), or
    /// nothing without a close frame.
    Lost(Option<u16>),
}

type Fetch = dyn Fn() -> BoxFuture<'static, Result<String, Source>> + Send + Sync;

/// Where tokens come from: asked before every connection, one question at a time.
///
/// It is asked once more when a token was refused; another token than the refused one is tried, once.
#[derive(Clone)]
pub struct Token(Arc<Fetch>);

impl Token {
    /// The same token always.
    pub fn fixed(token: impl Into<String>) -> Self {
        let token = token.into();
        Self::from_fn(move || std::future::ready(Ok(token.clone())))
    }

    /// Whatever `fetch` answers, within 10 s.
    pub fn from_fn<F, Answer>(fetch: F) -> Self
    where
        F: Fn() -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<String, Source>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(fetch())))
    }

    pub(crate) fn fetch(&self) -> BoxFuture<'static, Result<String, Source>> {
        (self.0)()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// What is said about one message besides action and payload.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Correlation id; one is made if absent.
    pub id: Option<String>,
    /// Carried to the task and into logs.
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
    /// Names the work, so that it is done once however often it is asked for; one is made if absent.
    pub idempotency_key: Option<String>,
    /// Deadline of the whole request from its acceptance; whole milliseconds count.
    pub timeout: Option<Duration>,
    /// Deadline of the direct answer, reconnecting included.
    pub answer_within: Option<Duration>,
}
