//! In: a template's tree and the settings. Out: its parameters, conditions, mappings and resources, by name.

use std::collections::{BTreeMap, BTreeSet};

use super::Settings;
use super::problem::{Log, Mark};
use super::tree::{Entry, Kind, Node};

/// Names that stand on other names, at most in a row.
const CHAIN_MAX: usize = 32;
/// Values within values and names together, at most; each costs a frame of the stack.
const DEPTH_MAX: usize = 200;

/// One resource as written.
#[derive(Clone, Copy)]
pub(super) struct Resource<'a> {
    pub(super) id: &'a str,
    pub(super) at: Mark,
    pub(super) kind: &'a str,
    pub(super) node: &'a Node,
}

impl Resource<'_> {
    /// The resource for a sentence.
    pub(super) fn what(&self) -> String {
        let kind = self.kind.rsplit("::").next().unwrap_or(self.kind);
        format!("{kind} `{}`", self.id)
    }
}

/// What names in a template stand for.
pub(super) struct Scope<'a> {
    pub(super) settings: &'a Settings,
    pub(super) log: Log,
    pub(super) resources: Vec<Resource<'a>>,
    pub(super) parameters: BTreeMap<&'a str, Node>,
    pub(super) mappings: Option<&'a Node>,
    conditions: BTreeMap<&'a str, &'a Node>,
    decided: BTreeMap<String, bool>,
    /// Names that resources have; nothing where one could not be resolved.
    pub(super) names: BTreeMap<String, Option<String>>,
    absent: BTreeSet<String>,
    active: Vec<String>,
    depth: usize,
}

impl<'a> Scope<'a> {
    pub(super) fn new(root: &'a Node, settings: &'a Settings, log: Log) -> Self {
        let section = |name: &str| root.get(name).map(Node::entries).unwrap_or_default();
        let conditions = section("Conditions").iter();
        let mut scope = Self {
            settings,
            log,
            resources: Vec::new(),
            parameters: BTreeMap::new(),
            mappings: root.get("Mappings"),
            conditions: conditions.map(|e| (e.key.as_str(), &e.value)).collect(),
            decided: BTreeMap::new(),
            names: BTreeMap::new(),
            absent: BTreeSet::new(),
            active: Vec::new(),
            depth: 0,
        };
        scope.read_parameters(root, section("Parameters"));
        scope.read_resources(section("Resources"));
        scope
    }

    fn read_parameters(&mut self, root: &'a Node, declared: &'a [Entry]) {
        for Entry { key, at, value } in declared {
            let flag = self.settings.parameters.get(key);
            let given = flag.map(|text| Node::text(*at, text.clone()));
            let kind = value
                .get("Type")
                .and_then(Node::as_text)
                .unwrap_or("String");
            // The default of such a parameter is the name of a value that only an account holds.
            let looked_up = kind.starts_with("AWS::SSM::Parameter::Value<");
            let default = value.get("Default").filter(|_| !looked_up).cloned();
            let found = given.or(default);
            let Some(found) = found else {
                let name = value.get("Default").and_then(Node::as_text);
                let why = match name.filter(|_| looked_up) {
                    Some(name) => format!("the value of `{name}` in SSM, which is not here"),
                    None => "no value".to_owned(),
                };
                let text = format!("parameter `{key}` has {why}: give --parameter {key}=VALUE");
                self.log.problem(*at, text);
                self.parameters.insert(key, Node::new(*at, Kind::Broken));
                continue;
            };
            self.check_parameter(key, kind, value, &found);
            let is_list = kind == "CommaDelimitedList" || kind.contains("List<");
            let parameter = match found.as_text() {
                Some(text) if is_list => {
                    let items = text
                        .split(',')
                        .map(|item| Node::text(found.at, item.trim()));
                    Node::new(found.at, Kind::List(items.collect()))
                }
                _ => found,
            };
            self.parameters.insert(key, parameter);
        }
        let at = root.get("Parameters").map_or(root.at, |node| node.at);
        for name in self.settings.parameters.keys() {
            if !self.parameters.contains_key(name.as_str()) {
                let text = format!("no parameter is named `{name}`, which --parameter sets");
                let existing = self.parameters.keys().copied();
                self.log.misspelt(at, text, name, existing);
            }
        }
    }

    fn check_parameter(&mut self, name: &str, kind: &str, declared: &Node, found: &Node) {
        let text = found.as_text().unwrap_or_default();
        if kind == "Number" && text.parse::<f64>().is_err() {
            let problem = format!("parameter `{name}` is a number, not `{text}`");
            self.log.problem(found.at, problem);
        }
        let Some(Kind::List(allowed)) = declared.get("AllowedValues").map(|node| &node.kind) else {
            return;
        };
        let allowed: Vec<_> = allowed.iter().filter_map(Node::as_text).collect();
        if !allowed.contains(&text) {
            let list = allowed.join(", ");
            let problem = format!("parameter `{name}` is `{text}`, which is none of {list}");
            self.log.misspelt(found.at, problem, text, allowed);
        }
    }

