//! What goes into a link and what comes out: the surface between its decisions and a real socket.
//! Decides nothing itself. Spoken by [`super::Link`] and its driver, `web::ws`.

use std::time::Duration;

use crate::wire::CloseCode;

/// A socket's number, never used twice. A late event of a dead socket names a number that is no longer ours.
pub type SocketId = u64;

/// What stays the same for the life of a link.
#[derive(Debug, Clone)]
pub struct Config {
    /// The first wait of the backoff, before jitter.
    pub base: Duration,
    /// Attempts in a row without proof of health before it gives up; 0 for never.
    pub max_attempts: u32,
    /// How long one attempt may take; for ever without.
    pub connect_timeout: Option<Duration>,
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
    /// The peer has proved itself: a message was applied, a request answered.
    Healthy { socket: SocketId },
    /// The server asked for a pause: the next attempt after this connection waits at least so long.
    Pause { delay: Duration },
    /// The device says that it has a network again.
    Online,
    /// The device says that it has no network.
    Offline,
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
    /// [`super::Link::status`] has changed.
    Changed,
    /// Every call that waits for the connection has its answer.
    ConnectSettled(Result<(), ConnectError>),
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
    /// A stable word for why, where the state alone does not say.
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
