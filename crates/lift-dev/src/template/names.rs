//! In: a resource's name, and an attribute's. Out: what `Ref` and `Fn::GetAtt` say of it on this machine.
//!
//! A name that only a deployment would make is the logical id; an ARN is made of it, the region and the
//! account. Source: CloudFormation's template reference, "Return values" of each type.

use sha2::{Digest as _, Sha256};

use super::problem::Mark;
use super::scope::{Resource, Scope};
use super::tree::{Kind, Node};

const PSEUDO: [&str; 8] = [
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
];

/// The stack that ARNs and names are of.
const STACK: &str = "lift-dev";

/// An API's id: ten lower-case letters and digits, always the same for a logical id.
///
/// The first is a letter, as API Gateway's are in practice, so that it is a valid host name's label.
pub(super) fn api_id(logical_id: &str) -> String {
    let digest = Sha256::digest(logical_id.as_bytes());
    let letters = "abcdefghijklmnopqrstuvwxyz0123456789".as_bytes();
    let character = |(n, byte): (usize, &u8)| {
        let of = if n == 0 { 26 } else { letters.len() };
        let letter = letters.get(usize::from(*byte) % of);
        char::from(letter.copied().unwrap_or(b'a'))
    };
    digest.iter().take(10).enumerate().map(character).collect()
}

/// Attributes of types whose attributes are all known.
fn attributes(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "AWS::Serverless::Function" | "AWS::Lambda::Function" => &["Arn", "Alias", "Version"],
        "AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable" => &["Arn", "StreamArn", "TableId"],
        "AWS::Serverless::SimpleTable" => &["Arn", "StreamArn"],
        "AWS::Serverless::WebSocketApi" => &["ApiId", "ApiEndpoint", "Stage", "DomainName"],
        "AWS::ApiGatewayV2::Api" => &["ApiId", "ApiEndpoint"],
        "AWS::ApiGatewayV2::Route" => &["RouteId"],
        "AWS::ApiGatewayV2::Integration" => &["IntegrationId"],
        "AWS::ApiGatewayV2::Authorizer" => &["AuthorizerId"],
        "AWS::ApiGatewayV2::Deployment" => &["DeploymentId"],
        "AWS::SQS::Queue" => &["Arn", "QueueName", "QueueUrl"],
        "AWS::SNS::Topic" => &["TopicArn", "TopicName"],
        "AWS::IAM::Role" => &["Arn", "RoleId"],
        "AWS::Logs::LogGroup" => &["Arn"],
        _ => return None,
    })
}

