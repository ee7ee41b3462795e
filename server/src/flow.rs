//! The bytes of a socket, as they arrive. Decides how fast a user's are read, whatever they are: heads of frames and parts
//! without content make no message that anybody could count. Kept by `accept` around each connection, told by `door`
//! whose it is; `pace` says how much is allowed.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep};

use crate::pace::Pace;
use crate::user::Owner;

/// Whose bytes they are, once that is known. Nobody's are not counted: nobody has long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow(Arc<OnceLock<(Arc<Pace>, Owner)>>);

impl Flow {
    /// From now on they count for this user.
    pub(crate) fn belongs_to(&self, owner: &Owner, pace: &Arc<Pace>) {
        self.0.get_or_init(|| (Arc::clone(pace), owner.clone()));
    }
}

/// The reader's side.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    flow: Flow,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    pub(crate) fn flow(&self) -> Flow {
        self.flow.clone()
    }

    /// Ready when more may be read.
    pub(crate) fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        Poll::Ready(())
    }

    pub(crate) fn has_read(&mut self, bytes: usize) {
        let Some((pace, owner)) = self.flow.0.get() else { return };
        let wait = pace.raw(owner, bytes, Instant::now());
        if !wait.is_zero() {
            self.rest = Some(Box::pin(sleep(wait)));
        }
    }
}
