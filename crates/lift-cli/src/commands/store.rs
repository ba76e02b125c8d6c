//! A data directory comes in; what its store holds, a copy of it, or a smaller one goes out.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use lift::clock::Timestamp;
use lift_embedded::{BackupError, Holder, Inspection, OpenError};
use serde_json::json;

use crate::{
    args::{BackupArgs, StoppedStoreArgs, StoreCommand},
    failure::{Exit, Failure, chain},
    output::{moment, now_ms, print, say, sized, spoken},
    tree::{Copied, Stage, copy},
};

pub(crate) fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Inspect(args) => inspect(&args),
        StoreCommand::Backup(args) => backup(&args),
        StoreCommand::Compact(args) => compact(&args),
    }
}

fn inspect(args: &StoppedStoreArgs) -> Result<(), Failure> {
    let dir = store_in(&args.data_dir)?;
    let now_ms = now_ms();
    let found = lift_embedded::inspect(&dir, Timestamp::from_millis(now_ms))
        .map_err(|error| unusable(&dir, &error))?;
    print(&if args.json {
        format!("{}\n", as_json(&dir, &found))
    } else {
        described(&dir, &found, now_ms)
    })?;
    match damage(&found) {
        damage if damage.is_empty() => Ok(()),
        damage => Err(damaged(&dir, &damage)),
    }
}

pub(super) fn damaged(dir: &Path, damage: &[String]) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("the store in `{}` is not whole", dir.display()),
        damage.join("; "),
        "restore a backup if it matters; a server that starts on it keeps what can be read",
    )
}

fn as_json(dir: &Path, found: &Inspection) -> serde_json::Value {
    json!({
        "store": dir,
        "format": found.format,
        "commit": found.commit,
        "records": found.report.records,
        "states": found.counts,
        "due": found.due,
        "overdue": found.overdue,
        "oldest_waiting_ms": found.oldest_waiting.map(Timestamp::as_millis),
        "newest_ms": found.newest.map(Timestamp::as_millis),
        "idempotency_keys": found.idempotency_keys,
        "bytes": found.bytes,
        "unfinished_write_bytes": found.report.torn_tail_bytes,
        "damage": damage(found),
    })
}

fn described(dir: &Path, found: &Inspection, now_ms: u64) -> String {
    let time = |time: Option<Timestamp>| {
        let ms = time.map(Timestamp::as_millis);
        ms.map_or_else(
            || "none".to_owned(),
            |ms| {
                let ago = spoken(now_ms.saturating_sub(ms) / 1000);
                format!("{} ({ago} ago)", moment(ms))
            },
        )
    };
    let counts = &found.counts;
    let damage = damage(found);
    let rows = [
        ("store", dir.display().to_string()),
        ("format", found.format.to_owned()),
        ("last commit", found.commit.to_string()),
        ("records", found.report.records.to_string()),
        (
            "waiting",
            format!("{} queued, {} retrying", counts.queued, counts.retrying),
        ),
        ("running", counts.running.to_string()),
        (
            "ended",
            format!(
                "{} completed, {} failed, {} cancelled",
                counts.completed, counts.failed, counts.cancelled
            ),
        ),
        (
            "due",
            format!("{} now, {} past their deadline", found.due, found.overdue),
        ),
        ("oldest", format!("{} waiting", time(found.oldest_waiting))),
        ("newest", time(found.newest)),
        (
            "keys",
            format!("{} idempotency keys", found.idempotency_keys),
        ),
        ("on disk", sized(found.bytes)),
        (
            "damage",
            if damage.is_empty() {
                "none".to_owned()
            } else {
                damage.join("; ")
            },
        ),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, value)| format!("{name:<12} {value}\n"))
        .collect()
}

/// What is missing or cannot be read, a line each.
pub(super) fn damage(found: &Inspection) -> Vec<String> {
    let report = &found.report;
    let mut damage = Vec::new();
    if report.commits_lost > 0 {
        damage.push(format!(
            "{} answered commits are missing",
            report.commits_lost
        ));
    }
    damage.extend(report.lost.iter().map(|lost| {
        let (bytes, offset, journal) = (lost.bytes, lost.offset, lost.journal.display());
        format!("{bytes} damaged bytes at {offset} of `{journal}`")
    }));
    damage.extend(
        report
            .unreadable
            .iter()
            .map(|record| format!("record `{}` cannot be read: {}", record.key, record.reason)),
    );
    damage
}

fn compact(args: &StoppedStoreArgs) -> Result<(), Failure> {
    let dir = store_in(&args.data_dir)?;
    let done = lift_embedded::compact(&dir).map_err(|error| unusable(&dir, &error))?;
    print(&if args.json {
        format!(
            "{}\n",
            json!({ "bytes_before": done.before, "bytes_after": done.after })
        )
    } else {
        format!(
            "{} before, {} after\n",
            sized(done.before),
            sized(done.after)
        )
    })?;
    if done.report.is_clean() {
        Ok(())
    } else {
        Err(damaged(&dir, &[done.report.to_string()]))
    }
}

fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let dir = store_in(&args.data_dir)?;
    let to = free_place(&args.data_dir, &args.to)?;
    let unfinished = Unfinished::new(&to).map_err(|error| unwritten(&to, &error))?;
    let (holder, copied) = take(&args.data_dir, &dir, &unfinished.0)?;
    let copy = unfinished.0.join("store");
    let found = lift_embedded::inspect(&copy, Timestamp::from_millis(now_ms()))
        .map_err(|error| unusable(&copy, &error))?;
    unfinished
        .finish(&args.data_dir, &to)
        .map_err(|error| unwritten(&to, &error))?;
    let live = holder == Holder::Server;
    let (records, commit, damage) = (found.report.records, found.commit, damage(&found));
    let Copied { files, bytes } = copied;
    if args.json {
        print(&format!(
            "{}\n",
            json!({
                "backup": to, "live": live, "records": records, "commit": commit,
                "files": files, "bytes": bytes, "damage": damage,
            })
        ))?;
    } else {
        print(&format!("{}\n", to.display()))?;
        let how = if live {
            "while the server runs"
        } else {
            "no server runs"
        };
        let beside = format!("{files} files beside the store, {}", sized(bytes));
        say(&format!(
            "{records} records as of commit {commit}, {how}; {beside}; read back and good"
        ));
    }
    if damage.is_empty() {
        Ok(())
    } else {
        Err(damaged(&to.join("store"), &damage))
    }
}

/// Copies store and files to a directory that is there.
fn take(data: &Path, dir: &Path, to: &Path) -> Result<(Holder, Copied), Failure> {
    let store = to.join("store");
    fs::create_dir(&store).map_err(|error| unwritten(to, &error))?;
    let mut taken = None;
    let done = lift_embedded::backup(dir, &store, |holder| {
        let stage = match holder {
            Holder::Lock => None,
            Holder::Server => {
                let stage = Stage::new(data)?;
                stage.take(data)?;
                Some(stage)
            }
        };
        let copied = match stage {
            None => Some(copy(data, to)?),
            Some(_) => None,
        };
        taken = Some((holder, stage, copied));
        Ok(())
    });
    done.map_err(|error| not_made(dir, &error))?;
    let copied = match taken {
        Some((holder, _, Some(copied))) => Ok((holder, copied)),
        Some((holder, Some(stage), None)) => {
            copy(&stage.files(), to).map(|copied| (holder, copied))
        }
        Some((_, None, None)) | None => Err(io::Error::other("nothing was taken")),
    };
    copied.map_err(|error| unwritten(to, &error))
}

/// A copy that is not whole; removed with this value.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(to: &Path) -> io::Result<Self> {
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let dir = to.with_file_name(name);
        if dir.try_exists()? {
            fs::remove_dir_all(&dir)?;
        }
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(&dir)?;
        Ok(Self(dir))
    }

    /// Makes it as open to others as the data directory is, durable, and then whole.
    fn finish(self, data: &Path, to: &Path) -> io::Result<()> {
        fs::set_permissions(&self.0, fs::metadata(data)?.permissions())?;
        rustix::fs::syncfs(File::open(&self.0)?)?;
        fs::rename(&self.0, to)?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone where it was finished; the next one removes what is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where a copy can go, as an absolute path: the server that makes it may run elsewhere.
fn free_place(data: &Path, to: &Path) -> Result<PathBuf, Failure> {
    let place = std::path::absolute(to).map_err(|error| unwritten(to, &error))?;
    let is_free = match fs::read_dir(&place) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let data = std::path::absolute(data).map_err(|error| unwritten(to, &error))?;
    let cause = if !is_free {
        "something is there"
    } else if place.starts_with(&data) {
        "it lies in the data directory itself"
    } else {
        return Ok(place);
    };
    let what = format!("the backup cannot go to `{}`", to.display());
    let help = "name a directory that is not there yet, outside the data directory";
    Err(Failure::new(Exit::Usage, what, cause, help))
}

/// The store's directory in a data directory that has one.
pub(crate) fn store_in(data: &Path) -> Result<PathBuf, Failure> {
    let dir = data.join("store");
    if dir.join("store").is_dir() {
        return Ok(dir);
    }
    Err(Failure::new(
        Exit::Failed,
        format!("`{}` holds no store", data.display()),
        format!("there is no `{}`", dir.join("store").display()),
        "--data-dir names the server's data directory; a server makes the store when it first starts",
    ))
}

pub(super) fn unusable(dir: &Path, error: &OpenError) -> Failure {
    let help = match error {
        OpenError::InUse { .. } => {
            "stop the server first; or look at a copy, which `lift store backup` makes while it runs"
        }
        OpenError::Directory { .. } => "run this as the user that runs the server; check the disk",
        OpenError::Format { .. } => "use the `lift` of the version that wrote it",
        _ => "restore a backup; `streamer salvage` keeps what can be read",
    };
    let what = format!("the store in `{}` cannot be used", dir.display());
    Failure::file(Exit::Failed, what, error, help)
}

fn not_made(dir: &Path, error: &BackupError) -> Failure {
    let help = match error {
        BackupError::Open(error) => return unusable(dir, error),
        BackupError::Mute(_) => {
            "run this as the user that runs the server, or stop the server first; a socket's path, \
             `DIR/store/control`, has at most 107 bytes"
        }
        BackupError::Silent(_) => "look at the server's log, and try again",
        _ => "make room, or name another place; the server must be able to write there",
    };
    let what = format!("no backup of `{}` was made", dir.display());
    Failure::new(Exit::Failed, what, chain(error), help)
}

fn unwritten(to: &Path, error: &io::Error) -> Failure {
    let what = format!("the backup cannot be written to `{}`", to.display());
    Failure::file(
        Exit::Failed,
        what,
        error,
        "make room, or name another place",
    )
}
