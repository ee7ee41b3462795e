//! How many files and connections the process may have open. Decides that they are as many as the system lets it have, and
//! warns where that is less than the configuration promises. Called by `main` before anything is opened.

use tracing::{debug, warn};

use crate::accept;
use crate::config::Config;

/// The database, the log, and what the runtime needs.
const OTHERS: u64 = 64;

/// Raises the limit of this process to what the system allows; many begin with 1,024.
pub fn raise_limit(config: &Config) {
    match open_at_most() {
        Some(limit) => {
            debug!(limit, "files and connections that may be open");
            if let Some(wanted) = missing(limit, config.limits.max_connections) {
                warn!(
                    limit,
                    wanted,
                    "more connections are allowed than the system lets this process open: \
                     raise its hard limit (`ulimit -Hn`, LimitNOFILE=) or lower --max-connections"
                );
            }
        }
        None => debug!("nobody knows how many files and connections may be open"),
    }
}

/// How many there should be, if that is more than `limit`.
fn missing(limit: u64, sockets: usize) -> Option<u64> {
    let wanted = u64::try_from(accept::with_spare(sockets)).unwrap_or(u64::MAX).saturating_add(OTHERS);
    (limit < wanted).then_some(wanted)
}

#[cfg(unix)]
fn open_at_most() -> Option<u64> {
    // What cannot be raised stays as it is.
    rlimit::increase_nofile_limit(u64::MAX)
        .or_else(|_| rlimit::Resource::NOFILE.get().map(|(soft, _)| soft))
        .ok()
}

#[cfg(not(unix))]
fn open_at_most() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_too_low_when_not_all_connections_and_the_relays_own_files_fit() {
        assert_eq!(missing(1_024, 20_000), Some(20_000 + 5_000 + 64 + OTHERS));
        assert_eq!(missing(25_128, 20_000), None);
        assert_eq!(missing(1_024, usize::MAX), Some(u64::MAX));
        assert_eq!(missing(u64::MAX, usize::MAX), None);
    }
}
