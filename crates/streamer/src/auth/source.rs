//! Where keys come from and the time come in; the keys in force go out, read again when they are
//! old or lack one.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::Uri;
use tokio::{sync::watch, task::JoinSet};

use super::{
    fetch::{FETCH_DEADLINE, FetchError, Fetcher},
    jwks::{self, JwksError},
    key::{KeyError, PemKey, VerifyKey},
    keys::{Keys, KeysError},
};

/// How long keys read from files are kept, in milliseconds.
const FILES_MAX_AGE_MS: u64 = 60_000;
/// How far apart two readings of files are at least, in milliseconds.
const FILES_INTERVAL_MS: u64 = 1_000;
/// How far apart two fetches of a URL begin at least, in milliseconds.
const URL_INTERVAL_MS: u64 = 10_000;
/// How long keys stay in force that could not be read again, in milliseconds past their age.
const STALE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// A secret for HS256; its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where keys that verify tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Every `*.pem` of a directory, as [`Keys::open`] keeps them.
    Directory(PathBuf),
    /// A file of one key in PEM; of a private key its public half is used.
    Pem(PathBuf),
    /// A key in PEM itself.
    PemText(String),
    /// A file of a JWK set.
    JwksFile(PathBuf),
    /// A JWK set at an `http` or `https` URL, its server's certificate signed by a public
    /// authority.
    JwksUrl(String),
    /// A secret of at least 32 bytes for HS256.
    Secret(Secret),
}

/// Keys that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A directory of keys could not be read.
    #[error("the keys cannot be read")]
    Directory(#[source] KeysError),
    /// A file could not be read.
    #[error("`{}` cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A PEM file holds no key that can be used.
    #[error("`{}` holds no usable key", .0.display())]
    Pem(PathBuf, #[source] KeyError),
    /// A PEM text holds no key that can be used.
    #[error("the PEM text holds no usable key")]
    PemText(#[source] KeyError),
    /// A JWK set holds no key that can be used.
    #[error("the JWK set of `{0}` cannot be used")]
    Jwks(String, #[source] JwksError),
    /// A URL did not answer with a JWK set.
    #[error("`{0}` cannot be fetched")]
    Fetch(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The deadline passed, or the process is stopping.
    #[error("reading the keys did not end")]
    Unfinished,
}

/// A source whose keys can change under a running process.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Directory(PathBuf),
    Pem(PathBuf),
    JwksFile(PathBuf),
    Url(Uri, Box<Fetcher>),
}

impl Origin {
    /// Reads files; a URL has nothing that could be read at once.
    pub(super) fn read_now(&self) -> Result<Vec<VerifyKey>, LoadError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| LoadError::Read(path.to_owned(), error))
        };
        match self {
            Self::Directory(path) => Keys::read(path)
                .map(|keys| keys.public())
                .map_err(LoadError::Directory),
            Self::Pem(path) => PemKey::parse(&read(path)?)
                .map(|key| vec![key.into_public()])
                .map_err(|error| LoadError::Pem(path.clone(), error)),
            Self::JwksFile(path) => jwks::parse(&read(path)?)
                .map_err(|error| LoadError::Jwks(path.display().to_string(), error)),
            Self::Url(..) => Ok(Vec::new()),
        }
    }

    /// Reads the keys and the milliseconds they may be kept.
    async fn read(self) -> Result<(Vec<VerifyKey>, u64), LoadError> {
        if let Self::Url(url, fetcher) = self {
            let name = url.to_string();
            let (text, kept_ms) = fetcher
                .get(url)
                .await
                .map_err(|error: FetchError| LoadError::Fetch(name.clone(), Box::new(error)))?;
            let keys = jwks::parse(&text).map_err(|error| LoadError::Jwks(name, error))?;
            return Ok((keys, kept_ms));
        }
        let reading = tokio::task::spawn_blocking(move || self.read_now());
        match tokio::time::timeout(FETCH_DEADLINE, reading).await {
            Ok(Ok(keys)) => keys.map(|keys| (keys, FILES_MAX_AGE_MS)),
            Ok(Err(_)) | Err(_) => Err(LoadError::Unfinished),
        }
    }

    fn interval_ms(&self) -> u64 {
        match self {
            Self::Url(..) => URL_INTERVAL_MS,
            Self::Directory(_) | Self::Pem(_) | Self::JwksFile(_) => FILES_INTERVAL_MS,
        }
    }
}

/// Why keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Those in force will do.
    Current,
    /// They lack the key that a token names.
    Another,
}

