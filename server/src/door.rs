//! Who comes in. Decides whom a request's token, its origin, its path and its address let in, and what others are told;
//! never what a user may do inside. Asked by `http` and by the endpoints of both protocols, before anything is read.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use crsqlite_sync::wire::CloseCode;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::debug;

use crate::address::{self, Host};
use crate::auth::{self, Refusal};
use crate::clock::now_seconds;
use crate::config::Config;
use crate::flow::Flow;
use crate::http::App;
use crate::origin;
use crate::outbox::End;
use crate::places::Place;
use crate::user::Owner;

/// There is no place for one more.
pub(crate) const FULL: End = End::new(CloseCode::TRY_AGAIN_LATER, "too many connections");
/// How long a browser remembers what it may ask from another origin.
const CORS_AGE: Duration = Duration::from_secs(600);

/// The address at the other end of a connection; set by `accept`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Who asks, before anything is known of the user.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    token: Token,
    /// Whether the page that asks, if it is one, may use the user's cookie.
    page: bool,
    /// The application that the path names.
    namespace: Option<String>,
    host: Host,
    flow: Flow,
}

/// Where a token was found. No page can make a browser send an `Authorization` header that it does not know itself.
#[derive(Clone)]
enum Token {
    Bearer(String),
    Cookie(String),
    Missing,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) owner: Owner,
    /// When the token expires, in seconds since 1970.
    pub(crate) expires: i64,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    Token(Refusal),
    /// A page of another origin came with the user's cookie.
    Origin,
    /// The path names an application that is not served.
    Namespace,
    /// Too many attempts of one address have failed, or too much was asked at once.
    TooMany(Duration),
}

/// A place for one socket, taken as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    _slot: OwnedSemaphorePermit,
    _place: Place<Host>,
    flow: Flow,
}

impl Seat {
    /// It is this user's from now on.
    pub(crate) fn belongs_to(&self, owner: &Owner, app: &App) {
        self.flow.belongs_to(owner, &app.pace);
    }
}

impl Visitor {
    /// Whom the request's own token names: a bearer's, or else the cookie's, which a page of another origin may not use.
    pub(crate) fn admit(&self, app: &App) -> Result<Guest, Turned> {
        match &self.token {
            Token::Bearer(token) => self.admit_token(app, Some(token)),
            Token::Cookie(_) | Token::Missing if !self.page => Err(self.turn(app, Turned::Origin)),
            Token::Cookie(token) => self.admit_token(app, Some(token)),
            Token::Missing => self.admit_token(app, None),
        }
    }

    /// Whom a token names that came in another way, such as in the first frame of a socket.
    pub(crate) fn admit_token(&self, app: &App, token: Option<&str>) -> Result<Guest, Turned> {
        let identity = app
            .auth
            .verify(token, now_seconds())
            .map_err(|refusal| self.turn(app, Turned::Token(refusal)))?;
        let namespace = match (identity.namespace.as_deref(), self.namespace.as_deref()) {
            // A token that names an application is for its users only.
            (Some(claim), Some(path)) if claim != path => {
                return Err(self.turn(app, Turned::Token(Refusal::Invalid)));
            }
            (Some(named), _) | (None, Some(named)) if !app.config.tokens.serves(named) => {
                return Err(self.turn(app, Turned::Namespace));
            }
            (Some(named), _) | (None, Some(named)) => named,
            (None, None) => "",
        };
        let owner = Owner::within(namespace, &identity.sub)
            .ok_or_else(|| self.turn(app, Turned::Token(Refusal::Invalid)))?;
        Ok(Guest { owner, expires: identity.expires })
    }

    /// Whether the request itself has a token.
    pub(crate) fn brings_token(&self) -> bool {
        match self.token {
            Token::Bearer(_) | Token::Cookie(_) => true,
            Token::Missing => false,
        }
    }

