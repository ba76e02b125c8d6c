//! Code and templates that change while clients are connected. Out: whose code answers, and when.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::running::{Client, Running, project, within};

/// Built by a copy that waits for the file `go`, and fails where the source says so.
const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes:
        $default: { FunctionArn: !GetAtt Shout.Arn, RouteResponseSelectionExpression: $default }
  Answers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Chat, RouteId: !Ref ChatDefaultRoute, RouteResponseKey: $default }
  Shout:
    Type: AWS::Serverless::Function
    Properties: { Runtime: python3.12, Handler: app.handler, CodeUri: dist }
    Metadata:
      Lift: { Build: sh build.sh, Watch: [src] }
"#;

const BUILD: &str = "
echo begun >> builds
while [ ! -e go ]; do sleep 0.01; done
if grep -q BROKEN src/app.py; then
  echo 'app.py is broken' >&2
  exit 3
fi
mkdir -p dist
cp src/app.py dist/app.py
";

fn code(mark: &str) -> String {
    format!(
        "def handler(event, context):\n    return {{'statusCode': 200, 'body': event['body'] + '{mark}'}}\n"
    )
}

struct World {
    running: Running,
    client: Client,
    home: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let home = project(&[
            ("template.yaml", TEMPLATE),
            ("build.sh", BUILD),
            ("src/app.py", &code("1")),
            ("dist/app.py", ""),
            ("go", ""),
        ]);
        let running = Running::start(&home.path().join("template.yaml"), &[]).await;
        let mut client = running.client("").await;
        assert_eq!(said(&mut client, "hello").await, "hello1");
        Self {
            running,
            client,
            home,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// Changes the source, and waits until its build has begun, which waits for `go`.
    async fn change(&self, text: &str) {
        let builds = self.builds();
        _ = fs::remove_file(self.path("go"));
        fs::write(self.path("src/app.py"), text).unwrap();
        let begun = async {
            while self.builds() == builds {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("a build", begun).await;
    }

    fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds"))
            .unwrap()
            .lines()
            .count()
    }

    fn go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

async fn said(client: &mut Client, text: &str) -> String {
    client.send(text).await;
    client.next().await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_for_a_build_and_reach_the_new_code() {
    let mut world = World::start().await;
    world.change(&code("2")).await;
    world.client.send("held").await;
    // It has come, and nobody answers it.
    world.running.entry("frame").await;
    world.go();
    assert_eq!(world.client.next().await, "held2");
    assert_eq!(said(&mut world.client, "hello").await, "hello2");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_waited_two_seconds_go_to_the_old_code() {
    let mut world = World::start().await;
    world.change(&code("2")).await;
    let begun = Instant::now();
    assert_eq!(said(&mut world.client, "held").await, "held1");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_990), "{took:?}");
    world.go();
    let replaced = |line: &serde_json::Value| {
        let text = line["text"].as_str().unwrap_or_default();
        text.starts_with("`Shout`: changed, replaced in ")
    };
    world.running.line(replaced).await;
    assert_eq!(said(&mut world.client, "hello").await, "hello2");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_is_said_and_the_old_code_stays() {
    let mut world = World::start().await;
    world.change("BROKEN").await;
    world.client.send("held").await;
    world.go();
    let problem = world.running.problem().await;
    let expected =
        "`Shout`: not built, the old code stays: `sh build.sh`: exit status: 3\napp.py is broken";
    assert_eq!(problem, expected);
    assert_eq!(world.client.next().await, "held1");
    fs::write(world.path("src/app.py"), code("2")).unwrap();
    world.running.line(is_replaced).await;
    assert_eq!(said(&mut world.client, "hello").await, "hello2");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_a_build() {
    let world = World::start().await;
    world.change(&code("2")).await;
    let World { running, .. } = world;
    assert_eq!(running.stop().await.code(), Some(0));
}

fn is_replaced(line: &serde_json::Value) -> bool {
    let text = line["text"].as_str().unwrap_or_default();
    text.contains("changed, replaced in ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_into_the_watched_directory_does_not_go_round() {
    let template = TEMPLATE.replace(", Watch: [src]", "");
    let home = project(&[
        ("template.yaml", &template),
        ("build.sh", "echo begun >> builds; cp src.py dist/app.py"),
        ("src.py", &code("1")),
        ("dist/app.py", ""),
        ("dist/trigger.py", ""),
        ("go", ""),
    ]);
    let mut running = Running::start(&home.path().join("template.yaml"), &[]).await;
    let mut client = running.client("").await;
    fs::write(home.path().join("src.py"), code("2")).unwrap();
    fs::write(home.path().join("dist/trigger.py"), "1").unwrap();
    running.line(is_replaced).await;
    // Its own output may be a change once; then there is nothing more to build.
    let quiet = async {
        let builds = || {
            fs::read_to_string(home.path().join("builds"))
                .unwrap()
                .len()
        };
        let mut before = 0;
        while before != builds() {
            before = builds();
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    within("the last build", quiet).await;
    assert_eq!(said(&mut client, "hello").await, "hello2");
    running.stop().await;
}

async fn told(running: &mut Running, template: &Path, text: &str) -> String {
    fs::write(template, text).unwrap();
    about_template(running).await
}

async fn about_template(running: &mut Running) -> String {
    let about = |line: &serde_json::Value| {
        let text = line["text"].as_str().unwrap_or_default();
        text.starts_with("`template.yaml`")
    };
    let notice = running.line(about).await;
    notice["text"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_template_is_said_and_changes_nothing() {
    let mut world = World::start().await;
    let template = world.path("template.yaml");
    let changed = TEMPLATE.replace("StageName: dev", "StageName: prod");
    let text = told(&mut world.running, &template, &changed).await;
    assert_eq!(
        text,
        "`template.yaml` changed, and the old one runs on: restart `lift dev`"
    );
    let text = told(&mut world.running, &template, TEMPLATE).await;
    assert_eq!(text, "`template.yaml` is again what runs");
    // An editor that puts another file in its place.
    let other = world.path("template.yaml.new");
    fs::write(&other, &changed).unwrap();
    fs::rename(&other, &template).unwrap();
    let text = about_template(&mut world.running).await;
    assert!(text.contains("changed"), "{text}");
    assert_eq!(said(&mut world.client, "hello").await, "hello1");
    assert_eq!(world.builds(), 1);
    world.running.stop().await;
}
