//! One claim of a report comes in; the published report's summary goes out.

use std::collections::BTreeMap;
use std::time::Duration;

use lift::extract::TenantActivity;
use lift::task::store::{Accepted, ActivityQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::day::Day;
use super::request::{Asked, Form, GenerateReport};
use super::tally::Tally;
use super::{csv, page};
use crate::objects::{Objects, Tenant};
use crate::tasks::claim::{Ended, Flow, Hooks, Job, percentage};
use crate::tasks::failure::Failure;
use crate::tasks::work::{self, Publication, Work};

/// Tenths of a percent at which all requests are read.
const READ_END: u32 = 950;

/// The limits of `generate_report` and the pace of its checkpoints, each by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Most days of a report (366).
    pub days_max: u32,
    /// Most pairs of a day and an action (10,000): 4 KiB of memory each, at most.
    pub groups_max: usize,
    /// Requests that are read at once (1,000).
    pub page_requests: usize,
    /// Time between two checkpoints (5 s): it is the reading that a crash makes in vain.
    pub checkpoint_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            days_max: 366,
            groups_max: 10_000,
            page_requests: 1_000,
            checkpoint_every: Duration::from_secs(5),
        }
    }
}

/// How far a reading came; a later claim goes on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The last request that was counted.
    pub after: Accepted,
    /// The name of the object with the counts.
    pub state: String,
}

/// What a finished report says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "GenerateReportResult")]
pub struct Outcome {
    /// The report's name.
    pub output: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Pairs of a day and an action: rows of a CSV.
    pub groups: u64,
    /// Requests counted.
    pub requests: u64,
    /// Those that ended with a result.
    pub completed: u64,
    /// Those that ended with an error.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Those that had not ended.
    pub open: u64,
    /// How often each error ended a request, by its code.
    pub errors: BTreeMap<String, u64>,
}

/// Writes reports to one place of objects.
#[derive(Debug, Clone)]
pub struct Reports {
    objects: Objects,
    options: Options,
}

/// The reading so far.
#[derive(Debug, Default)]
struct Scan {
    tally: Tally,
    requests: u64,
    after: Option<Accepted>,
    state: Option<String>,
}

impl Reports {
    /// Over `objects`, within `options`.
    #[must_use]
    pub fn new(objects: Objects, options: Options) -> Self {
        Self { objects, options }
    }

    /// Checks a request before it is acknowledged; nothing is written or reserved.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a day that is none, days in the wrong order or too many, or a badly shaped name;
    /// [`Failure::Conflict`] where the output exists unless it may be replaced, or is being written.
    pub async fn precheck(&self, tenant: &Tenant, request: &GenerateReport) -> Result<(), Failure> {
        let asked = Asked::of(request, &self.options)?;
        let overwrite = request.output.overwrite;
        work::precheck_output(&self.objects, tenant, &asked.output, overwrite).await
    }

    /// Runs a claim to its end, over the requests that `activity` gives.
    ///
    /// # Errors
    /// [`Failure`] by what its caller can do; only [`Failure::Storage`] is worth another try.
    pub async fn run<H: Hooks<Checkpoint>>(
        &self,
        job: &Job<GenerateReport>,
        activity: &TenantActivity,
        resume: Option<Checkpoint>,
        hooks: &mut H,
    ) -> Result<Ended<Outcome>, Failure> {
        let asked = Asked::of(&job.request, &self.options)?;
        let work = Work {
            objects: &self.objects,
            id: &job.request_id,
            claim: job.claim,
        };
        let overwrite = job.request.output.overwrite;
        let begun = work.begin(&job.tenant, &asked.output, overwrite, hooks);
        if let Some(ended) = begun.await? {
            return Ok(ended);
        }
        let mut scan = resumed(&work, resume).await?;
        if self.read(&asked, activity, &work, &mut scan, hooks).await? == Flow::Stop {
            return Ok(Ended::Stopped);
        }
        let text = match asked.form {
            Form::Csv => csv::csv(&scan.tally),
            Form::Html => page::page(job.tenant.as_str(), asked.first, asked.last, &scan.tally),
        };
        let mut staging = work.stage()?;
        staging.write(text.as_bytes()).await?;
        let publication = Publication {
            outcome: outcome(&asked, staging.bytes, &scan.tally),
            staged: staging.finish().await?,
            overwrite,
        };
        work.finish(publication, &job.tenant, &asked.output, hooks)
            .await
    }

