//! The command `crsqlite-relay`. Reads arguments, starts logging, prints where it listens and stops at a signal;
//! everything else is the library's.

use std::io::{BufWriter, ErrorKind, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use crsqlite_relay::auth::{Auth, Source};
use crsqlite_relay::backup::back_up;
use crsqlite_relay::config::{
    BackupArgs, Command, Config, Database, InspectArgs, Invocation, LogFormat, Logging, TokenArgs,
};
use crsqlite_relay::descriptors::raise_limit;
use crsqlite_relay::inspect::{self, Listing};
use crsqlite_relay::user::Owner;
use crsqlite_relay::{Error, Server, dev_secret, given_secret, open_log, open_view};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let Invocation { cli, effective } = match Invocation::read(std::env::args_os()) {
        Ok(read) => read,
        Err(error) => error.exit(),
    };
    let done = match cli.command {
        None => serve(cli.config).await,
        Some(Command::Token(arguments)) => print_token(arguments).await,
        Some(Command::Backup(BackupArgs { to, storage, .. })) => match storage.database {
            Database::File(path) => back_up(&path, &to).await,
            Database::Postgres(_) => Err(Error::NoFile),
        },
        Some(Command::Inspect(arguments)) => look_into(arguments).await,
        Some(Command::Ready(config)) => ask_ready(&config).await,
        Some(Command::Config(_)) => {
            print!("{effective}");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crsqlite-relay: {error} ({})", error.code());
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal, and then until everybody has left, or until a second one.
async fn serve(config: Config) -> Result<(), Error> {
    start_logging(&config.logging)?;
    raise_limit(&config);
    let server = Server::bind(config).await?;
    // From here on a signal is heard, so whoever reads the line may send one.
    let mut signals = Signals::listen();
    let _ = writeln!(std::io::stdout(), "listening on http://{}", server.address());
    if let Some(address) = server.metrics_address() {
        let _ = writeln!(std::io::stdout(), "metrics on http://{address}/metrics");
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let watch = async {
        signals.next().await;
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        served = server.run(async { drop(stopped.await) }) => served,
        // Whatever was acknowledged is on the disk.
        () = watch => Err(Error::Interrupted),
    }
}

fn start_logging(logging: &Logging) -> Result<(), Error> {
    let filter = logging.log.clone().or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_default();
    let filter = if filter.is_empty() { "info".to_owned() } else { filter };
    let filter = EnvFilter::try_new(&filter).map_err(|_| Error::LogFilter(filter))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match logging.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn look_into(arguments: InspectArgs) -> Result<(), Error> {
    let mut view = open_view(&arguments.storage).await?;
    let mut out = BufWriter::new(std::io::stdout());
    let told = match arguments.sub {
        Some(sub) => {
            let namespace = arguments.namespace;
            let owner = Owner::within(&namespace, &sub).ok_or(Error::BadNamespace(namespace))?;
            let listing = Listing { table: arguments.rows, values: arguments.values };
            inspect::user(&mut *view, &owner, &listing, &mut out).await
        }
        None => inspect::users(&mut *view, arguments.most, &mut out).await,
    };
    match told.and_then(|()| Ok(out.flush()?)) {
        // Whoever reads has read enough.
        Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

/// Asks `/ready` of a relay on this machine.
async fn ask_ready(config: &Config) -> Result<(), Error> {
    const PATIENCE: Duration = Duration::from_secs(4);
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200 ") => Ok(()),
        _ => Err(Error::NotReady(address)),
    }
}

async fn print_token(arguments: TokenArgs) -> Result<(), Error> {
    let secret = match given_secret(&arguments.secret)? {
        Some(given) => given,
        None => {
            let log = open_log(&arguments.storage, None).await?;
            let secret = dev_secret(&*log).await?;
            log.close().await;
            secret
        }
    };
    let lifetime = i64::try_from(arguments.lifetime.as_secs()).unwrap_or(i64::MAX);
    let auth = Auth::open(Source { secret: Some(secret), ..Source::default() }, arguments.claims.rules())?;
    let token = auth.token_within(arguments.namespace.as_deref(), &arguments.sub, lifetime)?;
    println!("{token}");
    Ok(())
}

/// SIGTERM and SIGINT, heard from [`Signals::listen`] on; elsewhere Ctrl-C.
#[cfg(unix)]
struct Signals {
    terminate: std::io::Result<tokio::signal::unix::Signal>,
    interrupt: std::io::Result<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Signals { terminate: signal(SignalKind::terminate()), interrupt: signal(SignalKind::interrupt()) }
    }

    async fn next(&mut self) {
        tokio::select! {
            () = heard(&mut self.terminate) => {}
            () = heard(&mut self.interrupt) => {}
        }
    }
}

#[cfg(unix)]
async fn heard(signal: &mut std::io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => {
            signal.recv().await;
        }
        // Cannot be heard: the system ends the process instead.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Signals
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
