//! One WebSocket connection. Decides when it ends and with which close code; what its messages cause is the room's.
//! Started by `http` after the upgrade; ends only between messages, never in the middle of one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crsqlite_sync::wire::{Body, CloseCode, Decoded, Message, WireError};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::{Span, debug};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message as Frame, Utf8Bytes};

use crate::auth::Refusal;
use crate::clock::now_seconds;
use crate::deflate::is_no_deflate;
use crate::door::{FULL, Guest, Seat};
use crate::heavy::{self, HEAVY_BYTES};
use crate::http::App;
use crate::metrics::{self, Presence};
use crate::outbox::{Bound, End, Next, Outbox};
use crate::pace::{Haste, rest};
use crate::plain::PlainMembership;
use crate::pushes::{self, Incoming};
use crate::room::{Membership, Protocol};
use crate::upgrade::{Deflates, Socket, WRITE_BYTES};
use crate::user::Owner;

/// How long the other side has to take a close frame and to answer it.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(3);
/// Longer than any connection lives; a timer cannot be set to every date that a token can state.
pub(crate) const FAR_FUTURE: i64 = 10 * 366 * 24 * 3_600;

/// Serves a connection to its end. Whoever is not admitted is told why, and closed. `connection` is its number.
pub(crate) async fn serve(
    app: Arc<App>,
    socket: Socket,
    deflates: Deflates,
    connection: u64,
    admission: Result<(Guest, Seat), End>,
) {
    let limits = &app.config.limits;
    let bound = Bound::of(limits);
    let outbox = Arc::new(Outbox::new(bound, deflates, app.metrics.overflows.clone()));
    let (sink, mut stream) = socket.split();
    let reader = async {
        let entered = app.drain.refusal(connection).map_or(admission, Err).and_then(|(guest, seat)| {
            let user = app.rooms.user(guest.owner.clone());
            Span::current().record("user", user.tag());
            let (outbox_of, most) = (Arc::clone(&outbox), limits.max_connections_per_user);
            let member = match &app.plain {
                Some(rooms) => rooms.join(&user.owner, outbox_of, most).map(Member::Plain),
                None => {
                    app.rooms.room(&user.owner).join(outbox_of, most, Protocol::Relay).map(Member::Storing)
                }
            };
            let member = member.ok_or_else(|| {
                app.metrics.limited("max-connections-per-user");
                FULL
            })?;
            seat.belongs_to(&guest.owner, &app);
            let presence = Presence::of(&app.metrics.connections);
            let (haste, user, together) = (Haste::default(), guest.owner, pushes::together(bound));
            let (app, outbox) = (&*app, &*outbox);
            let reader = Reader { app, outbox, connection, user, member, together, malformed: 0, haste };
            Ok(((seat, presence), reader, guest.expires))
        });
        match entered {
            Ok((_place, reader, expires)) => {
                reader.member.settle().await;
                reader.read(&mut stream, expires).await;
            }
            Err(end) => outbox.end(end),
        }
        // The close frame, and the answer to it, still have to pass.
        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(CLOSE_DEADLINE, rest).await;
    };
    tokio::join!(reader, write(&app, &outbox, sink));
}

/// Whom the messages of a connection reach.
enum Member {
    Storing(Membership),
    Plain(PlainMembership),
}

impl Member {
    /// What others write from here on is told.
    async fn settle(&self) {
        match self {
            Member::Storing(member) => member.room().settle().await,
            // Nothing is written.
            Member::Plain(_) => {}
        }
    }
}

struct Reader<'a> {
    app: &'a App,
    outbox: &'a Outbox,
    connection: u64,
    user: Owner,
    member: Member,
    /// So much is taken at once of what has arrived.
    together: Bound,
    malformed: usize,
    haste: Haste,
}

