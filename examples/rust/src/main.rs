//! What the three functions of the template do: messages, who may connect, and what becomes of notes.

use std::collections::HashMap;

use aws_sdk_apigatewaymanagement::Client as Connections;
use aws_sdk_apigatewaymanagement::config::Builder;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

struct App {
    sdk: aws_config::SdkConfig,
    dynamodb: DynamoDb,
}

impl App {
    /// Posts to a connection, through the stage that its events name; whether it is there.
    async fn post(&self, at: &Value, connection: &Value, text: &str) -> Result<bool, Error> {
        let url = format!("https://{}/{}", text_of(&at["domainName"]), text_of(&at["stage"]));
        let client = Connections::from_conf(Builder::from(&self.sdk).endpoint_url(url).build());
        let post = client.post_to_connection().connection_id(text_of(connection));
        match post.data(Blob::new(text)).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_gone_exception()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn messages(&self, event: Value) -> Result<Value, Error> {
        let (at, ok) = (&event["requestContext"], json!({ "statusCode": 200 }));
        if at["eventType"] != "MESSAGE" {
            return Ok(ok);
        }
        if at["routeKey"] == "echo" {
            return Ok(json!({ "statusCode": 200, "body": event["body"] }));
        }
        let message: Value = serde_json::from_str(text_of(&event["body"]))?;
        let (action, me) = (text_of(&message["action"]), &at["connectionId"]);
        match action {
            "post" => _ = self.post(at, me, text_of(&message["text"])).await?,
            "gone" => {
                if !self.post(at, &"AAAAAAAAAAAAAAA=".into(), "nobody").await? {
                    self.post(at, me, "GoneException").await?;
                }
            }
            "note" => {
                let item = [
                    ("id", &message["id"]),
                    ("text", &message["text"]),
                    ("connection", me),
                    ("domainName", &at["domainName"]),
                    ("stage", &at["stage"]),
                ];
                let item: HashMap<_, _> = item
                    .map(|(name, value)| (name.to_owned(), AttributeValue::S(text_of(value).to_owned())))
                    .into();
                let put = self.dynamodb.put_item().table_name(std::env::var("NOTES")?);
                put.set_item(Some(item)).send().await?;
            }
            other => _ = self.post(at, me, &format!("no action {other}")).await?,
        }
        Ok(ok)
    }

    async fn kept(&self, event: Value) -> Result<Value, Error> {
        let mut failures = Vec::new();
        for record in event["Records"].as_array().into_iter().flatten() {
            let image = &record["dynamodb"]["NewImage"];
            let note = json!({
                "domainName": image["domainName"]["S"], "stage": image["stage"]["S"],
            });
            let text = format!("kept {}", text_of(&image["text"]["S"]));
            if self.post(&note, &image["connection"]["S"], &text).await.is_err() {
                failures.push(json!({ "itemIdentifier": record["dynamodb"]["SequenceNumber"] }));
            }
        }
        Ok(json!({ "batchItemFailures": failures }))
    }
}

fn authorize(event: &Value) -> Result<Value, Error> {
    if event["queryStringParameters"]["token"] != "let-me-in" {
        return Err("Unauthorized".into());
    }
    let allow = json!({ "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": event["methodArn"] });
    Ok(json!({
        "principalId": "ann",
        "policyDocument": { "Version": "2012-10-17", "Statement": [allow] },
        "context": { "user": "ann" },
    }))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let sdk = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let app = App { dynamodb: DynamoDb::new(&sdk), sdk };
    let role = std::env::var("_HANDLER")?;
    let (app, role) = (&app, role.as_str());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| match role {
        "authorize" => authorize(&event.payload),
        "kept" => app.kept(event.payload).await,
        _ => app.messages(event.payload).await,
    }))
    .await
}
