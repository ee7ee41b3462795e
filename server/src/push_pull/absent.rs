//! What `/sync` is where nothing is stored. Decides that whoever asks is told so, in the words of the endpoints that are not
//! there, and does not come back for it; never looks who asks. Mounted by `http` in place of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use crsqlite_sync::wire::CloseCode;

use super::refused::Refused;
use crate::door::cors;
use crate::http::{App, closing};
use crate::outbox::End;
use crate::upgrade::Upgrade;

const NOTHING: &str = "this relay stores nothing";

pub(crate) fn absent(app: &App) -> Router<Arc<App>> {
    Router::new()
        .route("/sync", any(refuse))
        .route("/sync/push", any(refuse))
        .route("/sync/pull", any(refuse))
        .route("/sync/ws", get(close))
        .layer(cors(&app.config))
}

async fn refuse() -> Response {
    Refused::new(StatusCode::NOT_IMPLEMENTED, "not-stored", NOTHING).into_response()
}

async fn close(State(app): State<Arc<App>>, upgrade: Upgrade) -> Response {
    closing(app, upgrade, End::new(CloseCode::POLICY_VIOLATION, NOTHING))
}
