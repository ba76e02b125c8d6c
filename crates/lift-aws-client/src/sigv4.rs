//! In: a request, credentials and the time. Out: its AWS Signature Version 4, or who signed it.
//!
//! Both ways go through one canonical request (AWS General Reference, "Create a signed AWS API
//! request"). [`verify`] knows the header form alone, `Authorization: AWS4-HMAC-SHA256 …`; [`presign`] makes the query form of S3.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
/// How far a request's time may be from ours.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// What of a request is signed, as it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path with its percent codes.
    pub path: &'a str,
    /// The query without its `?`; empty where there is none.
    pub query: &'a str,
    /// The headers; [`sign`] signs all of them, so `host` must be among them.
    pub headers: &'a HeaderMap,
}

/// Keys of an AWS identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AKIA…` or `ASIA…`.
    pub access_key: String,
    /// What signatures are made with.
    pub secret_key: String,
    /// Comes with temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    /// The access key alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// For whom a signature is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `eu-west-1`.
    pub region: &'a str,
    /// `execute-api`, `dynamodb`.
    pub service: &'a str,
}

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The access key.
    pub access_key: String,
}

/// Why a request counts as not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no signature.
    #[error("there is no `authorization` header")]
    Unsigned,
    /// Something of the signature is absent or not of its form.
    #[error("the signature lacks `{0}`, or it is malformed")]
    Incomplete(&'static str),
    /// The access key or the session token is not known.
    #[error("access key `{0}` is not known, or its session token is another")]
    UnknownKey(String),
    /// The signature is for another region or service, or for another day.
    #[error("the signature is for `{0}`")]
    WrongScope(String),
    /// The request's time is more than five minutes from now.
    #[error("the request is of `{0}`, more than five minutes from now")]
    Skewed(String),
    /// It was signed with another secret, or changed after that.
    #[error("the signature is of another request or another secret")]
    Mismatch,
}

impl Refusal {
    /// The `x-amzn-ErrorType` that AWS answers, with status 403.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Unsigned => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey(_) => "UnrecognizedClientException",
            Self::WrongScope(_) | Self::Skewed(_) | Self::Mismatch => "InvalidSignatureException",
        }
    }

    /// The sentence that AWS answers as `message`.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Unsigned => "Missing Authentication Token".to_owned(),
            Self::Incomplete(what) => {
                format!("Authorization header requires existence of '{what}'.")
            }
            Self::UnknownKey(_) => {
                "The security token included in the request is invalid.".to_owned()
            }
            Self::WrongScope(scope) => format!("Credential should be scoped correctly, not to '{scope}'."),
            Self::Skewed(date) => format!("Signature expired: {date} is not within five minutes."),
            Self::Mismatch => "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".to_owned(),
        }
    }
}

/// The SHA-256 of a body as the canonical request has it: lower-case hexadecimal.
#[must_use]
pub fn body_hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

/// The headers that sign a request: `x-amz-date`, `authorization`, and the session token's.
///
/// Headers already there of these names are not signed twice: they are replaced.
///
/// # Errors
/// If the access key or the session token cannot stand in a header.
pub fn sign(
    parts: &Parts<'_>,
    body_hash: &str,
    credentials: &Credentials,
    scope: Scope<'_>,
    now_ms: u64,
) -> Result<Vec<(HeaderName, HeaderValue)>, header::InvalidHeaderValue> {
    let date = amz_date(now_ms);
    let mut added = vec![(HeaderName::from_static(DATE), HeaderValue::from_str(&date)?)];
    if let Some(token) = &credentials.session_token {
        added.push((
            HeaderName::from_static(TOKEN),
            HeaderValue::from_str(token)?,
        ));
    }
    let mut headers = parts.headers.clone();
    headers.remove(header::AUTHORIZATION);
    headers.extend(
        added
            .iter()
            .cloned()
            .map(|(name, value)| (Some(name), value)),
    );
    let names: Vec<String> = headers.keys().map(ToString::to_string).collect();
    let signed = Signed::new(parts, &headers, names);
    let canonical = signed.canonical(&canonical_path(parts.path), body_hash);
    let scope = scope_text(&date, scope);
    let signature = hex(tag(&canonical, &date, &scope, &credentials.secret_key).as_ref());
    let value = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.access_key,
        signed.names.join(";")
    );
    added.push((header::AUTHORIZATION, HeaderValue::from_str(&value)?));
    Ok(added)
}

