//! The contract over a socket: `/sync/ws`. Decides when a connection is let in and when it ends; what a push or a pull does
//! is `exchange`'s. Started by the router after the upgrade; ends only between frames, never in the middle of one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use crsqlite_sync::wire::CloseCode;
use crsqlite_sync::wire::push_pull::{ClientFrame, Envelope, UNKNOWN_REQUEST, encode};
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument as _, Span, debug};
use tungstenite::{Message as Frame, Utf8Bytes};

use super::batch::BadPush;
use super::endpoints::read;
use super::object;
use super::query::Query;
use super::refused::Refused;
use crate::auth::{self, Refusal};
use crate::clock::now_seconds;
use crate::deflate::Text;
use crate::door::{FULL, Guest, Seat, Visitor, bearer};
use crate::http::App;
use crate::mail::{Letter, To};
use crate::metrics::Presence;
use crate::outbox::{Bound, End, Outbox};
use crate::pace::Haste;
use crate::room::{Membership, Protocol};
use crate::socket::{CLOSE_DEADLINE, FAR_FUTURE, SILENT, TOO_BIG, broken, bytes_of, write};
use crate::upgrade::{Deflates, Socket, Upgrade};

/// Pings of a client that has not said yet whose it is.
const FRAMES_OF_NOBODY: u32 = 16;

/// The upgrade is always accepted: a browser sees a close code, but never the status of a refused upgrade.
pub(super) async fn upgrade(State(app): State<Arc<App>>, visitor: Visitor, upgrade: Upgrade) -> Response {
    // Who names nobody here may still do so in the first frame.
    let guest = if visitor.brings_token() { visitor.admit(&app).ok() } else { None };
    let opening = Arc::clone(&app);
    upgrade.open(&opening.config, guest.is_some(), move |socket, deflates| {
        let connections = app.connections.clone();
        let (connection, span) = app.number();
        connections.track_future(serve(app, socket, deflates, connection, visitor, guest).instrument(span))
    })
}

async fn serve(
    app: Arc<App>,
    socket: Socket,
    deflates: Deflates,
    connection: u64,
    visitor: Visitor,
    guest: Option<Guest>,
) {
    let limits = &app.config.limits;
    let outbox = Arc::new(Outbox::new(Bound::of(limits), deflates, app.metrics.overflows.clone()));
    let (sink, mut stream) = socket.split();
    let reader = async {
        match app.drain.refusal(connection).map_or_else(|| visitor.seat(&app), Err) {
            Ok(seat) => {
                let _presence = Presence::of(&app.metrics.connections);
                let until = Instant::now() + app.config.auth_timeout;
                let standing = Standing::Unknown { until, frames: 0 };
                let (malformed, haste) = Default::default();
                let (app, outbox) = (&app, &outbox);
                let mut reader =
                    Reader { app, outbox, connection, visitor, seat, standing, malformed, haste };
                if let Some(guest) = guest {
                    reader.let_in(&guest).await;
                }
                reader.read(&mut stream).await;
            }
            Err(end) => outbox.end(end),
        }
        // The close frame, and the answer to it, still have to pass.
        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(CLOSE_DEADLINE, rest).await;
    };
    tokio::join!(reader, write(&app, &outbox, sink));
}

/// Whose connection it is.
enum Standing {
    /// Nobody's yet: it has to say so in time.
    Unknown { until: Instant, frames: u32 },
    /// A user's, until the token expires.
    Known { member: Membership, until: Instant },
}

impl Standing {
    fn until(&self) -> Instant {
        match self {
            Standing::Unknown { until, .. } | Standing::Known { until, .. } => *until,
        }
    }
}

struct Reader<'a> {
    app: &'a App,
    outbox: &'a Arc<Outbox>,
    connection: u64,
    visitor: Visitor,
    seat: Seat,
    standing: Standing,
    malformed: usize,
    haste: Haste,
}

