//! In: a call of `@connections`, and what the functions' roles allow. Out: whether it may be made.
//!
//! Source: IAM user guide, "Policy evaluation logic" (an explicit deny wins, without an allow it is
//! denied), and developer guide, "Control access to a WebSocket API": the action is
//! `execute-api:ManageConnections`. Conditions, boundaries and other principals are not known here.

use std::collections::BTreeMap;

use http::header::HeaderValue;
use http::request::Parts as Head;
use http::{Response, StatusCode};
use lift_apigw::authorizer::matches_pattern;
use lift_apigw::management::ERROR_TYPE_HEADER;
use lift_gateway::session::management::{Call, Operation};
use lift_gateway::{ResponseBody, Rules};

use crate::clock::wall_clock;
use crate::door::plain;
use crate::lambda::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, session_token};
use crate::plan::{Effect, Plan, Statement};
use lift_aws_client::sigv4::{self, Credentials, Scope};

/// The action of all `@connections` calls.
const ACTION: &str = "execute-api:ManageConnections";

/// Whether `@connections` wants signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// No: whoever reaches the port may call.
    #[default]
    Unchecked,
    /// Yes, of a function's credentials, and its policies must allow the call.
    Checked,
}

/// Who may call `@connections`.
#[derive(Debug)]
pub(crate) struct Access {
    region: String,
    /// What each function's policies say.
    functions: BTreeMap<String, Vec<Statement>>,
}

impl Access {
    pub(crate) fn new(signatures: Signatures, plan: &Plan) -> Option<Self> {
        let functions = plan.functions.iter();
        (signatures == Signatures::Checked).then(|| Self {
            region: plan.region.clone(),
            functions: functions
                .map(|function| (function.name.clone(), function.statements.clone()))
                .collect(),
        })
    }

    /// # Errors
    /// The response to a call that is not signed, signed by nobody known, or not allowed.
    pub(crate) fn check(
        &self,
        head: &Head,
        body: &[u8],
        call: &Call,
        rules: &Rules,
    ) -> Result<(), Box<Response<ResponseBody>>> {
        let parts = sigv4::Parts {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
        };
        let scope = Scope {
            region: &self.region,
            service: "execute-api",
        };
        // The key is everybody's; whose call it is stands in the session token.
        let token = head.headers.get("x-amz-security-token");
        let token = token
            .and_then(|token| token.to_str().ok())
            .unwrap_or_default();
        let mut functions = self.functions.iter();
        let caller = functions.find(|(name, _)| session_token(name) == token);
        let find = |key: &str| {
            let known = caller.filter(|_| key == ACCESS_KEY_ID);
            known.map(|(name, _)| Credentials {
                access_key: key.to_owned(),
                secret_key: SECRET_ACCESS_KEY.to_owned(),
                session_token: Some(session_token(name)),
            })
        };
        sigv4::verify(
            &parts,
            &sigv4::body_hash(body),
            scope,
            find,
            wall_clock().epoch_ms(),
        )
        .map_err(|refusal| forbidden(refusal.error_type(), &refusal.message()))?;
        let arn = arn(rules, call);
        let (name, statements) = caller.map_or(("", [].as_slice()), |(name, statements)| {
            (name.as_str(), statements.as_slice())
        });
        if allows(statements, ACTION, &arn) {
            return Ok(());
        }
        let account = &rules.api.account;
        let why = format!(
            "User: arn:aws:sts::{account}:assumed-role/{name}/{name} is not authorized to perform: \
             {ACTION} on resource: {arn}"
        );
        Err(forbidden("AccessDeniedException", &why))
    }
}

/// The resource that a call is on.
fn arn(rules: &Rules, call: &Call) -> String {
    let api = &rules.api;
    let method = match call.operation {
        Operation::Post => "POST",
        Operation::Get => "GET",
        Operation::Delete => "DELETE",
    };
    format!(
        "arn:aws:execute-api:{}:{}:{}/{}/{method}/@connections/{}",
        api.region, api.account, api.api_id, api.stage, call.connection_id
    )
}

/// Whether policies allow an action on a resource.
fn allows(statements: &[Statement], action: &str, resource: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let concerns = |statement: &&Statement| {
        let mut actions = statement
            .actions
            .iter()
            .map(|pattern| pattern.to_ascii_lowercase());
        actions.any(|pattern| matches_pattern(&pattern, &action))
            && statement
                .resources
                .iter()
                .any(|pattern| matches_pattern(pattern, resource))
    };
    let effects = || {
        statements
            .iter()
            .filter(concerns)
            .map(|statement| statement.effect)
    };
    effects().any(|effect| effect == Effect::Allow)
        && !effects().any(|effect| effect == Effect::Deny)
}

fn forbidden(error_type: &str, why: &str) -> Box<Response<ResponseBody>> {
    let body = serde_json::json!({ "message": why });
    let mut response = plain(StatusCode::FORBIDDEN, &body.to_string());
    if let Ok(value) = HeaderValue::from_str(error_type) {
        response.headers_mut().insert(ERROR_TYPE_HEADER, value);
    }
    Box::new(response)
}
