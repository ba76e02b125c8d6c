//! In: a function's policies and its role's. Out: their statements.
//!
//! Sources: IAM user guide, "JSON policy element reference"; SAM developer guide, "AWS SAM policy templates".

use super::fields::Fields;
use super::problem::Log;
use super::scope::Scope;
use super::tree::{Entry, Kind, Node};
use crate::plan::{Effect, Statement};

const STATEMENT: [&str; 8] = [
    "Action",
    "Condition",
    "Effect",
    "NotAction",
    "NotResource",
    "Principal",
    "Resource",
    "Sid",
];

/// SAM's policy templates that functions behind a WebSocket API use: actions, and resources with the
/// parameter in braces.
const TEMPLATES: [(&str, &str, &[&str], &[&str]); 14] = [
    (
        "DynamoDBCrudPolicy",
        "TableName",
        &[
            "dynamodb:GetItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
            "dynamodb:BatchWriteItem",
            "dynamodb:BatchGetItem",
            "dynamodb:DescribeTable",
            "dynamodb:ConditionCheckItem",
        ],
        &["dynamodb:table/{}", "dynamodb:table/{}/index/*"],
    ),
    (
        "DynamoDBReadPolicy",
        "TableName",
        &[
            "dynamodb:GetItem",
            "dynamodb:Scan",
            "dynamodb:Query",
            "dynamodb:BatchGetItem",
            "dynamodb:DescribeTable",
        ],
        &["dynamodb:table/{}", "dynamodb:table/{}/index/*"],
    ),
    (
        "DynamoDBWritePolicy",
        "TableName",
        &[
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:BatchWriteItem",
        ],
        &["dynamodb:table/{}", "dynamodb:table/{}/index/*"],
    ),
    (
        "DynamoDBReconfigurePolicy",
        "TableName",
        &["dynamodb:UpdateTable"],
        &["dynamodb:table/{}"],
    ),
    (
        "DynamoDBStreamReadPolicy",
        "TableName",
        &[
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        ],
        &["dynamodb:table/{}/stream/*"],
    ),
    (
        "LambdaInvokePolicy",
        "FunctionName",
        &["lambda:InvokeFunction"],
        &["lambda:function:{}*"],
    ),
    (
        "SQSSendMessagePolicy",
        "QueueName",
        &["sqs:SendMessage*"],
        &["sqs:{}"],
    ),
    (
        "SQSPollerPolicy",
        "QueueName",
        &[
            "sqs:ChangeMessageVisibility",
            "sqs:ChangeMessageVisibilityBatch",
            "sqs:DeleteMessage",
            "sqs:DeleteMessageBatch",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        ],
        &["sqs:{}"],
    ),
    (
        "SNSPublishMessagePolicy",
        "TopicName",
        &["sns:Publish"],
        &["sns:{}"],
    ),
    (
        "EventBridgePutEventsPolicy",
        "EventBusName",
        &["events:PutEvents"],
        &["events:event-bus/{}"],
    ),
    (
        "S3ReadPolicy",
        "BucketName",
        &[
            "s3:GetObject",
            "s3:ListBucket",
            "s3:GetBucketLocation",
            "s3:GetObjectVersion",
            "s3:GetLifecycleConfiguration",
        ],
        &["s3:::{}", "s3:::{}/*"],
    ),
    (
        "S3WritePolicy",
        "BucketName",
        &[
            "s3:PutObject",
            "s3:PutObjectAcl",
            "s3:PutLifecycleConfiguration",
        ],
        &["s3:::{}", "s3:::{}/*"],
    ),
    (
        "S3CrudPolicy",
        "BucketName",
        &[
            "s3:GetObject",
            "s3:ListBucket",
            "s3:GetBucketLocation",
            "s3:GetObjectVersion",
            "s3:PutObject",
            "s3:PutObjectAcl",
            "s3:GetLifecycleConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:DeleteObject",
        ],
        &["s3:::{}", "s3:::{}/*"],
    ),
    (
        "CloudWatchPutMetricPolicy",
        "",
        &["cloudwatch:PutMetricData"],
        &["*"],
    ),
];

/// AWS's own policies that say something of what runs here.
const MANAGED: [(&str, &[&str], &str); 4] = [
    ("AdministratorAccess", &["*"], "*"),
    ("PowerUserAccess", &["*"], "*"),
    (
        "AmazonAPIGatewayInvokeFullAccess",
        &["execute-api:Invoke", "execute-api:ManageConnections"],
        "arn:aws:execute-api:*:*:*",
    ),
    ("AmazonDynamoDBFullAccess", &["dynamodb:*"], "*"),
];
/// AWS's own policies that only let a function write logs, or be invoked.
const HARMLESS: &str = "AWSLambda";

/// What a function may do: its `Policies`, or its `Role`'s policies where the template has the role.
pub(super) fn of_function(scope: &mut Scope<'_>, fields: &Fields<'_>, id: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    if let Some(role) = fields.text("Role", &mut scope.log) {
        of_role(scope, &role, &mut statements);
    }
    if let Some(policies) = fields.get("Policies") {
        policy_list(scope, policies, &mut statements);
    }
    // SAM's own role has SAM's own name, to which other resources may attach policies.
    if fields.get("Role").is_none() {
        attached(scope, &format!("{id}Role"), &mut statements);
    }
    statements
}

