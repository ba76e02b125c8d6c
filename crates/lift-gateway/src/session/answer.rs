//! In: how a message's invocation ended. Out: the frame that its client gets for it, if any.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lift_apigw::error_frame::{ENDPOINT_REQUEST_TIMED_OUT, INTERNAL_SERVER_ERROR};
use lift_apigw::response::Response;

use super::outbox::Frame;
use super::rules::{Limits, RouteResponse};
use super::untaken::Untaken;
use super::{InvokeError, Returned};

/// The frame for the caller, or the text of the error frame.
///
/// The status code changes nothing (captured: a 500's body arrives as a normal message). A result
/// that is no proxy response is an error on both kinds of routes (*unverified* on one-way ones).
/// Lambda fails a function that returns more than its limit. *Unverified* choices for two-way routes: no body, no frame; base64 is decoded; a body over the
/// message limit is an internal error.
pub(super) fn frame(
    response: RouteResponse,
    outcome: &Result<Returned, InvokeError>,
    limits: &Limits,
) -> Result<Option<Frame>, &'static str> {
    match outcome {
        Ok(answer) => read(response, answer, limits).map_err(|_untaken| INTERNAL_SERVER_ERROR),
        Err(InvokeError::TimedOut) => Err(ENDPOINT_REQUEST_TIMED_OUT),
        Err(_) => Err(INTERNAL_SERVER_ERROR),
    }
}

/// The frame that an answer is to its caller.
pub(super) fn read(
    response: RouteResponse,
    answer: &Returned,
    limits: &Limits,
) -> Result<Option<Frame>, Untaken> {
    let answer = match answer {
        Returned::Text(_) if response == RouteResponse::OneWay => return Ok(None),
        Returned::Text(text) => return fitting(Frame::Text(text.clone()), limits),
        Returned::Json(answer) => within(limits.response_bytes_max, answer)?,
    };
    let parsed = Response::parse(answer)?;
    let body = match (response, parsed.body) {
        (RouteResponse::TwoWay, Some(body)) => body,
        (RouteResponse::TwoWay, None) | (RouteResponse::OneWay, _) => return Ok(None),
    };
    let frame = if parsed.is_base64_encoded {
        let bytes = STANDARD
            .decode(body.as_ref())
            .map_err(|_malformed| Untaken::NotBase64)?;
        Frame::from(Bytes::from(bytes))
    } else {
        Frame::Text(body.into_owned().into())
    };
    fitting(frame, limits)
}

/// Whether an answer says something to its caller.
pub(super) fn has_body(answer: &Returned) -> bool {
    match answer {
        Returned::Text(text) => !text.is_empty(),
        Returned::Json(answer) => Response::parse(answer)
            .is_ok_and(|parsed| parsed.body.is_some_and(|body| !body.is_empty())),
    }
}

/// An answer that is not more than it may be.
pub(super) fn within(max: usize, answer: &[u8]) -> Result<&[u8], Untaken> {
    match answer.len() {
        bytes if bytes > max => Err(Untaken::TooLarge { bytes, max }),
        _ => Ok(answer),
    }
}

fn fitting(frame: Frame, limits: &Limits) -> Result<Option<Frame>, Untaken> {
    let (bytes, max) = (frame.len(), limits.message_bytes_max);
    if bytes > max {
        return Err(Untaken::BodyTooLarge { bytes, max });
    }
    Ok(Some(frame))
}
