//! A backup of a store: two directories come in, a whole second store goes out, also while the first is in use.
//!
//! The process that has a store open listens at the Unix socket `control` in its directory, which
//! only its own user can connect to. Who wants a backup asks there, and the two talk in lines of
//! JSON: a [`Wish`] is answered `held` once no write can be acknowledged any more; the asker then
//! takes hold of what lies beside the store, and says `go`; the process takes its snapshot, lets
//! the writes go on, and copies the snapshot's rows to a new store.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, PersistMode, Readable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::committer::Shared;
use crate::files::Layout;
use crate::open::OpenError;

/// Longest time that writes are held for a backup; writers wait for 10 s.
const HELD_MAX: Duration = Duration::from_secs(4);

/// Longest silence of the process that copies.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How often it says that it goes on.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// Longest line of the conversation, in bytes.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// Who keeps the store still while what lies beside it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The process that has it open, for at most 4 s: take hold of files, copy them later.
    Server,
    /// This call, which found the store closed and keeps it so.
    Lock,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The process that has it open takes no wish for a backup: a tool, or another version.
    #[error("the process that has the store open cannot be asked for a backup")]
    Mute(#[source] io::Error),
    /// It fell silent, or went away.
    #[error("the process that has the store open stopped answering")]
    Silent(#[source] io::Error),
    /// It said why not.
    #[error("the process that has the store open made no backup: {0}")]
    Refused(String),
    /// What lies beside the store could not be taken, or the copy could not be written.
    #[error("the copy cannot be made")]
    Copy(#[source] io::Error),
}

/// What the asker says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wish {
    /// A new store in this directory, which exists and holds none.
    BackupTo(PathBuf),
    Go,
}

/// What it is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Held,
    Copying,
    Done,
    Failed(String),
}

/// Makes in `to`, which must exist, the store of `dir` as it is at one moment, and calls `beside` at
/// that very moment: nothing is acknowledged while it runs.
///
/// Every write that was acknowledged before the call is in the copy. Blocks while it copies.
///
/// # Errors
/// See [`BackupError`]; `to` then holds no store.
pub fn backup(
    dir: &Path,
    to: &Path,
    beside: impl FnOnce(Holder) -> io::Result<()>,
) -> Result<(), BackupError> {
    let files = Layout::new(dir);
    files.check()?;
    match files.lock() {
        Ok(_lock) => {
            beside(Holder::Lock).map_err(BackupError::Copy)?;
            copy_closed(&files, to)
        }
        Err(OpenError::InUse { .. }) => ask(&files, to, beside),
        Err(error) => Err(error.into()),
    }
}

/// Copies the files of a store that nobody has open, damage included.
fn copy_closed(files: &Layout, to: &Path) -> Result<(), BackupError> {
    let copy = Layout::new(to);
    let copied = copy_tree(&files.store(), &copy.unfinished(), &|_| Take::Bytes)
        .and_then(|()| fs::rename(copy.unfinished(), copy.store()));
    copied.map_err(BackupError::Copy)
}

/// How a file is taken into a copy of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    Bytes,
    Link,
}

