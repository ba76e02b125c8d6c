//! An NDJSON object comes in chunk by chunk; its lines go out as changes, each with the byte at which the next one starts.

use std::collections::BTreeMap;

use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::engine::Options;
use super::request::{Item, Op};
use super::rule::Change;
use crate::objects::{ObjectName, Objects};
use crate::tasks::failure::Failure;
use crate::tasks::work;

/// Bytes read at once.
const CHUNK_BYTES: u64 = 512 << 10;
/// What a line may hold beside its record, in bytes.
const AROUND_RECORD_BYTES: usize = 1024;

/// Longest reason of an outcome, in bytes: it may quote the line.
const REASON_BYTES_MAX: usize = 200;

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Its line, from 1.
    pub(super) line: u64,
    /// Changes before it.
    pub(super) items: u64,
}

impl Place {
    pub(super) const START: Self = Self {
        offset: 0,
        line: 1,
        items: 0,
    };
}

/// The lines of one object.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    objects: &'a Objects,
    input: &'a ObjectMeta,
    name: &'a ObjectName,
    line_bytes_max: usize,
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    at: usize,
    pub(super) next: Place,
}

impl<'a> Lines<'a> {
    pub(super) fn new(
        objects: &'a Objects,
        input: &'a ObjectMeta,
        name: &'a ObjectName,
        next: Place,
        options: &Options,
    ) -> Self {
        Self {
            objects,
            input,
            name,
            line_bytes_max: options.record_bytes_max + AROUND_RECORD_BYTES,
            buffer: Vec::new(),
            at: 0,
            next,
        }
    }

    /// The next line that is not blank, without its end: cut where it is too long.
    async fn line(&mut self) -> Result<Option<(u64, Vec<u8>)>, Failure> {
        let (mut line, mut ended) = (Vec::new(), false);
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest);
            let taken = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let room = (self.line_bytes_max + 1).saturating_sub(line.len());
            line.extend_from_slice(taken.get(..room.min(taken.len())).unwrap_or_default());
            let bytes = taken.len() + usize::from(end.is_some());
            self.at += bytes;
            self.next.offset += bytes as u64;
            if end.is_none() && !ended {
                let next = self.next.offset;
                let chunk =
                    work::fetch(self.objects, self.input, self.name, next, CHUNK_BYTES).await?;
                ended = chunk.is_empty();
                (self.buffer, self.at) = (chunk.into(), 0);
                continue;
            }
            let number = self.next.line;
            self.next.line += u64::from(end.is_some());
            if !line.trim_ascii().is_empty() {
                self.next.items += 1;
                return Ok(Some((number, line)));
            }
            if end.is_none() {
                return Ok(None);
            }
            line.clear();
        }
    }

    /// How many changes there are from here on, counted up to `most` and one more.
    pub(super) async fn count(mut self, most: u64) -> Result<u64, Failure> {
        while self.next.items <= most && self.line().await?.is_some() {}
        Ok(self.next.items)
    }

    /// The next change, none at the end.
    pub(super) async fn change(&mut self, options: &Options) -> Result<Option<Change>, Failure> {
        let Some((number, line)) = self.line().await? else {
            return Ok(None);
        };
        Ok(Some(Change {
            number: self.next.items,
            line: Some(number),
            item: parse(&line, number, self.line_bytes_max, options).map_err(shortened),
        }))
    }
}

fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}

fn parse(line: &[u8], number: u64, max: usize, options: &Options) -> Result<Item, String> {
    if line.len() > max {
        return Err(format!("the line is longer than {max} bytes"));
    }
    let text = std::str::from_utf8(line).map_err(|_invalid| "is not UTF-8".to_owned())?;
    let text = match number {
        1 => text.trim_start_matches('\u{feff}'),
        _ => text,
    };
    let item: Item = serde_json::from_str(text).map_err(|_unfit| unfit(text))?;
    item.check(options).map_err(|unfit| unfit.to_string())?;
    Ok(item)
}

/// Why a line is no change: looked for again, because a parser's words are those of Rust.
fn unfit(text: &str) -> String {
    const FIELDS: [&str; 4] = ["op", "key", "record", "if_version"];
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
        return if is_json {
            "is no JSON object"
        } else {
            "is no JSON"
        }
        .to_owned();
    };
    if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return format!("`{name}` is not known here");
    }
    if let Some(name) = ["op", "key"]
        .into_iter()
        .find(|name| !fields.contains_key(*name))
    {
        return format!("`{name}` is missing");
    }
    let reads = |name: &str, is_read: fn(&str) -> bool| {
        fields.get(name).is_none_or(|value| is_read(value.get()))
    };
    if !reads("op", |op| serde_json::from_str::<Op>(op).is_ok()) {
        "`op` is none of `create`, `update`, `delete`"
    } else if !reads("key", |key| serde_json::from_str::<String>(key).is_ok()) {
        "`key` is no string"
    } else if !reads("if_version", |version| {
        serde_json::from_str::<Option<u64>>(version).is_ok()
    }) {
        "`if_version` is no whole number from 0"
    } else {
        "has a field more than once"
    }
    .to_owned()
}
