//! In: `AWS::Serverless::WebSocketApi` resources, and those of `AWS::ApiGatewayV2`. Out: the plan's APIs.
//!
//! Source: SAM developer guide, "AWS::Serverless::WebSocketApi".

use std::num::NonZeroU32;
use std::time::Duration;

use lift_gateway::{IdentitySource, Rate, RouteResponse, RouteSelection};

use super::fields::Fields;
use super::names;
use super::problem::{Log, Mark};
use super::raw;
use super::scope::{Resource, Scope};
use super::spelling::{is_plain_name, plain_name};
use super::tree::{Entry, Node};
use crate::plan::{Api, Authorizer, Integration, Route};

pub(super) const SAM_API: &str = "AWS::Serverless::WebSocketApi";

const PROPERTIES: [&str; 18] = [
    "ApiKeySelectionExpression",
    "AccessLogSettings",
    "Auth",
    "DefaultRouteSettings",
    "Description",
    "DisableExecuteApiEndpoint",
    "Domain",
    "DisableSchemaValidation",
    "FailOnWarnings",
    "IpAddressType",
    "Name",
    "PropagateTags",
    "Routes",
    "RouteSettings",
    "RouteSelectionExpression",
    "StageName",
    "StageVariables",
    "Tags",
];
const ROUTE: [&str; 8] = [
    "ApiKeyRequired",
    "FunctionArn",
    "IntegrationTimeout",
    "ModelSelectionExpression",
    "OperationName",
    "RequestModels",
    "RequestParameters",
    "RouteResponseSelectionExpression",
];
const AUTH: [&str; 5] = [
    "AuthArn",
    "AuthType",
    "IdentitySource",
    "InvokeRole",
    "Name",
];
const SETTINGS: [&str; 5] = [
    "DataTraceEnabled",
    "DetailedMetricsEnabled",
    "LoggingLevel",
    "ThrottlingBurstLimit",
    "ThrottlingRateLimit",
];

/// An API whose routes are still being found.
pub(super) struct Draft<'a> {
    pub(super) resource: Resource<'a>,
    pub(super) api: Api,
    pub(super) routes: Vec<DraftRoute>,
    /// Where the stage was written; SAM makes one without.
    pub(super) stage: Option<Mark>,
}

/// A route whose response is still to be found.
pub(super) struct DraftRoute {
    /// The id of the resource that it is, or that SAM generates for it.
    pub(super) id: String,
    pub(super) at: Mark,
    pub(super) route: Route,
    /// Whether the route has a response expression.
    pub(super) expression: Expression,
}

/// A route's `RouteResponseSelectionExpression`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expression {
    Absent,
    Default,
}

/// The APIs in the template's order.
pub(super) fn all(scope: &mut Scope<'_>) -> Vec<Api> {
    let mut drafts = Vec::new();
    for resource in scope.resources.clone() {
        match resource.kind {
            SAM_API => drafts.extend(sam(scope, resource)),
            "AWS::ApiGatewayV2::Api" => drafts.extend(raw::api(scope, resource)),
            _ => {}
        }
    }
    raw::add(scope, &mut drafts);
    drafts
        .into_iter()
        .map(|draft| finish(scope, draft))
        .collect()
}

/// The API with its routes in order, and what API Gateway would not take of it told.
fn finish(scope: &mut Scope<'_>, draft: Draft<'_>) -> Api {
    let Draft {
        resource,
        mut api,
        routes,
        stage,
    } = draft;
    let what = resource.what();
    if stage.is_none() {
        let text = format!("{what} has no stage: it needs an `AWS::ApiGatewayV2::Stage`");
        scope.log.problem(resource.at, text);
    }
    for draft in routes {
        let key = &draft.route.key;
        if api.routes.iter().any(|other| other.key == *key) {
            let text = format!("{what} has the route `{key}` a second time");
            scope.log.problem(draft.at, text);
        }
        if draft.expression == Expression::Default && draft.route.response == RouteResponse::OneWay
        {
            let text = format!(
                "route `{key}` is one-way: `RouteResponseSelectionExpression` takes effect only with an \
                 `AWS::ApiGatewayV2::RouteResponse` whose `RouteId` is `!Ref {}`",
                draft.id
            );
            scope.log.note(draft.at, text);
        }
        api.routes.push(draft.route);
    }
    api
}

