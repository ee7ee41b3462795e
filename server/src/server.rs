//! A relay from start to end: opens the log, listens, and shuts down without losing what it acknowledged.
//! Decides the order of these steps. Run by `main`, and by tests inside their own process.

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crsqlite_sync::wire::Run;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::accept;
use crate::auth::{Auth, Source};
use crate::config::{Config, Database, Secret, Storage};
use crate::drain::Drain;
use crate::error::Error;
use crate::http::{self, App};
use crate::log::{Log, NoLog, PostgresLog, PostgresView, SqliteLog, SqliteView, View};
use crate::metrics::Metrics;
use crate::outbox::Bound;
use crate::pace::Pace;
use crate::places::Places;
use crate::plain::PlainRooms;
use crate::pushes;
use crate::rate::{Rate, Rates};
use crate::room::Portions;
use crate::rooms::Rooms;
use crate::status::Readiness;

/// A shorter secret of tokens can be guessed.
const STRONG_SECRET_BYTES: usize = 32;
const MINUTE: Duration = Duration::from_secs(60);

/// A relay that listens, and serves once it is run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    /// Of the metrics, where they have an address of their own.
    metrics: Option<(TcpListener, SocketAddr)>,
    app: Arc<App>,
}

impl Server {
    /// Opens the database and listens.
    ///
    /// # Errors
    /// Whatever of the configuration does not hold.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        if let Some(directory) = config.r#static.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(Error::StaticDirectory(directory.clone()));
        }
        let log: Arc<dyn Log> = if config.no_store {
            Arc::new(NoLog)
        } else {
            let most_rows = Some(config.limits.max_rows_per_user).filter(|most| *most > 0);
            open_log(&config.storage, most_rows).await?
        };
        let (pem, jwks) = (config.tokens.jwt_public_key.clone(), config.tokens.jwks.clone());
        let elsewhere = !pem.is_empty() || jwks.is_some();
        let secret = token_secret(&config.secret, elsewhere, log.as_ref()).await?;
        let auth = Auth::open(Source { secret, pem, jwks }, config.tokens.claims.rules())?;
        let run = Run::from_random(getrandom::u64()?);
        let log_secret = log.secret("log").await?;
        let metrics = Arc::new(Metrics::new());
        let rooms = Rooms::new(
            Arc::clone(&log),
            log_secret,
            run,
            Portions {
                answer_bytes: config.limits.answer_bytes,
                together: pushes::together(Bound::of(&config.limits)),
            },
            config.head_interval,
            Arc::clone(&metrics),
        );
        let (listener, address) = listen(config.listen).await?;
        let own = match config.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        if config.secret.dev && !address.ip().is_loopback() {
            warn!(%address, "--dev lets anybody who can reach this address log in as anybody");
        }
        let app = App {
            auth,
            log,
            rooms,
            plain: config.no_store.then(|| PlainRooms::new(Arc::clone(&metrics))),
            slots: Arc::new(Semaphore::new(config.limits.max_connections.min(Semaphore::MAX_PERMITS))),
            places: Places::new(config.limits.max_connections_per_address),
            refusals: Rates::new(Rate { amount: config.limits.rate_refusals, per: MINUTE, burst: MINUTE }),
            pace: Arc::new(Pace::new(&config.limits)),
            drain: Drain::default(),
            readiness: Readiness::default(),
            metrics,
            next: AtomicU64::new(0),
            connections: TaskTracker::new(),
            config,
        };
        Ok(Server { listener, address, metrics: own, app: Arc::new(app) })
    }

    /// Where it listens; the real port if any was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are, if that is an address of their own.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `stop` completes. Then lets nobody in, closes every connection in its turn, finishes what they are
    /// committing, and closes the log, all within the configured times.
    ///
    /// # Errors
    /// When the task that takes connections has panicked.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let Server { listener, metrics, app, .. } = self;
        let shutdown = CancellationToken::new();
        if let Some((listener, _)) = metrics {
            let serving = axum::serve(listener, http::metrics_router(Arc::clone(&app)));
            tokio::spawn(serving.with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future());
        }
        if app.auth.has_files() {
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(follow_keys(Arc::clone(&app))));
        }
        let following = Arc::clone(&app.rooms).follow_others();
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(following));
        let router = http::router(Arc::clone(&app));
        let mut serving = tokio::spawn(accept::serve(listener, Arc::clone(&app), router, shutdown.clone()));
        tokio::select! {
            // It ends by itself only when it has panicked: whoever watches over the relay starts it anew.
            ended = &mut serving => return ended.map_err(Error::Serve),
            () = stop => {}
        }
        let spread = app.drain.begin(app.connections.len(), app.config.drain_time);
        info!(connections = app.connections.len(), ?spread, "shutting down");
        app.connections.close();
        // Whoever comes now is still told to come later.
        sleep(spread).await;
        shutdown.cancel();
        let finish = async {
            app.connections.wait().await;
            let served = serving.await.map_err(Error::Serve);
            app.log.close().await;
            served
        };
        tokio::time::timeout(app.config.shutdown_timeout, finish).await.unwrap_or_else(|_| {
            warn!("some connections did not end in time");
            Ok(())
        })
    }
}

