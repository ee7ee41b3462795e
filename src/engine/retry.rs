//! What to do after a connection or a request has failed: one function from the close code, one from the HTTP
//! status, each answer with its reason. Never waits and never counts: that is [`super::link`]'s.
//! Called by [`super::link`] and by the HTTP transport.

use crate::engine::clock::Duration;
use crate::text;
use crate::wire::CloseCode;

/// Nobody is made to wait longer by a header, which may as well be a mistake.
pub const LONGEST_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after the usual backoff.
    Retry,
    /// Try again, but not before the server's own delay, where it states one.
    RetryLater,
    /// Try again with smaller messages.
    RetrySmaller,
    /// Trying again is pointless until the app has a new token.
    NeedsAuth,
    /// Trying again is pointless until someone changes something.
    Fail,
}

/// A verdict and the stable word that says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub reason: &'static str,
}

const fn so(verdict: Verdict, reason: &'static str) -> Judgement {
    Judgement { verdict, reason }
}

/// After a socket was closed by the other side, or broke.
#[must_use]
pub fn after_close(code: CloseCode) -> Judgement {
    match code {
        CloseCode::UNAUTHENTICATED | CloseCode::HTTP_UNAUTHORIZED => {
            so(Verdict::NeedsAuth, "unauthenticated")
        }
        // The same frames would be refused again.
        CloseCode::PROTOCOL_ERROR => so(Verdict::Fail, "protocol-error"),
        CloseCode::UNSUPPORTED_DATA => so(Verdict::Fail, "unsupported-data"),
        CloseCode::INVALID_PAYLOAD => so(Verdict::Fail, "invalid-payload"),
        CloseCode::POLICY_VIOLATION => so(Verdict::Fail, "policy-violation"),
        CloseCode::TOO_BIG => so(Verdict::RetrySmaller, "message-too-big"),
        CloseCode::TRY_AGAIN_LATER => so(Verdict::RetryLater, "try-again-later"),
        CloseCode::HTTP_TOO_MANY_REQUESTS => so(Verdict::RetryLater, "too-many-requests"),
        // A request timeout in HTTP's numbering: nothing is wrong with us.
        CloseCode(4408) => so(Verdict::Retry, "server-timeout"),
        // HTTP's "the client is wrong".
        CloseCode(4400..=4499) => so(Verdict::Fail, "refused"),
        CloseCode::NORMAL | CloseCode::GOING_AWAY | CloseCode(1012) => so(Verdict::Retry, "server-closed"),
        CloseCode::ABNORMAL | CloseCode(1005 | 1015) => so(Verdict::Retry, "connection-lost"),
        // 1011, 1014, an application's own codes: nothing says that it will last.
        CloseCode(_) => so(Verdict::Retry, "server-error"),
    }
}

/// After an HTTP answer that is not a success.
#[must_use]
pub fn after_status(status: u16) -> Judgement {
    match status {
        401 => so(Verdict::NeedsAuth, "unauthenticated"),
        408 | 425 => so(Verdict::Retry, "server-timeout"),
        413 => so(Verdict::RetrySmaller, "message-too-big"),
        429 => so(Verdict::RetryLater, "too-many-requests"),
        503 => so(Verdict::RetryLater, "try-again-later"),
        400..=499 => so(Verdict::Fail, "refused"),
        _ => so(Verdict::Retry, "server-error"),
    }
}

/// The delay that a `Retry-After` header asks for, in seconds or as a date, at most [`LONGEST_DELAY`]. A date that has
/// passed asks for none; what is neither says nothing. `read_date` reads an HTTP date as milliseconds since 1970, NaN
/// where it cannot: every platform has that, and may be lenient.
#[must_use]
pub fn retry_after(header: &str, now_unix_ms: i64, read_date: fn(&str) -> f64) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits fail to parse only when they are too many.
        let seconds = header.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_DELAY));
    }
    // What a date must look like, so that a lenient reader makes none of "-5".
    if !header.starts_with(|first: char| first.is_ascii_alphabetic()) || !header.ends_with(" GMT") {
        return None;
    }
    let date = Some(read_date(header)).filter(|date| date.is_finite())?;
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // `as` saturates
    let ahead = (date - now_unix_ms as f64).max(0.0) as u64;
    Some(Duration::from_millis(ahead).min(LONGEST_DELAY))
}