/// An API without routes and with the names that a template gives it.
pub(super) fn named(id: &str, fields: &Fields<'_>, log: &mut Log) -> Api {
    Api {
        logical_id: id.to_owned(),
        api_id: names::api_id(id),
        stage: "default".to_owned(),
        stage_variables: Vec::new(),
        route_selection: selection(fields, "RouteSelectionExpression", log),
        routes: Vec::new(),
        authorizer: None,
        default_rate: None,
    }
}

/// A route selection expression that the gateway can use.
pub(super) fn selection(fields: &Fields<'_>, name: &str, log: &mut Log) -> String {
    let Some(text) = fields.required(name, log) else {
        return String::new();
    };
    if let Err(error) = text.parse::<RouteSelection>() {
        log.problem(fields.at_of(name), error.to_string());
    }
    text
}

fn sam<'a>(scope: &mut Scope<'a>, resource: Resource<'a>) -> Option<Draft<'a>> {
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &PROPERTIES, &mut scope.log);
    let mut api = named(resource.id, &fields, &mut scope.log);
    if let Some(stage) = fields.text("StageName", &mut scope.log) {
        api.stage = stage_name(stage, fields.at_of("StageName"), &mut scope.log);
    }
    api.stage_variables = fields.text_map("StageVariables", &mut scope.log);
    if let Some(settings) = fields.fields("DefaultRouteSettings", &SETTINGS, &mut scope.log) {
        api.default_rate = rate(&settings, &mut scope.log);
    }
    let mut routes = Vec::new();
    let written = fields.get("Routes").map(Node::entries).unwrap_or_default();
    if written.is_empty() {
        let text = format!("{} needs `Routes`", fields.what());
        scope.log.problem(fields.at(), text);
    }
    for entry in written {
        routes.extend(sam_route(scope, resource, entry));
    }
    route_settings(&fields, &mut routes, &mut scope.log);
    if let Some(auth) = fields.fields("Auth", &AUTH, &mut scope.log) {
        if !routes.iter().any(|draft| draft.route.key == "$connect") {
            let text = "`Auth` needs a `$connect` route".to_owned();
            scope.log.problem(auth.at(), text);
        }
        api.authorizer = sam_auth(scope, &auth);
    }
    Some(Draft {
        resource,
        api,
        routes,
        stage: Some(resource.at),
    })
}

fn sam_route(scope: &mut Scope<'_>, resource: Resource<'_>, entry: &Entry) -> Option<DraftRoute> {
    let Entry { key, at, value } = entry;
    let special = ["$connect", "$disconnect", "$default"];
    if !special.contains(&key.as_str()) && !key.chars().all(char::is_alphanumeric) {
        let text = format!("SAM takes only letters and digits in a route key, not `{key}`");
        scope.log.misspelt(*at, text, key, special);
        return None;
    }
    let fields = Fields::of(value, format!("route `{key}`"), &ROUTE, &mut scope.log);
    fields.required("FunctionArn", &mut scope.log);
    if fields.flag("ApiKeyRequired", &mut scope.log) == Some(true) {
        let text = format!("route `{key}`: API keys are not checked here");
        scope.log.note(*at, text);
    }
    let function = scope.function(fields.get("FunctionArn")?)?;
    let clean = key.trim_start_matches('$').to_lowercase();
    let mut letters = clean.chars();
    let capital = letters.next().map(|c| c.to_uppercase().to_string());
    let capital = capital.unwrap_or_default() + letters.as_str();
    Some(DraftRoute {
        id: format!("{}{capital}Route", resource.id),
        at: *at,
        expression: expression(&fields, &mut scope.log),
        route: Route {
            key: key.clone(),
            integration: Integration::Function(function),
            response: RouteResponse::OneWay,
            timeout: timeout(&fields, "IntegrationTimeout", &mut scope.log),
            rate: None,
        },
    })
}

/// An integration's timeout, in milliseconds from 50 to 29,000.
pub(super) fn timeout(fields: &Fields<'_>, name: &str, log: &mut Log) -> Option<Duration> {
    let ms = fields.number(name, 50..=29_000, log)?;
    Some(Duration::from_millis(u64::from(ms)))
}

