//! In: any text as a token, parts of real tokens bent and mixed, and any signed claims. Out: a panic where something is accepted that was not signed so, or at the wrong time.

use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use streamer::auth::{
    Algorithm, Claims, Handshake, KeySource, Keys, LEEWAY_MS, MintRequest, QueryToken, Secret,
    Verifier, VerifierConfig, inspect, mint, presented_token,
};
use tempfile::TempDir;

const NOW_MS: u64 = 1_800_000_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

struct World {
    tokio: tokio::runtime::Runtime,
    verifier: Verifier,
    /// Real tokens of three algorithms, each with its own user.
    tokens: Vec<String>,
    _keys: TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut tokens = vec![signed(br#"{"alg":"HS256"}"#, claims("HS256").as_bytes())];
    let mut keys = vec![KeySource::Secret(Secret(SECRET.to_vec()))];
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let own = dir.path().join(algorithm.name());
        Keys::add(&own, algorithm).expect("a new key");
        let signing = Keys::read(&own).expect("one key");
        tokens.push(mint(&signing, &request(algorithm.name())).expect("a good request"));
        keys.push(KeySource::Directory(own));
    }
    let verifier = Verifier::new(VerifierConfig {
        keys,
        ..VerifierConfig::default()
    });
    World {
        tokio: tokio.expect("a runtime"),
        verifier: verifier.expect("good keys"),
        tokens,
        _keys: dir,
    }
});

fn request(sub: &str) -> MintRequest {
    MintRequest {
        sub: sub.to_owned(),
        tenant: Some("acme".to_owned()),
        permissions: Some(vec!["echo".to_owned()]),
        issuer: None,
        audience: None,
        expires_in: Duration::from_secs(3600),
        now_ms: NOW_MS,
    }
}

fn claims(sub: &str) -> String {
    let (iat, exp) = (NOW_MS / 1000, NOW_MS / 1000 + 3600);
    format!(
        r#"{{"sub":"{sub}","tenant_id":"acme","permissions":["echo"],"iat":{iat},"exp":{exp}}}"#
    )
}

/// A token that is signed with the shared secret, whatever it says.
fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("a key of any length");
    mac.update(message.as_bytes());
    format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

fn verify(token: &str, now_ms: u64) -> Option<Claims> {
    if let Ok(shown) = inspect(token, None, now_ms) {
        _ = shown.to_string();
    }
    let header = format!("Bearer {token}");
    let handshake = Handshake {
        headers: &[("authorization", header.as_str())],
        query: &[("token", token)],
        subprotocols: &[token],
    };
    _ = presented_token(&handshake, QueryToken::On);
    WORLD
        .tokio
        .block_on(WORLD.verifier.verify(token, now_ms))
        .ok()
}

/// One run.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => {
            if let Ok(text) = std::str::from_utf8(data) {
                assert!(verify(text, NOW_MS).is_none(), "{text:?} was never signed");
            }
        }
        1 => _ = mixed(&mut Unstructured::new(data)),
        2 => _ = bent(&mut Unstructured::new(data)),
        _ => any_claims(data),
    }
}

/// Header, claims and signature of real tokens or of their own: only what was signed together
/// goes, and only in its time.
fn mixed(script: &mut Unstructured<'_>) -> Result<()> {
    let tokens = &WORLD.tokens;
    let choices = script
        .arbitrary::<[u8; 3]>()?
        .map(|choice| usize::from(choice % 4));
    let offset = i64::from(script.arbitrary::<i32>()?);
    let own = URL_SAFE_NO_PAD.encode(script.bytes(script.len())?);
    let part = |n: usize, token: usize| match tokens.get(token) {
        Some(token) => token.split('.').nth(n).expect("three parts"),
        None => &own,
    };
    let [header, claims, signature] = choices;
    let parts = [part(0, header), part(1, claims), part(2, signature)];
    let now_ms = NOW_MS.saturating_add_signed(offset);
    let accepted = verify(&parts.join("."), now_ms);
    let real = header < tokens.len() && header == claims && claims == signature;
    let in_time = (NOW_MS - LEEWAY_MS..NOW_MS + 3_600_000).contains(&now_ms);
    assert_eq!(
        accepted.is_some(),
        real && in_time,
        "{parts:?} at {offset} ms: {accepted:?}"
    );
    Ok(())
}

/// A real token with some of its bytes replaced, left out or added.
fn bent(script: &mut Unstructured<'_>) -> Result<()> {
    let original = script.choose(&WORLD.tokens)?;
    let mut token = original.clone().into_bytes();
    while !script.is_empty() {
        let at = usize::from(script.arbitrary::<u16>()?) % token.len().max(1);
        let byte = script.arbitrary::<u8>()? & 0x7f;
        match script.arbitrary::<u8>()? % 4 {
            0 if !token.is_empty() => _ = token.remove(at),
            1 => token.insert(at, byte),
            2 => token.truncate(at + 1),
            _ if !token.is_empty() => token[at] = byte,
            _ => {}
        }
    }
    let token = String::from_utf8(token).expect("ASCII");
    assert_eq!(
        verify(&token, NOW_MS).is_some(),
        token == *original,
        "{token} is not {original}"
    );
    Ok(())
}

/// Claims that somebody signed: those accepted say who and until when, and are in force.
fn any_claims(claims: &[u8]) {
    let Some(accepted) = verify(&signed(br#"{"alg":"HS256"}"#, claims), NOW_MS) else {
        return;
    };
    let said: Value = serde_json::from_slice(claims).expect("accepted claims are JSON");
    assert_eq!(said["sub"], accepted.user.as_str());
    assert_eq!(said["tenant_id"], accepted.tenant.as_str());
    let name =
        |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    assert!(
        name(&accepted.user) && name(&accepted.tenant),
        "{accepted:?}"
    );
    assert!(accepted.expires_at_ms > NOW_MS, "expired: {accepted:?}");
    assert!(
        accepted
            .issued_at_ms
            .is_none_or(|at| at <= NOW_MS + LEEWAY_MS),
        "{accepted:?}"
    );
    match &accepted.permissions {
        Some(some) => assert_eq!(said["permissions"], serde_json::json!(some)),
        None => assert!(
            said.get("permissions").is_none(),
            "permissions are left out of {said}"
        ),
    }
}
