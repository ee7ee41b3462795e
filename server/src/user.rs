//! Who a log belongs to. Decides how a user's `sub` becomes the names that stand in messages; never stores anything.
//! Made by `socket` from a verified token, used by `room` and `reply`.

use std::fmt::Write as _;
use std::sync::Arc;

use crsqlite_sync::wire::SiteId;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

const TAG_BYTES: usize = 4;

/// A user and the names of the user's log.
#[derive(Debug, Clone)]
pub struct User {
    /// The `sub` of the token.
    pub sub: Arc<str>,
    /// Names this log: another one when the relay starts over with an empty database.
    pub site_id: SiteId,
    /// Names the account: the same on every relay, so that a client notices when it is somebody else's.
    pub account: String,
}

impl User {
    /// Derives the names; `log_secret` is the one that lives with the logs.
    #[must_use]
    pub fn new(sub: &str, log_secret: &[u8]) -> Self {
        User { sub: sub.into(), site_id: site_id(sub, log_secret), account: account(sub) }
    }

    /// What the relay's own log calls the user: a few digits that tell users apart, and that nobody who does not know
    /// the log's secret can turn into a name.
    #[must_use]
    pub fn tag(&self) -> String {
        hex(self.site_id.0.iter().take(TAG_BYTES))
    }
}

fn site_id(sub: &str, log_secret: &[u8]) -> SiteId {
    let mut id = [0; 16];
    // A key of HMAC may have any length, so this cannot fail.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(log_secret) {
        mac.update(sub.as_bytes());
        for (to, from) in id.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
    }
    SiteId(id)
}

fn account(sub: &str) -> String {
    hex(&Sha256::digest(sub))
}

fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_named_by_user_and_secret_and_the_account_by_the_user_alone() {
        let (alice, other) = (User::new("alice", b"one"), User::new("alice", b"two"));
        assert_ne!(alice.site_id, other.site_id);
        assert_ne!(alice.site_id, User::new("bob", b"one").site_id);
        assert_eq!(alice.site_id, User::new("alice", b"one").site_id);
        assert_eq!(alice.account, other.account);
        assert_eq!(alice.account, "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90");
    }
}
