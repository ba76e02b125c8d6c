//! In: a `lift.toml`. Out: the plan of what runs, or all that is wrong with it.
//!
//! The small alternative to a template: names stand for themselves, and there are no functions to resolve.

use std::path::Path;
use std::time::Duration;

use lift_gateway::RouteResponse;
use serde_json::{Value, json};

use super::Settings;
use super::api;
use super::code::{self, Code};
use super::fields::Fields;
use super::mapping::every;
use super::problem::{Log, Mark};
use super::spelling;
use super::toml_tree;
use super::tree::{Entry, Node};
use crate::plan::{
    Api, Asynchronous, Authorizer, Bisect, Effect, Function, Integration, Logging, Mapping,
    PartialFailures, Plan, Route, Schedule, Start, Statement, Table,
};

const SECTIONS: [&str; 5] = ["api", "function", "schedule", "stream", "table"];
const API: [&str; 5] = [
    "authorizer",
    "route_selection",
    "routes",
    "stage",
    "stage_variables",
];
const ROUTE: [&str; 4] = ["function", "mock", "timeout_ms", "two_way"];
const AUTHORIZER: [&str; 2] = ["function", "identity_sources"];
const FUNCTION: [&str; 11] = [
    "build",
    "code",
    "command",
    "concurrency_max",
    "environment",
    "handler",
    "memory_mb",
    "policies",
    "runtime",
    "timeout_s",
    "watch",
];
const TABLE: [&str; 5] = ["key", "stream", "sort_key", "ttl", "indexes"];
const STREAM: [&str; 9] = [
    "batch_size",
    "batch_window_s",
    "bisect",
    "filters",
    "function",
    "parallelization",
    "partial_failures",
    "retries_max",
    "start",
];
const SCHEDULE: [&str; 3] = ["function", "input", "rate"];

/// Reads a `lift.toml`; values with `{api.NAME}` in a function's environment are the API's local authority.
pub(super) fn read(text: &str, directory: &Path, settings: &Settings) -> (Plan, Log) {
    let mut log = Log::default();
    let mut plan = Plan {
        account: settings.account.clone(),
        region: settings.region.clone(),
        ..Plan::default()
    };
    let Some(root) = toml_tree::read(text, &mut log) else {
        return (plan, log);
    };
    let root = Fields::of(&root, "`lift.toml`", &[], &mut log);
    for Entry { key, at, .. } in root.entries() {
        if !SECTIONS.contains(&key.as_str()) {
            log.misspelt(*at, format!("`lift.toml` knows no `{key}`"), key, SECTIONS);
        }
    }
    for name in settings.parameters.keys() {
        let text = format!("a `lift.toml` has no parameters: --parameter {name} sets nothing");
        log.problem(Mark::default(), text);
    }
    let section = |name: &str| root.get(name).map(Node::entries).unwrap_or_default();
    let functions: Vec<_> = section("function").iter().map(|e| e.key.as_str()).collect();
    let tables: Vec<_> = section("table").iter().map(|e| e.key.as_str()).collect();
    let names = Names { functions, tables };
    let read = &mut log;
    plan.apis = section("api")
        .iter()
        .map(|e| api(e, &names, read))
        .collect();
    for entry in section("function") {
        plan.functions.extend(function(entry, directory, read));
    }
    plan.tables = section("table")
        .iter()
        .filter_map(|e| table(e, read))
        .collect();
    for entry in section("stream") {
        plan.mappings.extend(stream(entry, &names, read));
    }
    for entry in section("schedule") {
        plan.schedules.extend(schedule(entry, &names, read));
    }
    localize(&mut plan, settings);
    (plan, log)
}

/// Names that sections refer to.
struct Names<'n> {
    functions: Vec<&'n str>,
    tables: Vec<&'n str>,
}

impl Names<'_> {
    fn function(&self, fields: &Fields<'_>, log: &mut Log) -> Option<String> {
        let name = fields.required("function", log)?;
        self.known_function(name, fields.at_of("function"), log)
    }

    fn known_function(&self, name: String, at: Mark, log: &mut Log) -> Option<String> {
        if !self.functions.contains(&name.as_str()) {
            let text = format!("no function is named `{name}`");
            log.misspelt(at, text, &name, self.functions.iter().copied());
            return None;
        }
        Some(name)
    }
}

