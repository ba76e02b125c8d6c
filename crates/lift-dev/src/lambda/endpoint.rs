//! In: HTTP requests of Lambda's `Invoke`. Out: their responses, as AWS's SDKs and CLI expect them.
//!
//! Source: "Lambda API reference", `Invoke`.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tower::BoxError;

use super::event::json_response;
use super::failure::{Failure, Refused};
use super::host::{Host, Request};
use super::{Fate, Functions, random};

/// Most bytes of a synchronous event: 6 MiB.
const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Time for them, as long as a post to `@connections` has.
const PAYLOAD_TIME: Duration = Duration::from_secs(10);

impl Functions {
    /// Answers `POST /2015-03-31/functions/NAME/invocations`; nothing for other paths.
    ///
    /// NAME is a name or an ARN, with or without a qualifier, which the function must have.
    pub async fn handle<B>(&self, request: HttpRequest<B>) -> Option<Response<Full<Bytes>>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let name = function_of(request.method(), request.uri())?;
        let request_id = random::uuid();
        let mut response = self.answer(&name, &request_id, request).await;
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("x-amzn-RequestId", value);
        }
        Some(response)
    }

    async fn answer<B>(
        &self,
        name: &str,
        request_id: &str,
        request: HttpRequest<B>,
    ) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let host = &self.owner.host;
        let Some(index) = host.qualified(name) else {
            let (region, account) = (&host.region, &host.account);
            let arn = format!("arn:aws:lambda:{region}:{account}:function:{name}");
            let message = format!("Function not found: {arn}");
            return refused(404, "ResourceNotFoundException", &message);
        };
        let headers = request.headers().clone();
        let payload = match payload(request.into_body()).await {
            Ok(payload) => payload,
            Err(refused) => return *refused,
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request = Request {
            request_id: request_id.to_owned(),
            payload,
            cause: "invoke".to_owned(),
            trace: text("X-Amzn-Trace-Id").map_or_else(|| host.trace(), ToOwned::to_owned),
            client_context: client_context(&headers),
            fate: Fate::Lives,
        };
        match text("X-Amz-Invocation-Type").unwrap_or("RequestResponse") {
            "RequestResponse" => match host.start(index, request).await {
                Ok(result) => answered(result),
                Err(_) => answered(Err(Failure::ShuttingDown)),
            },
            "Event" => match host.enqueue(index, request) {
                Ok(_) => empty(202),
                Err(refusal) => not_queued(&refusal),
            },
            "DryRun" => empty(204),
            other => {
                let message = format!(
                    "Value '{other}' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
                );
                refused(400, "InvalidParameterValueException", &message)
            }
        }
    }
}

/// The event in a request's body; nothing is an empty object.
async fn payload<B>(body: B) -> Result<Bytes, Box<Response<Full<Bytes>>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let wrong = |message: &str| Box::new(refused(400, "InvalidRequestContentException", message));
    let whole = Limited::new(body, PAYLOAD_BYTES_MAX).collect();
    let payload = match tokio::time::timeout(PAYLOAD_TIME, whole).await {
        Ok(Ok(payload)) => payload.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Box::new(too_large(
                PAYLOAD_BYTES_MAX + 1,
                PAYLOAD_BYTES_MAX,
            )));
        }
        Ok(Err(error)) => return Err(wrong(&error.to_string())),
        Err(_late) => return Err(Box::new(empty(408))),
    };
    if payload.is_empty() {
        return Ok(Bytes::from("{}"));
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        Ok(_) => Ok(payload),
        Err(error) => Err(wrong(&format!(
            "Could not parse request body into json: {error}"
        ))),
    }
}

/// The name in a path: `NAME`, `ACCOUNT:function:NAME` or an ARN, each with or without `:QUALIFIER`.
fn function_of(method: &Method, uri: &Uri) -> Option<String> {
    let name = uri.path().strip_prefix("/2015-03-31/functions/")?;
    let name = name.strip_suffix("/invocations")?;
    if method != Method::POST || name.contains('/') {
        return None;
    }
    let name = percent_decode_str(name).decode_utf8_lossy();
    let name = name
        .rsplit_once(":function:")
        .map_or(&*name, |(_, name)| name);
    // SDKs send a qualifier in the query.
    let query = uri.query().unwrap_or_default().split('&');
    let qualifier = query
        .filter_map(|pair| pair.strip_prefix("Qualifier="))
        .next();
    let qualifier = qualifier.map(|text| percent_decode_str(text).decode_utf8_lossy());
    match qualifier.filter(|text| !text.is_empty() && !name.contains(':')) {
        Some(qualifier) => Some(format!("{name}:{qualifier}")),
        None => Some(name.to_owned()),
    }
}

impl Host {
    /// The function of `NAME` or `NAME:QUALIFIER`.
    fn qualified(&self, name: &str) -> Option<usize> {
        let (name, qualifier) = name.split_once(':').unwrap_or((name, "$LATEST"));
        let index = self.names.get(name).copied()?;
        let has = &self.functions.get(index)?.function.qualifiers;
        let is_there = qualifier == "$LATEST" || has.iter().any(|has| has == qualifier);
        is_there.then_some(index)
    }
}

/// The SDK sends it as base64; the runtime gets it as it is.
fn client_context(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get("X-Amz-Client-Context")?;
    let decoded = BASE64_STANDARD.decode(encoded.as_bytes()).ok()?;
    String::from_utf8(decoded).ok()
}

fn answered(result: Result<Bytes, Failure>) -> Response<Full<Bytes>> {
    let (body, failed) = match result {
        Ok(body) => (body, false),
        Err(failure) if failure.is_the_functions() => (failure.payload(), true),
        Err(Failure::Throttled(ceiling)) => {
            let body = json!({
                "Reason": ceiling.to_string(),
                "Type": "User",
                "message": "Rate Exceeded.",
            });
            return with_type(
                json_response(429, body.to_string()),
                "TooManyRequestsException",
            );
        }
        Err(failure) => return refused(500, "ServiceException", &failure.to_string()),
    };
    let mut response = json_response(200, body);
    let headers = response.headers_mut();
    headers.insert(
        "X-Amz-Executed-Version",
        HeaderValue::from_static("$LATEST"),
    );
    if failed {
        headers.insert(
            "X-Amz-Function-Error",
            HeaderValue::from_static("Unhandled"),
        );
    }
    response
}

fn not_queued(refusal: &Refused) -> Response<Full<Bytes>> {
    let message = refusal.to_string();
    match refusal {
        Refused::NotFound { .. } => refused(404, "ResourceNotFoundException", &message),
        Refused::TooLarge { bytes } => too_large(*bytes, super::failure::EVENT_BYTES_MAX),
        Refused::Full { .. } => refused(429, "TooManyRequestsException", &message),
        Refused::ShuttingDown => refused(500, "ServiceException", &message),
    }
}

fn too_large(bytes: usize, most: usize) -> Response<Full<Bytes>> {
    let message =
        format!("{bytes} byte payload is too large for the invocation type (limit {most} bytes)");
    refused(413, "RequestTooLargeException", &message)
}

fn refused(status: u16, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({ "Type": "User", "Message": message, "message": message });
    with_type(json_response(status, body.to_string()), error_type)
}

fn with_type(mut response: Response<Full<Bytes>>, error_type: &str) -> Response<Full<Bytes>> {
    if let Ok(value) = HeaderValue::from_str(error_type) {
        response.headers_mut().insert("x-amzn-ErrorType", value);
    }
    response
}

fn empty(status: u16) -> Response<Full<Bytes>> {
    json_response(status, Bytes::new())
}
