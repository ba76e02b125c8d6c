//! In: one environment's HTTP calls. Out: Lambda's Runtime API to its runtime, and the rest to its extensions.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::USER_AGENT;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde::Deserialize;

use super::event::json_response;
use super::extensions_api;
use super::failure::{Failure, RESPONSE_BYTES_MAX, report};
use super::host::{Host, Rejected};
use super::pool::{EnvironmentId, InitError};

type Answer = Response<Full<Bytes>>;

const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";

pub(super) async fn handle(
    host: Arc<Host>,
    id: EnvironmentId,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let answer = match (request.method(), parts.as_slice()) {
        (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => {
            next(&host, id, request.headers()).await
        }
        (
            &Method::POST,
            [
                "2018-06-01",
                "runtime",
                "invocation",
                request_id,
                "response",
            ],
        ) => response(&host, id, request_id, request).await,
        (&Method::POST, ["2018-06-01", "runtime", "invocation", request_id, "error"]) => {
            error(&host, id, request_id, request).await
        }
        (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
            init_error(&host, id, request).await
        }
        (&Method::PUT, ["2022-07-01", "telemetry"]) => json_response(
            202,
            report("Telemetry.NotSupported", "Telemetry API is not supported"),
        ),
        (&Method::PUT, ["2020-08-15", "logs"]) => json_response(
            202,
            report("Logs.NotSupported", "Logs API is not supported"),
        ),
        (method, ["2020-01-01", "extension", rest @ ..]) => {
            let call = (method.clone(), rest.join("/"));
            extensions_api::handle(&host, id, &call, request).await
        }
        _ => json_response(404, report("NotFound", "404 page not found")),
    };
    Ok(answer)
}

async fn next(host: &Arc<Host>, id: EnvironmentId, headers: &HeaderMap) -> Answer {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let taken = host.step(|now, state, actions| {
        let Some(running) = state.running.get_mut(&id) else {
            return Err(Rejected::State);
        };
        // What is kept was meant for a call that hung up.
        let redelivered = running.runtime.is_kept();
        let event = running.runtime.take();
        let function = running.function;
        if !redelivered {
            state.pool.runtime_next(now, id, actions)?;
        }
        Ok((event, function))
    });
    let (event, function) = match taken {
        Ok(taken) => taken,
        Err(rejected) => return refuse(rejected),
    };
    if agent == Some("lift-dev-python")
        && let Some(known) = host.functions.get(function)
    {
        known.told.call_once(|| {
            host.feed.notice(format!(
                "function `{}`: awslambdaric is not installed for its Python; a small runtime of our own is used",
                known.function.name
            ));
        });
    }
    match event.await {
        Ok(event) => event.response(),
        // The environment is gone; so will be who asks.
        Err(_) => json_response(500, report("InternalServerError", "the environment ends")),
    }
}

async fn response(
    host: &Arc<Host>,
    id: EnvironmentId,
    request_id: &str,
    request: Request<Incoming>,
) -> Answer {
    if let Err(rejected) = host.works_on(id, request_id) {
        return refuse(rejected);
    }
    let headers = request.headers().clone();
    let result = match Body::read(request.into_body()).await {
        Body::Whole { bytes, trailers } => {
            // A streamed answer says at its end whether it failed.
            let failed = trailers.get(ERROR_TYPE).or_else(|| headers.get(ERROR_TYPE));
            match failed {
                None => Ok(bytes),
                Some(_) => {
                    let reported = trailers.get("Lambda-Runtime-Function-Error-Body");
                    let reported = reported.map(|body| Bytes::copy_from_slice(body.as_bytes()));
                    let head = if trailers.contains_key(ERROR_TYPE) {
                        &trailers
                    } else {
                        &headers
                    };
                    Err(function_error(head, reported.unwrap_or(bytes)))
                }
            }
        }
        Body::TooLarge => {
            return match host.answer(id, request_id, Err(Failure::ResponseTooLarge)) {
                Ok(()) => json_response(
                    413,
                    report(
                        "RequestEntityTooLarge",
                        "Exceeded maximum allowed payload size (6291556 bytes).",
                    ),
                ),
                Err(rejected) => refuse(rejected),
            };
        }
        Body::Truncated => return truncated(),
    };
    accepted(host.answer(id, request_id, result))
}

async fn error(
    host: &Arc<Host>,
    id: EnvironmentId,
    request_id: &str,
    request: Request<Incoming>,
) -> Answer {
    if let Err(rejected) = host.works_on(id, request_id) {
        return refuse(rejected);
    }
    let headers = request.headers().clone();
    let failure = match Body::read(request.into_body()).await {
        Body::Whole { bytes, .. } => function_error(&headers, bytes),
        Body::TooLarge => Failure::ResponseTooLarge,
        Body::Truncated => return truncated(),
    };
    accepted(host.answer(id, request_id, Err(failure)))
}

async fn init_error(host: &Arc<Host>, id: EnvironmentId, request: Request<Incoming>) -> Answer {
    let headers = request.headers().clone();
    let Body::Whole { bytes, .. } = Body::read(request.into_body()).await else {
        return truncated();
    };
    let (error_type, message) = reported(&headers, &bytes);
    let error = InitError {
        error_type,
        message,
        payload: bytes,
    };
    accepted(host.init_error(id, error))
}

fn accepted(done: Result<(), Rejected>) -> Answer {
    match done {
        Ok(()) => json_response(202, "{\"status\":\"OK\"}\n"),
        Err(rejected) => refuse(rejected),
    }
}

pub(super) fn refuse(rejected: Rejected) -> Answer {
    match rejected {
        Rejected::UnknownRequest => {
            json_response(400, report("InvalidRequestID", "Invalid request ID"))
        }
        Rejected::State => json_response(
            403,
            report("InvalidStateTransition", "State transition is not allowed"),
        ),
    }
}

fn truncated() -> Answer {
    json_response(
        400,
        report("TruncatedHTTPRequest", "HTTP request detected as truncated"),
    )
}

fn function_error(headers: &HeaderMap, payload: Bytes) -> Failure {
    let (error_type, message) = reported(headers, &payload);
    Failure::FunctionError {
        error_type,
        message,
        payload,
    }
}

/// What a runtime says about an error: the body's type, else the header's.
fn reported(headers: &HeaderMap, payload: &[u8]) -> (String, String) {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Reported {
        error_type: Option<String>,
        error_message: Option<String>,
    }
    let body: Reported = serde_json::from_slice(payload).unwrap_or_default();
    let header = headers
        .get(ERROR_TYPE)
        .and_then(|value| value.to_str().ok());
    let error_type = body.error_type.or_else(|| header.map(ToOwned::to_owned));
    (
        error_type.unwrap_or_else(|| "Runtime.Unknown".to_owned()),
        body.error_message.unwrap_or_default(),
    )
}

/// A body that was read to its end, and kept only where it is small enough.
pub(super) enum Body {
    Whole { bytes: Bytes, trailers: HeaderMap },
    TooLarge,
    Truncated,
}

impl Body {
    pub(super) async fn read(mut body: Incoming) -> Self {
        let (mut bytes, mut trailers) = (BytesMut::new(), HeaderMap::new());
        let mut size: usize = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Self::Truncated;
            };
            match frame.into_data() {
                Ok(part) => {
                    size = size.saturating_add(part.len());
                    if size <= RESPONSE_BYTES_MAX {
                        bytes.extend_from_slice(&part);
                    } else {
                        // The rest is read and dropped: who is cut off would not hear the answer.
                        bytes = BytesMut::new();
                    }
                }
                Err(frame) => {
                    if let Ok(found) = frame.into_trailers() {
                        trailers = found;
                    }
                }
            }
        }
        if size > RESPONSE_BYTES_MAX {
            return Self::TooLarge;
        }
        let bytes = bytes.freeze();
        Self::Whole { bytes, trailers }
    }
}
