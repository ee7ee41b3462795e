//! The frames of a client that may send deflated messages, told as a client would have sent them that does not. Decides
//! nothing about messages: frames that are not deflated pass untouched, a deflated message becomes one of small parts, so
//! that every bound on sizes, parts and text is the socket's own, counts inflated bytes and is felt before memory is
//! spent. Driven by `inflate`; reads and writes nothing.

use std::io::{self, Cursor};

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::ReadBuf;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::TAIL;
use super::pool::Pool;

/// The largest part of a message that is inflated: with its head it fits what a socket reads at once.
const PART_BYTES: usize = 4_000;
/// So much is unmasked at once, and again where it inflates to more than a part.
const PIECE_BYTES: usize = 1_024;

static IDLE: Pool<Decompress> = Pool::new();

/// A message that says it is deflated and is not.
#[derive(Debug, thiserror::Error)]
#[error("a message cannot be inflated")]
struct NoDeflate;

fn no_deflate() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, NoDeflate)
}

/// Whether a connection ends for that.
pub(crate) fn is_no_deflate(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<NoDeflate>())
}

/// The sequence of a client's frames, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
    /// What has arrived and was not looked at yet: at most one read.
    arrived: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    /// A part that was inflated and not handed on yet.
    part: Vec<u8>,
    handed: usize,
    /// The deflated message that is in the middle.
    message: Option<Box<Inflation>>,
}

/// What comes next.
#[derive(Debug, Default)]
enum At {
    #[default]
    Head,
    /// So many bytes that pass as they are.
    Plain(u64),
    /// The content of a frame of a deflated message.
    Deflated { left: u64, mask: [u8; 4], is_final: bool },
    /// The end of a deflated message, which its sender has left out; so much of it was given.
    Tail(usize),
    /// Nothing can be told any more; the socket will find the same.
    Beyond,
}

#[derive(Debug)]
struct Inflation {
    state: Decompress,
    opcode: OpCode,
}

impl Frames {
    /// Whether something waits that needs no further byte.
    pub(super) fn has_work(&self) -> bool {
        self.handed < self.part.len()
            || self.seen < self.arrived.len()
            || matches!(self.at, At::Deflated { left: 0, .. } | At::Tail(_))
    }

    /// The memory that it holds, but for the window of a message.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.arrived.capacity() + self.part.capacity()
    }

    /// How many of the bytes pass as they are. The others are kept for [`Frames::translate`], which has nothing to do now.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while self.arrived.is_empty() {
            let rest = bytes.get(passed..).unwrap_or_default();
            match &mut self.at {
                At::Plain(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    passed += length;
                    *left -= length as u64;
                    if *left > 0 {
                        break;
                    }
                    self.at = At::Head;
                }
                At::Beyond => return bytes.len(),
                At::Head => {
                    if !self.begins_plain(rest) {
                        break;
                    }
                }
                At::Deflated { .. } | At::Tail(_) => break,
            }
        }
        let rest = bytes.get(passed..).unwrap_or_default();
        self.arrived.extend_from_slice(rest);
        passed
    }

    /// Looks at the head of a frame. True if all of it passes.
    fn begins_plain(&mut self, bytes: &[u8]) -> bool {
        let mut cursor = Cursor::new(bytes);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((head, length))) if !self.is_deflated(&head) => {
                self.at = At::Plain(length.saturating_add(cursor.position()));
                true
            }
            Ok(_) => false,
            Err(_) => {
                self.at = At::Beyond;
                true
            }
        }
    }

    /// What is wrong by itself is the socket's to refuse, such as a ping or a later part that says it is deflated.
    fn is_deflated(&self, head: &FrameHeader) -> bool {
        let expected = match head.opcode {
            OpCode::Data(Data::Text | Data::Binary) => head.rsv1 && self.message.is_none(),
            OpCode::Data(Data::Continue) => !head.rsv1 && self.message.is_some(),
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(_) => false,
        };
        expected && head.mask.is_some() && !head.rsv2 && !head.rsv3
    }

    /// Hands on what can be told of the bytes that have arrived. False if more are needed for anything.
    pub(super) fn translate(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        let wrote = self.tell(buffer)?;
        if self.seen == self.arrived.len() {
            // What idles holds nothing.
            (self.arrived, self.seen) = Default::default();
        } else if !wrote {
            self.arrived.drain(..self.seen);
            self.seen = 0;
        }
        Ok(wrote)
    }

    fn tell(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        loop {
            let part = self.part.get(self.handed..).unwrap_or_default();
            if !part.is_empty() {
                let length = part.len().min(buffer.remaining());
                buffer.put_slice(part.get(..length).unwrap_or_default());
                self.handed += length;
                return Ok(true);
            }
            (self.part, self.handed) = Default::default();
            let rest = self.arrived.get(self.seen..).unwrap_or_default();
            match &mut self.at {
                At::Head if rest.is_empty() => break,
                At::Head => {
                    let mut cursor = Cursor::new(rest);
                    match FrameHeader::parse(&mut cursor) {
                        Ok(None) => break,
                        Ok(Some((head, left))) if self.is_deflated(&head) => {
                            self.seen += usize::try_from(cursor.position()).unwrap_or_default();
                            let is_final = head.is_final;
                            self.at = At::Deflated { left, mask: head.mask.unwrap_or_default(), is_final };
                            self.message.get_or_insert_with(|| Box::new(Inflation::new(head.opcode)));
                        }
                        Ok(Some((_, length))) => {
                            self.at = At::Plain(length.saturating_add(cursor.position()))
                        }
                        Err(_) => self.at = At::Beyond,
                    }
                }
                At::Plain(_) | At::Beyond if rest.is_empty() => break,
                At::Plain(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    let length = length.min(buffer.remaining());
                    buffer.put_slice(rest.get(..length).unwrap_or_default());
                    self.seen += length;
                    *left -= length as u64;
                    if *left == 0 {
                        self.at = At::Head;
                    }
                    return Ok(true);
                }
                At::Beyond => {
                    let length = rest.len().min(buffer.remaining());
                    buffer.put_slice(rest.get(..length).unwrap_or_default());
                    self.seen += length;
                    return Ok(true);
                }
                At::Deflated { left: 0, is_final, .. } => {
                    self.at = if *is_final { At::Tail(0) } else { At::Head };
                }
                At::Deflated { .. } if rest.is_empty() => break,
                At::Deflated { left, mask, .. } => {
                    let Some(message) = &mut self.message else { return Err(no_deflate()) };
                    let length =
                        usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE_BYTES).min(rest.len());
                    let mut piece = [0; PIECE_BYTES];
                    for ((plain, masked), mask) in piece.iter_mut().zip(rest).zip(mask.iter().cycle()) {
                        *plain = masked ^ mask;
                    }
                    let used = message.inflate(piece.get(..length).unwrap_or_default(), &mut self.part)?.used;
                    self.seen += used;
                    *left -= used as u64;
                    mask.rotate_left(used % 4);
                }
                At::Tail(given) => {
                    let Some(message) = &mut self.message else { return Err(no_deflate()) };
                    let rest = TAIL.get(*given..).unwrap_or_default();
                    let step = message.finish(rest, &mut self.part)?;
                    *given += step.used;
                    if step.is_all {
                        self.at = At::Head;
                        if let Some(message) = self.message.take() {
                            message.end();
                        }
                    }
                }
            }
        }
        Ok(false)
    }
}

