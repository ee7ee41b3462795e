//! Messages in compressed form: permessage-deflate (RFC 7692). Decides which offers are taken, which messages are worth it,
//! and that no message shares a window with another. Negotiated by `upgrade`; who offers nothing sees nothing of it.

mod frames;
mod inflate;
mod offer;
mod pool;
mod text;

pub(crate) use self::frames::is_no_deflate;
pub(crate) use self::inflate::Inflating;
pub(crate) use self::offer::{ACCEPTED, is_offered};
pub(crate) use self::text::{LEVEL, Text, WORTH_BYTES};

/// What a sync flush ends with, which no message carries (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
