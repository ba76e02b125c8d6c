//! Requests of several tenants come in; the report counts those of one, each in the day and state it has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lift::clock::Timestamp;
use lift::error::{Code, Error};
use lift::extract::TenantActivity;
use lift::id::{ConnectionId, Owner, RequestId};
use lift::json::Json;
use lift::task::memory::MemoryTasks;
use lift::task::record::{Key, NewTask, Outcome, ResultAt};
use lift::task::store::TaskStore;
use lift::task::transition::Transition;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path as At;
use serde_json::{Value, json};
use streamer::objects::Objects;
use streamer::tasks::claim::Ended;
use streamer::tasks::generate_report::{self, Options, Reports};

use crate::place::{Caller, TENANT, get, id, job, left, objects, put, said, tenant};

/// How a request of the test ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Completed,
    Failed(Code),
    Cancelled,
    None,
}

/// 2026-11-01T00:00:00Z.
const START: u64 = 1_793_491_200_000;
const DAY: u64 = 24 * 3600 * 1000;

pub(crate) struct Requests {
    store: Arc<MemoryTasks>,
    made: u64,
}

impl Requests {
    pub(crate) fn new() -> Self {
        let store = Arc::default();
        Self { store, made: 0 }
    }

    /// A request accepted `after` ms after the start of November 2026, that takes `took` ms to its end.
    pub(crate) async fn add(
        &mut self,
        tenant: &str,
        action: &str,
        after: u64,
        took: u64,
        end: End,
    ) {
        self.made += 1;
        let created_at = Timestamp::from_millis(START + after);
        let user = format!("user{}", self.made % 3);
        let key = Key {
            owner: Owner::new(tenant, &user).unwrap(),
            id: RequestId::from_parts(created_at, u128::from(self.made)),
        };
        let new = NewTask {
            key: key.clone(),
            client_id: None,
            action: action.to_owned(),
            metadata: BTreeMap::new(),
            input: Json::parse("{\"secret\":\"payload\"}".to_owned()).unwrap(),
            connection: ConnectionId::new("c="),
            idempotency: None,
            created_at,
            start_after: Duration::ZERO,
            timeout: Duration::from_secs(3600),
            keep: Duration::from_secs(7 * 24 * 3600),
            queued_max: usize::MAX,
        };
        self.store.put(new).await.unwrap();
        let lease = Duration::from_secs(15);
        let outcome = match end {
            End::None => return,
            End::Completed => Outcome::Completed(ResultAt::Inline(Json::null())),
            End::Failed(code) => Outcome::Failed(Error::new(code, "it failed").into_body()),
            End::Cancelled => Outcome::Cancelled,
        };
        let claim = Transition::Claim { lease };
        self.store.apply(&key, claim, created_at).await.unwrap();
        let finish = Transition::Finish {
            claim: 1,
            outcome,
            n: 1,
            result: None,
        };
        let at = created_at + Duration::from_millis(took);
        self.store.apply(&key, finish, at).await.unwrap();
    }

    pub(crate) fn of(&self, tenant: &str) -> TenantActivity {
        TenantActivity::new(tenant.parse().unwrap(), Arc::clone(&self.store) as _)
    }
}

pub(crate) async fn november() -> Requests {
    let mut requests = Requests::new();
    for n in 0..20 {
        requests
            .add(TENANT, "process_data", n, 100 * n, End::Completed)
            .await;
    }
    requests
        .add(
            TENANT,
            "process_data",
            DAY - 1,
            5_000,
            End::Failed(Code::TaskFailed),
        )
        .await;
    requests
        .add(TENANT, "process_data", DAY, 1, End::Failed(Code::Timeout))
        .await;
    requests
        .add(TENANT, "bulk_operation", DAY + 5, 70, End::Cancelled)
        .await;
    requests
        .add(TENANT, "bulk_operation", DAY + 6, 0, End::None)
        .await;
    requests
        .add(TENANT, "echo.later", 3 * DAY, 9, End::Completed)
        .await;
    requests
        .add("acme2", "process_data", DAY, 1, End::Completed)
        .await;
    requests
        .add("acm", "secret_action", DAY, 1, End::Completed)
        .await;
    requests
}

pub(crate) fn request(from: &str, to: &str, output: &str) -> Value {
    json!({ "from": from, "to": to, "output": { "name": output } })
}

fn reports(dir: &Path) -> Reports {
    Reports::new(objects(dir), Options::default())
}

