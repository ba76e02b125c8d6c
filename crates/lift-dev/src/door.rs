//! In: connections to one port. Out: invocations, control, and what is the API's behind it, each to who answers it.
//!
//! A port speaks TLS and plain HTTP, told apart by the first byte, because functions put `https://`
//! and people put `ws://` before the one authority that events name.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use lift_gateway::ResponseBody;
use lift_gateway::listener::{self, Accepted, HttpLimits};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::authority::Authority;
use crate::caller::{self, Ends};
use crate::faults::{Fault, Faults, Wanted};
use crate::faulty::Shared;
use crate::lambda::Functions;

/// The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Where faults are seen and set while everything runs.
const FAULTS_PATH: &str = "/_lift/faults";
/// Where Lambda's `Invoke` is.
pub(crate) const INVOKE_PATH: &str = "/2015-03-31/functions/";
/// Most bytes of a set of faults, and the time for them.
const CONTROL_BYTES_MAX: usize = 16 * 1024;
const CONTROL_TIME: Duration = Duration::from_secs(10);

/// One port.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) functions: Functions,
    pub(crate) faults: Shared,
    /// None on the port of a template without one.
    pub(crate) api: Option<Api>,
}

impl Door {
    /// Serves the port until the shutdown, then drains its API.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        authority: Authority,
        shutdown: CancellationToken,
    ) {
        let drained = async {
            shutdown.cancelled().await;
            if let Some(api) = &self.api {
                api.drain().await;
            }
        };
        let http = HttpLimits::default();
        listener::accept(listener, http, drained, |accepted| {
            let (door, authority) = (self.clone(), authority.clone());
            async move { door.connection(accepted, &authority).await }
        })
        .await;
    }

    async fn connection(self, accepted: Accepted, authority: &Authority) {
        let Accepted {
            stream,
            peer,
            visit,
        } = accepted;
        // Who has left already is nobody to answer.
        let Ok(own) = stream.local_addr() else { return };
        let ends = Ends { peer, own };
        let opened = visit.before_http(async {
            if !begins_with_tls(&stream).await? {
                return Ok(Opened::Plain(stream));
            }
            let stream = authority.acceptor().accept(stream).await?;
            Ok::<_, std::io::Error>(Opened::Tls(Box::new(stream)))
        });
        match opened.await {
            Some(Ok(Opened::Plain(stream))) => {
                visit
                    .http(stream, |request| self.answer(request, ends))
                    .await;
            }
            Some(Ok(Opened::Tls(stream))) => {
                visit
                    .http(stream, |request| self.answer(request, ends))
                    .await;
            }
            Some(Err(error)) => tracing::debug!(%error, %peer, "no TLS handshake"),
            None => tracing::debug!(%peer, "nothing came"),
        }
    }

    async fn answer(&self, request: Request<Incoming>, ends: Ends) -> Response<ResponseBody> {
        let path = request.uri().path();
        let runs_functions = path.starts_with(INVOKE_PATH);
        if runs_functions || path == FAULTS_PATH {
            if let Err(foreign) = caller::check(request.headers(), ends) {
                let why = serde_json::json!({ "message": foreign.to_string() });
                return plain(StatusCode::FORBIDDEN, &why.to_string());
            }
            return if runs_functions {
                let answer = self.functions.handle(request).await;
                answer.unwrap_or_else(forbidden)
            } else {
                self.control(request).await
            };
        }
        match &self.api {
            Some(api) => api.answer(request, ends.peer).await,
            None => forbidden(),
        }
    }

    /// `GET` shows the faults in force; `PUT` replaces them.
    async fn control(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        match *request.method() {
            Method::GET => {}
            Method::PUT => {
                let body = Limited::new(request.into_body(), CONTROL_BYTES_MAX).collect();
                let Ok(Ok(body)) = tokio::time::timeout(CONTROL_TIME, body).await else {
                    return plain(StatusCode::BAD_REQUEST, r#"{"message":"no body came"}"#);
                };
                match read_faults(&body.to_bytes()) {
                    Ok(faults) => {
                        let delay = faults.time(Fault::ColdStart).unwrap_or_default();
                        self.faults.with(|now| now.replace(faults));
                        self.functions.delay_starts(delay);
                    }
                    Err(why) => {
                        let message = serde_json::json!({ "message": why });
                        return plain(StatusCode::BAD_REQUEST, &message.to_string());
                    }
                }
            }
            _ => return plain(StatusCode::METHOD_NOT_ALLOWED, ""),
        }
        let (seed, faults) = self.faults.with(|faults| (faults.seed(), faults.wanted()));
        let body = serde_json::json!({ "seed": seed, "faults": faults });
        plain(StatusCode::OK, &body.to_string())
    }
}

enum Opened {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

async fn begins_with_tls(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    Ok(first == [TLS_HANDSHAKE])
}

/// A set of faults as `PUT` takes it: `{"seed":7,"faults":["throttle=5%"]}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    seed: u64,
    faults: Vec<String>,
}

fn read_faults(body: &Bytes) -> Result<Faults, String> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| format!(r#"expected {{"seed":7,"faults":["throttle=5%"]}}: {error}"#))?;
    let wanted = asked.faults.iter().map(|text| text.parse::<Wanted>());
    let wanted: Vec<_> = wanted
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if let Some(late) = wanted.iter().find(|wanted| wanted.fault().is_of_streams()) {
        let name = late.fault().name();
        return Err(format!(
            "`{name}` is set at the start alone: `lift dev --fault {late}`"
        ));
    }
    Ok(Faults::new(asked.seed, wanted))
}

/// What API Gateway answers where there is nothing.
fn forbidden() -> Response<ResponseBody> {
    plain(StatusCode::FORBIDDEN, r#"{"message":"Forbidden"}"#)
}

pub(crate) fn plain(status: StatusCode, body: &str) -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    if !body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}
