//! Rows come in; the output's bytes go out, in CSV or NDJSON, and the first of them as a preview.

use std::sync::Arc;

use super::read::Format;
use super::row::{Kind, Row, Value};
use super::state::{Damaged, Decoder, Encoder};
use crate::tasks::failure::Failure;

/// Most rows of a preview.
pub const PREVIEW_ROWS_MAX: usize = 100;
/// Most bytes of a preview's rows as JSON, so that a result stays small enough to be sent.
pub const PREVIEW_BYTES_MAX: usize = 64 << 10;

/// The output so far, from the last part on.
#[derive(Debug)]
pub(super) struct Sink {
    format: Format,
    /// The output's columns where the operations fix them; else they are the input's.
    names: Option<Vec<Arc<str>>>,
    /// How many columns the CSV header has, once it is written.
    header: Option<usize>,
    buffer: Vec<u8>,
    part_bytes: usize,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) preview: Vec<String>,
    preview_bytes: usize,
    preview_open: bool,
    /// `"name":` for each column.
    keys: Vec<String>,
    line: Vec<u8>,
}

impl Sink {
    pub(super) fn new(format: Format, names: Option<Vec<Arc<str>>>, part_bytes: usize) -> Self {
        Self {
            format,
            names,
            header: None,
            buffer: Vec::new(),
            part_bytes,
            rows: 0,
            bytes: 0,
            preview: Vec::new(),
            preview_bytes: 0,
            preview_open: true,
            keys: Vec::new(),
            line: Vec::new(),
        }
    }

    /// Whether a part's worth of bytes waits.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= self.part_bytes.max(1)
    }

    /// The bytes since the last part.
    pub(super) fn part(&mut self) -> Vec<u8> {
        let part = std::mem::take(&mut self.buffer);
        self.bytes += part.len() as u64;
        part
    }

    pub(super) fn take(
        &mut self,
        row: &Row,
        input: &[Arc<str>],
        line: Option<u64>,
    ) -> Result<(), Failure> {
        self.rows += 1;
        if self.preview_open || self.format == Format::Ndjson {
            self.object(row, input);
        }
        if self.preview_open {
            self.previewed();
        }
        match self.format {
            Format::Ndjson => {
                self.buffer.extend_from_slice(&self.line);
                self.buffer.push(b'\n');
            }
            Format::Csv => self.record(row, input, line)?,
        }
        Ok(())
    }

    /// Writes a header that no row has brought.
    pub(super) fn finish(&mut self, input: &[Arc<str>]) {
        let columns = self.names.as_deref().unwrap_or(input);
        if self.format == Format::Csv && self.header.is_none() && !columns.is_empty() {
            self.header = Some(columns.len());
            record(&mut self.buffer, columns.iter().map(|name| &**name));
        }
    }

    fn record(&mut self, row: &Row, input: &[Arc<str>], line: Option<u64>) -> Result<(), Failure> {
        self.finish(input);
        let width = self.header.unwrap_or(0);
        if let Some(late) = (width..row.len()).find(|at| row.get(*at).kind != Kind::Missing) {
            let name = input.get(late).map(|name| &**name).unwrap_or_default();
            let message = format!(
                "brings column `{name}` after the CSV header was written; select the columns first"
            );
            return Err(Failure::Input {
                line,
                pointer: None,
                message,
            });
        }
        if width == 0 {
            let message = "the first row has no columns to write a CSV header of".to_owned();
            return Err(Failure::Input {
                line,
                pointer: None,
                message,
            });
        }
        record(&mut self.buffer, (0..width).map(|at| row.get(at).text));
        Ok(())
    }

    /// Writes the row as a JSON object into `line`.
    fn object(&mut self, row: &Row, input: &[Arc<str>]) {
        let columns = self.names.as_deref().unwrap_or(input);
        for name in columns.iter().skip(self.keys.len()) {
            self.keys
                .push(format!("{}:", serde_json::Value::from(&**name)));
        }
        let line = &mut self.line;
        line.clear();
        line.push(b'{');
        for (value, key) in row.values().zip(&self.keys) {
            if value.kind == Kind::Missing && self.names.is_none() {
                continue;
            }
            if line.len() > 1 {
                line.push(b',');
            }
            line.extend_from_slice(key.as_bytes());
            json(line, value);
        }
        line.push(b'}');
    }

    fn previewed(&mut self) {
        self.preview_bytes += self.line.len();
        self.preview_open = self.preview_bytes <= PREVIEW_BYTES_MAX;
        if self.preview_open {
            self.preview
                .push(String::from_utf8_lossy(&self.line).into_owned());
        }
        self.preview_open &= self.preview.len() < PREVIEW_ROWS_MAX;
    }

    /// What is needed to go on after a part.
    pub(super) fn encode(&self, to: &mut Encoder) {
        to.number(self.header.map_or(0, |width| width as u64 + 1));
        to.number(self.rows);
        to.number(self.bytes);
        to.number(u64::from(self.preview_open));
        to.number(self.preview.len() as u64);
        self.preview.iter().for_each(|row| to.text(row));
    }

    pub(super) fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Damaged> {
        let header = usize::try_from(from.number()?).ok().ok_or(Damaged)?;
        self.header = header.checked_sub(1);
        self.rows = from.number()?;
        self.bytes = from.number()?;
        self.preview_open = from.number()? == 1;
        for _ in 0..from.length()? {
            self.preview.push(from.text()?.to_owned());
        }
        self.preview_bytes = self.preview.iter().map(String::len).sum();
        Ok(())
    }
}

fn json(line: &mut Vec<u8>, value: Value<'_>) {
    match value.kind {
        Kind::Missing | Kind::Null => line.extend_from_slice(b"null"),
        Kind::Bool | Kind::Number | Kind::Json => line.extend_from_slice(value.text.as_bytes()),
        Kind::Text => {
            serde_json::to_writer(line, value.text).expect("a string can be written to memory")
        }
    }
}

/// Writes one CSV record, quoting what RFC 4180 §2 asks for, and an only field that is empty.
fn record<'a>(buffer: &mut Vec<u8>, fields: impl Iterator<Item = &'a str>) {
    let start = buffer.len();
    for (column, field) in fields.enumerate() {
        if column > 0 {
            buffer.push(b',');
        }
        if field
            .bytes()
            .any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'))
        {
            buffer.push(b'"');
            for piece in field.split_inclusive('"') {
                buffer.extend_from_slice(piece.as_bytes());
                if piece.ends_with('"') {
                    buffer.push(b'"');
                }
            }
            buffer.push(b'"');
        } else {
            buffer.extend_from_slice(field.as_bytes());
        }
    }
    if buffer.len() == start {
        buffer.extend_from_slice(b"\"\"");
    }
    buffer.push(b'\n');
}
