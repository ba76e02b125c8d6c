//! An object's name comes in; what a bucket has at its key, above it and below it goes out.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, Result,
};

use super::{Found, ObjectName, Objects, Tenant, WorkId};

/// Bytes of each object that are compared at once.
const COMPARED_BYTES: u64 = 4 << 20;
/// Largest object that is copied by reading and writing it: fewer calls than S3 takes to copy unless there is one, and
/// it may be empty, which a part of such a copy may not.
const REWRITTEN_BYTES_MAX: u64 = 8 << 20;

/// An object that is there is a file, whatever lies above or below its key.
pub(super) async fn look(
    store: &dyn ObjectStore,
    tenant: &Tenant,
    name: &ObjectName,
) -> Result<Found> {
    let at = Objects::location(tenant, name)?;
    if is_there(store, &at).await? {
        return Ok(Found::File);
    }
    for above in name.above() {
        if is_there(store, &Objects::location(tenant, &above)?).await? {
            return Ok(Found::Other);
        }
    }
    match store.list(Some(&at)).next().await.transpose()? {
        Some(_) => Ok(Found::Other),
        None => Ok(Found::Absent),
    }
}

pub(super) async fn is_there(store: &dyn ObjectStore, at: &Path) -> Result<bool> {
    match store.head(at).await {
        Ok(_) => Ok(true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn remove_work(store: &Arc<dyn ObjectStore>, id: &WorkId) -> Result<()> {
    let folder = Path::parse(format!("work/{}", id.as_str()))?;
    let found = store.list(Some(&folder)).map_ok(|object| object.location);
    let removed = store.delete_stream(found.boxed());
    let is_kept = |error: &Error| !matches!(error, Error::NotFound { .. });
    removed
        .filter_map(async |removed| removed.err().filter(is_kept))
        .map(Err)
        .try_collect()
        .await
}

/// Copies an object unless there is one.
pub(super) async fn create(store: &dyn ObjectStore, from: &ObjectMeta, to: &Path) -> Result<()> {
    if from.size > REWRITTEN_BYTES_MAX {
        return store.copy_if_not_exists(&from.location, to).await;
    }
    let bytes = store.get(&from.location).await?.bytes().await?;
    let options = PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    };
    store.put_opts(to, bytes.into(), options).await.map(drop)
}

/// Whether two objects have the same bytes.
pub(super) async fn same(
    store: &dyn ObjectStore,
    one: &ObjectMeta,
    two: &ObjectMeta,
) -> Result<bool> {
    if one.size != two.size {
        return Ok(false);
    }
    let mut at = 0;
    while at < one.size {
        let range = at..one.size.min(at + COMPARED_BYTES);
        at = range.end;
        let (first, second) = (
            part(store, one, &range).await?,
            part(store, two, &range).await,
        );
        match (first, second) {
            (one, Ok(two)) if one == two => {}
            (_, Ok(_) | Err(Error::Precondition { .. } | Error::NotFound { .. })) => {
                return Ok(false);
            }
            (_, Err(error)) => return Err(error),
        }
    }
    Ok(true)
}

async fn part(store: &dyn ObjectStore, object: &ObjectMeta, range: &Range<u64>) -> Result<Bytes> {
    let options = GetOptions::new()
        .with_range(Some(range.clone()))
        .with_if_match(object.e_tag.clone());
    let got = store.get_opts(&object.location, options).await?;
    got.bytes().await
}