/// What came of some bytes.
struct Step {
    used: usize,
    /// Nothing more comes of them, and nothing of what was before.
    is_all: bool,
}

impl Inflation {
    fn new(opcode: OpCode) -> Self {
        Inflation { state: IDLE.take().unwrap_or_else(|| Decompress::new(false)), opcode }
    }

    /// Inflates so much of the bytes as one part takes, and writes that part.
    fn inflate(&mut self, bytes: &[u8], part: &mut Vec<u8>) -> io::Result<Step> {
        self.advance(bytes, part, false)
    }

    /// The same with the last bytes: the last part says that it is the last.
    fn finish(&mut self, bytes: &[u8], part: &mut Vec<u8>) -> io::Result<Step> {
        // A block that ended the stream needs no flush.
        let bytes = if self.state.total_in() == 0 { &[] } else { bytes };
        self.advance(bytes, part, true)
    }

    fn advance(&mut self, bytes: &[u8], part: &mut Vec<u8>, last: bool) -> io::Result<Step> {
        let mut content = [0; PART_BYTES];
        let (read, written) = (self.state.total_in(), self.state.total_out());
        let status =
            self.state.decompress(bytes, &mut content, FlushDecompress::None).map_err(|_| no_deflate())?;
        let used = usize::try_from(self.state.total_in() - read).unwrap_or_default();
        let made = usize::try_from(self.state.total_out() - written).unwrap_or_default();
        match status {
            // What follows begins anew (RFC 7692, 7.2.3.4).
            Status::StreamEnd => self.state.reset(false),
            Status::Ok | Status::BufError if used == 0 && made == 0 && !bytes.is_empty() => {
                return Err(no_deflate());
            }
            Status::Ok | Status::BufError => {}
        }
        let is_all = used == bytes.len() && made < content.len();
        if made > 0 || (last && is_all) {
            self.write(content.get(..made).unwrap_or_default(), last && is_all, part)?;
        }
        Ok(Step { used, is_all })
    }

    /// A part, masked with zeros: as a client sends it, and as it is.
    fn write(&mut self, content: &[u8], is_final: bool, part: &mut Vec<u8>) -> io::Result<()> {
        let opcode = std::mem::replace(&mut self.opcode, OpCode::Data(Data::Continue));
        let head = FrameHeader { is_final, opcode, mask: Some([0; 4]), ..FrameHeader::default() };
        head.format(content.len() as u64, part).map_err(io::Error::other)?;
        part.extend_from_slice(content);
        Ok(())
    }

    fn end(mut self) {
        self.state.reset(false);
        IDLE.put(self.state);
    }
}
