//! States and the finished output of one request come in; they are durable before the call returns.
//!
//! `work/{request_id}/` holds what its task keeps, `output-{claim}`, `publish.json` (what is being published)
//! and `name` (the reservation to release). `work/.names/{tenant}/{name}~` holds the
//! id of the request that will write the output `name`: a tilde ends no object's name, so that the
//! reservations of `a` and `a/b` do not meet.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutPayload,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::claim::{Ended, Flow, Hooks};
use super::failure::Failure;
use crate::objects::{Found, ObjectName, Objects, Reserved, Tenant, WorkId};

/// Bytes gathered before they are handed to the store: object stores want parts of 5 MiB at least. What has no more is
/// put with one call.
const UPLOAD_BYTES: usize = 8 << 20;

/// The folder of one request, seen by one claim.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) objects: &'a Objects,
    pub(super) id: &'a WorkId,
    pub(super) claim: u64,
}

/// Written before the output is moved: a later claim then knows what it meets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Publication<O> {
    pub(super) staged: String,
    pub(super) overwrite: bool,
    pub(super) outcome: O,
}

/// The finished output on its way to the store.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    pub(super) name: String,
    pub(super) bytes: u64,
    store: &'a dyn ObjectStore,
    place: Path,
    /// Begun with the first part.
    upload: Option<Box<dyn MultipartUpload>>,
    gathered: Vec<u8>,
}

impl Staging<'_> {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < UPLOAD_BYTES {
            return Ok(());
        }
        let part = PutPayload::from(std::mem::take(&mut self.gathered));
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let opened = self.store.put_multipart(&self.place).await;
                none.insert(opened.map_err(Failure::storage)?)
            }
        };
        upload.put_part(part).await.map_err(Failure::storage)
    }

    /// Makes it durable and gives its name.
    pub(super) async fn finish(self) -> Result<String, Failure> {
        let last = PutPayload::from(self.gathered);
        match self.upload {
            Some(mut upload) => {
                upload.put_part(last).await.map_err(Failure::storage)?;
                upload.complete().await.map_err(Failure::storage)?;
            }
            None => {
                let put = self.store.put(&self.place, last).await;
                put.map_err(Failure::storage)?;
            }
        }
        Ok(self.name)
    }

    pub(super) async fn abort(self) -> Result<(), Failure> {
        match self.upload {
            Some(mut upload) => upload.abort().await.map_err(Failure::storage),
            None => Ok(()),
        }
    }
}