/// The response expression of a route; API Gateway takes only `$default`.
pub(super) fn expression(fields: &Fields<'_>, log: &mut Log) -> Expression {
    match fields.one_of("RouteResponseSelectionExpression", &["$default"], log) {
        Some(_) => Expression::Default,
        None => Expression::Absent,
    }
}

pub(super) fn stage_name(stage: String, at: Mark, log: &mut Log) -> String {
    if stage == "$default" {
        log.problem(at, "the stage of a WebSocket API cannot be `$default`");
    } else if !is_plain_name(&stage, 128) {
        let text = format!("`{stage}` is no stage's name: {}", plain_name(128));
        log.problem(at, text);
    }
    stage
}

fn sam_auth(scope: &mut Scope<'_>, auth: &Fields<'_>) -> Option<Authorizer> {
    let kinds = ["NONE", "CUSTOM", "AWS_IAM"];
    auth.required("AuthType", &mut scope.log)?;
    match &*auth.one_of("AuthType", &kinds, &mut scope.log)? {
        "NONE" => None,
        "AWS_IAM" => {
            let at = auth.at_of("AuthType");
            scope.log.problem(
                at,
                "`AWS_IAM` is not checked here: no client could connect as on AWS",
            );
            None
        }
        _ => {
            auth.required("AuthArn", &mut scope.log)?;
            Some(Authorizer {
                function: scope.function(auth.get("AuthArn")?)?,
                identity_sources: identity_sources(auth, "IdentitySource", &mut scope.log),
            })
        }
    }
}

/// Identity sources that the gateway can check.
pub(super) fn identity_sources(fields: &Fields<'_>, name: &str, log: &mut Log) -> Vec<String> {
    let sources = fields.texts(name, log);
    for source in &sources {
        if let Err(error) = source.parse::<IdentitySource>() {
            log.problem(fields.at_of(name), error.to_string());
        }
    }
    sources
}

/// `RouteSettings`: the rates of the routes that it names.
pub(super) fn route_settings(fields: &Fields<'_>, routes: &mut [DraftRoute], log: &mut Log) {
    let settings = fields.get("RouteSettings").map(Node::entries);
    for Entry { key, at, value } in settings.unwrap_or_default() {
        let what = format!("`RouteSettings` of `{key}`");
        let rate = rate(&Fields::of(value, what, &SETTINGS, log), log);
        match routes.iter_mut().find(|draft| draft.route.key == *key) {
            Some(draft) => draft.route.rate = rate,
            None => {
                let keys: Vec<_> = routes.iter().map(|draft| &*draft.route.key).collect();
                log.misspelt(*at, format!("there is no route `{key}`"), key, keys);
            }
        }
    }
}

/// A throttling rate; what is not said of it is the account's.
pub(super) fn rate(fields: &Fields<'_>, log: &mut Log) -> Option<Rate> {
    let names = ["ThrottlingRateLimit", "ThrottlingBurstLimit"];
    if names.iter().all(|name| fields.get(name).is_none()) {
        return None;
    }
    let [per_second, burst] = names.map(|name| {
        let text = fields.text(name, log)?;
        // Rates may have fractions; the bucket here has none.
        let whole = text.split_once('.').map_or(&*text, |(whole, _)| whole);
        let number = whole.parse::<u32>().ok().map(|number| number.max(1));
        if number.is_none() {
            log.problem(fields.at_of(name), format!("`{name}` must be a number"));
        } else if number.map(|number| number.to_string()) != Some(text) {
            let text = format!("`{name}` is rounded to a whole number from 1");
            log.note(fields.at_of(name), text);
        }
        number.and_then(NonZeroU32::new)
    });
    Some(Rate {
        per_second: per_second.unwrap_or(Rate::REQUESTS.per_second),
        burst: burst.unwrap_or(Rate::REQUESTS.burst),
    })
}

pub(super) fn settings<'n>(fields: &Fields<'n>, name: &str, log: &mut Log) -> Option<Fields<'n>> {
    fields.fields(name, &SETTINGS, log)
}