/// Copies a tree of regular files; where a link cannot be made the bytes are copied.
pub(crate) fn copy_tree(from: &Path, to: &Path, how: &dyn Fn(&Path) -> Take) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&path, &to, how)?;
        } else if kind.is_file()
            && (how(&path) == Take::Bytes || fs::hard_link(&path, &to).is_err())
        {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

fn ask(
    files: &Layout,
    to: &Path,
    beside: impl FnOnce(Holder) -> io::Result<()>,
) -> Result<(), BackupError> {
    let stream = UnixStream::connect(files.control()).map_err(BackupError::Mute)?;
    let mut talk = Talk::new(stream, SILENCE_MAX).map_err(BackupError::Mute)?;
    let mut ask = |wish: Wish| {
        let said = talk.say(&wish).and_then(|()| talk.hear::<Said>());
        said.map_err(BackupError::Silent)
    };
    match ask(Wish::BackupTo(to.to_owned()))? {
        Said::Held => beside(Holder::Server).map_err(BackupError::Copy)?,
        Said::Failed(why) => return Err(BackupError::Refused(why)),
        Said::Copying | Said::Done => return Err(BackupError::Silent(unexpected())),
    }
    let mut said = ask(Wish::Go)?;
    loop {
        match said {
            Said::Copying => said = talk.hear().map_err(BackupError::Silent)?,
            Said::Done => return Ok(()),
            Said::Failed(why) => return Err(BackupError::Refused(why)),
            Said::Held => return Err(BackupError::Silent(unexpected())),
        }
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it said something unexpected")
}

/// Lines of JSON over a socket; none waits for longer than it was made for.
struct Talk {
    lines: BufReader<UnixStream>,
}

impl Talk {
    fn new(stream: UnixStream, patience: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            lines: BufReader::new(stream),
        })
    }

    fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.lines.get_mut().write_all(&line)
    }

    fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        self.lines
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// The thread of an open store that makes backups, one at a time; it ends with this value.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    listener: UnixListener,
    stopping: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Control {
    /// Listens at the store's socket. A store works without one, so that a path too long for a
    /// socket, 107 bytes on Linux, costs live backups alone.
    pub(crate) fn listen(files: &Layout, shared: &Arc<Shared>) -> Option<Self> {
        match Self::try_listen(files, Arc::clone(shared)) {
            Ok(control) => Some(control),
            Err(error) => {
                tracing::warn!(%error, "no backup can be made of this store while it is open");
                None
            }
        }
    }

    fn try_listen(files: &Layout, shared: Arc<Shared>) -> io::Result<Self> {
        let path = files.control();
        // That of a process that was killed: the lock says that it is gone.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, permissions)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (accepting, stop) = (listener.try_clone()?, Arc::clone(&stopping));
        let thread = thread::Builder::new().name("lift-backup".to_owned());
        let thread = thread.spawn(move || {
            for stream in accepting.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let served = stream
                    .and_then(|stream| Talk::new(stream, HELD_MAX))
                    .and_then(|mut talk| serve(&mut talk, &shared, &stop));
                // One who only asked whether somebody is there says nothing.
                if let Err(error) = served
                    && error.kind() != io::ErrorKind::UnexpectedEof
                {
                    tracing::warn!(%error, "a wish for a backup was not followed to its end");
                }
            }
        })?;
        Ok(Self {
            path,
            listener,
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // While the thread keeps the lock. A name that stays is removed by the next opening.
        let _ = fs::remove_file(&self.path);
        // Wakes the thread even where someone removed the socket's name.
        let woken = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if woken.is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread for backups panicked");
        }
    }
}

fn serve(talk: &mut Talk, shared: &Shared, stopping: &AtomicBool) -> io::Result<()> {
    let Wish::BackupTo(to) = talk.hear()? else {
        return talk.say(&Said::Failed("nothing to go on with".to_owned()));
    };
    let held = shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
    let since = Instant::now();
    talk.say(&Said::Held)?;
    let go = talk.hear::<Wish>();
    if since.elapsed() >= HELD_MAX || !matches!(go, Ok(Wish::Go)) {
        drop(held);
        let why = format!("the files were not taken within {} s", HELD_MAX.as_secs());
        return talk.say(&Said::Failed(why));
    }
    let snapshot = shared.database.snapshot();
    drop(held);
    talk.say(&Said::Copying)?;
    tracing::info!(to = %to.display(), "backup begun");
    let mut said_at = Instant::now();
    let copied = copy_open(shared, &snapshot, &to, || {
        if stopping.load(Ordering::Relaxed) {
            return Err(io::Error::other("the store is being closed"));
        }
        if said_at.elapsed() >= SAID_EVERY {
            said_at = Instant::now();
            talk.say(&Said::Copying)?;
        }
        Ok(())
    });
    match copied {
        Ok(()) => {
            tracing::info!(to = %to.display(), "backup made");
            talk.say(&Said::Done)
        }
        Err(error) => {
            let why = lift::error::chain(&error);
            tracing::warn!(error = why, "backup not made");
            talk.say(&Said::Failed(why))
        }
    }
}

/// Copies what a snapshot shows to a new store; `go_on` is asked before every row.
fn copy_open(
    shared: &Shared,
    snapshot: &impl Readable,
    to: &Path,
    mut go_on: impl FnMut() -> io::Result<()>,
) -> Result<(), OpenError> {
    let copy = Layout::new(to);
    let created =
        copy.create(|new, new_rows| fill(new, new_rows, snapshot.iter(&shared.rows), &mut go_on))?;
    if created {
        Ok(())
    } else {
        Err(copy.error(io::ErrorKind::AlreadyExists.into()))
    }
}

/// Writes all rows of a store to the tables of a new one; `go_on` is asked before every row.
pub(crate) fn fill(
    new: &Database,
    new_rows: &Keyspace,
    rows: fjall::Iter,
    go_on: &mut dyn FnMut() -> io::Result<()>,
) -> fjall::Result<()> {
    let mut tables = new_rows.start_ingestion()?;
    for guard in rows {
        go_on()?;
        let (row, value) = guard.into_inner()?;
        tables.write(row, value)?;
    }
    tables.finish()?;
    new.persist(PersistMode::SyncAll)
}
