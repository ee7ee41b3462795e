//! Maps and sets that are sorted vectors, a fraction of a B-tree's code in the wasm. Inserting moves what comes after, so that a
//! map that may grow with the database is no case for them. Used by all layers.

use std::borrow::Borrow;
use std::collections::BinaryHeap;

/// A map whose entries are few; in the order of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap::new()
    }
}

impl<K, V> SortedMap<K, V> {
    #[must_use]
    pub const fn new() -> Self {
        SortedMap(Vec::new())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Replaces what the key had.
    pub fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(place) => {
                if let Some(entry) = self.0.get_mut(place) {
                    entry.1 = value;
                }
            }
            Err(place) => self.0.insert(place, (key, value)),
        }
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        Some(self.0.remove(place).1)
    }

    /// What the key has, after `fresh` if it had nothing.
    #[allow(clippy::indexing_slicing)] // found there, or inserted there
    pub fn or_insert_with(&mut self, key: K, fresh: impl FnOnce() -> V) -> &mut V {
        let place = match self.place(&key) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, (key, fresh()));
                place
            }
        };
        &mut self.0[place].1
    }

    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.or_insert_with(key, V::default)
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = SortedMap::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// A set that is filled by many entries at a time: a pass over both, so that it may also be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedSet<T>(Vec<T>);

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        SortedSet::new()
    }
}

impl<T> SortedSet<T> {
    #[must_use]
    pub const fn new() -> Self {
        SortedSet(Vec::new())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: Ord> SortedSet<T> {
    #[must_use]
    pub fn contains(&self, entry: &T) -> bool {
        self.0.binary_search(entry).is_ok()
    }

    pub fn insert_all(&mut self, entries: Vec<T>) {
        let mut entries = sorted(entries).into_iter().peekable();
        let mut all = Vec::with_capacity(self.0.len() + entries.len());
        for held in std::mem::take(&mut self.0) {
            while let Some(before) = entries.next_if(|entry| *entry < held) {
                all.push(before);
            }
            all.push(held);
        }
        all.extend(entries);
        all.dedup();
        self.0 = all;
    }

    pub fn remove(&mut self, entry: &T) {
        if let Ok(place) = self.0.binary_search(entry) {
            self.0.remove(place);
        }
    }
}

/// The list in order, without the code of a sort that is tuned for speed. Not stable.
#[must_use]
pub fn sorted<T: Ord>(list: Vec<T>) -> Vec<T> {
    BinaryHeap::from(list).into_sorted_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_set_that_is_filled_by_the_batch_behaves_as_a_b_tree_does() {
        let (mut ours, mut theirs) = (SortedSet::new(), BTreeSet::new());
        let mut seed = 11_u32;
        eprintln!("seed {seed}");
        let mut draw = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 25
        };
        for round in 0..2000 {
            let batch: Vec<u32> = (0..draw() % 6).map(|_| draw()).collect();
            theirs.extend(batch.iter().copied());
            ours.insert_all(batch);
            let gone = draw();
            ours.remove(&gone);
            theirs.remove(&gone);
            assert!(ours.0.iter().eq(theirs.iter()), "{round}");
            assert!((0..128).all(|entry| ours.contains(&entry) == theirs.contains(&entry)));
            if round % 100 == 99 {
                ours.clear();
                theirs.clear();
            }
            assert_eq!(ours.is_empty(), theirs.is_empty());
        }
    }

    #[test]
    fn it_behaves_as_a_b_tree_does() {
        let (mut ours, mut theirs) = (SortedMap::new(), BTreeMap::new());
        let mut seed = 7_u32;
        eprintln!("seed {seed}");
        for round in 0..20_000_u64 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = seed >> 26;
            match seed >> 8 & 7 {
                0 | 1 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                2 => {
                    *ours.or_default(key) += round;
                    *theirs.entry(key).or_default() += round;
                }
                3 => {
                    ours.retain(|key, _| key % 7 != seed >> 5 & 7);
                    theirs.retain(|key, _| key % 7 != seed >> 5 & 7);
                }
                _ => {
                    ours.insert(key, round);
                    theirs.insert(key, round);
                }
            }
            assert_eq!(ours.get(&key), theirs.get(&key));
            assert!(ours.iter().eq(theirs.iter()));
        }
    }
}
