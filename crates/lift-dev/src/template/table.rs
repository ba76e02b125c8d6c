//! In: `AWS::DynamoDB::Table` and `AWS::Serverless::SimpleTable` resources. Out: the bodies of `CreateTable` calls.
//!
//! Source: CloudFormation template reference, "AWS::DynamoDB::Table"; DynamoDB API reference, "CreateTable".

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::json;
use super::scope::{Resource, Scope};
use super::tree::{Kind, Node};
use crate::plan::Table;

const PROPERTIES: [&str; 21] = [
    "AttributeDefinitions",
    "BillingMode",
    "ContributorInsightsSpecification",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "ImportSourceSpecification",
    "KeySchema",
    "KinesisStreamSpecification",
    "LocalSecondaryIndexes",
    "OnDemandThroughput",
    "PointInTimeRecoverySpecification",
    "ProvisionedThroughput",
    "Replicas",
    "ResourcePolicy",
    "SSESpecification",
    "StreamSpecification",
    "TableClass",
    "TableName",
    "Tags",
    "TimeToLiveSpecification",
    "WarmThroughput",
];
const SIMPLE: [&str; 6] = [
    "PointInTimeRecoverySpecification",
    "PrimaryKey",
    "ProvisionedThroughput",
    "SSESpecification",
    "TableName",
    "Tags",
];
/// What `CreateTable` takes of an index.
const INDEX: [&str; 4] = [
    "IndexName",
    "KeySchema",
    "Projection",
    "ProvisionedThroughput",
];
const VIEWS: [&str; 4] = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"];

/// The tables in the template's order.
pub(super) fn all(scope: &mut Scope<'_>) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for resource in scope.resources.clone() {
        let table = match resource.kind {
            "AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable" => table(scope, resource),
            "AWS::Serverless::SimpleTable" => simple(scope, resource),
            _ => None,
        };
        let Some(table) = table else { continue };
        if tables.iter().any(|other| other.name == table.name) {
            let text = format!("a second table is named `{}`", table.name);
            scope.log.problem(resource.at, text);
        }
        tables.push(table);
    }
    tables
}

fn table<'a>(scope: &mut Scope<'a>, resource: Resource<'a>) -> Option<Table> {
    let properties = scope.properties(resource);
    let mut known = PROPERTIES.to_vec();
    if resource.kind == "AWS::DynamoDB::GlobalTable" {
        known.extend([
            "WriteProvisionedThroughputSettings",
            "WriteOnDemandThroughputSettings",
        ]);
    }
    let fields = Fields::of(&properties, resource.what(), &known, &mut scope.log);
    let name = scope.physical(resource, resource.at)?;
    let create = create(scope, &fields, &name);
    let log = &mut scope.log;
    let ttl = fields.fields(
        "TimeToLiveSpecification",
        &["AttributeName", "Enabled"],
        log,
    );
    let ttl = ttl.filter(|ttl| ttl.flag("Enabled", log) == Some(true));
    Some(Table {
        logical_id: resource.id.to_owned(),
        name,
        create,
        ttl_attribute: ttl.and_then(|ttl| ttl.required("AttributeName", &mut scope.log)),
    })
}

/// The body of `CreateTable` from a table's fields.
pub(super) fn create(scope: &mut Scope<'_>, fields: &Fields<'_>, name: &str) -> Value {
    let log = &mut scope.log;
    let mut body = Map::new();
    body.insert("TableName".to_owned(), Value::from(name));
    for name in ["KeySchema", "AttributeDefinitions"] {
        if fields.list(name, log).is_empty()
            && !matches!(
                fields.get(name),
                Some(Node {
                    kind: Kind::Broken,
                    ..
                })
            )
        {
            log.problem(fields.at(), format!("{} needs `{name}`", fields.what()));
        }
        if let Some(node) = fields.get(name) {
            body.insert(name.to_owned(), texts(node));
        }
    }
    for name in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        let items = fields.list(name, log).iter();
        let indexes: Vec<_> = items.map(|item| only(item, &INDEX)).collect();
        if !indexes.is_empty() {
            body.insert(name.to_owned(), Value::from(indexes));
        }
    }
    keys(scope, fields);
    let log = &mut scope.log;
    let modes = ["PROVISIONED", "PAY_PER_REQUEST"];
    let mode = fields.one_of("BillingMode", &modes, log);
    match (mode, fields.get("ProvisionedThroughput")) {
        (Some(mode), None) if mode == "PAY_PER_REQUEST" => {
            body.insert("BillingMode".to_owned(), Value::from(mode));
        }
        (_, Some(throughput)) => {
            body.insert("ProvisionedThroughput".to_owned(), numbers(throughput));
        }
        (_, None) => {
            let what = fields.what();
            let text =
                format!("{what} needs `BillingMode: PAY_PER_REQUEST`, or `ProvisionedThroughput`");
            log.problem(fields.at(), text);
        }
    }
    if let Some(stream) = fields.fields(
        "StreamSpecification",
        &["ResourcePolicy", "StreamViewType"],
        log,
    ) && stream.required("StreamViewType", log).is_some()
        && let Some(view) = stream.one_of("StreamViewType", &VIEWS, log)
    {
        let specification = json!({"StreamEnabled": true, "StreamViewType": view});
        body.insert("StreamSpecification".to_owned(), specification);
    }
    Value::Object(body)
}

