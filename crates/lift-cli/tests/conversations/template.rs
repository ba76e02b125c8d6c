//! In: the APIs that conversations need. Out: a SAM template with them, the puppet and its relay.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use http::Uri;
use serde_json::{Map, Value, json};

use crate::shape::{Authorizer, Function, Integration, Route, Shape};

/// The relay's name in the template.
pub(crate) const RELAY: &str = "Relay";
const PUPPET: &str = include_str!("puppet/puppet.py");

/// Writes the template, and the puppet beside it, which asks at the relay that is named, or at one of
/// the same template.
pub(crate) fn write(
    directory: &Path,
    apis: &BTreeMap<String, &Shape>,
    relay: Option<&Uri>,
) -> io::Result<()> {
    let puppet = directory.join("puppet");
    fs::create_dir_all(&puppet)?;
    fs::write(puppet.join("puppet.py"), PUPPET)?;
    let template = serde_json::to_string_pretty(&template(apis, relay))?;
    fs::write(directory.join("template.json"), template + "\n")
}

fn template(apis: &BTreeMap<String, &Shape>, relay: Option<&Uri>) -> Value {
    let mut made = Made::default();
    for function in [Function::Puppet, Function::Throttled] {
        made.function(function, relay);
    }
    if relay.is_none() {
        made.relay();
    }
    for (name, shape) in apis {
        made.api(name, shape);
    }
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": made.resources,
        "Outputs": made.outputs,
    })
}

#[derive(Default)]
struct Made {
    resources: Map<String, Value>,
    outputs: Map<String, Value>,
}

impl Made {
    fn add(&mut self, name: &str, kind: &str, properties: &Value) {
        let resource = json!({ "Type": kind, "Properties": properties });
        self.resources.insert(name.to_owned(), resource);
    }

    fn v2(&mut self, name: &str, kind: &str, api: &str, mut properties: Value) {
        properties["ApiId"] = json!({ "Ref": api });
        self.add(name, &format!("AWS::ApiGatewayV2::{kind}"), &properties);
    }

