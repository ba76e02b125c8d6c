//! One claim of a request comes in; its outcome goes out, or word that it stopped where a later claim goes on.

use std::time::Duration;

use object_store::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::checkpoint::{Checkpoint, Parts};
use super::options::Options;
use super::parts;
use super::pipeline::{Pause, Pipeline};
use super::plan::plan;
use super::read::{Format, Place, Source, Step};
use super::request::ProcessData;
use crate::objects::{NameError, ObjectName, Objects, Tenant, WorkId};
use crate::tasks::claim::{Ended, Flow, Hooks, Job, blocking, percentage};
use crate::tasks::failure::{Failure, Problem};
use crate::tasks::work::{self, Publication, Work};

/// Percent of a run at which the whole input is read, times ten.
pub(super) const READ_END: u32 = 980;
/// Longest that a progress waits for the next, so that a stop is heard of soon.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// Rows that one visit to a blocking thread may release from held state.
const DRAIN_ROWS: u64 = 50_000;

/// What a finished request says.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProcessDataResult")]
pub struct Outcome {
    /// Rows of the input.
    pub rows_in: u64,
    /// Rows of the output.
    pub rows_out: u64,
    /// The output's name.
    pub output: String,
    /// The output's size in bytes.
    pub bytes: u64,
    /// The output's first rows as objects: at most 100, and 64 KiB together.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub preview: Vec<Box<RawValue>>,
}

/// Runs requests over one place of objects.
#[derive(Debug, Clone)]
pub struct Engine {
    objects: Objects,
    options: Options,
}

/// A request whose names were parsed.
struct Names {
    input: ObjectName,
    output: ObjectName,
    formats: (Format, Format),
}

impl Names {
    fn of(request: &ProcessData) -> Result<Self, Failure> {
        let parse = |text: &str| {
            let name = ObjectName::parse(text)?;
            Format::of(&name).map(|format| (name, format))
        };
        let (input, output) = (parse(&request.input), parse(&request.output.name));
        match (input, output) {
            (Ok((input, from)), Ok((output, to))) if input != output => Ok(Self {
                input,
                output,
                formats: (from, to),
            }),
            (Ok(_), Ok(_)) => Err(Failure::invalid(
                "/payload/output/name",
                "is the name of the input",
            )),
            (input, output) => {
                let problem = |pointer: &str, error: NameError| Problem {
                    pointer: pointer.to_owned(),
                    message: error.to_string(),
                };
                let input = input.err().map(|error| problem("/payload/input", error));
                let output = output
                    .err()
                    .map(|error| problem("/payload/output/name", error));
                Err(Failure::Invalid(input.into_iter().chain(output).collect()))
            }
        }
    }
}

impl Engine {
    /// Over `objects`, within `options`.
    #[must_use]
    pub fn new(objects: Objects, options: Options) -> Self {
        Self { objects, options }
    }