async fn run(
    dir: &Path,
    requests: &Requests,
    request: &Value,
) -> Result<generate_report::Outcome, String> {
    let job = job("r1", 1, request);
    let reports = reports(dir);
    let checked = reports.precheck(&tenant(), &job.request).await;
    let ran = reports
        .run(&job, &requests.of(TENANT), None, &mut Caller::default())
        .await;
    if let Err(refused) = checked {
        assert_eq!(
            ran.map_err(|failure| said(&failure)).unwrap_err(),
            said(&refused)
        );
        return Err(said(&refused));
    }
    reports_end(dir).await;
    match ran {
        Ok(Ended::Finished(outcome)) => Ok(outcome),
        Ok(Ended::Stopped) => panic!("nobody asked to stop"),
        Err(failure) => Err(said(&failure)),
    }
}

async fn reports_end(dir: &Path) {
    use streamer::tasks::bulk_operation::{Bulk, Collections, Options};
    let collections = Collections::open(dir).unwrap();
    let bulk = Bulk::new(objects(dir), collections, Options::default());
    bulk.abandon(&id("r1")).await.unwrap();
    assert_eq!(left(dir), Vec::<String>::new());
}

/// The columns that a case speaks of: day, action, the counts by state, and the durations.
fn rows(csv: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    let start = "day,action,requests,queued,running,retrying,completed,failed,cancelled,\
                 duration_mean_ms,duration_p50_ms,duration_p95_ms,duration_max_ms,error_INVALID_JSON";
    assert!(header.starts_with(start), "{header}");
    let columns: Vec<&str> = header.split(',').collect();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), columns.len(), "{line}");
        let errors = columns
            .iter()
            .zip(&fields)
            .skip(13)
            .filter(|(_, count)| **count != "0");
        let errors = errors.map(|(code, count)| format!(" {code}={count}"));
        format!("{}{}", fields[..13].join(","), errors.collect::<String>())
    };
    lines.map(row).collect()
}

#[tokio::test]
async fn a_report_counts_by_day_and_action() {
    let dir = tempfile::tempdir().unwrap();
    let requests = november().await;
    let asked = request("2026-11-01", "2026-11-30", "november.csv");
    let outcome = run(dir.path(), &requests, &asked).await.unwrap();
    let csv = get(dir.path(), "november.csv").unwrap();
    assert_eq!(
        rows(&csv),
        [
            "2026-11-01,process_data,21,0,0,0,20,1,0,1143,1007,1919,5000 error_TASK_FAILED=1",
            "2026-11-02,bulk_operation,2,1,0,0,0,0,1,70,70,70,70",
            "2026-11-02,process_data,1,0,0,0,0,1,0,1,1,1,1 error_TIMEOUT=1",
            "2026-11-04,echo.later,1,0,0,0,1,0,0,9,9,9,9",
        ]
    );
    let expected = json!({
        "output": "november.csv", "bytes": csv.len(), "groups": 4, "requests": 25, "completed": 21, "failed": 2,
        "cancelled": 1, "open": 1, "errors": { "TASK_FAILED": 1, "TIMEOUT": 1 }
    });
    assert_eq!(serde_json::to_value(outcome).unwrap(), expected);
}

