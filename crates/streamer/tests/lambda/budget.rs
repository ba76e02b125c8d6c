//! In: what happens to the service. Out: what it costs in calls of AWS's services, which has a budget, and whether each role
//! allows the calls that were made and no others.

use std::collections::{BTreeMap, BTreeSet};

use lift_dev::feed::Entry;
use lift_dev::plan::Effect;
use serde_json::{Value, json};
use streamer_client::Client;
use streamer_client::options::Terms;
use streamer_client::request::Request;
use tokio::time::timeout;

use crate::asking::{aggregate, asked, completed, ended, rows};
use crate::counts::{self, Counted, Counts};
use crate::relay::{Call, Fault, Seen};
use crate::world::{DEADLINE, Relays, Setup, World};

/// A call as policies see it: who made it, the action, and the end of the resource's ARN.
type Need = (String, String, String);

/// What AWS does in a role's name, or what is only called where something is unlike these events: the function, or any,
/// the action, and the end of the resource.
const UNSEEN: [(&str, &str, &str); 19] = [
    // Lambda developer guide, "Lambda execution role": log lines and traces.
    ("", "logs:CreateLogStream", ""),
    ("", "logs:PutLogEvents", ""),
    ("", "xray:PutTraceSegments", ""),
    ("", "xray:PutTelemetryRecords", ""),
    // "Using AWS Lambda with Amazon DynamoDB": the mapping reads the stream.
    ("DispatchFunction", "dynamodb:DescribeStream", ""),
    ("DispatchFunction", "dynamodb:GetRecords", ""),
    ("DispatchFunction", "dynamodb:GetShardIterator", ""),
    ("DispatchFunction", "dynamodb:ListStreams", ""),
    // "Retaining records of failed invocations": the destination.
    ("", "sqs:SendMessage", ""),
    // S3 API Reference, "GetObject": without it an object that is not there is 403 and not 404.
    ("", "s3:ListBucket", ""),
    // A lease that ran out is taken by replacing the head; what was read with a claim is read again where a call is
    // made again.
    ("ProcessorFunction", "dynamodb:PutItem", "RequestsTable"),
    ("ProcessorFunction", "dynamodb:GetItem", "RequestsTable"),
    // Results over 4 KiB: `a_request_costs_three_calls_and_a_large_one_three_more` of lift-aws.
    ("MessageFunction", "dynamodb:Query", "BodiesTable"),
    ("ProcessorFunction", "dynamodb:PutItem", "BodiesTable"),
    ("ProcessorFunction", "dynamodb:Query", "BodiesTable"),
    ("ProcessorFunction", "dynamodb:DeleteItem", "BodiesTable"),
    // A request that is cancelled between two attempts leaves its output's name and its staged parts.
    ("MessageFunction", "s3:PutObject", "bucket/*"),
    ("MessageFunction", "s3:DeleteObject", "bucket/*"),
    // A task that ends in the middle of an upload.
    ("ProcessorFunction", "s3:AbortMultipartUpload", "bucket/*"),
];

/// Whether a function has answered, to anything but the clock.
fn answered(entry: &Entry, name: &str) -> bool {
    matches!(entry, Entry::Invocation { function, cause, .. } if function == name && cause != "schedule")
}

/// Counts what happens, event by event.
struct Meter {
    world: World,
    relays: Relays,
    invoked: BTreeMap<String, usize>,
    needs: BTreeSet<Need>,
    logged: usize,
    counts: Counts,
}

impl Meter {
    async fn start(setup: Setup) -> Option<Self> {
        let (world, relays) = World::relayed(setup).await?;
        Some(Self {
            world,
            relays,
            invoked: BTreeMap::new(),
            needs: BTreeSet::new(),
            logged: 0,
            counts: Counts::default(),
        })
    }

    /// What has been invoked since this was last asked, but by the clock.
    fn invokes(&mut self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for function in self.world.roles.keys() {
            let n = self.world.count(|entry| answered(entry, function));
            all.insert(function.clone(), n);
        }
        let mut new = all.clone();
        for (function, before) in &self.invoked {
            *new.entry(function.clone()).or_default() -= before;
        }
        new.retain(|_, n| *n > 0);
        self.invoked = all;
        new
    }

