//! An identity as an authorizer's context: text values alone, since API Gateway stringifies them.

use std::borrow::Cow;

use lift::clock::Timestamp;
use lift::id::{InvalidId, Owner};
use lift::identity::Identity;
use lift_apigw::fields::{Fields, Scalar};

/// The name of the tenant in an authorizer's context.
pub const TENANT: &str = "tenant";
const USER: &str = "user";
const PERMISSIONS: &str = "permissions";
const EXPIRES_AT_MS: &str = "expiresAtMs";
/// The name of the trace header of the authorizer's invocation.
pub(super) const TRACE: &str = "trace";

/// The authorizer's context does not hold an identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum Invalid {
    #[error("no authorizer context")]
    Absent,
    #[error("no `{0}` in the authorizer context")]
    Missing(&'static str),
    #[error("a bad id in the authorizer context")]
    Id(#[from] InvalidId),
    #[error("bad permissions in the authorizer context")]
    Permissions(#[from] serde_json::Error),
    #[error("a bad expiry in the authorizer context")]
    Expiry(#[from] std::num::ParseIntError),
}

pub(super) fn encode(identity: &Identity) -> Fields<'static, Scalar<'static>> {
    let text = |value: String| Scalar::Text(Cow::Owned(value));
    let mut fields = vec![
        (
            Cow::Borrowed(TENANT),
            text(identity.owner.tenant.as_str().to_owned()),
        ),
        (
            Cow::Borrowed(USER),
            text(identity.owner.user.as_str().to_owned()),
        ),
    ];
    if let Some(permissions) = &identity.permissions {
        let list = serde_json::Value::from(permissions.clone()).to_string();
        fields.push((Cow::Borrowed(PERMISSIONS), text(list)));
    }
    if let Some(expires_at) = identity.expires_at {
        fields.push((
            Cow::Borrowed(EXPIRES_AT_MS),
            text(expires_at.as_millis().to_string()),
        ));
    }
    Fields(fields)
}

pub(super) fn decode(context: Option<&Fields<'_, Scalar<'_>>>) -> Result<Identity, Invalid> {
    let context = context.ok_or(Invalid::Absent)?;
    let value = |key: &'static str| context.get(key).map(text);
    let required = |key: &'static str| value(key).ok_or(Invalid::Missing(key));
    let owner = Owner::new(&required(TENANT)?, &required(USER)?)?;
    let permissions = value(PERMISSIONS)
        .map(|list| serde_json::from_str(&list))
        .transpose()?;
    let expires_at = value(EXPIRES_AT_MS).map(|at| at.parse()).transpose()?;
    Ok(Identity {
        owner,
        permissions,
        expires_at: expires_at.map(Timestamp::from_millis),
    })
}

/// A value as text, which API Gateway makes of all of them.
fn text<'a>(value: &'a Scalar<'_>) -> Cow<'a, str> {
    match value.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(value.to_string()),
    }
}