    /// A place for a socket of this visitor.
    pub(crate) fn seat(&self, app: &App) -> Result<Seat, End> {
        let full = |limit: &'static str| {
            app.metrics.limited(limit);
            FULL
        };
        let place = app.places.enter(self.host).ok_or_else(|| full("max-connections-per-address"))?;
        let slot = Arc::clone(&app.slots).try_acquire_owned().map_err(|_| full("max-connections"))?;
        Ok(Seat { _slot: slot, _place: place, flow: self.flow.clone() })
    }

    /// Counts a failure. A host of which too many have failed is told to come later; a good token is never turned away for
    /// what others of its address did.
    fn turn(&self, app: &App, turned: Turned) -> Turned {
        let wait = app.refusals.take(&self.host, 1, Instant::now());
        let turned = if wait.is_zero() {
            turned
        } else {
            app.metrics.limited("rate-refusals");
            Turned::TooMany(wait)
        };
        debug!(reason = turned.reason(), "not let in");
        turned
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let namespace = namespace(RawPathParams::from_request_parts(parts, app).await);
        let peer = parts.extensions.get().map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| *address);
        let host = Host::of(address::client(peer, &parts.headers, &app.config.trusted_proxy));
        let page = origin::is_allowed(&parts.headers, &app.config.allow_origin);
        let flow = parts.extensions.get().cloned().unwrap_or_default();
        Ok(Visitor { token: token(&parts.headers), page, namespace, host, flow })
    }
}

/// The application that a path names. What cannot be read is one that nobody serves.
fn namespace(path: Result<RawPathParams, RawPathParamsRejection>) -> Option<String> {
    match path {
        Ok(path) => path.iter().find(|(name, _)| *name == "namespace").map(|(_, value)| value.to_owned()),
        Err(RawPathParamsRejection::MissingPathParams(_)) => None,
        Err(_) => Some(char::REPLACEMENT_CHARACTER.into()),
    }
}

fn token(headers: &HeaderMap) -> Token {
    // Another scheme is somebody else's, such as a proxy's own.
    let bearer = headers.get_all(AUTHORIZATION).into_iter().find_map(|value| bearer(value.to_str().ok()?));
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    match (bearer, auth::token(cookies)) {
        (Some(token), _) => Token::Bearer(token.to_owned()),
        (None, Some(token)) => Token::Cookie(token.to_owned()),
        (None, None) => Token::Missing,
    }
}

/// The token of `Bearer TOKEN`.
pub(crate) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Turned {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Turned::Token(refusal) => refusal.reason(),
            Turned::Origin => "origin not allowed",
            Turned::Namespace => "unknown namespace",
            Turned::TooMany(_) => "too many attempts",
        }
    }

    /// How a socket is closed.
    pub(crate) fn end(self) -> End {
        let code = match self {
            Turned::Token(_) => CloseCode::UNAUTHENTICATED,
            Turned::Origin | Turned::Namespace => CloseCode::POLICY_VIOLATION,
            Turned::TooMany(wait) => {
                return End::new(CloseCode::HTTP_TOO_MANY_REQUESTS, self.reason()).after(wait);
            }
        };
        End::new(code, self.reason())
    }

    fn status(self) -> (StatusCode, &'static str) {
        match self {
            Turned::Token(_) => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Turned::Origin => (StatusCode::FORBIDDEN, "origin-not-allowed"),
            Turned::Namespace => (StatusCode::NOT_FOUND, "unknown-namespace"),
            Turned::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
        }
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let body = json!({ "error": { "code": code, "message": self.reason() } });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Turned::Token(_) = self {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Turned::TooMany(wait) = self {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        response
    }
}

/// What `Retry-After` says: rounded up, for who comes too early has come in vain.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// What browsers may ask of the endpoints from pages of allowed origins, with the user's cookie.
pub(crate) fn cors(config: &Config) -> CorsLayer {
    let allowed = config.allow_origin.clone();
    let is_allowed = move |origin: &HeaderValue, _: &Parts| {
        origin.to_str().is_ok_and(|origin| origin::may_connect(origin, None, &allowed))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_allowed))
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER, HeaderName::from_static("date")])
        .allow_credentials(true)
        .max_age(CORS_AGE)
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Token::Bearer(_) => "Bearer",
            Token::Cookie(_) => "Cookie",
            Token::Missing => "Missing",
        })
    }
}
