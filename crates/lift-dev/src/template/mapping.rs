//! In: what invokes functions besides the APIs: streams and schedules. Out: the plan's mappings and schedules.
//!
//! Sources: CloudFormation template reference, "AWS::Lambda::EventSourceMapping", "AWS::Events::Rule",
//! "AWS::Scheduler::Schedule"; SAM developer guide, "EventSource".

use std::time::Duration;

use super::fields::Fields;
use super::function::SAM_FUNCTION;
use super::json;
use super::problem::{Log, Mark};
use super::raw::of_kind;
use super::scope::{Resource, Scope};
use super::tree::{Entry, Node};
use crate::plan::{Bisect, Destination, Mapping, PartialFailures, Schedule, Start};

/// Mappings and schedules.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) mappings: Vec<Mapping>,
    pub(super) schedules: Vec<Schedule>,
}

const MAPPING: [&str; 26] = [
    "AmazonManagedKafkaEventSourceConfig",
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "DocumentDBEventSourceConfig",
    "Enabled",
    "EventSourceArn",
    "FilterCriteria",
    "FunctionName",
    "FunctionResponseTypes",
    "KmsKeyArn",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "MetricsConfig",
    "ParallelizationFactor",
    "ProvisionedPollerConfig",
    "Queues",
    "ScalingConfig",
    "SelfManagedEventSource",
    "SourceAccessConfigurations",
    "StartingPosition",
    "Stream",
    "Tags",
    "Topics",
    "TumblingWindowInSeconds",
];
/// Sources that a mapping would poll.
const POLLED: [&str; 7] = [
    "SQS",
    "Kinesis",
    "MSK",
    "MQ",
    "SelfManagedKafka",
    "DocumentDB",
    "SNS",
];

/// All that the template says, in its order.
pub(super) fn all(scope: &mut Scope<'_>) -> Sources {
    let mut sources = Sources::default();
    for resource in scope.resources.clone() {
        match resource.kind {
            SAM_FUNCTION => events(scope, resource, &mut sources),
            "AWS::Lambda::EventSourceMapping" => {
                let properties = scope.properties(resource);
                let fields = Fields::of(&properties, resource.what(), &MAPPING, &mut scope.log);
                fields.required("FunctionName", &mut scope.log);
                let function = fields.get("FunctionName");
                if let Some(function) = function.and_then(|node| scope.function(node)) {
                    let found = mapping(scope, resource.id, &function, &fields, "EventSourceArn");
                    sources.mappings.extend(found);
                }
            }
            _ => {}
        }
    }
    for kind in ["AWS::Events::Rule", "AWS::Scheduler::Schedule"] {
        for resource in of_kind(scope, kind) {
            rule(scope, resource, &mut sources);
        }
    }
    sources
}

fn events<'a>(scope: &mut Scope<'a>, resource: Resource<'a>, sources: &mut Sources) {
    let properties = scope.properties(resource);
    let Some(function) = scope.physical(resource, resource.at) else {
        return;
    };
    let events = properties.get("Events").map(Node::entries);
    for Entry { key, at, value } in events.unwrap_or_default() {
        let what = format!("event `{key}` of `{}`", resource.id);
        let event = Fields::of(value, what.clone(), &["Properties", "Type"], &mut scope.log);
        let Some(kind) = event.required("Type", &mut scope.log) else {
            continue;
        };
        let empty = Node::new(*at, super::tree::Kind::Map(Vec::new()));
        let inner = event.get("Properties").unwrap_or(&empty);
        let id = format!("{}{key}", resource.id);
        match kind.as_str() {
            "DynamoDB" => {
                let fields = Fields::of(inner, what, &MAPPING, &mut scope.log);
                let found = mapping(scope, &id, &function, &fields, "Stream");
                sources.mappings.extend(found);
            }
            "Schedule" | "ScheduleV2" => {
                let fields = Fields::of(inner, what, &[], &mut scope.log);
                let name = if kind == "Schedule" {
                    "Schedule"
                } else {
                    "ScheduleExpression"
                };
                sources
                    .schedules
                    .extend(schedule(scope, &id, &function, &fields, name));
            }
            kind if POLLED.contains(&kind) => {
                let text = format!("{what}: `{kind}` does not invoke functions here");
                scope.log.problem(event.at_of("Type"), text);
            }
            kind => {
                let text = format!("{what}: `{kind}` does not invoke functions here, skipped");
                scope.log.note(event.at_of("Type"), text);
            }
        }
    }
}

