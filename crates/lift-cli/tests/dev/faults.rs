//! Faults that are asked for while everything runs. Out: that each strikes, and with one seed the same events.

use std::path::Path;

use serde_json::Value;

use crate::running::{Client, Running, project};

const TEMPLATE: &str = r#"
[api.chat]
stage = "dev"
[api.chat.routes]
"$disconnect" = "leave"
"$default" = { function = "talk", two_way = true }
cold = { function = "cold", two_way = true }
colder = { function = "colder", two_way = true }
post = { function = "talk", two_way = true }

[function.talk]
runtime = "python3.12"
handler = "app.handler"
code = "code"
timeout_s = 20
[function.leave]
runtime = "python3.12"
handler = "app.handler"
code = "code"
[function.cold]
runtime = "python3.12"
handler = "app.handler"
code = "code"
[function.colder]
runtime = "python3.12"
handler = "app.handler"
code = "code"
"#;

/// Answers with the message; with `post`, posts to its caller first and waits for that.
const CODE: &str = "
import urllib.request
def handler(event, context):
    context = event['requestContext']
    if context['routeKey'] == 'post':
        url = 'http://%s/%s/@connections/%s' % (context['domainName'], context['stage'], context['connectionId'])
        urllib.request.urlopen(urllib.request.Request(url, b'posted', method='POST')).read()
    return {'statusCode': 200, 'body': event.get('body') or ''}
";

struct World {
    running: Running,
    client: Client,
    /// The client's connection.
    id: String,
    _home: tempfile::TempDir,
}

impl World {
    async fn start(flags: &[&str]) -> Self {
        let home = project(&[("lift.toml", TEMPLATE), ("code/app.py", CODE)]);
        let mut running = Running::start(&home.path().join("lift.toml"), flags).await;
        let (client, id) = connected(&mut running).await;
        Self {
            running,
            client,
            id,
            _home: home,
        }
    }

    /// Says a word and hears it, or the gateway's error.
    async fn talk(&mut self) -> bool {
        self.client.send("hello").await;
        let heard = self.client.next().await;
        if heard != "hello" {
            let error: Value = serde_json::from_str(&heard).unwrap();
            assert_eq!(error["message"], "Internal server error");
        }
        heard != "hello"
    }

    /// Posts; whether that met 410, and whether the client got it.
    async fn post(&mut self) -> (bool, bool) {
        let status = self.running.post(&self.id, "posted").await;
        assert!([200, 410].contains(&status), "{status}");
        self.client.send("then").await;
        let delivered = self.client.next().await == "posted";
        if delivered {
            assert_eq!(self.client.next().await, "then");
        }
        (status == 410, delivered)
    }
}

async fn connected(running: &mut Running) -> (Client, String) {
    let client = running.client("").await;
    let begun = running.entry("connected").await;
    (client, begun["connection"].as_str().unwrap().to_owned())
}

const EVENTS: usize = 16;

