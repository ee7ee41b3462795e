//! The decoders of `engine`: a server's stated delay, and the state that the database keeps. What they take means the
//! same when it is written again; what they cannot read counts as absent.
//! Called through the list in `mod.rs`.

use crsqlite_sync::engine::clock::Duration;
use crsqlite_sync::engine::meta::Meta;
use crsqlite_sync::engine::options::{self, Given, Protocol};
use crsqlite_sync::engine::retry::{LONGEST_DELAY, retry_after as of_header, stated_delay};
use crsqlite_sync::wire::Run;

pub fn retry_after(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let header = check_header(&text);
    let Some(delay) = stated_delay(&text) else { return header };
    assert!(text.contains("retryAfter="));
    let plain = format!("retryAfter={}", delay.as_millis());
    // To the millisecond, in which it is said; what no clock reaches was cut to what one does.
    assert_eq!(stated_delay(&plain).map(|again| again.as_millis()), Some(delay.as_millis()));
    assert_eq!(stated_delay(&[&*text, " "].concat()), Some(delay), "what follows the number says nothing");
    true
}

/// Whatever the platform makes of a date, and under any clock.
fn check_header(header: &str) -> bool {
    let readers: [fn(&str) -> f64; 5] =
        [|_| f64::NAN, |_| f64::INFINITY, |_| f64::MIN, |_| f64::MAX, |text| text.len() as f64 * 3e10];
    let delays =
        readers.map(|read| [i64::MIN, 0, 784_111_777_000, i64::MAX].map(|now| of_header(header, now, read)));
    assert!(delays.iter().flatten().flatten().all(|delay| *delay <= LONGEST_DELAY), "{header}: {delays:?}");
    // Without a reader of dates only a number of seconds is left, which no clock changes.
    let [seconds, ..] = delays[0];
    assert_eq!(delays[0], [seconds; 4], "{header}");
    assert!(seconds.is_none() || delays == [[seconds; 4]; 5], "{header}: {delays:?}");
    delays[4].iter().any(Option::is_some)
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

/// The first byte says what kind of value JavaScript hands in; the others are the value.
pub fn option(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    let text = String::from_utf8_lossy(rest).into_owned();
    let given = match kind % 6 {
        0 => Given::Missing,
        1 => Given::Null,
        2 => Given::Bool(rest.first().is_some_and(|byte| byte & 1 == 1)),
        3 => {
            let Some(bytes) = rest.first_chunk() else { return false };
            Given::Number(f64::from_le_bytes(*bytes))
        }
        4 => Given::Text(text.clone()),
        _ => Given::Other,
    };
    let nothing = given.clone().or_null() == Given::Missing;
    let numbers = [
        options::number("n", &given, 7.0).map(|number| number >= 0.0),
        options::count("n", &given).map(|count| count != Some(0)),
        options::pause("n", &given, 7.0).map(can_be_waited_for),
    ];
    for outcome in &numbers {
        assert_ne!(outcome, &Ok(false), "{given:?}");
        assert!(outcome.as_ref().err().is_none_or(|words| words.starts_with("n must be ")));
    }
    if let Given::Number(number) = given {
        assert!(can_be_waited_for(options::duration(number)), "{number}");
        assert!(number >= 0.5 || options::attempts(number) == 0, "{number}");
    }
    let flag = options::flag("f", &given).is_ok();
    assert_eq!(flag, matches!(given, Given::Missing | Given::Bool(_)));
    let words = options::text("w", given.clone());
    assert!(words.as_ref().is_ok_and(Option::is_none) == (given == Given::Missing));
    assert_eq!(
        options::names([given.clone(), given.clone()]),
        words.clone().ok().flatten().map(|w| vec![w.clone(), w])
    );
    let named = [Protocol::read(&given).is_some(), options::by_get(&given).is_some()];
    assert!(named == [false; 2] || nothing || ["relay", "push-pull", "POST", "GET"].contains(&&*text));
    let remote = options::default_remote(given.clone(), Given::Missing);
    assert!(remote.is_none_or(|remote| text.starts_with(&remote)
        && !remote.is_empty()
        && !remote.contains(['?', '#'])));
    named.contains(&true) || flag || words.is_ok() || numbers.iter().any(Result::is_ok)
}

/// No clock overflows by it.
fn can_be_waited_for(wait: Option<Duration>) -> bool {
    wait.is_none_or(|wait| !wait.is_zero() && wait < Duration::from_secs(1 << 32))
}

fn written(meta: &Meta) -> Vec<(String, String)> {
    let changes = meta.changes_since(&Meta::default()).into_iter();
    changes.filter_map(|(name, text)| Some((name, text?))).collect()
}
