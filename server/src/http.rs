//! The routes: the socket, health, the development login, static files. Decides who is let through to which; what
//! happens on a socket is for `socket`. Built by the server at its start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower_http::services::ServeDir;
use tracing::{Instrument as _, Span, info_span};

use crate::accept::body_in_time;
use crate::address::Host;
use crate::auth::{self, Auth};
use crate::clock::now_seconds;
use crate::config::Config;
use crate::door::{Guest, Seat, Turned, Visitor};
use crate::drain::Drain;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::outbox::End;
use crate::pace::Pace;
use crate::places::Places;
use crate::plain::PlainRooms;
use crate::push_pull;
use crate::rate::Rates;
use crate::rooms::Rooms;
use crate::socket;
use crate::status::{self, Readiness};
use crate::upgrade::Upgrade;

/// How long a token of the development login is valid, in seconds.
const DEV_LIFETIME: i64 = 12 * 3_600;
/// Bodies are for the development login alone.
const MAX_BODY: usize = 4 << 10;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) auth: Auth,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) rooms: Arc<Rooms>,
    /// In place of `rooms` where nothing is stored.
    pub(crate) plain: Option<Arc<PlainRooms>>,
    /// One per socket.
    pub(crate) slots: Arc<Semaphore>,
    /// The sockets of each address.
    pub(crate) places: Places<Host>,
    /// What came of each address without a good token.
    pub(crate) refusals: Rates<Host>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) drain: Drain,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Arc<Metrics>,
    /// The number of the next connection.
    pub(crate) next: AtomicU64,
    /// The connections that are still at work.
    pub(crate) connections: TaskTracker,
}

impl App {
    /// The number of a new connection, and the span of what is logged about it.
    pub(crate) fn number(&self) -> (u64, Span) {
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        (connection, info_span!("connection", id = connection, user = tracing::field::Empty))
    }
}

pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = status::health_routes();
    if app.config.metrics_listen.is_none() {
        router = router.merge(status::metrics_route());
    }
    if app.config.secret.dev {
        router = router
            .route("/dev/login", post(log_in).get(log_in_by_query))
            .route("/dev/logout", post(log_out))
            .layer(DefaultBodyLimit::max(MAX_BODY));
    }
    router = router.merge(logs(&app));
    if let Some(directory) = &app.config.r#static {
        let files = Router::new().fallback_service(ServeDir::new(directory)).layer(map_response(as_file));
        router = router.fallback_service(files);
    }
    router
        .layer(from_fn_with_state(Arc::clone(&app), body_in_time))
        .layer(from_fn_with_state(Arc::clone(&app), count))
        .with_state(app)
}

/// Both protocols, also under the name of an application where a path may name one.
fn logs(app: &App) -> Router<Arc<App>> {
    let records = if app.plain.is_none() { push_pull::routes(app) } else { push_pull::absent(app) };
    let logs = Router::new().route("/api/v1/sync", get(sync)).merge(records);
    if app.config.tokens.has_namespaces() { logs.clone().nest("/{namespace}", logs) } else { logs }
}

/// What is asked by those who run the relay, on an address of its own.
pub(crate) fn metrics_router(app: Arc<App>) -> Router {
    status::health_routes().merge(status::metrics_route()).with_state(app)
}

/// Counts by the pattern of the path: what people put into its place is nobody's label.
async fn count(
    State(app): State<Arc<App>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    app.metrics.answered(route, response.status().as_u16());
    response
}

/// The upgrade is always accepted: a browser sees a close code, but never the status of a refused upgrade.
async fn sync(State(app): State<Arc<App>>, visitor: Visitor, upgrade: Upgrade) -> Response {
    let guest = visitor.admit(&app).map_err(Turned::end);
    let admission = guest.and_then(|guest| Ok((guest, visitor.seat(&app)?)));
    open(app, upgrade, admission)
}

/// A socket that only hears why it is closed.
pub(crate) fn closing(app: Arc<App>, upgrade: Upgrade, end: End) -> Response {
    open(app, upgrade, Err(end))
}

fn open(app: Arc<App>, upgrade: Upgrade, admission: Result<(Guest, Seat), End>) -> Response {
    let opening = Arc::clone(&app);
    upgrade.open(&opening.config, admission.is_ok(), move |socket, deflates| {
        let connections = app.connections.clone();
        let (connection, span) = app.number();
        connections.track_future(socket::serve(app, socket, deflates, connection, admission).instrument(span))
    })
}

#[derive(Deserialize)]
struct Login {
    user: String,
    /// The application, where tokens name one.
    namespace: Option<String>,
}

async fn log_in(State(app): State<Arc<App>>, login: Result<Json<Login>, JsonRejection>) -> Response {
    match login {
        Ok(Json(login)) => session(&app, &login),
        Err(rejection) => rejection.into_response(),
    }
}

async fn log_in_by_query(State(app): State<Arc<App>>, Query(login): Query<Login>) -> Response {
    session(&app, &login)
}

fn session(app: &App, Login { user, namespace }: &Login) -> Response {
    match app.auth.token_within(namespace.as_deref(), user, DEV_LIFETIME) {
        Ok(token) => {
            let answer = json!({ "user": user, "expiresAt": (now_seconds() + DEV_LIFETIME) * 1_000 });
            (set_cookie(&token, DEV_LIFETIME), Json(answer)).into_response()
        }
        // A name that no token may carry is told at once.
        Err(error) => {
            let problem = json!({ "error": { "code": error.code(), "message": error.to_string() } });
            (StatusCode::BAD_REQUEST, Json(problem)).into_response()
        }
    }
}

async fn log_out() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, set_cookie("", 0))
}

fn set_cookie(token: &str, lifetime: i64) -> AppendHeaders<[(HeaderName, String); 1]> {
    let cookie = format!("{}={token}; HttpOnly; SameSite=Lax; Path=/; Max-Age={lifetime}", auth::COOKIE);
    AppendHeaders([(SET_COOKIE, cookie)])
}

/// Files are for development and small deployments: a reload always sees what was built last.
async fn as_file(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