impl Reader<'_> {
    /// Takes message after message until the connection ends, or until it may not go on. Then it has left the room.
    async fn read(mut self, stream: &mut SplitStream<Socket>, expires: i64) {
        let (app, outbox, connection) = (self.app, self.outbox, self.connection);
        let left = expires.saturating_sub(now_seconds()).clamp(0, FAR_FUTURE);
        // This ends the connection and never completes: a message that is being stored is not given up half way.
        let watch = async {
            tokio::select! {
                () = sleep(Duration::from_secs(left.unsigned_abs())) => {
                    outbox.end(End::new(CloseCode::UNAUTHENTICATED, Refusal::Expired.reason()));
                }
                end = app.drain.turn(connection) => outbox.end(end),
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.take_all(stream) => {}
            () = watch => {}
        }
    }

    async fn take_all(&mut self, stream: &mut SplitStream<Socket>) {
        loop {
            let arrived = tokio::select! {
                arrived = timeout(self.app.config.idle_timeout, stream.next()) => arrived,
                () = self.outbox.ended() => return,
            };
            let Ok(first) = arrived else { return self.outbox.end(SILENT) };
            if !self.take_what_came(first, stream).await {
                return;
            }
        }
    }

    /// Takes a frame, and at once with it what has arrived behind it. False at the end.
    async fn take_what_came(&mut self, first: Arrived, stream: &mut SplitStream<Socket>) -> bool {
        let (mut frames, mut bytes, mut next) = (Vec::new(), 0_usize, Some(first));
        let mut end = None;
        while let Some(arrived) = next.take() {
            let frame = match arrived {
                Some(Ok(Frame::Close(_))) | None => {
                    end = Some(End::new(CloseCode::NORMAL, ""));
                    break;
                }
                Some(Err(error)) => {
                    end = Some(broken(&error));
                    break;
                }
                Some(Ok(frame)) => frame,
            };
            let wait = self.haste.count(self.app, self.outbox, &self.user, bytes_of(&frame));
            if wait != Some(Duration::ZERO) {
                // What came before does not wait with it.
                self.take(std::mem::take(&mut frames)).await;
                match wait {
                    Some(wait) if rest(self.outbox, wait).await => {}
                    Some(_) | None => return false,
                }
            }
            bytes = bytes.saturating_add(bytes_of(&frame));
            frames.push(frame);
            if frames.len() < self.together.messages && bytes < self.together.bytes {
                next = poll_fn(|context| {
                    Poll::Ready(match stream.poll_next_unpin(context) {
                        Poll::Ready(arrived) => Some(arrived),
                        Poll::Pending => None,
                    })
                })
                .await;
            }
        }
        self.take(frames).await;
        match end {
            Some(end) => {
                self.outbox.end(end);
                false
            }
            None => true,
        }
    }

    async fn take(&mut self, frames: Vec<Frame>) {
        let mut taken = Taken::default();
        for frame in frames {
            let text = match frame {
                Frame::Text(text) => text,
                Frame::Binary(_) => {
                    self.hand_on(&mut taken).await;
                    let error = WireError::Malformed("a frame of bytes, not of text".into());
                    if !self.complain("", &error).await {
                        return;
                    }
                    continue;
                }
                Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) | Frame::Frame(_) => continue,
            };
            if text.len() > self.app.config.limits.max_message_bytes {
                self.hand_on(&mut taken).await;
                return self.outbox.end(TOO_BIG);
            }
            let decoded = decode(&text).await;
            let kind = match &decoded {
                Ok(Decoded::Message(message)) => metrics::kind(&message.body),
                Ok(Decoded::UnknownType(_)) => "unknown",
                Err(_) => "malformed",
            };
            self.app.metrics.received(kind, text.len());
            match (&self.member, decoded) {
                (_, Err(error)) => {
                    self.hand_on(&mut taken).await;
                    if !self.complain(&text, &error).await {
                        return;
                    }
                }
                (Member::Plain(_), Ok(_)) => taken.forwards.push((text, kind)),
                (Member::Storing(_), Ok(Decoded::UnknownType(_))) => {}
                (Member::Storing(member), Ok(Decoded::Message(message))) => match message {
                    Message { site_id, timestamp, body: Body::Push(push) } => {
                        taken.pushes.extend(member.incoming(site_id, timestamp, push));
                    }
                    message => {
                        self.hand_on(&mut taken).await;
                        member.handle(message).await;
                    }
                },
            }
        }
        self.hand_on(&mut taken).await;
    }

    /// Must run to its end: what is stored is also forwarded.
    async fn hand_on(&self, taken: &mut Taken) {
        let Taken { pushes, forwards } = std::mem::take(taken);
        match &self.member {
            Member::Storing(member) => member.room().store(pushes).await,
            Member::Plain(member) => member.forward(&forwards),
        }
    }

    /// False at the end.
    async fn complain(&mut self, text: &str, error: &WireError) -> bool {
        self.malformed += 1;
        let bears = self.malformed <= self.app.config.limits.max_malformed;
        if !bears {
            self.app.metrics.limited("max-malformed");
            self.outbox.end(End::new(CloseCode::POLICY_VIOLATION, "too many malformed messages"));
        } else if let Member::Storing(member) = &self.member {
            member.complain(text, error).await;
        }
        bears
    }
}

/// What a stream gives.
type Arrived = Option<Result<Frame, tungstenite::Error>>;