fn mapping(
    scope: &mut Scope<'_>,
    id: &str,
    function: &str,
    fields: &Fields<'_>,
    source: &str,
) -> Option<Mapping> {
    if fields.flag("Enabled", &mut scope.log) == Some(false) {
        let text = format!("{} is not enabled, skipped", fields.what());
        scope.log.note(fields.at(), text);
        return None;
    }
    let arn = fields.required(source, &mut scope.log);
    let table = arn.and_then(|arn| table_of(scope, &arn, fields.at_of(source)));
    let log = &mut scope.log;
    let seconds = |name: &str, range, log: &mut Log| {
        let seconds = fields.number_or_unlimited(name, range, log)?;
        Some(Duration::from_secs(u64::from(seconds)))
    };
    let positions = ["TRIM_HORIZON", "LATEST"];
    fields.required("StartingPosition", log);
    let start = match fields
        .one_of("StartingPosition", &positions, log)
        .as_deref()
    {
        Some("LATEST") => Start::Latest,
        Some(_) | None => Start::TrimHorizon,
    };
    let bisect = match fields.flag("BisectBatchOnFunctionError", log) {
        Some(true) => Bisect::On,
        Some(false) | None => Bisect::Off,
    };
    let types = fields.texts("FunctionResponseTypes", log);
    let partial = match types.iter().any(|kind| kind == "ReportBatchItemFailures") {
        true => PartialFailures::Reported,
        false => PartialFailures::Ignored,
    };
    let window = seconds("TumblingWindowInSeconds", 0..=900, log);
    Some(Mapping {
        logical_id: id.to_owned(),
        table: table.unwrap_or_default(),
        function: function.to_owned(),
        batch_size: fields.number("BatchSize", 1..=10_000, log).unwrap_or(100),
        batch_window: seconds("MaximumBatchingWindowInSeconds", 0..=300, log).unwrap_or_default(),
        start,
        parallelization: fields
            .number("ParallelizationFactor", 1..=10, log)
            .unwrap_or(1),
        bisect,
        partial,
        retries_max: fields.number_or_unlimited("MaximumRetryAttempts", 0..=10_000, log),
        record_age_max: seconds("MaximumRecordAgeInSeconds", 60..=604_800, log),
        tumbling_window: window.filter(|window| !window.is_zero()),
        filters: filters(fields, log),
        on_failure: on_failure(fields, log),
    })
}

/// The table whose stream an ARN is of.
fn table_of(scope: &mut Scope<'_>, arn: &str, at: Mark) -> Option<String> {
    let stream = arn
        .split_once(":table/")
        .and_then(|(_, rest)| rest.split_once("/stream/"));
    let Some((name, _)) = stream else {
        let text =
            format!("`{arn}` is no DynamoDB stream: other sources do not invoke functions here");
        scope.log.problem(at, text);
        return None;
    };
    Some(name.to_owned())
}

fn filters(fields: &Fields<'_>, log: &mut Log) -> Vec<serde_json::Value> {
    let Some(criteria) = fields.fields("FilterCriteria", &["Filters"], log) else {
        return Vec::new();
    };
    let mut patterns = Vec::new();
    for filter in criteria.list("Filters", log) {
        let Some(pattern) = filter.get("Pattern") else {
            log.problem(filter.at, "a filter needs `Pattern`");
            continue;
        };
        match json::document(pattern) {
            Some(pattern) if pattern.is_object() => patterns.push(pattern),
            Some(_) | None => log.problem(pattern.at, "a filter's `Pattern` is a JSON object"),
        }
    }
    patterns
}

