//! The URL of a JWK set comes in; its text and how long it may be kept go out, within limits of
//! time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// The most bytes of a JWK set that are read.
const JWKS_BYTES_MAX: usize = 256 * 1024;
/// How long a fetch may take in all.
pub(super) const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// How long a set is kept whose answer does not say, in seconds.
const MAX_AGE_DEFAULT_S: u64 = 300;
/// A shorter `max-age`, and `no-store`, are taken as this: a provider must not be asked for every
/// client.
const MAX_AGE_MIN_S: u64 = 60;
/// A longer `max-age` is taken as this: a key that was withdrawn must go some day.
const MAX_AGE_MAX_S: u64 = 24 * 60 * 60;

/// A fetch that brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it took longer than {} s", FETCH_DEADLINE.as_secs())]
    Deadline,
    #[error("no answer")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer breaks off, or has more than {JWKS_BYTES_MAX} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An HTTP client that follows no redirect and keeps no connection.
#[derive(Debug, Clone)]
pub(super) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetcher {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self(client))
    }

    /// Gets the set and the milliseconds it may be kept. May be dropped half-way.
    pub(super) async fn get(&self, url: Uri) -> Result<(Bytes, u64), FetchError> {
        tokio::time::timeout(FETCH_DEADLINE, self.get_unhurried(url))
            .await
            .unwrap_or(Err(FetchError::Deadline))
    }

    async fn get_unhurried(&self, url: Uri) -> Result<(Bytes, u64), FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url;
        request.headers_mut().insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        let response = self.0.request(request).await.map_err(FetchError::Connect)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let kept_ms = max_age_s(response.headers()) * 1000;
        let body = Limited::new(response.into_body(), JWKS_BYTES_MAX);
        let body = body.collect().await.map_err(FetchError::Body)?;
        Ok((body.to_bytes(), kept_ms))
    }
}

/// How long `Cache-Control` (RFC 9111 §5.2.2) lets the answer be kept, within our bounds.
fn max_age_s(headers: &HeaderMap) -> u64 {
    let mut age_s = MAX_AGE_DEFAULT_S;
    let values = headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    for directive in values.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return MAX_AGE_MIN_S,
            "max-age" => {
                age_s = value
                    .trim()
                    .trim_matches('"')
                    .parse()
                    .unwrap_or(MAX_AGE_MIN_S);
            }
            _ => {}
        }
    }
    age_s.clamp(MAX_AGE_MIN_S, MAX_AGE_MAX_S)
}
