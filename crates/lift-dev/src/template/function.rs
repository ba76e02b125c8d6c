//! In: `AWS::Serverless::Function` and `AWS::Lambda::Function` resources. Out: the plan's functions.
//!
//! Source: SAM developer guide and CloudFormation template reference, of these types; Lambda developer
//! guide, "Configure Lambda functions".

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::code;
use super::fields::Fields;
use super::mapping;
use super::policy;
use super::problem::Log;
use super::raw::of_kind;
use super::scope::{Resource, Scope};
use super::spelling;
use super::tree::{Kind, Node};
use crate::plan::{Asynchronous, Function, Logging};

pub(super) const SAM_FUNCTION: &str = "AWS::Serverless::Function";
pub(super) const FUNCTION: &str = "AWS::Lambda::Function";

const BOTH: [&str; 24] = [
    "Architectures",
    "CapacityProviderConfig",
    "CodeSigningConfigArn",
    "DeadLetterConfig",
    "Description",
    "DurableConfig",
    "Environment",
    "EphemeralStorage",
    "FileSystemConfigs",
    "FunctionName",
    "FunctionScalingConfig",
    "Handler",
    "ImageConfig",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "RecursiveLoop",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "RuntimeManagementConfig",
    "Timeout",
];
const SAM_ONLY: [&str; 24] = [
    "AssumeRolePolicyDocument",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "AutoPublishCodeSha256",
    "CodeUri",
    "DeadLetterQueue",
    "DeploymentPreference",
    "EventInvokeConfig",
    "Events",
    "FunctionUrlConfig",
    "ImageUri",
    "InlineCode",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "ProvisionedConcurrencyConfig",
    "PublishToLatestPublished",
    "RolePath",
    "SnapStart",
    "SourceKMSKeyArn",
    "Tags",
    "Tracing",
    "VersionDeletionPolicy",
    "VersionDescription",
];
const LAMBDA_ONLY: [&str; 6] = [
    "Code",
    "SnapStart",
    "Tags",
    "TenancyConfig",
    "TracingConfig",
    "PublishToLatestPublished",
];
/// What a function reaches on AWS and not here.
const NOT_HERE: [&str; 2] = ["Layers", "FileSystemConfigs"];

/// The functions in the template's order.
pub(super) fn all(scope: &mut Scope<'_>, directory: &Path) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    for resource in scope.resources.clone() {
        if resource.kind != SAM_FUNCTION && resource.kind != FUNCTION {
            continue;
        }
        let Some(function) = function(scope, resource, directory) else {
            continue;
        };
        if functions.iter().any(|other| other.name == function.name) {
            let text = format!("a second function is named `{}`", function.name);
            scope.log.problem(resource.at, text);
        }
        functions.push(function);
    }
    invoke_configs(scope, &mut functions);
    qualifiers(scope, &mut functions);
    functions
}

fn function<'a>(
    scope: &mut Scope<'a>,
    resource: Resource<'a>,
    directory: &Path,
) -> Option<Function> {
    let is_sam = resource.kind == SAM_FUNCTION;
    let own: &[&str] = if is_sam { &SAM_ONLY } else { &LAMBDA_ONLY };
    let known: Vec<_> = own.iter().chain(&BOTH).copied().collect();
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &known, &mut scope.log);
    for name in NOT_HERE {
        if fields.get(name).is_some() {
            let text = format!("{}: `{name}` are not here", fields.what());
            scope.log.note(fields.at_of(name), text);
        }
    }
    let name = scope.physical(resource, resource.at)?;
    spelling::function_name(&name, fields.at_of("FunctionName"), &mut scope.log);
    let statements = policy::of_function(scope, &fields, resource.id);
    // A function whose code is a problem is read to its end, so that all its problems are told.
    let code = code::of(scope, resource, &fields, directory);
    let log = &mut scope.log;
    let invoke_config = fields.fields("EventInvokeConfig", &INVOKE_CONFIG, log);
    let mut asynchronous = match invoke_config {
        Some(config) => asynchronous(&config, log),
        None => Asynchronous::default(),
    };
    let dead = [
        ("DeadLetterQueue", "TargetArn"),
        ("DeadLetterConfig", "TargetArn"),
    ];
    for (property, target) in dead {
        if let Some(dead) = fields.fields(property, &["TargetArn", "Type"], log)
            && asynchronous.on_failure.is_none()
        {
            asynchronous.on_failure = mapping::destination(&dead, target, log);
        }
    }
    let code = code.unwrap_or_default();
    Some(Function {
        logical_id: resource.id.to_owned(),
        name,
        qualifiers: match fields.text("AutoPublishAlias", log) {
            Some(alias) => vec!["1".to_owned(), alias],
            None => Vec::new(),
        },
        runtime: code.runtime,
        handler: code.handler,
        code: code.path,
        command: code.command,
        build: code.build,
        inline: code.inline,
        watch: code.watch,
        memory_mb: fields
            .number("MemorySize", 128..=10_240, log)
            .unwrap_or(128),
        timeout: timeout(&fields, "Timeout", log),
        environment: environment(&fields, log),
        logging: logging(&fields, log),
        concurrency_max: fields.number("ReservedConcurrentExecutions", 0..=u32::MAX, log),
        asynchronous,
        statements,
    })
}

/// A function's time, in seconds from 1 to 900; 3 without.
pub(super) fn timeout(fields: &Fields<'_>, name: &str, log: &mut Log) -> Duration {
    let seconds = fields.number(name, 1..=900, log).unwrap_or(3);
    Duration::from_secs(u64::from(seconds))
}

