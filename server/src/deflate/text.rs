//! A message on its way out. Decides whether it is deflated, once for all who get it. Made by `mail`, kept in the `outbox` of
//! each connection, written by `socket`.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, Utf8Bytes};

use super::TAIL;
use super::pool::Pool;

/// What is shorter, such as an acknowledgement, would leave as many packets as before.
pub(crate) const WORTH_BYTES: usize = 512;
/// Of a page of rows an eighth is left, in a few milliseconds for a megabyte. Higher ones take several times as long for a
/// hundredth less.
pub(crate) const LEVEL: u32 = 2;
/// The largest frame of a message.
const PART_BYTES: usize = 16 << 10;
/// Room for the end of the stream.
const SPARE_BYTES: usize = 64;

static IDLE: Pool<Compress> = Pool::new();

/// The text of a message, and, where it is long enough, its deflated form once somebody takes that.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    plain: Utf8Bytes,
    deflated: Option<Arc<OnceLock<Option<Bytes>>>>,
}

impl Text {
    pub(crate) fn new(plain: impl Into<Utf8Bytes>) -> Self {
        let plain = plain.into();
        let deflated = (plain.len() >= WORTH_BYTES).then(Arc::default);
        Text { plain, deflated }
    }

    /// Deflates it if that is worth it and was not done, for all who have it: a few microseconds for each kilobyte.
    pub(crate) fn deflate(&self) -> Option<&Bytes> {
        self.deflated.as_ref()?.get_or_init(|| deflated(self.plain.as_bytes())).as_ref()
    }

    /// How many bytes the text has.
    pub(crate) fn len(&self) -> usize {
        self.plain.len()
    }

    /// The frames for a connection that takes deflated ones, or none. A large message has several: what a socket has written
    /// at once, it keeps room for as long as it is open.
    pub(crate) fn into_frames(self, deflate: bool) -> impl Iterator<Item = Message> + Send {
        let deflated = if deflate { self.deflate().cloned() } else { None };
        let is_deflated = deflated.is_some();
        let mut rest = deflated.unwrap_or_else(|| Bytes::from(self.plain));
        let mut opcode = Some(OpCode::Data(Data::Text));
        std::iter::from_fn(move || {
            let this = opcode.take()?;
            let part = rest.split_to(rest.len().min(PART_BYTES));
            if !rest.is_empty() {
                opcode = Some(OpCode::Data(Data::Continue));
            }
            let mut frame = Frame::message(part, this, rest.is_empty());
            frame.header_mut().rsv1 = is_deflated && this == OpCode::Data(Data::Text);
            Some(Message::Frame(frame))
        })
    }
}

/// Two that say the same.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.plain == other.plain
    }
}

impl Eq for Text {}

/// Nothing if that is no shorter.
fn deflated(text: &[u8]) -> Option<Bytes> {
    let mut state = IDLE.take().unwrap_or_else(|| Compress::new(Compression::new(LEVEL), false));
    let packed = pack(&mut state, text);
    state.reset();
    IDLE.put(state);
    packed.filter(|packed| packed.len() < text.len()).map(Bytes::from)
}

fn pack(state: &mut Compress, text: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(text.len() / 4 + SPARE_BYTES);
    loop {
        let rest = text.get(usize::try_from(state.total_in()).ok()?..)?;
        match state.compress_vec(rest, &mut packed, FlushCompress::Sync).ok()? {
            Status::Ok | Status::BufError => {}
            Status::StreamEnd => return None,
        }
        // Room that is left says that everything is out.
        if packed.len() < packed.capacity() && state.total_in() == text.len() as u64 {
            break;
        }
        packed.reserve(text.len() / 4 + SPARE_BYTES);
    }
    let length = packed.strip_suffix(&TAIL)?.len();
    packed.truncate(length);
    Some(packed)
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};

    use super::*;

    /// What the frames carry, and whether that is deflated.
    fn joined(frames: impl Iterator<Item = Message>) -> (Vec<u8>, bool) {
        let (mut payload, mut is_deflated, mut is_over) = (Vec::new(), None, false);
        for frame in frames {
            let Message::Frame(frame) = frame else { panic!("no frame: {frame}") };
            let (header, is_first) = (frame.header(), is_deflated.is_none());
            assert!(!is_over && frame.payload().len() <= PART_BYTES);
            let expected = if is_first { Data::Text } else { Data::Continue };
            assert_eq!((header.opcode, header.rsv1 && !is_first), (OpCode::Data(expected), false));
            is_deflated.get_or_insert(header.rsv1);
            is_over = header.is_final;
            payload.extend_from_slice(frame.payload());
        }
        assert!(is_over, "the last one says so");
        (payload, is_deflated.unwrap())
    }

    fn inflated(packed: &[u8]) -> String {
        let packed = [packed, &TAIL].concat();
        let mut text = Vec::with_capacity(1 << 20);
        Decompress::new(false).decompress_vec(&packed, &mut text, FlushDecompress::None).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_long_message_is_deflated_for_those_who_take_it_and_a_short_one_for_nobody() {
        let row = r#"{"table":"todo","cid":"title","val":"buy milk","col_version":1},"#;
        for rows in [20, 200, 10_000] {
            let text = row.repeat(rows);
            let message = Text::new(text.clone());
            assert_eq!(message.len(), text.len());
            assert_eq!(joined(message.clone().into_frames(false)), (text.clone().into_bytes(), false));
            let (packed, is_deflated) = joined(message.into_frames(true));
            assert!(is_deflated && packed.len() * 4 < text.len(), "{} of {}", packed.len(), text.len());
            assert_eq!(inflated(&packed), text);
        }
        assert_eq!(joined(Text::new(row).into_frames(true)), (row.into(), false));
        assert_eq!(joined(Text::new("").into_frames(true)), (Vec::new(), false));
    }

    #[test]
    fn what_does_not_get_shorter_stays_as_it_is() {
        // A sequence without repetition that fills its alphabet.
        let mut seed = 17_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_u32(0x4e00 + (seed >> 40) as u32 % 0x5000).unwrap()
        };
        let text: String = (0..2_000).map(|_| next()).collect();
        match joined(Text::new(text.clone()).into_frames(true)) {
            (plain, false) => assert_eq!(plain, text.as_bytes()),
            (packed, true) => assert!(packed.len() < text.len() && inflated(&packed) == text),
        }
    }
}