fn policy_list(scope: &mut Scope<'_>, policies: &Node, statements: &mut Vec<Statement>) {
    let policies = match &policies.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(policies),
    };
    for policy in policies {
        match (policy.as_text(), policy.entries()) {
            (Some(name), _) => managed(scope, name, policy, statements),
            (None, entries) if policy.get("Statement").is_some() && !entries.is_empty() => {
                document(policy, &mut scope.log, statements);
            }
            (None, [Entry { key, at, value }]) => {
                if !template(scope, key, value, statements) {
                    let text = format!("policy template `{key}` is not read, skipped");
                    scope.log.note(*at, text);
                }
            }
            (None, _) if matches!(policy.kind, Kind::Broken) => {}
            (None, _) => {
                let text = "a policy is a name, a document with `Statement`, or a SAM template";
                scope.log.problem(policy.at, text);
            }
        }
    }
}

/// A policy of AWS by name or ARN, or one of the template by ARN.
fn managed(scope: &mut Scope<'_>, name: &str, node: &Node, statements: &mut Vec<Statement>) {
    let name = name.rsplit('/').next().unwrap_or(name);
    if let Some((_, actions, resource)) = MANAGED.iter().find(|(known, ..)| *known == name) {
        statements.push(Statement {
            effect: Effect::Allow,
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
            resources: vec![(*resource).to_owned()],
        });
        return;
    }
    for resource in super::raw::of_kind(scope, "AWS::IAM::ManagedPolicy") {
        if scope.physical(resource, node.at).as_deref() == Some(name) {
            let properties = scope.properties(resource);
            if let Some(policy) = properties.get("PolicyDocument") {
                document(policy, &mut scope.log, statements);
            }
            return;
        }
    }
    if !name.starts_with(HARMLESS) {
        let text = format!("what the policy `{name}` allows is not known here, skipped");
        scope.log.note(node.at, text);
    }
}

/// A SAM policy template; whether it is known.
fn template(
    scope: &mut Scope<'_>,
    name: &str,
    value: &Node,
    statements: &mut Vec<Statement>,
) -> bool {
    let Some((_, parameter, actions, resources)) = TEMPLATES.iter().find(|t| t.0 == name) else {
        return false;
    };
    let mut given = String::new();
    if !parameter.is_empty() {
        let fields = Fields::of(value, format!("`{name}`"), &[], &mut scope.log);
        match fields.required(parameter, &mut scope.log) {
            Some(text) => given = text,
            None => return true,
        }
    }
    let arn = |resource: &&str| match resource.split_once(':') {
        Some(("s3", _)) => {
            let resource = resource.replace("{}", &given);
            format!("arn:{}:{resource}", scope.partition())
        }
        Some((service, rest)) => scope.arn(service, &rest.replace("{}", &given)),
        None => (*resource).to_owned(),
    };
    statements.push(Statement {
        effect: Effect::Allow,
        actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        resources: resources.iter().map(arn).collect(),
    });
    true
}

/// The policies of a role of the template; another role's are not known.
fn of_role(scope: &mut Scope<'_>, arn: &str, statements: &mut Vec<Statement>) {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    for resource in super::raw::of_kind(scope, "AWS::IAM::Role") {
        if scope.physical(resource, resource.at).as_deref() != Some(name) {
            continue;
        }
        let properties = scope.properties(resource);
        let fields = Fields::of(&properties, resource.what(), &[], &mut scope.log);
        for policy in fields.list("Policies", &mut scope.log) {
            if let Some(policy) = policy.get("PolicyDocument") {
                document(policy, &mut scope.log, statements);
            }
        }
        if let Some(policies) = fields.get("ManagedPolicyArns") {
            policy_list(scope, policies, statements);
        }
    }
    attached(scope, name, statements);
}

/// Policies that name a role themselves.
fn attached(scope: &mut Scope<'_>, role: &str, statements: &mut Vec<Statement>) {
    for kind in [
        "AWS::IAM::Policy",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::RolePolicy",
    ] {
        for resource in super::raw::of_kind(scope, kind) {
            let properties = scope.properties(resource);
            let fields = Fields::of(&properties, resource.what(), &[], &mut scope.log);
            let roles = fields.texts("Roles", &mut scope.log);
            let one = fields.text("RoleName", &mut scope.log);
            if roles.iter().chain(&one).any(|name| name == role)
                && let Some(policy) = fields.get("PolicyDocument")
            {
                document(policy, &mut scope.log, statements);
            }
        }
    }
}

/// The statements of a policy document.
pub(super) fn document(policy: &Node, log: &mut Log, statements: &mut Vec<Statement>) {
    let Some(node) = policy.get("Statement") else {
        return;
    };
    let items = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for item in items {
        statements.extend(statement(item, log));
    }
}

fn statement(node: &Node, log: &mut Log) -> Option<Statement> {
    let fields = Fields::of(node, "a policy's statement", &STATEMENT, log);
    fields.required("Effect", log)?;
    let effect = match &*fields.one_of("Effect", &["Allow", "Deny"], log)? {
        "Allow" => Effect::Allow,
        _ => Effect::Deny,
    };
    for name in ["NotAction", "NotResource"] {
        if fields.get(name).is_some() {
            let text = format!("`{name}` is not read: the statement is skipped");
            log.note(fields.at_of(name), text);
            return None;
        }
    }
    if fields.get("Condition").is_some() {
        let text = "a statement's `Condition` is not checked here: it counts as met";
        log.note(fields.at_of("Condition"), text);
    }
    for name in ["Action", "Resource"] {
        if fields.get(name).is_none() {
            log.problem(fields.at(), format!("a policy's statement needs `{name}`"));
        }
    }
    Some(Statement {
        effect,
        actions: fields.texts("Action", log),
        resources: fields.texts("Resource", log),
    })
}
