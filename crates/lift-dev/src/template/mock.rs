//! In: a `MOCK` integration and its responses. Out: the text that it answers with.
//!
//! Fixed text only: a template that reads something of the message is a problem.

use super::fields::Fields;
use super::problem::Mark;
use super::raw::of_kind;
use super::scope::{Resource, Scope};
use super::tree::{Entry, Node};

const RESPONSE: [&str; 7] = [
    "ApiId",
    "ContentHandlingStrategy",
    "IntegrationId",
    "IntegrationResponseKey",
    "ResponseParameters",
    "ResponseTemplates",
    "TemplateSelectionExpression",
];

/// A response of the integration: its key, and its text where it has one.
struct Response {
    key: String,
    text: Option<String>,
}

/// The integration's answer; nothing where it has no fixed one.
pub(super) fn text(
    scope: &mut Scope<'_>,
    integration: Resource<'_>,
    fields: &Fields<'_>,
) -> Option<String> {
    let request = template(scope, fields, "RequestTemplates")?;
    let code = request.as_deref().and_then(status_code);
    let mut responses = Vec::new();
    for resource in of_kind(scope, "AWS::ApiGatewayV2::IntegrationResponse") {
        let properties = scope.properties(resource);
        let fields = Fields::of(&properties, resource.what(), &RESPONSE, &mut scope.log);
        let of = fields.required("IntegrationId", &mut scope.log);
        if of.as_deref() != Some(integration.id) {
            continue;
        }
        let key = fields.required("IntegrationResponseKey", &mut scope.log)?;
        let text = template(scope, &fields, "ResponseTemplates")?;
        responses.push(Response { key, text });
    }
    let code = code.unwrap_or_else(|| "200".to_owned());
    let exact = [format!("/{code}/"), code];
    let found = responses
        .iter()
        .find(|response| exact.contains(&response.key));
    let default = || responses.iter().find(|response| response.key == "$default");
    let only = || responses.first().filter(|_| responses.len() == 1);
    let found = found.or_else(default).or_else(only);
    let text = found.and_then(|response| response.text.clone());
    Some(text.unwrap_or_default())
}

/// The template that is chosen; the outer nothing is a problem.
fn template(scope: &mut Scope<'_>, fields: &Fields<'_>, name: &str) -> Option<Option<String>> {
    let entries = fields.get(name).map(Node::entries).unwrap_or_default();
    let expression = fields.text("TemplateSelectionExpression", &mut scope.log);
    let wanted = expression.as_deref().map(|text| text.replace('\\', ""));
    let exact = entries
        .iter()
        .find(|entry| Some(&entry.key) == wanted.as_ref());
    let default = || entries.iter().find(|entry| entry.key == "$default");
    let chosen = exact.or_else(default).or_else(|| entries.first());
    let Some(Entry { key, value, .. }) = chosen else {
        return Some(None);
    };
    if exact.is_none() && entries.len() > 1 {
        let text = format!("`{name}`: `{key}` is taken, whatever the selection expression says");
        scope.log.note(value.at, text);
    }
    let text = value.as_text()?;
    if let Some(found) = mapping(text) {
        refuse(scope, value.at, found);
        return None;
    }
    Some(Some(text.to_owned()))
}

fn refuse(scope: &mut Scope<'_>, at: Mark, found: &str) {
    let text = format!("mapping templates run here only as fixed text; this has `{found}`");
    scope.log.problem(at, text);
}

/// A reference or directive of the Velocity template language.
fn mapping(text: &str) -> Option<&str> {
    const DIRECTIVES: [&str; 6] = ["#set", "#if", "#foreach", "#else", "#end", "#define"];
    let directive = DIRECTIVES.into_iter().find(|word| text.contains(word));
    directive.or_else(|| {
        let starts = text.match_indices('$').map(|(at, _)| at);
        starts.into_iter().find_map(|at| {
            let rest = text.get(at..)?;
            let next = rest.chars().nth(1)?;
            let is_reference = next.is_alphabetic() || next == '{' || next == '!';
            let end = rest
                .find(|c: char| c.is_whitespace() || c == '"')
                .unwrap_or(rest.len());
            is_reference.then(|| rest.get(..end)).flatten()
        })
    })
}

/// `statusCode` of a request template.
fn status_code(template: &str) -> Option<String> {
    let template: serde_json::Value = serde_json::from_str(template).ok()?;
    Some(template.get("statusCode")?.to_string())
}
