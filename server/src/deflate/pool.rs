//! The states of zlib, which take longer to make than a short message takes to pack. Decides how many are kept: a connection
//! holds one only while a message is in the middle.

use std::sync::{LazyLock, Mutex, PoisonError};

/// As many as can be at work.
static KEPT: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(2, usize::from) * 2);

pub(super) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    pub(super) const fn new() -> Self {
        Pool(Mutex::new(Vec::new()))
    }

    pub(super) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps one that is as new.
    pub(super) fn put(&self, state: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < *KEPT {
            kept.push(state);
        }
    }
}
