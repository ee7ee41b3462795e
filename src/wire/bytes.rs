//! Binary fields: base64 text and the 16 bytes of a site id. Decides what counts as valid base64
//! (standard or URL alphabet, padding optional); always writes the standard alphabet with padding.

use std::fmt;

use super::json::{Fault, Reader};

/// Standard base64 with padding, as every message of ours carries it.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    let mut text = encode(bytes, ['+', '/']);
    text.push_str(["", "==", "="].get(bytes.len() % 3).unwrap_or(&""));
    text
}

/// The URL alphabet without padding, for names.
#[must_use]
pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    encode(bytes, ['-', '_'])
}

/// `last` are the two symbols in which the alphabets differ.
fn encode(bytes: &[u8], last: [char; 2]) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (24 - 8 * chunk.len());
        for place in 0..=chunk.len() {
            let value = (bits >> (18 - 6 * place)) as u8 & 63;
            text.push(match value {
                ..26 => char::from(b'A' + value),
                26..52 => char::from(b'a' - 26 + value),
                52..62 => char::from(value - 52 + b'0'),
                62 => last[0],
                63.. => last[1],
            });
        }
    }
    text
}

/// Reads base64 in either alphabet, padded or not. `None` when it is neither.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let symbols = text.trim_end_matches('=');
    let mixed = text.contains(['-', '_']) && text.contains(['+', '/']);
    // A lone symbol is no byte yet, and padding fills up four symbols, no more.
    if mixed || symbols.len() % 4 == 1 || text.len() > symbols.len().next_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3 + 2);
    let mut bits = 0;
    for (at, symbol) in symbols.bytes().enumerate() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        if at % 4 > 0 {
            bytes.push((bits >> (6 - at % 4 * 2)) as u8);
        }
    }
    Some(bytes)
}

/// Who wrote a row, or who sends a message: the 16 bytes of `crsql_site_id()`; a storing relay's log has one too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub [u8; 16]);

impl SiteId {
    /// `None` unless there are exactly 16 bytes: an empty id would count as the reader's own (cr-sqlite).
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(SiteId)
    }

    /// Reads the base64 form of the messages.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        decode_base64(text).and_then(|bytes| SiteId::from_slice(&bytes))
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let text = reader.string()?;
        SiteId::from_base64(&text).ok_or_else(|| reader.fault("a site id is 16 bytes in base64"))
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_base64(&self.0))
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_both_alphabets_with_and_without_padding() {
        assert_eq!(decode_base64("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode_base64("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode_base64(""), Some(vec![]));
        assert_eq!(decode_base64("a b"), None);
    }

    /// The well-kept library, which is too heavy to ship.
    mod library {
        use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
        use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};

        const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);

        fn engine(alphabet: &Alphabet, padded: bool) -> GeneralPurpose {
            GeneralPurpose::new(alphabet, LENIENT.with_encode_padding(padded))
        }

        pub(super) fn encode(bytes: &[u8]) -> (String, String) {
            (engine(&STANDARD, true).encode(bytes), engine(&URL_SAFE, false).encode(bytes))
        }

        pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
            let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
            engine(alphabet, true).decode(text).ok()
        }
    }

    #[test]
    fn all_bytes_are_written_as_the_library_writes_them_and_read_back() {
        for length in 0..64_usize {
            for first in 0..=u8::MAX {
                let bytes: Vec<u8> = (0..length).map(|at| first.wrapping_add((at * at * 37) as u8)).collect();
                let (standard, url) = library::encode(&bytes);
                assert_eq!(encode_base64(&bytes), standard);
                assert_eq!(encode_base64url(&bytes), url);
                assert_eq!(decode_base64(&standard).as_ref(), Some(&bytes));
                assert_eq!(decode_base64(&url), Some(bytes));
            }
        }
    }

    #[test]
    fn every_short_text_is_taken_and_refused_as_by_the_library() {
        // Of all lengths up to two groups: symbols with and without low bits, those of one alphabet, padding, neither.
        let letters = ['A', 'z', '+', '_', '=', ' ', 'é'];
        let mut texts = vec![String::new()];
        for _ in 0..6 {
            for text in &texts {
                assert_eq!(decode_base64(text), library::decode(text), "{text:?}");
            }
            texts = texts.iter().flat_map(|text| letters.map(|letter| format!("{text}{letter}"))).collect();
        }
        for head in ["AbcD", "+9/8", "-0_z", "Ab=="] {
            for text in
                ["", "=", "A", "A=", "A===", "Ab", "Ab=", "Ab==", "Ab===", "Ab=c", "Abc", "Abc=", "Abc=="]
            {
                let text = [head, text].concat();
                assert_eq!(decode_base64(&text), library::decode(&text), "{text:?}");
            }
        }
        for byte in 0..=0x7f_u8 {
            let text = format!("{}A", char::from(byte));
            assert_eq!(decode_base64(&text), library::decode(&text), "{text:?}");
        }
    }

    #[test]
    fn a_site_id_of_another_length_is_refused() {
        assert!(SiteId::from_base64("YWJjZGVmZ2hpamtsbW5vcA==").is_some());
        assert!(SiteId::from_base64("").is_none());
        assert!(SiteId::from_base64("YWJj").is_none());
    }
}
