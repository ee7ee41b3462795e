//! What goes into a link and what comes out: the surface between its decisions and a real socket.
//! Decides nothing itself. Spoken by [`super::Link`] and its driver, `web::ws`.

use crate::engine::clock::Duration;
use crate::wire::CloseCode;

/// A socket's number, never used twice. A late event of a dead socket names a number that is no longer ours.
pub type SocketId = u64;

/// The number of a question to the app, never used twice. A late answer names a question that nobody asks any more.
pub type AskId = u64;

/// What stays the same for the life of a link.
#[derive(Debug, Clone)]
pub struct Config {
    /// The first wait of the backoff, before jitter.
    pub base: Duration,
    /// Attempts in a row without proof of health before it gives up; 0 for never.
    pub max_attempts: u32,
    /// How long one attempt may take; for ever without.
    pub connect_timeout: Option<Duration>,
    /// The silence after which the peer is made to speak; without, only a signal raises doubt.
    pub heartbeat: Option<Duration>,
    /// How long a peer in doubt has for a byte.
    pub heartbeat_timeout: Duration,
    /// The app can be asked for new credentials.
    pub asks_auth: bool,
    /// Seeds the jitter.
    pub seed: u64,
}

/// What happens to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The app wants it open. Settled by [`Output::ConnectSettled`].
    Connect,
    /// The app wants it closed, and kept so.
    Disconnect,
    /// The app wants a new connection at once, whatever there is now (a new token, a new address).
    Reconnect,
    /// The peer on this socket is of no use: end it, and try again with backoff.
    Drop { socket: SocketId },
    /// The socket is open and everything that must be said first was said.
    Opened { socket: SocketId },
    /// There will be no socket of this number: it could not be made.
    OpenFailed { socket: SocketId },
    /// The socket reported an error. Says nothing about why.
    SocketError { socket: SocketId },
    /// The socket is closed.
    Closed { socket: SocketId, code: CloseCode, text: String },
    /// The socket says that it is closing or closed, though it has not told us so.
    Ending { socket: SocketId },
    /// A byte has come, or the peer has taken some of what waits to be sent.
    Heard { socket: SocketId },
    /// Nobody must answer the last [`Output::Probe`].
    NoProbe { socket: SocketId },
    /// A request that was sent then has had its time and no answer.
    Unanswered { socket: SocketId, sent: Duration },
    /// The peer has proved itself: a message was applied, a request answered.
    Healthy { socket: SocketId },
    /// The server asked for a pause: the next attempt after this connection waits at least so long.
    Pause { delay: Duration },
    /// The app has new credentials (`kept`), or has none.
    AuthAnswered { ask: AskId, kept: bool },
    /// The device says that it has a network again, or another one.
    Online,
    /// The device says that it has no network.
    Offline,
    /// The page can be seen.
    Shown,
    /// The page cannot be seen: its timers may be late.
    Hidden,
    /// The page is about to be stopped; its sockets stay as they are.
    Frozen,
    /// The page runs again after that.
    Resumed,
    /// The page is left: it ends, or the browser keeps it for the way back, which an open socket would prevent.
    PageHidden,
    /// The page is entered; `restored`: it was kept.
    PageShown { restored: bool },
    /// A deadline of [`super::Link::poll_timeout`] has passed.
    Timeout,
}

/// What a link wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make a socket of this number.
    Open { socket: SocketId },
    /// Close this socket and forget it: no event of it counts any more.
    Close { socket: SocketId, code: CloseCode },
    /// This socket was open and is not any more: whatever waited for an answer on it waits in vain.
    Lost { socket: SocketId },
    /// Make the peer speak; where that cannot be, say [`Input::NoProbe`].
    Probe { socket: SocketId, doubt: Doubt },
    /// Ask the app for new credentials; its answer is [`Input::AuthAnswered`].
    AskAuth { ask: AskId },
    /// [`super::Link::status`] has changed.
    Changed,
    /// Every call that waits for the connection has its answer.
    ConnectSettled(Result<(), ConnectError>),
}

/// Why a peer is made to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It was silent for long, which may be all right: only a peer that must answer is judged by its silence.
    Silence,
    /// Something has happened that sockets do not survive: silence condemns it.
    Signal,
}

/// Why a call that waits for the connection is told no. The link may go on trying.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error("WebSocket connection timed out")]
    TimedOut,
    #[error("WebSocket connection failed")]
    Failed { code: Option<CloseCode> },
    #[error("WebSocket disconnected")]
    Disconnected,
}

/// Where a link stands, for the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub state: Phase,
    /// Why, where the state alone does not say: a `DisconnectReason` of types.d.ts.
    pub reason: Option<&'static str>,
    /// How the last socket was closed, until the next one opens.
    pub close: Option<(CloseCode, String)>,
    /// When the next attempt starts.
    pub retry_at: Option<Duration>,
}

/// The states by name, as `TransportState` in types.d.ts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Idle,
    Connecting,
    Open,
    Waiting,
    Offline,
    NeedsAuth,
    Failed,
    Closed,
}

impl Phase {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Connecting => "connecting",
            Phase::Open => "open",
            Phase::Waiting => "waiting",
            Phase::Offline => "offline",
            Phase::NeedsAuth => "needs-auth",
            Phase::Failed => "failed",
            Phase::Closed => "closed",
        }
    }
}