#[tokio::test]
async fn both_days_of_the_range_count_whole() {
    let dir = tempfile::tempdir().unwrap();
    let requests = november().await;
    for (from, to, expected) in [
        ("2026-11-01", "2026-11-01", 21),
        ("2026-11-02", "2026-11-03", 3),
        ("2026-11-04", "2026-11-04", 1),
        ("2026-10-01", "2026-10-31", 0),
    ] {
        let asked = request(from, to, &format!("{from}.csv"));
        let outcome = run(dir.path(), &requests, &asked).await.unwrap();
        assert_eq!(outcome.requests, expected, "{from} to {to}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    put(objects_of(dir.path()), "there.csv", "");
    let requests = november().await;
    let no_day = "is no day such as `2026-11-01`";
    for (from, to, output, expected) in [
        (
            "2026-11-31",
            "2026-11",
            "a.csv",
            format!("invalid /payload/from {no_day}; /payload/to {no_day}"),
        ),
        (
            "1969-12-31",
            "2026-11-01",
            "a.csv",
            format!("invalid /payload/from {no_day}"),
        ),
        (
            "2026-11-02",
            "2026-11-01",
            "a.csv",
            "invalid /payload/to is before `from`".to_owned(),
        ),
        (
            "2025-11-01",
            "2026-11-02",
            "a.csv",
            "invalid /payload/to makes more than 366 days".to_owned(),
        ),
        (
            "2026-11-01",
            "2026-11-01",
            "a.pdf",
            "invalid /payload/output/name does not end in `.csv` or `.html`".to_owned(),
        ),
        (
            "2026-11-01",
            "2026-11-01",
            "../a.csv",
            "invalid /payload/output/name has a segment that starts or ends with a dot or a space"
                .to_owned(),
        ),
        (
            "2026-11-01",
            "2026-11-01",
            "there.csv",
            "conflict: the output `there.csv` exists, and `overwrite` is not set".to_owned(),
        ),
    ] {
        let refused = run(dir.path(), &requests, &request(from, to, output))
            .await
            .unwrap_err();
        assert_eq!(refused, expected, "{from} {to} {output}");
    }
}

fn objects_of(dir: &Path) -> &Path {
    objects(dir);
    dir
}

#[tokio::test]
async fn more_groups_than_the_limit_end_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let requests = november().await;
    for (groups_max, expected) in [(4, None), (3, Some("limit groups_max 3"))] {
        let options = Options {
            groups_max,
            ..Options::default()
        };
        let reports = Reports::new(objects(dir.path()), options);
        let name = format!("{groups_max}.csv");
        let job = job(
            &name.replace('.', "-"),
            1,
            &request("2026-11-01", "2026-11-30", &name),
        );
        let ran = reports
            .run(&job, &requests.of(TENANT), None, &mut Caller::default())
            .await;
        assert_eq!(ran.err().map(|failure| said(&failure)).as_deref(), expected);
    }
}

#[tokio::test]
async fn a_later_claim_goes_on_and_the_report_is_the_same() {
    let requests = november().await;
    let whole = tempfile::tempdir().unwrap();
    let asked = request("2026-11-01", "2026-11-30", "november.csv");
    run(whole.path(), &requests, &asked).await.unwrap();
    let expected = get(whole.path(), "november.csv");
    let options = Options {
        page_requests: 3,
        checkpoint_every: Duration::ZERO,
        ..Options::default()
    };
    for stop_at in 1..=8 {
        let dir = tempfile::tempdir().unwrap();
        let reports = Reports::new(objects(dir.path()), options.clone());
        let mut caller = Caller {
            stop_at: Some(stop_at),
            ..Caller::default()
        };
        let activity = requests.of(TENANT);
        let first = reports
            .run(&job("r1", 1, &asked), &activity, None, &mut caller)
            .await;
        assert!(
            matches!(first, Ok(Ended::Stopped)),
            "stop {stop_at}: {first:?}"
        );
        assert_eq!(caller.durable.is_some(), stop_at > 1);
        for claim in [2, 3] {
            let mut caller = Caller {
                durable: caller.durable.clone(),
                ..Caller::default()
            };
            let resume = caller.durable.clone();
            let ended = reports
                .run(&job("r1", claim, &asked), &activity, resume, &mut caller)
                .await;
            assert!(
                matches!(ended, Ok(Ended::Finished(_))),
                "stop {stop_at}: {ended:?}"
            );
            let read_again = caller.percentages.len();
            assert!(
                read_again <= 9 - stop_at,
                "stop {stop_at}: {read_again} pages were read again"
            );
            assert_eq!(get(dir.path(), "november.csv"), expected, "stop {stop_at}");
        }
    }
}

#[tokio::test]
async fn a_report_in_a_bucket_is_the_same_as_one_in_a_directory() {
    let requests = november().await;
    let dir = tempfile::tempdir().unwrap();
    let asked = request("2026-11-01", "2026-11-30", "november.csv");
    run(dir.path(), &requests, &asked).await.unwrap();
    let bucket = Arc::new(InMemory::new());
    let options = Options {
        page_requests: 3,
        checkpoint_every: Duration::ZERO,
        ..Options::default()
    };
    let reports = Reports::new(Objects::in_bucket(Arc::clone(&bucket) as _), options);
    let activity = requests.of(TENANT);
    let mut caller = Caller {
        stop_at: Some(4),
        ..Caller::default()
    };
    let first = reports
        .run(&job("r1", 1, &asked), &activity, None, &mut caller)
        .await;
    assert!(matches!(first, Ok(Ended::Stopped)));
    let resume = caller.durable.take();
    assert!(resume.is_some());
    caller.stop_at = None;
    let second = reports
        .run(&job("r1", 2, &asked), &activity, resume, &mut caller)
        .await;
    assert!(matches!(second, Ok(Ended::Finished(_))));
    let place = At::parse(format!("objects/{TENANT}/november.csv")).unwrap();
    let written = bucket.get(&place).await.unwrap().bytes().await.unwrap();
    let written = String::from_utf8(written.to_vec()).unwrap();
    assert_eq!(Some(written), get(dir.path(), "november.csv"));
    let refused = reports
        .precheck(&tenant(), &job("r2", 1, &asked).request)
        .await;
    assert_eq!(
        refused.map_err(|failure| said(&failure)),
        Err("conflict: the output `november.csv` exists, and `overwrite` is not set".to_owned())
    );
}