impl Reader<'_> {
    /// Takes frame after frame until the connection ends. Then it has left the room.
    async fn read(mut self, stream: &mut SplitStream<Socket>) {
        let mut turn = std::pin::pin!(self.app.drain.turn(self.connection));
        loop {
            let arrived = tokio::select! {
                biased;
                () = self.outbox.ended() => return,
                end = &mut turn => return self.outbox.end(end),
                () = sleep_until(self.standing.until()) => return self.expire(),
                arrived = timeout(self.app.config.idle_timeout, stream.next()) => arrived,
            };
            if let Ok(Some(Ok(frame))) = &arrived
                && !self.keep_pace(bytes_of(frame)).await
            {
                return;
            }
            match arrived {
                Ok(Some(Ok(Frame::Text(text)))) => self.take(&text).await,
                // The contract's sockets decode bytes as text.
                Ok(Some(Ok(Frame::Binary(bytes)))) => match Utf8Bytes::try_from(bytes) {
                    Ok(text) => self.take(&text).await,
                    Err(_) => return self.end(CloseCode::INVALID_PAYLOAD, "text is not UTF-8"),
                },
                Ok(Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_)))) => {}
                Ok(Some(Ok(Frame::Close(_))) | None) => return self.end(CloseCode::NORMAL, ""),
                Ok(Some(Err(error))) => return self.outbox.end(broken(&error)),
                Err(_) => return self.outbox.end(SILENT),
            }
        }
    }

    fn end(&self, code: CloseCode, reason: &'static str) {
        self.outbox.end(End::new(code, reason));
    }

    /// Nobody has said whose the connection is.
    fn turn_away(&self) {
        if let Err(turned) = self.visitor.admit_token(self.app, None) {
            self.outbox.end(turned.end());
        }
    }

    fn expire(&self) {
        match self.standing {
            Standing::Unknown { .. } => self.turn_away(),
            Standing::Known { .. } => self.end(CloseCode::UNAUTHENTICATED, Refusal::Expired.reason()),
        }
    }

    /// Nobody's frames count for nobody, and are few. False at the end.
    async fn keep_pace(&mut self, bytes: usize) -> bool {
        let member = match &mut self.standing {
            Standing::Known { member, .. } => member,
            Standing::Unknown { frames, .. } if *frames < FRAMES_OF_NOBODY => {
                *frames += 1;
                return true;
            }
            Standing::Unknown { .. } => {
                self.turn_away();
                return false;
            }
        };
        self.haste.keep(self.app, self.outbox, &member.room().user.owner, bytes).await
    }

    /// The connection is this user's from now on, or for longer than before.
    async fn let_in(&mut self, guest: &Guest) {
        let left = guest.expires.saturating_sub(now_seconds()).clamp(0, FAR_FUTURE);
        let expires = Instant::now() + Duration::from_secs(left.unsigned_abs());
        match &mut self.standing {
            Standing::Known { member, until } if member.room().user.owner == guest.owner => *until = expires,
            // What waits to be written is somebody else's.
            Standing::Known { .. } => self.end(CloseCode::UNAUTHENTICATED, "token of another user"),
            Standing::Unknown { .. } => {
                let room = self.app.rooms.room(&guest.owner);
                Span::current().record("user", room.user.tag());
                let most = self.app.config.limits.max_connections_per_user;
                match room.join(Arc::clone(self.outbox), most, Protocol::PushPull) {
                    Some(member) => {
                        self.seat.belongs_to(&guest.owner, self.app);
                        member.room().settle().await;
                        self.standing = Standing::Known { member, until: expires };
                    }
                    None => {
                        self.app.metrics.limited("max-connections-per-user");
                        self.outbox.end(FULL);
                    }
                }
            }
        }
    }

    async fn take(&mut self, text: &Utf8Bytes) {
        if text.len() > self.app.config.limits.max_message_bytes {
            return self.outbox.end(TOO_BIG);
        }
        let envelope = Envelope::decode(text);
        let request_id = envelope.as_ref().ok().and_then(|envelope| envelope.request_id.clone());
        let frame = envelope.and_then(Envelope::from_client);
        self.app.metrics.received(kind(frame.as_ref().ok()), text.len());
        match frame {
            Ok(ClientFrame::Auth(headers)) => self.authenticate(headers).await,
            // Nobody says anything before it was let in.
            _ if matches!(self.standing, Standing::Unknown { .. }) => self.turn_away(),
            Ok(ClientFrame::Push { request_id, payload }) => self.push(&request_id, payload).await,
            Ok(ClientFrame::Pull { request_id, payload }) => self.pull(&request_id, payload).await,
            Ok(ClientFrame::Unknown(_)) => {
                self.complain(request_id.as_deref(), &Refused::malformed("unknown message type"));
            }
            Err(error) => self.complain(request_id.as_deref(), &Refused::malformed(error.to_string())),
        }
    }

    /// The app's headers, which name the user, or else only say more about a connection that is known.
    async fn authenticate(&mut self, headers: &str) {
        match (token(headers), &self.standing) {
            (None, Standing::Known { .. }) => {}
            (token, _) => match self.visitor.admit_token(self.app, token.as_deref()) {
                Ok(guest) => self.let_in(&guest).await,
                Err(turned) => self.outbox.end(turned.end()),
            },
        }
    }

    async fn push(&mut self, request_id: &str, payload: &str) {
        let Standing::Known { member, .. } = &self.standing else { return };
        let batch = match read(self.app, payload.to_owned()).await {
            Ok(batch) => batch,
            Err(bad @ BadPush::TooMany(..)) => {
                // The close code that makes a client send less; an error would be asked again for ever.
                debug!(%bad, "a push too large");
                return self.outbox.end(TOO_BIG);
            }
            Err(bad) => return self.complain(Some(request_id), &bad.into()),
        };
        match member.room().take_push(Some(member.id()), batch).await {
            Ok(result) => self.say("push_result", request_id, &result.to_json()),
            Err(error) => {
                member.room().failed(&error, "a push could not be stored");
                self.say("error", request_id, &Refused::failed(&error).payload());
            }
        }
    }

    async fn pull(&mut self, request_id: &str, payload: &str) {
        let Standing::Known { member, .. } = &self.standing else { return };
        let query = match Query::from_json(payload, self.app.config.limits.max_pull_records) {
            Ok(query) => query,
            Err(bad) => return self.complain(Some(request_id), &bad.into()),
        };
        // Whoever asks for page after page without taking them waits for itself.
        if !self.outbox.drained().await {
            return;
        }
        let pulling = member.room().pull(&query);
        match member.room().metrics.answer.measure(pulling).await {
            Ok(page) => {
                let (bytes, request_id) = (page.len(), request_id.to_owned());
                let write = move || encode("pull_result", Some(&request_id), &page);
                member.room().post(vec![Letter::new(To::One(member.id()), "pull_result", bytes, write)]);
            }
            Err(error) => {
                member.room().failed(&error, "a pull could not be answered");
                self.say("error", request_id, &Refused::failed(&error).payload());
            }
        }
    }

    fn complain(&mut self, request_id: Option<&str>, why: &Refused) {
        self.malformed += 1;
        if self.malformed > self.app.config.limits.max_malformed {
            self.app.metrics.limited("max-malformed");
            return self.end(CloseCode::POLICY_VIOLATION, "too many malformed messages");
        }
        self.say("error", request_id.unwrap_or(UNKNOWN_REQUEST), &why.payload());
    }

    fn say(&self, kind: &'static str, request_id: &str, payload: &str) {
        self.app.metrics.sent(kind, 1);
        self.outbox.push(Text::new(encode(kind, Some(request_id), payload)));
    }
}