/// The query that lets anyone send an S3 request without a body within `expires` of `now_ms` (Amazon S3 API Reference,
/// "Authenticating Requests: Using Query Parameters"): seconds, seven days at most. The path is sent as it is signed.
/// With temporary credentials it ends when they do, however far off `expires` is.
#[must_use]
pub fn presign(
    parts: &Parts<'_>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now_ms: u64,
    expires: Duration,
) -> String {
    let date = amz_date(now_ms);
    let scope = scope_text(&date, scope);
    let mut names: Vec<String> = parts.headers.keys().map(ToString::to_string).collect();
    names.sort_unstable();
    let pair = |name: &str, value: &str| format!("{name}={}", encode(value, b""));
    let mut query = vec![
        pair("X-Amz-Algorithm", ALGORITHM),
        pair(
            "X-Amz-Credential",
            &format!("{}/{scope}", credentials.access_key),
        ),
        pair("X-Amz-Date", &date),
        pair("X-Amz-Expires", &expires.as_secs().to_string()),
        pair("X-Amz-SignedHeaders", &names.join(";")),
    ];
    let token = credentials.session_token.as_deref();
    query.extend(token.map(|token| pair("X-Amz-Security-Token", token)));
    if !parts.query.is_empty() {
        query.push(parts.query.to_owned());
    }
    let query = canonical_query(&query.join("&"));
    let parts = Parts {
        query: &query,
        ..*parts
    };
    let signed = Signed::new(&parts, parts.headers, names);
    let canonical = signed.canonical(parts.path, "UNSIGNED-PAYLOAD");
    let signature = hex(tag(&canonical, &date, &scope, &credentials.secret_key).as_ref());
    format!("{query}&X-Amz-Signature={signature}")
}

/// A text as one segment of a path (RFC 3986 §2.3): `=` is `%3D`, `:` is `%3A`.
#[must_use]
pub fn encode_segment(text: &str) -> String {
    encode(text, b"")
}

/// A path's percent codes as S3 wants them signed and sent: each segment encoded once.
#[must_use]
pub fn encode_path(path: &str) -> String {
    encode(path, b"/")
}

/// Who signed a request for `scope`; `find` has the credentials of an access key.
///
/// # Errors
/// A [`Refusal`] for whatever is absent, foreign, too old or changed.
pub fn verify(
    parts: &Parts<'_>,
    body_hash: &str,
    scope: Scope<'_>,
    find: impl FnOnce(&str) -> Option<Credentials>,
    now_ms: u64,
) -> Result<Identity, Refusal> {
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let authorization = text("authorization").ok_or(Refusal::Unsigned)?;
    let fields = authorization
        .strip_prefix(ALGORITHM)
        .ok_or(Refusal::Incomplete("AWS4-HMAC-SHA256"))?;
    let field = |name: &'static str| {
        let mut all = fields.split(',').map(str::trim);
        let found = all.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        found.ok_or(Refusal::Incomplete(name))
    };
    let credential = field("Credential")?;
    let names: Vec<String> = field("SignedHeaders")?
        .split(';')
        .map(str::to_owned)
        .collect();
    let signature = unhex(field("Signature")?).ok_or(Refusal::Incomplete("Signature"))?;
    let (access_key, signed_scope) = credential
        .split_once('/')
        .ok_or(Refusal::Incomplete("Credential"))?;
    let date = text(DATE).ok_or(Refusal::Incomplete("X-Amz-Date"))?;
    let at = parse_amz_date(date).ok_or(Refusal::Incomplete("X-Amz-Date"))?;
    if !names.iter().any(|name| name == "host") {
        return Err(Refusal::Incomplete("host"));
    }
    if signed_scope != scope_text(date, scope) {
        return Err(Refusal::WrongScope(signed_scope.to_owned()));
    }
    if Duration::from_millis(at.abs_diff(now_ms)) > SKEW_MAX {
        return Err(Refusal::Skewed(date.to_owned()));
    }
    let unknown = || Refusal::UnknownKey(access_key.to_owned());
    let credentials = find(access_key).ok_or_else(unknown)?;
    if credentials.session_token.as_deref() != text(TOKEN) {
        return Err(unknown());
    }
    let signed = Signed::new(parts, parts.headers, names);
    let key = signing_key(signed_scope, &credentials.secret_key);
    let matches = |path: &String| {
        let text = string_to_sign(&signed.canonical(path, body_hash), date, signed_scope);
        hmac::verify(&key, text.as_bytes(), &signature).is_ok()
    };
    if accepted_paths(parts.path).iter().any(matches) {
        Ok(Identity {
            access_key: access_key.to_owned(),
        })
    } else {
        Err(Refusal::Mismatch)
    }
}

