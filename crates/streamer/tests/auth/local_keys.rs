//! Directories of keys come in, as a first run, a rotation or a mistake leaves them; tokens of them
//! are checked.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Barrier,
    time::Duration,
};

use streamer::auth::{
    Algorithm, Claims, KeySource, Keys, KeysError, MintError, MintRequest, Signature, Tenants,
    Verifier, VerifierConfig, generate, inspect, mint,
};

use crate::support::{Files, NOW_MS};

fn request() -> MintRequest {
    MintRequest {
        sub: "u1".to_owned(),
        tenant: Some("acme".to_owned()),
        permissions: None,
        issuer: None,
        audience: None,
        expires_in: Duration::from_secs(60),
        now_ms: NOW_MS,
    }
}

fn verifier(dir: &Path) -> Verifier {
    let keys = vec![KeySource::Directory(dir.to_owned())];
    Verifier::new(VerifierConfig {
        keys,
        ..VerifierConfig::default()
    })
    .unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    files
}

#[tokio::test]
async fn the_first_run_makes_one_private_key_that_mints_and_verifies() {
    let files = Files::new();
    let dir = files.path().join("data/keys");
    let keys = Keys::open(&dir).unwrap();
    let made = files_of(&dir);
    assert_eq!((made.len(), mode(&made[0]), mode(&dir)), (1, 0o600, 0o700));
    assert!(
        fs::read_to_string(&made[0])
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----\n")
    );
    let token = mint(&keys, &request()).unwrap();
    let expected = Claims {
        user: "u1".to_owned(),
        tenant: "acme".to_owned(),
        permissions: None,
        expires_at_ms: NOW_MS + 60_000,
        issued_at_ms: Some(NOW_MS),
    };
    assert_eq!(verifier(&dir).verify(&token, NOW_MS).await, Ok(expected));
    // The second run finds it.
    let again = mint(&Keys::open(&dir).unwrap(), &request()).unwrap();
    verifier(&dir).verify(&again, NOW_MS).await.unwrap();
    assert_eq!(files_of(&dir), made);
}

#[test]
fn of_many_that_start_at_once_one_makes_the_keys() {
    let files = Files::new();
    let dir = files.path().join("keys");
    let together = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                let keys = Keys::open(&dir).unwrap();
                mint(&keys, &request()).unwrap();
            });
        }
    });
    assert_eq!(files_of(&dir).len(), 1);
}

#[tokio::test]
async fn a_new_key_signs_and_the_old_ones_verify_without_a_restart() {
    let files = Files::new();
    let dir = files.path().join("keys");
    let old = mint(&Keys::open(&dir).unwrap(), &request()).unwrap();
    let verifier = verifier(&dir);
    verifier.verify(&old, NOW_MS).await.unwrap();
    let mut now_ms = NOW_MS;
    for algorithm in [Algorithm::EdDSA, Algorithm::ES384, Algorithm::RS256] {
        let (path, pair) = Keys::add(&dir, algorithm).unwrap();
        // Time stands still between two tests of a fast machine; the file system's clock may be as
        // coarse.
        let newer = fs::metadata(&path).unwrap().modified().unwrap()
            + Duration::from_secs(now_ms - NOW_MS + 1);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(newer)
            .unwrap();
        assert_eq!(mode(&path), 0o600);
        let keys = Keys::open(&dir).unwrap();
        let token = mint(&keys, &request()).unwrap();
        let shown = inspect(&token, Some(&keys), NOW_MS).unwrap();
        assert_eq!(shown.header["kid"], pair.kid);
        assert_eq!(shown.header["alg"], algorithm.name());
        now_ms += 1_000;
        verifier.verify(&token, now_ms).await.unwrap();
        verifier.verify(&old, now_ms).await.unwrap();
    }
    // A key that is taken away stops verifying within a minute.
    fs::remove_file(files_of(&dir).iter().find(|path| is_es256(path)).unwrap()).unwrap();
    let fresh = MintRequest {
        expires_in: Duration::from_secs(3600),
        ..request()
    };
    let fresh = mint(&Keys::open(&dir).unwrap(), &fresh).unwrap();
    verifier.verify(&fresh, NOW_MS + 64_000).await.unwrap();
    assert!(verifier.verify(&old, NOW_MS + 59_000).await.is_err());
}

fn is_es256(path: &Path) -> bool {
    path.file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .starts_with("es256-")
}

