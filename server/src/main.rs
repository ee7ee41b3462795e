//! The command `crsqlite-relay`. Reads arguments, starts logging, prints where it listens and stops at a signal;
//! everything else is the library's.

use std::io::Write as _;
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
    // From here on a signal is heard, so whoever reads the line may send one.
    let stop = stop_signal();
    let _ = writeln!(std::io::stdout(), "listening on http://{}", server.address());
    server.run(stop).await
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

/// Listens for SIGTERM and SIGINT from now on; completes at the first.
#[cfg(unix)]
fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [signal(SignalKind::terminate()), signal(SignalKind::interrupt())];
    async move {
        let [terminate, interrupt] = signals;
        tokio::select! {
            () = heard(terminate) => {}
            () = heard(interrupt) => {}
        }
    }
}

#[cfg(unix)]
async fn heard(signal: std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Cannot be heard: the system ends the process instead.
        Err(_) => std::future::pending().await,
    }
}

/// Completes at Ctrl-C.
#[cfg(not(unix))]
async fn stop_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