fn localize(plan: &mut Plan, settings: &Settings) {
    for (n, api) in plan.apis.iter().enumerate() {
        let name = format!("{{api.{}}}", api.logical_id);
        let authority = settings.authorities.of(n);
        for function in &mut plan.functions {
            for value in function.environment.values_mut() {
                *value = value.replace(&name, &authority);
            }
        }
    }
}

fn api(entry: &Entry, names: &Names<'_>, log: &mut Log) -> Api {
    let Entry { key: id, at, value } = entry;
    let fields = Fields::of(value, format!("api `{id}`"), &API, log);
    let selection = match fields.get("route_selection") {
        Some(_) => api::selection(&fields, "route_selection", log),
        None => "$request.body.action".to_owned(),
    };
    let stage = fields
        .text("stage", log)
        .unwrap_or_else(|| "default".to_owned());
    let written = fields.get("routes").map(Node::entries).unwrap_or_default();
    if written.is_empty() {
        log.problem(*at, format!("api `{id}` needs `routes`"));
    }
    let authorizer = match fields.get("authorizer") {
        Some(node) if node.as_text().is_some() => {
            let name = fields.text("authorizer", log);
            name.and_then(|name| names.known_function(name, node.at, log))
                .map(|function| {
                    let identity_sources = Vec::new();
                    Authorizer {
                        function,
                        identity_sources,
                    }
                })
        }
        Some(_) => fields
            .fields("authorizer", &AUTHORIZER, log)
            .and_then(|fields| {
                Some(Authorizer {
                    function: names.function(&fields, log)?,
                    identity_sources: api::identity_sources(&fields, "identity_sources", log),
                })
            }),
        None => None,
    };
    Api {
        logical_id: id.clone(),
        api_id: super::names::api_id(id),
        stage: api::stage_name(stage, fields.at_of("stage"), log),
        stage_variables: fields.text_map("stage_variables", log),
        route_selection: selection,
        routes: written
            .iter()
            .filter_map(|entry| route(entry, names, log))
            .collect(),
        authorizer,
        default_rate: None,
    }
}

fn route(entry: &Entry, names: &Names<'_>, log: &mut Log) -> Option<Route> {
    let Entry { key, at, value } = entry;
    let special = ["$connect", "$disconnect", "$default"];
    if key.is_empty() || key.starts_with('$') && !special.contains(&key.as_str()) {
        log.misspelt(
            *at,
            format!("a route's key cannot be `{key}`"),
            key,
            special,
        );
    }
    let mut route = Route {
        key: key.clone(),
        integration: Integration::Mock(String::new()),
        response: RouteResponse::OneWay,
        timeout: None,
        rate: None,
    };
    if let Some(name) = value.as_text() {
        let name = names.known_function(name.to_owned(), value.at, log)?;
        route.integration = Integration::Function(name);
        return Some(route);
    }
    let fields = Fields::of(value, format!("route `{key}`"), &ROUTE, log);
    route.integration = match fields.text("mock", log) {
        Some(text) => Integration::Mock(text),
        None => Integration::Function(names.function(&fields, log)?),
    };
    route.timeout = api::timeout(&fields, "timeout_ms", log);
    if fields.flag("two_way", log) == Some(true) {
        route.response = RouteResponse::TwoWay;
    }
    Some(route)
}

