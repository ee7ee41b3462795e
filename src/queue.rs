//! Queues of few entries: a vector that is taken from at the front, a fraction of a ring buffer's code in the wasm. Taking
//! moves what comes after, so that what may grow with the database is no case for them. Decides nothing; used by all layers.

use std::ops::{Deref, DerefMut};

/// First in, first out; in everything else the vector that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue<T>(Vec<T>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue::new()
    }
}

impl<T> Queue<T> {
    #[must_use]
    pub const fn new() -> Self {
        Queue(Vec::new())
    }

    pub fn push_back(&mut self, entry: T) {
        self.0.push(entry);
    }

    pub fn push_front(&mut self, entry: T) {
        self.0.insert(0, entry);
    }

    pub fn pop_front(&mut self) -> Option<T> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

impl<T> Deref for Queue<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Queue<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> IntoIterator for Queue<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Queue<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_first_comes_out_first_and_what_is_put_in_front_before_it() {
        let mut queue = Queue::new();
        queue.push_back(1);
        queue.push_back(2);
        queue.push_front(0);
        assert_eq!((queue.len(), queue.first(), queue.last()), (3, Some(&0), Some(&2)));
        assert_eq!(std::iter::from_fn(|| queue.pop_front()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(queue.pop_front(), None);
    }
}
