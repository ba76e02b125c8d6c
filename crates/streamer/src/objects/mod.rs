//! A tenant and an object's name come in; its place in the store goes out, never outside the tenant's folder.
//!
//! Under the directory or the bucket's prefix that [`Objects`] has, `objects/{tenant}/{name}` holds what users see and
//! `work/{request_id}/` what running tasks keep for themselves.

mod name;
mod directory;
mod bucket;
mod reservation;

use std::io::Read;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::{fs, io};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};

use tokio::sync::{Mutex, MutexGuard};

pub use name::{
    NAME_BYTES_MAX, NameError, ObjectName, SEGMENT_BYTES_MAX, SEGMENTS_MAX, Tenant, WorkId,
};
pub(crate) use reservation::Reserved;

/// What of a file that is open already is read where it is asked for: the detour over a blocking thread costs more.
const READ_AT_ONCE_BYTES: u64 = 4 << 10;

/// What stands at an object's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and nothing on the way leads outside.
    Absent,
    /// A regular file, or an object of a bucket.
    File,
    /// A folder, a device, or a file where a folder is needed.
    Other,
    /// A symbolic link that leads out of the tenant's folder, or nowhere.
    Outside,
}

/// The objects of every tenant and the folders of running tasks, in a directory or in a bucket.
///
/// Every write is durable before it returns: a directory's is synced to the disk, its folder included.
#[derive(Debug, Clone)]
pub struct Objects {
    place: Place,
    store: Arc<dyn ObjectStore>,
}

#[derive(Debug, Clone)]
enum Place {
    Directory {
        root: Arc<FsPath>,
        /// Held while a name's reservation is compared and changed: the store has no conditional delete.
        reservations: Arc<Mutex<()>>,
    },
    Bucket,
}

impl Place {
    async fn hold(&self) -> Option<MutexGuard<'_, ()>> {
        match self {
            Self::Directory { reservations, .. } => Some(reservations.lock().await),
            Self::Bucket => None,
        }
    }
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
        let reservations = Arc::default();
        Ok(Self {
            place: Place::Directory { root, reservations },
            store,
        })
    }

    /// Over a bucket: a store with conditional puts by tag, as S3 has them. It has no links and no folders; a name below another
    /// object's is refused for an output nevertheless, so that what works there works in a directory.
    #[must_use]
    pub fn in_bucket(bucket: Arc<dyn ObjectStore>) -> Self {
        Self {
            place: Place::Bucket,
            store: bucket,
        }
    }

    /// The same below a prefix of the bucket's keys.
    #[must_use]
    pub fn below(bucket: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self::in_bucket(Arc::new(PrefixStore::new(bucket, prefix)))
    }

    /// The store, rooted at the directory that was opened or at the bucket's prefix.
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
    /// The file system or the store refused to answer.
    pub async fn look(&self, tenant: &Tenant, name: &ObjectName) -> io::Result<Found> {
        match &self.place {
            Place::Directory { root, .. } => {
                // A few names that the system has in memory: the detour over a blocking thread costs more.
                directory::look(&root.join("objects").join(tenant.as_str()), name)
            }
            Place::Bucket => Ok(bucket::look(&*self.store, tenant, name).await?),
        }
    }

    /// What stands at an output's place of which [`Self::look`] said before the acknowledgment that it is free: in a bucket
    /// no folder can have come into its way, and to list what is below a key costs as much as to write one.
    pub(crate) async fn look_again(&self, tenant: &Tenant, name: &ObjectName) -> io::Result<Found> {
        match &self.place {
            Place::Directory { .. } => self.look(tenant, name).await,
            Place::Bucket => {
                let at = Self::location(tenant, name)?;
                match bucket::is_there(&*self.store, &at).await? {
                    true => Ok(Found::File),
                    false => Ok(Found::Absent),
                }
            }
        }
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

    /// What tells one content of an object from another. In a directory this holds for a copy of it too: the store's
    /// own tag names the inode, which a copy does not keep. A bucket's times are whole seconds: its tag tells more.
    pub(crate) fn version(&self, object: &ObjectMeta) -> String {
        let time = || object.last_modified.to_rfc3339();
        let mark = match &self.place {
            Place::Directory { .. } => time(),
            Place::Bucket => object.e_tag.clone().unwrap_or_else(time),
        };
        format!("{} {mark}", object.size)
    }

    /// Copies a staged object to its name unless there is one.
    pub(crate) async fn create(&self, staged: &ObjectMeta, to: &Path) -> object_store::Result<()> {
        match &self.place {
            Place::Directory { .. } => self.store.copy_if_not_exists(&staged.location, to).await,
            Place::Bucket => bucket::create(&*self.store, staged, to).await,
        }
    }

    /// Whether `there` is what publishing `staged` made: a link to it, or the same bytes.
    pub(crate) async fn is_published(
        &self,
        staged: &ObjectMeta,
        there: &ObjectMeta,
    ) -> object_store::Result<bool> {
        match &self.place {
            Place::Directory { .. } => Ok(self.version(staged) == self.version(there)),
            Place::Bucket => bucket::same(&*self.store, staged, there).await,
        }
    }

    pub(crate) async fn remove_work(&self, id: &WorkId) -> io::Result<()> {
        match &self.place {
            Place::Directory { root, .. } => {
                let folder = root.join("work").join(id.as_str());
                directory::blocking(move || directory::remove(&folder)).await
            }
            Place::Bucket => Ok(bucket::remove_work(&self.store, id).await?),
        }
    }

    pub(crate) async fn read(&self, at: &Path) -> object_store::Result<Option<bytes::Bytes>> {
        match self.store.get(at).await {
            Ok(found) => all(found).await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The bytes of an object that was asked for whole.
async fn all(found: GetResult) -> object_store::Result<bytes::Bytes> {
    match found.payload {
        GetResultPayload::File(file, _) if found.meta.size <= READ_AT_ONCE_BYTES => {
            let mut bytes = Vec::with_capacity(usize::try_from(found.meta.size).unwrap_or(0));
            let read = file.take(READ_AT_ONCE_BYTES).read_to_end(&mut bytes);
            read.map_err(|source| object_store::Error::Generic {
                store: "directory",
                source: source.into(),
            })?;
            Ok(bytes.into())
        }
        _ => found.bytes().await,
    }
}
