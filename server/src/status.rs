//! How the relay is: alive, ready, what it has counted. Decides what "ready" means; never names a user.
//! Routed by `http` on the main address, and by `server` on one of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::http::App;
use crate::metrics;
use crate::user::Owner;

/// Whoever asks whether the relay is ready does not wait for long.
const STORAGE_DEADLINE: Duration = Duration::from_secs(2);

/// What was found counts for so long: whoever asks often does not make the storage work.
const FRESH: Duration = Duration::from_millis(200);

/// What was found last, and when. Who asks meanwhile waits for the same answer.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

/// Whether the process lives, and whether it should be given work.
pub(crate) fn health_routes() -> Router<Arc<App>> {
    Router::new().route("/health", get(health)).route("/ready", get(ready))
}

pub(crate) fn metrics_route() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(counters))
}

/// The process lives; nothing else is asked.
async fn health() -> impl IntoResponse {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// The relay takes connections, and its storage answers.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let (status, word) = if app.drain.has_begun() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if storage_answers(&app).await {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "storage-failed")
    };
    (status, [(CACHE_CONTROL, "no-store")], Json(json!({ "status": word }))).into_response()
}

async fn storage_answers(app: &App) -> bool {
    let mut known = app.readiness.0.lock().await;
    if let Some((at, answers)) = *known
        && at.elapsed() < FRESH
    {
        return answers;
    }
    let answers = ask_storage(app).await;
    *known = Some((Instant::now(), answers));
    answers
}

async fn ask_storage(app: &App) -> bool {
    // Nobody has this name, so there is little to read.
    match timeout(STORAGE_DEADLINE, app.log.clock(&Owner::of(""))).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            app.metrics.storage_failed();
            warn!(%error, "the storage fails");
            false
        }
        Err(_) => {
            app.metrics.storage_failed();
            warn!("the storage does not answer");
            false
        }
    }
}

async fn counters(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")], app.metrics.text())
}
