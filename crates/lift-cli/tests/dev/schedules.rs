//! Functions that the clock invokes. Out: when, as often as the time's scale says, and with which event.

use serde_json::{Value, json};

use crate::running::{Running, project};

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Globals: { Function: { Runtime: python3.12, Handler: app.handler, CodeUri: code } }
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes: { $default: { FunctionArn: !GetAtt Sweep.Arn } }
  Sweep:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Often: { Type: Schedule, Properties: { Schedule: rate(1 minute) } }
  Greet:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Seldom: { Type: ScheduleV2, Properties: { ScheduleExpression: rate(2 minutes), Input: '{"kind":"greet"}' } }
  Never:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Cron: { Type: Schedule, Properties: { Schedule: cron(0 8 * * ? *) } }
"#;

const CODE: &str = "
import json
def handler(event, context):
    print(json.dumps(event))
";

#[tokio::test(flavor = "multi_thread")]
async fn schedules_invoke_at_their_rate_times_the_scale() {
    let home = project(&[("template.yaml", TEMPLATE), ("code/app.py", CODE)]);
    let template = home.path().join("template.yaml");
    // A minute in half a second.
    let mut running = Running::start(&template, &["--time-scale", "120"]).await;
    let (mut sweeps, mut greets, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let skipped = |line: &Value| {
        let text = line["text"].as_str().unwrap_or_default();
        text.starts_with("template, line 2") && text.contains("cron")
    };
    running.line(skipped).await;
    while sweeps.len() < 5 || events.len() < 2 {
        let line = running.line(|_| true).await;
        if line["kind"] == "invocation" {
            assert_eq!(
                (&line["cause"], &line["outcome"]),
                (&json!("schedule"), &json!("ok"))
            );
            let at_us = line["at_ms"].as_u64().unwrap() * 1_000 - line["took_us"].as_u64().unwrap();
            match line["function"].as_str().unwrap() {
                "Sweep" => sweeps.push(at_us / 1_000),
                "Greet" => greets.push(at_us / 1_000),
                other => panic!("{other} has no rate"),
            }
        }
        if line["kind"] == "log" {
            let event: Value = serde_json::from_str(line["line"].as_str().unwrap()).unwrap();
            if !events.contains(&event)
                && (event["kind"] == "greet" || events.is_empty() || events[0]["kind"] == "greet")
            {
                events.push(event);
            }
        }
    }
    let took = sweeps[4] - sweeps[0];
    assert!(
        (1_800..4_000).contains(&took),
        "five sweeps in {took} ms, not 2,000"
    );
    assert!(
        greets.len() <= sweeps.len().div_ceil(2),
        "{greets:?} {sweeps:?}"
    );
    events.sort_by_key(|event| event["kind"] == "greet");
    assert_eq!(events[1], json!({ "kind": "greet" }));
    let event = &events[0];
    assert_eq!(
        [&event["source"], &event["detail-type"], &event["detail"]],
        [&json!("aws.events"), &json!("Scheduled Event"), &json!({})]
    );
    let rule = event["resources"][0].as_str().unwrap();
    assert!(
        rule.starts_with("arn:aws:events:us-east-1:000000000000:rule/"),
        "{rule}"
    );
    running.stop().await;
}