/// Every attribute of a key must be defined.
fn keys(scope: &mut Scope<'_>, fields: &Fields<'_>) {
    let attribute = |node: &Node| {
        let name = node.get("AttributeName")?;
        Some((name.as_text()?.to_owned(), name.at))
    };
    let log = &mut scope.log;
    let defined = fields.list("AttributeDefinitions", log).iter();
    let defined: Vec<_> = defined
        .filter_map(attribute)
        .map(|(name, _)| name)
        .collect();
    if defined.is_empty() {
        return;
    }
    let mut used: Vec<_> = fields.list("KeySchema", log).iter().collect();
    for name in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        for index in fields.list(name, log) {
            if let Some(Kind::List(items)) = index.get("KeySchema").map(|node| &node.kind) {
                used.extend(items);
            }
        }
    }
    for (name, at) in used.into_iter().filter_map(attribute) {
        if !defined.contains(&name) {
            let text = format!("`AttributeDefinitions` has no `{name}`");
            log.misspelt(at, text, &name, defined.iter().map(String::as_str));
        }
    }
}

fn simple<'a>(scope: &mut Scope<'a>, resource: Resource<'a>) -> Option<Table> {
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &SIMPLE, &mut scope.log);
    let name = scope.physical(resource, resource.at)?;
    let log = &mut scope.log;
    let key = fields.fields("PrimaryKey", &["Name", "Type"], log);
    let (key, kind) = match key {
        Some(key) => {
            let kind = key.one_of("Type", &["String", "Number", "Binary"], log);
            (key.required("Name", log)?, kind)
        }
        None => ("id".to_owned(), None),
    };
    let kind = match kind.as_deref() {
        Some("Number") => "N",
        Some("Binary") => "B",
        Some(_) | None => "S",
    };
    let mut create = json!({
        "TableName": name,
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind}],
    });
    let throughput = match fields.get("ProvisionedThroughput") {
        Some(node) => ("ProvisionedThroughput", numbers(node)),
        None => ("BillingMode", Value::from("PAY_PER_REQUEST")),
    };
    if let Value::Object(create) = &mut create {
        create.insert(throughput.0.to_owned(), throughput.1);
    }
    Some(Table {
        logical_id: resource.id.to_owned(),
        name,
        create,
        ttl_attribute: None,
    })
}

/// A value whose scalars are all texts: an attribute may be named `1`.
fn texts(node: &Node) -> Value {
    match &node.kind {
        Kind::List(items) => items.iter().map(texts).collect(),
        Kind::Map(entries) => entries
            .iter()
            .map(|e| (e.key.clone(), texts(&e.value)))
            .collect(),
        _ => Value::from(node.as_text().unwrap_or_default()),
    }
}

/// A map whose scalars are all numbers.
fn numbers(node: &Node) -> Value {
    let number = |node: &Node| {
        let text = node.as_text().and_then(|text| text.parse::<u64>().ok());
        text.map_or_else(|| json::value(node), Value::from)
    };
    node.entries()
        .iter()
        .map(|e| (e.key.clone(), number(&e.value)))
        .collect()
}

fn only(node: &Node, names: &[&str]) -> Value {
    let entries = node
        .entries()
        .iter()
        .filter(|e| names.contains(&e.key.as_str()));
    let value = entries.map(|entry| {
        let value = match entry.key.as_str() {
            "ProvisionedThroughput" => numbers(&entry.value),
            _ => texts(&entry.value),
        };
        (entry.key.clone(), value)
    });
    value.collect()
}
