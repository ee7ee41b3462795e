//! What waits to be written to one connection. Decides the bound: a queue that is full ends the connection, it never
//! drops a frame out of the middle. Filled by `room` in the user's order, emptied by `socket`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crsqlite_sync::wire::CloseCode;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tungstenite::Utf8Bytes;

use crate::config::Limits;
use crate::deflate::Text;
use crate::upgrade::Deflates;

/// How a connection ends: what its close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
    /// How long the other side is to stay away.
    pub(crate) retry_after: Option<Duration>,
}

impl End {
    pub(crate) const fn new(code: CloseCode, reason: &'static str) -> Self {
        End { code, reason, retry_after: None }
    }

    /// The same, and the other side is to stay away for so long.
    pub(crate) const fn after(self, delay: Duration) -> Self {
        End { retry_after: Some(delay), ..self }
    }

    /// The text of the close frame.
    pub(crate) fn text(&self) -> Utf8Bytes {
        match self.retry_after {
            Some(delay) => format!("{}; retryAfter={}", self.reason, delay.as_millis()).into(),
            None => Utf8Bytes::from_static(self.reason),
        }
    }
}

/// How much may wait. A single frame may always wait, however large.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Bound {
    pub(crate) fn of(limits: &Limits) -> Self {
        Bound { messages: limits.queue_messages, bytes: limits.queue_bytes }
    }
}

/// A queue that was full.
const TOO_SLOW: End = End::new(CloseCode::TRY_AGAIN_LATER, "reading too slowly");

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Frame(Text),
    /// Nothing follows.
    End(End),
}

/// A text that is still being written; what comes after it waits.
pub(crate) type Later = Arc<OnceLock<Text>>;

#[derive(Debug, Clone)]
pub(crate) enum Queued {
    Text(Text),
    /// And about how many bytes it will have. Then [`Outbox::look`] is to be called, or [`Outbox::give_up`].
    Later(Later, usize),
}

impl Queued {
    fn bytes(&self) -> usize {
        match self {
            Queued::Text(text) => text.len(),
            Queued::Later(_, bytes) => *bytes,
        }
    }