/// Messages that go on together.
#[derive(Default)]
struct Taken {
    pushes: Vec<Incoming>,
    /// Each with its type.
    forwards: Vec<(Utf8Bytes, &'static str)>,
}

/// Reads a message. A large one takes a while, in which nobody else is to wait: the threads that serve sockets are few.
async fn decode(text: &Utf8Bytes) -> Result<Decoded, WireError> {
    if text.len() < HEAVY_BYTES {
        return Message::decode(text);
    }
    let text = text.clone();
    let decoded = heavy::run(move || Message::decode(&text)).await;
    decoded.unwrap_or_else(|| Err(WireError::Malformed("it cannot be read".into())))
}

pub(crate) const TOO_BIG: End = End::new(CloseCode::TOO_BIG, "message too big");
pub(crate) const SILENT: End = End::new(CloseCode::GOING_AWAY, "no sign of life");

/// What a connection that cannot be read is closed with.
pub(crate) fn broken(error: &tungstenite::Error) -> End {
    use tungstenite::Error::{Capacity, Io, Protocol, Utf8};
    match error {
        Capacity(_) => TOO_BIG,
        Utf8(_) => End::new(CloseCode::INVALID_PAYLOAD, "text is not UTF-8"),
        Io(error) if is_no_deflate(error) => {
            End::new(CloseCode::INVALID_PAYLOAD, "a message that cannot be inflated")
        }
        Protocol(_) => End::new(CloseCode::PROTOCOL_ERROR, "broken frame"),
        _ => End::new(CloseCode::NORMAL, ""),
    }
}

/// Writes what the outbox holds, and pings, until its end or until the other side takes nothing any more.
pub(crate) async fn write(app: &App, outbox: &Outbox, mut sink: SplitSink<Socket, Frame>) {
    let every = app.config.ping_interval;
    let mut ping = interval_at(Instant::now() + every, every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = tokio::select! {
            next = outbox.take() => next,
            _ = ping.tick() => {
                if !deliver(app, outbox, &mut sink, [Frame::Ping(axum::body::Bytes::new())]).await {
                    break;
                }
                continue;
            }
        };
        match next {
            Next::Frame(text) => {
                if !deliver(app, outbox, &mut sink, text.into_frames(outbox.deflates())).await {
                    break;
                }
            }
            Next::End(end) => {
                let close = CloseFrame { code: end.code.0.into(), reason: end.text() };
                let _ = timeout(CLOSE_DEADLINE, sink.send(Frame::Close(Some(close)))).await;
                return closed(app, end);
            }
        }
    }
    let end = End::new(CloseCode::ABNORMAL, "");
    outbox.end(end);
    closed(app, end);
}

fn closed(app: &App, end: End) {
    debug!(code = end.code.0, reason = end.reason, "closed");
    app.metrics.closed(end.code);
}

/// Writes frames and what waits behind them. False if the other side does not take it: in time, or soon after the
/// connection has ended.
async fn deliver(
    app: &App,
    outbox: &Outbox,
    sink: &mut SplitSink<Socket, Frame>,
    first: impl IntoIterator<Item = Frame>,
) -> bool {
    let written = async {
        for frame in first {
            app.metrics.sent_bytes(bytes_of(&frame));
            sink.feed(frame).await?;
        }
        let mut texts = Vec::new();
        loop {
            outbox.take_ready(WRITE_BYTES, &mut texts);
            if texts.is_empty() {
                return sink.flush().await;
            }
            for frame in texts.drain(..).flat_map(|text| text.into_frames(outbox.deflates())) {
                app.metrics.sent_bytes(bytes_of(&frame));
                sink.feed(frame).await?;
            }
        }
    };
    let ended = async {
        outbox.ended().await;
        sleep(CLOSE_DEADLINE).await;
    };
    tokio::select! {
        written = timeout(app.config.idle_timeout, written) => matches!(written, Ok(Ok(()))),
        () = ended => false,
    }
}

pub(crate) fn bytes_of(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.len(),
        Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes.len(),
        Frame::Frame(frame) => frame.payload().len(),
        Frame::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_a_large_message_is_read_others_go_on() {
        let row = r#"{"table":"t","pk":"AQsBaw==","cid":"a","val":"text","col_version":1,"db_version":1,
            "site_id":"YWJjZGVmZ2hpamtsbW5vcA==","cl":1,"seq":0}"#;
        let rows = vec![row; 10_000].join(",");
        let text = format!(
            r#"{{"type":"sync_push","version":1,"siteId":"YWJjZGVmZ2hpamtsbW5vcA==","timestamp":1,
                "payload":{{"changes":[{rows}],"baseVersion":0}}}}"#
        );
        let (text, mut steps) = (Utf8Bytes::from(text), 0_u32);
        let others = async {
            loop {
                steps += 1;
                tokio::task::yield_now().await;
            }
        };
        let decoded = tokio::select! {
            biased;
            decoded = decode(&text) => decoded,
            () = others => unreachable!("it has no end"),
        };
        assert!(matches!(decoded, Ok(Decoded::Message(_))), "{decoded:?}");
        assert!(steps > 1, "the only thread was busy all the time");
    }
}
