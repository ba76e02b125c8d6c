//! In: what an authorizer returned. Out: the context for every later event, or the refusal.
//!
//! Source: developer guide, "Control access to WebSocket APIs with Lambda authorizers", and the
//! IAM policy evaluation logic.

use std::borrow::Cow;

use lift_apigw::authorizer::{Effect, PolicyDocument, Response, Statement, matches_pattern};
use lift_apigw::fields::{Fields, OneOrMany, Scalar, Text};
use lift_apigw::limits::AUTHORIZER_RESULT_BYTES_MAX;

use super::handshake::Refusal;
use super::rules::AuthorizerRules;
use super::untaken::Untaken;
use super::{InvokeError, Returned, answer};

/// The authorizer's context and `principalId`, as events carry them.
pub(super) type Context = Fields<'static, Scalar<'static>>;

/// What the authorizer decides.
///
/// Deny, or nothing that allows: 403. An error whose text is exactly `Unauthorized`: 401. Any
/// other failure, a malformed or an oversized result: 500.
pub(super) fn decide(
    rules: &AuthorizerRules,
    arn: &str,
    outcome: &Result<Returned, InvokeError>,
) -> Result<Context, Refusal> {
    let result = match outcome {
        Ok(result) => result.json(),
        Err(InvokeError::FunctionError { message }) if message == "Unauthorized" => {
            return Err(Refusal::new(401));
        }
        Err(InvokeError::FunctionError { message })
            if rules.too_many_requests_error.as_ref() == Some(message) =>
        {
            return Err(Refusal::new(429));
        }
        Err(_) => return Err(Refusal::new(500)),
    };
    let response = read(arn, &result).map_err(|untaken| match untaken {
        Untaken::Denied { .. } | Untaken::AllowsOther { .. } => Refusal::new(403),
        _ => Refusal::new(500),
    })?;
    Ok(context(response))
}

/// What an authorizer returned, if it allows this connection.
pub(super) fn read<'a>(arn: &str, result: &'a [u8]) -> Result<Response<'a>, Untaken> {
    let response = Response::parse(answer::within(AUTHORIZER_RESULT_BYTES_MAX, result)?)?;
    let policy = &response.policy_document;
    if allows(policy, "execute-api:Invoke", arn) {
        return Ok(response);
    }
    let arn = arn.to_owned();
    let statements = policy.statement.as_slice();
    let allowing = statements
        .iter()
        .filter(|each| each.effect == Effect::Allow);
    let allowed: Vec<_> = allowing.map(shown).collect();
    let denies = |each: &Statement<'_>| {
        each.effect == Effect::Deny && matches(each, "execute-api:Invoke", &arn)
    };
    if allowed.is_empty() || statements.iter().any(denies) {
        return Err(Untaken::Denied { arn });
    }
    let allowed = allowed.join("; ");
    Err(Untaken::AllowsOther { allowed, arn })
}

/// What a statement is about, in words.
fn shown(statement: &Statement<'_>) -> String {
    let list = |patterns: &OneOrMany<Text<'_>>| {
        let patterns = patterns.as_slice().iter();
        let quoted: Vec<_> = patterns.map(|Text(p)| format!("`{p}`")).collect();
        quoted.join(", ")
    };
    let part = |these: &Option<OneOrMany<Text<'_>>>, but_these: &Option<OneOrMany<Text<'_>>>| match (
        these, but_these,
    ) {
        (Some(these), _) => list(these),
        (None, Some(but_these)) => format!("all but {}", list(but_these)),
        (None, None) => "nothing".to_owned(),
    };
    let action = part(&statement.action, &statement.not_action);
    let resource = part(&statement.resource, &statement.not_resource);
    let condition = match statement.condition {
        Some(_) => ", under a condition that is not evaluated",
        None => "",
    };
    format!("{action} on {resource}{condition}")
}

/// `principalId` first, then the context's values as strings.
fn context(response: Response<'_>) -> Context {
    let owned = |text: Cow<'_, str>| Scalar::Text(Cow::Owned(text.into_owned()));
    let mut pairs = vec![(Cow::Borrowed("principalId"), owned(response.principal_id))];
    for (key, value) in response.context.unwrap_or_default().0 {
        if key != "principalId" {
            pairs.push((
                Cow::Owned(key.into_owned()),
                owned(value.to_string().into()),
            ));
        }
    }
    Fields(pairs)
}

/// Whether a policy allows an action: some statement allows it and none denies it.
fn allows(policy: &PolicyDocument<'_>, action: &str, arn: &str) -> bool {
    let mut allowed = false;
    for statement in policy.statement.as_slice() {
        if !matches(statement, action, arn) {
            continue;
        }
        match (statement.effect, &statement.condition) {
            // Conditions are not evaluated: a deny holds, an allow does not.
            (Effect::Deny, _) => return false,
            (Effect::Allow, None) => allowed = true,
            (Effect::Allow, Some(_)) => {}
        }
    }
    allowed
}

fn matches(statement: &Statement<'_>, action: &str, arn: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let acts = |pattern: &str| matches_pattern(&pattern.to_ascii_lowercase(), &action);
    let about = |pattern: &str| matches_pattern(pattern, arn);
    one_of(
        statement.action.as_ref(),
        statement.not_action.as_ref(),
        acts,
    ) && one_of(
        statement.resource.as_ref(),
        statement.not_resource.as_ref(),
        about,
    )
}

/// Whether one of the first patterns matches, or, where only the second are given, none of them.
fn one_of(
    these: Option<&OneOrMany<Text<'_>>>,
    but_these: Option<&OneOrMany<Text<'_>>>,
    matches: impl Fn(&str) -> bool,
) -> bool {
    let any = |patterns: &OneOrMany<Text<'_>>| patterns.as_slice().iter().any(|p| matches(&p.0));
    match (these, but_these) {
        (Some(these), _) => any(these),
        (None, Some(but_these)) => !any(but_these),
        (None, None) => false,
    }
}
