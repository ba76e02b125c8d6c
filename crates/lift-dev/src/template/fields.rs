//! In: a map with everything in it resolved. Out: its fields by type; a wrong one is a problem, an unknown one a note.

use std::ops::RangeInclusive;

use super::problem::{Log, Mark, nearest};
use super::tree::{Entry, Kind, Node};

/// A map whose fields are known by name.
pub(super) struct Fields<'n> {
    node: &'n Node,
    what: String,
    unknown: Vec<&'n Entry>,
}

impl<'n> Fields<'n> {
    /// The fields of `what`; names that are not among `known` are noted.
    pub(super) fn of(
        node: &'n Node,
        what: impl Into<String>,
        known: &[&str],
        log: &mut Log,
    ) -> Self {
        let what = what.into();
        if !matches!(node.kind, Kind::Map(_) | Kind::Broken | Kind::Null) {
            let found = node.describe();
            log.problem(node.at, format!("{what} must be a map, not {found}"));
        }
        let is_unknown = |entry: &&Entry| !known.is_empty() && !known.contains(&&*entry.key);
        let unknown: Vec<_> = node.entries().iter().filter(is_unknown).collect();
        for Entry { key, at, .. } in &unknown {
            let meant = match nearest(key, known.iter().copied()) {
                Some(name) => format!("; did you mean `{name}`?"),
                None => String::new(),
            };
            log.note(*at, format!("{what}: lift dev does not use `{key}`{meant}"));
        }
        Self {
            node,
            what,
            unknown,
        }
    }

    pub(super) fn at(&self) -> Mark {
        self.node.at
    }

    pub(super) fn entries(&self) -> &'n [Entry] {
        self.node.entries()
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.node.get(name)
    }

    /// Where a field stands, else where the map does.
    pub(super) fn at_of(&self, name: &str) -> Mark {
        self.get(name).map_or(self.at(), |node| node.at)
    }

    pub(super) fn text(&self, name: &str, log: &mut Log) -> Option<String> {
        let node = self.get(name)?;
        let text = node.as_text();
        if text.is_none() {
            self.wrong(name, node, "text", log);
        }
        text.map(str::to_owned)
    }

    /// A text that must be there.
    pub(super) fn required(&self, name: &str, log: &mut Log) -> Option<String> {
        if self.get(name).is_none() && !matches!(self.node.kind, Kind::Broken) {
            self.missing(name, log);
        }
        self.text(name, log)
    }

    /// A field that must be there is not; an unknown one may be it, misspelt.
    pub(super) fn missing(&self, name: &str, log: &mut Log) {
        let what = &self.what;
        let keys = self.unknown.iter().map(|entry| entry.key.as_str());
        let meant = nearest(name, keys);
        match self.unknown.iter().find(|entry| Some(&*entry.key) == meant) {
            Some(Entry { key, at, .. }) => {
                let text = format!("{what} needs `{name}` and knows no `{key}`");
                log.misspelt(*at, text, key, [name]);
            }
            None => log.problem(self.at(), format!("{what} needs `{name}`")),
        }
    }

    pub(super) fn number(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
        log: &mut Log,
    ) -> Option<u32> {
        let node = self.get(name)?;
        let number = node.as_text().and_then(|text| text.parse().ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (min, max) = (range.start(), range.end());
            self.wrong(name, node, &format!("a number from {min} to {max}"), log);
        }
        number
    }

    /// A number that is also missing as `-1`, which is Lambda's word for "no limit".
    pub(super) fn number_or_unlimited(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
        log: &mut Log,
    ) -> Option<u32> {
        match self.get(name).and_then(Node::as_text) {
            Some("-1") => None,
            _ => self.number(name, range, log),
        }
    }

    /// A truth value.
    pub(super) fn flag(&self, name: &str, log: &mut Log) -> Option<bool> {
        let node = self.get(name)?;
        let flag = node.as_text().map(str::to_ascii_lowercase);
        let flag = flag.and_then(|text| text.parse().ok());
        if flag.is_none() {
            self.wrong(name, node, "true or false", log);
        }
        flag
    }

    pub(super) fn list(&self, name: &str, log: &mut Log) -> &'n [Node] {
        match self.get(name) {
            None => &[],
            Some(node) => match &node.kind {
                Kind::List(items) => items,
                _ => {
                    self.wrong(name, node, "a list", log);
                    &[]
                }
            },
        }
    }

    /// A list of texts, or one text.
    pub(super) fn texts(&self, name: &str, log: &mut Log) -> Vec<String> {
        match self.get(name) {
            Some(node) if node.as_text().is_some() => {
                node.as_text().map(str::to_owned).into_iter().collect()
            }
            Some(_) => {
                let mut texts = Vec::new();
                for item in self.list(name, log) {
                    match item.as_text() {
                        Some(text) => texts.push(text.to_owned()),
                        None => self.wrong(name, item, "a list of texts", log),
                    }
                }
                texts
            }
            None => Vec::new(),
        }
    }

    /// A map of texts, in its order.
    pub(super) fn text_map(&self, name: &str, log: &mut Log) -> Vec<(String, String)> {
        let Some(node) = self.get(name) else {
            return Vec::new();
        };
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong(name, node, "a map of texts", log);
        }
        let mut texts = Vec::new();
        for Entry { key, value, .. } in node.entries() {
            match (&value.kind, value.as_text()) {
                (Kind::Null, _) => texts.push((key.clone(), String::new())),
                (_, Some(text)) => texts.push((key.clone(), text.to_owned())),
                (_, None) => self.wrong(&format!("{name}.{key}"), value, "text", log),
            }
        }
        texts
    }

    /// The fields of a map within.
    pub(super) fn fields(&self, name: &str, known: &[&str], log: &mut Log) -> Option<Self> {
        let node = self.get(name)?;
        let what = format!("`{name}` of {}", self.what);
        Some(Self::of(node, what, known, log))
    }

    /// A value that must be one of these.
    pub(super) fn one_of(&self, name: &str, values: &[&str], log: &mut Log) -> Option<String> {
        let text = self.text(name, log)?;
        if values.contains(&text.as_str()) {
            return Some(text);
        }
        let allowed = values.join(", ");
        let sentence = format!("`{name}` of {} is one of {allowed}", self.what);
        log.misspelt(self.at_of(name), sentence, &text, values.iter().copied());
        None
    }

    fn wrong(&self, name: &str, node: &Node, wanted: &str, log: &mut Log) {
        if !matches!(node.kind, Kind::Broken) {
            let what = &self.what;
            log.problem(node.at, format!("`{name}` of {what} must be {wanted}"));
        }
    }
}
