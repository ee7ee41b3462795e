//! The command line and the environment. Decides names, defaults and help of every option; never acts on one.
//! Read by `main`, by tests in the form of arguments, and by every part that has a limit.

mod file;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::file::Invocation;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::address::Network;
use crate::auth::Rules;
use crate::user::is_namespace;

/// The relay of crsqlite-sync: keeps the devices of each user in step, over WebSocket.
///
/// It stores what devices send, so that a device catches up although no other one is online. Users are told apart by
/// the `sub` of a JWT in the cookie `auth_token`.
#[derive(Debug, Clone, Parser)]
#[command(name = "crsqlite-relay", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    pub config: Config,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print a token for a user, signed with the relay's secret.
    Token(TokenArgs),
    /// Print the configuration that flags, environment and file give, without secrets.
    Config(Box<Config>),
    /// Ask the relay that runs with this configuration whether it is ready, for container health checks.
    Ready(Box<Config>),
    /// Look into the logs, beside a running relay and without changing anything: the largest ones, or one user's.
    Inspect(InspectArgs),
    /// Copy the database to a new file, beside a running relay. (PostgreSQL has `pg_dump`.)
    Backup(BackupArgs),
}

#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// The user; without one the largest logs are listed.
    #[arg(long)]
    pub sub: Option<String>,
    /// The user's application.
    #[arg(long, default_value = "", requires = "sub", value_name = "NAME")]
    pub namespace: String,
    /// List what the log holds of this table or collection: keys, columns and versions.
    #[arg(long, requires = "sub", value_name = "TABLE")]
    pub rows: Option<String>,
    /// With the values: what the user has written.
    #[arg(long, requires = "rows")]
    pub values: bool,
    /// How many of the largest logs are listed.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    pub most: u32,
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub storage: Storage,
}

#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The copy: a file that is not there yet.
    pub to: PathBuf,
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub storage: Storage,
}

#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The user.
    #[arg(long)]
    pub sub: String,
    /// The user's application: what the claim says that `--namespace-claim` names.
    #[arg(long, value_name = "NAME", value_parser = application)]
    pub namespace: Option<String>,
    /// How long the token is valid.
    #[arg(long, default_value = "12h", value_parser = humantime::parse_duration)]
    pub lifetime: Duration,
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub storage: Storage,
    #[command(flatten)]
    pub secret: Secret,
    #[command(flatten)]
    pub claims: Claims,
}

#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// Read options from this file (TOML), by the names of their flags. Flags and the environment overrule it.
    #[arg(long, env = "CRSQLITE_RELAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How the relay runs.
