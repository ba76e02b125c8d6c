//! Parts, states and the finished output of one request come in; they are durable before the call returns.
//!
//! `work/{request_id}/` holds `part-{claim}-{n}`, `state-{claim}-{n}`, `output-{claim}`, `publish.json` (what is
//! being published) and `name` (the reservation to release). `work/.names/{tenant}/{name}~` holds the
//! id of the request that will write the output `name`: a tilde ends no object's name, so that the
//! reservations of `a` and `a/b` do not meet.

use std::collections::HashMap;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use serde::{Deserialize, Serialize};

use super::checkpoint::Parts;
use super::failure::Failure;
use super::{Flow, Hooks, Outcome};
use crate::objects::{Found, ObjectName, Objects, Tenant, WorkId};

/// Bytes gathered before they are handed to the store: object stores want parts of 5 MiB at least.
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
pub(super) struct Publication {
    pub(super) staged: String,
    pub(super) overwrite: bool,
    pub(super) outcome: Outcome,
}

impl Work<'_> {
    fn store(&self) -> &dyn ObjectStore {
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

    /// Deletes what no checkpoint names; false where something that one names is missing or cut short.
    pub(super) async fn keep(&self, parts: &[Parts], state: Option<&str>) -> Result<bool, Failure> {
        let folder = Path::parse(format!("work/{}", self.id.as_str())).map_err(Failure::storage)?;
        let listed = self.store().list_with_delimiter(Some(&folder)).await;
        let mut found: HashMap<String, u64> = listed
            .map_err(Failure::storage)?
            .objects
            .iter()
            .filter_map(|meta| Some((meta.location.filename()?.to_owned(), meta.size)))
            .collect();
        let mut whole = state.is_none_or(|state| found.remove(state).is_some());
        for run in parts {
            let sizes = (0..run.count).map(|n| found.remove(&part(run.claim, n)));
            whole &= sizes.sum::<Option<u64>>() == Some(run.bytes);
        }
        let made = |name: &&String| {
            ["part-", "state-", "output-"]
                .iter()
                .any(|kind| name.starts_with(kind))
        };
        for name in found.keys().filter(made) {
            self.delete(name).await?;
        }
        Ok(whole)
    }

    /// Reserves the output's name for this request, again where it already is.
    pub(super) async fn reserve(&self, tenant: &Tenant, name: &ObjectName) -> Result<(), Failure> {
        let place = reservation(tenant, name)?;
        let _held = self.objects.reservations().await;
        self.put("name", place.as_ref().into()).await?;
        let id = PutPayload::from(self.id.as_str().to_owned());
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match self.store().put_opts(&place, id, options).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. }) => match holder(self.objects, &place).await? {
                Some(holder) if holder == self.id.as_str().as_bytes() => Ok(()),
                _ => Err(taken(name)),
            },
            Err(error) => Err(Failure::storage(error)),
        }
    }

    /// Releases the reservation of this request, if it holds one.
    pub(super) async fn release(&self) -> Result<(), Failure> {
        let Some(place) = self.read("name").await? else {
            return Ok(());
        };
        let place = Path::parse(String::from_utf8_lossy(&place)).map_err(Failure::storage)?;
        let _held = self.objects.reservations().await;
        match holder(self.objects, &place).await? {
            Some(holder) if holder == self.id.as_str().as_bytes() => {
                self.store().delete(&place).await.map_err(Failure::storage)
            }
            _ => Ok(()),
        }
    }

    /// Joins the parts to one staged object.
    pub(super) async fn join<H: Hooks>(
        &self,
        parts: &[Parts],
        hooks: &mut H,
    ) -> Result<(String, Flow), Failure> {
        let staged = format!("output-{}", self.claim);
        let opened = self.store().put_multipart(&self.path(&staged)?).await;
        let mut upload = opened.map_err(Failure::storage)?;
        let total: u64 = parts.iter().map(|run| run.bytes).sum();
        let (mut gathered, mut done) = (Vec::new(), 0_u64);
        let names = parts
            .iter()
            .flat_map(|run| (0..run.count).map(|n| part(run.claim, n)));
        for name in names {
            let bytes = self.read(&name).await?;
            gathered.extend_from_slice(&bytes.ok_or_else(|| missing(&name))?);
            if gathered.len() < UPLOAD_BYTES {
                continue;
            }
            done += gathered.len() as u64;
            let part = PutPayload::from(std::mem::take(&mut gathered));
            upload.put_part(part).await.map_err(Failure::storage)?;
            let percentage = super::engine::percentage(super::engine::READ_END, 1000, done, total);
            if hooks.progress(percentage, "publishing the output").await == Flow::Stop {
                upload.abort().await.map_err(Failure::storage)?;
                return Ok((staged, Flow::Stop));
            }
        }
        upload
            .put_part(PutPayload::from(gathered))
            .await
            .map_err(Failure::storage)?;
        upload.complete().await.map_err(Failure::storage)?;
        Ok((staged, Flow::Continue))
    }

    pub(super) async fn publication(&self) -> Result<Option<Publication>, Failure> {
        let Some(text) = self.read("publish.json").await? else {
            return Ok(None);
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(Failure::storage)
    }

    pub(super) async fn announce(&self, publication: &Publication) -> Result<(), Failure> {
        let text = serde_json::to_vec(publication).map_err(Failure::storage)?;
        self.put("publish.json", text).await
    }

    /// Moves the staged output to its name and releases the name; does nothing twice.
    ///
    /// The staged object is gone exactly when the output was published: a move takes it away, and a link that
    /// stands in for "move unless there" is deleted after its twin was made.
    pub(super) async fn publish(
        &self,
        publication: Publication,
        tenant: &Tenant,
        name: &ObjectName,
    ) -> Result<Outcome, Failure> {
        let from = self.path(&publication.staged)?;
        let to = Objects::location(tenant, name).map_err(Failure::storage)?;
        match self.store().head(&from).await {
            Ok(staged) => {
                match (
                    look(self.objects, tenant, name).await?,
                    publication.overwrite,
                ) {
                    (Found::Absent | Found::File, true) => {
                        self.store()
                            .rename(&from, &to)
                            .await
                            .map_err(Failure::storage)?;
                    }
                    (Found::Absent | Found::File, false) => {
                        let mode = CopyMode::Create;
                        let options = CopyOptions {
                            mode,
                            ..CopyOptions::default()
                        };
                        match self.store().copy_opts(&from, &to, options).await {
                            Ok(()) => {}
                            Err(Error::AlreadyExists { .. }) => {
                                let there = self.store().head(&to).await;
                                let there = there.map_err(Failure::storage)?;
                                if there.e_tag.is_none() || there.e_tag != staged.e_tag {
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
        self.release().await?;
        Ok(publication.outcome)
    }
}

/// The name of a claim's part.
pub(super) fn part(claim: u64, n: u64) -> String {
    format!("part-{claim}-{n}")
}

/// Where the reservation of an output's name lies.
pub(super) fn reservation(tenant: &Tenant, name: &ObjectName) -> Result<Path, Failure> {
    let place = format!("work/.names/{}/{name}~", tenant.as_str());
    Path::parse(place).map_err(Failure::storage)
}

/// The request that a reservation names.
pub(super) async fn holder(objects: &Objects, place: &Path) -> Result<Option<Bytes>, Failure> {
    objects.read(place).await.map_err(Failure::storage)
}

pub(super) async fn look(
    objects: &Objects,
    tenant: &Tenant,
    name: &ObjectName,
) -> Result<Found, Failure> {
    objects.look(tenant, name).await.map_err(Failure::storage)
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

fn missing(name: &str) -> Failure {
    Failure::storage(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        name.to_owned(),
    ))
}
