//! In: TOML text. Out: the same tree as of YAML, with the places of its nodes.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Log, Mark};
use super::tree::{Entry, Kind, Node};

/// The text as a tree with positions.
pub(super) fn read(text: &str, log: &mut Log) -> Option<Node> {
    match DeTable::parse(text) {
        Ok(table) => {
            let lines = Lines::of(text);
            let at = Mark { line: 1, column: 1 };
            Some(Node::new(at, map(table.get_ref(), &lines)))
        }
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().trim().replace('\n', ", ");
            log.problem(
                Lines::of(text).mark(at),
                format!("this is no TOML: {message}"),
            );
            None
        }
    }
}

/// Where a text's lines begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        Self { text, starts }
    }

    fn mark(&self, at: usize) -> Mark {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        let column = before.chars().count() + 1;
        Mark { line, column }
    }
}

fn map(table: &DeTable<'_>, lines: &Lines<'_>) -> Kind {
    let mut entries: Vec<_> = table.iter().collect();
    // The parser sorts by name; routes and APIs have the order in which they are written.
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key_text: &std::borrow::Cow<'_, str> = key.get_ref();
        Entry {
            key: key_text.clone().into_owned(),
            at: lines.mark(key.span().start),
            value: node(value, lines),
        }
    };
    Kind::Map(entries.into_iter().map(entry).collect())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => Kind::Plain(integer.as_str().replace('_', "")),
        DeValue::Float(float) => Kind::Plain(float.as_str().to_owned()),
        DeValue::Boolean(flag) => Kind::Plain(flag.to_string()),
        DeValue::Datetime(time) => Kind::Text(time.to_string()),
        DeValue::Array(items) => Kind::List(items.iter().map(|item| node(item, lines)).collect()),
        DeValue::Table(table) => map(table, lines),
    };
    Node::new(lines.mark(value.span().start), kind)
}
