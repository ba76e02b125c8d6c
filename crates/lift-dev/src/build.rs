//! In: a command that builds functions. Out: whether it did, with the end of what it said where it did not.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::feed::Feed;
use crate::plan::{Inline, Plan};
use crate::server::{StartError, make_state};

/// Time for one build.
const BUILD_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// What is shown of a build's output, in lines and bytes from its end.
const BUILD_LINES: usize = 40;
const BUILD_BYTES: usize = 16 * 1024;
/// Time for what a build wrote last; what it started and left may hold its output for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Writes and builds what must be there before anything can run; equal commands once.
///
/// # Errors
/// [`StartError::State`], or [`StartError::Build`] with the last lines of a command that fails or
/// why code in the template cannot be written.
pub async fn build_all(plan: &Plan, directory: &Path, feed: &Feed) -> Result<(), StartError> {
    let commands: BTreeSet<_> = plan
        .functions
        .iter()
        .filter_map(|f| f.build.as_ref())
        .collect();
    let inline = || plan.functions.iter().filter_map(|f| f.inline.as_ref());
    if !commands.is_empty() || inline().next().is_some() {
        make_state(directory)?;
    }
    inline().try_for_each(write).map_err(StartError::Build)?;
    for command in commands {
        let started = Instant::now();
        let built = build(command, directory).await;
        built.map_err(StartError::Build)?;
        let took = started.elapsed().as_secs_f32();
        feed.notice(format!("built in {took:.1} s: {command}"));
    }
    Ok(())
}

fn write(inline: &Inline) -> io::Result<()> {
    let Inline { file, text } = inline;
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // On Lambda no package above the file says what kind of module it is.
    fs::write(directory.join("package.json"), "{}\n")?;
    fs::write(file, text)
}

/// Runs a command as a shell does. Dropping the future ends it with all that it started.
///
/// # Errors
/// It cannot be run, fails or takes too long; its last lines are in the error.
pub(crate) async fn build(command: &str, directory: &Path) -> io::Result<()> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = shell.spawn()?;
    let raw = child.id().and_then(|id| i32::try_from(id).ok());
    let mut running = Running(raw.and_then(Pid::from_raw));
    let (mut out, mut err) = (Tail::default(), Tail::default());
    let reading = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let said = async { tokio::join!(out.read(reading.0), err.read(reading.1)) };
        tokio::pin!(said);
        tokio::select! {
            status = child.wait() => {
                _ = tokio::time::timeout(LAST_WORDS, said).await;
                status
            }
            _ = &mut said => child.wait().await,
        }
    };
    let Ok(status) = tokio::time::timeout(BUILD_TIMEOUT, ended).await else {
        let why = format!("`{command}` did not end in {} s", BUILD_TIMEOUT.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    };
    let status = status?;
    running.0 = None;
    if status.success() {
        return Ok(());
    }
    let said = format!("{}{}", out.text(), err.text());
    let lines: Vec<_> = said.lines().collect();
    let last = lines.get(lines.len().saturating_sub(BUILD_LINES)..);
    let last = last.unwrap_or_default().join("\n");
    Err(io::Error::other(format!("`{command}`: {status}\n{last}")))
}

/// The process group of a build that has not ended.
struct Running(Option<Pid>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // What is gone already is no error.
            _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The end of what a build said.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut buffer = vec![0; BUILD_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            self.0.extend(buffer.iter().take(count));
            let over = self.0.len().saturating_sub(BUILD_BYTES);
            self.0.drain(..over);
        }
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.0.make_contiguous()).into_owned()
    }
}