/// The logs of this configuration.
///
/// # Errors
/// When the database cannot be opened.
pub async fn open_log(storage: &Storage, most_rows: Option<u64>) -> Result<Arc<dyn Log>, Error> {
    Ok(match &storage.database {
        Database::File(path) => Arc::new(SqliteLog::open_within(path, most_rows).await?),
        Database::Postgres(url) => {
            Arc::new(PostgresLog::open(url, storage.database_connections, most_rows).await?)
        }
    })
}

/// The logs of this configuration, only to look at them.
///
/// # Errors
/// When there are none, or they cannot be read.
pub async fn open_view(storage: &Storage) -> Result<Box<dyn View>, Error> {
    Ok(match &storage.database {
        Database::File(path) => Box::new(SqliteView::open(path).await?),
        Database::Postgres(url) => Box::new(PostgresView::open(url).await?),
    })
}

/// So many may come at once, where the system allows it: after a restart all devices do. One more waits for a second.
const BACKLOG: u32 = 4_096;

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        // A relay that starts again takes the port of the one before. Elsewhere this would let others take it, too.
        if cfg!(unix) {
            socket.set_reuseaddr(true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    });
    let listener = bound.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The secret that signs tokens: the given one, or in development one that is made and lives with the logs. There need
/// not be one if somebody else signs.
async fn token_secret(secret: &Secret, elsewhere: bool, log: &dyn Log) -> Result<Option<Vec<u8>>, Error> {
    match given_secret(secret) {
        Ok(Some(given)) => Ok(Some(given)),
        Ok(None) => dev_secret(log).await.map(Some),
        Err(Error::NoSecret) if elsewhere => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps the keys of tokens as the files have them.
async fn follow_keys(app: Arc<App>) {
    let every = app.config.tokens.jwt_reload.max(Duration::from_millis(10));
    let mut last = String::new();
    loop {
        tokio::time::sleep(every).await;
        match app.auth.reload() {
            Ok(true) => info!("the keys of tokens have changed"),
            Ok(false) => continue,
            // A file that stays away is told once.
            Err(error) if error.to_string() == last => continue,
            Err(error) => {
                error!(%error, "the keys of tokens stay as they were");
                last = error.to_string();
                continue;
            }
        }
        last.clear();
    }
}

/// The secret of the configuration. None in development if there is none.
///
/// # Errors
/// When there has to be one and there is none, or its file cannot be read.
pub fn given_secret(secret: &Secret) -> Result<Option<Vec<u8>>, Error> {
    let given = match (&secret.jwt_secret, &secret.jwt_secret_file) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(path)) => {
            let text =
                std::fs::read(path).map_err(|source| Error::SecretFile { path: path.clone(), source })?;
            text.trim_ascii_end().to_vec()
        }
        (None, None) if secret.dev => return Ok(None),
        (None, None) => return Err(Error::NoSecret),
    };
    if given.len() < STRONG_SECRET_BYTES {
        warn!("the secret is shorter than {STRONG_SECRET_BYTES} bytes: tokens can be forged by guessing it");
    }
    Ok(Some(given))
}

/// The secret of the development login, which lives with the logs so that tokens survive a restart.
///
/// # Errors
/// When the storage fails.
pub async fn dev_secret(log: &dyn Log) -> Result<Vec<u8>, Error> {
    log.secret("dev-token").await
}
