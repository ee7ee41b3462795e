//! What can fail in the relay. Decides the stable code of each failure and whether trying again may help; never
//! carries a token, a secret or a value of a user.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::BadKeys;

/// Why the relay cannot start, or could not do what a message asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// What was to be written together, and was not.
    #[error("the database failed: {0}")]
    Commit(Arc<sqlx::Error>),
    #[error("{} is a database of something else", .0.display())]
    ForeignDatabase(PathBuf),
    #[error("the database has format {0}, which a later version of the relay made")]
    NewerDatabase(i64),
    #[error(
        "the database has format {0}: an earlier version of the relay made it, and a start of this one brings it up"
    )]
    OlderDatabase(i64),
    #[error("the database holds no logs of a relay")]
    NoLogs,
    #[error("\"{0}\" is no name of a namespace")]
    BadNamespace(String),
    #[error("the log holds an entry that cannot be read: {0}")]
    CorruptLog(&'static str),
    #[error("cannot back up to {}: {source}", path.display())]
    Backup { path: PathBuf, source: io::Error },
    #[error("the logs are in PostgreSQL, and pg_dump copies them")]
    NoFile,
    #[error("no relay at {0} says that it is ready")]
    NotReady(SocketAddr),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    #[error("this relay stores nothing")]
    NotStored,
    #[error("a key is required: --jwt-secret-file, --jwt-secret, --jwt-public-key, --jwks or --dev")]
    NoSecret,
    #[error("cannot read the secret from {}: {source}", path.display())]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("cannot read keys from {}: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("{} cannot be used: {reason}", path.display())]
    BadKeys { path: PathBuf, reason: BadKeys },
    #[error("the secret is empty")]
    EmptySecret,
    #[error("a token cannot be made: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("no token may say this: {0}")]
    NoToken(&'static str),
    #[error("{} is no directory", .0.display())]
    StaticDirectory(PathBuf),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the operating system has no randomness: {0}")]
    Random(#[from] getrandom::Error),
    #[error("serving stopped: {0}")]
    Serve(tokio::task::JoinError),
    #[error("{0} is no filter of the log")]
    LogFilter(String),
    #[error("ended at once by a second signal")]
    Interrupted,
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Retryable,
    /// Somebody has to change the configuration.
    Configuration,
    /// The relay cannot go on with this storage or this machine.
    Fatal,
}

impl Error {
    /// The stable kebab-case code; of a failing message it travels in `sync_error`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Error::Database(_) | Error::Commit(_) | Error::CorruptLog(_) => "storage-failed",
            Error::ForeignDatabase(_) => "foreign-database",
            Error::NewerDatabase(_) => "newer-database",
            Error::OlderDatabase(_) => "older-database",
            Error::NoLogs => "no-logs",
            Error::BadNamespace(_) => "bad-namespace",
            Error::Backup { .. } => "backup-failed",
            Error::NoFile => "no-file",
            Error::NotReady(_) => "not-ready",
            Error::Output(_) => "output-failed",
            Error::NotStored => "not-stored",
            Error::NoSecret => "no-secret",
            Error::SecretFile { .. } => "secret-unreadable",
            Error::KeyFile { .. } => "keys-unreadable",
            Error::BadKeys { .. } => "keys-unusable",
            Error::EmptySecret => "secret-empty",
            Error::Token(_) => "token-failed",
            Error::NoToken(_) => "bad-user",
            Error::StaticDirectory(_) => "static-directory-missing",
            Error::Listen { .. } => "listen-failed",
            Error::Random(_) => "no-randomness",
            Error::Serve(_) => "serve-failed",
            Error::LogFilter(_) => "bad-log-filter",
            Error::Interrupted => "interrupted",
        }
    }

    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Database(_) | Error::Commit(_) | Error::NotReady(_) => ErrorKind::Retryable,
            Error::ForeignDatabase(_)
            | Error::OlderDatabase(_)
            | Error::NoLogs
            | Error::BadNamespace(_)
            | Error::NotStored
            | Error::Output(_)
            | Error::Backup { .. }
            | Error::NoFile
            | Error::NoSecret
            | Error::SecretFile { .. }
            | Error::KeyFile { .. }
            | Error::BadKeys { .. }
            | Error::EmptySecret
            | Error::NoToken(_)
            | Error::StaticDirectory(_)
            | Error::LogFilter(_)
            | Error::Listen { .. } => ErrorKind::Configuration,
            Error::NewerDatabase(_)
            | Error::CorruptLog(_)
            | Error::Token(_)
            | Error::Random(_)
            | Error::Interrupted
            | Error::Serve(_) => ErrorKind::Fatal,
        }
    }
}
