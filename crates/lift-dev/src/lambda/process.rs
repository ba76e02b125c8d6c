//! In: programs to run. Out: their process groups, which end with whoever holds them, and with this process.

use std::io::{self, Write as _};
use std::process::{self, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Kills the groups that it was told of when its standard input ends, however this process died.
const WATCH: &str = r#"
groups=" "
while read -r what group; do
  case $what in
    +) groups="$groups$group " ;;
    -) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

/// A process beside this one that outlives it just long enough to end its functions.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Mutex<process::Child>,
}

impl Watchdog {
    pub(super) fn start() -> io::Result<Self> {
        let mut shell = process::Command::new("/bin/sh");
        shell.args(["-c", WATCH]).stdin(Stdio::piped());
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that Ctrl-C leaves it alone.
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let shell = Mutex::new(shell.spawn()?);
        Ok(Self { shell })
    }

    fn tell(&self, what: char, group: Pid) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let told = shell.stdin.as_mut().map(|stdin| {
            let group = group.as_raw_nonzero();
            stdin.write_all(format!("{what} {group}\n").as_bytes())
        });
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "the watchdog is gone");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(shell.stdin.take());
        _ = shell.wait();
    }
}

/// One program with all it starts, unless they leave its process group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
    watchdog: Arc<Watchdog>,
}

/// A process group to signal. What is gone already is no error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Pid);

impl Group {
    pub(super) fn signal(self, signal: Signal) {
        _ = kill_process_group(self.0, signal);
    }
}

impl Process {
    pub(super) fn spawn(mut command: Command, watchdog: Arc<Watchdog>) -> io::Result<Self> {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let raw = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = raw.and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        watchdog.tell('+', pid);
        let group = Group(pid);
        Ok(Self {
            child,
            group,
            watchdog,
        })
    }

    pub(super) fn group(&self) -> Group {
        self.group
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What the program started and did not wait for is in its group still.
        self.group.signal(Signal::KILL);
        self.watchdog.tell('-', self.group.0);
    }
}
