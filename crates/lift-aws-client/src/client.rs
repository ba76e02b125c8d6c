//! In: an HTTP request for one service. Out: the answer to it, signed; nothing of what it means.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use crate::answer::Answer;
use crate::clock::ServerClock;
use crate::connector::Connector;
use crate::deadline;
use crate::sigv4::{self, Credentials, Scope};

/// How long one try may take.
const TRY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a request with a body of megabytes may take until its answer begins.
const STREAM_DEADLINE: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// AWS's ends close connections that idle for about a minute.
const IDLE: Duration = Duration::from_secs(40);
const IDLE_MAX: usize = 64;
/// DynamoDB's `GetRecords` answers up to 1 MB of items, which JSON and base64 make longer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Connections, credentials and the time, for every service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    http: HttpClient<Connector, Full<Bytes>>,
    connector: Connector,
    credentials: Credentials,
    region: String,
    clock: ServerClock,
}

/// Whom a TLS server's certificate must come from.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// The public authorities that Mozilla trusts, built in: reading a system's own costs a cold start
    /// milliseconds.
    #[default]
    Public,
    /// Those of a PEM file, alone: `AWS_CA_BUNDLE`.
    File(PathBuf),
}

/// What the names of a region's services end with: `amazonaws.com`, or China's.
#[must_use]
pub fn url_suffix(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

/// Why there is no client, or no endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It is no `http` or `https` URL with a host.
    #[error("`{0}` is no endpoint such as `http://127.0.0.1:8000`")]
    Url(String),
    /// The file of roots cannot be read or holds none.
    #[error("no certificates can be read from `{}`", .0.display())]
    Roots(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection came about, so that nothing was sent.
    #[error("`{endpoint}` cannot be connected to")]
    NotConnected {
        /// The endpoint.
        endpoint: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came, to a request that may have arrived.
    #[error("`{endpoint}` does not answer")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The request has no HTTP form.
    #[error("the request is malformed")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Client {
    /// A client that signs for a region.
    ///
    /// # Errors
    /// If the roots cannot be read or TLS cannot be set up.
    pub fn new(
        region: impl Into<String>,
        credentials: Credentials,
        roots: &Roots,
        clock: ServerClock,
    ) -> Result<Self, EndpointError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(read(roots)?)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_DEADLINE));
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let connector = Connector::new(https);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector.clone());
        Ok(Self(Arc::new(Shared {
            http,
            connector,
            credentials,
            region: region.into(),
            clock,
        })))
    }

    /// One service at one URL.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn endpoint(&self, service: &'static str, url: &str) -> Result<Endpoint, EndpointError> {
        let wrong = || EndpointError::Url(url.to_owned());
        let uri: Uri = url.parse().ok().ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.ok().ok_or_else(wrong)?;
        Ok(Endpoint {
            client: self.clone(),
            service,
            uri,
            host,
        })
    }

    /// Sends a request to a whole URL once, as it is, and streams the answer: it is signed already, or needs no signature.
    ///
    /// # Errors
    /// A [`SendError`] where no answer begins within thirty seconds, or within the [deadline] around it.
    pub async fn stream(&self, request: Request<Bytes>) -> Result<Response<Answer>, SendError> {
        let to = request.uri().authority().map(ToString::to_string);
        let sent = self.0.http.request(request.map(Full::new));
        let until = deadline::at_most(Instant::now() + STREAM_DEADLINE);
        let answered = timeout_at(until, sent).await;
        let answer = answered.map_err(|_late| SendError::Late)?;
        let answer = answer.map_err(|error| unanswered(to.unwrap_or_default(), error))?;
        self.learn(answer.headers());
        Ok(answer.map(Answer::new))
    }

    fn learn(&self, headers: &HeaderMap) {
        let date = headers.get(header::DATE);
        if let Some(date) = date.and_then(|date| date.to_str().ok()) {
            self.0.clock.learn(date);
        }
    }

    /// The region that calls are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// What calls are signed with.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// The time as the services have it.
    #[must_use]
    pub fn clock(&self) -> &ServerClock {
        &self.0.clock
    }
}

