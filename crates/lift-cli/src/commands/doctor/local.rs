//! A data directory and this machine come in, findings about them go out.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    time::SystemTime,
};

use lift::clock::Timestamp;
use lift_embedded::OpenError;
use rustix::{
    fs::Access,
    process::{Pid, Resource},
};
use streamer::auth::{Keys, KeysError};
use streamer::descriptors::{self, CONNECTIONS_MAX, for_clients};

use super::Finding;
use crate::{
    commands::{store, token},
    failure::chain,
    output::{moment, now_ms, sized, spoken},
};

/// Below this much free space a server may soon stop writing.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// Below this much it is time to look.
const FREE_BYTES_LOW: u64 = 1 << 30;
/// How far a clock may be behind the store's: two clocks of one machine are one.
const CLOCK_BEHIND_MAX_MS: u64 = 2_000;
/// Connections that a server asks the system to hold until it accepts them.
const BACKLOG: u64 = 1_024;

/// Looks at a data directory; the process that has its store open, if one does.
pub(super) fn data(dir: &Path, now_ms: u64, findings: &mut Vec<Finding>) -> Option<Pid> {
    let usable = directory(dir);
    let is_there = dir.is_dir();
    findings.push(usable);
    if !is_there {
        return None;
    }
    findings.push(space(dir));
    findings.push(keys(&dir.join("keys")));
    let holder = holder(dir);
    let (store, newest_ms) = store(dir, holder, now_ms);
    findings.push(store);
    findings.push(clock(dir, newest_ms));
    holder
}

fn directory(dir: &Path) -> Finding {
    const CHECK: &str = "data directory";
    let shown = dir.display();
    let meta = match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => {
            return Finding::failed(
                CHECK,
                format!("`{shown}` is no directory"),
                "name another with --data-dir",
            );
        }
        Err(error) => {
            let help = "--data-dir names it; a server makes it when it first starts";
            return Finding::failed(CHECK, format!("`{shown}`: {error}"), help);
        }
    };
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Err(error) = rustix::fs::access(dir, all) {
        let help =
            "run this as the user that runs the server, and let the directory be that user's";
        return Finding::failed(CHECK, format!("`{shown}` cannot be written: {error}"), help);
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let help =
            format!("`chmod 750 {shown}`: who can write there can replace keys and requests");
        return Finding::failed(
            CHECK,
            format!("`{shown}` can be written by others (mode {mode:o})"),
            help,
        );
    }
    Finding::ok(CHECK, format!("`{shown}` can be written, mode {mode:o}"))
}

fn space(dir: &Path) -> Finding {
    const CHECK: &str = "free space";
    const HELP: &str =
        "make room: docs/operations.md, Cleaning up; a server stops writing when it is over";
    match rustix::fs::statvfs(dir) {
        Err(error) => Finding::failed(CHECK, error.to_string(), "check the disk"),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = sized(free);
            match free {
                ..FREE_BYTES_MIN => Finding::failed(CHECK, found, HELP),
                FREE_BYTES_MIN..FREE_BYTES_LOW => Finding::warning(CHECK, found, HELP),
                FREE_BYTES_LOW.. => Finding::ok(CHECK, found),
            }
        }
    }
}

fn keys(dir: &Path) -> Finding {
    const CHECK: &str = "keys";
    match Keys::read(dir) {
        Ok(_) => Finding::ok(CHECK, "usable, and no other user can read them"),
        Err(KeysError::Empty(_)) => none_yet(CHECK),
        Err(KeysError::Read(_, error)) if error.kind() == io::ErrorKind::NotFound => {
            none_yet(CHECK)
        }
        Err(error) => Finding::failure(CHECK, &token::unusable(dir, &error)),
    }
}

fn none_yet(check: &'static str) -> Finding {
    let help = "a server, or `lift token mint`, makes the first; nothing to do where tokens come from elsewhere";
    Finding::warning(check, "there are none", help)
}

/// The process at the other end of the store's socket.
fn holder(dir: &Path) -> Option<Pid> {
    let stream = UnixStream::connect(dir.join("store/control")).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(peer.pid)
}

