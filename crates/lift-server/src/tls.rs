//! In: the files of a certificate and its key. Out: TLS with what they hold now.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// Where a certificate chain and its key are, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Tls {
    fn read(&self) -> io::Result<Arc<ServerConfig>> {
        let invalid = |error: rustls::Error| {
            let message = format!(
                "`{}` with `{}`: {error}",
                self.cert.display(),
                self.key.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_reader_iter(&mut open(&self.cert)?)
                .collect::<Result<_, _>>()
                .map_err(|error| named(&self.cert, error))?;
        let key = PrivateKeyDer::from_pem_reader(&mut open(&self.key)?)
            .map_err(|error| named(&self.key, error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(invalid)?;
        Ok(Arc::new(config))
    }

    fn stamp(&self) -> Stamp {
        [&self.cert, &self.key].map(|path| {
            let metadata = path.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

fn open(path: &Path) -> io::Result<BufReader<File>> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| named(path, error))
}

fn named(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {error}", path.display()),
    )
}

/// When the two files were changed last, and their lengths.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The certificate in force. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Certificate {
    files: Tls,
    loaded: Arc<Mutex<Loaded>>,
    asked: Arc<Notify>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// Of the files as they were read last, used or not.
    stamp: Stamp,
}

impl Certificate {
    pub(crate) fn read(files: Tls) -> io::Result<Self> {
        let stamp = files.stamp();
        let config = files.read()?;
        Ok(Self {
            files,
            loaded: Arc::new(Mutex::new(Loaded { config, stamp })),
            asked: Arc::default(),
        })
    }

    /// Has the files read again soon, changed or not.
    ///
    /// New handshakes then use what they hold; open connections stay. A pair that cannot be used
    /// is logged, and the one before stays in force.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.loaded().config))
    }

    /// Reads the files when asked to, and when a look at them shows that they were changed.
    pub(crate) async fn follow_for_ever(&self, look_every: Duration) {
        loop {
            let asked = tokio::time::timeout(look_every, self.asked.notified()).await;
            let this = self.clone();
            let read = move || this.read_again(asked.is_ok());
            if let Err(error) = tokio::task::spawn_blocking(read).await {
                tracing::error!(%error, "reading the TLS certificate panicked");
            }
        }
    }

    fn read_again(&self, even_unchanged: bool) {
        // Taken first: a change while they are read is seen the next time.
        let stamp = self.files.stamp();
        if !even_unchanged && self.loaded().stamp == stamp {
            return;
        }
        let read = self.files.read();
        let mut loaded = self.loaded();
        loaded.stamp = stamp;
        match read {
            Ok(config) => {
                loaded.config = config;
                tracing::info!(cert = %self.files.cert.display(), "TLS certificate reloaded");
            }
            Err(error) => {
                tracing::warn!(%error, "the new TLS certificate cannot be used; the old one stays");
            }
        }
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
