//! In: a function's handler. Out: one process of it that is at work is killed, of those that the process which started this one has started.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, kill_process};
use tokio::time::{interval, timeout};

use crate::Result;

/// Longest line of ancestors that is followed.
const ANCESTORS_MAX: usize = 64;
/// How long one that is at work is waited for.
const FOUND_WITHIN: Duration = Duration::from_millis(1_500);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Until new ones are looked for.
const LOOKS: usize = 100;
/// States of a process that is at work. One that has no event is stopped, and one that has ended may still be listed.
const AT_WORK: [&str; 3] = ["R", "S", "D"];

pub(crate) async fn one(role: &str) -> Result<()> {
    let mut looks = interval(LOOK_EVERY);
    let looking = async {
        loop {
            let processes = of(role)?;
            // A look at those that are known costs little beside one at all processes.
            for _ in 0..LOOKS {
                looks.tick().await;
                let at_work = |id: &i32| {
                    stat(*id).is_some_and(|(state, _)| AT_WORK.contains(&state.as_str()))
                };
                match processes.iter().copied().find(at_work).map(kill) {
                    // One that ended between the look and the kill was no process at work.
                    None | Some(Err(Errno::SRCH)) => {}
                    Some(killed) => return Ok(killed?),
                }
            }
        }
    };
    match timeout(FOUND_WITHIN, looking).await {
        Ok(killed) => killed,
        Err(_) => Err(format!("no process of `{role}` was at work").into()),
    }
}

/// Processes of a function that the process above this one has started, or one that it has started.
fn of(role: &str) -> Result<Vec<i32>> {
    let above = getppid().ok_or("no parent")?.as_raw_nonzero().get();
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse::<i32>().ok());
        // Those that end meanwhile are left out.
        if let Some((id, (_, parent))) = id.and_then(|id| Some((id, stat(id)?))) {
            parents.insert(id, parent);
        }
    }
    let ours = parents.keys().copied().filter(|id| {
        let up = std::iter::successors(Some(*id), |id| parents.get(id).copied());
        up.skip(1).take(ANCESTORS_MAX).any(|id| id == above)
    });
    let handler = format!("_HANDLER={role}");
    Ok(ours.filter(|id| has(*id, &handler)).collect())
}

/// The state of a process, and its parent.
fn stat(id: i32) -> Option<(String, i32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?);
    Some((state.to_owned(), parent.parse().ok()?))
}

fn has(id: i32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|one| one == variable.as_bytes())
}

fn kill(id: i32) -> Result<(), Errno> {
    let process = Pid::from_raw(id).ok_or(Errno::SRCH)?;
    kill_process(process, Signal::KILL)
}