/// The delay that a server states in the text of its close frame: `retryAfter=` and milliseconds.
#[must_use]
pub fn stated_delay(text: &str) -> Option<Duration> {
    let rest = text::after(text, "retryAfter=")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_delay_is_read_from_the_text_of_a_close_frame() {
        assert_eq!(stated_delay("busy; retryAfter=1500"), Some(Duration::from_millis(1500)));
        assert_eq!(stated_delay("retryAfter=20 ms"), Some(Duration::from_millis(20)));
        assert_eq!(stated_delay("retryAfter=soon"), None);
        assert_eq!(stated_delay("retryAfter=99999999999999999999999"), None);
        assert_eq!(stated_delay(""), None);
    }

    fn read_date(text: &str) -> f64 {
        let date = httpdate::parse_http_date(text).ok().and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        date.map_or(f64::NAN, |since| since.as_secs_f64() * 1000.0)
    }

    #[test]
    fn a_lenient_reader_of_dates_is_not_asked_about_what_is_no_date() {
        for header in ["-5", "1.5", "5s", "2041-11-06T08:49:37Z", "", "٥", "6 Nov 2041 GMT"] {
            assert_eq!(retry_after(header, 0, |_| 1e12), None, "{header:?}");
        }
        let header = "Wed, 06 Nov 2041 08:49:37 GMT";
        assert_eq!(retry_after(header, 0, |_| f64::INFINITY), None);
        assert_eq!(retry_after(header, 0, |_| f64::MAX), Some(LONGEST_DELAY));
        assert_eq!(retry_after(header, 0, |_| f64::MIN), Some(Duration::ZERO));
    }

    #[test]
    fn retry_after_is_read_in_seconds_or_as_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        const NOW: i64 = 784_111_777_000;
        for (header, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("99999999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Wed, 06 Nov 2041 08:49:37 GMT", Some(86_400)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("", None),
            (" ", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("5s", None),
            ("soon", None),
            ("soon GMT", None),
            ("5 GMT", None),
            ("Sun Nov  6 08:49:38 1994", None),
            ("NaN", None),
            ("٥", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
            ("2041-11-06T08:49:37Z", None),
        ] {
            assert_eq!(retry_after(header, NOW, read_date), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    #[test]
    fn retry_after_is_read_to_the_millisecond_and_under_any_clock() {
        let header = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(retry_after(header, 784_111_776_250, read_date), Some(Duration::from_millis(750)));
        for now in [i64::MIN, -1, 0, i64::MAX] {
            assert!(retry_after(header, now, read_date).is_some_and(|delay| delay <= LONGEST_DELAY));
        }
    }

    #[test]
    fn no_header_makes_anybody_panic_or_wait_longer_than_a_day() {
        let mut noise = crate::engine::clock::Jitter::new(7);
        let alphabet: Vec<char> = "0123456789 ,:-GMTSunNovJan94\u{e9}\u{0}".chars().collect();
        for round in 0..20_000 {
            let length = noise.next_u64() % 32;
            let pick = |_| alphabet[usize::try_from(noise.next_u64() % alphabet.len() as u64).unwrap()];
            let header: String = (0..length).map(pick).collect();
            let delay = retry_after(&header, 784_111_777_000, read_date);
            assert!(delay.is_none_or(|delay| delay <= LONGEST_DELAY), "seed 7, round {round}: {header:?}");
        }
    }

    #[test]
    fn every_close_code_that_the_protocol_names_has_its_verdict() {
        for (code, verdict, reason) in [
            (1000, Verdict::Retry, "server-closed"),
            (1001, Verdict::Retry, "server-closed"),
            (1002, Verdict::Fail, "protocol-error"),
            (1003, Verdict::Fail, "unsupported-data"),
            (1005, Verdict::Retry, "connection-lost"),
            (1006, Verdict::Retry, "connection-lost"),
            (1007, Verdict::Fail, "invalid-payload"),
            (1008, Verdict::Fail, "policy-violation"),
            (1009, Verdict::RetrySmaller, "message-too-big"),
            (1011, Verdict::Retry, "server-error"),
            (1012, Verdict::Retry, "server-closed"),
            (1013, Verdict::RetryLater, "try-again-later"),
            (1014, Verdict::Retry, "server-error"),
            (1015, Verdict::Retry, "connection-lost"),
            (3000, Verdict::Retry, "server-error"),
            (4000, Verdict::Retry, "server-error"),
            (4001, Verdict::NeedsAuth, "unauthenticated"),
            (4002, Verdict::Retry, "server-error"),
            (4400, Verdict::Fail, "refused"),
            (4401, Verdict::NeedsAuth, "unauthenticated"),
            (4403, Verdict::Fail, "refused"),
            (4408, Verdict::Retry, "server-timeout"),
            (4429, Verdict::RetryLater, "too-many-requests"),
            (4500, Verdict::Retry, "server-error"),
        ] {
            assert_eq!(after_close(CloseCode(code)), Judgement { verdict, reason }, "{code}");
        }
    }

    #[test]
    fn every_http_status_has_its_verdict() {
        for (status, verdict) in [
            (400, Verdict::Fail),
            (401, Verdict::NeedsAuth),
            (403, Verdict::Fail),
            (404, Verdict::Fail),
            (408, Verdict::Retry),
            (413, Verdict::RetrySmaller),
            (429, Verdict::RetryLater),
            (500, Verdict::Retry),
            (502, Verdict::Retry),
            (503, Verdict::RetryLater),
        ] {
            assert_eq!(after_status(status).verdict, verdict, "{status}");
        }
    }
}
