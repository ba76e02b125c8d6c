//! A name and an expiry come in, a token that nobody else can make goes out; and back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lift::clock::Timestamp;

const SECRET_BYTES: usize = 32;
/// Keeps a tag from meaning anything elsewhere.
const CONTEXT: &str = "lift result v1";

/// A token that is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// It was good once: 410.
    #[error("the result's URL has expired")]
    Expired,
    /// It is none of ours, or what it stands for is gone: 404.
    #[error("there is no such result")]
    Invalid,
}

#[derive(Debug)]
pub(super) struct Signer(hmac::Key);

impl Signer {
    /// Reads the secret, first making it where there is none. The store's lock on the data
    /// directory keeps a second process from doing the same.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let secret = match fs::read(path) {
            Ok(secret) if secret.len() == SECRET_BYTES => secret,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "not a result key",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(error),
        };
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    pub(super) fn sign(&self, name: &str, expires_at: Timestamp) -> String {
        let expires_ms = expires_at.as_millis();
        let tag = hmac::sign(&self.0, signed(name, expires_ms).as_bytes());
        let body = URL_SAFE_NO_PAD.encode(name);
        format!("{body}.{expires_ms}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Result<String, ResultError> {
        let (name, expires_ms) = self.read(token).ok_or(ResultError::Invalid)?;
        if now.as_millis() >= expires_ms {
            Err(ResultError::Expired)
        } else {
            Ok(name)
        }
    }

    fn read(&self, token: &str) -> Option<(String, u64)> {
        let (body, tag) = token.rsplit_once('.')?;
        let (name, expires_ms) = body.split_once('.')?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        let expires_ms = expires_ms.parse().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, signed(&name, expires_ms).as_bytes(), &tag).ok()?;
        Some((name, expires_ms))
    }
}

fn signed(name: &str, expires_ms: u64) -> String {
    format!("{CONTEXT}\0{name}\0{expires_ms}")
}

fn make(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = vec![0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(io::Error::other)?;
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::{ResultError, Signer};
    use lift::clock::Timestamp;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_token_is_good_for_its_name_until_it_expires_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".key");
        let token = Signer::open(&path).unwrap().sign("a.json", at(1_000));
        let signer = Signer::open(&path).unwrap();
        assert_eq!(signer.verify(&token, at(999)), Ok("a.json".to_owned()));
        assert_eq!(signer.verify(&token, at(1_000)), Err(ResultError::Expired));
    }

    #[test]
    fn what_this_secret_did_not_sign_is_invalid() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(&dir.path().join(".key")).unwrap();
        let other = Signer::open(&dir.path().join("other")).unwrap();
        let token = signer.sign("a.json", at(1_000));
        let later = token.replace(".1000.", ".9000.");
        assert_ne!(later, token);
        for bad in [
            "",
            ".",
            "..",
            "a.b.c",
            &later,
            &other.sign("a.json", at(1_000)),
        ] {
            assert_eq!(
                signer.verify(bad, at(0)),
                Err(ResultError::Invalid),
                "{bad}"
            );
        }
    }
}
