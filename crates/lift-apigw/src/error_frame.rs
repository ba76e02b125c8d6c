//! In: why a message got no answer. Out: the exact bytes of the text frame that tells its client.
//!
//! Spacing as captured on the wire: one space after the first colon and after the commas, none
//! after the other colons. The connection stays open.

use std::fmt;

/// No route takes the message.
pub const FORBIDDEN: &str = "Forbidden";
/// The function failed, or what it returned is no proxy response.
pub const INTERNAL_SERVER_ERROR: &str = "Internal server error";
/// The function took longer than the integration's timeout.
pub const ENDPOINT_REQUEST_TIMED_OUT: &str = "Endpoint request timed out";
/// The message does not match its route's model.
pub const BAD_REQUEST_BODY: &str = "Bad request body";
/// A throttle refused the message (*unverified*).
pub const TOO_MANY_REQUESTS: &str = "Too Many Requests";

/// The text frame that tells a client why its message got no answer.
///
/// ```
/// use lift_apigw::error_frame::{ErrorFrame, FORBIDDEN};
///
/// let frame = ErrorFrame { message: FORBIDDEN, connection_id: "a=", request_id: "b=" };
/// assert_eq!(
///     frame.to_string(),
///     r#"{"message": "Forbidden", "connectionId":"a=", "requestId":"b="}"#
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    /// One of this module's texts; it is written as it is, without escapes.
    pub message: &'a str,
    /// The connection's id.
    pub connection_id: &'a str,
    /// The id that the message's event carried as `requestContext.requestId`.
    pub request_id: &'a str,
}

impl fmt::Display for ErrorFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            connection_id,
            request_id,
        } = self;
        write!(
            f,
            r#"{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}"#
        )
    }
}
