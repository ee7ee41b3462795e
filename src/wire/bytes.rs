//! Binary fields: base64 text and the 16 bytes of a site id. Decides what counts as valid base64
//! (standard or URL alphabet, padding optional); always writes the standard alphabet with padding.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{Fault, Reader};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT.with_encode_padding(false));

/// Standard base64 with padding, as every message of ours carries it.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The URL alphabet without padding, for names.
#[must_use]
pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

/// Reads base64 in either alphabet, padded or not. `None` when it is neither.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) { URL_SAFE.decode(text).ok() } else { STANDARD.decode(text).ok() }
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

    #[test]
    fn a_site_id_of_another_length_is_refused() {
        assert!(SiteId::from_base64("YWJjZGVmZ2hpamtsbW5vcA==").is_some());
        assert!(SiteId::from_base64("").is_none());
        assert!(SiteId::from_base64("YWJj").is_none());
    }
}
