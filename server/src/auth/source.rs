//! Where keys come from: a secret that stays, and files that may change while the relay runs. Decides that a file which
//! cannot be used changes nothing. Read by `auth` at the start and every few seconds after it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::auth::keys::{BadKeys, Keys};
use crate::error::Error;

/// More is no file of keys.
const MOST_BYTES: u64 = 1 << 20;

/// The files of the configuration, and the secret, if there is one.
#[derive(Clone, Default)]
pub struct Source {
    /// For HS256.
    pub secret: Option<Vec<u8>>,
    /// Each one public key.
    pub pem: Vec<PathBuf>,
    pub jwks: Option<PathBuf>,
}

/// What the files hold, byte by byte: a date may lie, and the files are small.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Contents {
    pem: Vec<Vec<u8>>,
    jwks: Option<Vec<u8>>,
}

impl Source {
    pub(super) fn has_files(&self) -> bool {
        !self.pem.is_empty() || self.jwks.is_some()
    }

    pub(super) fn read(&self) -> Result<Contents, Error> {
        let pem = self.pem.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let jwks = self.jwks.as_deref().map(read).transpose()?;
        Ok(Contents { pem, jwks })
    }

    /// All keys, of files with these contents.
    pub(super) fn keys(&self, contents: &Contents) -> Result<Keys, Error> {
        let mut keys = self.secret.as_deref().map(Keys::from_secret).unwrap_or_default();
        for (path, pem) in self.pem.iter().zip(&contents.pem) {
            keys = keys.and(Keys::from_pem(pem).map_err(|reason| bad(path, reason))?);
        }
        if let (Some(path), Some(jwks)) = (&self.jwks, &contents.jwks) {
            keys = keys.and(Keys::from_jwks(jwks).map_err(|reason| bad(path, reason))?);
        }
        Ok(keys)
    }
}

fn bad(path: &Path, reason: BadKeys) -> Error {
    Error::BadKeys { path: path.to_owned(), reason }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let done = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    done.map_err(|source: io::Error| Error::KeyFile { path: path.to_owned(), source })?;
    Ok(bytes)
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("pem", &self.pem).field("jwks", &self.jwks).finish_non_exhaustive()
    }
}