fn unanswered(endpoint: String, error: hyper_util::client::legacy::Error) -> SendError {
    let nothing_was_sent = error.is_connect();
    let source = error.into();
    if nothing_was_sent {
        SendError::NotConnected { endpoint, source }
    } else {
        SendError::Unreachable { endpoint, source }
    }
}

fn read(roots: &Roots) -> Result<RootCertStore, EndpointError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Public => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::File(path) => {
            add(&mut store, path).map_err(|error| EndpointError::Roots(path.clone(), error))?
        }
    }
    Ok(store)
}

fn add(
    store: &mut RootCertStore,
    path: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for certificate in CertificateDer::pem_file_iter(path)? {
        // A system's bundle may hold a few that no TLS library takes.
        let _ = store.add(certificate?);
    }
    if store.is_empty() {
        return Err("there are none".into());
    }
    Ok(())
}

/// One service at one URL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Endpoint {
    client: Client,
    service: &'static str,
    uri: Uri,
    host: HeaderValue,
}

impl Endpoint {
    /// The URL as it was given, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        self.uri.to_string().trim_end_matches('/').to_owned()
    }

    /// The client that it belongs to.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens a connection before the first call needs it, TLS included.
    ///
    /// # Errors
    /// If there is no connection within three seconds.
    pub async fn open(&self) -> Result<(), SendError> {
        let opened = self.client.0.connector.open(self.uri.clone());
        let until = deadline::at_most(Instant::now() + CONNECT_DEADLINE);
        let opened = timeout_at(until, opened).await;
        let opened = opened.map_err(|_late| SendError::Late)?;
        opened.map_err(|source| SendError::NotConnected {
            endpoint: self.url(),
            source,
        })
    }

    /// Sends a request once, signed, and gives whatever is answered; again, at once, where the answer
    /// says that this machine's clock is wrong. The request's URI is a path below the endpoint's, with its
    /// query: `/2015-03-31/functions/F/invocations`.
    ///
    /// # Errors
    /// A [`SendError`] where nothing is answered within ten seconds, or within the
    /// [deadline] around it.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let until = deadline::at_most(Instant::now() + TRY_DEADLINE);
        match timeout_at(until, self.send_in_time(request)).await {
            Ok(answer) => answer,
            Err(_late) => Err(SendError::Late),
        }
    }

    /// A refusal whose `Date` put the clock right may have been for the signature's time: it is not the
    /// answer, which a second signature gets.
    async fn send_in_time(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let clock = self.client.clock();
        let signed_ms = clock.now_ms();
        let answer = self.try_send(request.clone()).await?;
        let moved = Duration::from_millis(clock.now_ms().abs_diff(signed_ms));
        if answer.status().is_client_error() && moved > TRY_DEADLINE * 2 {
            return self.try_send(request).await;
        }
        Ok(answer)
    }

    async fn try_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let shared = &self.client.0;
        let request = self
            .signed(request)
            .map_err(|error| SendError::Malformed(error.into()))?;
        let answered = shared.http.request(request).await;
        let (head, body) = answered
            .map_err(|error| unanswered(self.url(), error))?
            .into_parts();
        self.client.learn(&head.headers);
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|source| SendError::Unreachable {
            endpoint: self.url(),
            source,
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    fn signed(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, http::Error> {
        let (mut head, body) = request.into_parts();
        let below = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let base = self.uri.path().trim_end_matches('/');
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(format!("{base}{below}").parse()?);
        head.uri = Uri::from_parts(parts)?;
        head.headers.insert(header::HOST, self.host.clone());
        let shared = &self.client.0;
        let added = sigv4::sign(
            &sigv4::Parts {
                method: head.method.as_str(),
                path: head.uri.path(),
                query: head.uri.query().unwrap_or_default(),
                headers: &head.headers,
            },
            &sigv4::body_hash(&body),
            &shared.credentials,
            Scope {
                region: &shared.region,
                service: self.service,
            },
            shared.clock.now_ms(),
        )?;
        for (name, value) in added {
            head.headers.insert(name, value);
        }
        Ok(Request::from_parts(head, Full::new(body)))
    }
}
