//! Who a log belongs to. Decides which namespaces there can be, and how an owner becomes the names that stand in
//! messages; never stores anything. Made from a verified token, used by `room`, `reply` and the logs.

use std::fmt::Write as _;
use std::sync::Arc;

use crsqlite_sync::wire::SiteId;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

const TAG_BYTES: usize = 4;
/// A longer name of a namespace is refused.
const LONGEST_NAMESPACE: usize = 64;

/// Whose log it is: a user of one application. Two owners never share a row, a room or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The application; empty where the relay serves only one.
    namespace: Arc<str>,
    /// The `sub` of the token.
    sub: Arc<str>,
}

impl Owner {
    /// A user of the relay's only application.
    #[must_use]
    pub fn of(sub: &str) -> Self {
        Owner { namespace: "".into(), sub: sub.into() }
    }

    /// A user of this application. `None` if that is no name of one.
    #[must_use]
    pub fn within(namespace: &str, sub: &str) -> Option<Self> {
        is_namespace(namespace).then(|| Owner { namespace: namespace.into(), sub: sub.into() })
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    #[must_use]
    pub fn sub(&self) -> &str {
        &self.sub
    }

    #[must_use]
    pub fn digest(&self) -> OwnerDigest {
        let mut digest = Sha256::new();
        for name in [self.namespace(), self.sub()] {
            // No name runs into the next.
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
        }
        OwnerDigest(digest.finalize().into())
    }
}

/// Names an owner shortly, whatever its names are; nobody who reads it learns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerDigest(pub [u8; 32]);

impl OwnerDigest {
    /// `None` unless it has the length of one.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(OwnerDigest).ok()
    }
}

/// Whether an application may have this name: ASCII letters, digits, `.`, `_` and `-`, at most 64 of them, which mean the
/// same in a path and in a claim. The empty name is the relay's only application's.
pub(crate) fn is_namespace(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // What a path takes for itself or for the folder above.
    let is_folder = matches!(name, "." | "..");
    name.len() <= LONGEST_NAMESPACE && name.bytes().all(fits) && !is_folder
}

/// An owner and the names of the owner's log.
#[derive(Debug, Clone)]
pub struct User {
    pub owner: Owner,
    /// Names this log: another one when the relay starts over with an empty database.
    pub site_id: SiteId,
    /// Names the account: the same on every relay, so that a client notices when it is somebody else's.
    pub account: String,
}

impl User {
    /// Derives the names; `log_secret` is the one that lives with the logs.
    #[must_use]
    pub fn new(owner: Owner, log_secret: &[u8]) -> Self {
        let (namespace, sub) = (owner.namespace().as_bytes(), owner.sub().as_bytes());
        let (id, account): (Vec<u8>, Vec<u8>) = if namespace.is_empty() {
            (hmac(log_secret, sub), Sha256::digest(sub).to_vec())
        } else {
            // As keys, so that no `sub` can be chosen to be a user of another namespace.
            (hmac(&hmac(log_secret, namespace), sub), hmac(namespace, sub))
        };
        let mut site_id = [0; 16];
        site_id.iter_mut().zip(id).for_each(|(to, from)| *to = from);
        User { owner, site_id: SiteId(site_id), account: hex(&account) }
    }

    /// What the relay's own log calls the user: a few digits that tell users apart, and that nobody who does not know
    /// the log's secret can turn into a name.
    #[must_use]
    pub fn tag(&self) -> String {
        hex(self.site_id.0.iter().take(TAG_BYTES))
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of HMAC may have any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
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

    fn user(namespace: &str, sub: &str, secret: &[u8]) -> User {
        User::new(Owner::within(namespace, sub).unwrap(), secret)
    }

    #[test]
    fn the_log_is_named_by_user_and_secret_and_the_account_by_the_user_alone() {
        let (alice, other) = (user("", "alice", b"one"), user("", "alice", b"two"));
        assert_ne!(alice.site_id, other.site_id);
        assert_ne!(alice.site_id, user("", "bob", b"one").site_id);
        assert_eq!(alice.site_id, User::new(Owner::of("alice"), b"one").site_id);
        assert_eq!(alice.site_id.to_string(), "YMjaoHDL2aW7Ilxci0VSjg==", "clients know the log by it");
        assert_eq!(alice.account, other.account);
        assert_eq!(alice.account, "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90");
    }

    #[test]
    fn users_of_two_applications_have_nothing_in_common() {
        let names = [("", "alice"), ("a", "alice"), ("b", "alice"), ("a", "lice"), ("", "aalice")];
        let users = names.map(|(namespace, sub)| user(namespace, sub, b"one"));
        for (index, one) in users.iter().enumerate() {
            for other in users.iter().skip(index + 1) {
                assert_ne!(one.owner, other.owner);
                assert_ne!(one.site_id, other.site_id);
                assert_ne!(one.account, other.account);
            }
        }
        assert_eq!(users[1].site_id, user("a", "alice", b"one").site_id);
    }

    #[test]
    fn a_namespace_is_a_plain_name() {
        for good in ["", "app", "my-app_2.0", &"x".repeat(64)] {
            assert_eq!(Owner::within(good, "alice").unwrap().namespace(), good);
        }
        for bad in [".", "..", "a/b", "a b", "a%2fb", "ä", "a\0", &"x".repeat(65)] {
            assert_eq!(Owner::within(bad, "alice"), None, "{bad}");
        }
    }
}
