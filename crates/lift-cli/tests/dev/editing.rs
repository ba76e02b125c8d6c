//! The main job: a function is edited while a client stays connected.

use std::fs;

use crate::running::Running;

const TEMPLATE: &str = "\
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes:
        $default:
          FunctionArn: !GetAtt Shout.Arn
          RouteResponseSelectionExpression: $default
  Answers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Chat, RouteId: !Ref ChatDefaultRoute, RouteResponseKey: $default }
  Shout:
    Type: AWS::Serverless::Function
    Properties: { Runtime: RUNTIME, Handler: app.handler, CodeUri: . }
";

async fn check(runtime: &str, file: &str, code: &str) {
    let home = tempfile::tempdir().unwrap();
    let template = home.path().join("template.yaml");
    fs::write(&template, TEMPLATE.replace("RUNTIME", runtime)).unwrap();
    fs::write(home.path().join(file), code.replace("MARK", "!")).unwrap();
    let mut running = Running::start(&template, &[]).await;
    let mut client = running.client("").await;
    client.send("hello").await;
    assert_eq!(client.next().await, "hello!");

    fs::write(home.path().join(file), code.replace("MARK", "?")).unwrap();
    let replaced = |line: &serde_json::Value| {
        let text = line["text"].as_str().unwrap_or_default();
        text.contains("replaced")
    };
    running.line(replaced).await;
    client.send("hello").await;
    assert_eq!(
        client.next().await,
        "hello?",
        "the same socket, the new code"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_python_function_answers_on_the_same_socket() {
    let code = "\
def handler(event, context):
    body = event.get('body') or ''
    return {'statusCode': 200, 'body': body + 'MARK'}
";
    check("python3.12", "app.py", code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_node_function_answers_on_the_same_socket() {
    let code =
        "exports.handler = async (event) => ({ statusCode: 200, body: event.body + 'MARK' });";
    check("nodejs20.x", "app.js", code).await;
}
