//! In: a template. Out: a problem for each name in it that does not exist, wherever it stands.

use super::evaluate::{Part, function, parts};
use super::problem::Mark;
use super::scope::Scope;
use super::tree::{Entry, Kind, Node};

/// Names that `!Ref` and its kin use in resources and outputs, those included that are not read further.
pub(super) fn names<'a>(scope: &mut Scope<'a>, root: &'a Node) {
    for section in ["Resources", "Outputs"] {
        for entry in root.get(section).map(Node::entries).unwrap_or_default() {
            let is_absent = match entry.value.get("Condition") {
                Some(condition) => match condition.as_text() {
                    Some(name) => !scope.condition(name, condition.at),
                    None => false,
                },
                None => false,
            };
            if is_absent {
                continue;
            }
            depends_on(scope, &entry.value);
            visit(scope, &entry.value);
        }
    }
}

fn depends_on(scope: &mut Scope<'_>, resource: &Node) {
    let Some(node) = resource.get("DependsOn") else {
        return;
    };
    let names = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    for name in names {
        if let Some(text) = name.as_text() {
            let is_known = scope.is_generated(text) || scope.is_absent(text);
            if scope.resource(text).is_none() && !is_known {
                scope.unknown(text, name.at);
            }
        }
    }
}

fn visit(scope: &mut Scope<'_>, node: &Node) {
    match (function(node), &node.kind) {
        (Some(entry), _) => check(scope, entry),
        (None, Kind::List(items)) => items.iter().for_each(|item| visit(scope, item)),
        (None, Kind::Map(entries)) => entries.iter().for_each(|e| visit(scope, &e.value)),
        (None, _) => {}
    }
}

fn check(scope: &mut Scope<'_>, Entry { key, at, value }: &Entry) {
    match (key.as_str(), &value.kind) {
        ("Ref", _) => {
            if let Some(name) = value.as_text() {
                exists(scope, name, value.at);
            }
        }
        ("Fn::GetAtt", Kind::List(items)) => {
            if let [id, attribute] = items.as_slice()
                && let (Some(id), Some(attribute)) = (id.as_text(), attribute.as_text())
            {
                scope.attribute(id, attribute, value.at);
            }
        }
        ("Fn::GetAtt", _) => {
            if let Some((id, attribute)) = value.as_text().and_then(|text| text.split_once('.')) {
                scope.attribute(id, attribute, value.at);
            }
        }
        ("Fn::Sub", Kind::List(items)) => {
            let map = items.get(1);
            let text = items.first().and_then(Node::as_text).unwrap_or_default();
            substitutes(scope, text, map, items.first().map_or(*at, |item| item.at));
            if let Some(map) = map {
                visit(scope, map);
            }
        }
        ("Fn::Sub", _) => {
            let text = value.as_text().unwrap_or_default();
            substitutes(scope, text, None, value.at);
        }
        ("Fn::If", Kind::List(items)) => {
            // Only the branch that is taken exists here; the other may name what a condition leaves out.
            if let [condition, yes, no] = items.as_slice()
                && let Some(name) = condition.as_text()
            {
                let holds = scope.condition(name, condition.at);
                visit(scope, if holds { yes } else { no });
            }
        }
        _ => visit(scope, value),
    }
}

fn substitutes(scope: &mut Scope<'_>, text: &str, map: Option<&Node>, at: Mark) {
    for part in parts(text) {
        if let Part::Variable(name) = part
            && map.and_then(|map| map.get(name)).is_none()
        {
            scope.name(name, at);
        }
    }
}

fn exists(scope: &mut Scope<'_>, name: &str, at: Mark) {
    scope.reference(name, at);
}