    /// Counts what the checkpoint has not; [`Flow::Stop`] where a hook said so.
    async fn read<H: Hooks<Checkpoint>>(
        &self,
        asked: &Asked,
        activity: &TenantActivity,
        work: &Work<'_>,
        scan: &mut Scan,
        hooks: &mut H,
    ) -> Result<Flow, Failure> {
        let mut query = ActivityQuery {
            from: asked.first.start(),
            until: asked.last.next().start(),
            after: scan.after.clone(),
            limit: self.options.page_requests.max(1),
        };
        let mut checkpoint_at = Instant::now() + self.options.checkpoint_every;
        loop {
            let page = activity.page(&query).await.map_err(Failure::storage)?;
            for request in &page.requests {
                let counted = scan.tally.count(request, self.options.groups_max);
                counted.map_err(|_full| Failure::Limit {
                    limit: "groups_max",
                    max: self.options.groups_max as u64,
                    pointer: None,
                    line: None,
                })?;
            }
            scan.requests += page.requests.len() as u64;
            let Some(after) = page.next else {
                return Ok(Flow::Continue);
            };
            query.after = Some(after.clone());
            let days = asked.first.days_to(asked.last).into();
            let done = asked.first.days_to(Day::of(after.at)).into();
            let message = format!("{} requests read", scan.requests);
            let percentage = percentage(0, READ_END, done, days);
            let mut flow = hooks.progress(percentage, &message).await;
            if flow == Flow::Continue && Instant::now() >= checkpoint_at {
                flow = keep(work, scan, after, hooks).await?;
                checkpoint_at = Instant::now() + self.options.checkpoint_every;
            }
            if flow == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }
}

/// Goes on from the checkpoint, or from the beginning where what it names is not whole.
async fn resumed(work: &Work<'_>, resume: Option<Checkpoint>) -> Result<Scan, Failure> {
    if let Some(Checkpoint { after, state }) = resume
        && let Some(text) = work.read(&state).await?
        && let Ok((requests, tally)) = serde_json::from_slice(&text)
    {
        return Ok(Scan {
            tally,
            requests,
            after: Some(after),
            state: Some(state),
        });
    }
    Ok(Scan::default())
}

/// Makes the counts durable, then says so.
async fn keep<H: Hooks<Checkpoint>>(
    work: &Work<'_>,
    scan: &mut Scan,
    after: Accepted,
    hooks: &mut H,
) -> Result<Flow, Failure> {
    let state = format!("state-{}-{}", work.claim, scan.requests);
    let counts = serde_json::to_vec(&(scan.requests, &scan.tally)).map_err(Failure::storage)?;
    work.put(&state, counts).await?;
    let checkpoint = Checkpoint {
        after,
        state: state.clone(),
    };
    let flow = hooks.checkpoint(&checkpoint).await;
    if flow == Flow::Continue
        && let Some(old) = scan.state.replace(state)
        && scan.state.as_ref() != Some(&old)
    {
        work.delete(&old).await?;
    }
    Ok(flow)
}

fn outcome(asked: &Asked, bytes: u64, tally: &Tally) -> Outcome {
    let total = tally.total();
    Outcome {
        output: asked.output.as_str().to_owned(),
        bytes,
        groups: tally.groups.len() as u64,
        requests: total.requests(),
        completed: total.completed,
        failed: total.failed,
        cancelled: total.cancelled,
        open: total.open(),
        errors: total.errors,
    }
}