fn store(dir: &Path, holder: Option<Pid>, now_ms: u64) -> (Finding, Option<u64>) {
    const CHECK: &str = "store";
    let found = store::store_in(dir).map(|store| {
        let found = lift_embedded::inspect(&store, Timestamp::from_millis(now_ms));
        (store, found)
    });
    match found {
        Err(_) => (
            Finding::ok(CHECK, "none yet; a server makes it when it first starts"),
            None,
        ),
        Ok((_, Err(OpenError::InUse { .. }))) => {
            let by = holder.map_or_else(String::new, |pid| format!(", process {pid}"));
            (
                Finding::ok(CHECK, format!("held by a live server{by}")),
                None,
            )
        }
        Ok((store, Err(error))) => (
            Finding::failure(CHECK, &store::unusable(&store, &error)),
            None,
        ),
        Ok((store, Ok(found))) => {
            let newest = found.newest.map(Timestamp::as_millis);
            let damage = store::damage(&found);
            let finding = if damage.is_empty() {
                let said = format!(
                    "{} records, whole, on {}",
                    found.report.records,
                    sized(found.bytes)
                );
                Finding::ok(CHECK, said)
            } else {
                Finding::failure(CHECK, &store::damaged(&store, &damage))
            };
            (finding, newest)
        }
    }
}

/// The clock against the newest record, and the last commit: a clock that went back makes requests
/// due late and tokens valid early.
fn clock(dir: &Path, newest_ms: Option<u64>) -> Finding {
    const CHECK: &str = "clock";
    let written = fs::metadata(dir.join("store/store/witness")).and_then(|meta| meta.modified());
    let written_ms = written
        .ok()
        .and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let written_ms = written_ms.and_then(|at| u64::try_from(at.as_millis()).ok());
    let now_ms = now_ms();
    let Some(last_ms) = newest_ms.max(written_ms) else {
        return Finding::ok(
            CHECK,
            format!("{}; nothing to compare it with", moment(now_ms)),
        );
    };
    let behind_ms = last_ms.saturating_sub(now_ms);
    if behind_ms > CLOCK_BEHIND_MAX_MS {
        let found = format!(
            "{}, {} behind the store",
            moment(now_ms),
            spoken(behind_ms / 1000)
        );
        Finding::failed(
            CHECK,
            found,
            "set the clock: `timedatectl status` says whether it is synchronised",
        )
    } else {
        Finding::ok(
            CHECK,
            format!("{}, after all that the store has", moment(now_ms)),
        )
    }
}

/// The limit of the server, or of this shell where no server's is known.
pub(super) fn open_files(server: Option<Pid>) -> Finding {
    const CHECK: &str = "open files";
    let of_server =
        server.and_then(|pid| limit_of(pid).map(|limit| (limit, format!("process {pid}"))));
    let here = || {
        (
            rustix::process::getrlimit(Resource::Nofile).current,
            "this shell".to_owned(),
        )
    };
    let (limit, whose) = of_server.unwrap_or_else(here);
    match limit {
        Some(limit) if limit < descriptors::ENOUGH => {
            let room = for_clients(limit).connections;
            let found =
                format!("{limit} for {whose}: room for {room} of {CONNECTIONS_MAX} connections");
            let help = "raise `LimitNOFILE`, or `ulimit -n`, above the connections that you expect";
            Finding::warning(CHECK, found, help)
        }
        Some(limit) => Finding::ok(CHECK, format!("{limit} for {whose}")),
        None => Finding::ok(CHECK, format!("no limit for {whose}")),
    }
}

/// The soft limit in proc_pid_limits(5); the outer `None` where it cannot be read.
fn limit_of(pid: Pid) -> Option<Option<u64>> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let row = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = row.split_whitespace().next()?;
    Some(soft.parse().ok())
}

pub(super) fn backlog() -> Finding {
    const CHECK: &str = "backlog";
    let path = "/proc/sys/net/core/somaxconn";
    let read = fs::read_to_string(path).map_err(|error| chain(&error));
    let limit = read.and_then(|text| text.trim().parse::<u64>().map_err(|error| chain(&error)));
    match limit {
        Err(cause) => Finding::warning(
            CHECK,
            format!("`{path}`: {cause}"),
            "look at it by hand; this is not Linux?",
        ),
        Ok(limit) if limit < BACKLOG => {
            let found =
                format!("{limit} connections may wait to be accepted, {BACKLOG} are asked for");
            let help = format!(
                "`sysctl net.core.somaxconn={BACKLOG}`, or many clients that reconnect at once are turned away"
            );
            Finding::warning(CHECK, found, help)
        }
        Ok(limit) => Finding::ok(
            CHECK,
            format!("{limit} connections may wait to be accepted"),
        ),
    }
}
