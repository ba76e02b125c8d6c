//! In: a bucket's name. Out: it as an object store, and large results in it, which URLs let anyone read for a while.
//!
//! `object_store` knows S3; its requests go over the connections that all services share.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::announce::Results;
use lift::task::record::Key;
use lift_aws_client::client::{Client, SendError, url_suffix};
use lift_aws_client::sigv4::{self, Scope};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt};

/// Presigned URLs work for seven days at most (Amazon S3 API Reference, "Authenticating Requests: Using
/// Query Parameters").
const URL_FOR_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The object store's requests over our connections.
#[derive(Clone, Debug)]
struct Ours(Client);

impl HttpConnector for Ours {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Ours {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let answer = self.0.stream(http::Request::from_parts(head, body)).await;
        let answer = answer.map_err(|error| HttpError::new(kind(&error), error))?;
        Ok(answer.map(|body| {
            HttpResponseBody::new(
                body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)),
            )
        }))
    }
}

/// The object store sends anything again where nothing was sent, and what does the same twice where it may have been.
const fn kind(error: &SendError) -> HttpErrorKind {
    match error {
        SendError::NotConnected { .. } => HttpErrorKind::Connect,
        SendError::Unreachable { .. } => HttpErrorKind::Interrupted,
        SendError::Late => HttpErrorKind::Timeout,
        _ => HttpErrorKind::Unknown,
    }
}

/// A bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    store: Arc<AmazonS3>,
    /// `https://NAME.s3.REGION.amazonaws.com`, or an endpoint's path of it.
    url: String,
}

impl Bucket {
    /// The bucket of this name in the client's region, or at an `endpoint` that is not AWS's, which has
    /// buckets at paths.
    ///
    /// # Errors
    /// The name or the endpoint is none.
    pub fn new(client: &Client, name: &str, endpoint: Option<&str>) -> object_store::Result<Self> {
        let (region, credentials) = (client.region(), client.credentials());
        let mut builder = AmazonS3Builder::new()
            .with_region(region)
            .with_bucket_name(name)
            .with_access_key_id(&credentials.access_key)
            .with_secret_access_key(&credentials.secret_key)
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_http_connector(Ours(client.clone()));
        if let Some(token) = &credentials.session_token {
            builder = builder.with_token(token);
        }
        let url = match endpoint.map(|endpoint| endpoint.trim_end_matches('/')) {
            Some(endpoint) => {
                let is_plain = endpoint.starts_with("http://");
                builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
                format!("{endpoint}/{name}")
            }
            None => {
                builder = builder.with_virtual_hosted_style_request(true);
                format!("https://{name}.s3.{region}.{}", url_suffix(region))
            }
        };
        Ok(Self {
            client: client.clone(),
            store: Arc::new(builder.build()?),
            url,
        })
    }

    /// The bucket as a store of objects.
    #[must_use]
    pub fn store(&self) -> Arc<AmazonS3> {
        Arc::clone(&self.store)
    }

    /// A URL that anyone can get an object from for a while; with temporary credentials, no longer than
    /// they last.
    fn presigned(&self, key: &str, within: Duration) -> String {
        let encoded = sigv4::encode_path(key);
        let url = format!("{}/{encoded}", self.url);
        let authority = url.split_once("://").map_or("", |(_, rest)| rest);
        let (host, path) = authority.split_once('/').unwrap_or((authority, ""));
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(host) {
            headers.insert(header::HOST, host);
        }
        let parts = sigv4::Parts {
            method: "GET",
            path: &format!("/{path}"),
            query: "",
            headers: &headers,
        };
        let scope = Scope {
            region: self.client.region(),
            service: "s3",
        };
        let now_ms = self.client.clock().now_ms();
        let within = within.min(URL_FOR_MAX);
        let query = sigv4::presign(&parts, self.client.credentials(), scope, now_ms, within);
        format!("{url}?{query}")
    }
}

fn place(key: &Key) -> Path {
    Path::from_iter(["results", key.owner.tenant.as_str(), &key.id.to_string()])
}

#[async_trait]
impl Results for Bucket {
    async fn keep(&self, key: &Key, result: Bytes) -> Result<String, StoreError> {
        let at = place(key);
        let put = self.store.put(&at, result.into()).await;
        put.map_err(StoreError::unavailable)?;
        Ok(at.to_string())
    }

    fn url(&self, _key: &Key, name: &str, expires_at: Timestamp) -> String {
        let now = Timestamp::from_millis(self.client.clock().now_ms());
        self.presigned(name, expires_at.since(now))
    }
}
