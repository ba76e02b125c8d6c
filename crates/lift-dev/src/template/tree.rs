//! In: YAML (and so JSON) text. Out: a tree that knows where each of its nodes stands.
//!
//! CloudFormation's short forms become their long ones: `!GetAtt A.Arn` is `{Fn::GetAtt: A.Arn}`.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::problem::{Log, Mark};

/// Nesting, far above what CloudFormation takes.
const DEPTH_MAX: usize = 100;
/// Nodes, those that aliases repeat included.
const NODES_MAX: usize = 200_000;

/// Functions that have a short form (user guide, "Intrinsic function reference").
const SHORT_FORMS: [&str; 20] = [
    "Ref",
    "Condition",
    "And",
    "Base64",
    "Cidr",
    "Contains",
    "Equals",
    "FindInMap",
    "GetAtt",
    "GetAZs",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
];

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    /// A scalar without quotes: text, a number or a truth value, as its reader wants it.
    Plain(String),
    /// A scalar with quotes.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// What a problem was already told for.
    Broken,
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn new(at: Mark, kind: Kind) -> Self {
        Self { at, kind }
    }

    pub(super) fn text(at: Mark, text: impl Into<String>) -> Self {
        Self::new(at, Kind::Text(text.into()))
    }

    /// The text of a scalar.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Plain(text) | Kind::Text(text) => Some(text),
            Kind::Null | Kind::List(_) | Kind::Map(_) | Kind::Broken => None,
        }
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A map's entry that is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|entry| entry.key == key)?;
        (!matches!(found.value.kind, Kind::Null)).then_some(&found.value)
    }

    /// What it is, for a sentence.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Plain(_) | Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Broken => "unknown",
        }
    }

    fn count(&self) -> usize {
        let inner = match &self.kind {
            Kind::List(items) => items.iter().map(Self::count).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
            Kind::Null | Kind::Plain(_) | Kind::Text(_) | Kind::Broken => 0,
        };
        1 + inner
    }
}

/// JSON's surrogate pairs (`\\ud83d\\ude00`) as the character that they are, which YAML has no escape for.
pub(super) fn without_surrogates(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let unit = |at: usize| u16::from_str_radix(after.get(at..at + 4)?, 16).ok();
        let is_pair = after.starts_with('u') && after.get(5..7) == Some("\\u");
        let units = is_pair.then(|| Some([unit(1)?, unit(7)?])).flatten();
        let decoded = units.and_then(|units| String::from_utf16(&units).ok());
        let end = match &decoded {
            // Two characters of their own stay as they are.
            Some(text) if text.chars().count() == 1 => {
                out.push_str(text);
                11
            }
            Some(_) | None => {
                out.push('\\');
                let next = after.chars().next();
                out.extend(next);
                next.map_or(0, char::len_utf8)
            }
        };
        rest = after.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Reads the first document; what is wrong with its form is a problem and ends the reading.
pub(super) fn yaml(text: &str, log: &mut Log) -> Option<Node> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let info = error.info();
                log.problem(mark(*error.marker()), format!("this is no YAML: {info}"));
                return None;
            }
        };
        if let Err(problem) = builder.take(event, mark(span.start), log) {
            log.problem(mark(span.start), problem);
            return None;
        }
        if builder.document.is_some() {
            break;
        }
    }
    let at = Mark { line: 1, column: 1 };
    Some(builder.document.unwrap_or(Node::new(at, Kind::Null)))
}