/// A request but for its path and body, in canonical form.
struct Signed<'a> {
    method: &'a str,
    query: String,
    headers: String,
    names: Vec<String>,
}

impl<'a> Signed<'a> {
    fn new(parts: &Parts<'a>, headers: &HeaderMap, mut names: Vec<String>) -> Self {
        names.sort_unstable();
        let mut lines = String::new();
        for name in &names {
            let values: Vec<String> = headers.get_all(name).iter().map(trimmed).collect();
            lines.extend([name.as_str(), ":", &values.join(","), "\n"]);
        }
        Self {
            method: parts.method,
            query: canonical_query(parts.query),
            headers: lines,
            names,
        }
    }

    fn canonical(&self, path: &str, body_hash: &str) -> String {
        let Self {
            method,
            query,
            headers,
            names,
        } = self;
        let names = names.join(";");
        format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{body_hash}")
    }
}

/// A header's value without outer spaces, inner ones once.
fn trimmed(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path as SDKs sign it for every service but S3: what is sent, encoded once more.
fn canonical_path(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let slash = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    encode(&format!("/{}{slash}", kept.join("/")), b"/")
}

/// Every path that a correct signer may have signed when this one arrives: SDKs encode what they
/// send (`@` sent, `%40` signed; `%3D` sent, `%253D` signed); hand-made signers sign what they send;
/// and HTTP clients write `@` as `%40` after it was signed.
fn accepted_paths(path: &str) -> [String; 3] {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let once = encode_bytes(&decoded, b"/");
    [
        canonical_path(path),
        canonical_path(&path.replace("%40", "@")),
        once,
    ]
}

fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut all: BTreeMap<(String, String), usize> = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let canonical = |text: &str| {
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
            encode_bytes(&decoded, b"")
        };
        *all.entry((canonical(name), canonical(value))).or_default() += 1;
    }
    let repeated = all
        .into_iter()
        .flat_map(|((name, value), times)| std::iter::repeat_n(format!("{name}={value}"), times));
    repeated.collect::<Vec<_>>().join("&")
}

fn encode(text: &str, kept: &[u8]) -> String {
    encode_bytes(text.as_bytes(), kept)
}

/// AWS's `UriEncode`: RFC 3986's unreserved characters and `kept` stay.
fn encode_bytes(bytes: &[u8], kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn scope_text(date: &str, scope: Scope<'_>) -> String {
    let day = date.get(..8).unwrap_or(date);
    format!("{day}/{}/{}/aws4_request", scope.region, scope.service)
}

fn string_to_sign(canonical: &str, date: &str, scope: &str) -> String {
    let hash = body_hash(canonical.as_bytes());
    format!("{ALGORITHM}\n{date}\n{scope}\n{hash}")
}

fn signing_key(scope: &str, secret: &str) -> hmac::Key {
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    scope
        .split('/')
        .fold(key(format!("AWS4{secret}").as_bytes()), |with, part| {
            key(hmac::sign(&with, part.as_bytes()).as_ref())
        })
}

fn tag(canonical: &str, date: &str, scope: &str, secret: &str) -> hmac::Tag {
    let text = string_to_sign(canonical, date, scope);
    hmac::sign(&signing_key(scope, secret), text.as_bytes())
}

/// `20150830T123600Z`.
fn amz_date(now_ms: u64) -> String {
    let iso = lift_apigw::time::iso8601(now_ms);
    let seconds = iso.split('.').next().unwrap_or_default();
    format!("{}Z", seconds.replace(['-', ':'], ""))
}

fn parse_amz_date(text: &str) -> Option<u64> {
    let moment = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let zoned = moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}
