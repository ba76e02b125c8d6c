//! In: environments that a function cannot run in. Out: whether what is wrong is named.

use std::process::{Output, Stdio};

use lift_dev::feed::Entry;
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::world::{DEADLINE, Setup, World};

/// An environment that lacks nothing of a processor's.
const WHOLE: [(&str, &str); 10] = [
    ("_HANDLER", "processor"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("STREAMER_REQUESTS_TABLE", "requests"),
    ("STREAMER_BODIES_TABLE", "bodies"),
    ("STREAMER_CONNECTIONS_TABLE", "connections"),
    ("STREAMER_COLLECTIONS_TABLE", "collections"),
    ("STREAMER_BUCKET", "bucket"),
    ("STREAMER_PROCESSOR", "processor:live"),
];

/// What is set otherwise, empty for what is not set, and what the error says.
type Wrong = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const WRONG: [Wrong; 12] = [
    (&[("_HANDLER", "")], &["`_HANDLER` is not set"]),
    (
        &[("_HANDLER", "worker")],
        &["the handler `worker` is no role"],
    ),
    (
        &[("STREAMER_REQUESTS_TABLE", ""), ("STREAMER_BUCKET", "")],
        &[
            "`STREAMER_REQUESTS_TABLE` is not set",
            "`STREAMER_BUCKET` is not set",
        ],
    ),
    (
        &[("_HANDLER", "dispatch"), ("STREAMER_PROCESSOR", "")],
        &["`STREAMER_PROCESSOR` is not set"],
    ),
    (
        &[("AWS_REGION", ""), ("AWS_SECRET_ACCESS_KEY", "")],
        &[
            "`AWS_REGION` is not set",
            "`AWS_SECRET_ACCESS_KEY` is not set",
        ],
    ),
    (
        &[("STREAMER_REQUEST_TABLE", "x")],
        &["`STREAMER_REQUEST_TABLE` is no setting"],
    ),
    (&[("STREAMER_KEEP", "seven")], &["`STREAMER_KEEP`: "]),
    (
        &[("STREAMER_USER_RATE", "10/s")],
        &["`STREAMER_RATES_TABLE` is not"],
    ),
    (
        &[("_HANDLER", "authorizer")],
        &["neither `STREAMER_JWT_KEY` nor `STREAMER_JWKS_URL` is set"],
    ),
    (
        &[("_HANDLER", "authorizer"), ("STREAMER_JWT_KEY", "nonsense")],
        &["`STREAMER_JWT_KEY`"],
    ),
    (&[("AWS_CA_BUNDLE", "/nowhere.pem")], &["`/nowhere.pem`"]),
    (
        &[("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb:8000")],
        &["`dynamodb:8000` is no endpoint"],
    ),
];

async fn started(otherwise: &[(&str, &str)]) -> Output {
    let kept = WHOLE
        .iter()
        .filter(|(name, _)| otherwise.iter().all(|(other, _)| other != name));
    let set = kept.chain(otherwise).filter(|(_, value)| !value.is_empty());
    let running = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .env_clear()
        .envs(set.copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    timeout(DEADLINE, running).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_wrong_with_an_environment_is_named_at_the_start() {
    for (otherwise, said) in WRONG {
        let ended = started(otherwise).await;
        let text = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{otherwise:?}");
        for said in said {
            assert!(text.contains(said), "{otherwise:?}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing_or_another_is_named_in_the_log() {
    let wrong = Setup {
        replaced: vec![
            (
                "STREAMER_CONNECTIONS_TABLE: !Ref ConnectionsTable",
                "STREAMER_CONNECTIONS_TABLE: Nowhere",
            ),
            (
                "STREAMER_REQUESTS_TABLE: !Ref RequestsTable",
                "STREAMER_REQUESTS_TABLE: !Ref RatesTable",
            ),
        ],
        ..Setup::default()
    };
    let Some(world) = World::start(wrong).await else {
        return;
    };
    let refused = world.refused("ada").await;
    assert!(refused.contains("502"), "{refused}");
    let work = json!({"tenant": "acme", "user": "ada", "id": "01M8K825WEP9E93J567400CDA0"});
    let failed = world.invoke("ProcessorFunction", &work.to_string()).await;
    assert_eq!(failed.unwrap_err()["errorType"], "Unavailable");
    for (function, table, why) in [
        ("ConnectFunction", "`Nowhere`", "is missing"),
        ("ProcessorFunction", "`RatesTable`", "keys and indexes"),
    ] {
        let is_said = |entry: &Entry| matches!(entry, Entry::Log { function: by, line } if by == function && line.contains(table) && line.contains(why));
        world.until(table, async || world.count(is_said) > 0).await;
    }
    world.stop().await;
}
