//! When an ordinary record was written, in its writer's words. Decides which texts are moments and in which order they
//! lie; never reads a clock. Used where pushes are read.

use std::time::UNIX_EPOCH;

/// Milliseconds since 1970 of an ISO 8601 moment as `toISOString` and its like write it: with a zone, `Z` or `±hh:mm`.
/// `None` for anything else, a year before 1970 included.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => zone(text)?,
    };
    let moment = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let since = moment.duration_since(UNIX_EPOCH).ok()?.as_millis();
    Some(i64::try_from(since).ok()? - offset * 60_000)
}

/// The text before the zone, and the zone in minutes east of Greenwich.
fn zone(text: &str) -> Option<(&str, i64)> {
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, zone) = zone.split_at_checked(1)?;
    let (hours, minutes) = zone.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) =
        (digits(hours).then(|| hours.parse().ok())?, digits(minutes).then(|| minutes.parse().ok())?);
    let (hours, minutes): (i64, i64) = (hours?, minutes?);
    let east = hours * 60 + minutes;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        "+" => Some((local, east)),
        "-" => Some((local, -east)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_every_zone_are_put_in_order() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2023-12-01T00:00:01.007Z", 1_701_388_801_007),
            ("2023-12-01T00:00:01Z", 1_701_388_801_000),
            ("2023-12-01T02:00:01.007+02:00", 1_701_388_801_007),
            ("2023-11-30T18:30:01.007-05:30", 1_701_388_801_007),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_moment_is_none() {
        for text in [
            "",
            "Z",
            "now",
            "2023-12-01",
            "2023-12-01T00:00:01",
            "2023-13-01T00:00:01Z",
            "2023-12-01T00:00:01+2:00",
            "2023-12-01T00:00:01+24:00",
            "2023-12-01T00:00:01+-1:00",
            "2023-12-01T00:00:01 02:00",
            "1969-12-31T23:59:59Z",
            "1701388801007",
            "ééééé",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
