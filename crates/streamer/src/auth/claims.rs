//! The claims of a token whose signature holds, the configured rules and the time come in; who the
//! client is goes out.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    LEEWAY_MS, NAME_BYTES_MAX, PERMISSIONS_BYTES_MAX, PERMISSIONS_MAX,
    rejection::{Rejection, shown},
};

/// The end of the year 9999, in milliseconds: the last time that RFC 3339 can write.
const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// Who a verified token says its bearer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// `sub`: the user.
    pub user: String,
    /// `tenant_id`, or the one tenant that is configured.
    pub tenant: String,
    /// `permissions`; `None` where the token has none, which allows every action.
    pub permissions: Option<Vec<String>>,
    /// `exp`, in milliseconds since the epoch: from this instant on the token is no longer valid.
    pub expires_at_ms: u64,
    /// `iat`, in milliseconds since the epoch.
    pub issued_at_ms: Option<u64>,
}

/// Which tenants a token may speak for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tenants {
    /// Any that a token names; every token must name one.
    #[default]
    Any,
    /// Only these; every token must name one.
    Only(BTreeSet<String>),
    /// There is one tenant: a token need not name it, and may name no other.
    Single(String),
}

/// Whether `permissions` let their bearer call `action`; absent permissions allow every action.
///
/// Control actions (`ping`, `request.*`) are always allowed and not asked about.
#[must_use]
pub fn may_call(permissions: Option<&[String]>, action: &str) -> bool {
    permissions.is_none_or(|list| list.iter().any(|entry| entry == "*" || entry == action))
}

/// Whether `permissions` give a right beyond one's own requests, such as `tenant.read`.
///
/// Only its name gives it, never absence or `*`.
#[must_use]
pub fn grants(permissions: Option<&[String]>, right: &str) -> bool {
    permissions.is_some_and(|list| list.iter().any(|entry| entry == right))
}

/// What claims are checked against.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) tenants: Tenants,
    pub(super) require_permissions: bool,
}

