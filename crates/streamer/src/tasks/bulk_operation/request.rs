//! The payload of `bulk_operation` comes in; changes that can be applied, or what is wrong with them, go out.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::engine::Options;
use crate::objects::ObjectName;
use crate::tasks::failure::{Failure, Problem};
use crate::tasks::output::{self, Output};

/// Longest name of a collection, in bytes.
pub const COLLECTION_BYTES_MAX: usize = 64;
/// Longest key of a record, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Most problems that one refusal names.
const PROBLEMS_MAX: usize = 10;

/// The payload of `bulk_operation`: `items`, or `input` with the same items, one a line.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkOperation {
    /// The collection that is changed; it begins with its first record.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"))]
    pub collection: String,
    /// The changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
    /// The object with the changes: `.ndjson` or `.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub input: Option<String>,
    /// Where to write what became of each: `.ndjson` or `.jsonl`.
    pub output: Output,
}

/// One change.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What to do.
    pub op: Op,
    /// The record's key.
    #[schemars(regex(pattern = r"^[!-~]{1,128}$"))]
    pub key: String,
    /// The whole record, of a `create` or `update`. It is kept as it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub record: Option<Box<RawValue>>,
    /// The version that an `update` or `delete` expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

/// What to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Make it, where there is none of its key.
    Create,
    /// Replace it, where there is one.
    Update,
    /// Remove it, where there is one.
    Delete,
}

/// What is wrong with a change: the field, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit(&'static str, String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.0, self.1)
    }
}

impl Item {
    /// Checks what the type does not say.
    pub(super) fn check(&self, options: &Options) -> Result<(), Unfit> {
        let unfit = |field, why: &str| Err(Unfit(field, why.to_owned()));
        let shaped = (1..=KEY_BYTES_MAX).contains(&self.key.len())
            && self.key.bytes().all(|byte| byte.is_ascii_graphic());
        if !shaped {
            return unfit("key", "is not 1 to 128 visible ASCII characters");
        }
        match (self.op, &self.record) {
            (Op::Delete, Some(_)) => return unfit("record", "does not belong to a `delete`"),
            (Op::Create | Op::Update, None) => return unfit("record", "is missing"),
            (Op::Create | Op::Update, Some(record)) => {
                if !record.get().starts_with('{') {
                    return unfit("record", "is no object");
                }
                if record.get().len() > options.record_bytes_max {
                    let max = options.record_bytes_max;
                    return unfit("record", &format!("is longer than {max} bytes"));
                }
            }
            (Op::Delete, None) => {}
        }
        if self.op == Op::Create && self.if_version.is_some() {
            return unfit("if_version", "does not belong to a `create`");
        }
        Ok(())
    }
}

/// Where the changes are.
#[derive(Debug)]
pub(super) enum Changes<'a> {
    Inline(&'a [Item]),
    Object(ObjectName),
}

/// A request that was checked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) collection: &'a str,
    pub(super) changes: Changes<'a>,
    pub(super) output: ObjectName,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a BulkOperation, options: &Options) -> Result<Self, Failure> {
        let ends = [(".ndjson", ()), (".jsonl", ())];
        let (output, ()) = output::name(&request.output.name, "/payload/output/name", &ends)?;
        checked_collection(&request.collection)?;
        let changes = match (&request.items, &request.input) {
            (Some(items), None) => Changes::Inline(checked(items, options)?),
            (None, Some(input)) => {
                let (name, ()) = output::name(input, "/payload/input", &ends)?;
                if name == output {
                    let pointer = "/payload/output/name";
                    return Err(Failure::invalid(pointer, "is the name of the input"));
                }
                Changes::Object(name)
            }
            (None, None) => {
                return Err(Failure::invalid(
                    "/payload",
                    "has neither `items` nor `input`",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Failure::invalid("/payload", "has both `items` and `input`"));
            }
        };
        Ok(Self {
            collection: &request.collection,
            changes,
            output,
        })
    }
}

/// Refuses what is no name of a collection.
pub(in crate::tasks) fn checked_collection(name: &str) -> Result<(), Failure> {
    let shaped = (1..=COLLECTION_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if shaped {
        return Ok(());
    }
    let shape = "is not 1 to 64 of `[A-Za-z0-9._-]`, or begins with a dot";
    Err(Failure::invalid("/payload/collection", shape))
}

fn checked<'a>(items: &'a [Item], options: &Options) -> Result<&'a [Item], Failure> {
    if items.len() as u64 > options.items_max {
        let message = format!("has more than {} items", options.items_max);
        return Err(Failure::invalid("/payload/items", message));
    }
    let problems = items.iter().enumerate().filter_map(|(at, item)| {
        let Unfit(field, message) = item.check(options).err()?;
        let pointer = format!("/payload/items/{at}/{field}");
        Some(Problem { pointer, message })
    });
    let problems: Vec<Problem> = problems.take(PROBLEMS_MAX).collect();
    if problems.is_empty() {
        Ok(items)
    } else {
        Err(Failure::Invalid(problems))
    }
}
