//! In: `AWS::ApiGatewayV2` resources, alone or added to a SAM API. Out: their routes, stages and authorizers in the drafts.
//!
//! Source: CloudFormation template reference, "Amazon API Gateway V2"; developer guide, "Set up a
//! WebSocket API route response".

use std::collections::BTreeMap;
use std::time::Duration;

use lift_gateway::RouteResponse;

use super::api::{self, Draft, DraftRoute, Expression, SAM_API};
use super::fields::Fields;
use super::mock;
use super::problem::Mark;
use super::scope::{Resource, Scope};
use super::tree::Node;
use crate::plan::{Authorizer, Integration, Route};

const API: [&str; 17] = [
    "ApiKeySelectionExpression",
    "BasePath",
    "Body",
    "BodyS3Location",
    "CorsConfiguration",
    "CredentialsArn",
    "Description",
    "DisableExecuteApiEndpoint",
    "DisableSchemaValidation",
    "FailOnWarnings",
    "IpAddressType",
    "Name",
    "ProtocolType",
    "RouteKey",
    "RouteSelectionExpression",
    "Tags",
    "Version",
];
const ROUTE: [&str; 12] = [
    "ApiId",
    "ApiKeyRequired",
    "AuthorizationScopes",
    "AuthorizationType",
    "AuthorizerId",
    "ModelSelectionExpression",
    "OperationName",
    "RequestModels",
    "RequestParameters",
    "RouteKey",
    "RouteResponseSelectionExpression",
    "Target",
];
const INTEGRATION: [&str; 18] = [
    "ApiId",
    "ConnectionId",
    "ConnectionType",
    "ContentHandlingStrategy",
    "CredentialsArn",
    "Description",
    "IntegrationMethod",
    "IntegrationSubtype",
    "IntegrationType",
    "IntegrationUri",
    "PassthroughBehavior",
    "PayloadFormatVersion",
    "RequestParameters",
    "RequestTemplates",
    "ResponseParameters",
    "TemplateSelectionExpression",
    "TimeoutInMillis",
    "TlsConfig",
];
const ROUTE_RESPONSE: [&str; 6] = [
    "ApiId",
    "ModelSelectionExpression",
    "ResponseModels",
    "ResponseParameters",
    "RouteId",
    "RouteResponseKey",
];
const AUTHORIZER: [&str; 10] = [
    "ApiId",
    "AuthorizerCredentialsArn",
    "AuthorizerPayloadFormatVersion",
    "AuthorizerResultTtlInSeconds",
    "AuthorizerType",
    "AuthorizerUri",
    "EnableSimpleResponses",
    "IdentitySource",
    "IdentityValidationExpression",
    "Name",
];
const STAGE: [&str; 12] = [
    "AccessLogSettings",
    "AccessPolicyId",
    "ApiId",
    "AutoDeploy",
    "ClientCertificateId",
    "DefaultRouteSettings",
    "DeploymentId",
    "Description",
    "RouteSettings",
    "StageName",
    "StageVariables",
    "Tags",
];

/// A WebSocket API without routes; HTTP APIs are noted.
pub(super) fn api<'a>(scope: &mut Scope<'a>, resource: Resource<'a>) -> Option<Draft<'a>> {
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &API, &mut scope.log);
    let protocol = fields.required("ProtocolType", &mut scope.log)?;
    match protocol.as_str() {
        "WEBSOCKET" => {}
        "HTTP" => {
            let text = format!(
                "{} is an HTTP API and does not run here, skipped",
                fields.what()
            );
            scope.log.note(resource.at, text);
            return None;
        }
        _ => {
            fields.one_of("ProtocolType", &["WEBSOCKET", "HTTP"], &mut scope.log);
            return None;
        }
    }
    Some(Draft {
        api: api::named(resource.id, &fields, &mut scope.log),
        resource,
        routes: Vec::new(),
        stage: None,
    })
}

/// An integration as far as a route needs it.
pub(super) struct Target {
    pub(super) integration: Integration,
    timeout: Option<Duration>,
}

