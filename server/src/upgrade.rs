//! From a request to a socket. Decides how large what a socket reads may be and whether its messages may be deflated; what a
//! request has to say to be an upgrade is axum's to judge, frames are tungstenite's. Used by `http` and the endpoints.

use std::future::Future;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use crate::config::Config;
use crate::deflate::{ACCEPTED, Inflating, is_offered};

/// The socket itself takes this many times what is allowed, so that a message which is too big is read and refused
/// with 1009 instead of breaking the connection.
const READABLE: usize = 2;
/// Most connections are idle, and each has this buffer all the time; a large message gets another.
const READ_BYTES: usize = 4 << 10;
/// What is written at once. A socket keeps that much room, and for the largest frame, once it has written something.
pub(crate) const WRITE_BYTES: usize = 8 << 10;

/// An open socket.
pub(crate) type Socket = WebSocketStream<Inflating<TokioIo<Upgraded>>>;

/// A request that asks for a socket.
pub(crate) struct Upgrade {
    upgraded: OnUpgrade,
    accept: HeaderValue,
    offers_deflate: bool,
}

/// Whether both sides may deflate messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deflates(pub(crate) bool);

impl Upgrade {
    /// Opens the socket, for somebody who was let in or for nobody. Only whoever was let in may send what becomes larger
    /// than it is.
    pub(crate) fn open<F>(
        self,
        config: &Config,
        is_let_in: bool,
        serve: impl FnOnce(Socket, Deflates) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let deflates = Deflates(self.offers_deflate && is_let_in && !config.no_compression);
        let largest = config.limits.max_message_bytes.saturating_mul(READABLE);
        let bounds = WebSocketConfig::default()
            .max_message_size(Some(largest))
            .max_frame_size(Some(largest))
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(WRITE_BYTES);
        let upgraded = self.upgraded;
        tokio::spawn(async move {
            // Where the connection has ended meanwhile nobody is to be served.
            let Ok(upgraded) = upgraded.await else { return };
            let stream = Inflating::new(TokioIo::new(upgraded), deflates.0);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(bounds)).await;
            serve(socket, deflates).await;
        });
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if deflates.0 {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(ACCEPTED));
        }
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let upgraded = parts.extensions.get::<OnUpgrade>().cloned();
        let judged = WebSocketUpgrade::from_request_parts(parts, state).await;
        let _taken = judged.map_err(WebSocketUpgradeRejection::into_response)?;
        let accept = accept(&parts.headers);
        let (Some(upgraded), Some(accept)) = (upgraded, accept) else {
            return Err(StatusCode::UPGRADE_REQUIRED.into_response());
        };
        Ok(Upgrade { upgraded, accept, offers_deflate: is_offered(&parts.headers) })
    }
}

fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}
