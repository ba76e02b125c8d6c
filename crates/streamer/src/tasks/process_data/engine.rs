//! One claim of a request comes in; its outcome goes out, or word that it stopped where a later claim goes on.

use std::time::Duration;

use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::checkpoint::{Checkpoint, Parts};
use super::failure::{Failure, Problem};
use super::options::Options;
use super::pipeline::{Pause, Pipeline};
use super::plan::plan;
use super::read::{Format, Place, Source, Step};
use super::request::ProcessData;
use super::work::{self, Publication, Work};
use crate::objects::{Found, NameError, ObjectName, Objects, Tenant, WorkId};

/// Percent of a run at which the whole input is read, times ten.
pub(super) const READ_END: u32 = 980;
/// Longest that a progress waits for the next, so that a stop is heard of soon.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// Rows that one visit to a blocking thread may release from held state.
const DRAIN_ROWS: u64 = 50_000;

/// What the caller wants of a run that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Return soon, keeping everything: the request was cancelled, the claim was lost, or it is given back.
    Stop,
}

/// The caller's side of a run.
pub trait Hooks: Send {
    /// Tells how far the run is, about every 50 ms: 0–100, and what was done.
    fn progress(&mut self, percentage: f64, message: &str) -> impl Future<Output = Flow> + Send;

    /// Makes a checkpoint durable; the one before it may no longer be used once this returns `Continue`.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> impl Future<Output = Flow> + Send;

    /// Asked before the output is published: `Continue` once nothing but this run ends the request.
    fn commit(&mut self) -> impl Future<Output = Flow> + Send;
}

/// One claim of one request.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose objects.
    pub tenant: Tenant,
    /// The folder of work that all claims of the request share.
    pub request_id: WorkId,
    /// The claim's number; a later claim has a greater one.
    pub claim: u64,
    /// What to do.
    pub request: ProcessData,
}

/// What a finished request says.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    pub preview: Vec<Box<RawValue>>,
}

/// How a run came back without a failure.
#[derive(Debug, Clone)]
pub enum Ended {
    /// The output is published.
    Finished(Outcome),
    /// A hook said [`Flow::Stop`].
    Stopped,
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
        let input = self.input(tenant, &names.input).await?;
        self.check_output(tenant, &names.output, request.output.overwrite)
            .await?;
        let place = work::reservation(tenant, &names.output)?;
        if work::holder(&self.objects, &place).await?.is_some() {
            return Err(work::taken(&names.output));
        }
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
    pub async fn run<H: Hooks>(
        &self,
        job: &Job,
        resume: Option<Checkpoint>,
        hooks: &mut H,
    ) -> Result<Ended, Failure> {
        let names = Names::of(&job.request)?;
        let work = Work {
            objects: &self.objects,
            id: &job.request_id,
            claim: job.claim,
        };
        if let Some(publication) = work.publication().await? {
            if hooks.commit().await == Flow::Stop {
                return Ok(Ended::Stopped);
            }
            let outcome = work
                .publish(publication, &job.tenant, &names.output)
                .await?;
            return Ok(Ended::Finished(outcome));
        }
        work.reserve(&job.tenant, &names.output).await?;
        let overwrite = job.request.output.overwrite;
        self.check_output(&job.tenant, &names.output, overwrite)
            .await?;
        let input = self.input(&job.tenant, &names.input).await?;
        if let Some(earlier) = &resume
            && (earlier.input_version != version(&input) || earlier.input_bytes != input.size)
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
        let (staged, flow) = run.work.join(&run.parts, hooks).await?;
        if flow == Flow::Stop {
            return Ok(Ended::Stopped);
        }
        let outcome = outcome(&pipeline, &names.output)?;
        let publication = Publication {
            staged,
            overwrite,
            outcome,
        };
        run.work.announce(&publication).await?;
        if hooks.commit().await == Flow::Stop {
            return Ok(Ended::Stopped);
        }
        let outcome = run
            .work
            .publish(publication, &job.tenant, &names.output)
            .await?;
        Ok(Ended::Finished(outcome))
    }