    /// Waits until so many invocations have ended since the last event, then counts what they did.
    async fn cost(&mut self, event: &str, invokes: &[(&str, usize)]) -> Counted {
        let before = self.invoked.clone();
        let wanted: BTreeMap<_, _> = invokes.iter().map(|(name, n)| (*name, *n)).collect();
        let (world, names) = (&self.world, wanted.clone());
        let ended = async || {
            names.iter().all(|(name, n)| {
                let ended = world.count(|entry| answered(entry, name));
                ended >= before.get(*name).unwrap_or(&0) + n
            })
        };
        world.until(event, ended).await;
        let mut cost = Counted {
            invokes: self.invokes(),
            ..Counted::default()
        };
        let swept = |seen: &Seen| event != "sweep" && seen.by.ends_with("SweeperFunction");
        for seen in self.relays.dynamodb.seen() {
            let needs = dynamodb(&seen);
            if swept(&seen) {
                continue;
            }
            cost.call(&seen);
            self.needs.extend(needs);
        }
        for seen in self.relays.lambda.seen() {
            cost.starts += usize::from(!swept(&seen));
            self.needs.insert(started(&seen));
        }
        for seen in self.relays.posts.seen() {
            if !swept(&seen) {
                cost.posts += 1;
                cost.post_bytes += seen.body.len();
            }
            self.needs.insert(posted(&seen));
        }
        for seen in self.relays.s3.seen() {
            cost.object(&seen);
            self.needs.extend(s3(&seen));
        }
        let log = self.world.log();
        cost.log_bytes = log
            .iter()
            .skip(self.logged)
            .map(|line| counts::warm_bytes(line))
            .sum();
        self.logged = log.len();
        self.counts.events.insert(event.to_owned(), cost.clone());
        let invoked: BTreeMap<_, _> = cost.invokes.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(invoked, wanted, "{event}: {cost:?}");
        cost
    }

    /// What was needed since the last event, however often.
    fn uncounted(&mut self) -> BTreeSet<Need> {
        let mut needs = std::mem::take(&mut self.needs);
        needs.extend(self.relays.dynamodb.seen().iter().flat_map(dynamodb));
        needs.extend(self.relays.s3.seen().iter().flat_map(s3));
        needs.extend(self.relays.lambda.seen().iter().map(started));
        needs.extend(self.relays.posts.seen().iter().map(posted));
        needs
    }
}

fn need_of(seen: &Seen, action: &str, on: &str) -> Need {
    let by = seen.by.strip_prefix("lift/").unwrap_or(&seen.by);
    (by.to_owned(), action.to_owned(), on.to_owned())
}

fn started(seen: &Seen) -> Need {
    need_of(
        seen,
        "lambda:InvokeFunction",
        "function:ProcessorFunction:live",
    )
}

fn posted(seen: &Seen) -> Need {
    let id = seen.operation.rsplit('/').next().unwrap_or_default();
    need_of(
        seen,
        "execute-api:ManageConnections",
        &format!("POST/@connections/{id}"),
    )
}

/// Actions of DynamoDB Developer Guide, "DynamoDB API permissions"; a transaction needs those of its items.
fn dynamodb(seen: &Seen) -> Vec<Need> {
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    let on = |call: &Value| {
        let table = call["TableName"]
            .as_str()
            .unwrap_or_else(|| panic!("{call}"));
        match call["IndexName"].as_str() {
            Some(index) => format!("table/{table}/index/{index}"),
            None => format!("table/{table}"),
        }
    };
    let need = |operation: &str, on: &str| need_of(seen, &format!("dynamodb:{operation}"), on);
    match seen.operation.as_str() {
        "TransactWriteItems" => {
            let items = body["TransactItems"].as_array().unwrap().iter();
            let items = items.flat_map(|item| item.as_object().unwrap());
            items
                .map(|(kind, item)| {
                    let operation = match kind.as_str() {
                        "Put" => "PutItem",
                        "Update" => "UpdateItem",
                        "Delete" => "DeleteItem",
                        _ => "ConditionCheckItem",
                    };
                    need(operation, &on(item))
                })
                .collect()
        }
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().unwrap().keys();
            tables
                .map(|table| need(&seen.operation, &format!("table/{table}")))
                .collect()
        }
        operation => vec![need(operation, &on(&body))],
    }
}

