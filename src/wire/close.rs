//! The WebSocket close codes that either side sends or must understand, by name.
//! Decides nothing about retrying: that is `engine::retry`.

/// A WebSocket close code (RFC 6455 section 7.4, 4000–4999 private).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    pub const NORMAL: CloseCode = CloseCode(1000);
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// No close frame arrived: the connection broke.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// A message was larger than the peer takes: send smaller ones.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// The server gives up this connection on its own account: come back later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// The token is missing, invalid or expired (seed 000).
    pub const UNAUTHENTICATED: CloseCode = CloseCode(4001);
    /// The same, in the numbering of HTTP.
    pub const HTTP_UNAUTHORIZED: CloseCode = CloseCode(4401);
    /// Too many requests, in the numbering of HTTP.
    pub const HTTP_TOO_MANY_REQUESTS: CloseCode = CloseCode(4429);
}
