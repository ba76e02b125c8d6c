//! Chunks of an object's bytes come in; rows go out, with the byte and the line at which the next one starts.

mod csv;
mod ndjson;

use std::collections::HashMap;
use std::sync::Arc;

use super::options::Options;
use super::row::Row;
use crate::objects::{NameError, ObjectName};
use crate::tasks::failure::Failure;

/// How an object's rows are written down; its name's end says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Ndjson,
}

impl Format {
    pub(super) fn of(name: &ObjectName) -> Result<Self, NameError> {
        match name
            .as_str()
            .rsplit_once('.')
            .map(|(_, end)| end.to_ascii_lowercase())
            .as_deref()
        {
            Some("csv") => Ok(Self::Csv),
            Some("ndjson" | "jsonl") => Ok(Self::Ndjson),
            _ => Err(NameError::Extension),
        }
    }
}

/// The input's columns: a CSV's header, or the keys that NDJSON objects had so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub(super) names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, usize>,
}

impl Columns {
    pub(super) fn at(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The column's place; `None` where it would be one column too many.
    pub(super) fn intern(&mut self, name: &str, columns_max: usize) -> Option<usize> {
        if let Some(at) = self.at(name) {
            return Some(at);
        }
        let at = self.names.len();
        if at >= columns_max {
            return None;
        }
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.index.insert(name, at);
        Some(at)
    }
}

/// What reading on gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Row,
    /// The rest of a row has not come yet.
    Hungry,
    End,
}

/// Where a row starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Its line, from 1.
    pub(super) line: u64,
}

/// What one format found at the buffer's start.
enum Taken {
    Row { bytes: usize, lines: u64 },
    Blank { bytes: usize },
    Partial,
}

/// The rows of one object.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) columns: Columns,
    format: Format,
    csv: csv::Record,
    buffer: Vec<u8>,
    at: usize,
    whole: bool,
    next: Place,
    row_bytes_max: u32,
    columns_max: usize,
}

impl Source {
    pub(super) fn new(format: Format, options: &Options) -> Self {
        Self {
            columns: Columns::default(),
            format,
            csv: csv::Record::default(),
            buffer: Vec::new(),
            at: 0,
            whole: false,
            next: Place { offset: 0, line: 1 },
            row_bytes_max: options.row_bytes_max,
            columns_max: options.columns_max,
        }
    }

    /// Goes on at a row's start, with the columns that were known there.
    pub(super) fn seek(&mut self, next: Place, columns: Columns) {
        (self.next, self.columns) = (next, columns);
    }

    /// Where the next row starts.
    pub(super) fn next(&self) -> Place {
        self.next
    }

    /// Bytes of the object that were fed, and those skipped by [`Self::seek`].
    pub(super) fn fetched(&self) -> u64 {
        self.next.offset + self.rest().len() as u64
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// No chunk follows.
    pub(super) fn end(&mut self) {
        self.whole = true;
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize, lines: u64) {
        self.at += bytes;
        self.next.offset += bytes as u64;
        self.next.line += lines;
    }

    /// Skips the byte order mark that some programs write before the first line.
    fn skip_mark(&mut self) -> Step {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.next.offset == 0 && MARK.starts_with(self.rest()) && !self.whole {
            return Step::Hungry;
        }
        if self.next.offset == 0 && self.rest().starts_with(MARK) {
            self.advance(MARK.len(), 0);
        }
        Step::Row
    }

    /// Reads a CSV's header, once, before any row; [`Step::Row`] when the columns are known.
    pub(super) fn header(&mut self) -> Result<Step, Failure> {
        if self.format == Format::Ndjson || !self.columns.names.is_empty() {
            return Ok(Step::Row);
        }
        let mut header = Row::default();
        let line = self.next.line;
        match self.read(&mut header)? {
            Step::Row => {}
            Step::Hungry => return Ok(Step::Hungry),
            Step::End => {
                return Err(Failure::line(
                    1,
                    "a CSV starts with a header, and this is empty",
                ));
            }
        }
        if header.len() > self.columns_max {
            return Err(self.too_wide(line));
        }
        for value in header.values() {
            if self.columns.at(value.text).is_some() {
                let message = format!("the header names `{}` twice", value.text);
                return Err(Failure::line(line, message));
            }
            self.columns.intern(value.text, self.columns_max);
        }
        Ok(Step::Row)
    }

    /// Reads the next row.
    ///
    /// # Errors
    /// The text breaks its format, or a limit.
    pub(super) fn row(&mut self, row: &mut Row) -> Result<Step, Failure> {
        let line = self.next.line;
        let step = self.read(row)?;
        let (has, wants) = (row.len(), self.columns.names.len());
        if step == Step::Row && self.format == Format::Csv && has != wants {
            let message = format!("has {has} fields where the header has {wants}");
            return Err(Failure::line(line, message));
        }
        Ok(step)
    }

    fn read(&mut self, row: &mut Row) -> Result<Step, Failure> {
        if self.skip_mark() == Step::Hungry {
            return Ok(Step::Hungry);
        }
        loop {
            if self.rest().is_empty() {
                return Ok(if self.whole { Step::End } else { Step::Hungry });
            }
            let line = self.next.line;
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let taken = match self.format {
                Format::Csv => self.csv.take(rest, self.whole, row),
                Format::Ndjson => {
                    ndjson::take(rest, self.whole, row, &mut self.columns, self.columns_max)
                }
            };
            let bytes_max = usize::try_from(self.row_bytes_max).unwrap_or(usize::MAX);
            match taken {
                Ok(Taken::Row { bytes, lines }) if bytes <= bytes_max => {
                    self.advance(bytes, lines);
                    return Ok(Step::Row);
                }
                Ok(Taken::Blank { bytes }) => self.advance(bytes, 1),
                Ok(Taken::Partial) if rest.len() <= bytes_max => return Ok(Step::Hungry),
                Ok(Taken::Row { .. } | Taken::Partial) => return Err(self.too_long(line)),
                Err(Bad::TooWide) => return Err(self.too_wide(line)),
                Err(Bad::Text(message)) => return Err(Failure::line(line, message)),
            }
        }
    }

    fn too_long(&self, line: u64) -> Failure {
        let max = u64::from(self.row_bytes_max);
        Failure::Limit {
            limit: "row_bytes_max",
            max,
            pointer: None,
            line: Some(line),
        }
    }

    fn too_wide(&self, line: u64) -> Failure {
        let max = self.columns_max as u64;
        Failure::Limit {
            limit: "columns_max",
            max,
            pointer: None,
            line: Some(line),
        }
    }
}

/// Why a row cannot be read.
#[derive(Debug)]
enum Bad {
    Text(String),
    TooWide,
}

/// A line's own bytes without its end: LF or CR LF.
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