    /// Releases the request's reservation and deletes its folder of work; does nothing twice.
    ///
    /// Called once a terminal state is recorded, and at a start for each of [`Objects::unfinished`] whose request
    /// is not live.
    ///
    /// # Errors
    /// [`Failure::Storage`].
    pub async fn abandon(&self, request_id: &WorkId) -> Result<(), Failure> {
        let work = Work {
            objects: &self.objects,
            id: request_id,
            claim: 0,
        };
        work.release().await?;
        self.objects
            .remove_work(request_id)
            .await
            .map_err(Failure::storage)
    }

    async fn input(&self, tenant: &Tenant, name: &ObjectName) -> Result<ObjectMeta, Failure> {
        let missing = || Failure::NotFound(name.clone());
        if work::look(&self.objects, tenant, name).await? != Found::File {
            return Err(missing());
        }
        let place = Objects::location(tenant, name).map_err(Failure::storage)?;
        match self.objects.store().head(&place).await {
            Ok(meta) => Ok(meta),
            Err(Error::NotFound { .. }) => Err(missing()),
            Err(error) => Err(Failure::storage(error)),
        }
    }

    async fn check_output(
        &self,
        tenant: &Tenant,
        name: &ObjectName,
        overwrite: bool,
    ) -> Result<(), Failure> {
        match work::look(&self.objects, tenant, name).await? {
            Found::Absent => Ok(()),
            Found::File if overwrite => Ok(()),
            Found::File => Err(work::exists(name)),
            found => Err(work::unfit(found, name)),
        }
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
        let start = source.fetched();
        let end = input
            .size
            .min(start + u64::from(self.options.chunk_bytes.max(1)));
        if start >= end {
            source.end();
            return Ok(());
        }
        let options = GetOptions::new()
            .with_range(Some(GetRange::Bounded(start..end)))
            .with_if_match(input.e_tag.clone());
        let got = match self
            .objects
            .store()
            .get_opts(&input.location, options)
            .await
        {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) if bytes.len() as u64 == end - start => {
                source.feed(&bytes);
                Ok(())
            }
            Ok(_) | Err(Error::Precondition { .. }) => Err(Failure::InputChanged(name.clone())),
            Err(Error::NotFound { .. }) => Err(Failure::NotFound(name.clone())),
            Err(error) => Err(Failure::storage(error)),
        }
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
        job: &Job,
        resume: Option<Checkpoint>,
    ) -> Result<Box<Pipeline>, Failure> {
        if let Some(Checkpoint {
            offset,
            line,
            parts,
            state,
            ..
        }) = resume
            && self.work.keep(&parts, Some(&state)).await?
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
        self.work.keep(&[], None).await?;
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
    async fn read<H: Hooks>(
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
    async fn drain<H: Hooks>(
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

    async fn progress<H: Hooks>(&mut self, pipeline: &Pipeline, hooks: &mut H) -> Flow {
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
        self.work.put(&work::part(claim, count), bytes).await?;
        if let Some(run) = self.parts.last_mut() {
            (run.count, run.bytes) = (count + 1, run.bytes + length);
        }
        Ok(())
    }

    /// Makes everything so far durable, then says so.
    async fn checkpoint<H: Hooks>(
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
            input_version: version(self.input),
            input_bytes: self.input.size,
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // A panic is a bug and stays one: whoever runs the task decides what becomes of it.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Failure::storage(error)),
        },
    }
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

/// What tells one content of the input from another.
fn version(input: &ObjectMeta) -> String {
    input
        .e_tag
        .clone()
        .unwrap_or_else(|| input.last_modified.to_rfc3339())
}

/// Between two bounds in tenths of a percent, as far as `done` is in `total`.
pub(super) fn percentage(from: u32, to: u32, done: u64, total: u64) -> f64 {
    let span = u128::from(to.saturating_sub(from));
    let tenths = span * u128::from(done.min(total)) / u128::from(total.max(1));
    f64::from(from + u32::try_from(tenths).unwrap_or(0)) / 10.0
}
