//! Good tokens and configurations come in; the claims that go out, and who is forbidden, are
//! checked.

use jsonwebtoken::EncodingKey;
use serde_json::json;
use streamer::auth::{
    Algorithm, Claims, ConfigError, KeySource, Secret, Tenants, Verifier, VerifierConfig, grants,
    may_call,
};

use crate::support::{Files, NOW_MS, NOW_S, Pair, SECRET, claims, sign, sources, verifier};

fn good() -> Claims {
    Claims {
        user: "u1".to_owned(),
        tenant: "acme".to_owned(),
        permissions: None,
        expires_at_ms: NOW_MS + 3_600_000,
        issued_at_ms: Some(NOW_MS),
    }
}

#[tokio::test]
async fn every_algorithm_is_accepted_with_a_key_of_its_type() {
    for algorithm in Algorithm::PUBLIC_KEY {
        let pair = Pair::new(algorithm);
        let (verifier, _files) = verifier(&[&pair]);
        for kid in [
            None,
            Some(pair.made.kid.as_str()),
            Some("another name for it"),
        ] {
            let answer = verifier
                .verify(&pair.token(kid, &claims(&[])), NOW_MS)
                .await;
            assert_eq!(answer, Ok(good()), "{algorithm} {kid:?}");
        }
    }
    let (verifier, _files) = verifier(&[]);
    let key = EncodingKey::from_secret(SECRET);
    let token = sign(r#"{"alg":"HS256"}"#, &claims(&[]), &key, Algorithm::HS256);
    assert_eq!(verifier.verify(&token, NOW_MS).await, Ok(good()));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn claims_at_their_limits_are_accepted() {
    let pair = Pair::new(Algorithm::ES256);
    let (verifier, _files) = verifier(&[&pair]);
    let name = "aZ09._:@|+=-".repeat(11)[..128].to_owned();
    let quoted = format!("{name:?}");
    let entry = "x".repeat(32);
    let cases = [
        (
            "exp",
            "1800000000.5",
            Claims {
                expires_at_ms: NOW_MS + 500,
                ..good()
            },
        ),
        ("exp", "1.8000036e9", good()),
        (
            "exp",
            "253402300799",
            Claims {
                expires_at_ms: 253_402_300_799_000,
                ..good()
            },
        ),
        ("nbf", "1800000060", good()),
        ("nbf", "1800000060.0", good()),
        (
            "iat",
            "1800000060",
            Claims {
                issued_at_ms: Some(NOW_MS + 60_000),
                ..good()
            },
        ),
        (
            "iat",
            "0",
            Claims {
                issued_at_ms: Some(0),
                ..good()
            },
        ),
        (
            "iat",
            "",
            Claims {
                issued_at_ms: None,
                ..good()
            },
        ),
        (
            "sub",
            &quoted,
            Claims {
                user: name.clone(),
                ..good()
            },
        ),
        (
            "sub",
            r#""...""#,
            Claims {
                user: "...".to_owned(),
                ..good()
            },
        ),
        (
            "tenant_id",
            &quoted,
            Claims {
                tenant: name.clone(),
                ..good()
            },
        ),
        (
            "permissions",
            "[]",
            Claims {
                permissions: Some(Vec::new()),
                ..good()
            },
        ),
        (
            "permissions",
            &json!(vec![&entry; 64]).to_string(),
            Claims {
                permissions: Some(vec![entry.clone(); 64]),
                ..good()
            },
        ),
        ("aud", r#""whoever""#, good()),
        ("unknown", "[null,{}]", good()),
    ];
    for (claim, text, expected) in cases {
        let token = pair.token(None, &claims(&[(claim, text)]));
        assert_eq!(
            verifier.verify(&token, NOW_MS).await,
            Ok(expected),
            "{claim}: {text}"
        );
    }
}

#[tokio::test]
async fn a_token_ends_at_the_millisecond_of_its_expiry() {
    let pair = Pair::new(Algorithm::EdDSA);
    let (verifier, _files) = verifier(&[&pair]);
    let token = pair.token(None, &claims(&[]));
    let end_ms = NOW_MS + 3_600_000;
    assert!(verifier.verify(&token, end_ms - 1).await.is_ok());
    assert!(verifier.verify(&token, end_ms).await.is_err());
    assert!(verifier.verify(&token, u64::MAX).await.is_err());
    // A clock that is an hour behind sees an `iat` in the future.
    assert!(verifier.verify(&token, NOW_MS - 3_600_000).await.is_err());
}

/// Checks the status that a good token but for `changes` gets under `config`; 200 stands for
/// acceptance.
async fn check(config: VerifierConfig, changes: &[(&str, &str)], status: u16) {
    let pair = Pair::new(Algorithm::ES256);
    let files = Files::new();
    let shown = format!("{config:?} {changes:?}");
    let config = VerifierConfig {
        keys: sources(&files, &[&pair]),
        ..config
    };
    let token = pair.token(None, &claims(changes));
    let answer = Verifier::new(config).unwrap().verify(&token, NOW_MS).await;
    let found = answer
        .as_ref()
        .map_or_else(|rejection| rejection.status(), |_| 200);
    assert_eq!(found, status, "{shown}: {answer:?}");
}

#[tokio::test]
async fn issuer_and_audience_count_where_configured() {
    let config = VerifierConfig {
        issuer: Some("https://id.example.com/".to_owned()),
        audience: Some("streamer".to_owned()),
        ..VerifierConfig::default()
    };
    let iss = ("iss", r#""https://id.example.com/""#);
    let aud = ("aud", r#""streamer""#);
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[iss, aud], 200),
        (&[iss, ("aud", r#"["other","streamer"]"#)], 200),
        (&[aud], 401),
        (&[iss], 401),
        (&[iss, ("aud", "[]")], 401),
        (&[iss, ("aud", r#""Streamer""#)], 401),
        (&[("iss", r#""https://id.example.com""#), aud], 401),
    ];
    for (changes, status) in cases {
        check(config.clone(), changes, *status).await;
    }
}

#[tokio::test]
async fn a_tenant_that_is_not_allowed_here_is_forbidden() {
    let only = |tenants: Tenants| VerifierConfig {
        tenants,
        ..VerifierConfig::default()
    };
    let some = only(Tenants::Only(["acme".to_owned()].into()));
    let single = only(Tenants::Single("acme".to_owned()));
    let other = ("tenant_id", r#""umbrella""#);
    check(some.clone(), &[], 200).await;
    check(some.clone(), &[other], 403).await;
    check(some.clone(), &[("tenant_id", "")], 401).await;
    check(single.clone(), &[("tenant_id", "")], 200).await;
    check(single.clone(), &[], 200).await;
    check(single.clone(), &[other], 403).await;
    check(single.clone(), &[("tenant_id", "null")], 401).await;
    // Forbidden is said of a good token alone.
    let expired = NOW_S.to_string();
    check(some, &[other, ("exp", &expired)], 401).await;
    check(single, &[other, ("permissions", "null")], 401).await;
}

#[tokio::test]
async fn absent_permissions_are_refused_where_they_are_required() {
    let config = VerifierConfig {
        require_permissions: true,
        ..VerifierConfig::default()
    };
    check(config.clone(), &[], 401).await;
    check(config.clone(), &[("permissions", "[]")], 200).await;
    check(config, &[("permissions", r#"["echo"]"#)], 200).await;
}

#[tokio::test]
async fn only_configured_algorithms_are_accepted() {
    for (allowed, status) in [(Algorithm::ES384, 401), (Algorithm::ES256, 200)] {
        let algorithms = vec![allowed, Algorithm::HS256];
        check(
            VerifierConfig {
                algorithms,
                ..VerifierConfig::default()
            },
            &[],
            status,
        )
        .await;
    }
}

#[test]
fn permissions_name_actions_and_rights() {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let (named, all, none) = (list(&["echo", "tenant.read"]), list(&["*"]), list(&[]));
    assert!(may_call(Some(&named), "echo") && !may_call(Some(&named), "health"));
    assert!(
        may_call(Some(&all), "echo") && may_call(None, "echo") && !may_call(Some(&none), "echo")
    );
    assert!(grants(Some(&named), "tenant.read"));
    assert!(!grants(Some(&all), "tenant.read") && !grants(None, "tenant.read"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_configuration_that_cannot_work_is_refused_at_the_start() {
    let files = Files::new();
    let pair = Pair::new(Algorithm::ES256);
    let secret = KeySource::Secret(Secret(SECRET.to_vec()));
    let url = |url: &str| KeySource::JwksUrl(url.to_owned());
    let pem = |name: &str, text: &str| KeySource::Pem(files.write(name, text));
    let public = pem("public.pem", &pair.made.public_pem);
    let twice = pem("twice.pem", &pair.made.public_pem.repeat(2));
    let sec1 = pair
        .made
        .private_pem
        .replace("PRIVATE KEY", "EC PRIVATE KEY");
    let with = |keys: Vec<KeySource>| VerifierConfig {
        keys,
        ..VerifierConfig::default()
    };
    let single = |name: &str| VerifierConfig {
        tenants: Tenants::Single(name.to_owned()),
        ..with(vec![public.clone()])
    };
    let hs256 = |keys| VerifierConfig {
        algorithms: vec![Algorithm::HS256],
        ..with(keys)
    };
    let es256 = |keys| VerifierConfig {
        algorithms: vec![Algorithm::ES256],
        ..with(keys)
    };
    let cases = [
        (with(vec![]), "no keys"),
        (
            with(vec![KeySource::Secret(Secret(SECRET[..31].to_vec()))]),
            "31 bytes",
        ),
        (with(vec![url("ftp://x/")]), "not an `http`"),
        (with(vec![url("/keys")]), "not an `http`"),
        (
            with(vec![KeySource::Pem(files.path().join("absent.pem"))]),
            "absent.pem` cannot be read",
        ),
        (
            with(vec![KeySource::Directory(files.path().join("absent"))]),
            "absent` cannot be read",
        ),
        (
            with(vec![KeySource::JwksFile(files.write("a.json", "{}"))]),
            "not a JWK set",
        ),
        (
            with(vec![KeySource::JwksFile(
                files.write("b.json", r#"{"keys":[]}"#),
            )]),
            "none of its 0",
        ),
        (with(vec![pem("junk.pem", "junk")]), "0 PEM blocks"),
        (with(vec![twice]), "2 PEM blocks"),
        (with(vec![pem("sec1.pem", &sec1)]), "`EC PRIVATE KEY`"),
        (single(".."), "not a tenant's name"),
        (hs256(vec![public.clone()]), "HS256 and a secret"),
        (es256(vec![public.clone(), secret]), "HS256 and a secret"),
    ];
    for (config, expected) in cases {
        let shown = format!("{config:?}");
        assert!(!shown.contains("0123456789abcdef"), "a secret in {shown}");
        let error: ConfigError = Verifier::new(config).unwrap_err();
        let mut chain = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(chain.contains(expected), "{shown}: {chain}");
    }
    Verifier::new(with(vec![public])).unwrap();
    Verifier::new(with(vec![pem("private.pem", &pair.made.private_pem)])).unwrap();
}