/// `DestinationConfig`'s `OnFailure`; an `OnSuccess` is noted.
pub(super) fn on_failure(fields: &Fields<'_>, log: &mut Log) -> Option<Destination> {
    let config = fields.fields("DestinationConfig", &["OnFailure", "OnSuccess"], log)?;
    if config.get("OnSuccess").is_some() {
        log.note(
            config.at_of("OnSuccess"),
            "`OnSuccess` gets nothing here, skipped",
        );
    }
    let failure = config.fields("OnFailure", &["Destination", "Type"], log)?;
    destination(&failure, "Destination", log)
}

/// The ARN of a destination; one without an ARN is what SAM would make for it.
pub(super) fn destination(fields: &Fields<'_>, name: &str, log: &mut Log) -> Option<Destination> {
    match (fields.get(name), fields.text("Type", log)) {
        (None, Some(kind)) => Some(Destination {
            arn: format!("arn:aws:{}:::on-failure", kind.to_lowercase()),
        }),
        _ => Some(Destination {
            arn: fields.required(name, log)?,
        }),
    }
}

fn rule<'a>(scope: &mut Scope<'a>, resource: Resource<'a>, sources: &mut Sources) {
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &[], &mut scope.log);
    if fields.get("ScheduleExpression").is_none() {
        let text = format!(
            "{} waits for events that do not come here, skipped",
            fields.what()
        );
        scope.log.note(fields.at(), text);
        return;
    }
    // A schedule has one target, a rule has several.
    let mut targets: Vec<_> = fields.list("Targets", &mut scope.log).iter().collect();
    targets.extend(fields.get("Target"));
    for target in targets {
        let what = format!("the target of {}", fields.what());
        let target = Fields::of(target, what, &[], &mut scope.log);
        target.required("Arn", &mut scope.log);
        let Some(arn) = target.get("Arn") else {
            continue;
        };
        if arn.as_text().is_some_and(|text| !text.contains(":lambda:")) {
            let text = format!("{} is no function, skipped", target.what());
            scope.log.note(arn.at, text);
            continue;
        }
        let Some(function) = scope.function(arn) else {
            continue;
        };
        let schedule = schedule(scope, resource.id, &function, &fields, "ScheduleExpression");
        let input = target.get("Input").and_then(json::document);
        sources.schedules.extend(schedule.map(|schedule| Schedule {
            input: input.or(schedule.input.clone()),
            ..schedule
        }));
    }
}

fn schedule(
    scope: &mut Scope<'_>,
    id: &str,
    function: &str,
    fields: &Fields<'_>,
    name: &str,
) -> Option<Schedule> {
    let log = &mut scope.log;
    let expression = fields.required(name, log)?;
    let at = fields.at_of(name);
    let state = fields.text("State", log);
    if fields.flag("Enabled", log) == Some(false) || state.as_deref() == Some("DISABLED") {
        log.note(at, format!("{} is not enabled, skipped", fields.what()));
        return None;
    }
    let every = match every(&expression) {
        Some(every) => every,
        None if expression.starts_with("cron(") || expression.starts_with("at(") => {
            log.note(
                at,
                format!("`{expression}` does not run here: `rate(…)` does, skipped"),
            );
            return None;
        }
        None => {
            let text = format!("`{expression}` is no schedule such as `rate(5 minutes)`");
            log.problem(at, text);
            return None;
        }
    };
    Some(Schedule {
        logical_id: id.to_owned(),
        function: function.to_owned(),
        every,
        input: fields.get("Input").and_then(json::document),
    })
}

/// The time in `rate(5 minutes)`.
pub(super) fn every(expression: &str) -> Option<Duration> {
    let inner = expression.strip_prefix("rate(")?.strip_suffix(')')?;
    let (number, unit) = inner.trim().split_once(' ')?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let seconds = match unit.trim() {
        "minute" | "minutes" => 60,
        "hour" | "hours" => 60 * 60,
        "day" | "days" => 24 * 60 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}