#[test]
fn a_private_key_open_to_others_is_refused() {
    for bits in [0o644, 0o640, 0o604, 0o660] {
        let files = Files::new();
        let dir = files.path().join("keys");
        Keys::open(&dir).unwrap();
        fs::set_permissions(&files_of(&dir)[0], fs::Permissions::from_mode(bits)).unwrap();
        let error = Keys::open(&dir).unwrap_err();
        assert!(
            matches!(error, KeysError::Exposed(_)),
            "{bits:o}: {error:?}"
        );
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn what_a_crash_left_is_not_taken_for_a_key() {
    let files = Files::new();
    let dir = files.path().join("keys");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(".new"), "-----BEGIN PRIVATE KEY-----\nhalf").unwrap();
    mint(&Keys::open(&dir).unwrap(), &request()).unwrap();
    assert_eq!(files_of(&dir).len(), 1);
    assert!(!dir.join(".new").exists());
}

#[test]
fn a_file_that_is_no_key_is_named() {
    let pair = generate(Algorithm::EdDSA).unwrap();
    for text in [
        "",
        "junk",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        let files = Files::new();
        let path = files.write("bad.pem", text);
        let error = Keys::open(files.path()).unwrap_err();
        assert!(
            matches!(&error, KeysError::Key(at, _) if *at == path),
            "{text:?}: {error:?}"
        );
    }
    // Public keys alone verify, and sign nothing.
    let files = Files::new();
    files.write("public.pem", &pair.public_pem);
    let keys = Keys::open(files.path()).unwrap();
    assert!(matches!(
        mint(&keys, &request()),
        Err(MintError::NoPrivateKey)
    ));
    for index in 0..33 {
        files.write(&format!("{index}.pem"), &pair.public_pem);
    }
    assert!(matches!(
        Keys::open(files.path()),
        Err(KeysError::TooMany { count: 34, .. })
    ));
}

#[test]
fn what_the_server_would_refuse_is_not_minted() {
    let files = Files::new();
    let keys = Keys::open(&files.path().join("keys")).unwrap();
    let wide = Some(vec!["x".repeat(2049)]);
    let cases = [
        (
            MintRequest {
                sub: String::new(),
                ..request()
            },
            "sub ``",
        ),
        (
            MintRequest {
                sub: "..".to_owned(),
                ..request()
            },
            "sub `..`",
        ),
        (
            MintRequest {
                tenant: Some("a/b".to_owned()),
                ..request()
            },
            "tenant_id `a/b`",
        ),
        (
            MintRequest {
                permissions: wide,
                ..request()
            },
            "2049 bytes",
        ),
        (
            MintRequest {
                expires_in: Duration::ZERO,
                ..request()
            },
            "cannot be valid for 0ns",
        ),
        (
            MintRequest {
                expires_in: Duration::MAX,
                ..request()
            },
            "cannot be valid for",
        ),
        (
            MintRequest {
                audience: Some("x".repeat(9000)),
                ..request()
            },
            "bytes, the most is 8192",
        ),
    ];
    for (request, expected) in cases {
        let error = mint(&keys, &request).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_token_says_all_that_was_asked_and_lives_at_least_as_long() {
    let files = Files::new();
    let dir = files.path().join("keys");
    let keys = Keys::open(&dir).unwrap();
    let full = MintRequest {
        tenant: None,
        permissions: Some(vec!["echo".to_owned()]),
        issuer: Some("me".to_owned()),
        audience: Some("streamer".to_owned()),
        expires_in: Duration::from_millis(1500),
        now_ms: NOW_MS + 900,
        ..request()
    };
    let token = mint(&keys, &full).unwrap();
    let config = VerifierConfig {
        keys: vec![KeySource::Directory(dir)],
        issuer: Some("me".to_owned()),
        audience: Some("streamer".to_owned()),
        tenants: Tenants::Single("acme".to_owned()),
        ..VerifierConfig::default()
    };
    let expected = Claims {
        user: "u1".to_owned(),
        tenant: "acme".to_owned(),
        permissions: Some(vec!["echo".to_owned()]),
        expires_at_ms: NOW_MS + 3_000,
        issued_at_ms: Some(NOW_MS),
    };
    let verifier = Verifier::new(config).unwrap();
    assert_eq!(verifier.verify(&token, NOW_MS + 2_400).await, Ok(expected));
    assert!(verifier.verify(&token, NOW_MS + 3_000).await.is_err());
}

#[test]
fn a_token_is_shown_with_what_it_is_worth() {
    let files = Files::new();
    let keys = Keys::open(&files.path().join("keys")).unwrap();
    let others = Keys::open(&files.path().join("others")).unwrap();
    let token = mint(&keys, &request()).unwrap();
    let worth = |keys: Option<&Keys>, now_ms: u64| {
        let shown = inspect(&token, keys, now_ms).unwrap();
        (shown.signature, shown.refusal)
    };
    assert_eq!(worth(None, NOW_MS), (Signature::NotChecked, None));
    assert_eq!(worth(Some(&keys), NOW_MS), (Signature::Good, None));
    assert_eq!(worth(Some(&others), NOW_MS), (Signature::Bad, None));
    let expired = Some("the token expired 0 ms ago".to_owned());
    assert_eq!(
        worth(Some(&keys), NOW_MS + 60_000),
        (Signature::Good, expired)
    );
    let shown = inspect(&token, Some(&keys), NOW_MS).unwrap();
    assert!(shown.to_string().contains(r#""sub": "u1""#), "{shown}");
    assert_eq!(serde_json::to_value(&shown).unwrap()["signature"], "good");
    assert!(
        inspect("junk", None, NOW_MS)
            .unwrap_err()
            .reason()
            .contains("three parts")
    );
}
