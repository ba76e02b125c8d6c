//! In: what a Lambda proxy integration returned. Out: a `Response` that borrows from it, and back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::fields::{Fields, Scalar};
use crate::malformed::{Field, Kind, Malformed, Presence};

/// What the parser finds wrong first is what a function's author is told.
const FIELDS: [Field; 3] = [
    Field {
        name: "statusCode",
        kind: Kind::Number,
        presence: Presence::Required,
    },
    Field {
        name: "body",
        kind: Kind::Text,
        presence: Presence::Optional,
    },
    Field {
        name: "isBase64Encoded",
        kind: Kind::Bool,
        presence: Presence::Optional,
    },
];

/// What a Lambda function answers: a status, and a body that two-way routes deliver.
///
/// ```
/// let response = lift_apigw::response::Response::ok().with_body("hello");
/// assert_eq!(serde_json::to_string(&response)?, r#"{"statusCode":200,"body":"hello"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// The HTTP status: 2xx on `$connect` accepts; elsewhere it changes nothing that a client sees.
    pub status_code: u16,
    /// Headers; only `Sec-WebSocket-Protocol` on `$connect` has an effect.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Fields<'a, Scalar<'a>>>,
    /// Headers with several values.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub multi_value_headers: Option<Fields<'a, Vec<Scalar<'a>>>>,
    /// What a two-way route sends to the client.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Cow<'a, str>>,
    /// Whether the body is base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_base64_encoded: bool,
}

impl<'a> Response<'a> {
    /// Status 200 without a body.
    #[must_use]
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// This status without a body.
    #[must_use]
    pub fn status(status_code: u16) -> Self {
        Self {
            status_code,
            headers: None,
            multi_value_headers: None,
            body: None,
            is_base64_encoded: false,
        }
    }

    /// Adds a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Cow<'a, str>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) -> Self {
        let headers = self.headers.get_or_insert_default();
        headers.0.push((name.into(), Scalar::Text(value.into())));
        self
    }

    /// Reads a response; strings without escapes are borrowed.
    ///
    /// # Errors
    /// The text is not a JSON object with an integer `statusCode` (a numeric string is refused;
    /// *unverified*: REST APIs accept one).
    pub fn parse(json: &'a [u8]) -> Result<Self, Malformed> {
        let example = r#"{"statusCode":200,"body":"text"}"#;
        serde_json::from_slice(json)
            .map_err(|error| Malformed::find(json, example, &FIELDS, &error))
    }

    /// The last value of a header, ignoring the name's case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = |value: &'_ Scalar<'a>| match value {
            Scalar::Text(text) => Cow::Owned(text.as_ref().to_owned()),
            other @ (Scalar::Number(_) | Scalar::Bool(_)) => Cow::Owned(other.to_string()),
        };
        let multi = self.multi_value_headers.iter().flat_map(|fields| &fields.0);
        let multi = multi.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let single = self.headers.iter().flat_map(|fields| &fields.0);
        let single = single.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        multi
            .filter_map(|(_, values)| values.last())
            .chain(single.map(|(_, value)| value))
            .next_back()
            .map(text)
    }
}