fn environment(fields: &Fields<'_>, log: &mut Log) -> BTreeMap<String, String> {
    let Some(environment) = fields.fields("Environment", &["Variables"], log) else {
        return BTreeMap::new();
    };
    let variables = environment.text_map("Variables", log);
    let entries = environment.get("Variables").map(Node::entries);
    spelling::variables(entries.unwrap_or_default(), log);
    for (name, value) in &variables {
        if value.contains("{{resolve:") {
            let text = format!("`{name}` is what an account resolves: it stays `{value}`");
            log.note(environment.at_of("Variables"), text);
        }
    }
    variables.into_iter().collect()
}

const LOGGING: [&str; 4] = [
    "ApplicationLogLevel",
    "LogFormat",
    "LogGroup",
    "SystemLogLevel",
];

/// Source: Lambda developer guide, "Configuring advanced logging controls".
fn logging(fields: &Fields<'_>, log: &mut Log) -> Logging {
    let Some(config) = fields.fields("LoggingConfig", &LOGGING, log) else {
        return Logging::Text;
    };
    let format = config.one_of("LogFormat", &["Text", "JSON"], log);
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let level = config.one_of("ApplicationLogLevel", &levels, log);
    match (format.as_deref(), level) {
        (Some("JSON"), level) => Logging::Json(level.unwrap_or_else(|| "INFO".to_owned())),
        (Some(_) | None, None) => Logging::Text,
        (Some(_) | None, Some(_)) => {
            let text = "`ApplicationLogLevel` needs `LogFormat: JSON`";
            log.problem(config.at_of("ApplicationLogLevel"), text);
            Logging::Text
        }
    }
}

const INVOKE_CONFIG: [&str; 5] = [
    "DestinationConfig",
    "FunctionName",
    "MaximumEventAgeInSeconds",
    "MaximumRetryAttempts",
    "Qualifier",
];

fn asynchronous(config: &Fields<'_>, log: &mut Log) -> Asynchronous {
    let default = Asynchronous::default();
    let age = config.number("MaximumEventAgeInSeconds", 60..=21_600, log);
    let retries = config.number("MaximumRetryAttempts", 0..=2, log);
    Asynchronous {
        retries_max: retries.unwrap_or(default.retries_max),
        age_max: age.map_or(default.age_max, |s| Duration::from_secs(u64::from(s))),
        on_failure: mapping::on_failure(config, log),
    }
}

fn invoke_configs(scope: &mut Scope<'_>, functions: &mut [Function]) {
    for resource in of_kind(scope, "AWS::Lambda::EventInvokeConfig") {
        let properties = scope.properties(resource);
        let fields = Fields::of(&properties, resource.what(), &INVOKE_CONFIG, &mut scope.log);
        fields.required("FunctionName", &mut scope.log);
        let Some(name) = fields
            .get("FunctionName")
            .and_then(|node| scope.function(node))
        else {
            continue;
        };
        let asynchronous = asynchronous(&fields, &mut scope.log);
        let mut functions = functions.iter_mut();
        if let Some(function) = functions.find(|function| function.name == name) {
            function.asynchronous = asynchronous;
        }
    }
}

/// Aliases and versions that are resources of their own.
fn qualifiers(scope: &mut Scope<'_>, functions: &mut [Function]) {
    for kind in ["AWS::Lambda::Version", "AWS::Lambda::Alias"] {
        for resource in of_kind(scope, kind) {
            let properties = scope.properties(resource);
            let named = properties.get("FunctionName");
            let Some(name) = named.and_then(|node| scope.function(node)) else {
                continue;
            };
            let alias = properties.get("Name").and_then(Node::as_text);
            let mut functions = functions.iter_mut();
            if let Some(function) = functions.find(|function| function.name == name) {
                let qualifier = alias.unwrap_or("1");
                function.qualifiers.push(qualifier.to_owned());
            }
        }
    }
}

impl<'a> Scope<'a> {
    /// A resource's properties with everything in them resolved.
    pub(super) fn properties(&mut self, resource: Resource<'a>) -> Node {
        let empty = || Node::new(resource.at, Kind::Map(Vec::new()));
        match resource.node.get("Properties") {
            Some(node) => self.evaluate(node).map_or_else(empty, |value| Node {
                // A sentence about the whole points at the resource's name.
                at: resource.at,
                ..value
            }),
            None => empty(),
        }
    }

    /// The name of the template's function that a name, an ARN or an integration's URI is of.
    pub(super) fn function(&mut self, node: &Node) -> Option<String> {
        let Some(text) = node.as_text() else {
            if !matches!(node.kind, Kind::Broken) {
                let found = node.describe();
                self.log
                    .problem(node.at, format!("a function's ARN is text, not {found}"));
            }
            return None;
        };
        let after = text
            .rsplit_once(":function:")
            .map_or(text, |(_, after)| after);
        let after = after.strip_suffix("/invocations").unwrap_or(after);
        let name = after.split(':').next().unwrap_or(after);
        let mut names = Vec::new();
        for resource in self.resources.clone() {
            if resource.kind == SAM_FUNCTION || resource.kind == FUNCTION {
                names.extend(self.physical(resource, resource.at));
            }
        }
        if !names.iter().any(|other| other == name) {
            let text = format!("`{name}` is no function of this template");
            self.log
                .misspelt(node.at, text, name, names.iter().map(String::as_str));
            return None;
        }
        Some(name.to_owned())
    }
}
