//! What the options of the classes may be: which values are taken, what they mean, and the words for the rest. Decides
//! over what JavaScript can hand in, never over objects and functions, and knows no class.
//! Called by the constructors' parsers in `web`.

use crate::engine::clock::Duration;

/// Nobody lives to see the end of what is longer, and no clock overflows by what is shorter.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A value as far as options tell values apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// `undefined`, or no such field.
    Missing,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// An object, a function, a symbol, a bigint.
    Other,
}

impl Given {
    /// Where `null` is another word for nothing.
    #[must_use]
    pub fn or_null(self) -> Self {
        if self == Given::Null { Given::Missing } else { self }
    }
}

/// The message of a `bad-option`.
pub type Bad = String;

fn bad(name: &str, must: &str) -> Bad {
    [name, " must be ", must].concat()
}

/// # Errors
/// When it is neither missing nor true or false.
pub fn flag(name: &str, given: &Given) -> Result<Option<bool>, Bad> {
    match given {
        Given::Missing => Ok(None),
        Given::Bool(flag) => Ok(Some(*flag)),
        Given::Null | Given::Number(_) | Given::Text(_) | Given::Other => Err(bad(name, "true or false")),
    }
}

/// # Errors
/// When it is neither missing nor text that says something.
pub fn text(name: &str, given: Given) -> Result<Option<String>, Bad> {
    match given {
        Given::Missing => Ok(None),
        Given::Text(text) if !text.is_empty() => Ok(Some(text)),
        Given::Null | Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::Other => {
            Err(bad(name, "a string that is not empty"))
        }
    }
}

/// # Errors
/// When it is neither missing nor a whole number above 0.
pub fn count(name: &str, given: &Given) -> Result<Option<usize>, Bad> {
    match *given {
        Given::Missing => Ok(None),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked; `as` saturates
        Given::Number(number) if number >= 1.0 && number.fract() == 0.0 => Ok(Some(number as usize)),
        Given::Null | Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::Other => {
            Err(bad(name, "a whole number above 0"))
        }
    }
}

/// A number that has a default; it may be infinite.
///
/// # Errors
/// When it is below 0, or no number.
pub fn number(name: &str, given: &Given, otherwise: f64) -> Result<f64, Bad> {
    match *given {
        Given::Missing | Given::Null => Ok(otherwise),
        Given::Number(number) if number >= 0.0 => Ok(number),
        Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::Other => {
            Err(bad(name, "a number, 0 or more"))
        }
    }
}

/// How often, in milliseconds; `None` is never, for 0 and for what nobody lives to see.
///
/// # Errors
/// When it is below 0, not finite, or no number.
pub fn pause(name: &str, given: &Given, otherwise: f64) -> Result<Option<Duration>, Bad> {
    match *given {
        Given::Missing => Ok(duration(otherwise)),
        Given::Number(ms) if ms >= 0.0 && ms.is_finite() => Ok(duration(ms)),
        Given::Null | Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::Other => {
            Err(bad(name, "a number of milliseconds, not below 0"))
        }
    }
}

/// Milliseconds; `None` (no limit) for 0 and for what nobody lives to see.
#[must_use]
pub fn duration(ms: f64) -> Option<Duration> {
    let duration = Duration::from_ms(ms)?;
    (!duration.is_zero() && duration < CENTURY).then_some(duration)
}

/// How many attempts; 0 is no limit.
#[must_use]
pub fn attempts(number: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    if number.is_finite() { number as u32 } else { 0 }
}

/// The elements of a list of names; `None` when one of them is none.
#[must_use]
pub fn names(list: impl IntoIterator<Item = Given>) -> Option<Vec<String>> {
    list.into_iter().map(|name| text("", name).ok().flatten()).collect()
}

/// What is spoken on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    PushPull,
    Relay,
}

impl Protocol {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::PushPull => "push-pull",
            Protocol::Relay => "relay",
        }
    }

    /// `None` when there is no such protocol.
    #[must_use]
    pub fn read(given: &Given) -> Option<Self> {
        match given {
            Given::Missing => Some(Protocol::PushPull),
            Given::Text(name) => {
                [Protocol::PushPull, Protocol::Relay].into_iter().find(|protocol| protocol.as_str() == name)
            }
            Given::Null | Given::Bool(_) | Given::Number(_) | Given::Other => None,
        }
    }
}

/// Whether pulls ask with GET; `None` when it is no method for that.
#[must_use]
pub fn by_get(method: &Given) -> Option<bool> {
    match method {
        Given::Missing | Given::Null => Some(false),
        Given::Text(method) if method == "POST" => Some(false),
        Given::Text(method) if method == "GET" => Some(true),
        Given::Bool(_) | Given::Number(_) | Given::Text(_) | Given::Other => None,
    }
}

/// What names a remote that the app does not name: the address without its query, else the transport's name.
#[must_use]
pub fn default_remote(url: Given, name: Given) -> Option<String> {
    if let Given::Text(mut url) = url {
        url.truncate(url.find(['?', '#']).unwrap_or(url.len()));
        if !url.is_empty() {
            return Some(url);
        }
    }
    text("", name).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default_and_null_is_only_nothing_where_it_may_be() {
        assert_eq!(flag("multiTab", &Given::Missing), Ok(None));
        assert_eq!(flag("multiTab", &Given::Null), Err("multiTab must be true or false".into()));
        assert_eq!(number("heartbeatMs", &Given::Null, 7.0), Ok(7.0));
        assert_eq!(pause("pullIntervalMs", &Given::Missing, 30_000.0), Ok(Some(Duration::from_secs(30))));
        assert!(pause("pullIntervalMs", &Given::Null, 0.0).is_err());
        assert_eq!(count("batchChanges", &Given::Null.or_null()), Ok(None));
        assert_eq!(Protocol::read(&Given::Missing), Some(Protocol::PushPull));
        assert_eq!(Protocol::read(&Given::Null), None);
    }

    #[test]
    fn the_numbers_that_only_computers_know_are_told_apart() {
        let huge = [f64::MAX, 1e22, 1.8e22, 3.2e12];
        for ms in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, -1.0].into_iter().chain(huge) {
            assert_eq!(duration(ms), None, "{ms}");
        }
        for bad in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            assert!(number("n", &Given::Number(bad), 0.0).is_err(), "{bad}");
            assert!(pause("n", &Given::Number(bad), 0.0).is_err(), "{bad}");
            assert!(count("n", &Given::Number(bad)).is_err(), "{bad}");
        }
        assert!(count("n", &Given::Number(1.5)).is_err() && count("n", &Given::Number(-0.0)).is_err());
        assert_eq!(count("n", &Given::Number(1e300)), Ok(Some(usize::MAX)));
        assert_eq!((attempts(f64::INFINITY), attempts(2.5), attempts(1e10)), (0, 2, u32::MAX));
    }

    #[test]
    fn a_remote_is_named_by_its_address_and_else_by_its_transport() {
        let text = |text: &str| Given::Text(text.into());
        assert_eq!(default_remote(text("ws://h/p?token=1"), text("n")), Some("ws://h/p".into()));
        for nothing in [Given::Missing, Given::Other, text(""), text("?token=1")] {
            assert_eq!(default_remote(nothing, text("n")), Some("n".into()));
        }
        assert_eq!(default_remote(Given::Null, text("")), None);
        assert_eq!(names([text("a"), text("b")]), Some(vec!["a".into(), "b".into()]));
        assert_eq!(names([text("a"), Given::Number(1.0)]), None);
    }
}
