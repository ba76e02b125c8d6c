//! In: how a message's invocation ended. Out: the frame that its client gets for it, if any.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lift_apigw::error_frame::{ENDPOINT_REQUEST_TIMED_OUT, INTERNAL_SERVER_ERROR};
use lift_apigw::response::Response;

use super::outbox::Frame;
use super::rules::{Limits, RouteResponse};
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
    let answer = match outcome {
        Ok(Returned::Text(_)) if response == RouteResponse::OneWay => return Ok(None),
        Ok(Returned::Text(text)) => return fitting(Frame::Text(text.clone()), limits),
        Ok(Returned::Json(answer)) if answer.len() > limits.response_bytes_max => {
            return Err(INTERNAL_SERVER_ERROR);
        }
        Ok(Returned::Json(answer)) => answer,
        Err(InvokeError::TimedOut) => return Err(ENDPOINT_REQUEST_TIMED_OUT),
        Err(_) => return Err(INTERNAL_SERVER_ERROR),
    };
    let parsed = Response::parse(answer).map_err(|_malformed| INTERNAL_SERVER_ERROR)?;
    let body = match (response, parsed.body) {
        (RouteResponse::TwoWay, Some(body)) => body,
        (RouteResponse::TwoWay, None) | (RouteResponse::OneWay, _) => return Ok(None),
    };
    let frame = if parsed.is_base64_encoded {
        let bytes = STANDARD
            .decode(body.as_ref())
            .map_err(|_malformed| INTERNAL_SERVER_ERROR)?;
        Frame::from(Bytes::from(bytes))
    } else {
        Frame::Text(body.into_owned().into())
    };
    fitting(frame, limits)
}

fn fitting(frame: Frame, limits: &Limits) -> Result<Option<Frame>, &'static str> {
    if frame.len() > limits.message_bytes_max {
        return Err(INTERNAL_SERVER_ERROR);
    }
    Ok(Some(frame))
}