    fn read_resources(&mut self, declared: &'a [Entry]) {
        let mut absent = Vec::new();
        for Entry { key, at, value } in declared {
            let Some(kind) = value.get("Type").and_then(Node::as_text) else {
                self.log
                    .problem(*at, format!("resource `{key}` needs `Type`"));
                continue;
            };
            let resource = Resource {
                id: key,
                at: *at,
                kind,
                node: value,
            };
            self.resources.push(resource);
            if let Some(condition) = value.get("Condition")
                && let Some(name) = condition.as_text()
                && !self.condition(name, condition.at)
            {
                absent.push(key.as_str());
            }
        }
        self.resources
            .retain(|resource| !absent.contains(&resource.id));
        self.absent = absent.into_iter().map(str::to_owned).collect();
    }

    pub(super) fn resource(&self, id: &str) -> Option<Resource<'a>> {
        let mut resources = self.resources.iter();
        resources.find(|resource| resource.id == id).copied()
    }

    /// Whether a condition leaves this resource out.
    pub(super) fn is_absent(&self, id: &str) -> bool {
        self.absent.contains(id)
    }

    /// Whether a condition holds.
    pub(super) fn condition(&mut self, name: &str, at: Mark) -> bool {
        if let Some(decided) = self.decided.get(name) {
            return *decided;
        }
        let Some(node) = self.conditions.get(name).copied() else {
            let text = format!("no condition is named `{name}`");
            let existing: Vec<_> = self.conditions.keys().copied().collect();
            self.log.misspelt(at, text, name, existing);
            return false;
        };
        if !self.enter(&format!("condition `{name}`"), at) {
            return false;
        }
        let decided = self.decide(node);
        self.leave();
        self.decided.insert(name.to_owned(), decided);
        decided
    }

    /// Goes one value deeper; one that is too deep is a problem.
    pub(super) fn descend(&mut self, at: Mark) -> bool {
        let is_bounded = self.depth < DEPTH_MAX;
        if is_bounded {
            self.depth += 1;
        } else {
            let text =
                format!("this is more than {DEPTH_MAX} values deep, through the names in it");
            self.log.problem(at, text);
        }
        is_bounded
    }

    pub(super) fn ascend(&mut self) {
        self.depth -= 1;
    }

    /// Whether a condition's expression holds.
    fn decide(&mut self, node: &'a Node) -> bool {
        if !self.descend(node.at) {
            return false;
        }
        let decided = self.decide_within(node);
        self.ascend();
        decided
    }

    fn decide_within(&mut self, node: &'a Node) -> bool {
        let [Entry { key, at, value }] = node.entries() else {
            let found = node.describe();
            self.log
                .problem(node.at, format!("a condition cannot be {found}"));
            return false;
        };
        let items = match &value.kind {
            Kind::List(items) => items.as_slice(),
            _ => &[],
        };
        match (key.as_str(), items) {
            ("Condition", _) => match value.as_text() {
                Some(name) => self.condition(name, value.at),
                None => false,
            },
            ("Fn::Equals", [left, right]) => {
                let [left, right] = [left, right].map(|side| self.evaluate(side));
                let text = |side: &Option<Node>| {
                    let side = side.as_ref().and_then(Node::as_text);
                    side.map(str::to_owned)
                };
                text(&left) == text(&right)
            }
            ("Fn::Not", [item]) => !self.decide(item),
            ("Fn::And", [_, ..]) => items.iter().all(|item| self.decide(item)),
            ("Fn::Or", [_, ..]) => items.iter().any(|item| self.decide(item)),
            ("Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or", _) => {
                let text = format!("`{key}` needs a list of its operands");
                self.log.problem(*at, text);
                false
            }
            _ => {
                let text = format!("a condition knows no `{key}`");
                let known = ["Condition", "Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"];
                self.log.misspelt(*at, text, key, known);
                false
            }
        }
    }

    /// Begins to resolve a name; one that stands on itself is a problem.
    pub(super) fn enter(&mut self, name: &str, at: Mark) -> bool {
        if self.active.iter().any(|active| active == name) {
            let cycle = self.active.iter().skip_while(|active| *active != name);
            let mut cycle: Vec<_> = cycle.map(String::as_str).collect();
            cycle.push(name);
            let text = format!("a circle of references: {}", cycle.join(" → "));
            self.log.problem(at, text);
            return false;
        }
        if self.active.len() >= CHAIN_MAX {
            let text = format!("{name} stands on more than {CHAIN_MAX} other names");
            self.log.problem(at, text);
            return false;
        }
        self.active.push(name.to_owned());
        true
    }

    pub(super) fn leave(&mut self) {
        self.active.pop();
    }
}
