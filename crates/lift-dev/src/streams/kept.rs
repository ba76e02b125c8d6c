//! In: how far a mapping has dealt with its stream. Out: the same, when it starts again.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::mapping::From;

/// A mapping's file, and what it says of one stream.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    places: Places,
}

#[derive(Debug, Serialize, Deserialize)]
struct Places {
    /// Its ARN, which a table that is made anew does not share.
    stream: String,
    shards: BTreeMap<String, From>,
}

impl Kept {
    /// What the file says of this stream: nothing where there is none, or it is not ours.
    pub(super) async fn read(path: PathBuf, stream: &str) -> Self {
        let text = tokio::fs::read(&path).await.unwrap_or_default();
        let places = serde_json::from_slice(&text)
            .ok()
            .filter(|places: &Places| places.stream == stream);
        let nothing = || Places {
            stream: stream.to_owned(),
            shards: BTreeMap::new(),
        };
        Self {
            path,
            places: places.unwrap_or_else(nothing),
        }
    }

    pub(super) fn places(&self) -> BTreeMap<String, From> {
        self.places.shards.clone()
    }

    /// Replaces what the file says, where that is something else.
    ///
    /// # Errors
    /// If it cannot be written, which is then not tried again before the places change.
    pub(super) async fn write(&mut self, shards: BTreeMap<String, From>) -> io::Result<()> {
        if shards.is_empty() || shards == self.places.shards {
            return Ok(());
        }
        self.places.shards = shards;
        let text = serde_json::to_vec(&self.places).map_err(io::Error::other)?;
        let new = self.path.with_extension(std::process::id().to_string());
        if let Some(directory) = self.path.parent() {
            tokio::fs::create_dir_all(directory).await?;
        }
        tokio::fs::write(&new, text).await?;
        tokio::fs::rename(&new, &self.path).await
    }
}
