//! The connection of a client that may send deflated messages: what is read are its frames as `frames` tells them, what is
//! written passes. Decides only when others have their turn. Put by `upgrade` between a connection and its socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::frames::Frames;

/// A connection whose deflated messages arrive inflated.
#[derive(Debug)]
pub(crate) struct Inflating<S> {
    stream: S,
    /// Nothing where nothing was negotiated.
    frames: Option<Frames>,
}

impl<S> Inflating<S> {
    /// Without `inflates` it is the stream.
    pub(crate) fn new(stream: S, inflates: bool) -> Self {
        Inflating { stream, frames: inflates.then(Frames::default) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inflating<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Inflating { stream, frames } = self.get_mut();
        let Some(frames) = frames else { return Pin::new(stream).poll_read(context, buffer) };
        loop {
            if frames.has_work() {
                // A few bytes may be a lot: others have their turn in between.
                let turn = ready!(poll_proceed(context));
                let wrote = frames.translate(buffer)?;
                turn.made_progress();
                if wrote {
                    return Poll::Ready(Ok(()));
                }
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(context, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passed = frames.pass(read);
            buffer.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inflating<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use flate2::{Compress, Compression, FlushCompress};
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tungstenite::error::{CapacityError, ProtocolError};
    use tungstenite::protocol::{Role, WebSocketConfig};
    use tungstenite::{Error, Message};

    use super::super::{Text, frames::is_no_deflate};
    use super::*;

    const FINAL: u8 = 0x80;
    const DEFLATED: u8 = 0x40;
    const LATER: u8 = 0;
    const TEXT: u8 = 1;
    const BYTES: u8 = 2;
    const PING: u8 = 9;
    const LARGEST: usize = 1 << 20;

    /// A frame of a client.
    fn frame(first: u8, content: &[u8]) -> Vec<u8> {
        let mask = [0x5a, 0x17, 0xfe, 0x01];
        let mut frame = vec![first];
        match content.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65_536 => {
                frame.push(0xfe);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0xff);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// The deflated form of a long text.
    fn packed(text: &str) -> Bytes {
        Text::new(text).deflate().unwrap().clone()
    }

    /// What a socket makes of the bytes, which arrive so many at a time.
    async fn read(bytes: Vec<u8>, at_once: usize, inflates: bool) -> (Vec<Message>, Error) {
        let (client, server) = duplex(at_once);
        let (mut answers, mut client) = tokio::io::split(client);
        let sending = tokio::spawn(async move {
            let sending = async {
                let _ = client.write_all(&bytes).await;
                let _ = client.shutdown().await;
            };
            let mut nowhere = tokio::io::sink();
            let _ = tokio::join!(sending, tokio::io::copy(&mut answers, &mut nowhere));
        });
        let bounds = WebSocketConfig::default().read_buffer_size(4 << 10).max_message_size(Some(LARGEST));
        let stream = Inflating::new(server, inflates);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(bounds)).await;
        let mut messages = Vec::new();
        let error = loop {
            match socket.next().await {
                Some(Ok(message)) => messages.push(message),
                Some(Err(error)) => break error,
                None => break Error::ConnectionClosed,
            }
        };
        if let Some(frames) = &socket.get_ref().frames {
            assert!(frames.held() <= 16 << 10, "it holds {}", frames.held());
        }
        sending.abort();
        (messages, error)
    }

    #[tokio::test]
    async fn what_the_rfc_gives_as_examples_is_read() {
        for examples in [
            vec![vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]],
            vec![vec![0xf2, 0x48, 0xcd], vec![0xc9, 0xc9, 0x07, 0x00]],
            // A block that is not compressed, one that ends the stream, and two.
            vec![vec![0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]],
            vec![vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]],
            vec![vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]],
            vec![vec![0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
            vec![vec![], vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], vec![]],
        ] {
            let last = examples.len() - 1;
            let frames = examples.iter().enumerate().flat_map(|(index, content)| {
                let first = if index == 0 { TEXT | DEFLATED } else { LATER };
                frame(first | if index == last { FINAL } else { 0 }, content)
            });
            let bytes: Vec<u8> = frames.chain(frame(FINAL | TEXT | DEFLATED, &[0x00])).collect();
            for at_once in [1, 4_096] {
                let (messages, _) = read(bytes.clone(), at_once, true).await;
                assert_eq!(messages, [Message::text("Hello"), Message::text("")]);
            }
        }
    }

    #[tokio::test]
    async fn deflated_and_plain_messages_arrive_in_their_order_however_the_bytes_are_cut() {
        let long = "the same words again and again, ".repeat(3_000);
        let deflated = packed(&long);
        let (half, rest) = deflated.split_at(deflated.len() / 2);
        let bytes = [
            frame(FINAL | TEXT, b"plain"),
            frame(FINAL | TEXT | DEFLATED, &deflated),
            frame(FINAL | PING, b"one"),
            frame(TEXT | DEFLATED, half),
            frame(FINAL | PING, b"two"),
            frame(LATER, &[]),
            frame(FINAL | LATER, rest),
            frame(TEXT, b"pl"),
            frame(FINAL | PING, b""),
            frame(FINAL | LATER, b"ain"),
            frame(FINAL | BYTES | DEFLATED, &deflated),
            frame(FINAL | TEXT, long.as_bytes()),
        ]
        .concat();
        let expected = [
            Message::text("plain"),
            Message::text(&long),
            Message::Ping("one".into()),
            Message::Ping("two".into()),
            Message::text(&long),
            Message::Ping(Bytes::new()),
            Message::text("plain"),
            Message::binary(long.clone().into_bytes()),
            Message::text(&long),
        ];
        for at_once in [1, 2, 3, 5, 14, 100, 1_023, 4_096, 1 << 20] {
            let (messages, error) = read(bytes.clone(), at_once, true).await;
            assert!(
                messages == expected,
                "{at_once} at once: {:?} {error:?}",
                messages.iter().map(Message::len).collect::<Vec<_>>()
            );
        }
    }

    #[tokio::test]
    async fn what_inflates_beyond_the_bound_ends_before_it_is_spent() {
        let mut bomb = Vec::with_capacity(64 << 10);
        let zeros = vec![b'0'; 40 << 20];
        Compress::new(Compression::best(), false)
            .compress_vec(&zeros, &mut bomb, FlushCompress::Sync)
            .unwrap();
        assert!(bomb.len() < 64 << 10);
        let too_long = |error| matches!(error, Error::Capacity(CapacityError::MessageTooLong { size, .. }) if size < LARGEST + 8_192);
        let whole = frame(FINAL | TEXT | DEFLATED, &bomb);
        let (messages, error) = read(whole, 1 << 20, true).await;
        assert!(messages.is_empty() && too_long(error));
        // In as many frames as it has bytes, too.
        let cut = bomb.iter().map(|byte| frame(LATER, &[*byte]));
        let cut = [frame(TEXT | DEFLATED, &[])].into_iter().chain(cut).flatten().collect();
        let (messages, error) = read(cut, 1 << 20, true).await;
        assert!(messages.is_empty() && too_long(error));
        // The largest that may be is one.
        let (messages, error) =
            read(frame(FINAL | TEXT | DEFLATED, &packed(&"0".repeat(LARGEST))), 4_096, true).await;
        assert_eq!(messages.iter().map(Message::len).collect::<Vec<_>>(), [LARGEST], "{error:?}");
    }

    #[tokio::test]
    async fn what_is_wrong_breaks_the_connection() {
        let protocol = |bytes: Vec<u8>| async {
            match read([frame(FINAL | TEXT, b"before"), bytes].concat(), 4_096, true).await {
                (messages, Error::Protocol(error)) if messages.len() == 1 => error,
                other => panic!("{other:?}"),
            }
        };
        let open = || frame(TEXT | DEFLATED, &[0xf2, 0x48]);
        for bytes in [
            frame(FINAL | PING | DEFLATED, b""),
            frame(FINAL | LATER | DEFLATED, b""),
            [open(), frame(FINAL | LATER | DEFLATED, b"")].concat(),
            [open(), frame(FINAL | TEXT | DEFLATED, b"")].concat(),
            frame(FINAL | TEXT | DEFLATED | 0x20, b""),
            frame(FINAL | TEXT | DEFLATED | 0x10, b""),
        ] {
            assert_eq!(protocol(bytes).await, ProtocolError::NonZeroReservedBits);
        }
        let (text, later) = (frame(FINAL | TEXT, b""), frame(FINAL | LATER, b""));
        assert!(matches!(protocol([open(), text].concat()).await, ProtocolError::ExpectedFragment(_)));
        assert_eq!(protocol(later).await, ProtocolError::UnexpectedContinueFrame);
        let unmasked = vec![FINAL | TEXT | DEFLATED, 1, 0];
        assert_eq!(protocol(unmasked).await, ProtocolError::UnmaskedFrameFromClient);
        assert_eq!(protocol(frame(FINAL | 3 | DEFLATED, b"")).await, ProtocolError::InvalidOpcode(3));

        for content in [[0xff; 20].as_slice(), &[0x06], &[0x01, 0x02, 0x03, 0x04, 0x05]] {
            let (messages, error) = read(frame(FINAL | TEXT | DEFLATED, content), 4_096, true).await;
            let no_deflate = matches!(&error, Error::Io(error) if is_no_deflate(error));
            assert!(messages.is_empty() && no_deflate, "{messages:?} {error:?}");
        }
        let (_, error) = read(frame(FINAL | TEXT | DEFLATED, &[0xfa, 0x27, 0x00]), 4_096, true).await;
        assert!(matches!(error, Error::Utf8(_)), "{error:?}");
    }

    #[tokio::test]
    async fn without_a_negotiation_no_message_is_deflated() {
        let bytes =
            [frame(FINAL | TEXT, b"plain"), frame(FINAL | TEXT | DEFLATED, &[0xf2, 0x48, 0xcd])].concat();
        let (messages, error) = read(bytes, 4_096, false).await;
        assert_eq!(messages, [Message::text("plain")]);
        assert!(matches!(error, Error::Protocol(ProtocolError::NonZeroReservedBits)), "{error:?}");
    }

    #[tokio::test]
    async fn any_bytes_come_to_an_end() {
        for seed in 0..2_000_u64 {
            let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut bytes = Vec::new();
            for _ in 0..next(8) {
                let first = [
                    FINAL | TEXT | DEFLATED,
                    TEXT | DEFLATED,
                    LATER,
                    FINAL | LATER,
                    FINAL | PING,
                    next(256) as u8,
                ];
                let content: Vec<u8> = match next(3) {
                    0 => packed(&"0123456789".repeat(200 + next(2_000) as usize)).into(),
                    _ => (0..next(200)).map(|_| next(256) as u8).collect(),
                };
                bytes.extend(frame(first[next(6) as usize], &content));
            }
            if next(2) == 0 && !bytes.is_empty() {
                let at = next(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << next(8);
            }
            let at_once = 1 + next(300) as usize;
            let ended =
                tokio::time::timeout(std::time::Duration::from_secs(60), read(bytes, at_once, true)).await;
            assert!(ended.is_ok(), "seed {seed}");
        }
    }
}