/// What a frame is counted as.
fn kind<P>(frame: Option<&ClientFrame<P>>) -> &'static str {
    match frame {
        Some(ClientFrame::Auth(_)) => "auth",
        Some(ClientFrame::Push { .. }) => "push",
        Some(ClientFrame::Pull { .. }) => "pull",
        Some(ClientFrame::Unknown(_)) => "unknown",
        None => "malformed",
    }
}

/// The token among the headers of an auth frame, by the names under which apps send it.
fn token(headers: &str) -> Option<String> {
    let headers: HashMap<String, Value> = object(headers).ok()?;
    let value = |wanted: &str| {
        let mut named = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.find_map(|(_, value)| value.as_str())
    };
    let authorization = value("authorization").map(|value| bearer(value).unwrap_or(value));
    let cookie = || value("cookie").and_then(|cookies| auth::token([cookies]));
    let token = authorization.or_else(|| value("token")).or_else(|| value("auth_token")).or_else(cookie);
    token.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn a_token_is_found_under_each_of_its_names() {
        for headers in [
            r#"{"token":"t"}"#,
            r#"{"Token":"t"}"#,
            r#"{"auth_token":"t"}"#,
            r#"{"Authorization":"Bearer t"}"#,
            r#"{"authorization":"bearer  t "}"#,
            r#"{"authorization":"t"}"#,
            r#"{"Cookie":"a=b; auth_token=t"}"#,
            r#"{"x":7,"token":"t"}"#,
        ] {
            assert_eq!(token(headers).as_deref(), Some("t"), "{headers}");
        }
        for headers in ["{}", "[]", "null", r#"{"token":7}"#, r#"{"cookie":"a=b"}"#, r#""t""#] {
            assert_eq!(token(headers), None, "{headers}");
        }
    }
}
