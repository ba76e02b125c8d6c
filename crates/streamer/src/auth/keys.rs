//! A directory of PEM files comes in; the keys that verify and the one that signs go out, made on
//! the first run.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    KEYS_MAX,
    algorithm::Algorithm,
    key::{Generated, KeyError, PemKey, SigningKey, VerifyKey, generate},
    secret_file::{self, Locked},
};

/// What the first key is made for: the algorithm that every JWT library knows and whose keys are
/// small.
const FIRST_ALGORITHM: Algorithm = Algorithm::ES256;

/// A directory of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file or the directory could not be read.
    #[error("`{}` cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A file could not be written, or the lock not taken.
    #[error("no key can be written to `{}`", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// Another process has held the lock for 5 s.
    #[error("another process is making keys in `{}`", .0.display())]
    Busy(PathBuf),
    /// Others than its owner may read or write a private key.
    #[error("`{}` is open to other users; chmod 600 it, and replace the key if they may have read it", .0.display())]
    Exposed(PathBuf),
    /// A file holds no usable key.
    #[error("`{}` holds no usable key", .0.display())]
    Key(PathBuf, #[source] KeyError),
    /// The directory holds no `*.pem`.
    #[error("`{}` holds no key", .0.display())]
    Empty(PathBuf),
    /// The directory holds more keys than are tried for one token.
    #[error("`{}` holds {count} keys, the most is {KEYS_MAX}", dir.display())]
    TooMany {
        /// The directory.
        dir: PathBuf,
        /// How many `*.pem` it holds.
        count: usize,
    },
    /// No key pair could be made.
    #[error("no key pair could be made")]
    Generate(#[source] KeyError),
}

/// The keys of one machine: all verify, the newest private one signs.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Oldest first, by time of modification, then name.
    keys: Vec<PemKey>,
}

impl Keys {
    /// Reads the keys of a directory, `DIR/keys`, first making an ES256 key where there is none.
    ///
    /// Of two processes that find none, one makes it and both use it. Blocks on files.
    ///
    /// # Errors
    /// A directory or file that cannot be read or written; a private key that is open to other
    /// users; a file that holds no usable key.
    pub fn open(dir: &Path) -> Result<Self, KeysError> {
        if let Some(keys) = Self::read_any(dir)? {
            return Ok(keys);
        }
        let locked = take(dir)?;
        if let Some(keys) = Self::read_any(dir)? {
            return Ok(keys);
        }
        write(&locked, dir, FIRST_ALGORITHM)?;
        Self::read(dir)
    }

    /// Reads the keys of a directory without making one. Blocks on files.
    ///
    /// # Errors
    /// As [`Keys::open`], and [`KeysError::Empty`] where it holds no key.
    pub fn read(dir: &Path) -> Result<Self, KeysError> {
        let unreadable = |error| KeysError::Read(dir.to_owned(), error);
        let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                let modified = std::fs::metadata(&path).and_then(|file| file.modified());
                files.push((
                    modified.map_err(|error| KeysError::Read(path.clone(), error))?,
                    path,
                ));
            }
        }
        match files.len() {
            0 => return Err(KeysError::Empty(dir.to_owned())),
            1..=KEYS_MAX => files.sort(),
            count => {
                return Err(KeysError::TooMany {
                    dir: dir.to_owned(),
                    count,
                });
            }
        }
        let keys = files
            .into_iter()
            .map(|(_, path)| read_key(path))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Adds a new key pair to a directory, which signs from now on while those before it still
    /// verify.
    ///
    /// # Errors
    /// As [`generate`]; a directory that cannot be written.
    pub fn add(dir: &Path, algorithm: Algorithm) -> Result<(PathBuf, Generated), KeysError> {
        write(&take(dir)?, dir, algorithm)
    }

    fn read_any(dir: &Path) -> Result<Option<Self>, KeysError> {
        match Self::read(dir) {
            Ok(keys) => Ok(Some(keys)),
            Err(KeysError::Empty(_)) => Ok(None),
            Err(KeysError::Read(_, error)) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest private key.
    pub(super) fn signing(&self) -> Option<&SigningKey> {
        self.keys.iter().rev().find_map(|key| match key {
            PemKey::Private(pair) => Some(pair),
            PemKey::Public(_) => None,
        })
    }

    pub(super) fn public(self) -> Vec<VerifyKey> {
        self.keys.into_iter().map(PemKey::into_public).collect()
    }
}

fn read_key(path: PathBuf) -> Result<PemKey, KeysError> {
    let (text, exposed) = match secret_file::read(&path) {
        Ok(read) => read,
        Err(error) => return Err(KeysError::Read(path, error)),
    };
    match PemKey::parse(&text) {
        Ok(PemKey::Private(_)) if exposed != 0 => Err(KeysError::Exposed(path)),
        Ok(key) => Ok(key),
        Err(error) => Err(KeysError::Key(path, error)),
    }
}

pub(super) fn take(dir: &Path) -> Result<Locked, KeysError> {
    Locked::take(dir).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => KeysError::Busy(dir.to_owned()),
        _ => KeysError::Write(dir.to_owned(), error),
    })
}

fn write(
    locked: &Locked,
    dir: &Path,
    algorithm: Algorithm,
) -> Result<(PathBuf, Generated), KeysError> {
    let pair = generate(algorithm).map_err(KeysError::Generate)?;
    let short: String = pair.kid.chars().take(12).collect();
    let name = format!("{}-{short}.pem", algorithm.name().to_ascii_lowercase());
    let path = locked
        .write(&name, pair.private_pem.as_bytes())
        .map_err(|error| KeysError::Write(dir.to_owned(), error))?;
    Ok((path, pair))
}
