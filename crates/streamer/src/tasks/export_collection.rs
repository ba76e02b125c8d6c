//! The name of a collection comes in; an NDJSON object with all its records goes out, as they were at one moment.
//!
//! A later claim begins again: what it would go on from is gone with the moment. So does a reading whose collection was changed
//! meanwhile, where the place of records cannot hold a moment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::bulk_operation::{Collections, Page, Record, checked_collection};
use super::claim::{Ended, Flow, Hooks, Job, percentage};
use super::failure::Failure;
use super::output::{self, Output};
use super::work::{self, Publication, Work};
use crate::objects::{ObjectName, Objects, Tenant};

/// Records that are read at once: 6.4 MiB at most.
const PAGE_RECORDS: usize = 100;
/// Readings of a collection that is changed each time before one claim gives up.
const READINGS_MAX: usize = 5;
/// Tenths of a percent at which all records are written.
const WRITTEN: u32 = 990;

/// The payload of `export_collection`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportCollection {
    /// The collection; one that has not begun has no records.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"))]
    pub collection: String,
    /// The object to write: `.ndjson` or `.jsonl`.
    pub output: Output,
}

/// What a finished request says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExportCollectionResult")]
pub struct Outcome {
    /// The collection.
    pub collection: String,
    /// How many records were written.
    pub records: u64,
    /// The object's name.
    pub output: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Writes collections to one place of objects.
#[derive(Debug, Clone)]
pub struct Exports {
    objects: Objects,
    collections: Collections,
}

impl Exports {
    /// From `collections` to `objects`.
    #[must_use]
    pub fn new(objects: Objects, collections: Collections) -> Self {
        Self {
            objects,
            collections,
        }
    }

    /// Checks a request before it is acknowledged; nothing is written or reserved.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a badly shaped name; [`Failure::Conflict`] where the output exists unless it may be
    /// replaced, or is being written.
    pub async fn precheck(
        &self,
        tenant: &Tenant,
        request: &ExportCollection,
    ) -> Result<(), Failure> {
        let output = checked(request)?;
        let overwrite = request.output.overwrite;
        work::precheck_output(&self.objects, tenant, &output, overwrite).await
    }

    /// Runs a claim to its end.
    ///
    /// # Errors
    /// [`Failure`] by what its caller can do; [`Failure::is_retryable`] says what is worth another try.
    pub async fn run<H: Hooks<()>>(
        &self,
        job: &Job<ExportCollection>,
        hooks: &mut H,
    ) -> Result<Ended<Outcome>, Failure> {
        let output = checked(&job.request)?;
        let work = Work {
            objects: &self.objects,
            id: &job.request_id,
            claim: job.claim,
        };
        let overwrite = job.request.output.overwrite;
        let begun = work.begin(&job.tenant, &output, overwrite, hooks);
        if let Some(ended) = begun.await? {
            return Ok(ended);
        }
        let mut readings = 0;
        let (staged, records, bytes) = loop {
            match self.write(job, &work, hooks).await? {
                Written::Whole(staged, records, bytes) => break (staged, records, bytes),
                Written::Stopped => return Ok(Ended::Stopped),
                Written::Moved => readings += 1,
            }
            if readings == READINGS_MAX {
                return Err(Failure::Moving(job.request.collection.clone()));
            }
        };
        let publication = Publication {
            staged,
            overwrite,
            outcome: Outcome {
                collection: job.request.collection.clone(),
                records,
                output: output.as_str().to_owned(),
                bytes,
            },
        };
        work.finish(publication, &job.tenant, &output, hooks).await
    }

    /// Stages the object.
    async fn write<H: Hooks<()>>(
        &self,
        job: &Job<ExportCollection>,
        work: &Work<'_>,
        hooks: &mut H,
    ) -> Result<Written, Failure> {
        let collection = &job.request.collection;
        let mut view = self.collections.view(&job.tenant, collection).await?;
        let (mut staging, mut written, all) = (work.stage()?, 0, view.records());
        loop {
            let page = match view.next(PAGE_RECORDS).await? {
                Page::Records(page) => page,
                Page::End => break,
                Page::Moved => {
                    staging.abort().await?;
                    return Ok(Written::Moved);
                }
            };
            written += page.len() as u64;
            let lines = page.into_iter().map(line).collect::<Result<Vec<_>, _>>()?;
            staging.write(&lines.concat()).await?;
            let percentage = percentage(0, WRITTEN, written, all);
            let message = format!("{written} of {all} records written");
            if hooks.progress(percentage, &message).await == Flow::Stop {
                staging.abort().await?;
                return Ok(Written::Stopped);
            }
        }
        let bytes = staging.bytes;
        Ok(Written::Whole(staging.finish().await?, written, bytes))
    }
}

/// What became of the object to write.
enum Written {
    /// It is staged: its staged name, its records and its bytes.
    Whole(String, u64, u64),
    /// A hook said stop.
    Stopped,
    /// The collection was changed meanwhile; nothing is staged.
    Moved,
}

fn checked(request: &ExportCollection) -> Result<ObjectName, Failure> {
    checked_collection(&request.collection)?;
    let ends = [(".ndjson", ()), (".jsonl", ())];
    let (output, ()) = output::name(&request.output.name, "/payload/output/name", &ends)?;
    Ok(output)
}

fn line(record: Record) -> Result<Vec<u8>, Failure> {
    #[derive(Serialize)]
    struct Line {
        key: String,
        version: u64,
        record: Box<RawValue>,
    }
    let line = Line {
        key: record.key,
        version: record.version,
        record: RawValue::from_string(record.text).map_err(Failure::storage)?,
    };
    let mut text = serde_json::to_vec(&line).map_err(Failure::storage)?;
    text.push(b'\n');
    Ok(text)
}