fn function(entry: &Entry, directory: &Path, log: &mut Log) -> Option<Function> {
    let Entry { key: id, at, value } = entry;
    let fields = Fields::of(value, format!("function `{id}`"), &FUNCTION, log);
    spelling::function_name(id, *at, log);
    let variables = fields.get("environment").map(Node::entries);
    spelling::variables(variables.unwrap_or_default(), log);
    let path = |text: String| code::clean(&directory.join(text));
    let command = code::command(&fields, "command", log);
    let runtime = match command {
        Some(_) => fields.text("runtime", log).unwrap_or_default(),
        None => fields.required("runtime", log).unwrap_or_default(),
    };
    let needs_handler = command.is_none() && !runtime.starts_with("provided");
    let handler = match needs_handler {
        true => fields.required("handler", log).unwrap_or_default(),
        false => fields
            .text("handler", log)
            .unwrap_or_else(|| "bootstrap".to_owned()),
    };
    let watch = fields.texts("watch", log).into_iter().map(path).collect();
    let code = Code {
        runtime,
        handler,
        path: path(fields.text("code", log).unwrap_or_else(|| ".".to_owned())),
        command,
        build: fields.text("build", log),
        watch,
        inline: None,
    };
    let code = code::by_default(code, id, fields.at_of("code"), directory, log);
    Some(Function {
        logical_id: id.clone(),
        name: id.clone(),
        qualifiers: Vec::new(),
        runtime: code.runtime,
        handler: code.handler,
        code: code.path,
        command: code.command,
        build: code.build,
        inline: code.inline,
        watch: code.watch,
        memory_mb: fields.number("memory_mb", 128..=10_240, log).unwrap_or(128),
        timeout: super::function::timeout(&fields, "timeout_s", log),
        environment: fields.text_map("environment", log).into_iter().collect(),
        logging: Logging::default(),
        concurrency_max: fields.number("concurrency_max", 0..=u32::MAX, log),
        asynchronous: Asynchronous::default(),
        statements: statements(&fields, *at, log),
    })
}

/// What a function may do: all, unless its `policies` say which actions on which resources.
fn statements(fields: &Fields<'_>, at: Mark, log: &mut Log) -> Vec<Statement> {
    let allow = |actions, resources| Statement {
        effect: Effect::Allow,
        actions,
        resources,
    };
    if fields.get("policies").is_none() {
        return vec![allow(vec!["*".to_owned()], vec!["*".to_owned()])];
    }
    let mut statements = Vec::new();
    for node in fields.list("policies", log) {
        let policy = Fields::of(node, "a policy", &["actions", "resources"], log);
        let actions = policy.texts("actions", log);
        if actions.is_empty() {
            log.problem(at, "a policy needs `actions`");
        }
        let resources = match policy.get("resources") {
            Some(_) => policy.texts("resources", log),
            None => vec!["*".to_owned()],
        };
        statements.push(allow(actions, resources));
    }
    statements
}

/// A key attribute written as `id`, or `id:N`.
struct Attribute {
    name: String,
    kind: String,
}

fn attribute(fields: &Fields<'_>, name: &str, log: &mut Log) -> Option<Attribute> {
    let text = fields.text(name, log)?;
    let (name, kind) = text.split_once(':').unwrap_or((&text, "S"));
    if !["S", "N", "B"].contains(&kind) {
        let text = format!("`{text}` is no key: `{name}`, `{name}:N` or `{name}:B` is one");
        log.problem(fields.at(), text);
    }
    Some(Attribute {
        name: name.to_owned(),
        kind: kind.to_owned(),
    })
}

fn table(entry: &Entry, log: &mut Log) -> Option<Table> {
    let Entry { key: id, at, value } = entry;
    let fields = Fields::of(value, format!("table `{id}`"), &TABLE, log);
    let mut defined: Vec<Attribute> = Vec::new();
    let schema = keys(&fields, &mut defined, log);
    if schema.is_empty() {
        log.problem(*at, format!("table `{id}` needs `key`"));
        return None;
    }
    let mut create = json!({
        "TableName": id, "KeySchema": schema, "BillingMode": "PAY_PER_REQUEST",
    });
    let mut indexes = Vec::new();
    for Entry { key, value, .. } in fields.get("indexes").map(Node::entries).unwrap_or_default() {
        let index = Fields::of(value, format!("index `{key}`"), &["key", "sort_key"], log);
        let schema = keys(&index, &mut defined, log);
        let projection = json!({"ProjectionType": "ALL"});
        indexes.push(json!({"IndexName": key, "KeySchema": schema, "Projection": projection}));
    }
    if !indexes.is_empty() {
        insert(&mut create, "GlobalSecondaryIndexes", Value::from(indexes));
    }
    let define = |a: &Attribute| json!({"AttributeName": a.name, "AttributeType": a.kind});
    let definitions = defined.iter().map(define).collect();
    insert(&mut create, "AttributeDefinitions", definitions);
    let views = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"];
    if let Some(view) = fields.one_of("stream", &views, log) {
        let stream = json!({"StreamEnabled": true, "StreamViewType": view});
        insert(&mut create, "StreamSpecification", stream);
    }
    Some(Table {
        logical_id: id.clone(),
        name: id.clone(),
        create,
        ttl_attribute: fields.text("ttl", log),
    })
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(object) = object {
        object.insert(name.to_owned(), value);
    }
}

