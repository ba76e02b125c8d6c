//! A program comes in; its process group, what it said last, and its end go out.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, Command},
    task::JoinSet,
    time::timeout,
};

/// What is kept of a program's standard error, from its end.
const SAID_BYTES: usize = 16 * 1024;
/// Time for what a program wrote last; what it started and left may hold its output for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// A program that was killed is gone by then, unless the kernel cannot end it.
const REAPED_WITHIN: Duration = Duration::from_secs(5);

/// Where what a program writes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Nowhere. The end of its standard error is kept for error messages.
    Null,
    /// To the end of a file.
    File(PathBuf),
}

/// A program in a process group of its own, which ends with this.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    id: u32,
    /// None once the program's end was seen: its id may be another's by and by.
    group: Option<Pid>,
    said: Said,
}

#[derive(Debug)]
enum Said {
    File {
        path: PathBuf,
        from: u64,
    },
    Kept {
        end: Arc<Mutex<VecDeque<u8>>>,
        reading: JoinSet<()>,
    },
}

impl Process {
    pub(super) fn spawn(
        command: &[String],
        environment: &BTreeMap<String, String>,
        output: &Output,
    ) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).envs(environment);
        // Ctrl-C and what ends the group leave this process alone, and the other way round.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null());
        let from = match output {
            Output::Null => {
                command.stdout(Stdio::null()).stderr(Stdio::piped());
                0
            }
            Output::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                let from = file.metadata()?.len();
                command.stdout(file.try_clone()?).stderr(file);
                from
            }
        };
        let mut child = command.spawn()?;
        let id = child.id();
        let id = id.ok_or_else(|| io::Error::other("the process has no id"))?;
        let group = i32::try_from(id).ok().and_then(Pid::from_raw);
        let said = match output {
            Output::Null => Said::kept(child.stderr.take()),
            Output::File(path) => Said::File {
                path: path.clone(),
                from,
            },
        };
        Ok(Self {
            child,
            id,
            group,
            said,
        })
    }

    /// The id of the process and of its group.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Waits for the program's end, and ends what it has left behind in its group.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.clear();
        Ok(status)
    }

    /// How the program ended, if it has; then what it has left behind in its group ends, too.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.clear();
        Some(status)
    }

    /// Tells the whole group. What is gone already is no error.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            _ = kill_process_group(group, signal);
        }
    }

    /// Kills the whole group, and waits until the program is gone.
    pub(super) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        if timeout(REAPED_WITHIN, self.wait()).await.is_err() {
            tracing::warn!(process = self.id, "a killed process does not end");
        }
    }

    fn clear(&mut self) {
        self.signal(Signal::KILL);
        self.group = None;
    }

    /// The last lines of standard error of a program that has ended or is about to be killed.
    pub(super) async fn last_lines(&mut self, count: usize) -> String {
        let text = match &mut self.said {
            Said::File { path, from } => end_of(path, *from).unwrap_or_default(),
            Said::Kept { end, reading } => {
                _ = timeout(LAST_WORDS, reading.join_next()).await;
                let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
                String::from_utf8_lossy(end.make_contiguous()).into_owned()
            }
        };
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines.get(lines.len().saturating_sub(count)..);
        last.unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Said {
    fn kept(from: Option<ChildStderr>) -> Self {
        let end = Arc::new(Mutex::new(VecDeque::new()));
        let mut reading = JoinSet::new();
        if let Some(from) = from {
            reading.spawn(keep(from, Arc::clone(&end)));
        }
        Self::Kept { end, reading }
    }
}

async fn keep(mut from: ChildStderr, end: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; SAID_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        end.extend(buffer.iter().take(count));
        let over = end.len().saturating_sub(SAID_BYTES);
        end.drain(..over);
    }
}

fn end_of(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let kept = u64::try_from(SAID_BYTES).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(kept))))?;
    let mut end = Vec::new();
    file.take(kept).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
