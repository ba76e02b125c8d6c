//! In: a handshake, and where it must hold something. Out: 401 where it does not.
//!
//! Source: developer guide, "Control access to WebSocket APIs with Lambda authorizers", and the API
//! reference's `IdentitySource` of an authorizer.

use std::fmt;
use std::str::FromStr;

use super::events::Facts;
use super::handshake::{Refusal, Upgrade};
use super::rules::Rules;

/// A place in the request that must hold something.
///
/// ```
/// use lift_gateway::IdentitySource;
///
/// let source: IdentitySource = "route.request.header.Authorization".parse()?;
/// assert_eq!(source, IdentitySource::Header("Authorization".to_owned()));
/// # Ok::<(), lift_gateway::IdentitySourceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// `route.request.header.NAME`.
    Header(String),
    /// `route.request.querystring.NAME`.
    Query(String),
    /// `stageVariables.NAME`.
    StageVariable(String),
    /// `context.NAME`, for the values that a handshake has.
    Context(String),
}

/// An identity source of no known kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{source_text}` is no identity source")]
pub struct IdentitySourceError {
    source_text: String,
}

type Kind = fn(String) -> IdentitySource;

const KINDS: [(&str, Kind); 4] = [
    ("route.request.header.", IdentitySource::Header),
    ("route.request.querystring.", IdentitySource::Query),
    ("stageVariables.", IdentitySource::StageVariable),
    ("context.", IdentitySource::Context),
];

impl FromStr for IdentitySource {
    type Err = IdentitySourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut kinds = KINDS.iter();
        let found = kinds.find_map(|(prefix, kind)| {
            let name = text.strip_prefix(prefix)?;
            (!name.is_empty()).then(|| kind(name.to_owned()))
        });
        found.ok_or_else(|| IdentitySourceError {
            source_text: text.to_owned(),
        })
    }
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "route.request.header.{name}"),
            Self::Query(name) => write!(f, "route.request.querystring.{name}"),
            Self::StageVariable(name) => write!(f, "stageVariables.{name}"),
            Self::Context(name) => write!(f, "context.{name}"),
        }
    }
}

/// Refuses with 401, without asking the authorizer, where a source is missing or empty.
pub(super) fn check(rules: &Rules, facts: &Facts, upgrade: &Upgrade) -> Result<(), Refusal> {
    let Some(authorizer) = &rules.authorizer else {
        return Ok(());
    };
    let params = upgrade.params().unwrap_or_default();
    let present = authorizer
        .identity_sources
        .iter()
        .all(|source| match source {
            IdentitySource::Header(name) => upgrade.last(name).is_some_and(|v| !v.is_empty()),
            IdentitySource::Query(name) => {
                let mut named = params.0.iter().filter(|(known, _)| known == name);
                named.any(|(_, values)| values.iter().any(|v| !v.is_empty()))
            }
            IdentitySource::StageVariable(name) => {
                let mut variables = rules.api.stage_variables.iter();
                variables.any(|(known, value)| known == name && !value.is_empty())
            }
            IdentitySource::Context(name) => facts.has(rules, name),
        });
    if present {
        Ok(())
    } else {
        Err(Refusal::new(401))
    }
}
