//! Results too large for a message: bytes come in, a file and a URL that expires go out.

mod token;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lift::clock::Timestamp;
use lift::error::StoreError;
use lift::task::announce::Results;
use lift::task::record::Key;

pub use token::ResultError;
use token::Signer;

/// Results as files of a directory.
#[derive(Debug)]
pub struct FileResults {
    dir: PathBuf,
    signer: Signer,
    base_url: String,
}

impl FileResults {
    /// Keeps results in `dir`; URLs begin with `base_url`, without a slash at its end.
    ///
    /// # Errors
    /// When the directory or its secret cannot be made or read.
    pub fn open(dir: &Path, base_url: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let signer = Signer::open(&dir.join(".key"))?;
        Ok(Self {
            dir: dir.to_owned(),
            signer,
            base_url: base_url.to_owned(),
        })
    }

    /// Removes results older than `keep`, now and every hour. Nothing is lost if it is dropped.
    pub(crate) async fn purge_for_ever(&self, keep: Duration) {
        loop {
            let dir = self.dir.clone();
            match tokio::task::spawn_blocking(move || purge(&dir, keep)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(purged)) => tracing::info!(purged, "results past their time to live removed"),
                Ok(Err(error)) => tracing::warn!(%error, "no results purged"),
                Err(error) => tracing::error!(%error, "purging results panicked"),
            }
            tokio::time::sleep(PURGE_EVERY).await;
        }
    }

    /// The result that a token of `GET /results/{token}` stands for.
    ///
    /// # Errors
    /// [`ResultError::Expired`] for a good token that is too old; [`ResultError::Invalid`] for any
    /// other, and where the result is no longer kept.
    pub async fn read(&self, token: &str, now: Timestamp) -> Result<Bytes, ResultError> {
        let name = self.signer.verify(token, now)?;
        let read = tokio::fs::read(self.dir.join(name)).await;
        read.map(Bytes::from).map_err(|_gone| ResultError::Invalid)
    }
}

/// How often results past their time to live are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

fn purge(dir: &Path, keep: Duration) -> io::Result<usize> {
    let mut purged = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_result = entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "json");
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if is_result && age > keep {
            fs::remove_file(entry.path())?;
            purged += 1;
        }
    }
    Ok(purged)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(format!(".{name}"));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(name))?;
    fs::File::open(dir)?.sync_all()
}

#[async_trait]
impl Results for FileResults {
    async fn keep(&self, key: &Key, result: Bytes) -> Result<String, StoreError> {
        // A request id is unique over all owners, and safe as a file name.
        let name = format!("{}.json", key.id);
        let (dir, file) = (self.dir.clone(), name.clone());
        let written = tokio::task::spawn_blocking(move || write(&dir, &file, &result)).await;
        written
            .map_err(StoreError::unavailable)?
            .map_err(StoreError::unavailable)?;
        Ok(name)
    }

    fn url(&self, _: &Key, name: &str, expires_at: Timestamp) -> String {
        format!(
            "{}/results/{}",
            self.base_url,
            self.signer.sign(name, expires_at)
        )
    }
}
