//! Bytes come in; one CSV record of RFC 4180 goes out, or the wish for more bytes.
//!
//! Beyond the RFC: lines may end in LF alone, empty lines are skipped, and a quote inside a field that
//! does not start with one is an ordinary character.

use memchr::{memchr, memchr_iter, memchr2};

use super::{Bad, Taken, without_cr};
use crate::tasks::process_data::row::Row;

/// The record being read; kept for its allocations.
#[derive(Debug, Default)]
pub(super) struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// What follows a field.
enum After {
    Field(usize),
    Line(usize),
}

impl Record {
    /// Takes the record at the start of `input`; `whole` says that nothing follows `input`.
    pub(super) fn take(&mut self, input: &[u8], whole: bool, row: &mut Row) -> Result<Taken, Bad> {
        match input {
            [b'\n', ..] => return Ok(Taken::Blank { bytes: 1 }),
            [b'\r', b'\n', ..] => return Ok(Taken::Blank { bytes: 2 }),
            _ => {}
        }
        self.text.clear();
        self.ends.clear();
        let (mut at, mut lines) = (0, 1);
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let after = match rest.first() {
                Some(b'"') => self.quoted(rest, whole, &mut lines)?,
                _ => self.plain(rest, whole),
            };
            match after {
                None => return Ok(Taken::Partial),
                Some(After::Field(bytes)) => {
                    self.ends.push(self.text.len());
                    at += bytes;
                }
                Some(After::Line(bytes)) => {
                    self.ends.push(self.text.len());
                    at += bytes;
                    break;
                }
            }
        }
        let utf8 = std::str::from_utf8(&self.text).ok();
        match utf8.is_some_and(|text| row.fill(text, &self.ends)) {
            true => Ok(Taken::Row { bytes: at, lines }),
            false => Err(Bad::Text("is not UTF-8".to_owned())),
        }
    }

    fn plain(&mut self, rest: &[u8], whole: bool) -> Option<After> {
        match memchr2(b',', b'\n', rest) {
            Some(end) => {
                let (field, tail) = rest.split_at(end);
                if tail.first() == Some(&b',') {
                    self.text.extend_from_slice(field);
                    return Some(After::Field(end + 1));
                }
                self.text.extend_from_slice(without_cr(field));
                Some(After::Line(end + 1))
            }
            None if whole => {
                self.text.extend_from_slice(without_cr(rest));
                Some(After::Line(rest.len()))
            }
            None => None,
        }
    }

    fn quoted(&mut self, rest: &[u8], whole: bool, lines: &mut u64) -> Result<Option<After>, Bad> {
        let mut at = 1;
        loop {
            let tail = rest.get(at..).unwrap_or_default();
            let Some(quote) = memchr(b'"', tail) else {
                return match whole {
                    true => Err(Bad::Text("opens a quote that never closes".to_owned())),
                    false => Ok(None),
                };
            };
            let (piece, tail) = tail.split_at(quote);
            self.text.extend_from_slice(piece);
            *lines += memchr_iter(b'\n', piece).count() as u64;
            at += quote + 1;
            let after = match tail.get(1..).unwrap_or_default() {
                [b'"', ..] => {
                    self.text.push(b'"');
                    at += 1;
                    continue;
                }
                [b',', ..] => After::Field(at + 1),
                [b'\n', ..] => After::Line(at + 1),
                [b'\r', b'\n', ..] => After::Line(at + 2),
                [] | [b'\r'] if !whole => return Ok(None),
                [] => After::Line(at),
                [b'\r'] => After::Line(at + 1),
                _ => return Err(Bad::Text("has text after a closing quote".to_owned())),
            };
            return Ok(Some(after));
        }
    }
}
