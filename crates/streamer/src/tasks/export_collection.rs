//! The name of a collection comes in; an NDJSON object with all its records goes out, as they were at one moment.
//!
//! A later claim begins again: what it would go on from is gone with the moment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::bulk_operation::{Collections, Record, checked_collection};
use super::claim::{Ended, Flow, Hooks, Job, blocking, percentage};
use super::failure::Failure;
use super::output::{self, Output};
use super::work::{self, Publication, Work};
use crate::objects::{ObjectName, Objects, Tenant};

/// Records that are read at once: 6.4 MiB at most.
const PAGE_RECORDS: usize = 100;
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
    /// [`Failure`] by what its caller can do; only [`Failure::Storage`] is worth another try.
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
        let Some((staged, records, bytes)) = self.write(job, &work, hooks).await? else {
            return Ok(Ended::Stopped);
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

    /// Stages the object: its staged name, its records and its bytes; none where a hook said stop.
    async fn write<H: Hooks<()>>(
        &self,
        job: &Job<ExportCollection>,
        work: &Work<'_>,
        hooks: &mut H,
    ) -> Result<Option<(String, u64, u64)>, Failure> {
        let (tenant, collection) = (&job.tenant, &job.request.collection);
        let mut view = self.collections.view();
        let mut staging = work.stage().await?;
        let (mut written, mut after) = (0, None);
        loop {
            let (tenant, collection) = (tenant.clone(), collection.clone());
            let (back, page, all) = blocking(move || {
                let page = view.read(&tenant, &collection, after.as_deref(), PAGE_RECORDS)?;
                let all = view.count(&tenant, &collection)?;
                Ok((view, page, all))
            })
            .await?;
            view = back;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            written += page.len() as u64;
            let lines = page.into_iter().map(line).collect::<Result<Vec<_>, _>>()?;
            staging.write(&lines.concat()).await?;
            let percentage = percentage(0, WRITTEN, written, all);
            let message = format!("{written} of {all} records written");
            if hooks.progress(percentage, &message).await == Flow::Stop {
                staging.abort().await?;
                return Ok(None);
            }
        }
        let bytes = staging.bytes;
        Ok(Some((staging.finish().await?, written, bytes)))
    }
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