fn mark(marker: Marker) -> Mark {
    Mark {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, (usize, Node)>,
    nodes: usize,
    document: Option<Node>,
}

/// A list or map whose end has not come.
struct Open {
    at: Mark,
    anchor: usize,
    tag: Option<Tag>,
    collection: Collection,
}

enum Collection {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, Mark)>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Mark, log: &mut Log) -> Result<(), String> {
        match event {
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor).cloned();
                let (size, node) = found.ok_or("an alias to what holds it")?;
                self.nodes += size;
                self.push(node, log)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = match (&*text, style) {
                    ("" | "~" | "null" | "Null" | "NULL", ScalarStyle::Plain) => Kind::Null,
                    (text, ScalarStyle::Plain) => Kind::Plain(text.to_owned()),
                    (text, _) => Kind::Text(text.to_owned()),
                };
                let tag = tag.map(std::borrow::Cow::into_owned);
                self.close(Node::new(at, kind), anchor, tag.as_ref(), log)
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = tag.map(std::borrow::Cow::into_owned);
                self.open(at, anchor, tag, Collection::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let tag = tag.map(std::borrow::Cow::into_owned);
                self.open(at, anchor, tag, Collection::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let kind = match open.collection {
                    Collection::List(items) => Kind::List(items),
                    Collection::Map(entries, _) => Kind::Map(merged(entries)),
                };
                let node = Node::new(open.at, kind);
                self.close(node, open.anchor, open.tag.as_ref(), log)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(
        &mut self,
        at: Mark,
        anchor: usize,
        tag: Option<Tag>,
        collection: Collection,
    ) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("this is nested more than {DEPTH_MAX} deep"));
        }
        self.open.push(Open {
            at,
            anchor,
            tag,
            collection,
        });
        Ok(())
    }

    fn close(
        &mut self,
        node: Node,
        anchor: usize,
        tag: Option<&Tag>,
        log: &mut Log,
    ) -> Result<(), String> {
        let node = tagged(node, tag, log);
        self.nodes += 1;
        if anchor > 0 {
            self.anchors.insert(anchor, (node.count(), node.clone()));
        }
        self.push(node, log)
    }

    fn push(&mut self, node: Node, log: &mut Log) -> Result<(), String> {
        if self.nodes > NODES_MAX {
            return Err(format!("this has more than {NODES_MAX} values"));
        }
        let Some(open) = self.open.last_mut() else {
            self.document = Some(node);
            return Ok(());
        };
        match &mut open.collection {
            Collection::List(items) => items.push(node),
            Collection::Map(entries, key) => match key.take() {
                Some((key, at)) => {
                    if entries.iter().any(|entry| entry.key == key) && key != "<<" {
                        log.problem(at, format!("`{key}` is here a second time"));
                    }
                    let value = node;
                    entries.push(Entry { key, at, value });
                }
                None => {
                    let text = match &node.kind {
                        Kind::Null => "null",
                        _ => node.as_text().ok_or("a key must be text")?,
                    };
                    *key = Some((text.to_owned(), node.at));
                }
            },
        }
        Ok(())
    }
}

/// YAML's `<<`: the entries of another map, where this one does not have them.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if !entries.iter().any(|entry| entry.key == "<<") {
        return entries;
    }
    let (merge, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key == "<<");
    for entry in merge {
        let sources = match entry.value.kind {
            Kind::List(items) => items,
            _ => vec![entry.value],
        };
        for entry in sources.iter().flat_map(Node::entries) {
            if !own.iter().any(|other| other.key == entry.key) {
                own.push(entry.clone());
            }
        }
    }
    own
}

/// A tag's function around its argument.
fn tagged(node: Node, tag: Option<&Tag>, log: &mut Log) -> Node {
    let Some(tag) = tag else { return node };
    let at = node.at;
    if tag.is_yaml_core_schema() {
        return match (&*tag.suffix, node.as_text()) {
            ("str", Some(text)) => Node::text(at, text),
            ("str", None) => Node::text(at, ""),
            _ => node,
        };
    }
    let name = tag.suffix.as_str();
    if name.is_empty() || name == "!" {
        return node;
    }
    let key = match name {
        "Ref" | "Condition" => name.to_owned(),
        _ if SHORT_FORMS.contains(&name) => format!("Fn::{name}"),
        "Transform" => "Fn::Transform".to_owned(),
        _ => {
            let text = format!("there is no function `!{name}`");
            let existing = SHORT_FORMS.map(|name| format!("!{name}"));
            let name = format!("!{name}");
            log.misspelt(at, text, &name, existing.iter().map(String::as_str));
            return Node::new(at, Kind::Broken);
        }
    };
    let value = node;
    Node::new(at, Kind::Map(vec![Entry { key, at, value }]))
}