impl Rules {
    /// Checks every rule about claims, those that answer Forbidden last.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        now_ms: u64,
    ) -> Result<Claims, Rejection> {
        let (expires_at_ms, issued_at_ms) = times(claims, now_ms)?;
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let user = name(claims, "sub")?.ok_or_else(|| missing("sub"))?;
        let permissions = permissions(claims)?;
        if permissions.is_none() && self.require_permissions {
            return Err(missing("permissions"));
        }
        let tenant = self.tenant(name(claims, "tenant_id")?)?;
        Ok(Claims {
            user,
            tenant,
            permissions,
            expires_at_ms,
            issued_at_ms,
        })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Rejection> {
        let found = match claims.get("iss") {
            None => None,
            Some(Value::String(found)) => Some(found),
            Some(other) => return Err(wrong_type("iss", other)),
        };
        match (&self.issuer, found) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(missing("iss")),
            (Some(wanted), Some(found)) if wanted == found => Ok(()),
            (Some(_), Some(found)) => Err(Rejection::unauthorized(format!(
                "`iss` is {}, another issuer",
                shown(found)
            ))),
        }
    }

    /// `aud` is one string or an array of them (RFC 7519 §4.1.3).
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Rejection> {
        let found: Vec<&str> = match claims.get("aud") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several
                .iter()
                .map(|one| one.as_str().ok_or_else(|| wrong_type("aud", one)))
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(wrong_type("aud", other)),
        };
        match &self.audience {
            Some(_) if found.is_empty() => Err(missing("aud")),
            Some(wanted) if !found.contains(&wanted.as_str()) => {
                Err(Rejection::unauthorized("`aud` does not name this audience"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn tenant(&self, named: Option<String>) -> Result<String, Rejection> {
        let elsewhere = |tenant: &str| {
            Rejection::forbidden(format!("tenant {} is not allowed here", shown(tenant)))
        };
        match (&self.tenants, named) {
            (Tenants::Single(only), None) => Ok(only.clone()),
            (Tenants::Single(only), Some(named)) if *only == named => Ok(named),
            (Tenants::Single(_), Some(named)) => Err(elsewhere(&named)),
            (Tenants::Any | Tenants::Only(_), None) => Err(missing("tenant_id")),
            (Tenants::Only(some), Some(named)) if !some.contains(&named) => Err(elsewhere(&named)),
            (Tenants::Any | Tenants::Only(_), Some(named)) => Ok(named),
        }
    }
}

/// Checks `exp`, `nbf` and `iat`; gives `exp` and `iat`.
fn times(claims: &Map<String, Value>, now_ms: u64) -> Result<(u64, Option<u64>), Rejection> {
    let expires_at_ms = time_ms(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    // RFC 7519 §4.1.4: not accepted *on or after* it.
    if now_ms >= expires_at_ms {
        let ago_ms = now_ms - expires_at_ms;
        return Err(Rejection::unauthorized(format!(
            "the token expired {ago_ms} ms ago"
        )));
    }
    let latest_ms = now_ms.saturating_add(LEEWAY_MS);
    if time_ms(claims, "nbf")?.is_some_and(|not_before_ms| not_before_ms > latest_ms) {
        return Err(Rejection::unauthorized(
            "the token's `nbf` is in the future",
        ));
    }
    let issued_at_ms = time_ms(claims, "iat")?;
    if issued_at_ms.is_some_and(|issued_at_ms| issued_at_ms > latest_ms) {
        return Err(Rejection::unauthorized(
            "the token's `iat` is in the future",
        ));
    }
    Ok((expires_at_ms, issued_at_ms))
}

/// A `NumericDate` (RFC 7519 §2): seconds since the epoch, perhaps with a fraction.
fn time_ms(claims: &Map<String, Value>, claim: &str) -> Result<Option<u64>, Rejection> {
    let number = match claims.get(claim) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(other) => return Err(wrong_type(claim, other)),
    };
    let ms = match number.as_u64() {
        Some(seconds) => seconds.checked_mul(1000),
        None => number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since_epoch| u64::try_from(since_epoch.as_millis()).ok()),
    };
    match ms {
        Some(ms) if ms <= TIME_MS_MAX => Ok(Some(ms)),
        Some(_) | None => Err(Rejection::unauthorized(format!(
            "`{claim}` is {number}, not seconds since the epoch up to the year 9999"
        ))),
    }
}

/// A `sub` or `tenant_id`: it becomes part of keys and of file names.
fn name(claims: &Map<String, Value>, claim: &str) -> Result<Option<String>, Rejection> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(name)) if is_name(name) => Ok(Some(name.clone())),
        Some(Value::String(name)) => Err(Rejection::unauthorized(format!(
            "`{claim}` is {}, not 1 to {NAME_BYTES_MAX} of [A-Za-z0-9._:@|+=-]",
            shown(name)
        ))),
        Some(other) => Err(wrong_type(claim, other)),
    }
}

/// Whether `name` may be a `sub` or a `tenant_id`.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@|+=-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && name != "."
        && name != ".."
}

fn permissions(claims: &Map<String, Value>) -> Result<Option<Vec<String>>, Rejection> {
    let entries = match claims.get("permissions") {
        None => return Ok(None),
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(wrong_type("permissions", other)),
    };
    let entries: Vec<String> = entries
        .iter()
        .map(|entry| match entry {
            Value::String(entry) => Ok(entry.clone()),
            other => Err(wrong_type("permissions", other)),
        })
        .collect::<Result<_, _>>()?;
    check_permissions(&entries).map_err(Rejection::unauthorized)?;
    Ok(Some(entries))
}

/// Holds `permissions` to their limits. A control character is refused because JSON writes it in
/// six bytes, and the list must fit the gateway's authorizer result once it is written there.
pub(super) fn check_permissions(entries: &[String]) -> Result<(), String> {
    let bytes: usize = entries.iter().map(String::len).sum();
    if entries.len() > PERMISSIONS_MAX || bytes > PERMISSIONS_BYTES_MAX {
        let count = entries.len();
        return Err(format!(
            "`permissions` has {count} entries of {bytes} bytes together, \
             the most is {PERMISSIONS_MAX} and {PERMISSIONS_BYTES_MAX}"
        ));
    }
    if entries.iter().any(|entry| entry.contains(char::is_control)) {
        return Err("an entry of `permissions` has a control character".to_owned());
    }
    Ok(())
}

fn missing(claim: &str) -> Rejection {
    Rejection::unauthorized(format!("`{claim}` is missing"))
}

fn wrong_type(claim: &str, found: &Value) -> Rejection {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Rejection::unauthorized(format!("`{claim}` is or holds {kind}, the wrong type"))
}