/// Adds routes, their responses, authorizers and stages to the APIs that they are of.
pub(super) fn add(scope: &mut Scope<'_>, drafts: &mut [Draft<'_>]) {
    let targets = targets(scope, drafts);
    let authorizers = authorizers(scope, drafts);
    for resource in of_kind(scope, "AWS::ApiGatewayV2::Route") {
        let properties = scope.properties(resource);
        let fields = Fields::of(&properties, resource.what(), &ROUTE, &mut scope.log);
        let Some(draft) = draft_of(scope, &fields, drafts) else {
            continue;
        };
        authorize(scope, &fields, draft, &authorizers);
        draft
            .routes
            .extend(route(scope, resource, &fields, &targets));
    }
    for resource in of_kind(scope, "AWS::ApiGatewayV2::RouteResponse") {
        respond(scope, resource, drafts);
    }
    for resource in of_kind(scope, "AWS::ApiGatewayV2::Stage") {
        stage(scope, resource, drafts);
    }
    for resource in of_kind(scope, "AWS::ApiGatewayV2::Deployment") {
        deployment(scope, resource, drafts);
    }
}

pub(super) fn of_kind<'a>(scope: &Scope<'a>, kind: &str) -> Vec<Resource<'a>> {
    let resources = scope.resources.iter();
    resources
        .filter(|resource| resource.kind == kind)
        .copied()
        .collect()
}

/// The API that a resource's `ApiId` names; one that is in the template and does not run is skipped.
fn draft_of<'d, 'a>(
    scope: &mut Scope<'_>,
    fields: &Fields<'_>,
    drafts: &'d mut [Draft<'a>],
) -> Option<&'d mut Draft<'a>> {
    let api_id = fields.required("ApiId", &mut scope.log)?;
    let ids: Vec<_> = drafts
        .iter()
        .map(|draft| draft.api.api_id.clone())
        .collect();
    if let Some(found) = ids.iter().position(|id| *id == api_id) {
        return drafts.get_mut(found);
    }
    let others = scope.resources.iter();
    let is_other = |other: &Resource<'_>| {
        other.kind == "AWS::ApiGatewayV2::Api" && super::names::api_id(other.id) == api_id
    };
    if !others.clone().any(is_other) {
        let names = others.filter(|r| r.kind == SAM_API || r.kind == "AWS::ApiGatewayV2::Api");
        let names: Vec<_> = names.map(|resource| resource.id).collect();
        let text = format!("`{api_id}` is no API of this template");
        scope
            .log
            .misspelt(fields.at_of("ApiId"), text, &api_id, names);
    }
    None
}

fn targets(scope: &mut Scope<'_>, drafts: &mut [Draft<'_>]) -> BTreeMap<String, Target> {
    let mut targets = BTreeMap::new();
    for resource in of_kind(scope, "AWS::ApiGatewayV2::Integration") {
        let properties = scope.properties(resource);
        let fields = Fields::of(&properties, resource.what(), &INTEGRATION, &mut scope.log);
        if draft_of(scope, &fields, drafts).is_none() {
            continue;
        }
        let timeout = api::timeout(&fields, "TimeoutInMillis", &mut scope.log);
        if let Some(integration) = integration(scope, resource, &fields) {
            let target = Target {
                integration,
                timeout,
            };
            targets.insert(resource.id.to_owned(), target);
        }
    }
    targets
}

fn integration(
    scope: &mut Scope<'_>,
    resource: Resource<'_>,
    fields: &Fields<'_>,
) -> Option<Integration> {
    let kind = fields.required("IntegrationType", &mut scope.log)?;
    if fields
        .text("ContentHandlingStrategy", &mut scope.log)
        .as_deref()
        == Some("CONVERT_TO_BINARY")
    {
        let at = fields.at_of("ContentHandlingStrategy");
        scope
            .log
            .problem(at, "`CONVERT_TO_BINARY` is not done here");
    }
    match kind.as_str() {
        "AWS_PROXY" => {
            fields.required("IntegrationUri", &mut scope.log)?;
            let function = scope.function(fields.get("IntegrationUri")?)?;
            Some(Integration::Function(function))
        }
        "MOCK" => Some(Integration::Mock(mock::text(scope, resource, fields)?)),
        "AWS" | "HTTP" | "HTTP_PROXY" => {
            let text = format!("`{kind}` integrations do not run here: `AWS_PROXY` and `MOCK` do");
            scope.log.problem(fields.at_of("IntegrationType"), text);
            None
        }
        _ => {
            let kinds = ["AWS_PROXY", "MOCK", "AWS", "HTTP", "HTTP_PROXY"];
            fields.one_of("IntegrationType", &kinds, &mut scope.log);
            None
        }
    }
}