#[derive(Debug, Clone, Args)]
pub struct Config {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Address and port to listen on; port 0 takes a free one and prints it.
    #[arg(long, env = "CRSQLITE_RELAY_LISTEN", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub storage: Storage,
    #[command(flatten)]
    pub secret: Secret,
    #[command(flatten)]
    pub tokens: Tokens,
    /// Keep nothing: only pass the messages of a connection on to the user's others, as a plain relay does.
    #[arg(long, env = "CRSQLITE_RELAY_NO_STORE", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_store: bool,
    /// Never compress messages and answers, also for those who would take them so (permessage-deflate, gzip).
    #[arg(long, env = "CRSQLITE_RELAY_NO_COMPRESSION", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_compression: bool,
    /// Serve the files of this directory at `/`.
    #[arg(long, env = "CRSQLITE_RELAY_STATIC", value_name = "DIR")]
    pub r#static: Option<PathBuf>,
    /// Origins of web apps that may connect, besides the relay's own. Repeatable, or separated by commas.
    #[arg(long, env = "CRSQLITE_RELAY_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<String>,
    /// Addresses or networks of proxies, such as 10.0.0.0/8, whose `X-Forwarded-For` says for whom they ask.
    /// Repeatable, or separated by commas.
    #[arg(long, env = "CRSQLITE_RELAY_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxy: Vec<Network>,
    #[command(flatten)]
    pub limits: Limits,
    /// Close a connection that has not sent the head of its request within this time.
    #[arg(long, env = "CRSQLITE_RELAY_HANDSHAKE_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub handshake_timeout: Duration,
    /// Answer a request with 408 whose body has not come within this time.
    #[arg(long, env = "CRSQLITE_RELAY_BODY_TIMEOUT", default_value = "60s", value_parser = humantime::parse_duration)]
    pub body_timeout: Duration,
    /// How often an idle relay repeats its head, so that a device that missed something notices.
    #[arg(long, env = "CRSQLITE_RELAY_HEAD_INTERVAL", default_value = "3m", value_parser = humantime::parse_duration)]
    pub head_interval: Duration,
    /// How often each connection is pinged.
    #[arg(long, env = "CRSQLITE_RELAY_PING_INTERVAL", default_value = "25s", value_parser = humantime::parse_duration)]
    pub ping_interval: Duration,
    /// Close a connection that sends nothing for this long, not even pongs, or takes nothing.
    #[arg(long, env = "CRSQLITE_RELAY_IDLE_TIMEOUT", default_value = "70s", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,
    /// Close a connection to `/sync/ws` that has not said within this time whose it is.
    #[arg(long, env = "CRSQLITE_RELAY_AUTH_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub auth_timeout: Duration,
    /// Serve `/metrics` at this address instead of the main one, together with `/health` and `/ready`.
    #[arg(long, env = "CRSQLITE_RELAY_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub logging: Logging,
    /// Over how long connections are closed at the end, so that they do not all come back at once. A few of them are
    /// closed sooner.
    #[arg(long, env = "CRSQLITE_RELAY_DRAIN_TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub drain_time: Duration,
    /// How long a shutdown may take after that.
    #[arg(long, env = "CRSQLITE_RELAY_SHUTDOWN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub shutdown_timeout: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct Storage {
    /// The database: a file, made if there is none, which one relay uses alone; or the URL of a PostgreSQL database
    /// (`postgres://user@host/name`), which any number of relays may share.
    #[arg(
        long,
        env = "CRSQLITE_RELAY_DATABASE",
        hide_env_values = true,
        value_name = "PATH|URL",
        default_value = "crsqlite-relay.db"
    )]
    pub database: Database,
    /// Connections to PostgreSQL at most, beside the one that listens to the other relays.
    #[arg(long, env = "CRSQLITE_RELAY_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 10)]
    pub database_connections: u32,
}

/// Where the logs are.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    File(PathBuf),
    /// The URL, which may hold a password.
    Postgres(String),
}

impl From<OsString> for Database {
    fn from(text: OsString) -> Self {
        match text.to_str() {
            Some(url) if ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) => {
                Database::Postgres(url.to_owned())
            }
            _ => Database::File(text.into()),
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Database::File(path) => f.debug_tuple("File").field(path).finish(),
            Database::Postgres(_) => f.debug_tuple("Postgres").finish_non_exhaustive(),
        }
    }
}