/// Actions of Service Authorization Reference, "Amazon S3".
fn s3(seen: &Seen) -> Vec<Need> {
    let (method, path) = seen.operation.split_once(' ').unwrap();
    let (key, query) = path.split_once('?').unwrap_or((path, ""));
    let key = key.trim_start_matches('/');
    if (method, query) == ("POST", "delete") {
        let keys = seen.body.split("<Key>").skip(1);
        let keys = keys.map(|rest| rest.split('<').next().unwrap_or_default());
        let deleted = |name| need_of(seen, "s3:DeleteObject", &format!("{key}/{name}"));
        return keys.map(deleted).collect();
    }
    let action = match method {
        "GET" if query.contains("list-type") => "ListBucket",
        "GET" | "HEAD" => "GetObject",
        "DELETE" if query.contains("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        _ => "PutObject",
    };
    let mut needs = vec![need_of(seen, &format!("s3:{action}"), key)];
    if let Some(source) = &seen.copied {
        let source = source.trim_start_matches('/');
        needs.push(need_of(seen, "s3:GetObject", source));
    }
    needs
}

/// Whether a pattern of a policy is of an ARN with this end.
fn covers(pattern: &str, on: &str) -> bool {
    let end = pattern.splitn(6, ':').last().unwrap_or_default();
    // An API's id and stage stand before the method.
    let end = end.split_once("/POST/").map_or(end, |(_, rest)| rest);
    let on = on.strip_prefix("POST/").unwrap_or(on);
    match end.split_once('*') {
        Some((before, after)) => on.starts_with(before) && on.ends_with(after),
        None => end == on,
    }
}

/// Every call must be allowed, and every allowed call must have been made.
fn check_roles(world: &World, needs: &BTreeSet<Need>) {
    let mut wrong = Vec::new();
    let mut unused = BTreeSet::new();
    for (function, statements) in &world.roles {
        for statement in statements {
            assert_eq!(statement.effect, Effect::Allow);
            for action in &statement.actions {
                for resource in &statement.resources {
                    let used = needs.iter().any(|(by, needed, on)| {
                        by == function && needed == action && covers(resource, on)
                    });
                    let excused = UNSEEN.iter().any(|(of, unseen, on)| {
                        action == unseen
                            && (of.is_empty() || of == function)
                            && resource.ends_with(on)
                    });
                    if !used && !excused {
                        unused.insert(format!("{function} may {action} on {resource}"));
                    }
                }
            }
        }
    }
    for (by, action, on) in needs {
        let statements = world.roles.get(by).map_or(&[][..], Vec::as_slice);
        let allowed = statements.iter().any(|statement| {
            statement.actions.contains(action)
                && statement
                    .resources
                    .iter()
                    .any(|resource| covers(resource, on))
        });
        if !allowed {
            wrong.push(format!("{by} calls {action} on {on}"));
        }
    }
    assert!(wrong.is_empty(), "no role allows:\n{}", wrong.join("\n"));
    let unused: Vec<_> = unused.into_iter().collect();
    assert!(unused.is_empty(), "never called:\n{}", unused.join("\n"));
}

async fn submitted(client: &Client, action: &str, payload: &Value, key: &str) -> Request {
    let terms = Terms {
        idempotency_key: Some(key.to_owned()),
        ..Terms::default()
    };
    asked(client, action, payload, terms).await
}

const GATEWAY: (&str, usize) = ("MessageFunction", 1);
const CONNECT: [(&str, usize); 2] = [("AuthorizerFunction", 1), ("ConnectFunction", 1)];
const TASK: [(&str, usize); 3] = [GATEWAY, ("DispatchFunction", 1), ("ProcessorFunction", 1)];

#[tokio::test(flavor = "multi_thread")]
async fn what_each_event_costs_is_within_its_budget() {
    let Some(mut meter) = Meter::start(Setup::default()).await else {
        return;
    };
    let (text, _) = rows(3_000);
    meter.world.put("sales.csv", text).await;
    meter.relays.s3.seen();

    let client = meter.world.client("ada").await;
    let cost = meter.cost("connect", &CONNECT).await;
    assert_eq!((cost.dynamodb(), cost.posts), (1, 0));

    let said = json!([1]);
    let echoing = client.call("echo", &said, Terms::default());
    timeout(DEADLINE, echoing).await.unwrap().unwrap();
    let cost = meter.cost("answered", &[GATEWAY]).await;
    assert_eq!((cost.dynamodb(), cost.posts), (0, 0));

    let payload = aggregate("sales.csv", "kinds.csv");
    let mut told = client.tap();
    let mut request = submitted(&client, "process_data", &payload, "k1").await;
    completed(&mut request).await;
    let cost = meter.cost("process_data", &TASK).await;
    let mut progress = 0;
    while let Ok(text) = told.try_recv() {
        progress += usize::from(text.contains(r#""type":"progress""#));
    }
    // Put, claim and finish; a checkpoint and the commit before the output is published are this action's.
    assert_eq!(cost.dynamodb(), 5, "{cost:?}");
    assert_eq!((cost.posts, cost.starts), (progress + 1, 1));

    let mut again = submitted(&client, "process_data", &payload, "k1").await;
    completed(&mut again).await;
    assert!(again.is_duplicate());
    // The client then asks for what was said of it.
    let twice = [("MessageFunction", 2)];
    let cost = meter.cost("again", &twice).await;
    assert!(cost.dynamodb() <= 5, "{cost:?}");

    of_control(&mut meter, &client, &request).await;
    of_others(&mut meter, &client).await;
    client.close().await;
    let cost = meter.cost("disconnect", &[("DisconnectFunction", 1)]).await;
    assert_eq!((cost.dynamodb(), cost.posts), (1, 0));
    let (mut counts, mut needs) = (meter.counts, meter.needs);
    meter.world.stop().await;

    let (world, rest) = with_limits().await.unwrap();
    counts.events.extend(rest.0.events);
    counts.memory_mb = world.memory.clone();
    needs.extend(rest.1);
    println!("{}", counts::table(&counts));
    check_roles(&world, &needs);
    world.stop().await;
    counts::check(counts);
}

async fn of_control(meter: &mut Meter, client: &Client, request: &Request) {
    let id = request.id().clone();
    client.get(&id).await.unwrap();
    let cost = meter.cost("request.get", &[GATEWAY]).await;
    assert_eq!((cost.dynamodb(), cost.posts), (1, 0));
    client.list(&Default::default()).await.unwrap();
    let cost = meter.cost("request.list", &[GATEWAY]).await;
    assert_eq!((cost.dynamodb(), cost.posts), (1, 0));
    client.cancel(&id).await.unwrap();
    let cost = meter.cost("request.cancel", &[GATEWAY]).await;
    assert!(cost.dynamodb() <= 1 && cost.posts <= 8, "{cost:?}");
    client.resume(&id, 0).await.unwrap();
    // Attached in one write; what is told is read anew, since it may have gone on meanwhile.
    let cost = meter.cost("request.resume", &[GATEWAY]).await;
    assert!(cost.dynamodb() <= 2, "{cost:?}");

    let mut large = aggregate("sales.csv", "large.csv");
    let long = "x".repeat(5_000);
    let filter = json!({"op": "filter", "column": "kind", "is": "ne", "value": long});
    large["operations"]
        .as_array_mut()
        .unwrap()
        .insert(0, filter);
    let mut request = submitted(client, "process_data", &large, "k2").await;
    completed(&mut request).await;
    let cost = meter.cost("process_data_large", &TASK).await;
    assert!(cost.dynamodb() <= 7, "{cost:?}");

    meter.world.invoke("SweeperFunction", "{}").await.unwrap();
    let cost = meter.cost("sweep", &[("SweeperFunction", 1)]).await;
    assert!(cost.dynamodb() >= 16, "{cost:?}");
}

async fn of_others(meter: &mut Meter, client: &Client) {
    let reporter = meter.world.reporter("eve").await;
    meter.cost("connect of another", &CONNECT).await;
    let day = json!({"from": "2026-01-01", "to": "2026-01-02", "output": {"name": "report.csv"}});
    let mut request = submitted(&reporter, "generate_report", &day, "k3").await;
    completed(&mut request).await;
    let cost = meter.cost("generate_report", &TASK).await;
    assert!(cost.dynamodb() <= 8, "{cost:?}");
    reporter.close().await;
    let leaving = [("DisconnectFunction", 1)];
    meter.cost("disconnect of another", &leaving).await;

    let items = json!([{"op": "create", "key": "a", "record": {}}, {"op": "delete", "key": "b"}]);
    let changes = json!({"collection": "c", "items": items, "output": {"name": "done.ndjson"}});
    let mut request = submitted(client, "bulk_operation", &changes, "k5").await;
    completed(&mut request).await;
    let cost = meter.cost("bulk_operation", &TASK).await;
    assert!(cost.dynamodb() <= 11, "{cost:?}");
    let export = json!({"collection": "c", "output": {"name": "c.ndjson"}});
    let mut request = submitted(client, "export_collection", &export, "k6").await;
    completed(&mut request).await;
    meter.cost("export_collection", &TASK).await;

    // The processor is not started before it is cancelled.
    let mut held = meter.relays.lambda.hold(|_| true);
    let never = json!({"collection": "c", "items": [{"op": "delete", "key": "a"}], "output": {"name": "never.ndjson"}});
    let mut waiting = submitted(client, "bulk_operation", &never, "k4").await;
    held.came().await;
    client.cancel(waiting.id()).await.unwrap();
    ended(&mut waiting).await;
    held.release();
    let cancelling = [
        ("MessageFunction", 2),
        ("DispatchFunction", 1),
        ("ProcessorFunction", 1),
    ];
    let cost = meter.cost("cancelled", &cancelling).await;
    assert!(cost.dynamodb() <= 6, "{cost:?}");
}

async fn of_the_sweeper(meter: &Meter, client: &Client) {
    // Only the sweeper's starts and posts come through.
    let refuse = |by: &'static str| {
        move |call: &Call| {
            let is_by = call.by == format!("lift/{by}");
            is_by.then_some(Fault::Refused(403, "AccessDeniedException"))
        }
    };
    meter.relays.lambda.rule(refuse("DispatchFunction"));
    meter.relays.posts.rule(refuse("MessageFunction"));
    // Nor does its first: the next pass tells what this one could not.
    let first = refuse("SweeperFunction");
    let mut is_first = true;
    meter
        .relays
        .posts
        .rule(move |call| first(call).filter(|_| std::mem::take(&mut is_first)));
    let payload = aggregate("sales.csv", "a.csv");
    let mut told = client.tap();
    let cancelled = submitted(client, "process_data", &payload, "k1").await;
    client.cancel(cancelled.id()).await.unwrap();
    let _started = submitted(client, "process_data", &payload, "k2").await;
    let mut missing = vec![r#""type":"complete""#, r#""type":"cancelled""#];
    let world = &meter.world;
    world
        .until(
            "the sweeper tells of one and starts the other",
            async || {
                world.invoke("SweeperFunction", "{}").await.unwrap();
                while let Ok(text) = told.try_recv() {
                    missing.retain(|end| !text.contains(end));
                }
                missing.is_empty()
            },
        )
        .await;
}

/// The same where rates and numbers of connections are limited, and where things go wrong.
async fn with_limits() -> Option<(World, (Counts, BTreeSet<Need>))> {
    let setup = Setup {
        replaced: vec![
            (
                "  UserRate:\n    Type: String\n    Default: \"off\"",
                "  UserRate:\n    Type: String\n    Default: 100/s",
            ),
            (
                "UserConnectRate:\n    Type: String\n    Default: \"off\"",
                "UserConnectRate:\n    Type: String\n    Default: 100/s",
            ),
            (
                "ConnectionsPerUser:\n    Type: String\n    Default: \"off\"",
                "ConnectionsPerUser:\n    Type: String\n    Default: \"10\"",
            ),
        ],
        ..Setup::default()
    };
    let mut meter = Meter::start(setup).await?;
    let (text, _) = rows(3_000);
    meter.world.put("sales.csv", text).await;
    let client = meter.world.client("ada").await;
    let cost = meter.cost("connect_limited", &CONNECT).await;
    // A user's first lease is two updates.
    assert!(cost.dynamodb() <= 4, "{cost:?}");
    let said = json!([1]);
    for _ in 0..5 {
        let echoing = client.call("echo", &said, Terms::default());
        timeout(DEADLINE, echoing).await.unwrap().unwrap();
    }
    let cost = meter
        .cost("answered_limited", &[("MessageFunction", 5)])
        .await;
    assert!(cost.dynamodb() <= 2, "one lease of tokens: {cost:?}");

    of_the_sweeper(&meter, &client).await;
    let needs = meter.uncounted();
    Some((meter.world, (meter.counts, needs)))
}
