//! What is said: the messages of both protocols, their rows and values, close codes, and validation.
//! Never decides when or whether to say something, and never touches a clock, a socket or a database.
//! Called by `engine`, by `web` and by the relay, which all read and write the same bytes through it.
//!
//! The rule for input: strict on what is malformed, indifferent to fields and types it does not know.

mod bytes;
mod change;
mod close;
mod digest;
mod error;
mod frame;
pub mod http;
pub(crate) mod json;
mod message;
mod payload;
mod pk;
pub mod push_pull;
pub mod record;
mod value;

pub use bytes::{SiteId, decode_base64, encode_base64};
pub use change::{BadRow, Change, MAX_BAD_ROWS, MAX_COL_VERSION, MAX_DB_VERSION, Row, RowCode, SENTINEL};
pub use close::CloseCode;
pub use digest::{Digest, TableDigest};
pub use error::WireError;
pub use frame::{Decoded, Message, PROTOCOL_VERSION};
pub use message::{
    Body, Cursor, Part, Place, Rejected, Run, SyncAck, SyncError, SyncPush, SyncRequest, SyncResponse,
    cursor_of,
};
pub use pk::{KeyColumn, Pk, unpack as unpack_columns, unpack_next};
pub use value::Value;