    fn function(&mut self, function: Function, relay: Option<&Uri>) {
        let url = match relay {
            None => json!({
                "Fn::Sub": "https://${Relay}.execute-api.${AWS::Region}.${AWS::URLSuffix}/relay"
            }),
            Some(url) => json!(url.to_string()),
        };
        let all = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:*/*";
        let posts = json!({
            "Effect": "Allow",
            "Action": "execute-api:ManageConnections",
            "Resource": { "Fn::Sub": all },
        });
        let mut properties = json!({
            "Runtime": "python3.12",
            "Handler": "puppet.handler",
            "CodeUri": "puppet",
            "Timeout": 60,
            "MemorySize": 256,
            "Environment": { "Variables": { "RELAY": url } },
            "Policies": [{ "Version": "2012-10-17", "Statement": [posts] }],
        });
        if function == Function::Throttled {
            properties["ReservedConcurrentExecutions"] = json!(0);
        }
        let name = name(function);
        self.add(name, "AWS::Serverless::Function", &properties);
        let any = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:*";
        let permission = json!({
            "Action": "lambda:InvokeFunction",
            "FunctionName": { "Ref": name },
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": { "Fn::Sub": any },
        });
        let of = format!("{name}Permission");
        self.add(&of, "AWS::Lambda::Permission", &permission);
    }

    /// An API whose only route nobody selects: its connections are there to be posted to.
    fn relay(&mut self) {
        let shape = Shape {
            stage: "relay".to_owned(),
            variables: Vec::new(),
            select: "$request.body.action".to_owned(),
            routes: vec![Route::silent("unused")],
            authorizer: None,
        };
        self.api(RELAY, &shape);
    }

    fn api(&mut self, api: &str, shape: &Shape) {
        let properties = json!({
            "Name": { "Fn::Sub": format!("${{AWS::StackName}}-{api}") },
            "ProtocolType": "WEBSOCKET",
            "RouteSelectionExpression": shape.select,
        });
        self.add(api, "AWS::ApiGatewayV2::Api", &properties);
        let output = json!({ "Value": { "Fn::GetAtt": [api, "ApiEndpoint"] } });
        self.outputs.insert(api.to_owned(), output);
        if let Some(authorizer) = &shape.authorizer {
            self.authorizer(api, authorizer);
        }
        let mut integrations = BTreeMap::new();
        let mut rates = Map::new();
        for (index, route) in shape.routes.iter().enumerate() {
            let target = (&route.integration, route.timeout);
            let made = integrations.len();
            let integration = integrations
                .entry(target)
                .or_insert_with(|| format!("{api}Integration{made}"))
                .clone();
            if !self.resources.contains_key(&integration) {
                self.integration(&integration, api, route);
            }
            let name = format!("{api}Route{index}");
            self.route(&name, api, &integration, (shape, route));
            if let Some((per_second, burst)) = route.rate {
                let rate = json!({
                    "ThrottlingRateLimit": per_second,
                    "ThrottlingBurstLimit": burst,
                });
                rates.insert(route.key.clone(), rate);
            }
        }
        let mut properties = json!({ "StageName": shape.stage, "AutoDeploy": true });
        if !shape.variables.is_empty() {
            properties["StageVariables"] = shape.variables.iter().cloned().collect();
        }
        if !rates.is_empty() {
            properties["RouteSettings"] = rates.into();
        }
        let of = json!({ "Ref": api });
        let resources = self.resources.iter();
        let mine = resources.filter(|(_, resource)| resource["Properties"]["ApiId"] == of);
        // What a stage is deployed with must be there before it.
        let depends: Vec<_> = mine.map(|(name, _)| name.clone()).collect();
        let stage = format!("{api}Stage");
        self.v2(&stage, "Stage", api, properties);
        if let Some(stage) = self.resources.get_mut(&stage) {
            stage["DependsOn"] = json!(depends);
        }
    }

    fn authorizer(&mut self, api: &str, authorizer: &Authorizer) {
        let mut properties = json!({
            "Name": "puppet",
            "AuthorizerType": "REQUEST",
            "AuthorizerUri": uri(authorizer.function),
        });
        if !authorizer.sources.is_empty() {
            properties["IdentitySource"] = json!(authorizer.sources);
        }
        self.v2(&format!("{api}Authorizer"), "Authorizer", api, properties);
    }

    fn integration(&mut self, name: &str, api: &str, route: &Route) {
        let mut properties = match &route.integration {
            Integration::Function(function) => json!({
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": uri(*function),
            }),
            Integration::Mock(_) => json!({
                "IntegrationType": "MOCK",
                "RequestTemplates": { "200": r#"{"statusCode":200}"# },
                "TemplateSelectionExpression": "200",
            }),
        };
        if let Some(timeout) = route.timeout {
            let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            properties["TimeoutInMillis"] = json!(ms);
        }
        self.v2(name, "Integration", api, properties);
        if let Integration::Mock(text) = &route.integration {
            let mut properties = json!({
                "IntegrationId": { "Ref": name },
                "IntegrationResponseKey": "/200/",
            });
            if !text.is_empty() {
                properties["TemplateSelectionExpression"] = json!("200");
                properties["ResponseTemplates"] = json!({ "200": text });
            }
            let response = format!("{name}Response");
            self.v2(&response, "IntegrationResponse", api, properties);
        }
    }

    fn route(&mut self, name: &str, api: &str, integration: &str, of: (&Shape, &Route)) {
        let (shape, route) = of;
        let mut properties = json!({
            "RouteKey": route.key,
            "Target": { "Fn::Join": ["/", ["integrations", { "Ref": integration }]] },
        });
        if shape.authorizer.is_some() && route.key == "$connect" {
            properties["AuthorizationType"] = json!("CUSTOM");
            properties["AuthorizerId"] = json!({ "Ref": format!("{api}Authorizer") });
        }
        if route.is_two_way {
            properties["RouteResponseSelectionExpression"] = json!("$default");
            let response = json!({ "RouteId": { "Ref": name }, "RouteResponseKey": "$default" });
            self.v2(&format!("{name}Response"), "RouteResponse", api, response);
        }
        self.v2(name, "Route", api, properties);
    }
}

fn name(function: Function) -> &'static str {
    match function {
        Function::Puppet => "Puppet",
        Function::Throttled => "Throttled",
    }
}

fn uri(function: Function) -> Value {
    let name = name(function);
    json!({ "Fn::Sub": format!(
        "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{name}.Arn}}/invocations"
    ) })
}
