//! Bytes come in; one line's JSON object goes out as a row, its numbers in the text they were written in.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Bad, Columns, Taken, without_cr};
use crate::tasks::process_data::row::{Kind, Row, Value};

/// Takes the line at the start of `input`; `whole` says that nothing follows `input`.
pub(super) fn take(
    input: &[u8],
    whole: bool,
    row: &mut Row,
    columns: &mut Columns,
    columns_max: usize,
) -> Result<Taken, Bad> {
    let (line, bytes) = match memchr(b'\n', input) {
        Some(end) => (input.get(..end).unwrap_or_default(), end + 1),
        None if whole => (input, input.len()),
        None => return Ok(Taken::Partial),
    };
    let line = without_cr(line);
    if line.trim_ascii().is_empty() {
        return Ok(Taken::Blank { bytes });
    }
    let line = std::str::from_utf8(line)
        .ok()
        .ok_or_else(|| Bad::Text("is not UTF-8".to_owned()))?;
    row.clear();
    let mut object = Object {
        row,
        columns,
        columns_max,
        bad: None,
    };
    let mut json = serde_json::Deserializer::from_str(line);
    let read = (&mut object)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    match (object.bad, read) {
        (Some(bad), _) => Err(bad),
        (None, Ok(())) => Ok(Taken::Row { bytes, lines: 1 }),
        (None, Err(error)) => Err(Bad::Text(format!(
            "is not one JSON object (byte {})",
            error.column()
        ))),
    }
}

/// Reads an object's entries into a row.
struct Object<'r> {
    row: &'r mut Row,
    columns: &'r mut Columns,
    columns_max: usize,
    bad: Option<Bad>,
}

/// A JSON string, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for &mut Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            let raw: &'de RawValue = map.next_value()?;
            let Some(column) = self.columns.intern(&key, self.columns_max) else {
                self.bad = Some(Bad::TooWide);
                return Err(de::Error::custom("too many columns"));
            };
            if self.row.get(column).kind != Kind::Missing {
                self.bad = Some(Bad::Text(format!("has the key `{key}` twice")));
                return Err(de::Error::custom("repeated key"));
            }
            let text = raw.get();
            let kind = match text.as_bytes().first() {
                Some(b'"') => {
                    let Ok(Text(text)) = serde_json::from_str(text) else {
                        let message = format!("has a string that is not Unicode at key `{key}`");
                        self.bad = Some(Bad::Text(message));
                        return Err(de::Error::custom("lone surrogate"));
                    };
                    let kind = Kind::Text;
                    self.row.set(column, Value { kind, text: &text });
                    continue;
                }
                Some(b'n') => {
                    let kind = Kind::Null;
                    self.row.set(column, Value { kind, text: "" });
                    continue;
                }
                Some(b't' | b'f') => Kind::Bool,
                Some(b'[' | b'{') => Kind::Json,
                _ => Kind::Number,
            };
            self.row.set(column, Value { kind, text });
        }
        Ok(())
    }
}
