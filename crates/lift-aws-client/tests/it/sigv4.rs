//! Signatures against AWS's published examples, and against what botocore sends.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use lift_aws_client::sigv4::{
    Credentials, Parts, Refusal, Scope, body_hash, encode_path, presign, sign, verify,
};
use tokio::process::Command;

/// 2015-08-30T12:36:00Z, when AWS's test suite signs.
const THEN: u64 = 1_440_938_160_000;

fn credentials(session_token: Option<&str>) -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: session_token.map(str::to_owned),
    }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

struct Example {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    service: &'static str,
    signature: &'static str,
}

const GET: Example = Example {
    name: "get-vanilla",
    method: "GET",
    path: "/",
    query: "",
    headers: &[("host", "example.amazonaws.com")],
    body: "",
    service: "service",
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
};

/// Of "AWS Signature Version 4 Test Suite", and the IAM example of the General Reference.
const EXAMPLES: [Example; 7] = [
    GET,
    Example {
        name: "get-vanilla-query-order-key-case",
        query: "Param2=value2&Param1=value1",
        signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ..GET
    },
    Example {
        name: "get-header-value-trim",
        headers: &[
            ("host", "example.amazonaws.com"),
            ("my-header1", " value1"),
            ("my-header2", " \"a   b   c\""),
        ],
        signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ..GET
    },
    Example {
        name: "get-relative-relative",
        path: "/example1/example2/../..",
        ..GET
    },
    Example {
        name: "post-vanilla",
        method: "POST",
        signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ..GET
    },
    Example {
        name: "post-x-www-form-urlencoded",
        method: "POST",
        headers: &[
            ("host", "example.amazonaws.com"),
            ("content-type", "application/x-www-form-urlencoded"),
        ],
        body: "Param1=value1",
        signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ..GET
    },
    Example {
        name: "IAM ListUsers",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &[
            ("host", "iam.amazonaws.com"),
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
        ],
        service: "iam",
        signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ..GET
    },
];

#[test]
fn aws_examples_are_signed_as_published_and_verified() {
    for example in &EXAMPLES {
        let unsigned = headers(example.headers);
        let parts = Parts {
            method: example.method,
            path: example.path,
            query: example.query,
            headers: &unsigned,
        };
        let scope = Scope {
            region: "us-east-1",
            service: example.service,
        };
        let hash = body_hash(example.body.as_bytes());
        let added = sign(&parts, &hash, &credentials(None), scope, THEN).unwrap();
        let (_, authorization) = added.last().unwrap();
        let text = authorization.to_str().unwrap();
        let (_, signature) = text.split_once("Signature=").unwrap();
        assert_eq!(signature, example.signature, "{}", example.name);
        let mut headers = unsigned.clone();
        headers.extend(added.into_iter().map(|(name, value)| (Some(name), value)));
        let parts = Parts {
            headers: &headers,
            ..parts
        };
        let found = verify(&parts, &hash, scope, |_| Some(credentials(None)), THEN);
        assert_eq!(found.unwrap().access_key, "AKIDEXAMPLE", "{}", example.name);
    }
}

