//! A tenant and an object's name come in; its place in the store goes out, never outside the tenant's folder.
//!
//! Under the directory that [`Objects`] opens, `objects/{tenant}/{name}` holds what users see and
//! `work/{request_id}/` what running tasks keep for themselves.

mod name;

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

pub use name::{
    NAME_BYTES_MAX, NameError, ObjectName, SEGMENT_BYTES_MAX, SEGMENTS_MAX, Tenant, WorkId,
};

/// What stands at an object's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and nothing on the way leads outside.
    Absent,
    /// A regular file.
    File,
    /// A folder, a device, or a file where a folder is needed.
    Other,
    /// A symbolic link that leads out of the tenant's folder, or nowhere.
    Outside,
}

/// The objects of every tenant and the folders of running tasks, on one local file system.
///
/// Every write is synced to the disk, its folder included, before it returns.
#[derive(Debug, Clone)]
pub struct Objects {
    root: Arc<FsPath>,
    store: Arc<dyn ObjectStore>,
    /// Held while a name's reservation is compared and changed: the store has no conditional delete.
    reservations: Arc<tokio::sync::Mutex<()>>,
}

impl Objects {
    /// Opens `dir`, making `objects` and `work` in it.
    ///
    /// # Errors
    /// `dir` cannot be made or read.
    pub fn open(dir: &FsPath) -> io::Result<Self> {
        fs::create_dir_all(dir.join("objects"))?;
        fs::create_dir_all(dir.join("work"))?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(io::Error::other)?;
        Self::over(dir, Arc::new(store.with_fsync(true)))
    }

    /// The same over a store that the caller made for `dir`: a test's store that fails on demand.
    ///
    /// # Errors
    /// `dir` cannot be read.
    pub fn over(dir: &FsPath, store: Arc<dyn ObjectStore>) -> io::Result<Self> {
        let root = fs::canonicalize(dir)?.into();
        Ok(Self {
            root,
            store,
            reservations: Arc::default(),
        })
    }

    /// The store, rooted at the directory that was opened.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where the store keeps an object.
    ///
    /// # Errors
    /// Never for names that were parsed; the store's own rule is checked again.
    pub fn location(tenant: &Tenant, name: &ObjectName) -> object_store::Result<Path> {
        Ok(Path::parse(format!("objects/{}/{name}", tenant.as_str()))?)
    }

    /// What stands at an object's place, symbolic links followed inside the tenant's folder alone.
    ///
    /// # Errors
    /// The file system refused to answer.
    pub async fn look(&self, tenant: &Tenant, name: &ObjectName) -> io::Result<Found> {
        let folder = self.root.join("objects").join(tenant.as_str());
        let name = name.clone();
        blocking(move || look(&folder, &name)).await
    }

    /// The request ids that have a folder of work: what a start compares with the stored requests.
    ///
    /// # Errors
    /// The folder of work cannot be read.
    pub async fn unfinished(&self) -> object_store::Result<Vec<WorkId>> {
        let listed = self
            .store
            .list_with_delimiter(Some(&Path::from("work")))
            .await?;
        let ids = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(ids.filter_map(WorkId::parse).collect())
    }

    pub(crate) async fn reservations(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.reservations.lock().await
    }

    pub(crate) async fn remove_work(&self, id: &WorkId) -> io::Result<()> {
        let folder = self.root.join("work").join(id.as_str());
        blocking(move || match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    pub(crate) async fn read(&self, at: &Path) -> object_store::Result<Option<bytes::Bytes>> {
        match self.store.get(at).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn look(folder: &FsPath, name: &ObjectName) -> io::Result<Found> {
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Ok(Found::Outside),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(error),
    }
    let mut at = PathBuf::from(folder);
    let mut segments = name.segments().peekable();
    while let Some(segment) = segments.next() {
        at.push(segment);
        let mut meta = match fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(error),
        };
        if meta.is_symlink() {
            match fs::canonicalize(&at) {
                Ok(real) if real.starts_with(folder) => at = real,
                _ => return Ok(Found::Outside),
            }
            meta = fs::metadata(&at)?;
        }
        match (segments.peek().is_some(), meta.is_dir(), meta.is_file()) {
            (true, true, _) => {}
            (false, _, true) => return Ok(Found::File),
            _ => return Ok(Found::Other),
        }
    }
    Ok(Found::Other)
}
