//! In: calls of DynamoDB and its streams as JSON. Out: the answers of any endpoint, signed for, or typed errors.
//!
//! The protocol is AWS's JSON 1.0: `POST /`, the operation in `X-Amz-Target`, the error's type in
//! `__type`. Operations are named as there: `DynamoDB_20120810.PutItem`.

mod retry;
pub mod tables;
pub mod local;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::wall_clock;
use crate::sigv4::{self, Credentials, Scope};

/// How long one try may take.
const TRY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a call may take with its retries.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// `GetRecords` answers up to 1 MB of items, which JSON and base64 make longer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Calls one DynamoDB endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    host: HeaderValue,
    region: String,
    credentials: Credentials,
}

/// Why there is no client for an endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It is no `http` or `https` URL with a host.
    #[error("`{0}` is no endpoint such as `http://127.0.0.1:8000`")]
    Url(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// DynamoDB refused; `kind` is `ResourceNotFoundException` and the like.
    #[error("{target}: {kind}: {message}")]
    Refused {
        /// The operation.
        target: String,
        /// The error's type without its namespace.
        kind: String,
        /// DynamoDB's sentence.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer came.
    #[error("`{endpoint}` does not answer")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("{target}: no answer in time")]
    Late {
        /// The operation.
        target: String,
    },
    /// The request cannot be made, or the answer is not of its form.
    #[error("{target}: the request or its answer is malformed")]
    Malformed {
        /// The operation.
        target: String,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether DynamoDB refused with this type of error.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == wanted)
    }

    pub(crate) fn malformed(
        target: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Malformed {
            target: target.to_owned(),
            source: source.into(),
        }
    }

    /// Whether the same call may succeed a little later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused { kind, status, .. } => {
                *status >= 500 || retry::THROTTLES.contains(&kind.as_str())
            }
            Self::Unreachable { .. } | Self::Late { .. } => true,
            Self::Malformed { .. } => false,
        }
    }
}

impl Client {
    /// A client of `http://127.0.0.1:8000`, or of `https://dynamodb.eu-west-1.amazonaws.com`.
    ///
    /// # Errors
    /// If the endpoint is no URL, or TLS cannot be set up.
    pub fn new(
        endpoint: &str,
        region: impl Into<String>,
        credentials: Credentials,
    ) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Url(endpoint.to_owned());
        let uri: Uri = endpoint.parse().ok().ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        let host = HeaderValue::from_str(authority.as_str())
            .ok()
            .ok_or_else(wrong)?;
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            endpoint: uri,
            host,
            region: region.into(),
            credentials,
        })
    }

    /// The endpoint as it was given, without a slash at its end.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.to_string().trim_end_matches('/').to_owned()
    }

    /// The region that calls are signed for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Calls an operation such as `DynamoDB_20120810.PutItem`; throttled and failed tries are
    /// repeated within 30 s. May be dropped half-way.
    ///
    /// # Errors
    /// An [`Error`] once a retry does not help or the time is over.
    pub async fn call(&self, target: &str, body: &impl Serialize) -> Result<Bytes, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::malformed(target, error))?;
        let body = Bytes::from(body);
        let until = Instant::now() + CALL_DEADLINE;
        for failed in 1.. {
            let late = Error::Late {
                target: target.to_owned(),
            };
            let limit = TRY_DEADLINE.min(until - Instant::now());
            let tried = timeout(limit, self.try_once(target, body.clone())).await;
            let error = match tried.unwrap_or(Err(late)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let random = getrandom::u32().unwrap_or_default();
            let pause = retry::delay(failed, random).filter(|_| error.is_passing());
            let again = pause.map(|pause| Instant::now() + pause);
            let Some(again) = again.filter(|again| *again < until) else {
                return Err(error);
            };
            sleep_until(again).await;
        }
        Err(Error::Late {
            target: target.to_owned(),
        })
    }

    async fn try_once(&self, target: &str, body: Bytes) -> Result<Bytes, Error> {
        let request = self
            .signed(target, &body)
            .map_err(|error| Error::malformed(target, error))?;
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| Error::Unreachable {
            endpoint: self.endpoint.to_string(),
            source,
        };
        let response = self.http.request(request).await;
        let (head, body) = response
            .map_err(|error| unreachable(error.into()))?
            .into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(unreachable)?.to_bytes();
        if head.status.is_success() {
            Ok(body)
        } else {
            Err(refused(target, &Response::from_parts(head, body)))
        }
    }

    fn signed(&self, target: &str, body: &Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let service = "dynamodb";
        let mut request = Request::post(&self.endpoint)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(Full::new(body.clone()))?;
        let parts = sigv4::Parts {
            method: "POST",
            path: self.endpoint.path(),
            query: "",
            headers: request.headers(),
        };
        let scope = Scope {
            region: &self.region,
            service,
        };
        let hash = sigv4::body_hash(body);
        let added = sigv4::sign(&parts, &hash, &self.credentials, scope, wall_clock())?;
        for (name, value) in added {
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}

/// The typed error in an answer such as
/// `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceInUseException","Message":"…"}`.
fn refused(target: &str, response: &Response<Bytes>) -> Error {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: String,
    }
    let body: Body = serde_json::from_slice(response.body()).unwrap_or_default();
    let kind = body.kind.rsplit('#').next().unwrap_or_default();
    Error::Refused {
        target: target.to_owned(),
        kind: kind.to_owned(),
        message: body.message,
        status: response.status().as_u16(),
    }
}
