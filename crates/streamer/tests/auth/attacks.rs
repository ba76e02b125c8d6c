//! Tokens that were forged or tampered with come in; every one is refused, and for the reason
//! meant.

use jsonwebtoken::EncodingKey;
use serde_json::json;
use streamer::auth::{Algorithm, RejectionKind, TOKEN_BYTES_MAX, Verifier};

use crate::support::{NOW_MS, NOW_S, Pair, SECRET, claims, encode, sign, verifier};

async fn refused(verifier: &Verifier, name: &str, token: &str, reason: &str) {
    match verifier.verify(token, NOW_MS).await {
        Ok(claims) => panic!("{name}: accepted as {claims:?}"),
        Err(rejection) => {
            assert_eq!(rejection.kind(), RejectionKind::Unauthorized, "{name}");
            assert!(
                rejection.reason().contains(reason),
                "{name}: {}",
                rejection.reason()
            );
            assert_eq!(rejection.to_string(), "Unauthorized", "{name}");
        }
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn forged_signatures_are_refused() {
    let (rsa, ec, other) = (
        Pair::new(Algorithm::RS256),
        Pair::new(Algorithm::ES256),
        Pair::new(Algorithm::ES256),
    );
    let (verifier, _files) = verifier(&[&rsa, &ec]);
    let good = claims(&[]);
    let none = |header: &str| format!("{}.{}.", encode(header), encode(&good));
    let hmac_with = |key: &[u8]| {
        let key = EncodingKey::from_secret(key);
        sign(r#"{"alg":"HS256"}"#, &good, &key, Algorithm::HS256)
    };
    let lines = rsa.made.public_pem.replace('\n', "\r\n");
    let signed = ec.token(None, &good);
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let renamed = |alg: &str| {
        let message = format!(
            "{}.{}",
            encode(json!({"alg": alg}).to_string()),
            encode(&good)
        );
        format!("{message}.{signature}")
    };
    let admin = message.split_once('.').unwrap().0;
    let altered = format!(
        "{admin}.{}.{signature}",
        encode(claims(&[("sub", r#""root""#)]))
    );
    let zero = encode([0; 64]);
    let bad_alg = |alg: &str| {
        sign(
            &format!(r#"{{"alg":{alg}}}"#),
            &good,
            &ec.key,
            Algorithm::ES256,
        )
    };
    let cases = [
        (
            "alg none",
            none(r#"{"alg":"none"}"#),
            "`none` is not allowed",
        ),
        ("alg None", none(r#"{"alg":"None"}"#), "not allowed"),
        ("no alg", none("{}"), "no `alg`"),
        ("alg null", bad_alg("null"), "no `alg`"),
        ("alg in an array", bad_alg(r#"["ES256"]"#), "no `alg`"),
        ("alg in another case", bad_alg(r#""es256""#), "not allowed"),
        ("alg HS512", bad_alg(r#""HS512""#), "not allowed"),
        (
            "HS256 with the RSA key's PEM",
            hmac_with(rsa.made.public_pem.as_bytes()),
            "no key",
        ),
        (
            "HS256 with the RSA key's PEM of other lines",
            hmac_with(lines.as_bytes()),
            "no key",
        ),
        ("HS256 with an empty secret", hmac_with(b""), "no key"),
        ("another key", other.token(None, &good), "no key"),
        (
            "another key under the right name",
            other.token(Some(&ec.made.kid), &good),
            "no key",
        ),
        ("signature cut off", format!("{message}."), "no key"),
        (
            "signature of zeros (CVE-2022-21449)",
            format!("{message}.{zero}"),
            "no key",
        ),
        ("header says ES384", renamed("ES384"), "no key"),
        ("header says RS256", renamed("RS256"), "no key"),
        ("claims altered", altered, "no key"),
    ];
    for (name, token, reason) in &cases {
        refused(&verifier, name, token, reason).await;
    }
    verifier.verify(&signed, NOW_MS).await.unwrap();
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn what_is_not_exactly_one_token_is_refused() {
    let ec = Pair::new(Algorithm::ES256);
    let (verifier, _files) = verifier(&[&ec]);
    let good = claims(&[]);
    let token = ec.token(None, &good);
    let signed = |header: &str, claims: &str| sign(header, claims, &ec.key, Algorithm::ES256);
    let es = r#"{"alg":"ES256"}"#;
    let long = claims(&[("x", &format!("{:?}", "x".repeat(TOKEN_BYTES_MAX)))]);
    let deep = claims(&[("x", &format!("{}{}", "[".repeat(500), "]".repeat(500)))]);
    let twice = format!(r#"{{"sub":"root",{}"#, &good[1..]);
    let escaped = format!(r#"{{"s\u0075b":"root",{}"#, &good[1..]);
    let cases = [
        ("empty", String::new(), "three parts"),
        ("one part", "abc".to_owned(), "three parts"),
        ("two parts", "abc.def".to_owned(), "three parts"),
        (
            "five parts, as encrypted",
            "a.b.c.d.e".to_owned(),
            "three parts",
        ),
        ("only dots", "..".to_owned(), "header"),
        ("junk", "!!.??.##".to_owned(), "not base64url"),
        ("padded", token.replacen('.', "=.", 1), "not base64url"),
        ("with a space", format!(" {token}"), "not base64url"),
        ("with a line end", format!("{token}\n"), "not base64url"),
        (
            "two by a comma",
            format!("{token}, Bearer {token}"),
            "three parts",
        ),
        ("64 KiB", "a".repeat(64 * 1024), "65536 bytes"),
        (
            "64 KiB, signed",
            signed(es, &long),
            "bytes, the most is 8192",
        ),
        ("nested deep", signed(es, &deep), "recursion"),
        ("header no object", signed("[]", &good), "header"),
        ("header no JSON", signed("{", &good), "header"),
        ("claims no object", signed(es, "[]"), "claims"),
        (
            "claims no UTF-8",
            format!("{}.{}.AA", encode(es), encode(b"{\"sub\":\"\xff\"}")),
            "claims",
        ),
        (
            "claims followed by more",
            signed(es, &format!("{good}{{}}")),
            "claims",
        ),
        ("a claim twice", signed(es, &twice), "`sub` is repeated"),
        (
            "a claim twice, once escaped",
            signed(es, &escaped),
            "`sub` is repeated",
        ),
        (
            "alg twice",
            signed(r#"{"alg":"none","alg":"ES256"}"#, &good),
            "`alg` is repeated",
        ),
        (
            "crit",
            signed(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, &good),
            "crit",
        ),
        (
            "kid no string",
            signed(r#"{"alg":"ES256","kid":7}"#, &good),
            "`kid` is not a string",
        ),
        (
            "kid null",
            signed(r#"{"alg":"ES256","kid":null}"#, &good),
            "`kid` is not a string",
        ),
    ];
    for (name, token, reason) in &cases {
        refused(&verifier, name, token, reason).await;
    }
}

#[tokio::test]
async fn claims_that_are_missing_or_of_the_wrong_type_are_refused() {
    let ec = Pair::new(Algorithm::ES256);
    let (verifier, _files) = verifier(&[&ec]);
    let seconds = |ahead: i64| (NOW_S.cast_signed() + ahead).to_string();
    let (now, past, far, later) = (seconds(0), seconds(-1), seconds(61), seconds(3600));
    let long = format!("{:?}", "a".repeat(129));
    let many = json!(vec!["p"; 65]).to_string();
    let wide = json!([("x".repeat(2049))]).to_string();
    let cases: Vec<(&str, &str, &str)> = vec![
        ("exp", &now, "expired 0 ms ago"),
        ("exp", &past, "expired 1000 ms ago"),
        ("exp", "1799999999.9995", "expired"),
        ("exp", "", "`exp` is missing"),
        ("exp", "null", "null, the wrong type"),
        ("exp", r#""1800003600""#, "a string, the wrong type"),
        ("exp", "true", "a boolean"),
        ("exp", "[1800003600]", "an array"),
        ("exp", "-1", "not seconds"),
        ("exp", "1e300", "not seconds"),
        ("exp", "1800003600000", "not seconds"),
        ("exp", "18446744073709551615", "not seconds"),
        ("nbf", &far, "`nbf` is in the future"),
        ("nbf", "null", "null"),
        ("nbf", r#""0""#, "a string"),
        ("iat", &far, "`iat` is in the future"),
        ("iat", &later, "`iat` is in the future"),
        ("iat", "null", "null"),
        ("iat", "{}", "an object"),
        ("sub", "", "`sub` is missing"),
        ("sub", "null", "null"),
        ("sub", "7", "a number"),
        ("sub", r#""""#, "`sub` is ``"),
        ("sub", r#"".""#, "not 1 to 128"),
        ("sub", r#""..""#, "not 1 to 128"),
        ("sub", r#""../root""#, "not 1 to 128"),
        ("sub", r#""a/b""#, "not 1 to 128"),
        ("sub", r#""a\\b""#, "not 1 to 128"),
        ("sub", r#""a b""#, "not 1 to 128"),
        ("sub", r#""a\u0000""#, "not 1 to 128"),
        ("sub", r#""a\nfake log line""#, r"a\nfake"),
        ("sub", r#""ü""#, "not 1 to 128"),
        ("sub", &long, "not 1 to 128"),
        ("tenant_id", "", "`tenant_id` is missing"),
        ("tenant_id", "null", "null"),
        ("tenant_id", r#"["acme"]"#, "an array"),
        ("tenant_id", r#""..""#, "not 1 to 128"),
        ("tenant_id", &long, "not 1 to 128"),
        ("permissions", "null", "null"),
        ("permissions", r#""echo""#, "a string"),
        ("permissions", "{}", "an object"),
        ("permissions", r#"["echo",null]"#, "null"),
        ("permissions", r#"["echo",["*"]]"#, "an array"),
        ("permissions", r#"["a\nb"]"#, "control character"),
        ("permissions", &many, "65 entries"),
        ("permissions", &wide, "2049 bytes"),
        ("iss", "null", "null"),
        ("iss", r#"["a"]"#, "an array"),
        ("aud", "null", "null"),
        ("aud", "7", "a number"),
        ("aud", r#"["a",7]"#, "a number"),
    ];
    for (claim, text, reason) in cases {
        let token = ec.token(None, &claims(&[(claim, text)]));
        refused(&verifier, &format!("{claim}: {text}"), &token, reason).await;
    }
}

#[tokio::test]
async fn changing_any_one_character_spoils_a_token() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256] {
        let (verifier, token, _files) = if algorithm == Algorithm::HS256 {
            let (verifier, files) = verifier(&[]);
            let key = EncodingKey::from_secret(SECRET);
            (
                verifier,
                sign(r#"{"alg":"HS256"}"#, &claims(&[]), &key, algorithm),
                files,
            )
        } else {
            let pair = Pair::new(algorithm);
            let (verifier, files) = verifier(&[&pair]);
            (verifier, pair.token(None, &claims(&[])), files)
        };
        verifier.verify(&token, NOW_MS).await.unwrap();
        for index in 0..token.len() {
            for other in ['A', 'B', 'Q', 'w', '9', '_', '.'] {
                let mut changed: Vec<char> = token.chars().collect();
                if std::mem::replace(&mut changed[index], other) == other {
                    continue;
                }
                let changed: String = changed.into_iter().collect();
                let answer = verifier.verify(&changed, NOW_MS).await;
                assert!(
                    answer.is_err(),
                    "{algorithm}: {other} at {index} of {token}"
                );
            }
        }
    }
}
