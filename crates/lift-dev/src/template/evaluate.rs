//! In: a value as written. Out: the same with its functions (`Ref`, `Fn::Sub` …) resolved.
//!
//! Source: CloudFormation user guide, "Intrinsic function reference".

use base64::Engine as _;

use super::problem::Mark;
use super::scope::Scope;
use super::tree::{Entry, Kind, Node};

/// Bytes of a text that is made; texts that double each other would grow without end.
const TEXT_BYTES_MAX: usize = 64 * 1024;

const FUNCTIONS: [&str; 16] = [
    "Ref",
    "Fn::Base64",
    "Fn::Cidr",
    "Fn::FindInMap",
    "Fn::GetAtt",
    "Fn::GetAZs",
    "Fn::If",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Length",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Fn::ToJsonString",
    "Fn::Transform",
    "Fn::Equals",
];

/// The function that a map is, with its argument.
pub(super) fn function(node: &Node) -> Option<&Entry> {
    match node.entries() {
        [entry] if entry.key == "Ref" || entry.key.starts_with("Fn::") => Some(entry),
        _ => None,
    }
}

impl Scope<'_> {
    /// The value; nothing where it is `AWS::NoValue`.
    pub(super) fn evaluate(&mut self, node: &Node) -> Option<Node> {
        if !self.descend(node.at) {
            return Some(Node::new(node.at, Kind::Broken));
        }
        let value = self.evaluate_within(node);
        self.ascend();
        value
    }

    fn evaluate_within(&mut self, node: &Node) -> Option<Node> {
        if let Some(entry) = function(node) {
            return self.call(entry);
        }
        let kind = match &node.kind {
            Kind::List(items) => {
                let items = items.iter().filter_map(|item| self.evaluate(item));
                Kind::List(items.collect())
            }
            Kind::Map(entries) => {
                let entry = |entry: &Entry| {
                    let value = self.evaluate(&entry.value)?;
                    let (key, at) = (entry.key.clone(), entry.at);
                    Some(Entry { key, at, value })
                };
                Kind::Map(entries.iter().filter_map(entry).collect())
            }
            other => other.clone(),
        };
        Some(Node::new(node.at, kind))
    }

    fn call(&mut self, entry: &Entry) -> Option<Node> {
        let Entry { key, at, value } = entry;
        let result = match key.as_str() {
            "Ref" => match value.as_text() {
                Some(name) => return self.reference(name, value.at),
                None => self.misused(entry, "a name"),
            },
            "Fn::If" => return self.choose(entry),
            "Fn::GetAtt" => self.get_attribute(entry),
            "Fn::Sub" => self.substitute(entry),
            "Fn::Join" => self.join(entry),
            "Fn::FindInMap" => self.find_in_map(entry),
            "Fn::Select" => self.select(entry),
            "Fn::Split" => self.split(entry),
            "Fn::Base64" => {
                let text = self.evaluate_text(value)?;
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                Node::text(*at, encoded)
            }
            "Fn::ToJsonString" => {
                let value = self.evaluate(value)?;
                Node::text(*at, super::json::value(&value).to_string())
            }
            "Fn::Length" => match self.evaluate(value)?.kind {
                Kind::List(items) => Node::new(*at, Kind::Plain(items.len().to_string())),
                _ => self.misused(entry, "a list"),
            },
            "Fn::ImportValue" => {
                let name = self.evaluate_text(value)?;
                let text = format!("the export `{name}` is unknown here; its name stands for it");
                self.log.note(*at, text);
                Node::text(*at, name)
            }
            "Fn::GetAZs" => {
                let region = self.settings.region.clone();
                let zones = ["a", "b", "c"].map(|zone| Node::text(*at, format!("{region}{zone}")));
                Node::new(*at, Kind::List(zones.into()))
            }
            "Fn::Cidr" | "Fn::Transform" => {
                self.log
                    .problem(*at, format!("`{key}` cannot be resolved here"));
                Node::new(*at, Kind::Broken)
            }
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                self.log
                    .problem(*at, format!("`{key}` stands only in conditions"));
                Node::new(*at, Kind::Broken)
            }
            _ => {
                let text = format!("there is no function `{key}`");
                self.log.misspelt(*at, text, key, FUNCTIONS);
                Node::new(*at, Kind::Broken)
            }
        };
        Some(result)
    }

    /// The text that a value is; what is no text is a problem.
    pub(super) fn evaluate_text(&mut self, node: &Node) -> Option<String> {
        let value = self.evaluate(node)?;
        if value.as_text().is_none() && !matches!(value.kind, Kind::Broken) {
            let found = value.describe();
            self.log
                .problem(node.at, format!("this must be text, not {found}"));
        }
        value.as_text().map(str::to_owned)
    }

    fn misused(&mut self, entry: &Entry, wanted: &str) -> Node {
        let Entry { key, value, .. } = entry;
        if !matches!(value.kind, Kind::Broken) {
            self.log
                .problem(value.at, format!("`{key}` needs {wanted}"));
        }
        Node::new(value.at, Kind::Broken)
    }

    fn choose(&mut self, entry: &Entry) -> Option<Node> {
        if let Kind::List(items) = &entry.value.kind
            && let [condition, yes, no] = items.as_slice()
            && let Some(name) = condition.as_text()
        {
            let branch = if self.condition(name, condition.at) {
                yes
            } else {
                no
            };
            return self.evaluate(branch);
        }
        Some(self.misused(entry, "a list of a condition's name and two values"))
    }

    fn get_attribute(&mut self, entry: &Entry) -> Node {
        let value = &entry.value;
        let parts = match &value.kind {
            Kind::Plain(text) | Kind::Text(text) => Some(text.clone()),
            Kind::List(items) => {
                let items = items.iter().map(|item| self.evaluate_text(item));
                items
                    .collect::<Option<Vec<_>>>()
                    .map(|items| items.join("."))
            }
            Kind::Null | Kind::Map(_) | Kind::Broken => None,
        };
        match parts.as_deref().and_then(|text| text.split_once('.')) {
            Some((id, attribute)) => self.attribute(id, attribute, value.at),
            None => self.misused(entry, "a resource's name and an attribute's: `Name.Arn`"),
        }
    }

    fn substitute(&mut self, entry: &Entry) -> Node {
        let (template, map) = match &entry.value.kind {
            Kind::Plain(_) | Kind::Text(_) => (&entry.value, None),
            Kind::List(items) => match items.as_slice() {
                [text] => (text, None),
                [text, map] => (text, Some(map)),
                _ => return self.misused(entry, "a text, or a list of a text and a map"),
            },
            Kind::Null | Kind::Map(_) | Kind::Broken => {
                return self.misused(entry, "a text, or a list of a text and a map");
            }
        };
        let Some(text) = template.as_text() else {
            return self.misused(entry, "a text");
        };
        let mut result = String::new();
        let mut broken = false;
        for part in parts(text) {
            match part {
                Part::Literal(text) => result.push_str(text),
                Part::Variable(name) => {
                    let value = match map.and_then(|map| map.get(name)) {
                        Some(value) => self.evaluate(value),
                        None => self.name(name, template.at),
                    };
                    match value.as_ref().and_then(Node::as_text) {
                        Some(text) => result.push_str(text),
                        None => broken = true,
                    }
                    if let Some(value) = value.filter(|value| value.as_text().is_none()) {
                        self.expect_text(&value, name, template.at);
                    }
                }
            }
            if result.len() > TEXT_BYTES_MAX {
                return self.too_long(template.at);
            }
        }
        match broken {
            true => Node::new(template.at, Kind::Broken),
            false => Node::text(template.at, result),
        }
    }

    fn expect_text(&mut self, value: &Node, name: &str, at: Mark) {
        if !matches!(value.kind, Kind::Broken) {
            let found = value.describe();
            self.log
                .problem(at, format!("`{name}` is {found}, not text"));
        }
    }

    fn too_long(&mut self, at: Mark) -> Node {
        let text = format!("this becomes longer than {TEXT_BYTES_MAX} bytes");
        self.log.problem(at, text);
        Node::new(at, Kind::Broken)
    }

    /// What `${name}` stands for: what `Ref`, or `Fn::GetAtt` with dots, says.
    pub(super) fn name(&mut self, name: &str, at: Mark) -> Option<Node> {
        match name.split_once('.') {
            Some((id, attribute)) if !self.is_alias(name) => {
                Some(self.attribute(id, attribute, at))
            }
            _ => self.reference(name, at),
        }
    }

    /// A function's arguments; what stands for its result where they are none.
    fn arguments(&mut self, entry: &Entry, wanted: &str) -> Result<Vec<Node>, Node> {
        let broken = Node::new(entry.value.at, Kind::Broken);
        match self.evaluate(&entry.value).map(|value| value.kind) {
            Some(Kind::Broken) => Err(broken),
            Some(Kind::List(items)) => {
                let is_broken = |item: &Node| matches!(item.kind, Kind::Broken);
                match items.iter().any(is_broken) {
                    true => Err(broken),
                    false => Ok(items),
                }
            }
            Some(_) | None => Err(self.misused(entry, wanted)),
        }
    }

    fn join(&mut self, entry: &Entry) -> Node {
        const WANTED: &str = "a list of a delimiter and a list of texts";
        let at = entry.value.at;
        let arguments = match self.arguments(entry, WANTED) {
            Ok(arguments) => arguments,
            Err(node) => return node,
        };
        let [
            delimiter,
            Node {
                kind: Kind::List(items),
                ..
            },
        ] = arguments.as_slice()
        else {
            return self.misused(entry, WANTED);
        };
        if items.iter().any(|item| matches!(item.kind, Kind::Broken)) {
            return Node::new(at, Kind::Broken);
        }
        // A delimiter of nothing is written without quotes now and then.
        let delimiter = match delimiter.kind {
            Kind::Null => Some(""),
            _ => delimiter.as_text(),
        };
        let texts: Option<Vec<_>> = items.iter().map(Node::as_text).collect();
        let (Some(delimiter), Some(texts)) = (delimiter, texts) else {
            return self.misused(entry, WANTED);
        };
        let bytes = texts.iter().map(|text| text.len() + delimiter.len());
        match bytes.sum::<usize>() > TEXT_BYTES_MAX {
            true => self.too_long(at),
            false => Node::text(at, texts.join(delimiter)),
        }
    }

    fn find_in_map(&mut self, entry: &Entry) -> Node {
        const WANTED: &str = "a list of a name in `Mappings` and two keys";
        let at = entry.value.at;
        let keys = match self.arguments(entry, WANTED) {
            Ok(keys) => keys,
            Err(node) => return node,
        };
        let texts: Option<Vec<_>> = keys.iter().take(3).map(Node::as_text).collect();
        let texts = texts.filter(|texts| texts.len() == 3);
        let (Some(texts), Some(mappings)) = (texts, self.mappings) else {
            return self.misused(entry, WANTED);
        };
        let mut found = mappings;
        for text in texts {
            let Some(inner) = found.get(text) else {
                let default = keys.get(3).and_then(|more| more.get("DefaultValue"));
                if let Some(default) = default {
                    return default.clone();
                }
                let existing: Vec<_> = found.entries().iter().map(|e| e.key.as_str()).collect();
                let problem = format!("`Mappings` has no `{text}` here");
                self.log.misspelt(at, problem, text, existing);
                return Node::new(at, Kind::Broken);
            };
            found = inner;
        }
        found.clone()
    }

    fn select(&mut self, entry: &Entry) -> Node {
        const WANTED: &str = "a list of an index and a list that is long enough";
        let arguments = match self.arguments(entry, WANTED) {
            Ok(arguments) => arguments,
            Err(node) => return node,
        };
        let [
            index,
            Node {
                kind: Kind::List(items),
                ..
            },
        ] = arguments.as_slice()
        else {
            return self.misused(entry, WANTED);
        };
        let index = index.as_text().and_then(|text| text.parse::<usize>().ok());
        match index.and_then(|index| items.get(index)) {
            Some(item) => item.clone(),
            None => self.misused(entry, WANTED),
        }
    }

    fn split(&mut self, entry: &Entry) -> Node {
        const WANTED: &str = "a list of a delimiter and a text";
        let at = entry.value.at;
        let arguments = match self.arguments(entry, WANTED) {
            Ok(arguments) => arguments,
            Err(node) => return node,
        };
        let texts: Option<Vec<_>> = arguments.iter().map(Node::as_text).collect();
        match texts.as_deref() {
            Some([delimiter, text]) if !delimiter.is_empty() => {
                let items = text.split(delimiter).map(|item| Node::text(at, item));
                Node::new(at, Kind::List(items.collect()))
            }
            _ => self.misused(entry, WANTED),
        }
    }
}

/// A part of a text for `Fn::Sub`.
pub(super) enum Part<'t> {
    Literal(&'t str),
    Variable(&'t str),
}

/// The parts of a text for `Fn::Sub`; `${!x}` is the text `${x}`.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        parts.push(Part::Literal(before));
        match name.strip_prefix('!') {
            Some(literal) => parts.extend(["${", literal, "}"].map(Part::Literal)),
            None => parts.push(Part::Variable(name.trim())),
        }
        rest = after;
    }
    parts.push(Part::Literal(rest));
    parts
}
