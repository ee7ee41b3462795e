//! A set of digests of 64 bits, a fraction of the code of a sort or a hash map. Decides nothing: two things with one
//! digest look the same, and who must not mix them up compares them. Used where rows are many.

/// Each digest stands where its own bits say, or in the next free place.
#[derive(Debug)]
pub(crate) struct Seen(Vec<u64>);

impl Seen {
    /// An empty set that takes so many.
    pub(crate) fn with_room(count: usize) -> Self {
        Seen(vec![0; (count * 2 + 1).next_power_of_two()])
    }

    /// Whether it was there before.
    pub(crate) fn insert(&mut self, digest: u64) -> bool {
        match self.place(digest).and_then(|at| self.0.get_mut(at)) {
            Some(place) => std::mem::replace(place, digest) == digest,
            None => false,
        }
    }

    pub(crate) fn has(&self, digest: u64) -> bool {
        self.place(digest).and_then(|at| self.0.get(at)) == Some(&digest)
    }

    /// Where it stands, or could.
    fn place(&self, digest: u64) -> Option<usize> {
        let mask = self.0.len() - 1;
        #[allow(clippy::cast_possible_truncation)] // the lower bits are as good
        let start = digest as usize;
        let free = |at: &usize| self.0.get(*at).is_some_and(|known| *known == digest || *known == 0);
        (0..=mask).map(|step| start.wrapping_add(step) & mask).find(free)
    }
}

/// A quick digest (FNV-1a), never 0: that is an empty place. No secret, and no proof against who looks for two alike.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mix = |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for count in [0, 1, 2, 3, 1000] {
            let digests: Vec<u64> = (1..=count).map(|n: u64| n * 1024).collect();
            let mut seen = Seen::with_room(digests.len());
            assert!(digests.iter().all(|digest| !seen.insert(*digest)), "{count}");
            assert!(digests.iter().all(|digest| seen.has(*digest) && seen.insert(*digest)), "{count}");
            assert!((1..=count).all(|n| !seen.has(n * 1024 + 1)) && !seen.has(1), "{count}");
        }
    }

    #[test]
    fn texts_that_differ_have_digests_that_differ() {
        assert_ne!(digest(b"one"), digest(b"two"));
        assert_ne!(digest(b""), 0);
    }
}