impl<'a> Work<'a> {
    fn store(&self) -> &'a dyn ObjectStore {
        &**self.objects.store()
    }

    fn path(&self, name: &str) -> Result<Path, Failure> {
        Path::parse(format!("work/{}/{name}", self.id.as_str())).map_err(Failure::storage)
    }

    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let payload = PutPayload::from(bytes);
        let put = self.store().put(&self.path(name)?, payload).await;
        put.map(|_| ()).map_err(Failure::storage)
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        self.objects
            .read(&self.path(name)?)
            .await
            .map_err(Failure::storage)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Failure> {
        match self.store().delete(&self.path(name)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Failure::storage(error)),
        }
    }

    /// Reserves the output's name for this request, again where it already is.
    pub(super) async fn reserve(&self, tenant: &Tenant, name: &ObjectName) -> Result<(), Failure> {
        let place = reservation(tenant, name)?;
        self.put("name", place.as_ref().into()).await?;
        match self.objects.reserve(&place, self.id).await {
            Ok(Reserved::Held) => Ok(()),
            Ok(Reserved::Taken) => Err(taken(name)),
            Err(error) => Err(Failure::storage(error)),
        }
    }

    /// Releases the reservation of this request, if it holds one.
    pub(super) async fn release(&self) -> Result<(), Failure> {
        let Some(place) = self.read("name").await? else {
            return Ok(());
        };
        let place = Path::parse(String::from_utf8_lossy(&place)).map_err(Failure::storage)?;
        self.give_back(&place).await
    }

    async fn give_back(&self, place: &Path) -> Result<(), Failure> {
        let released = self.objects.give_back(place, self.id).await;
        released.map_err(Failure::storage)
    }

    /// Takes the output's name for this request; where an earlier claim was about to publish it, does that and ends.
    pub(super) async fn begin<O: DeserializeOwned, C>(
        &self,
        tenant: &Tenant,
        name: &ObjectName,
        overwrite: bool,
        hooks: &mut impl Hooks<C>,
    ) -> Result<Option<Ended<O>>, Failure> {
        if let Some(publication) = self.publication().await? {
            let ended = self.publish(publication, tenant, name, hooks).await?;
            return Ok(Some(ended));
        }
        self.reserve(tenant, name).await?;
        let there = self.objects.look_again(tenant, name).await;
        fits(there.map_err(Failure::storage)?, name, overwrite)?;
        Ok(None)
    }

    /// Says durably what will be published, then publishes it: a later claim goes on from there.
    pub(super) async fn finish<O: Serialize + Sync, C>(
        &self,
        publication: Publication<O>,
        tenant: &Tenant,
        name: &ObjectName,
        hooks: &mut impl Hooks<C>,
    ) -> Result<Ended<O>, Failure> {
        self.announce(&publication).await?;
        self.publish(publication, tenant, name, hooks).await
    }

    /// Begins the finished output.
    pub(super) fn stage(&self) -> Result<Staging<'a>, Failure> {
        let name = format!("output-{}", self.claim);
        Ok(Staging {
            place: self.path(&name)?,
            name,
            bytes: 0,
            store: self.store(),
            upload: None,
            gathered: Vec::new(),
        })
    }

    async fn publication<O: DeserializeOwned>(&self) -> Result<Option<Publication<O>>, Failure> {
        let Some(text) = self.read("publish.json").await? else {
            return Ok(None);
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(Failure::storage)
    }

    async fn announce<O: Serialize + Sync>(
        &self,
        publication: &Publication<O>,
    ) -> Result<(), Failure> {
        let text = serde_json::to_vec(publication).map_err(Failure::storage)?;
        self.put("publish.json", text).await
    }

    /// Moves the staged output to its name and releases the name, unless a hook said stop; does nothing twice.
    ///
    /// The staged object is gone exactly when the output was published: a move takes it away, and a link (in a bucket a
    /// copy) that stands in for "move unless there" is deleted after its twin was made. A bucket moves by copying too: what
    /// died before the delete is published again, with the same bytes and under the same reservation.
    async fn publish<O, C>(
        &self,
        publication: Publication<O>,
        tenant: &Tenant,
        name: &ObjectName,
        hooks: &mut impl Hooks<C>,
    ) -> Result<Ended<O>, Failure> {
        if hooks.commit().await == Flow::Stop {
            return Ok(Ended::Stopped);
        }
        let from = self.path(&publication.staged)?;
        let to = Objects::location(tenant, name).map_err(Failure::storage)?;
        match self.store().head(&from).await {
            Ok(staged) => {
                let there = self.objects.look_again(tenant, name).await;
                match (there.map_err(Failure::storage)?, publication.overwrite) {
                    (Found::Absent | Found::File, true) => {
                        self.store()
                            .rename(&from, &to)
                            .await
                            .map_err(Failure::storage)?;
                    }
                    (Found::Absent | Found::File, false) => {
                        match self.objects.create(&staged, &to).await {
                            Ok(()) => {}
                            Err(Error::AlreadyExists { .. }) => {
                                let there = self.store().head(&to).await;
                                let there = there.map_err(Failure::storage)?;
                                let ours = self.objects.is_published(&staged, &there).await;
                                if !ours.map_err(Failure::storage)? {
                                    return Err(exists(name));
                                }
                            }
                            Err(error) => return Err(Failure::storage(error)),
                        }
                        self.delete(&publication.staged).await?;
                    }
                    (found, _) => return Err(unfit(found, name)),
                }
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(Failure::storage(error)),
        }
        self.give_back(&reservation(tenant, name)?).await?;
        Ok(Ended::Finished(publication.outcome))
    }
}

/// Where the reservation of an output's name lies.
pub(super) fn reservation(tenant: &Tenant, name: &ObjectName) -> Result<Path, Failure> {
    let place = format!("work/.names/{}/{name}~", tenant.as_str());
    Path::parse(place).map_err(Failure::storage)
}

pub(super) async fn look(
    objects: &Objects,
    tenant: &Tenant,
    name: &ObjectName,
) -> Result<Found, Failure> {
    objects.look(tenant, name).await.map_err(Failure::storage)
}

/// Whether an output can stand where this is.
fn fits(there: Found, name: &ObjectName, overwrite: bool) -> Result<(), Failure> {
    match there {
        Found::Absent => Ok(()),
        Found::File if overwrite => Ok(()),
        Found::File => Err(exists(name)),
        found => Err(unfit(found, name)),
    }
}

/// What a check before the acknowledgment asks of an output: that it can stand at its name, and that nobody is writing it.
pub(super) async fn precheck_output(
    objects: &Objects,
    tenant: &Tenant,
    name: &ObjectName,
    overwrite: bool,
) -> Result<(), Failure> {
    fits(look(objects, tenant, name).await?, name, overwrite)?;
    let place = reservation(tenant, name)?;
    match objects.holder(&place).await.map_err(Failure::storage)? {
        Some(_) => Err(taken(name)),
        None => Ok(()),
    }
}

/// The object that a request names as its input.
pub(super) async fn input(
    objects: &Objects,
    tenant: &Tenant,
    name: &ObjectName,
) -> Result<ObjectMeta, Failure> {
    let missing = || Failure::NotFound(name.clone());
    if look(objects, tenant, name).await? != Found::File {
        return Err(missing());
    }
    let place = Objects::location(tenant, name).map_err(Failure::storage)?;
    match objects.store().head(&place).await {
        Ok(meta) => Ok(meta),
        Err(Error::NotFound { .. }) => Err(missing()),
        Err(error) => Err(Failure::storage(error)),
    }
}

/// The bytes of an input from `start` on, at most `most`, of the version that was looked at; none at its end.
pub(super) async fn fetch(
    objects: &Objects,
    input: &ObjectMeta,
    name: &ObjectName,
    start: u64,
    most: u64,
) -> Result<Bytes, Failure> {
    let end = input.size.min(start + most.max(1));
    if start >= end {
        return Ok(Bytes::new());
    }
    let options = GetOptions::new()
        .with_range(Some(GetRange::Bounded(start..end)))
        .with_if_match(input.e_tag.clone());
    let got = match objects.store().get_opts(&input.location, options).await {
        Ok(got) => got.bytes().await,
        Err(error) => Err(error),
    };
    match got {
        Ok(bytes) if bytes.len() as u64 == end - start => Ok(bytes),
        Ok(_) | Err(Error::Precondition { .. }) => Err(Failure::InputChanged(name.clone())),
        Err(Error::NotFound { .. }) => Err(Failure::NotFound(name.clone())),
        Err(error) => Err(Failure::storage(error)),
    }
}

/// Releases the reservation of a request that ended and deletes its folder of work; does nothing twice.
pub(super) async fn abandon(objects: &Objects, id: &WorkId) -> Result<(), Failure> {
    let work = Work {
        objects,
        id,
        claim: 0,
    };
    work.release().await?;
    objects.remove_work(id).await.map_err(Failure::storage)
}

pub(super) fn taken(name: &ObjectName) -> Failure {
    Failure::Conflict {
        name: name.clone(),
        reason: "is being written by another request",
    }
}

pub(super) fn exists(name: &ObjectName) -> Failure {
    Failure::Conflict {
        name: name.clone(),
        reason: "exists, and `overwrite` is not set",
    }
}

/// Why an output cannot stand where something else does.
pub(super) fn unfit(found: Found, name: &ObjectName) -> Failure {
    match found {
        Found::Outside => {
            Failure::invalid("/payload/output/name", "leads out of the tenant's folder")
        }
        Found::Absent | Found::File | Found::Other => Failure::Conflict {
            name: name.clone(),
            reason: "is in the way of a folder, or is one",
        },
    }
}
