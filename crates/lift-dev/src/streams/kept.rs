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
    /// Of a stream that was never read.
    pub(super) fn nothing(path: PathBuf, stream: &str) -> Self {
        let places = Places {
            stream: stream.to_owned(),
            shards: BTreeMap::new(),
        };
        Self { path, places }
    }

    /// Reads what the file says of this stream, if there is one and it is of this stream.
    ///
    /// # Errors
    /// If it cannot be read, or says nothing that is known.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        let text = match tokio::fs::read(&self.path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let places: Places = serde_json::from_slice(&text)?;
        if places.stream == self.places.stream {
            self.places = places;
        }
        Ok(())
    }

    pub(super) fn places(&self) -> BTreeMap<String, From> {
        self.places.shards.clone()
    }

    /// Replaces what the file says, where that is something else.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn write(&mut self, shards: BTreeMap<String, From>) -> io::Result<()> {
        if shards.is_empty() || shards == self.places.shards {
            return Ok(());
        }
        let stream = self.places.stream.clone();
        let places = Places { stream, shards };
        let text = serde_json::to_vec(&places)?;
        let new = self.path.with_extension(std::process::id().to_string());
        if let Some(directory) = self.path.parent() {
            tokio::fs::create_dir_all(directory).await?;
        }
        tokio::fs::write(&new, text).await?;
        tokio::fs::rename(&new, &self.path).await?;
        self.places = places;
        Ok(())
    }
}
