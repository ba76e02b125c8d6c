//! In: a mapping, and how to invoke its function. Out: its batches invoked, until cancelled.

use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::InvokeFailed;
use super::calls;
use super::failure::{Context, Failure};
use super::faults::Faults;
use super::filter::PatternError;
use super::kept::Kept;
use super::mapping::{Action, From, Input, Mapping, Unread};
use super::record::Origin;
use super::rules::Rules;
use crate::clock::wall_clock;
use crate::dynamodb::{Client, Error, tables};
use crate::feed::{Entry, Feed};
use crate::plan;

/// How often a table is asked for its stream that has none.
const STREAM_EVERY: Duration = Duration::from_secs(2);
/// It is written down how far a stream was dealt with at most this long after it went on: so much a
/// killed process deals with again.
const KEEP_EVERY: Duration = Duration::from_millis(100);

/// What a mapping needs beside itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the table is; its region is the one in events.
    pub endpoint: Client,
    /// The account in the function's ARN.
    pub account: String,
    /// The directory of on-failure destinations: `NAME.jsonl` for an ARN that ends in `NAME`.
    pub failures: PathBuf,
    /// The directory that says how far each stream was dealt with: `MAPPING.json`, by its logical id.
    pub places: PathBuf,
    /// How many times as fast time passes for ages, windows and backoff.
    pub speed: NonZeroU32,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Gets the age of the last record of each batch dealt with (`IteratorAge`).
    pub iterator_age: watch::Sender<Duration>,
    /// Counts the iterators that were opened: with `LATEST`, what is written before the first one
    /// is not seen.
    pub opened: watch::Sender<u64>,
}

/// Why a mapping does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A filter pattern is wrong.
    #[error("mapping `{mapping}`")]
    Pattern {
        /// The mapping's logical id.
        mapping: String,
        /// What is wrong.
        #[source]
        source: PatternError,
    },
    /// The stream cannot be found.
    #[error("mapping `{mapping}` has no stream to read")]
    Stream {
        /// The mapping's logical id.
        mapping: String,
        /// Why.
        #[source]
        source: Error,
    },
}

/// Runs one mapping until cancelled; what is in flight then is dropped. `invoke` gets the Lambda
/// event and returns the function's answer.
///
/// # Errors
/// If a filter pattern is wrong, or DynamoDB refuses to describe the table.
pub async fn run<F, Fut>(
    mapping: &plan::Mapping,
    settings: Settings,
    feed: Feed,
    invoke: F,
    shutdown: CancellationToken,
) -> Result<(), RunError>
where
    F: Fn(Bytes) -> Fut,
    Fut: Future<Output = Result<Bytes, InvokeFailed>>,
{
    let mut rules = rules(mapping, &settings)?;
    let shell = Shell {
        mapping,
        settings: &settings,
        feed: &feed,
        invoke,
        troubled: AtomicBool::new(false),
        not_kept: AtomicBool::new(false),
    };
    while let Some(arn) = shutdown.run_until_cancelled(shell.stream()).await {
        shell.follow(rules.clone(), arn?, &shutdown).await;
        if shutdown.is_cancelled() {
            break;
        }
        // The table was made anew: all that is in its stream is new.
        feed.notice(format!(
            "the stream of table `{}` is gone; waiting for another",
            mapping.table
        ));
        rules.start = plan::Start::TrimHorizon;
        shutdown.run_until_cancelled(sleep(STREAM_EVERY)).await;
    }
    Ok(())
}

fn rules(mapping: &plan::Mapping, settings: &Settings) -> Result<Rules, RunError> {
    Rules::new(mapping, settings.speed).map_err(|source| RunError::Pattern {
        mapping: mapping.logical_id.clone(),
        source,
    })
}

struct Shell<'a, F> {
    mapping: &'a plan::Mapping,
    settings: &'a Settings,
    feed: &'a Feed,
    invoke: F,
    /// A call failed, which was told, and none succeeded since.
    troubled: AtomicBool,
    /// The places could not be written, which was told, and were not since.
    not_kept: AtomicBool,
}

/// A call to the outside.
enum Work {
    List,
    Open {
        shard: String,
        from: From,
    },
    Read {
        shard: String,
        iterator: String,
    },
    Invoke {
        shard: String,
        lane: usize,
        event: Bytes,
    },
}

