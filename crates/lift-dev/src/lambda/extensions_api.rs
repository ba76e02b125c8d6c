//! In: extensions' HTTP calls. Out: Lambda's Extensions API: register, the next event, errors.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::event::json_response;
use super::failure::report;
use super::host::{Host, Member, Rejected, Seat};
use super::pool::{EnvironmentId, Extension, ExtensionKind, InitError, Subscription};
use super::random;
use super::runtime_api::{Body, refuse};

type Answer = Response<Full<Bytes>>;

/// Extensions of one environment ("Lambda Extensions API": ten).
const EXTENSIONS_MAX: usize = 10;

const IDENTIFIER: &str = "Lambda-Extension-Identifier";

pub(super) async fn handle(
    host: &Arc<Host>,
    id: EnvironmentId,
    (method, path): &(Method, String),
    request: Request<Incoming>,
) -> Answer {
    let headers = request.headers().clone();
    match (method, path.as_str()) {
        (&Method::POST, "register") => {
            let Body::Whole { bytes, .. } = Body::read(request.into_body()).await else {
                return refused("InvalidRequestFormat", "the body cannot be read");
            };
            register(host, id, &headers, &bytes).unwrap_or_else(|answer| *answer)
        }
        (&Method::GET, "event/next") => match member(host, id, &headers) {
            Ok(number) => next(host, id, number).await,
            Err(answer) => *answer,
        },
        (&Method::POST, "init/error" | "exit/error") => match member(host, id, &headers) {
            Ok(_) => failed(host, id, path, &headers),
            Err(answer) => *answer,
        },
        _ => json_response(404, report("NotFound", "404 page not found")),
    }
}

fn refused(error_type: &str, message: &str) -> Answer {
    json_response(403, report(error_type, message))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[derive(Deserialize)]
struct Registration {
    /// Go's client writes none as null.
    events: Option<Vec<String>>,
}

fn register(
    host: &Arc<Host>,
    id: EnvironmentId,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Answer, Box<Answer>> {
    let refuse_with = |error_type, message| Box::new(refused(error_type, message));
    let name = header(headers, "Lambda-Extension-Name").filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| refuse_with("Extension.InvalidExtensionName", "Empty extension name"))?;
    let registration = if body.is_empty() { b"{}" } else { body };
    let Ok(Registration { events }) = serde_json::from_slice(registration) else {
        let malformed = report("InvalidRequestFormat", "the body is no registration");
        return Err(Box::new(json_response(400, malformed)));
    };
    let events = events.unwrap_or_default();
    if let Some(unknown) = events
        .iter()
        .find(|event| !matches!(event.as_str(), "INVOKE" | "SHUTDOWN"))
    {
        let message = format!("{unknown}: invalid event");
        return Err(refuse_with("Extension.InvalidEventType", &message));
    }
    let subscribed = |event: &str| {
        if events.iter().any(|each| each == event) {
            Subscription::Yes
        } else {
            Subscription::No
        }
    };
    let (invoke, shutdown) = (subscribed("INVOKE"), subscribed("SHUTDOWN"));
    let identifier = random::uuid();
    let function = host.step(|_, state, _| {
        let running = state
            .running
            .get_mut(&id)
            .ok_or_else(|| Box::new(refuse(Rejected::State)))?;
        if running.extensions.len() >= EXTENSIONS_MAX {
            return Err(refuse_with(
                "Extension.TooManyExtensions",
                "Extension limit (10) reached",
            ));
        }
        if running.extensions.iter().any(|member| member.name == name) {
            let message = "Extension with this name already registered";
            return Err(refuse_with("Extension.AlreadyRegistered", message));
        }
        let kind = if running.externals.iter().any(|external| external == name) {
            ExtensionKind::External
        } else {
            ExtensionKind::Internal
        };
        if (kind, shutdown) == (ExtensionKind::Internal, Subscription::Yes) {
            let message = "SHUTDOWN event is not supported for internal extensions";
            return Err(refuse_with(
                "ShutdownEventNotSupportedForInternalExtension",
                message,
            ));
        }
        let registered = state.pool.register(id, Extension::new(kind, invoke));
        registered.map_err(|_state| {
            refuse_with(
                "Extension.RegistrationClosed",
                "Extension registration closed already",
            )
        })?;
        running.extensions.push(Member {
            identifier: identifier.clone(),
            name: name.to_owned(),
            shutdown,
            seat: Seat::Away,
        });
        Ok(running.function)
    })?;
    registered(host, function, headers, &identifier)
        .ok_or_else(|| Box::new(refuse(Rejected::State)))
}

fn registered(
    host: &Arc<Host>,
    function: usize,
    headers: &HeaderMap,
    identifier: &str,
) -> Option<Answer> {
    let known = host.functions.get(function)?;
    let mut body = json!({
        "functionName": known.function.name,
        "functionVersion": "$LATEST",
        "handler": known.function.handler,
    });
    let features = header(headers, "Lambda-Extension-Accept-Feature").unwrap_or_default();
    if features
        .split(',')
        .any(|feature| feature.trim() == "accountId")
        && let Some(object) = body.as_object_mut()
    {
        object.insert("accountId".to_owned(), host.account.clone().into());
    }
    let mut answer = json_response(200, body.to_string());
    if let Ok(identifier) = HeaderValue::from_str(identifier) {
        answer.headers_mut().insert(IDENTIFIER, identifier);
    }
    Some(answer)
}

/// Which extension calls.
fn member(host: &Arc<Host>, id: EnvironmentId, headers: &HeaderMap) -> Result<usize, Box<Answer>> {
    let Some(identifier) = header(headers, IDENTIFIER) else {
        let message = "Missing Lambda-Extension-Identifier header";
        return Err(Box::new(refused(
            "Extension.MissingExtensionIdentifier",
            message,
        )));
    };
    let number = host.step(|_, state, _| {
        let members = &state.running.get(&id)?.extensions;
        members
            .iter()
            .position(|member| member.identifier == identifier)
    });
    number.ok_or_else(|| {
        let message = "Unknown extension";
        Box::new(refused("Extension.UnknownExtensionIdentifier", message))
    })
}

async fn next(host: &Arc<Host>, id: EnvironmentId, number: usize) -> Answer {
    let event = host.step(|now, state, actions| {
        let member = state.running.get_mut(&id)?.extensions.get_mut(number)?;
        let redelivered = member.seat.is_kept();
        let event = member.seat.take();
        if !redelivered {
            state.pool.extension_next(now, id, number, actions);
        }
        Some(event)
    });
    let Some(event) = event else {
        return refuse(Rejected::State);
    };
    match event.await {
        Ok(event) => event.response(),
        Err(_) => json_response(500, report("InternalServerError", "the environment ends")),
    }
}

/// An extension that cannot go on takes its environment along.
fn failed(host: &Arc<Host>, id: EnvironmentId, path: &str, headers: &HeaderMap) -> Answer {
    let told =
        header(headers, "Lambda-Extension-Function-Error-Type").unwrap_or("Extension.Unknown");
    let error = InitError {
        error_type: if path == "init/error" {
            "Extension.InitError".to_owned()
        } else {
            "Extension.ExitError".to_owned()
        },
        message: format!("Error: {told}"),
        payload: Bytes::new(),
    };
    host.ended(id, error);
    json_response(202, "{\"status\":\"OK\"}\n")
}