    /// Checks a request before it is acknowledged; nothing is written or reserved.
    ///
    /// A repeated request must be recognized before: it would meet its own reservation.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a badly shaped name, an operation that cannot work, a CSV without a usable
    /// header or without a column that is named; [`Failure::NotFound`] without the input;
    /// [`Failure::Conflict`] where the output exists unless it may be replaced, or is being written.
    pub async fn precheck(&self, tenant: &Tenant, request: &ProcessData) -> Result<(), Failure> {
        let names = Names::of(request)?;
        plan(&request.operations, None, &self.options)?;
        let input = work::input(&self.objects, tenant, &names.input).await?;
        let overwrite = request.output.overwrite;
        work::precheck_output(&self.objects, tenant, &names.output, overwrite).await?;
        match self.open(&input, &names).await {
            Ok(source) => {
                Pipeline::new(source, names.formats, &request.operations, &self.options).map(|_| ())
            }
            Err(failure @ (Failure::Input { .. } | Failure::Limit { .. })) => {
                Err(Failure::invalid("/payload/input", failure.to_string()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Runs a claim to its end, from `resume` on where an earlier claim made one durable.
    ///
    /// After the end of the request, whichever it is, its caller records that and calls [`Self::abandon`]. May be
    /// dropped half-way: that is a stop between two checkpoints.
    ///
    /// # Errors
    /// [`Failure`] by what its caller can do; only [`Failure::Storage`] is worth another try.
    pub async fn run<H: Hooks<Checkpoint>>(
        &self,
        job: &Job<ProcessData>,
        resume: Option<Checkpoint>,
        hooks: &mut H,
    ) -> Result<Ended<Outcome>, Failure> {
        let names = Names::of(&job.request)?;
        let work = Work {
            objects: &self.objects,
            id: &job.request_id,
            claim: job.claim,
        };
        let overwrite = job.request.output.overwrite;
        let begun = work.begin(&job.tenant, &names.output, overwrite, hooks);
        if let Some(ended) = begun.await? {
            return Ok(ended);
        }
        let input = work::input(&self.objects, &job.tenant, &names.input).await?;
        if let Some(earlier) = &resume
            && earlier.input_version != self.objects.version(&input)
        {
            return Err(Failure::InputChanged(names.input));
        }
        let mut run = Run::new(self, &names, &input, work);
        let pipeline = run.start(job, resume).await?;
        let Some(pipeline) = run.read(pipeline, hooks).await? else {
            return Ok(Ended::Stopped);
        };
        let Some(pipeline) = run.drain(pipeline, hooks).await? else {
            return Ok(Ended::Stopped);
        };
        let Some(staged) = parts::join(&run.work, &run.parts, hooks).await? else {
            return Ok(Ended::Stopped);
        };
        let outcome = outcome(&pipeline, &names.output)?;
        let publication = Publication {
            staged,
            overwrite,
            outcome,
        };
        run.work
            .finish(publication, &job.tenant, &names.output, hooks)
            .await
    }

    /// Releases the request's reservation and deletes its folder of work; does nothing twice.
    ///
    /// Called once a terminal state is recorded, and at a start for each of [`Objects::unfinished`] whose request
    /// is not live.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub async fn abandon(&self, request_id: &WorkId) -> Result<(), Failure> {
        work::abandon(&self.objects, request_id).await
    }

    /// Reads until the columns are known, as far as the header tells them.
    async fn open(&self, input: &ObjectMeta, names: &Names) -> Result<Source, Failure> {
        let mut source = Source::new(names.formats.0, &self.options);
        while source.header()? == Step::Hungry {
            self.feed(&mut source, input, &names.input).await?;
        }
        Ok(source)
    }

    /// Fetches the next chunk, from the same version of the input.
    async fn feed(
        &self,
        source: &mut Source,
        input: &ObjectMeta,
        name: &ObjectName,
    ) -> Result<(), Failure> {
        let most = self.options.chunk_bytes.into();
        let start = source.fetched();
        let bytes = work::fetch(&self.objects, input, name, start, most).await?;
        if bytes.is_empty() {
            source.end();
        } else {
            source.feed(&bytes);
        }
        Ok(())
    }
}

/// A claim at work.
struct Run<'a> {
    engine: &'a Engine,
    names: &'a Names,
    input: &'a ObjectMeta,
    work: Work<'a>,
    parts: Vec<Parts>,
    state: Option<String>,
    checkpoint_at: Instant,
    checkpoint_rows: u64,
    progress_at: Instant,
}

impl<'a> Run<'a> {
    fn new(engine: &'a Engine, names: &'a Names, input: &'a ObjectMeta, work: Work<'a>) -> Self {
        let now = Instant::now();
        Self {
            engine,
            names,
            input,
            work,
            parts: Vec::new(),
            state: None,
            checkpoint_at: now + engine.options.checkpoint_every,
            checkpoint_rows: engine.options.checkpoint_rows_max,
            progress_at: now,
        }
    }

    /// Goes on from the checkpoint, or from the beginning where what it names is no longer whole.
    async fn start(
        &mut self,
        job: &Job<ProcessData>,
        resume: Option<Checkpoint>,
    ) -> Result<Box<Pipeline>, Failure> {
        if let Some(Checkpoint {
            offset,
            line,
            parts,
            state,
            ..
        }) = resume
            && parts::keep(&self.work, &parts, Some(&state)).await?
            && let Some(bytes) = self.work.read(&state).await?
        {
            let (formats, options) = (self.names.formats, self.engine.options.clone());
            let (operations, next) = (job.request.operations.clone(), Place { offset, line });
            let restored =
                blocking(move || Pipeline::restored(&bytes, next, formats, &operations, &options));
            if let Ok(pipeline) = restored.await? {
                (self.parts, self.state) = (parts, Some(state));
                self.checkpoint_rows += pipeline.rows_in;
                return Ok(Box::new(pipeline));
            }
        }
        parts::keep(&self.work, &[], None).await?;
        let source = self.engine.open(self.input, self.names).await?;
        let (operations, options) = (&job.request.operations, &self.engine.options);
        Ok(Box::new(Pipeline::new(
            source,
            self.names.formats,
            operations,
            options,
        )?))
    }

    /// Reads the input to its end; none where a hook said stop.
    async fn read<H: Hooks<Checkpoint>>(
        &mut self,
        mut pipeline: Box<Pipeline>,
        hooks: &mut H,
    ) -> Result<Option<Box<Pipeline>>, Failure> {
        loop {
            let budget = self.checkpoint_rows.saturating_sub(pipeline.rows_in);
            let pause;
            (pipeline, pause) = step(pipeline, move |pipeline| pipeline.read(budget)).await?;
            match pause {
                Pause::Hungry => {
                    let source = &mut pipeline.source;
                    self.engine
                        .feed(source, self.input, &self.names.input)
                        .await?;
                }
                Pause::Part => self.write_part(&mut pipeline).await?,
                Pause::Budget => {}
                Pause::End => return Ok(Some(pipeline)),
            }
            let flow;
            let due = Instant::now() >= self.checkpoint_at;
            if due || pipeline.rows_in >= self.checkpoint_rows {
                (pipeline, flow) = self.checkpoint(pipeline, hooks).await?;
            } else {
                flow = self.progress(&pipeline, hooks).await;
            }
            if flow == Flow::Stop {
                return Ok(None);
            }
        }
    }

    /// Writes what operators held, and makes all parts durable; none where a hook said stop.
    async fn drain<H: Hooks<Checkpoint>>(
        &mut self,
        mut pipeline: Box<Pipeline>,
        hooks: &mut H,
    ) -> Result<Option<Box<Pipeline>>, Failure> {
        loop {
            let pause;
            (pipeline, pause) = step(pipeline, |pipeline| pipeline.drain(DRAIN_ROWS)).await?;
            match pause {
                Pause::Part => self.write_part(&mut pipeline).await?,
                Pause::Hungry | Pause::Budget => {}
                Pause::End => break,
            }
            if self.progress(&pipeline, hooks).await == Flow::Stop {
                return Ok(None);
            }
        }
        let (pipeline, flow) = self.checkpoint(pipeline, hooks).await?;
        Ok((flow == Flow::Continue).then_some(pipeline))
    }

    async fn progress<H: Hooks<Checkpoint>>(&mut self, pipeline: &Pipeline, hooks: &mut H) -> Flow {
        let now = Instant::now();
        if now < self.progress_at {
            return Flow::Continue;
        }
        self.progress_at = now + PROGRESS_EVERY;
        let percentage = percentage(0, READ_END, pipeline.source.next().offset, self.input.size);
        hooks
            .progress(percentage, &format!("{} rows read", pipeline.rows_in))
            .await
    }

    async fn write_part(&mut self, pipeline: &mut Pipeline) -> Result<(), Failure> {
        let bytes = pipeline.sink.part();
        if bytes.is_empty() {
            return Ok(());
        }
        let (claim, length) = (self.work.claim, bytes.len() as u64);
        let count = match self.parts.last() {
            Some(run) if run.claim == claim => run.count,
            _ => {
                self.parts.push(Parts {
                    claim,
                    count: 0,
                    bytes: 0,
                });
                0
            }
        };
        self.work.put(&parts::part(claim, count), bytes).await?;
        if let Some(run) = self.parts.last_mut() {
            (run.count, run.bytes) = (count + 1, run.bytes + length);
        }
        Ok(())
    }

    /// Makes everything so far durable, then says so.
    async fn checkpoint<H: Hooks<Checkpoint>>(
        &mut self,
        mut pipeline: Box<Pipeline>,
        hooks: &mut H,
    ) -> Result<(Box<Pipeline>, Flow), Failure> {
        let began = Instant::now();
        self.write_part(&mut pipeline).await?;
        let (pipeline, bytes) = step(pipeline, |pipeline| Ok(pipeline.encode())).await?;
        let Place { offset, line } = pipeline.source.next();
        // A claim that starts again from one checkpoint writes the same state under the same name.
        let end = if pipeline.is_drained() { "-end" } else { "" };
        let state = format!("state-{}-{}{end}", self.work.claim, pipeline.rows_in);
        self.work.put(&state, bytes).await?;
        let checkpoint = Checkpoint {
            input_version: self.engine.objects.version(self.input),
            offset,
            line,
            rows_in: pipeline.rows_in,
            parts: self.parts.clone(),
            state: state.clone(),
        };
        let flow = hooks.checkpoint(&checkpoint).await;
        if flow == Flow::Continue
            && let Some(old) = self.state.replace(state)
            && self.state.as_ref() != Some(&old)
        {
            self.work.delete(&old).await?;
        }
        let now = Instant::now();
        let options = &self.engine.options;
        self.checkpoint_at = now + options.checkpoint_every.max((now - began) * 5);
        self.checkpoint_rows = pipeline.rows_in + options.checkpoint_rows_max.max(1);
        Ok((pipeline, flow))
    }
}

/// Runs a step of the pipeline where it may block.
async fn step<T: Send + 'static>(
    mut pipeline: Box<Pipeline>,
    work: impl FnOnce(&mut Pipeline) -> Result<T, Failure> + Send + 'static,
) -> Result<(Box<Pipeline>, T), Failure> {
    blocking(move || {
        let done = work(&mut pipeline)?;
        Ok((pipeline, done))
    })
    .await
}

fn outcome(pipeline: &Pipeline, output: &ObjectName) -> Result<Outcome, Failure> {
    let rows = pipeline
        .sink
        .preview
        .iter()
        .map(|row| RawValue::from_string(row.clone()));
    Ok(Outcome {
        rows_in: pipeline.rows_in,
        rows_out: pipeline.sink.rows,
        output: output.as_str().to_owned(),
        bytes: pipeline.sink.bytes,
        preview: rows.collect::<Result<_, _>>().map_err(Failure::storage)?,
    })
}
