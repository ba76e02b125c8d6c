//! A client's message: text comes in, the envelope or a typed error that names the place goes out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Code, Error, FIELDS_MAX, Field};
use crate::json::Json;

/// Deepest nesting of a message.
pub const DEPTH_MAX: usize = 64;
/// Longest `id`, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Longest `action`, in bytes.
pub const ACTION_BYTES_MAX: usize = 64;
/// Longest `idempotency_key`, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Most entries of `metadata`.
pub const METADATA_ENTRIES_MAX: usize = 16;
/// Most bytes of `metadata`, keys and values together.
pub const METADATA_BYTES_MAX: usize = 1024;

/// A client's message, before its payload is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The client's correlation id.
    pub id: Option<String>,
    /// What it asks for.
    pub action: String,
    /// The payload as sent; `null` where there is none.
    pub payload: Json,
    /// Carried to the task, never trusted.
    pub metadata: BTreeMap<String, String>,
    /// Makes sending the message twice harmless.
    pub idempotency_key: Option<String>,
    /// Deadline for the whole request, from its acceptance.
    pub timeout: Option<Duration>,
}

/// A message that is no envelope: what is wrong, and its `id` if that could be read.
#[derive(Debug)]
pub struct Rejected {
    /// The `id`, where it is valid.
    pub id: Option<String>,
    /// What is wrong.
    pub error: Error,
}

impl Envelope {
    /// Parses a message.
    ///
    /// # Errors
    /// `INVALID_JSON` where the text is not exactly one JSON object, nests deeper than 64, or
    /// repeats a key of the envelope; `VALIDATION_ERROR` where a field is missing or misshapen.
    pub fn parse(text: &str) -> Result<Self, Rejected> {
        let invalid = |message: &str| Rejected {
            id: None,
            error: Error::new(Code::InvalidJson, message),
        };
        if depth(text) > DEPTH_MAX {
            return Err(invalid("the message nests deeper than 64"));
        }
        let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
            let message = if error.to_string().starts_with(REPEATED) {
                "the message repeats a key of the envelope"
            } else {
                "the message is not exactly one JSON object"
            };
            let mut rejected = invalid(message);
            rejected.error = rejected.error.with_cause(error);
            rejected
        })?;
        Checked::new(&raw).finish()
    }
}

/// Deepest nesting of brackets outside strings, or a bound of it within the limit; without recursion.
fn depth(text: &str) -> usize {
    // Most messages have so few that no closer look is needed.
    let opening = text
        .bytes()
        .filter(|byte| matches!(byte, b'{' | b'['))
        .count();
    if opening <= DEPTH_MAX {
        return opening;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

const REPEATED: &str = "repeated key";

/// A key of the envelope, read without a copy of it.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Slot {
    Id,
    Action,
    Payload,
    Metadata,
    IdempotencyKey,
    TimeoutMs,
    #[serde(other)]
    Other,
}

#[derive(Default)]
struct Raw<'a> {
    id: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    idempotency_key: Option<&'a RawValue>,
    timeout_ms: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Raw<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Raw<'de>, M::Error> {
                let mut raw = Raw::default();
                while let Some(key) = map.next_key::<Slot>()? {
                    let value: &RawValue = map.next_value()?;
                    let slot = match key {
                        Slot::Id => &mut raw.id,
                        Slot::Action => &mut raw.action,
                        Slot::Payload => &mut raw.payload,
                        Slot::Metadata => &mut raw.metadata,
                        Slot::IdempotencyKey => &mut raw.idempotency_key,
                        Slot::TimeoutMs => &mut raw.timeout_ms,
                        Slot::Other => continue,
                    };
                    if slot.replace(value).is_some() {
                        return Err(serde::de::Error::custom(REPEATED));
                    }
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

struct Checked<'a> {
    raw: &'a Raw<'a>,
    fields: Vec<Field>,
}

impl<'a> Checked<'a> {
    fn new(raw: &'a Raw<'a>) -> Self {
        Self {
            raw,
            fields: Vec::new(),
        }
    }

    fn finish(mut self) -> Result<Envelope, Rejected> {
        let id = self.text("/id", self.raw.id, ID_BYTES_MAX, |b| {
            b.is_ascii_alphanumeric() || b"._:-".contains(&b)
        });
        let action = self.text("/action", self.raw.action, ACTION_BYTES_MAX, |b| {
            b.is_ascii_alphanumeric() || b"._-".contains(&b)
        });
        if self.raw.action.is_none_or(is_null) {
            self.fields.push(Field::new("/action", "is required"));
        }
        let idempotency_key = self.text(
            "/idempotency_key",
            self.raw.idempotency_key,
            KEY_BYTES_MAX,
            |b| b.is_ascii_graphic(),
        );
        let metadata = self.metadata();
        let timeout = self.timeout();
        let (Some(action), true) = (action, self.fields.is_empty()) else {
            return Err(Rejected {
                id,
                error: Error::invalid_fields(self.fields),
            });
        };
        let payload = self.raw.payload.map_or_else(Json::null, Json::from);
        Ok(Envelope {
            id,
            action,
            payload,
            metadata,
            idempotency_key,
            timeout,
        })
    }

    fn wrong(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.fields.len() < FIELDS_MAX {
            self.fields.push(Field::new(pointer, message));
        }
    }

    fn text(
        &mut self,
        pointer: &str,
        raw: Option<&RawValue>,
        bytes_max: usize,
        allowed: fn(u8) -> bool,
    ) -> Option<String> {
        let raw = raw.filter(|raw| !is_null(raw))?;
        match serde_json::from_str::<String>(raw.get()) {
            Ok(text) if (1..=bytes_max).contains(&text.len()) && text.bytes().all(allowed) => {
                return Some(text);
            }
            Ok(text) if text.is_empty() || text.len() > bytes_max => {
                self.wrong(pointer, format!("must be 1 to {bytes_max} bytes long"));
            }
            Ok(_) => self.wrong(pointer, "has a character that is not allowed here"),
            Err(_) => self.wrong(pointer, "must be a string"),
        }
        None
    }

    fn metadata(&mut self) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        let Some(raw) = self.raw.metadata.filter(|raw| !is_null(raw)) else {
            return entries;
        };
        let Ok(given) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw.get()) else {
            self.wrong("/metadata", "must be an object of strings");
            return entries;
        };
        let mut bytes = 0;
        let count = given.len();
        for (key, value) in given {
            match serde_json::from_str::<String>(value.get()) {
                Ok(value) => {
                    bytes += key.len() + value.len();
                    entries.insert(key, value);
                }
                Err(_) => self.wrong(format!("/metadata/{}", escape(&key)), "must be a string"),
            }
        }
        if count > METADATA_ENTRIES_MAX {
            self.wrong(
                "/metadata",
                format!("has more than {METADATA_ENTRIES_MAX} entries"),
            );
        }
        if bytes > METADATA_BYTES_MAX {
            self.wrong(
                "/metadata",
                format!("is larger than {METADATA_BYTES_MAX} bytes"),
            );
        }
        entries
    }

    fn timeout(&mut self) -> Option<Duration> {
        let raw = self.raw.timeout_ms.filter(|raw| !is_null(raw))?;
        match serde_json::from_str::<u64>(raw.get()) {
            Ok(millis) if millis > 0 => return Some(Duration::from_millis(millis)),
            _ => self.wrong("/timeout_ms", "must be an integer of at least 1"),
        }
        None
    }
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// One key as a reference token of a JSON Pointer (RFC 6901 §3).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