/// A request as a client sent it.
#[derive(Clone, Debug, serde::Deserialize)]
struct Sent {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sent {
    fn check(&self, late: Duration) -> Result<String, Refusal> {
        let pairs: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let by_name: HashMap<String, &str> = pairs
            .iter()
            .map(|(name, value)| (name.to_lowercase(), *value))
            .collect();
        let moment = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", by_name["x-amz-date"]);
        let moment = moment.unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let at = u64::try_from(moment.timestamp().as_millisecond()).unwrap();
        let parts = Parts {
            method: &self.method,
            path: &self.path,
            query: "",
            headers: &headers(&pairs),
        };
        let scope = Scope {
            region: "eu-west-1",
            service: "execute-api",
        };
        let token = by_name
            .contains_key("x-amz-security-token")
            .then_some("the/session+token==");
        let find = |key: &str| (key == "AKIDEXAMPLE").then(|| credentials(token));
        let now = at + u64::try_from(late.as_millis()).unwrap();
        verify(&parts, &body_hash(self.body.as_bytes()), scope, find, now)
            .map(|identity| identity.access_key)
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    fn replaced(&self, header: &str, from: &str, to: &str) -> Self {
        self.with(|sent| {
            for (name, value) in &mut sent.headers {
                if name.eq_ignore_ascii_case(header) {
                    assert!(value.contains(from), "{value}");
                    *value = value.replace(from, to);
                }
            }
        })
    }
}

/// What a script of `tests/foreign` says.
async fn python(script: &str) -> String {
    let foreign = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/foreign");
    let mut python = Command::new(foreign.join(".venv/bin/python"));
    python
        .arg(foreign.join(script))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), python.output()).await;
    let output = output.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn botocore_is_verified_and_whoever_changes_its_request_is_not() {
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: botocore (SKIP_FOREIGN=1)");
        return;
    }
    let lines = python("sign.py").await;
    let all: Vec<Sent> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 18, "{lines}");
    let on_time = Duration::ZERO;
    for sent in &all {
        assert_eq!(
            sent.check(on_time).as_deref(),
            Ok("AKIDEXAMPLE"),
            "{sent:?}"
        );
        let rewritten = sent.with(|sent| sent.path = sent.path.replace('@', "%40"));
        assert_eq!(
            rewritten.check(on_time).as_deref(),
            Ok("AKIDEXAMPLE"),
            "{sent:?}"
        );
        let tampered = [
            sent.with(|sent| sent.method = "PUT".to_owned()),
            sent.with(|sent| sent.path.push('x')),
            sent.with(|sent| sent.body.push('x')),
            sent.replaced("host", "127.0.0.1", "127.0.0.2"),
        ];
        for sent in tampered {
            assert_eq!(sent.check(on_time), Err(Refusal::Mismatch), "{sent:?}");
        }
    }
    let (bare, with_token) = (&all[0], &all[9]);
    let authorization = "authorization";
    let kind = |sent: Sent| sent.check(on_time).map_err(|refusal| refusal.error_type());
    let refused = [
        (
            bare.replaced(authorization, "AKIDEXAMPLE", "AKIDOTHER"),
            "UnrecognizedClientException",
        ),
        (
            with_token.replaced("x-amz-security-token", "token", "t"),
            "UnrecognizedClientException",
        ),
        (
            bare.replaced(authorization, "eu-west-1", "eu-west-2"),
            "InvalidSignatureException",
        ),
        (
            bare.replaced(authorization, "execute-api", "dynamodb"),
            "InvalidSignatureException",
        ),
        (
            bare.replaced(authorization, "host;", ""),
            "IncompleteSignatureException",
        ),
        (
            bare.replaced(authorization, "Signature=", "Signature=x"),
            "IncompleteSignatureException",
        ),
        (
            bare.replaced(authorization, "AWS4", "AWS5"),
            "IncompleteSignatureException",
        ),
        (
            bare.with(|sent| {
                sent.headers
                    .retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"))
            }),
            "MissingAuthenticationTokenException",
        ),
    ];
    for (sent, wanted) in refused {
        assert_eq!(kind(sent.clone()), Err(wanted), "{sent:?}");
    }
    assert!(bare.check(Duration::from_secs(299)).is_ok());
    assert!(matches!(
        bare.check(Duration::from_secs(301)),
        Err(Refusal::Skewed(_))
    ));
}

/// Of "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", Amazon S3 API Reference.
#[test]
fn the_published_url_is_presigned_as_published() {
    let credentials = Credentials {
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
    };
    let parts = Parts {
        method: "GET",
        path: "/test.txt",
        query: "",
        headers: &headers(&[("host", "examplebucket.s3.amazonaws.com")]),
    };
    let scope = Scope {
        region: "us-east-1",
        service: "s3",
    };
    // 2013-05-24T00:00:00Z.
    let then = 1_369_353_600_000;
    let query = presign(
        &parts,
        &credentials,
        scope,
        then,
        Duration::from_secs(86_400),
    );
    assert_eq!(
        query,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
}

#[tokio::test]
async fn urls_are_presigned_as_botocore_presigns_them() {
    #[derive(serde::Deserialize)]
    struct Url {
        url: String,
        key: String,
        date: String,
        token: Option<String>,
    }
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: botocore (SKIP_FOREIGN=1)");
        return;
    }
    let lines = python("presign.py").await;
    let all: Vec<Url> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(all.len(), 10, "{lines}");
    for made in all {
        let moment = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &made.date).unwrap();
        let moment = moment.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let at = u64::try_from(moment.timestamp().as_millisecond()).unwrap();
        let path = format!("/bucket/{}", encode_path(&made.key));
        let parts = Parts {
            method: "GET",
            path: &path,
            query: "",
            headers: &headers(&[("host", "127.0.0.1:9000")]),
        };
        let scope = Scope {
            region: "eu-west-1",
            service: "s3",
        };
        let credentials = credentials(made.token.as_deref());
        let query = presign(&parts, &credentials, scope, at, Duration::from_secs(900));
        let sorted = |query: &str| {
            let mut pairs: Vec<String> = query.split('&').map(str::to_owned).collect();
            pairs.sort_unstable();
            pairs
        };
        let (before, theirs) = made.url.split_once('?').unwrap();
        assert_eq!(before, format!("http://127.0.0.1:9000{path}"));
        assert_eq!(sorted(&query), sorted(theirs), "{}", made.url);
    }
}
