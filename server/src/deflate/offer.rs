//! The handshake of permessage-deflate. Decides which of a client's offers is taken; the answer is always the same.

use axum::http::HeaderMap;
use axum::http::header::SEC_WEBSOCKET_EXTENSIONS;

/// What is answered. Each message has a window of its own: what idles needs no memory, a forward is deflated once for all
/// who get it, and the length of one message says nothing about the content of another.
pub(crate) const ACCEPTED: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Whether one of the offers can be answered with [`ACCEPTED`].
pub(crate) fn is_offered(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(is_acceptable)
}

/// An offer with a parameter that is unknown, wrong or there twice has to be declined, says the RFC. One that asks for a
/// smaller window is, too: nobody makes one.
fn is_acceptable(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    let (name, parameters): (_, Vec<&str>) = (parts.next(), parts.collect());
    let twice = |parameter: &str| parameters.iter().filter(|other| key(other) == key(parameter)).count() > 1;
    name == Some("permessage-deflate")
        && parameters.iter().all(|parameter| is_understood(parameter) && !twice(parameter))
}

fn key(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default().trim()
}

fn is_understood(parameter: &str) -> bool {
    let value = parameter.split_once('=').map(|(_, value)| value.trim().trim_matches('"'));
    match (key(parameter), value) {
        ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {
            true
        }
        // It may use a smaller window: any is understood.
        ("client_max_window_bits", Some(bits)) => {
            matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(lists: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, list.parse().unwrap());
        }
        is_offered(&headers)
    }

    #[test]
    fn what_browsers_and_libraries_offer_is_taken() {
        for list in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            "permessage-deflate;client_max_window_bits=12",
            "permessage-deflate; client_max_window_bits=\"12\"",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ] {
            assert!(offered(&[list]), "{list}");
        }
        assert!(offered(&["x-other; a=b", "permessage-deflate"]));
    }

    #[test]
    fn what_cannot_be_kept_is_declined() {
        for list in [
            "",
            "deflate",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=012",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits=9; client_max_window_bits=10",
            "permessage-deflate; other",
            "permessage-deflate;",
        ] {
            assert!(!offered(&[list]), "{list}");
        }
        assert!(!offered(&[]));
    }
}