fn route(
    scope: &mut Scope<'_>,
    resource: Resource<'_>,
    fields: &Fields<'_>,
    targets: &BTreeMap<String, Target>,
) -> Option<DraftRoute> {
    let key = fields.required("RouteKey", &mut scope.log)?;
    let special = ["$connect", "$disconnect", "$default"];
    if key.starts_with('$') && !special.contains(&key.as_str()) {
        let text = format!("a route's key cannot be `{key}`");
        scope
            .log
            .misspelt(fields.at_of("RouteKey"), text, &key, special);
    }
    let target = fields.required("Target", &mut scope.log)?;
    let at = fields.at_of("Target");
    let Some(id) = target.strip_prefix("integrations/") else {
        scope.log.problem(
            at,
            "`Target` must be `integrations/` and an integration's id",
        );
        return None;
    };
    let Some(Target {
        integration,
        timeout,
    }) = targets.get(id)
    else {
        // An integration that was a problem itself needs no second one.
        if scope.resource(id).is_none() {
            let text = format!("`{id}` is no integration of this template");
            scope
                .log
                .misspelt(at, text, id, targets.keys().map(String::as_str));
        }
        return None;
    };
    Some(DraftRoute {
        id: resource.id.to_owned(),
        at: resource.at,
        expression: api::expression(fields, &mut scope.log),
        route: Route {
            key,
            integration: integration.clone(),
            response: RouteResponse::OneWay,
            timeout: *timeout,
            rate: None,
        },
    })
}

/// Makes a route two-way.
///
/// It is so only with both a response expression and a response (developer guide, "Set up route
/// responses"). SAM's property writes the expression alone; that this does not suffice on AWS is
/// *unverified*, and what the guide says.
fn respond<'a>(scope: &mut Scope<'a>, resource: Resource<'a>, drafts: &mut [Draft<'_>]) {
    let properties = scope.properties(resource);
    let fields = Fields::of(
        &properties,
        resource.what(),
        &ROUTE_RESPONSE,
        &mut scope.log,
    );
    fields.required("RouteResponseKey", &mut scope.log);
    fields.one_of("RouteResponseKey", &["$default"], &mut scope.log);
    let Some(id) = fields.required("RouteId", &mut scope.log) else {
        return;
    };
    let Some(draft) = draft_of(scope, &fields, drafts) else {
        return;
    };
    let at = fields.at_of("RouteId");
    match draft.routes.iter_mut().find(|route| route.id == id) {
        Some(draft) if draft.expression == Expression::Absent => {
            let text = format!(
                "route `{}` is one-way: its response takes effect only with \
                 `RouteResponseSelectionExpression: $default`",
                draft.route.key
            );
            scope.log.note(at, text);
        }
        Some(draft) => draft.route.response = RouteResponse::TwoWay,
        None if scope.resource(&id).is_some() => {}
        None => {
            let ids: Vec<_> = draft.routes.iter().map(|route| &*route.id).collect();
            let text = format!("`{id}` is no route of {}", draft.resource.what());
            scope.log.misspelt(at, text, &id, ids);
        }
    }
}

