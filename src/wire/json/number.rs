//! Reals and their decimal text. The conversions are the standard library's, exact in both directions: reading gives
//! the nearest double, writing the shortest text that reads back the same. Decides only what counts as a number.

/// Reads decimal text: digits with an optional sign, point and exponent. Infinite beyond the range of a double;
/// `None` when it is no number (the standard library would read `inf` and `nan` too).
pub(crate) fn parse(text: &str) -> Option<f64> {
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if decimal { text.parse().ok() } else { None }
}

/// Writes a finite real: always with a fraction or an exponent, and a positive exponent with its sign, as JavaScript
/// and most others write it.
pub(crate) fn write(out: &mut String, real: f64) {
    let text = format!("{real:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => {
            out.extend([mantissa, "e+", exponent]);
        }
        Some(_) | None => out.push_str(&text),
    }
}
