//! The contract over HTTP: `/sync` and what lies below it. Decides who is let in and what a request may cost before it is
//! read; what a push or a pull does is `exchange`'s. Mounted by `http`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query as Address, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::decompression::RequestDecompressionLayer;

use super::batch::{self, BadPush, Sent};
use super::live;
use super::query::Query;
use super::refused::{Refused, SOON};
use crate::deflate::{LEVEL, WORTH_BYTES};
use crate::door::{Turned, Visitor, cors};
use crate::heavy::{self, HEAVY_BYTES};
use crate::http::App;
use crate::room::Room;

pub(crate) fn routes(app: &App) -> Router<Arc<App>> {
    let mut exchange =
        Router::new().route("/sync/push", post(push)).route("/sync/pull", post(pull).get(pull_by_address));
    if !app.config.no_compression {
        // A body is counted as it is read, inflated.
        exchange = exchange.route_layer(RequestDecompressionLayer::new()).route_layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Precise(LEVEL.cast_signed()))
                .compress_when(SizeAbove::new(WORTH_BYTES as u64)),
        );
    }
    exchange
        .route("/sync", head(ping))
        .route("/sync/ws", get(live::upgrade))
        .layer(DefaultBodyLimit::max(app.config.limits.max_message_bytes))
        .layer(cors(&app.config))
        .layer(map_response(async |mut response: Response| {
            // What a user holds belongs into no cache on the way.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }))
}

async fn ping(State(app): State<Arc<App>>, visitor: Visitor) -> Result<StatusCode, Response> {
    if app.drain.has_begun() {
        return Err(Refused::overloaded().into_response());
    }
    visitor.admit(&app).map(|_| StatusCode::OK).map_err(Turned::into_response)
}

async fn push(State(app): State<Arc<App>>, call: Call, body: JsonText) -> Result<Response, Refused> {
    call.pay(&app, body.0.len())?;
    let batch = read(&app, body.0).await?;
    // A client that goes away does not stop what is being stored half way.
    let stored = app.connections.spawn(async move {
        let stored = call.room.take_push(None, batch).await;
        stored.map_err(|error| {
            call.room.failed(&error, "a push could not be stored");
            Refused::failed(&error)
        })
    });
    let result = stored.await.map_err(|_| Refused::overloaded())??;
    Ok(json(result.to_json()))
}

async fn pull(
    State(app): State<Arc<App>>,
    call: Call,
    address: Result<Address<Vec<(String, String)>>, QueryRejection>,
    body: JsonText,
) -> Result<Response, Refused> {
    call.pay(&app, body.0.len())?;
    let most = app.config.limits.max_pull_records;
    let mut query = Query::from_json(&body.0, most)?;
    if query.cursor.is_none() {
        // The contract's transport says it in both places.
        query.cursor = Query::from_pairs(parameters(address)?, most)?.cursor;
    }
    answer(&call, &query).await
}

async fn pull_by_address(
    State(app): State<Arc<App>>,
    call: Call,
    address: Result<Address<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Refused> {
    call.pay(&app, 0)?;
    let query = Query::from_pairs(parameters(address)?, app.config.limits.max_pull_records)?;
    answer(&call, &query).await
}

fn parameters(
    address: Result<Address<Vec<(String, String)>>, QueryRejection>,
) -> Result<Vec<(String, String)>, Refused> {
    address.map(|Address(pairs)| pairs).map_err(|_| Refused::malformed("the address cannot be read"))
}

async fn answer(call: &Call, query: &Query) -> Result<Response, Refused> {
    let pulling = call.room.pull(query);
    call.room.metrics.answer.measure(pulling).await.map(json).map_err(|error| {
        call.room.failed(&error, "a pull could not be answered");
        Refused::failed(&error)
    })
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// Reads a push. A large one takes a while, in which nobody else is to wait: the threads that serve sockets are few.
pub(super) async fn read(app: &App, text: String) -> Result<Vec<Sent>, BadPush> {
    let most = app.config.limits.max_push_records;
    if text.len() < HEAVY_BYTES {
        return batch::read(&text, most);
    }
    let read = heavy::run(move || batch::read(&text, most)).await;
    read.unwrap_or_else(|| Err(BadPush::Malformed("it cannot be read".to_owned())))
}

/// A request of a user who was let in, until it is answered.
struct Call {
    room: Arc<Room>,
    _turn: OwnedSemaphorePermit,
}

impl Call {
    /// Counts what the user asks for, or says when that is too much.
    fn pay(&self, app: &App, bytes: usize) -> Result<(), Refused> {
        app.pace.request(&self.room.user.owner, bytes, Instant::now()).map_err(|wait| {
            app.metrics.limited("rate");
            Refused::too_many_requests(wait)
        })
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        if app.drain.has_begun() {
            return Err(Refused::overloaded().into_response());
        }
        let Ok(visitor) = Visitor::from_request_parts(parts, app).await;
        let guest = visitor.admit(app).map_err(Turned::into_response)?;
        let room = app.rooms.room(&guest.owner);
        let turn = Arc::clone(&room.calls).try_acquire_owned().map_err(|_| {
            app.metrics.limited("requests-per-user");
            Refused::too_many_requests(SOON).into_response()
        })?;
        Ok(Call { room, _turn: turn })
    }
}

/// A body of JSON, as text.
struct JsonText(String);

impl FromRequest<Arc<App>> for JsonText {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refused> {
        // No page can send this type to another origin unasked.
        if !request.headers().get(CONTENT_TYPE).is_some_and(is_json) {
            return Err(Refused::not_json());
        }
        let bytes = Bytes::from_request(request, app).await.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(failed)
                if failed.status() == StatusCode::PAYLOAD_TOO_LARGE =>
            {
                Refused::too_large(format!("at most {} bytes are taken", app.config.limits.max_message_bytes))
            }
            _ => Refused::malformed("the body has broken off"),
        })?;
        String::from_utf8(bytes.into()).map(JsonText).map_err(|_| Refused::malformed("the body is not UTF-8"))
    }
}

fn is_json(value: &HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