/// A key schema, whose attributes are added to those that are defined.
fn keys(fields: &Fields<'_>, defined: &mut Vec<Attribute>, log: &mut Log) -> Vec<Value> {
    let mut schema = Vec::new();
    for (name, kind) in [("key", "HASH"), ("sort_key", "RANGE")] {
        let Some(attribute) = attribute(fields, name, log) else {
            continue;
        };
        schema.push(json!({"AttributeName": attribute.name, "KeyType": kind}));
        if !defined.iter().any(|other| other.name == attribute.name) {
            defined.push(attribute);
        }
    }
    schema
}

fn stream(entry: &Entry, names: &Names<'_>, log: &mut Log) -> Option<Mapping> {
    let Entry { key: id, at, value } = entry;
    let fields = Fields::of(value, format!("stream `{id}`"), &STREAM, log);
    if !names.tables.contains(&id.as_str()) {
        let text = format!("no table is named `{id}`, whose stream this is");
        log.misspelt(*at, text, id, names.tables.iter().copied());
        return None;
    }
    let positions = ["TRIM_HORIZON", "LATEST"];
    let start = match fields.one_of("start", &positions, log).as_deref() {
        Some("LATEST") => Start::Latest,
        Some(_) | None => Start::TrimHorizon,
    };
    let bisect = match fields.flag("bisect", log) {
        Some(true) => Bisect::On,
        Some(false) | None => Bisect::Off,
    };
    let partial = match fields.flag("partial_failures", log) {
        Some(true) => PartialFailures::Reported,
        Some(false) | None => PartialFailures::Ignored,
    };
    let mut filters = Vec::new();
    for filter in fields.list("filters", log) {
        match super::json::document(filter) {
            Some(filter) if filter.is_object() => filters.push(filter),
            Some(_) | None => log.problem(filter.at, "a filter is a JSON object or a table"),
        }
    }
    let window = fields.number("batch_window_s", 0..=300, log).unwrap_or(0);
    Some(Mapping {
        logical_id: id.clone(),
        table: id.clone(),
        function: names.function(&fields, log)?,
        batch_size: fields.number("batch_size", 1..=10_000, log).unwrap_or(100),
        batch_window: Duration::from_secs(u64::from(window)),
        start,
        parallelization: fields.number("parallelization", 1..=10, log).unwrap_or(1),
        bisect,
        partial,
        retries_max: fields.number("retries_max", 0..=10_000, log),
        record_age_max: None,
        tumbling_window: None,
        filters,
        on_failure: None,
    })
}

fn schedule(entry: &Entry, names: &Names<'_>, log: &mut Log) -> Option<Schedule> {
    let Entry { key: id, value, .. } = entry;
    let fields = Fields::of(value, format!("schedule `{id}`"), &SCHEDULE, log);
    let rate = fields.required("rate", log)?;
    let Some(every) = every(&format!("rate({rate})")) else {
        let text = format!("`{rate}` is no rate such as `5 minutes`");
        log.problem(fields.at_of("rate"), text);
        return None;
    };
    Some(Schedule {
        logical_id: id.clone(),
        function: names.function(&fields, log)?,
        every,
        input: fields.get("input").and_then(super::json::document),
    })
}
