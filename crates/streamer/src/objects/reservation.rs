//! A request's id and the place of a reservation come in; whether the request has it goes out.
//!
//! A reservation holds the id of the request that has it. In a directory it is deleted to release it, under a lock that
//! every request of the process takes. In a bucket, which requests of many processes use, it is emptied: a put may ask for the tag
//! that was read (`If-Match`), a delete may not.

use object_store::path::Path;
use object_store::{
    Error, GetResult, ObjectStoreExt, PutMode, PutOptions, PutPayload, Result, UpdateVersion,
};

use super::{Objects, Place, WorkId, all};

/// How often a reservation that changes under the reader is tried again.
const TRIES: usize = 4;

/// What became of asking for a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// The request has it.
    Held,
    /// Another request has it.
    Taken,
}

impl Objects {
    /// The request that has the reservation.
    pub(crate) async fn holder(&self, place: &Path) -> Result<Option<bytes::Bytes>> {
        let read = self.read(place).await?;
        Ok(read.filter(|holder| !holder.is_empty()))
    }

    /// Takes a reservation, again where the request already has it.
    pub(crate) async fn reserve(&self, place: &Path, id: &WorkId) -> Result<Reserved> {
        let _held = self.place.hold().await;
        for _ in 0..TRIES {
            match self
                .put_reservation(place, id.as_str(), PutMode::Create)
                .await
            {
                Ok(()) => return Ok(Reserved::Held),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
            let Some((holder, version)) = self.reservation(place).await? else {
                continue;
            };
            if holder == id.as_str().as_bytes() {
                return Ok(Reserved::Held);
            }
            if !(holder.is_empty() && matches!(self.place, Place::Bucket)) {
                return Ok(Reserved::Taken);
            }
            let mode = PutMode::Update(version);
            match self.put_reservation(place, id.as_str(), mode).await {
                Ok(()) => return Ok(Reserved::Held),
                Err(Error::Precondition { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Reserved::Taken)
    }

    /// Gives a reservation back where the request has it.
    pub(crate) async fn give_back(&self, place: &Path, id: &WorkId) -> Result<()> {
        let _held = self.place.hold().await;
        let Some((holder, version)) = self.reservation(place).await? else {
            return Ok(());
        };
        if holder != id.as_str().as_bytes() {
            return Ok(());
        }
        match &self.place {
            Place::Directory { .. } => self.store.delete(place).await,
            Place::Bucket => match self
                .put_reservation(place, "", PutMode::Update(version))
                .await
            {
                // Another claim of the same request gave it back.
                Ok(()) | Err(Error::Precondition { .. }) => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    async fn reservation(&self, place: &Path) -> Result<Option<(bytes::Bytes, UpdateVersion)>> {
        let found: GetResult = match self.store.get(place).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        Ok(Some((all(found).await?, version)))
    }

    async fn put_reservation(&self, place: &Path, holder: &str, mode: PutMode) -> Result<()> {
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        let holder = PutPayload::from(holder.to_owned());
        self.store.put_opts(place, holder, options).await.map(drop)
    }
}
