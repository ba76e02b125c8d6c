//! In: URLs, and credentials where calls must be signed. Out: sockets to them, plain or TLS, and `@connections` calls.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use lift_aws_client::sigv4::{self, Credentials, Parts, Scope};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{Client, Stream};
use crate::script::{Headers, Http, Request};

/// Time to open a connection, and for one response.
const PATIENCE: Duration = Duration::from_secs(40);

/// How endpoints are reached.
pub(crate) struct Reach {
    tls: TlsConnector,
    credentials: Option<Credentials>,
    region: String,
}

/// One API: where its clients connect, and where `@connections` is answered.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) clients: Uri,
    pub(crate) management: Uri,
}

impl Reach {
    /// With the public authorities and another one; calls are signed where there are credentials.
    pub(crate) fn new(
        authority: Option<&Path>,
        credentials: Option<Credentials>,
        region: &str,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = authority {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let certificate = CertificateDer::from_pem_file(path).map_err(|e| wrong(&e))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config.with_no_client_auth())),
            credentials,
            region: region.to_owned(),
        })
    }

    pub(crate) async fn open(&self, uri: &Uri) -> io::Result<Box<dyn Stream>> {
        let is_tls = matches!(uri.scheme_str(), Some("wss" | "https"));
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let opening = async {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            if !is_tls {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            Ok(Box::new(self.tls.connect(name, stream).await?) as Box<dyn Stream>)
        };
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        opened.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
    }

    /// A request and its response.
    pub(crate) async fn request(&self, uri: &Uri, request: Request<'_>) -> io::Result<Http> {
        let exchange = async {
            let stream = self.open(uri).await?;
            let mut client = Client::request(stream, authority(uri), request).await?;
            client.response().await
        };
        let response = tokio::time::timeout(PATIENCE, exchange).await;
        response.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The same, signed where there are credentials.
    pub(crate) async fn signed(&self, uri: &Uri, request: Request<'_>) -> io::Result<Http> {
        let headers = self.sign(uri, &request).map_err(io::Error::other)?;
        let headers = request.headers.iter().cloned().chain(headers).collect();
        let request = Request {
            headers: &headers,
            ..request
        };
        self.request(uri, request).await
    }

    /// A post through `@connections` of an API; its status.
    pub(crate) async fn post(&self, api: &Uri, id: &str, payload: Vec<u8>) -> io::Result<u16> {
        let target = connection(api, id);
        let request = Request {
            method: "POST",
            target: &target,
            headers: &Headers::new(),
            body: payload,
        };
        Ok(self.signed(api, request).await?.status)
    }

    fn sign(&self, uri: &Uri, request: &Request<'_>) -> Result<Headers, String> {
        let Some(credentials) = &self.credentials else {
            return Ok(Headers::new());
        };
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(authority(uri)).map_err(|error| error.to_string())?;
        headers.insert(http::header::HOST, host);
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((request.target, ""));
        let parts = Parts {
            method: request.method,
            path,
            query,
            headers: &headers,
        };
        let scope = Scope {
            region: &self.region,
            service: "execute-api",
        };
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let hash = sigv4::body_hash(&request.body);
        let signed = sigv4::sign(&parts, &hash, credentials, scope, now);
        let text = |(name, value): (HeaderName, HeaderValue)| {
            let value = value.to_str().map_err(|error| error.to_string())?;
            Ok((name.to_string(), value.to_owned()))
        };
        let signed = signed.map_err(|error| error.to_string())?;
        signed.into_iter().map(text).collect()
    }
}

/// The host and port that a URL names.
pub(crate) fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", http::uri::Authority::as_str)
}

/// The path of a connection below an API's stage.
pub(crate) fn connection(api: &Uri, id: &str) -> String {
    let stage = api.path().trim_end_matches('/');
    format!("{stage}/@connections/{}", id.replace('=', "%3D"))
}
