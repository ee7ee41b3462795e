//! The command `crsqlite-relay`. Reads arguments, starts logging, prints where it listens and stops at a signal;
//! everything else is the library's.

use std::process::ExitCode;

use clap::Parser as _;
use crsqlite_relay::auth::Auth;
use crsqlite_relay::config::{Cli, Command, Config, TokenArgs};
use crsqlite_relay::log::{Log as _, SqliteLog};
use crsqlite_relay::{Error, Server, dev_secret, given_secret};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("CRSQLITE_RELAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match cli.command {
        None => serve(cli.config).await,
        Some(Command::Token(arguments)) => print_token(arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crsqlite-relay: {error} ({})", error.code());
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), Error> {
    let server = Server::bind(config).await?;
    println!("listening on http://{}", server.address());
    server.run(signal()).await
}

async fn print_token(arguments: TokenArgs) -> Result<(), Error> {
    let secret = match given_secret(&arguments.secret)? {
        Some(given) => given,
        None => {
            let log = SqliteLog::open(&arguments.storage.database).await?;
            let secret = dev_secret(&log).await?;
            log.close().await;
            secret
        }
    };
    let lifetime = i64::try_from(arguments.lifetime.as_secs()).unwrap_or(i64::MAX);
    println!("{}", Auth::new(&secret)?.token_from_now(&arguments.sub, lifetime)?);
    Ok(())
}

/// Completes at SIGTERM or SIGINT.
async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