/// What to do before the keys are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Use,
    /// Begin a reading if none is under way, and wait for it.
    Wait,
    /// Begin a reading if none is under way, and use what there is meanwhile.
    Behind,
}

/// What is known of a source, as plain data.
#[derive(Debug, Clone, Default)]
struct Known {
    keys: Arc<[VerifyKey]>,
    read_at_ms: u64,
    kept_ms: u64,
    failed: bool,
}

impl Known {
    /// Decides about a reading. Differences are absolute: after a jump of the clock either way,
    /// reading again is right.
    fn plan(&self, want: Want, begun_at_ms: Option<u64>, interval_ms: u64, now_ms: u64) -> Plan {
        let fresh = now_ms.abs_diff(self.read_at_ms) < self.kept_ms;
        let too_soon = begun_at_ms.is_some_and(|begun| now_ms.abs_diff(begun) < interval_ms);
        match want {
            Want::Current if fresh => Plan::Use,
            Want::Current | Want::Another if too_soon => Plan::Use,
            // A provider that is down must not slow down every client whose key is at hand.
            Want::Current if self.failed && !self.in_force(now_ms).is_empty() => Plan::Behind,
            Want::Current | Want::Another => Plan::Wait,
        }
    }

    fn in_force(&self, now_ms: u64) -> &[VerifyKey] {
        let age_ms = now_ms.abs_diff(self.read_at_ms);
        if age_ms < self.kept_ms.saturating_add(STALE_MS_MAX) {
            &self.keys
        } else {
            &[]
        }
    }
}

/// The one reading that may be under way; its task ends with the source.
#[derive(Debug, Default)]
struct Flight {
    task: JoinSet<()>,
    /// Closed when the reading is over.
    over: Option<watch::Receiver<()>>,
    begun_at_ms: Option<u64>,
}

/// A source of keys, with those it gave last.
#[derive(Debug)]
pub(super) struct Source {
    origin: Origin,
    known: Arc<Mutex<Known>>,
    flight: Mutex<Flight>,
}

impl Source {
    /// A source that is first read when keys are first asked for.
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            known: Arc::default(),
            flight: Mutex::default(),
        }
    }

    /// The keys in force, after a reading where one is due. May be dropped half-way: the reading
    /// goes on, so that clients who hang up cannot keep a new key out.
    pub(super) async fn keys(&self, want: Want, now_ms: u64) -> Arc<[VerifyKey]> {
        if let Some(mut over) = self.begin(want, now_ms) {
            // Nothing is ever sent: an error says that the sender is gone, and with it the reading.
            let _closed = over.changed().await;
        }
        let known = lock(&self.known);
        if known.in_force(now_ms).is_empty() {
            Arc::default()
        } else {
            Arc::clone(&known.keys)
        }
    }

    /// Begins a reading where one is due; gives what to wait for, where waiting is right.
    fn begin(&self, want: Want, now_ms: u64) -> Option<watch::Receiver<()>> {
        let mut flight = lock(&self.flight);
        let under_way = flight
            .over
            .clone()
            .filter(|over| over.has_changed().is_ok());
        let plan = {
            let known = lock(&self.known);
            let begun_at_ms = flight.begun_at_ms.filter(|_| under_way.is_none());
            known.plan(want, begun_at_ms, self.origin.interval_ms(), now_ms)
        };
        match (plan, under_way) {
            (Plan::Use, _) | (Plan::Behind, Some(_)) => None,
            (Plan::Wait, Some(over)) => Some(over),
            (Plan::Wait | Plan::Behind, None) => {
                let over = self.spawn(&mut flight, now_ms);
                (plan == Plan::Wait).then_some(over)
            }
        }
    }

    fn spawn(&self, flight: &mut Flight, now_ms: u64) -> watch::Receiver<()> {
        let (under_way, over) = watch::channel(());
        let known = Arc::clone(&self.known);
        let origin = self.origin.clone();
        flight.begun_at_ms = Some(now_ms);
        flight.over = Some(over.clone());
        flight.task = JoinSet::new();
        flight.task.spawn(async move {
            let read = origin.read().await;
            let mut known = lock(&known);
            match read {
                Ok((keys, kept_ms)) => {
                    *known = Known {
                        keys: keys.into(),
                        read_at_ms: now_ms,
                        kept_ms,
                        failed: false,
                    };
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(
                        error,
                        "keys for tokens not read; those of before stay in force"
                    );
                    known.failed = true;
                }
            }
            drop(known);
            drop(under_way);
        });
        over
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held leaves nothing half-written: each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