/// What came of it.
enum Done {
    Input(Input),
    /// The stream is no more.
    Gone,
}

impl<F, Fut> Shell<'_, F>
where
    F: Fn(Bytes) -> Fut,
    Fut: Future<Output = Result<Bytes, InvokeFailed>>,
{
    /// The table's stream, waited for.
    async fn stream(&self) -> Result<String, RunError> {
        let table = &self.mapping.table;
        let mut told = false;
        loop {
            match tables::stream_arn(&self.settings.endpoint, table).await {
                Ok(Some(arn)) => return Ok(arn),
                Err(error) if !error.is("ResourceNotFoundException") => {
                    return Err(RunError::Stream {
                        mapping: self.mapping.logical_id.clone(),
                        source: error,
                    });
                }
                Ok(None) | Err(_) => {
                    if !told {
                        self.feed
                            .notice(format!("table `{table}` has no stream yet"));
                        told = true;
                    }
                    sleep(STREAM_EVERY).await;
                }
            }
        }
    }

    /// Reads one stream until it is gone, or the shutdown.
    async fn follow(&self, rules: Rules, arn: String, shutdown: &CancellationToken) {
        let origin = Origin {
            region: self.settings.endpoint.region().to_owned(),
            arn: arn.clone(),
        };
        let path = format!("{}.json", self.mapping.logical_id);
        let mut kept = Kept::nothing(self.settings.places.join(path), &arn);
        if let Err(error) = kept.read().await {
            self.not_kept("read", &error);
        }
        let (mut keep_at, mut is_owed) = (Instant::now(), false);
        let mut mapping = Mapping::new(rules, arn, self.settings.faults).resume(kept.places());
        // Bounded by the rules: a listing, a call a shard, an invocation a lane.
        let mut work = FuturesUnordered::new();
        let mut input = Input::Tick;
        loop {
            for action in mapping.step(wall_clock(), input) {
                if let Some(call) = self.told(action, &origin).await {
                    work.push(self.perform(call, &origin));
                }
            }
            if is_owed && keep_at <= Instant::now() {
                self.keep(&mut kept, &mapping).await;
                (keep_at, is_owed) = (Instant::now() + KEEP_EVERY, false);
            }
            // At most: the wall clock may be set back.
            let pause = mapping.wake().map(|at| at.since(wall_clock()));
            let mut pause = pause.unwrap_or(STREAM_EVERY).min(STREAM_EVERY);
            if is_owed {
                pause = pause.min(keep_at.saturating_duration_since(Instant::now()));
            }
            input = tokio::select! {
                Some(done) = work.next() => match done {
                    Done::Input(input) => input,
                    Done::Gone => return,
                },
                () = sleep(pause) => Input::Tick,
                () = shutdown.cancelled() => return self.keep(&mut kept, &mapping).await,
            };
            is_owed |= !matches!(input, Input::Tick);
        }
    }

    async fn keep(&self, kept: &mut Kept, mapping: &Mapping) {
        let written = kept.write(mapping.places()).await;
        let told = self.not_kept.swap(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written
            && !told
        {
            self.not_kept("written", &error);
        }
    }

    fn not_kept(&self, what: &str, error: &io::Error) {
        let directory = self.settings.places.display();
        let id = &self.mapping.logical_id;
        self.feed.problem(format!(
            "`{directory}/{id}.json` cannot be {what}, which says where mapping `{id}` goes on: {error}"
        ));
    }

    /// Tells what is only to be told; returns what is to be called.
    async fn told(&self, action: Action, origin: &Origin) -> Option<Work> {
        match action {
            Action::List => Some(Work::List),
            Action::Open { shard, from } => Some(Work::Open { shard, from }),
            Action::Read { shard, iterator } => Some(Work::Read { shard, iterator }),
            Action::Invoke { shard, lane, event } => Some(Work::Invoke { shard, lane, event }),
            Action::Dealt {
                records,
                outcome,
                age,
            } => {
                if let Some(age) = age {
                    self.settings.iterator_age.send_replace(age);
                }
                self.batch(records, outcome.to_owned());
                None
            }
            Action::GiveUp(failure) => {
                let condition = failure.condition.as_str();
                self.batch(failure.records, format!("given up: {condition}"));
                if let Err(error) = self.give_up(&failure, origin).await {
                    let directory = self.settings.failures.display();
                    self.feed
                        .problem(format!("`{directory}` cannot be written: {error}"));
                }
                None
            }
        }
    }

    fn batch(&self, records: usize, outcome: String) {
        self.feed.put(Entry::Batch {
            mapping: self.mapping.logical_id.clone(),
            records: u64::try_from(records).unwrap_or(u64::MAX),
            outcome,
        });
    }

    async fn give_up(&self, failure: &Failure, origin: &Origin) -> io::Result<()> {
        let Some(destination) = &self.mapping.on_failure else {
            return Ok(());
        };
        let name = destination
            .arn
            .rsplit([':', '/'])
            .next()
            .unwrap_or("failures");
        let (Origin { region, arn }, Settings { account, .. }) = (origin, self.settings);
        let function = &self.mapping.function;
        let line = failure.to_json(Context {
            request_id: &uuid(),
            function_arn: &format!("arn:aws:lambda:{region}:{account}:function:{function}"),
            stream_arn: arn,
            now: wall_clock(),
        });
        let directory = &self.settings.failures;
        tokio::fs::create_dir_all(directory).await?;
        let path = directory.join(format!("{name}.jsonl"));
        let mut file = tokio::fs::OpenOptions::new();
        let mut file = file.create(true).append(true).open(path).await?;
        file.write_all(format!("{line}\n").as_bytes()).await?;
        file.flush().await
    }

    async fn perform(&self, work: Work, origin: &Origin) -> Done {
        match work {
            Work::List => match calls::list(&self.settings.endpoint, &origin.arn).await {
                Ok(shards) => Done::Input(Input::Listed(shards)),
                Err(error) => self.failed(&error, Input::NotListed),
            },
            Work::Open { shard, from } => {
                match calls::open(&self.settings.endpoint, &origin.arn, &shard, &from).await {
                    Ok(iterator) => {
                        self.settings.opened.send_modify(|opened| *opened += 1);
                        Done::Input(Input::Opened { shard, iterator })
                    }
                    Err(error) if from.is_numbered() && error.is("ValidationException") => {
                        let id = &self.mapping.logical_id;
                        self.feed.notice(format!(
                            "mapping `{id}` was at a record that the stream does not have; on at its oldest"
                        ));
                        let why = Unread::Trimmed;
                        Done::Input(Input::Unread { shard, why })
                    }
                    Err(error) => {
                        let why = unread(&error);
                        self.failed(&error, Input::Unread { shard, why })
                    }
                }
            }
            Work::Read { shard, iterator } => {
                match calls::read(&self.settings.endpoint, origin, &iterator).await {
                    Ok((records, next)) => {
                        self.troubled.store(false, Ordering::Relaxed);
                        Done::Input(Input::Read {
                            shard,
                            records,
                            next,
                        })
                    }
                    Err(error) => {
                        let why = unread(&error);
                        self.failed(&error, Input::Unread { shard, why })
                    }
                }
            }
            Work::Invoke { shard, lane, event } => {
                let result = (self.invoke)(event).await;
                Done::Input(Input::Answered {
                    shard,
                    lane,
                    result,
                })
            }
        }
    }

    fn failed(&self, error: &Error, input: Input) -> Done {
        if error.is("ResourceNotFoundException") {
            return Done::Gone;
        }
        let why = unread(error);
        if why == Unread::Failed && !self.troubled.swap(true, Ordering::Relaxed) {
            let id = &self.mapping.logical_id;
            self.feed
                .problem(format!("mapping `{id}`: {error}; tried on"));
        }
        Done::Input(input)
    }
}

fn unread(error: &Error) -> Unread {
    if error.is("ExpiredIteratorException") {
        Unread::Expired
    } else if error.is("TrimmedDataAccessException") {
        Unread::Trimmed
    } else {
        Unread::Failed
    }
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness ids repeat, which nothing here depends on.
    getrandom::fill(&mut bytes).unwrap_or_default();
    let number = u128::from_be_bytes(bytes) & !(0xF000 << 64) & !(0xC000 << 48);
    let hex = format!("{:032x}", number | (0x4000 << 64) | (0x8000 << 48));
    let part = |range| hex.get(range).unwrap_or_default();
    let (a, b, c, d, e) = (
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}