/// What is written to standard error. Never a token, a secret, a user's name or what a user has written.
#[derive(Debug, Clone, Args)]
pub struct Logging {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,crsqlite_relay=debug`. Without
    /// it `RUST_LOG` counts, and then `info`.
    #[arg(long, env = "CRSQLITE_RELAY_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Lines for people, or one JSON object a line for machines.
    #[arg(long, env = "CRSQLITE_RELAY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where the secret that signs tokens comes from.
#[derive(Clone, Args)]
pub struct Secret {
    /// The secret of the tokens (HS256). Better from the environment or a file: other users can see arguments.
    #[arg(long, env = "CRSQLITE_RELAY_JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<String>,
    /// Read the secret from a file; a line break at its end does not count.
    #[arg(long, env = "CRSQLITE_RELAY_JWT_SECRET_FILE", value_name = "PATH", conflicts_with = "jwt_secret")]
    pub jwt_secret_file: Option<PathBuf>,
    /// For development: anybody may log in as anybody at `/dev/login`. Without a secret one is made and kept in the
    /// database.
    #[arg(long, env = "CRSQLITE_RELAY_DEV", value_parser = clap::builder::FalseyValueParser::new())]
    pub dev: bool,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("dev", &self.dev).finish_non_exhaustive()
    }
}

/// Keys of tokens that somebody else signs, and what tokens have to say.
#[derive(Debug, Clone, Default, Args)]
pub struct Tokens {
    /// A public key that signs tokens, in PEM: RSA for RS256, P-256 for ES256, P-384 for ES384, Ed25519 for EdDSA.
    /// Repeatable, or separated by commas.
    #[arg(long, env = "CRSQLITE_RELAY_JWT_PUBLIC_KEY", value_name = "FILE", value_delimiter = ',')]
    pub jwt_public_key: Vec<PathBuf>,
    /// Public keys that sign tokens, as a JWKS document; a token's `kid` chooses among them.
    #[arg(long, env = "CRSQLITE_RELAY_JWKS", value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// How often the files of keys are looked into: what changed counts from then on, without a restart.
    #[arg(long, env = "CRSQLITE_RELAY_JWT_RELOAD", default_value = "5s", value_parser = humantime::parse_duration)]
    pub jwt_reload: Duration,
    #[command(flatten)]
    pub claims: Claims,
    /// Applications that are served: their users have a log in each. Where tokens name none, a path may, such as
    /// /notes/api/v1/sync, and whoever has a token has a log in each. Repeatable, or separated by commas.
    #[arg(
        long,
        env = "CRSQLITE_RELAY_NAMESPACE",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = application
    )]
    pub namespace: Vec<String>,
}

impl Tokens {
    /// Whether a path may name an application at all.
    pub(crate) fn has_namespaces(&self) -> bool {
        self.claims.namespace_claim.is_some() || !self.namespace.is_empty()
    }

    /// Whether the users of this application have logs here.
    pub(crate) fn serves(&self, namespace: &str) -> bool {
        self.namespace.is_empty() || self.namespace.iter().any(|served| served == namespace)
    }
}

/// What tokens have to say besides their user and their end.
#[derive(Debug, Clone, Default, Args)]
pub struct Claims {
    /// What a token's `iss` has to be. Repeatable, or separated by commas: one of them.
    #[arg(long, env = "CRSQLITE_RELAY_JWT_ISSUER", value_name = "NAME", value_delimiter = ',')]
    pub jwt_issuer: Vec<String>,
    /// What has to be in a token's `aud`. Repeatable, or separated by commas: one of them.
    #[arg(long, env = "CRSQLITE_RELAY_JWT_AUDIENCE", value_name = "NAME", value_delimiter = ',')]
    pub jwt_audience: Vec<String>,
    /// The claim that names the application a token is for, whose users have logs of their own. Each token has to have
    /// it, and a path that names one, such as /notes/api/v1/sync, has to name the same.
    #[arg(long, env = "CRSQLITE_RELAY_NAMESPACE_CLAIM", value_name = "CLAIM")]
    pub namespace_claim: Option<String>,
}

impl Claims {
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            issuers: self.jwt_issuer.clone(),
            audiences: self.jwt_audience.clone(),
            namespace_claim: self.namespace_claim.clone(),
        }
    }
}

/// The name of an application.
fn application(name: &str) -> Result<String, String> {
    if name.is_empty() || !is_namespace(name) {
        return Err("a name has 1 to 64 letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(name.to_owned())
}

/// Bounds on what one user or one connection may cost.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// The largest message that is taken; a larger one closes the connection with 1009.
    #[arg(long, env = "CRSQLITE_RELAY_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value_t = 8 << 20)]
    pub max_message_bytes: usize,
    /// About how large an answer may get before it is cut; at least one row is sent.
    #[arg(long, env = "CRSQLITE_RELAY_ANSWER_BYTES", value_name = "BYTES", default_value_t = 512 << 10)]
    pub answer_bytes: usize,
    /// Records of one push of the push-pull contract; more are refused with 413, or 1009 on a socket.
    #[arg(long, env = "CRSQLITE_RELAY_MAX_PUSH_RECORDS", value_name = "COUNT", default_value_t = 10_000)]
    pub max_push_records: usize,
    /// Records of one page of the push-pull contract, whatever a client asks for.
    #[arg(long, env = "CRSQLITE_RELAY_MAX_PULL_RECORDS", value_name = "COUNT", default_value_t = 1_000)]
    pub max_pull_records: usize,
    /// Connections in all; one more is closed with 1013.
    #[arg(long, env = "CRSQLITE_RELAY_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 20_000)]
    pub max_connections: usize,
    /// Connections of one address; one more is closed with 1013. An office or a mobile network may be one address.
    #[arg(
        long,
        env = "CRSQLITE_RELAY_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "COUNT",
        default_value_t = 1_000
    )]
    pub max_connections_per_address: usize,
    /// Connections of one user; one more is closed with 1013.
    #[arg(long, env = "CRSQLITE_RELAY_MAX_CONNECTIONS_PER_USER", value_name = "COUNT", default_value_t = 32)]
    pub max_connections_per_user: usize,
    /// Messages that may wait for a slow connection; one more closes it with 1013.
    #[arg(long, env = "CRSQLITE_RELAY_QUEUE_MESSAGES", value_name = "COUNT", default_value_t = 1_024)]
    pub queue_messages: usize,
    /// Bytes that may wait for a slow connection; more close it with 1013.
    #[arg(long, env = "CRSQLITE_RELAY_QUEUE_BYTES", value_name = "BYTES", default_value_t = 16 << 20)]
    pub queue_bytes: usize,
    /// Entries and records that one user may keep: about one for each column of each row. What would add more is refused
    /// and stays with the device, which tries again; what replaces or deletes is always taken. 0: any number.
    #[arg(
        long,
        env = "CRSQLITE_RELAY_MAX_ROWS_PER_USER",
        value_name = "COUNT",
        default_value_t = 10_000_000
    )]
    pub max_rows_per_user: u64,
    /// Malformed messages of one connection; one more closes it with 1008.
    #[arg(long, env = "CRSQLITE_RELAY_MAX_MALFORMED", value_name = "COUNT", default_value_t = 100)]
    pub max_malformed: usize,
    /// Messages of one user in a second. Beyond it sockets are read more slowly, and requests answered with 429. 0: any
    /// number.
    #[arg(long, env = "CRSQLITE_RELAY_RATE_MESSAGES", value_name = "COUNT", default_value_t = 500)]
    pub rate_messages: u64,
    /// Bytes of one user in a second, likewise. 0: any number.
    #[arg(long, env = "CRSQLITE_RELAY_RATE_BYTES", value_name = "BYTES", default_value_t = 8 << 20)]
    pub rate_bytes: u64,
    /// What is allowed in this time may also come at once.
    #[arg(long, env = "CRSQLITE_RELAY_RATE_BURST", default_value = "10s", value_parser = humantime::parse_duration)]
    pub rate_burst: Duration,
    /// Close a connection with 4429 that has sent more than the rate without a break for this long.
    #[arg(long, env = "CRSQLITE_RELAY_RATE_PATIENCE", default_value = "2m", value_parser = humantime::parse_duration)]
    pub rate_patience: Duration,
    /// Attempts without a good token that one address has in a minute; more are closed with 4429 or answered with 429. Good
    /// tokens of that address pass. 0: any number.
    #[arg(long, env = "CRSQLITE_RELAY_RATE_REFUSALS", value_name = "COUNT", default_value_t = 120)]
    pub rate_refusals: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_defaults_are_read() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["crsqlite-relay", "--dev"]).unwrap();
        assert_eq!(cli.config.listen.to_string(), "127.0.0.1:8787");
        assert_eq!(cli.config.head_interval, Duration::from_secs(180));
        assert_eq!(cli.config.limits.max_message_bytes, 8 * 1024 * 1024);
    }

    #[test]
    fn the_secret_never_stands_in_a_debug_print() {
        let cli = Cli::try_parse_from(["crsqlite-relay", "--jwt-secret", "hush"]).unwrap();
        assert!(!format!("{cli:?}").contains("hush"));
    }

    #[test]
    fn every_option_can_be_set_in_the_environment() {
        for argument in
            Cli::command().get_arguments().filter(|a| !["help", "version"].contains(&a.get_id().as_str()))
        {
            let name = format!("CRSQLITE_RELAY_{}", argument.get_id().as_str().to_uppercase());
            assert_eq!(argument.get_env().and_then(|env| env.to_str()), Some(name.as_str()));
        }
    }
}
