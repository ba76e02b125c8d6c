//! Cells with their JSON types come in; one reusable row of text and ranges goes out.

use std::cmp::Ordering;

use super::number::Number;
use super::state::{Damaged, Decoder, Encoder};

/// What a cell is. A CSV field is always text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The NDJSON object has no such key.
    #[default]
    Missing,
    Null,
    Bool,
    Number,
    Text,
    /// An array or object, as its JSON text.
    Json,
}

impl Kind {
    pub(super) fn tag(self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Null => 1,
            Self::Bool => 2,
            Self::Number => 3,
            Self::Text => 4,
            Self::Json => 5,
        }
    }

    pub(super) fn from_tag(tag: u8) -> Result<Self, Damaged> {
        Ok(match tag {
            0 => Self::Missing,
            1 => Self::Null,
            2 => Self::Bool,
            3 => Self::Number,
            4 => Self::Text,
            5 => Self::Json,
            _ => return Err(Damaged),
        })
    }
}

/// One cell's content.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Value<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

impl<'a> Value<'a> {
    /// Null, missing, and an empty CSV field or string alike: nothing to compare by order or compute.
    pub(super) fn is_absent(self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn number(self) -> Option<Number<'a>> {
        match self.kind {
            Kind::Number | Kind::Text => Number::parse(self.text),
            Kind::Missing | Kind::Null | Kind::Bool | Kind::Json => None,
        }
    }

    /// The total order of `top`, `min` and `max`: numbers below text, text by its bytes.
    pub(super) fn rank(self, other: Self) -> Ordering {
        match (self.number(), other.number()) {
            (Some(left), Some(right)) => left.compare(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.text.cmp(other.text),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    start: u32,
    end: u32,
    kind: Kind,
}

/// A row: one text, and where each column's cell lies in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    text: String,
    cells: Vec<Cell>,
}

impl Row {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.cells.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.cells.capacity() * size_of::<Cell>()
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.cells.shrink_to_fit();
    }

    pub(super) fn push(&mut self, value: Value<'_>) {
        let cell = self.append(value);
        self.cells.push(cell);
    }

    /// Sets a column that may lie past the end; the columns between are missing.
    pub(super) fn set(&mut self, column: usize, value: Value<'_>) {
        let cell = self.append(value);
        if self.cells.len() <= column {
            self.cells.resize(column + 1, Cell::default());
        }
        if let Some(slot) = self.cells.get_mut(column) {
            *slot = cell;
        }
    }

    fn append(&mut self, value: Value<'_>) -> Cell {
        let start = offset(self.text.len());
        self.text.push_str(value.text);
        Cell {
            start,
            end: offset(self.text.len()),
            kind: value.kind,
        }
    }

    /// Takes a whole text whose cells end at `ends`; false where an end cuts a character.
    pub(super) fn fill(&mut self, text: &str, ends: &[usize]) -> bool {
        self.clear();
        self.text.push_str(text);
        let mut start = 0;
        for end in ends {
            self.cells.push(Cell {
                start,
                end: offset(*end),
                kind: Kind::Text,
            });
            start = offset(*end);
        }
        ends.iter().all(|end| text.is_char_boundary(*end))
    }

    pub(super) fn get(&self, column: usize) -> Value<'_> {
        let cell = self.cells.get(column).copied().unwrap_or_default();
        let range =
            usize::try_from(cell.start).unwrap_or(0)..usize::try_from(cell.end).unwrap_or(0);
        Value {
            kind: cell.kind,
            text: self.text.get(range).unwrap_or_default(),
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = Value<'_>> {
        (0..self.cells.len()).map(|column| self.get(column))
    }

    pub(super) fn encode(&self, to: &mut Encoder) {
        to.number(self.cells.len() as u64);
        for value in self.values() {
            value.encode(to);
        }
    }

    pub(super) fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Damaged> {
        self.clear();
        for _ in 0..from.number()? {
            self.push(Value::decode(from)?);
        }
        Ok(())
    }
}

impl<'a> Value<'a> {
    pub(super) fn encode(self, to: &mut Encoder) {
        to.byte(self.kind.tag());
        to.text(self.text);
    }

    pub(super) fn decode(from: &mut Decoder<'a>) -> Result<Self, Damaged> {
        Ok(Self {
            kind: Kind::from_tag(from.byte()?)?,
            text: from.text()?,
        })
    }
}

/// A row's text stays far below 4 GiB: `row_bytes_max` is a `u32`, and a selection or an aggregate
/// cannot repeat a column.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
