//! The folder `vectors` comes in, its messages with what must become of them go out.
//!
//! One message a file. Every client and the server run all of them; a file that cannot be read is a panic, so
//! that no vector is passed over.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// One message and what must become of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// The file's name, without `.json`.
    #[serde(skip)]
    pub name: String,
    /// The rule that it shows.
    pub rule: String,
    /// Who sends it.
    pub direction: Direction,
    /// Who can tell: the envelope alone, or a running service.
    #[serde(default)]
    pub stage: Stage,
    /// Whether it is taken.
    pub valid: bool,
    /// The text of the message.
    pub message: String,
    /// What a valid message says, `null` and unknown fields left out.
    pub parsed: Option<Value>,
    /// How the server answers an invalid message.
    pub error: Option<Refusal>,
}

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A client, to the server.
    Client,
    /// The server, to a client.
    Server,
}

/// Who can tell whether a message is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The rules of the envelope alone.
    #[default]
    Envelope,
    /// A service with its control actions and defaults.
    Service,
}

/// How the server answers an invalid message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The error's `code`.
    pub code: String,
    /// The places that `fields` must name, in any order.
    #[serde(default)]
    pub pointers: Vec<String>,
    /// The `id` that the error must echo; absent: not checked; `null`: none.
    #[serde(default, deserialize_with = "present")]
    pub id: Option<Option<String>>,
}

/// Every vector, by name.
///
/// # Panics
/// The folder or a file in it cannot be read, or a file is no vector.
#[must_use]
pub fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let files =
        fs::read_dir(&folder).unwrap_or_else(|e| panic!("cannot list `{}`: {e}", folder.display()));
    let mut all: Vec<_> = files
        .map(|file| read(&file.expect("the folder can be listed to its end").path()))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn read(path: &Path) -> Vector {
    let text = fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("cannot read `{}`: {e}", path.display()));
    let vector: Vector = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("`{}` is no vector: {e}", path.display()));
    let name = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    Vector { name, ..vector }
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}
