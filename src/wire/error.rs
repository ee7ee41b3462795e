//! Why a message cannot be read. Decides the stable code; never carries a value of the user's data.
//! Made by the decoders of `wire`, shown by `web` and by the relay.

use super::json::Fault;

/// A frame or a field that breaks the protocol. Nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not JSON, or JSON of another shape than the message type asks for.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// A `version` other than [`super::PROTOCOL_VERSION`].
    #[error("protocol version {0} is not supported")]
    Version(i64),
}

impl WireError {
    /// The stable kebab-case code, as listed in PROTOCOL.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            WireError::Malformed(_) => "malformed-message",
            WireError::Version(_) => "unsupported-version",
        }
    }
}

impl From<Fault> for WireError {
    fn from(fault: Fault) -> Self {
        WireError::Malformed(fault.text())
    }
}
