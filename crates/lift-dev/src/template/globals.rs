//! In: a template with `Globals`. Out: the same, with them in each resource that they are for.
//!
//! Source: SAM developer guide, "Globals section": a resource's value replaces the global one, maps are
//! merged, lists are added.

use super::problem::Log;
use super::tree::{Entry, Kind, Node};

const SECTIONS: [(&str, &str); 3] = [
    ("Function", "AWS::Serverless::Function"),
    ("WebSocketApi", "AWS::Serverless::WebSocketApi"),
    ("SimpleTable", "AWS::Serverless::SimpleTable"),
];
/// Sections of what does not run here.
const OTHERS: [&str; 5] = [
    "Api",
    "HttpApi",
    "StateMachine",
    "LayerVersion",
    "CapacityProvider",
];

pub(super) fn merge(root: &mut Node, log: &mut Log) {
    let Some(globals) = root.get("Globals").cloned() else {
        return;
    };
    for Entry { key, at, .. } in globals.entries() {
        let known = SECTIONS.iter().map(|(name, _)| *name).chain(OTHERS);
        if !known.clone().any(|name| name == key) {
            log.misspelt(*at, format!("`Globals` knows no `{key}`"), key, known);
        }
    }
    let Kind::Map(sections) = &mut root.kind else {
        return;
    };
    let resources = sections.iter_mut().find(|entry| entry.key == "Resources");
    let Some(Kind::Map(resources)) = resources.map(|entry| &mut entry.value.kind) else {
        return;
    };
    for resource in resources {
        let kind = resource.value.get("Type").and_then(Node::as_text);
        let section = SECTIONS.iter().find(|(_, name)| Some(*name) == kind);
        let Some(global) = section.and_then(|(name, _)| globals.get(name)) else {
            continue;
        };
        let Kind::Map(entries) = &mut resource.value.kind else {
            continue;
        };
        match entries.iter_mut().find(|entry| entry.key == "Properties") {
            Some(entry) => entry.value = merged(global, &entry.value),
            None => entries.push(Entry {
                key: "Properties".to_owned(),
                at: resource.at,
                value: global.clone(),
            }),
        }
    }
}

fn merged(global: &Node, own: &Node) -> Node {
    // A function's result is one value: `{Ref: A}` and `{Ref: B}` are not merged into one map.
    let is_function = |node| super::evaluate::function(node).is_some();
    let kind = match (&global.kind, &own.kind) {
        (Kind::Map(below), Kind::Map(above)) if !is_function(global) && !is_function(own) => {
            let mut entries = above.clone();
            for entry in below {
                match entries.iter_mut().find(|other| other.key == entry.key) {
                    Some(other) => other.value = merged(&entry.value, &other.value),
                    None => entries.push(entry.clone()),
                }
            }
            Kind::Map(entries)
        }
        (Kind::List(below), Kind::List(above)) => {
            Kind::List(below.iter().chain(above).cloned().collect())
        }
        _ => own.kind.clone(),
    };
    Node::new(own.at, kind)
}
