//! The decoders of `engine`: a server's stated delay, and the state that the database keeps. What they take means the
//! same when it is written again; what they cannot read counts as absent.
//! Called through the list in `mod.rs`.

use std::time::Duration;

use crsqlite_sync::engine::meta::Meta;
use crsqlite_sync::engine::retry::stated_delay;
use crsqlite_sync::wire::Run;

pub fn retry_after(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let Some(delay) = stated_delay(&text) else { return false };
    assert!(text.contains("retryAfter="));
    let plain = format!("retryAfter={}", delay.as_millis());
    assert_eq!(stated_delay(&plain), Some(delay));
    assert_eq!(stated_delay(&[&*text, " "].concat()), Some(delay), "what follows the number says nothing");
    assert!(delay <= Duration::from_millis(u64::MAX));
    true
}

/// The state's entries, one on each line: name, tab, text.
pub fn stored_state(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    let entries: Vec<(String, String)> = pairs.map(|(name, text)| (name.into(), text.into())).collect();
    let meta = Meta::read(&entries);
    assert_eq!(Meta::read(&written(&meta)), meta, "written and read again");
    assert_eq!(meta.changes_since(&meta), [], "nothing has changed");
    for cursor in meta.received.values().chain(meta.rewind.values()) {
        assert!(meta.resolve(Some(cursor)) <= cursor.version, "more than was received");
    }
    let mut started = meta.clone();
    if let Some(run) = Run::new("the next run") {
        started.begin_run(run, 7);
        assert_eq!(started.run().map(Run::as_str), Some("the next run"));
        assert_eq!(Meta::read(&written(&started)), started);
    }
    started.forget_progress();
    assert_eq!(Meta::read(&written(&started)), started);
    // An entry that cannot be read is dropped, never the state.
    !entries.is_empty() && written(&meta).len() == entries.len()
}

fn written(meta: &Meta) -> Vec<(String, String)> {
    let changes = meta.changes_since(&Meta::default()).into_iter();
    changes.filter_map(|(name, text)| Some((name, text?))).collect()
}