/// Which of so many events were struck is the same with one seed and not with another; all are struck
/// with 100 %, none without the fault. `told` is what an entry names as struck.
macro_rules! seeded {
    ($fault:literal, $told:literal, |$world:ident| $event:expr) => {{
        let mut world = World::start(&[]).await;
        let mut patterns = Vec::new();
        for (seed, share) in [(7, 50), (7, 50), (8, 50), (7, 100), (7, 0)] {
            let asked = format!("{}={share}%", $fault);
            world.running.set_faults(seed, &[&asked]).await;
            let mut pattern = Vec::new();
            for _ in 0..EVENTS {
                let $world = &mut world;
                let struck: bool = $event;
                if struck {
                    let told = $world.running.entry("fault").await;
                    assert_eq!(
                        (&told["fault"], &told["at"]),
                        (&$fault.into(), &$told.into())
                    );
                }
                pattern.push(struck);
            }
            patterns.push(pattern);
        }
        let [first, again, other, all, none] = patterns.try_into().unwrap();
        assert_eq!(first, again, "the same seed");
        assert_ne!(first, other, "another seed");
        assert!(first.contains(&true) && first.contains(&false), "{first:?}");
        assert_eq!((all, none), (vec![true; EVENTS], vec![false; EVENTS]));
        world.running.stop().await;
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_invocations_are_the_same_with_one_seed() {
    seeded!("throttle", "$default", |world| world.talk().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_environments_are_the_same_with_one_seed() {
    seeded!("kill", "$default", |world| world.talk().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_meet_410_are_the_same_with_one_seed_and_not_delivered() {
    seeded!("gone", "@connections", |world| {
        let (gone, delivered) = world.post().await;
        assert_ne!(gone, delivered);
        gone
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_meet_410_and_are_delivered_are_the_same_with_one_seed() {
    seeded!("gone-delivered", "@connections", |world| {
        let (gone, delivered) = world.post().await;
        assert!(delivered);
        gone
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnects_that_do_not_come_are_the_same_with_one_seed() {
    seeded!("lose-disconnect", "$disconnect", |world| {
        let (client, id) = connected(&mut world.running).await;
        client.close(1000, "").await;
        let running = &mut world.running;
        running
            .line(|line| line["kind"] == "closed" && line["connection"] == *id)
            .await;
        let one = |line: &Value| line["kind"] == "fault" || line["cause"] == "$disconnect";
        running.peek(one).await["kind"] == "fault"
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_a_put_of_one_seed_strike_the_same_events() {
    let mut world = World::start(&["--fault", "throttle=50%", "--seed", "7"]).await;
    let mut patterns = [Vec::new(), Vec::new()];
    for pattern in &mut patterns {
        for _ in 0..EVENTS {
            pattern.push(world.talk().await);
        }
        world.running.set_faults(7, &["throttle=50%"]).await;
    }
    assert_eq!(patterns[0], patterns[1]);
    assert!(patterns[0].contains(&true), "{patterns:?}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_set_while_it_runs_is_felt_by_the_next_start() {
    let mut world = World::start(&[]).await;
    let said = |route: &str| serde_json::json!({ "action": route }).to_string();
    let mut starts = Vec::new();
    for (route, faults) in [("cold", vec!["cold-start=3000ms"]), ("colder", vec![])] {
        world.running.set_faults(0, &faults).await;
        world.client.send(&said(route)).await;
        assert_eq!(world.client.next().await, said(route));
        let invocation = world.running.entry("invocation").await;
        assert_eq!(invocation["cause"], route);
        starts.push(invocation["cold_us"].as_u64().unwrap());
    }
    assert!(starts[0] >= 3_000_000, "{starts:?}");
    assert!(starts[1] < 3_000_000, "{starts:?}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_disconnect_comes_so_much_later() {
    let mut world = World::start(&["--fault", "late-disconnect=700ms"]).await;
    let running = &mut world.running;
    world.client.close(1000, "").await;
    let closed = running.entry("closed").await["at_ms"].as_u64().unwrap();
    assert_eq!(running.entry("fault").await["fault"], "late-disconnect");
    let came = running.entry("invocation").await;
    assert_eq!(came["cause"], "$disconnect");
    let late_ms = came["at_ms"].as_u64().unwrap() - closed;
    assert!(late_ms >= 700, "{late_ms} ms");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn post_first_has_answers_wait_for_what_is_posted_after_them() {
    let mut world = World::start(&["--fault", "post-first=5s"]).await;
    world.client.send("answer").await;
    // The function has answered; the client has not heard it.
    world.running.entry("invocation").await;
    assert_eq!(world.running.post(&world.id, "posted").await, 200);
    assert_eq!(world.client.next().await, "posted");
    assert_eq!(world.client.next().await, "answer");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_first_has_posts_wait_for_the_answer_after_them() {
    let mut world = World::start(&[]).await;
    let post = serde_json::json!({ "action": "post" }).to_string();
    for (faults, expected) in [
        (vec![], ["posted", &post]),
        (vec!["answer-first=1000ms"], [&post, "posted"]),
    ] {
        world.running.set_faults(0, &faults).await;
        world.client.send(&post).await;
        let heard = [world.client.next().await, world.client.next().await];
        assert_eq!(heard, expected, "{faults:?}");
    }
    // Who is not there is not there with the fault, too.
    assert_eq!(world.running.post("AAAAAAAAAAAAAAA=", "nobody").await, 410);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_faults_that_cannot_be_is_refused_and_changes_nothing() {
    let world = World::start(&["--fault", "reorder-records=5%"]).await;
    let running = &world.running;
    let put = async |body: &str| running.http("PUT", "/_lift/faults", body).await;
    for (body, expected) in [
        (r#"{"faults":["throtle=5%"]}"#, "did you mean `throttle`?"),
        (r#"{"faults":["throttle=5"]}"#, "a share, like `5%`"),
        (r#"{"faults":["cold-start=30s"]}"#, "a time up to 20 s"),
        (
            r#"{"faults":["duplicate-records=5%"]}"#,
            "`lift dev --fault duplicate-records=5%`",
        ),
        (r#"{"fault":[]}"#, "unknown field `fault`"),
    ] {
        let (status, said) = put(body).await;
        assert_eq!(status, 400, "{body}");
        assert!(said.contains(expected), "{body}: {said}");
    }
    let (status, said) = running.http("GET", "/_lift/faults", "").await;
    let expected = r#"{"faults":["reorder-records=5%"],"seed":0}"#;
    assert_eq!((status, said.as_str()), (200, expected));
    // What strikes streams stays, whatever else is set.
    let (_, said) = put(r#"{"seed":3,"faults":["gone=10%"]}"#).await;
    assert_eq!(
        said,
        r#"{"faults":["gone=10%","reorder-records=5%"],"seed":3}"#
    );
    world.running.stop().await;
}

/// Puts items one after another; what the function saw, in its order.
async fn consumed(fault: &str, batch_size: u32) -> Vec<String> {
    const TEMPLATE: &str = r#"
[table.items]
key = "pk"
stream = "KEYS_ONLY"
[stream.items]
function = "consume"
start = "TRIM_HORIZON"
batch_size = SIZE
[function.consume]
runtime = "python3.12"
handler = "app.handler"
code = "."
[function.put]
runtime = "python3.12"
handler = "app.put"
code = "."
timeout_s = 60
environment = { AWS_EC2_METADATA_DISABLED = "true" }
[api.chat]
stage = "dev"
[api.chat.routes]
"$default" = { function = "put", two_way = true }
"#;
    const CODE: &str = "
def handler(event, context):
    print('saw', *[record['dynamodb']['Keys']['pk']['S'] for record in event['Records']])

def put(event, context):
    import boto3
    table = boto3.resource('dynamodb', region_name='us-east-1').Table('items')
    for i in range(40):
        table.put_item(Item={'pk': 'k%02d' % i})
    return {'statusCode': 200, 'body': 'done'}
";
    let template = TEMPLATE.replace("SIZE", &batch_size.to_string());
    let home = project(&[("lift.toml", &template), ("app.py", CODE)]);
    let venv = crate::running::root().join("tests/foreign/.venv");
    std::os::unix::fs::symlink(venv.canonicalize().unwrap(), home.path().join(".venv")).unwrap();
    let flags = ["--dynamodb", "local", "--fault", fault, "--seed", "5"];
    let mut running = Running::start(&home.path().join("lift.toml"), &flags).await;
    let mut client = running.client("").await;
    client.send("go").await;
    assert_eq!(client.next().await, "done");
    let mut seen = Vec::new();
    while !(0..40).all(|i| seen.contains(&format!("k{i:02}"))) {
        let saw = running
            .line(|line| {
                line["line"]
                    .as_str()
                    .is_some_and(|line| line.starts_with("saw"))
            })
            .await;
        let keys = saw["line"].as_str().unwrap().split(' ').skip(1);
        seen.extend(keys.map(str::to_owned));
    }
    running.stop().await;
    seen
}

fn dynamodb_local_is_here() -> bool {
    let here = Path::new(&crate::running::root())
        .join("tests/dynamodb-local/jars")
        .is_dir();
    if !here {
        eprintln!("skipped: there is no DynamoDB Local in tests/dynamodb-local/jars");
    }
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_stream_change_places() {
    if !dynamodb_local_is_here() {
        return;
    }
    let seen = consumed("reorder-records=100%", 100).await;
    let mut sorted = seen.clone();
    sorted.sort();
    assert_ne!(seen, sorted, "they were written in order");
    sorted.dedup();
    assert_eq!(sorted.len(), seen.len(), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_stream_come_twice_and_with_one_seed_the_same_ones() {
    if !dynamodb_local_is_here() {
        return;
    }
    let seen = consumed("duplicate-records=50%", 1).await;
    let mut once = seen.clone();
    once.dedup();
    let expected: Vec<_> = (0..40).map(|i| format!("k{i:02}")).collect();
    assert_eq!(once, expected, "in order, whatever comes twice");
    assert!(seen.len() > 40, "{seen:?}");
    let again = consumed("duplicate-records=50%", 1).await;
    assert_eq!(seen, again);
}
