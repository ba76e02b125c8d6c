//! `--signatures checked`: boto3 with the credentials of functions and without. Out: who may call `@connections`.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::running::{Running, project, root, within};

/// `may` has the policy, `reads` for `GET` alone, `may-not` another one.
const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Globals: { Function: { Runtime: python3.12, Handler: app.handler, CodeUri: code } }
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: dev
      RouteSelectionExpression: $request.body.action
      Routes:
        may: { FunctionArn: !GetAtt May.Arn, RouteResponseSelectionExpression: $default }
        reads: { FunctionArn: !GetAtt Reads.Arn, RouteResponseSelectionExpression: $default }
        maynot: { FunctionArn: !GetAtt MayNot.Arn, RouteResponseSelectionExpression: $default }
  MayAnswers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Chat, RouteId: !Ref ChatMayRoute, RouteResponseKey: $default }
  ReadsAnswers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Chat, RouteId: !Ref ChatReadsRoute, RouteResponseKey: $default }
  MayNotAnswers:
    Type: AWS::ApiGatewayV2::RouteResponse
    Properties: { ApiId: !Ref Chat, RouteId: !Ref ChatMaynotRoute, RouteResponseKey: $default }
  May:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: may
      Policies:
        - Statement:
            - { Effect: Allow, Action: execute-api:ManageConnections, Resource: !Sub "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Chat}/*" }
  Reads:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: reads
      Policies:
        - Statement:
            - { Effect: Allow, Action: 'execute-api:*', Resource: !Sub "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Chat}/dev/GET/@connections/*" }
  MayNot:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: maynot
      Policies:
        - Statement:
            - { Effect: Allow, Action: execute-api:Invoke, Resource: '*' }
"#;

/// Answers with its connection and its own credentials.
const CODE: &str = "
import json, os
def handler(event, context):
    names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']
    context = event['requestContext']
    answer = {'me': context['connectionId'], 'api': context['apiId'], 'keys': [os.environ[name] for name in names]}
    return {'statusCode': 200, 'body': json.dumps(answer)}
";

#[tokio::test(flavor = "multi_thread")]
async fn only_who_signs_for_a_function_with_the_policy_reaches_connections() {
    let home = project(&[("template.yaml", TEMPLATE), ("code/app.py", CODE)]);
    let template = home.path().join("template.yaml");
    let running = Running::start(&template, &["--signatures", "checked"]).await;
    let mut client = running.client("").await;
    let (mut me, mut api, mut keys) = (Value::Null, Value::Null, json!({}));
    for name in ["may", "reads", "maynot"] {
        client.send(&json!({ "action": name }).to_string()).await;
        let answer: Value = serde_json::from_str(&client.next().await).unwrap();
        (me, api) = (answer["me"].clone(), answer["api"].clone());
        keys[name] = answer["keys"].clone();
    }
    let (me, api) = (me.as_str().unwrap(), api.as_str().unwrap());

    let foreign = root().join("tests/foreign");
    let mut command = Command::new(foreign.join(".venv/bin/python"));
    command
        .arg(foreign.join("signed.py"))
        .args([
            &format!("http://{}/dev", running.authority()),
            me,
            &keys.to_string(),
        ])
        .kill_on_drop(true);
    let output = within("boto3", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    let denied = |name: &str, method: &str| {
        format!(
            "403 AccessDeniedException User: arn:aws:sts::000000000000:assumed-role/{name}/{name} is not \
             authorized to perform: execute-api:ManageConnections on resource: \
             arn:aws:execute-api:us-east-1:000000000000:{api}/dev/{method}/@connections/{me}"
        )
    };
    let unknown =
        "403 UnrecognizedClientException The security token included in the request is invalid.";
    let mismatch = "The request signature we calculated does not match the signature you provided. \
                    Check your AWS Secret Access Key and signing method. Consult the service \
                    documentation for details.";
    let expected = [
        "unsigned 403 MissingAuthenticationTokenException Missing Authentication Token".to_owned(),
        "may post_to_connection 200".to_owned(),
        "may get_connection 200".to_owned(),
        format!("maynot post_to_connection {}", denied("maynot", "POST")),
        format!("maynot get_connection {}", denied("maynot", "GET")),
        format!("reads post_to_connection {}", denied("reads", "POST")),
        "reads get_connection 200".to_owned(),
        format!("other-key post_to_connection {unknown}"),
        format!("other-secret post_to_connection 403 InvalidSignatureException {mismatch}"),
        format!("other-token post_to_connection {unknown}"),
        "late post_to_connection 403 InvalidSignatureException Signature expired: DATE is not within five minutes.".to_owned(),
        "may delete_connection 204".to_owned(),
    ];
    let dateless = |line: &str| match line.split_once("expired: ") {
        Some((before, after)) => format!(
            "{before}expired: DATE{}",
            &after["20260101T000000Z".len()..]
        ),
        None => line.to_owned(),
    };
    let said: Vec<_> = said.lines().map(dateless).collect();
    assert_eq!(said, expected, "{failed}");
    assert_eq!(client.next().await, "signed");
    assert_eq!(client.closed().await, Some(1000));
    running.stop().await;
}