impl<'a> Scope<'a> {
    /// The partition of the region: `aws`, but in China and GovCloud.
    pub(super) fn partition(&self) -> &'static str {
        match self.settings.region.split_once('-') {
            Some(("cn", _)) => "aws-cn",
            Some(("us", rest)) if rest.starts_with("gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    pub(super) fn url_suffix(&self) -> &'static str {
        match self.partition() {
            "aws-cn" => "amazonaws.com.cn",
            _ => "amazonaws.com",
        }
    }

    pub(super) fn arn(&self, part: &str, rest: &str) -> String {
        let (region, account) = (&self.settings.region, &self.settings.account);
        let partition = self.partition();
        format!("arn:{partition}:{part}:{region}:{account}:{rest}")
    }

    /// What `Ref` says.
    pub(super) fn reference(&mut self, name: &str, at: Mark) -> Option<Node> {
        let text = match name {
            "AWS::NoValue" => return None,
            "AWS::AccountId" => self.settings.account.clone(),
            "AWS::Region" => self.settings.region.clone(),
            "AWS::Partition" => self.partition().to_owned(),
            "AWS::URLSuffix" => self.url_suffix().to_owned(),
            "AWS::StackName" => STACK.to_owned(),
            "AWS::StackId" => self.arn("cloudformation", &format!("stack/{STACK}/0")),
            "AWS::NotificationARNs" => return Some(Node::new(at, Kind::List(Vec::new()))),
            _ => {
                if let Some(value) = self.parameters.get(name) {
                    return Some(Node::new(at, value.kind.clone()));
                }
                match self.resource(name) {
                    Some(resource) => return Some(self.reference_of(resource, at)),
                    None => return Some(self.generated(name, at)),
                }
            }
        };
        Some(Node::text(at, text))
    }

    fn reference_of(&mut self, resource: Resource<'a>, at: Mark) -> Node {
        let Some(name) = self.physical(resource, at) else {
            return Node::new(at, Kind::Broken);
        };
        let account = &self.settings.account;
        let text = match resource.kind {
            "AWS::SQS::Queue" => {
                let (region, suffix) = (&self.settings.region, self.url_suffix());
                format!("https://sqs.{region}.{suffix}/{account}/{name}")
            }
            "AWS::SNS::Topic" => self.arn("sns", &name),
            "AWS::SecretsManager::Secret" => self.arn("secretsmanager", &format!("secret:{name}")),
            "AWS::IAM::ManagedPolicy" => {
                let partition = self.partition();
                format!("arn:{partition}:iam::{account}:policy/{name}")
            }
            "AWS::Lambda::Alias" | "AWS::Lambda::Version" => match self.qualified(resource, at) {
                Some(arn) => arn,
                None => return Node::new(at, Kind::Broken),
            },
            _ => name,
        };
        Node::text(at, text)
    }

    /// The name that a resource has: what its name property says, else the logical id.
    pub(super) fn physical(&mut self, resource: Resource<'a>, at: Mark) -> Option<String> {
        let id = resource.id;
        if let Some(name) = self.names.get(id) {
            return name.clone();
        }
        let property = match resource.kind {
            "AWS::Serverless::WebSocketApi" | "AWS::ApiGatewayV2::Api" => return Some(api_id(id)),
            "AWS::Serverless::Function" | "AWS::Lambda::Function" => "FunctionName",
            "AWS::DynamoDB::Table"
            | "AWS::DynamoDB::GlobalTable"
            | "AWS::Serverless::SimpleTable" => "TableName",
            "AWS::ApiGatewayV2::Stage" => "StageName",
            "AWS::SQS::Queue" => "QueueName",
            "AWS::SNS::Topic" => "TopicName",
            "AWS::S3::Bucket" => "BucketName",
            "AWS::IAM::Role" => "RoleName",
            "AWS::IAM::ManagedPolicy" => "ManagedPolicyName",
            "AWS::Logs::LogGroup" => "LogGroupName",
            "AWS::Lambda::Alias"
            | "AWS::Events::Rule"
            | "AWS::Events::EventBus"
            | "AWS::Scheduler::Schedule"
            | "AWS::SSM::Parameter"
            | "AWS::SecretsManager::Secret" => "Name",
            _ => return Some(id.to_owned()),
        };
        let written = resource.node.get("Properties");
        let name = match written.and_then(|properties| properties.get(property)) {
            Some(node) => {
                if !self.enter(&format!("`{id}`"), at) {
                    return None;
                }
                let name = self.evaluate(node);
                self.leave();
                match name {
                    Some(name) => name.as_text().map(str::to_owned),
                    None => Some(id.to_owned()),
                }
            }
            // Buckets have lower-case names.
            None if resource.kind == "AWS::S3::Bucket" => Some(id.to_lowercase()),
            None => Some(id.to_owned()),
        };
        self.names.insert(id.to_owned(), name.clone());
        name
    }

    /// The ARN of an alias or a version.
    fn qualified(&mut self, resource: Resource<'a>, at: Mark) -> Option<String> {
        let properties = resource.node.get("Properties")?;
        let qualifier = match resource.kind {
            "AWS::Lambda::Alias" => self.physical(resource, at)?,
            _ => "1".to_owned(),
        };
        if !self.enter(&format!("`{}`", resource.id), at) {
            return None;
        }
        let function = self.evaluate_text(properties.get("FunctionName")?);
        self.leave();
        let function = function?;
        let name = function.rsplit(':').next().unwrap_or_default();
        Some(self.arn("lambda", &format!("function:{name}:{qualifier}")))
    }

    /// What `Fn::GetAtt` says.
    pub(super) fn attribute(&mut self, id: &str, attribute: &str, at: Mark) -> Node {
        let broken = Node::new(at, Kind::Broken);
        let Some(resource) = self.resource(id) else {
            return self.generated_attribute(id, attribute, at);
        };
        if let Some(known) = attributes(resource.kind)
            && !known.contains(&attribute)
        {
            let what = resource.what();
            let text = format!("{what} has no attribute `{attribute}`");
            self.log
                .misspelt(at, text, attribute, known.iter().copied());
            return broken;
        }
        let Some(name) = self.physical(resource, at) else {
            return broken;
        };
        if attribute == "StreamArn" && !has_stream(&resource) {
            let text = format!("{} has no `StreamSpecification`", resource.what());
            self.log.problem(at, text);
            return broken;
        }
        Node::text(at, self.attribute_text(&resource, &name, attribute))
    }

    fn attribute_text(&self, resource: &Resource<'_>, name: &str, attribute: &str) -> String {
        let (region, account) = (&self.settings.region, &self.settings.account);
        let (partition, suffix) = (self.partition(), self.url_suffix());
        let kind = resource.kind.rsplit("::").next().unwrap_or_default();
        match (kind, attribute) {
            ("Function", "Arn") => self.arn("lambda", &format!("function:{name}")),
            ("Function", "Alias" | "Version") => name.to_owned(),
            ("Table" | "GlobalTable" | "SimpleTable", "Arn") => {
                self.arn("dynamodb", &format!("table/{name}"))
            }
            ("Table" | "GlobalTable" | "SimpleTable", "StreamArn") => {
                let rest = format!("table/{name}/stream/2000-01-01T00:00:00.000");
                self.arn("dynamodb", &rest)
            }
            ("WebSocketApi" | "Api", "ApiEndpoint") => {
                format!("wss://{name}.execute-api.{region}.{suffix}")
            }
            ("Queue", "QueueUrl") => format!("https://sqs.{region}.{suffix}/{account}/{name}"),
            ("Queue", "Arn") => self.arn("sqs", name),
            ("Topic", "TopicArn") => self.arn("sns", name),
            ("Role", "Arn") => format!("arn:{partition}:iam::{account}:role/{name}"),
            ("Bucket", "Arn") => format!("arn:{partition}:s3:::{name}"),
            ("Bucket", "DomainName") => format!("{name}.s3.{suffix}"),
            ("Bucket", "RegionalDomainName") => format!("{name}.s3.{region}.{suffix}"),
            ("LogGroup", "Arn") => self.arn("logs", &format!("log-group:{name}:*")),
            ("Stream", "Arn") => self.arn("kinesis", &format!("stream/{name}")),
            ("Rule", "Arn") => self.arn("events", &format!("rule/{name}")),
            ("EventBus", "Arn") => self.arn("events", &format!("event-bus/{name}")),
            ("Key", "Arn") => self.arn("kms", &format!("key/{name}")),
            (_, "Arn") => {
                let service = resource.kind.split("::").nth(1).unwrap_or_default();
                self.arn(&service.to_lowercase(), name)
            }
            _ => name.to_owned(),
        }
    }

    /// Whether `name` is SAM's `Function.Alias` or `Function.Version`.
    pub(super) fn is_alias(&self, name: &str) -> bool {
        matches!(name.split_once('.'), Some((id, "Alias" | "Version"))
            if self.resource(id).is_some_and(|r| r.kind == "AWS::Serverless::Function"))
    }

    /// What `Ref` says of a resource that SAM generates.
    fn generated(&mut self, name: &str, at: Mark) -> Node {
        if let Some((id, which)) = name.split_once('.')
            && self.is_alias(name)
            && let Some(resource) = self.resource(id)
        {
            return self.published(resource, which, at);
        }
        if self.is_generated(name) {
            return match self.resource_of_stage(name) {
                Some(api) => Node::text(at, self.stage_name(api)),
                None => Node::text(at, name),
            };
        }
        self.unknown(name, at);
        Node::new(at, Kind::Broken)
    }

    fn generated_attribute(&mut self, id: &str, attribute: &str, at: Mark) -> Node {
        if self.is_generated(id) {
            let (partition, account) = (self.partition(), &self.settings.account);
            return match attribute {
                "Arn" => Node::text(at, format!("arn:{partition}:iam::{account}:role/{id}")),
                _ => Node::text(at, id),
            };
        }
        self.unknown(id, at);
        Node::new(at, Kind::Broken)
    }

    fn published(&mut self, resource: Resource<'a>, which: &str, at: Mark) -> Node {
        let properties = resource.node.get("Properties");
        let Some(alias) = properties.and_then(|node| node.get("AutoPublishAlias")) else {
            let text = format!("{} has no `AutoPublishAlias`", resource.what());
            self.log.problem(at, text);
            return Node::new(at, Kind::Broken);
        };
        let alias = match which {
            "Alias" => self.evaluate_text(alias),
            _ => Some("1".to_owned()),
        };
        match (self.physical(resource, at), alias) {
            (Some(name), Some(alias)) => {
                Node::text(at, self.arn("lambda", &format!("function:{name}:{alias}")))
            }
            _ => Node::new(at, Kind::Broken),
        }
    }

    /// A name that is nowhere in the template.
    pub(super) fn unknown(&mut self, name: &str, at: Mark) {
        if self.is_absent(name) {
            let text = format!("`{name}` is left out by its `Condition`");
            self.log.problem(at, text);
            return;
        }
        let existing: Vec<_> = self.resources.iter().map(|resource| resource.id).collect();
        let parameters: Vec<_> = self.parameters.keys().copied().collect();
        let all = existing.into_iter().chain(parameters).chain(PSEUDO);
        let text = format!("no resource or parameter is named `{name}`");
        self.log.misspelt(at, text, name, all);
    }

    /// Whether SAM generates a resource of this name from one of the template.
    pub(super) fn is_generated(&self, name: &str) -> bool {
        self.resources.iter().any(|resource| {
            let Some(rest) = name.strip_prefix(resource.id) else {
                return false;
            };
            let ends = |endings: &[&str]| endings.iter().any(|ending| rest.ends_with(ending));
            match resource.kind {
                "AWS::Serverless::Function" => {
                    let event = resource
                        .node
                        .get("Properties")
                        .and_then(|p| p.get("Events"));
                    let events = event.map(Node::entries).unwrap_or_default();
                    rest == "Role"
                        || rest == "DeploymentGroup"
                        || rest.starts_with("Alias")
                        || rest.starts_with("Version")
                        || events
                            .iter()
                            .any(|event| rest.starts_with(event.key.as_str()))
                }
                "AWS::Serverless::WebSocketApi" => {
                    ends(&["Route", "Integration", "Stage", "Permission", "Authorizer"])
                }
                _ => false,
            }
        })
    }

    fn resource_of_stage(&self, name: &str) -> Option<Resource<'a>> {
        let mut apis = self.resources.iter();
        let api = apis.find(|resource| {
            resource.kind == "AWS::Serverless::WebSocketApi"
                && name.starts_with(resource.id)
                && name.ends_with("Stage")
        });
        api.copied()
    }

    fn stage_name(&mut self, api: Resource<'a>) -> String {
        let properties = api.node.get("Properties");
        let stage = properties.and_then(|node| node.get("StageName"));
        let stage = stage.and_then(|node| self.evaluate_text(node));
        stage.unwrap_or_else(|| "default".to_owned())
    }
}

fn has_stream(resource: &Resource<'_>) -> bool {
    let properties = resource.node.get("Properties");
    let stream = properties.and_then(|node| node.get("StreamSpecification"));
    stream.is_some()
}
