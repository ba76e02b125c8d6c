//! In: a handshake that asks for leave. Out: the request event a Lambda authorizer gets, and the policy it returns.
//!
//! Source: API Gateway developer guide, "Control access to WebSocket APIs with Lambda authorizers".

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{EventType, ReadContext, RequestContext, WriteContext};
use crate::fields::{Fields, Multi, OneOrMany, Params, Scalar, Single, Text};
use crate::malformed::{Field, Kind, Malformed, Presence};

/// A result of HTTP APIs (`isAuthorized`) lacks both that are required.
const FIELDS: [Field; 4] = [
    Field {
        name: "principalId",
        kind: Kind::Text,
        presence: Presence::Required,
    },
    Field {
        name: "policyDocument",
        kind: Kind::Object,
        presence: Presence::Required,
    },
    Field {
        name: "context",
        kind: Kind::Object,
        presence: Presence::Optional,
    },
    Field {
        name: "usageIdentifierKey",
        kind: Kind::Text,
        presence: Presence::Optional,
    },
];

/// What an authorizer is invoked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// What is asked for: `arn:aws:execute-api:{region}:{account}:{api}/{stage}/$connect`.
    pub method_arn: Cow<'a, str>,
    /// The request's headers, `Connection` and `Upgrade` included.
    pub headers: Params<'a>,
    /// The query parameters, decoded; empty where the URL had none (*unverified*: may be absent).
    pub query: Params<'a>,
    /// The stage's variables.
    pub stage_variables: Fields<'a, Text<'a>>,
    /// As in the connect event, without `authorizer`.
    pub context: RequestContext<'a>,
}

/// What an authorizer returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// Who the caller is.
    #[serde(borrow)]
    pub principal_id: Cow<'a, str>,
    /// What the caller may do.
    #[serde(borrow)]
    pub policy_document: PolicyDocument<'a>,
    /// Values for every later event of the connection.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Fields<'a, Scalar<'a>>>,
    /// The API key to meter, where usage plans take it from here.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub usage_identifier_key: Option<Cow<'a, str>>,
}

/// An IAM policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument<'a> {
    /// `2012-10-17`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'a, str>>,
    /// The statements; any explicit deny wins.
    #[serde(borrow)]
    pub statement: OneOrMany<Statement<'a>>,
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement<'a> {
    /// The actions meant, with wildcards.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub action: Option<OneOrMany<Text<'a>>>,
    /// All actions but these are meant.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub not_action: Option<OneOrMany<Text<'a>>>,
    /// What the statement says about them.
    pub effect: Effect,
    /// The resources meant, with wildcards.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<OneOrMany<Text<'a>>>,
    /// All resources but these are meant.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub not_resource: Option<OneOrMany<Text<'a>>>,
    /// When the statement holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<serde_json::Value>,
}

/// What a statement says about what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It may happen unless another statement denies it.
    Allow,
    /// It may not happen.
    Deny,
}

impl<'a> Response<'a> {
    /// Reads a response; strings without escapes are borrowed.
    ///
    /// # Errors
    /// The text is not JSON, lacks a required field, or the context holds an object, a list or null.
    pub fn parse(json: &'a [u8]) -> Result<Self, Malformed> {
        let example = r#"{"principalId":"who","policyDocument":{"Statement":[…]}}"#;
        serde_json::from_slice(json).map_err(|error| {
            let in_context = Malformed::in_context(json);
            in_context.unwrap_or_else(|| Malformed::find(json, example, &FIELDS, &error))
        })
    }

    /// Allows or denies this caller one resource.
    #[must_use]
    pub fn new(effect: Effect, principal_id: &'a str, resource: &'a str) -> Self {
        let one = |text: &'a str| Some(OneOrMany::One(Text(Cow::Borrowed(text))));
        let statement = Statement {
            action: one("execute-api:Invoke"),
            not_action: None,
            effect,
            resource: one(resource),
            not_resource: None,
            condition: None,
        };
        Self {
            principal_id: Cow::Borrowed(principal_id),
            policy_document: PolicyDocument {
                version: Some(Cow::Borrowed("2012-10-17")),
                statement: OneOrMany::Many(vec![statement]),
            },
            context: None,
            usage_identifier_key: None,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a request; strings without escapes are borrowed.
    ///
    /// # Errors
    /// The text is not JSON, or lacks a required field.
    pub fn parse(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadRequest<'a> {
    #[serde(borrow)]
    method_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    headers: Option<Fields<'a, Text<'a>>>,
    #[serde(borrow, default)]
    multi_value_headers: Option<Fields<'a, Vec<Text<'a>>>>,
    #[serde(borrow, default)]
    query_string_parameters: Option<Fields<'a, Text<'a>>>,
    #[serde(borrow, default)]
    multi_value_query_string_parameters: Option<Fields<'a, Vec<Text<'a>>>>,
    #[serde(borrow, default)]
    stage_variables: Option<Fields<'a, Text<'a>>>,
    #[serde(borrow)]
    request_context: ReadContext<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Request<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = ReadRequest::deserialize(deserializer)?;
        let query = Params::from_maps(
            read.query_string_parameters,
            read.multi_value_query_string_parameters,
        );
        Ok(Self {
            method_arn: read.method_arn,
            headers: Params::from_maps(read.headers, read.multi_value_headers).unwrap_or_default(),
            query: query.unwrap_or_default(),
            stage_variables: read.stage_variables.unwrap_or_default(),
            context: read.request_context.into(),
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WriteRequest<'e> {
    r#type: &'static str,
    method_arn: &'e str,
    headers: Single<'e>,
    multi_value_headers: Multi<'e>,
    query_string_parameters: Single<'e>,
    multi_value_query_string_parameters: Multi<'e>,
    stage_variables: &'e Fields<'e, Text<'e>>,
    request_context: WriteContext<'e>,
}

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WriteRequest {
            r#type: "REQUEST",
            method_arn: &self.method_arn,
            headers: Single(&self.headers),
            multi_value_headers: Multi(&self.headers),
            query_string_parameters: Single(&self.query),
            multi_value_query_string_parameters: Multi(&self.query),
            stage_variables: &self.stage_variables,
            request_context: WriteContext::new(EventType::Connect, &self.context),
        }
        .serialize(serializer)
    }
}

/// Whether a pattern with `*` (any run) and `?` (one byte) matches the whole text.
#[must_use]
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last `*`, one byte further each time.
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(byte) if text.get(t) == Some(byte) => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                (p, t) = (after_star, from + 1);
                retry = Some((after_star, from + 1));
            }
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn wildcards_match_any_run_and_one_byte() {
        let cases = [
            ("*", "", true),
            ("arn:*/$connect", "arn:a:b/prod/$connect", true),
            ("arn:*/$connect", "arn:a:b/prod/$connect/x", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("*ab", "aab", true),
            ("", "a", false),
            ("a**", "a", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                matches_pattern(pattern, text),
                expected,
                "{pattern} on {text}"
            );
        }
    }
}