fn authorizers(
    scope: &mut Scope<'_>,
    drafts: &mut [Draft<'_>],
) -> BTreeMap<String, Option<Authorizer>> {
    let mut authorizers = BTreeMap::new();
    for resource in of_kind(scope, "AWS::ApiGatewayV2::Authorizer") {
        let properties = scope.properties(resource);
        let fields = Fields::of(&properties, resource.what(), &AUTHORIZER, &mut scope.log);
        if draft_of(scope, &fields, drafts).is_none() {
            continue;
        }
        fields.one_of("AuthorizerType", &["REQUEST"], &mut scope.log);
        fields.required("AuthorizerUri", &mut scope.log);
        let function = match fields.get("AuthorizerUri") {
            Some(uri) => scope.function(uri),
            None => None,
        };
        let sources = api::identity_sources(&fields, "IdentitySource", &mut scope.log);
        let authorizer = function.map(|function| Authorizer {
            function,
            identity_sources: sources,
        });
        authorizers.insert(resource.id.to_owned(), authorizer);
    }
    authorizers
}

fn authorize(
    scope: &mut Scope<'_>,
    fields: &Fields<'_>,
    draft: &mut Draft<'_>,
    authorizers: &BTreeMap<String, Option<Authorizer>>,
) {
    let kinds = ["NONE", "CUSTOM", "AWS_IAM"];
    let kind = fields.one_of("AuthorizationType", &kinds, &mut scope.log);
    let at = fields.at_of("AuthorizationType");
    let is_connect = fields.get("RouteKey").and_then(Node::as_text) == Some("$connect");
    match kind.as_deref() {
        None | Some("NONE") => {}
        Some(kind) if !is_connect => {
            let text = format!("`{kind}` takes effect only on `$connect`");
            scope.log.note(at, text);
        }
        Some("AWS_IAM") => {
            let text = "`AWS_IAM` is not checked here: no client could connect as on AWS";
            scope.log.problem(at, text);
        }
        Some(_) => {
            let Some(id) = fields.required("AuthorizerId", &mut scope.log) else {
                return;
            };
            match authorizers.get(&id) {
                Some(authorizer) => draft.api.authorizer.clone_from(authorizer),
                None if scope.is_generated(&id) => {}
                None => {
                    let text = format!("`{id}` is no authorizer of this template");
                    let existing = authorizers.keys().map(String::as_str);
                    scope
                        .log
                        .misspelt(fields.at_of("AuthorizerId"), text, &id, existing);
                }
            }
        }
    }
}

fn stage<'a>(scope: &mut Scope<'a>, resource: Resource<'a>, drafts: &mut [Draft<'_>]) {
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &STAGE, &mut scope.log);
    let Some(name) = fields.required("StageName", &mut scope.log) else {
        return;
    };
    let Some(draft) = draft_of(scope, &fields, drafts) else {
        return;
    };
    if is_taken(scope, draft, &name, resource.at) {
        return;
    }
    draft.api.stage = api::stage_name(name, fields.at_of("StageName"), &mut scope.log);
    draft.api.stage_variables = fields.text_map("StageVariables", &mut scope.log);
    if let Some(settings) = api::settings(&fields, "DefaultRouteSettings", &mut scope.log) {
        draft.api.default_rate = api::rate(&settings, &mut scope.log);
    }
    api::route_settings(&fields, &mut draft.routes, &mut scope.log);
}

/// Marks an API's stage as found; a second one is noted.
fn is_taken(scope: &mut Scope<'_>, draft: &mut Draft<'_>, name: &str, at: Mark) -> bool {
    let is_taken = draft.stage.is_some();
    if is_taken {
        let (what, first) = (draft.resource.what(), &draft.api.stage);
        let text = format!("stage `{name}` of {what} does not run here beside `{first}`, skipped");
        scope.log.note(at, text);
    }
    draft.stage = draft.stage.or(Some(at));
    is_taken
}

/// A deployment may make the stage.
fn deployment<'a>(scope: &mut Scope<'a>, resource: Resource<'a>, drafts: &mut [Draft<'_>]) {
    let known = ["ApiId", "Description", "StageName"];
    let properties = scope.properties(resource);
    let fields = Fields::of(&properties, resource.what(), &known, &mut scope.log);
    let Some(draft) = draft_of(scope, &fields, drafts) else {
        return;
    };
    if let Some(name) = fields.text("StageName", &mut scope.log)
        && draft.api.stage != name
        && !is_taken(scope, draft, &name, resource.at)
    {
        draft.api.stage = api::stage_name(name, fields.at_of("StageName"), &mut scope.log);
    }
}
