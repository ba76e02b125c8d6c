//! In: an HTTP request below `@connections`, the outcome of its call. Out: the call, the response.
//!
//! Source: developer guide, "Use @connections commands in your backend service", and the API model
//! `ApiGatewayManagementApi` 2018-11-29 (restJson1). `@` and the id may be percent-encoded.

use std::borrow::Cow;

use lift_apigw::management::{
    Connection, DELETED, ERROR_TYPE_HEADER, FOUND, POSTED, Refusal, message_body,
};
use percent_encoding::percent_decode_str;

use super::PostError;
use super::rules::{Management, Rules};

/// What a request asks of `@connections`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is to be done.
    pub operation: Operation,
    /// The id, decoded and unchecked.
    pub connection_id: String,
}

/// What can be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `POST`: send the body.
    Post,
    /// `GET`: describe it.
    Get,
    /// `DELETE`: close it.
    Delete,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The message is queued.
    Posted,
    /// The connection is there.
    Found(Connection<'static>),
    /// The connection is being closed.
    Deleted,
}

/// An HTTP response of `@connections`; a body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// A header beside the usual ones.
    pub header: Option<(&'static str, &'static str)>,
    /// The body; empty for all but a `GET` and most errors.
    pub body: String,
}

/// The call that a request is, if it goes to `@connections` and that is answered at all.
///
/// # Errors
/// The response to a request that is no call: another stage, method or path.
#[must_use]
pub fn parse(rules: &Rules, method: &str, path: &str) -> Option<Result<Call, Reply>> {
    if rules.management == Management::Off {
        return None;
    }
    let mut base = 0;
    let mut segments = path.split('/');
    segments.find(|segment| {
        let found = decode(segment) == "@connections";
        base += if found { 0 } else { segment.len() + 1 };
        found
    })?;
    let base = path.get(..base.saturating_sub(1)).unwrap_or_default();
    let accepted = &rules.paths.accepted;
    if !accepted
        .iter()
        .any(|path| path.trim_end_matches('/') == base)
    {
        let without_stage = accepted.iter().any(|path| path == "/");
        return Some(Err(if without_stage {
            no_route(method, path)
        } else {
            Reply::forbidden()
        }));
    }
    let operation = match method {
        "POST" => Operation::Post,
        "GET" => Operation::Get,
        "DELETE" => Operation::Delete,
        _ => return Some(Err(Reply::forbidden())),
    };
    Some(match (segments.next().map(decode), segments.next()) {
        (Some(id), None) if !id.is_empty() => Ok(Call {
            operation,
            connection_id: id.into_owned(),
        }),
        _ => Err(Reply::forbidden()),
    })
}

impl Call {
    /// The response to the call.
    #[must_use]
    pub fn reply(&self, outcome: Result<Done, PostError>) -> Reply {
        let (status, body) = match outcome {
            Ok(Done::Posted) => (POSTED, String::new()),
            Ok(Done::Found(connection)) => (FOUND, json(&connection)),
            Ok(Done::Deleted) => (DELETED, String::new()),
            Err(error) => return Reply::refused(error.into(), &self.connection_id),
        };
        Reply {
            status,
            header: None,
            body,
        }
    }
}

impl Reply {
    fn refused(refusal: Refusal, connection_id: &str) -> Self {
        Self {
            status: refusal.status(),
            header: Some((ERROR_TYPE_HEADER, refusal.error_type())),
            body: refusal.body(connection_id),
        }
    }

    fn forbidden() -> Self {
        Self::refused(Refusal::Forbidden, "")
    }
}

/// What custom domains answer to a path with a stage (captured text, *unverified* status).
fn no_route(method: &str, path: &str) -> Reply {
    let route = decode(path.trim_start_matches('/'));
    Reply {
        status: 404,
        header: Some((ERROR_TYPE_HEADER, "NotFoundException")),
        body: message_body(&format!(
            "No method found matching route {route} for http method {method}."
        )),
    }
}

fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

fn json(connection: &Connection<'_>) -> String {
    serde_json::to_string(connection).expect("string keys and plain values")
}
