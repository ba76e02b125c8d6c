//! A load that several processes share: each part's process is started, told when to begin, and heard; and a part's own end
//! of that talk.

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{broadcast, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Error, LEAD, Means, Partial, part::Ready};
use crate::{plan::Part, report::Moment, scenario::Scenario};

/// Longest time until a part's process is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a part may take to measure, besides its phases and its drain.
const SLACK: Duration = Duration::from_secs(60);
/// What a part waits for.
const BEGIN: &str = "begin";
/// It ends its schedule.
const INTERRUPT: &str = "interrupt";
/// The server was killed.
const KILLED: &str = "killed";

/// Makes the command of one part, which calls [`super::part_of`]; its server's URL is the second argument.
pub type Spawn = Arc<dyn Fn(Part, &str) -> Command + Send + Sync>;

/// What a part says, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Ready,
    Second(Moment),
    Done(Box<Partial>),
    Failed(String),
}

/// One part's process, ready to begin.
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Starts one process for each part.
pub(super) async fn start(spawn: &Spawn, parts: u16, target: &str) -> Result<Vec<Process>, Error> {
    let starting = (0..parts).map(|number| async move {
        let mut command = spawn(Part { number, of: parts }, target);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the process that reports: it tells its parts.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let gone = || std::io::Error::other("a part's process has no pipes");
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let lines = BufReader::new(child.stdout.take().ok_or_else(gone)?).lines();
        let mut process = Process {
            child,
            stdin,
            lines,
        };
        match timeout(READY_WITHIN, process.heard()).await {
            Ok(Ok(Told::Ready)) => Ok(process),
            Ok(Ok(Told::Failed(why))) => Err(Error::Scenario(why)),
            Ok(Ok(_)) => Err(std::io::Error::other("a part's process began unasked").into()),
            Ok(Err(error)) => Err(error),
            Err(late) => Err(std::io::Error::from(late).into()),
        }
    });
    try_join_all(starting).await
}

/// Tells all to begin, passes on what happens, and waits for what they measured.
pub(super) async fn run(
    processes: Vec<Process>,
    scenario: &Scenario,
    kills: &broadcast::Sender<()>,
    interrupt: &CancellationToken,
    live: Option<&watch::Sender<Moment>>,
) -> Result<Vec<Partial>, Error> {
    let phases: Duration = scenario.phases.iter().map(|phase| phase.duration).sum();
    let within = phases + scenario.limits.drain + SLACK;
    let latest = watch::channel(vec![Moment::default(); processes.len()]).0;
    let running = processes.into_iter().enumerate().map(|(number, process)| {
        let latest = &latest;
        let note = move |moment: Moment| {
            latest.send_modify(|all| {
                if let Some(of) = all.get_mut(number) {
                    *of = moment;
                }
            });
            if let Some(live) = live {
                live.send_replace(Moment::together(&latest.borrow()));
            }
        };
        process.run(kills.subscribe(), interrupt, note)
    });
    match timeout(within, try_join_all(running)).await {
        Ok(partials) => partials,
        Err(late) => Err(std::io::Error::from(late).into()),
    }
}

impl Process {
    async fn heard(&mut self) -> Result<Told, Error> {
        let line = self.lines.next_line().await?;
        let line = line.ok_or_else(|| std::io::Error::other("a part's process ended early"))?;
        serde_json::from_str(&line).map_err(|error| std::io::Error::other(error).into())
    }

    async fn say(&mut self, word: &str) -> Result<(), Error> {
        self.stdin.write_all(format!("{word}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    async fn run(
        mut self,
        mut kills: broadcast::Receiver<()>,
        interrupt: &CancellationToken,
        note: impl Fn(Moment),
    ) -> Result<Partial, Error> {
        self.say(BEGIN).await?;
        let mut interrupted = false;
        loop {
            tokio::select! {
                told = self.heard() => match told? {
                    Told::Second(moment) => note(moment),
                    Told::Done(partial) => {
                        // It has nothing more to do.
                        let _ = timeout(READY_WITHIN, self.child.wait()).await;
                        return Ok(*partial);
                    }
                    Told::Failed(why) => return Err(Error::Scenario(why)),
                    Told::Ready => {}
                },
                Ok(()) = kills.recv() => self.say(KILLED).await?,
                () = interrupt.cancelled(), if !interrupted => {
                    interrupted = true;
                    self.say(INTERRUPT).await?;
                }
            }
        }
    }
}

impl Moment {
    /// What several processes did in a second; times are those of the slowest.
    fn together(all: &[Self]) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.second = sum.second.max(one.second);
            sum.open += one.open;
            sum.opened += one.opened;
            sum.sent += one.sent;
            sum.answered += one.answered;
            sum.errors += one.errors;
            sum.p50_us = sum.p50_us.max(one.p50_us);
            sum.p99_us = sum.p99_us.max(one.p99_us);
            sum.max_us = sum.max_us.max(one.max_us);
        }
        sum
    }
}

/// A part's end: says that it is ready, waits to be told to begin, and says what happens and what was measured.
///
/// # Errors
/// The talk broke off, or this machine does not give what a run needs. What is wrong with the scenario is said.
pub async fn part_of<R, W>(
    scenario: Arc<Scenario>,
    mut means: Means,
    part: Part,
    (stdin, mut stdout): (R, W),
) -> Result<(), Error>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut heard = BufReader::new(stdin).lines();
    let (live, mut moments) = watch::channel(Moment::default());
    means.live = Some(live);
    let ready = match Ready::new(scenario, &means, part).await {
        Ok(ready) => ready,
        Err(error) => return tell(&mut stdout, &Told::Failed(error.to_string())).await,
    };
    tell(&mut stdout, &Told::Ready).await?;
    let begin = heard.next_line().await?;
    if begin.as_deref() != Some(BEGIN) {
        return Ok(());
    }
    let (kills, told) = broadcast::channel(64);
    let interrupt = means.interrupt.clone();
    let mut running = std::pin::pin!(ready.run(Instant::now() + LEAD, told));
    let mut listening = true;
    let done = loop {
        tokio::select! {
            partial = &mut running => break partial,
            Ok(()) = moments.changed() => {
                let moment = moments.borrow_and_update().clone();
                tell(&mut stdout, &Told::Second(moment)).await?;
            }
            line = heard.next_line(), if listening => match line?.as_deref() {
                Some(INTERRUPT) => interrupt.cancel(),
                Some(KILLED) => {
                    // Without a listener the part is over.
                    let _ = kills.send(());
                }
                Some(_) => {}
                None => {
                    // Whoever started this is gone.
                    listening = false;
                    interrupt.cancel();
                }
            }
        }
    };
    match done {
        Ok(partial) => tell(&mut stdout, &Told::Done(Box::new(partial))).await,
        Err(error) => tell(&mut stdout, &Told::Failed(error.to_string())).await,
    }
}

async fn tell<W: AsyncWrite + Unpin>(stdout: &mut W, told: &Told) -> Result<(), Error> {
    let mut line = serde_json::to_vec(told).map_err(std::io::Error::other)?;
    line.push(b'\n');
    stdout.write_all(&line).await?;
    Ok(stdout.flush().await?)
}