    fn text(&self) -> Option<&Text> {
        match self {
            Queued::Text(text) => Some(text),
            Queued::Later(text, _) => text.get(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Queued>,
    bytes: usize,
    end: Option<End>,
}

/// The ordered queue of one connection; one writer takes from it.
#[derive(Debug)]
pub(crate) struct Outbox {
    bound: Bound,
    deflates: Deflates,
    overflows: Counter,
    state: Mutex<State>,
    /// For the writer: there is something to take.
    filled: Notify,
    /// For the reader: the queue ran empty.
    emptied: Notify,
    ended: CancellationToken,
}

impl Outbox {
    /// `overflows` counts the queues that were full.
    pub(crate) fn new(bound: Bound, deflates: Deflates, overflows: Counter) -> Self {
        Outbox {
            bound,
            deflates,
            overflows,
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Whether the other side takes deflated messages.
    pub(crate) fn deflates(&self) -> bool {
        self.deflates.0
    }

    /// Queues a frame. At the bound everything that waits is void, and the connection ends.
    pub(crate) fn push(&self, frame: Text) {
        self.push_all([Queued::Text(frame)]);
    }

    /// Queues frames, in this order.
    pub(crate) fn push_all(&self, frames: impl IntoIterator<Item = Queued>) {
        let mut frames = frames.into_iter().peekable();
        if frames.peek().is_none() {
            return;
        }
        let mut state = self.state();
        for frame in frames {
            if state.end.is_some() {
                break;
            }
            self.queue(&mut state, frame);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// A frame that was queued before it was written may be there now.
    pub(crate) fn look(&self) {
        self.filled.notify_one();
    }

    /// Ends the connection although something waits: a frame will never be there.
    pub(crate) fn give_up(&self, end: End) {
        let mut state = self.state();
        state.frames.clear();
        state.bytes = 0;
        state.end = Some(end);
        drop(state);
        self.ended.cancel();
        self.filled.notify_one();
    }

    fn queue(&self, state: &mut State, frame: Queued) {
        let bytes = state.bytes.saturating_add(frame.bytes());
        let full = state.frames.len() >= self.bound.messages || bytes > self.bound.bytes;
        if full && !state.frames.is_empty() {
            state.frames.clear();
            state.bytes = 0;
            state.end = Some(TOO_SLOW);
            self.overflows.inc();
            self.ended.cancel();
        } else {
            state.frames.push_back(frame);
            state.bytes = bytes;
        }
    }

    /// Ends the connection once everything that waits is written. The first reason stands.
    pub(crate) fn end(&self, end: End) {
        self.state().end.get_or_insert(end);
        self.filled.notify_one();
        self.ended.cancel();
    }

    /// What to write next without waiting.
    pub(crate) fn try_take(&self) -> Option<Next> {
        let mut state = self.state();
        let front = state.frames.front().map(|frame| (frame.text().cloned(), frame.bytes()));
        match front {
            Some((None, _)) => None,
            Some((Some(frame), bytes)) => {
                state.frames.pop_front();
                state.bytes = state.bytes.saturating_sub(bytes);
                if state.frames.is_empty() {
                    self.emptied.notify_one();
                }
                Some(Next::Frame(frame))
            }
            None => state.end.map(Next::End),
        }
    }

    /// What can be written now, of about so many bytes, at the end of `frames`.
    pub(crate) fn take_ready(&self, most: usize, frames: &mut Vec<Text>) {
        let (mut state, mut taken) = (self.state(), 0);
        while taken < most
            && let Some(frame) = state.frames.front()
            && let Some(text) = frame.text().cloned()
        {
            let bytes = frame.bytes();
            state.frames.pop_front();
            state.bytes = state.bytes.saturating_sub(bytes);
            taken += text.len();
            frames.push(text);
        }
        if taken > 0 && state.frames.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// What to write next. Safe to cancel.
    pub(crate) async fn take(&self) -> Next {
        loop {
            if let Some(next) = self.try_take() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    /// Waits until nothing waits. False if the connection ends. Safe to cancel, for one caller at a time.
    pub(crate) async fn drained(&self) -> bool {
        while !self.state().frames.is_empty() {
            tokio::select! {
                () = self.emptied.notified() => {}
                () = self.ended.cancelled() => break,
            }
        }
        !self.ended.is_cancelled()
    }

    /// Waits until the connection ends. Safe to cancel.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way, so what a poisoned lock guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crsqlite_sync::engine::retry::stated_delay;

    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(Bound { messages: 3, bytes: 10 }, Deflates(false), Counter::default())
    }

    fn frame(text: &'static str) -> Option<Next> {
        Some(Next::Frame(Text::new(text)))
    }

    #[test]
    fn frames_leave_in_order_and_the_end_comes_last() {
        let outbox = outbox();
        outbox.push(Text::new("a"));
        outbox.push(Text::new("b"));
        outbox.end(End::new(CloseCode::GOING_AWAY, "first"));
        outbox.end(End::new(CloseCode::UNAUTHENTICATED, "second"));
        outbox.push(Text::new("too late"));
        assert_eq!(outbox.try_take(), frame("a"));
        assert_eq!(outbox.try_take(), frame("b"));
        assert_eq!(outbox.try_take(), Some(Next::End(End::new(CloseCode::GOING_AWAY, "first"))));
    }

    #[test]
    fn a_close_frame_says_how_long_to_stay_away_as_clients_read_it() {
        let end = End::new(CloseCode::TRY_AGAIN_LATER, "busy");
        assert_eq!(end.text().as_str(), "busy");
        let text = end.after(Duration::from_millis(1_500)).text();
        assert_eq!(text.as_str(), "busy; retryAfter=1500");
        assert_eq!(stated_delay(&text).map(Duration::from), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn a_frame_that_is_still_being_written_keeps_its_place_and_its_share_of_the_bound() {
        let (outbox, late) = (self::outbox(), Later::default());
        outbox.push(Text::new("a"));
        outbox.push_all([Queued::Later(Later::clone(&late), 8)]);
        outbox.push(Text::new("b"));
        outbox.end(End::new(CloseCode::GOING_AWAY, "bye"));
        assert_eq!((outbox.try_take(), outbox.try_take()), (frame("a"), None));
        late.set(Text::new("late")).unwrap();
        assert_eq!((outbox.try_take(), outbox.try_take()), (frame("late"), frame("b")));
        assert!(matches!(outbox.try_take(), Some(Next::End(_))));

        let outbox = self::outbox();
        outbox.push_all([Queued::Later(Later::default(), 8)]);
        outbox.push(Text::new("too much"));
        assert_eq!(outbox.try_take(), Some(Next::End(TOO_SLOW)));
    }

    #[test]
    fn a_frame_that_is_never_written_ends_the_connection() {
        let outbox = outbox();
        outbox.push_all([Queued::Later(Later::default(), 8)]);
        outbox.give_up(End::new(CloseCode::TRY_AGAIN_LATER, "overloaded"));
        assert!(matches!(outbox.try_take(), Some(Next::End(_))));
    }

    #[tokio::test]
    async fn who_waits_for_a_frame_hears_that_it_is_written() {
        let (outbox, late) = (outbox(), Later::default());
        outbox.push_all([Queued::Later(Later::clone(&late), 8)]);
        let write = async {
            tokio::task::yield_now().await;
            late.set(Text::new("late")).unwrap();
            outbox.look();
        };
        let (next, ()) = tokio::join!(outbox.take(), write);
        assert_eq!(Some(next), frame("late"));
    }

    #[test]
    fn a_full_queue_ends_the_connection_and_sends_nothing_after_a_hole() {
        for frames in [["a", "b", "c", "d"].as_slice(), &["aaaaaa", "bbbbbb"]] {
            let outbox = outbox();
            for text in frames {
                outbox.push(Text::new(*text));
            }
            let Some(Next::End(end)) = outbox.try_take() else { panic!("the queue has not ended") };
            assert_eq!(end.code, CloseCode::TRY_AGAIN_LATER);
        }
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_through_an_empty_queue() {
        let outbox = outbox();
        outbox.push(Text::new("much larger than ten"));
        assert_eq!(outbox.try_take(), frame("much larger than ten"));
        outbox.push(Text::new("a"));
        assert_eq!(outbox.try_take(), frame("a"));
    }
}
