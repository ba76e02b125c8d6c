//! In: one invocation, or the end. Out: what `next` answers to the runtime and to extensions.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Builder;
use http::{HeaderValue, Response};
use http_body_util::Full;
use serde_json::json;

use super::random;

/// What a runtime gets ("Building a custom runtime", next invocation).
#[derive(Debug)]
pub(super) struct Event {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) trace: String,
    pub(super) client_context: Option<String>,
    pub(super) arn: String,
    pub(super) deadline_ms: u64,
}

impl Event {
    /// The answer of `next`. A header without a value is left out.
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let deadline = self.deadline_ms.to_string();
        let headers = [
            ("Lambda-Runtime-Aws-Request-Id", Some(&self.request_id)),
            ("Lambda-Runtime-Deadline-Ms", Some(&deadline)),
            ("Lambda-Runtime-Invoked-Function-Arn", Some(&self.arn)),
            ("Lambda-Runtime-Trace-Id", Some(&self.trace)),
            (
                "Lambda-Runtime-Client-Context",
                self.client_context.as_ref(),
            ),
        ];
        let mut response = json_response(200, self.payload.clone());
        for (name, value) in headers {
            let value = value.and_then(|value| HeaderValue::from_str(value).ok());
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// What an extension gets ("Lambda Extensions API", next).
#[derive(Clone, Debug)]
pub(super) enum ExtensionEvent {
    Invoke(Arc<Event>),
    Shutdown { deadline_ms: u64 },
}

impl ExtensionEvent {
    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let body = match self {
            Self::Invoke(event) => json!({
                "eventType": "INVOKE",
                "deadlineMs": event.deadline_ms,
                "requestId": event.request_id,
                "invokedFunctionArn": event.arn,
                "tracing": { "type": "X-Amzn-Trace-Id", "value": event.trace },
            }),
            Self::Shutdown { deadline_ms } => json!({
                "eventType": "SHUTDOWN",
                "shutdownReason": "spindown",
                "deadlineMs": deadline_ms,
            }),
        };
        let mut response = json_response(200, body.to_string());
        if let Ok(id) = HeaderValue::from_str(&random::uuid()) {
            let headers = response.headers_mut();
            headers.insert("Lambda-Extension-Event-Identifier", id);
        }
        response
    }
}

pub(super) fn json_response(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let builder: Builder = Response::builder().status(status);
    let built = builder.header(CONTENT_TYPE, "application/json");
    built
        .body(Full::new(body.into()))
        .unwrap_or_else(|_| Response::new(Full::default()))
}
