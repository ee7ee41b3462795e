//! Which web pages may open a socket. Decides by the `Origin` header alone: a browser sends the user's cookie along
//! whatever page asks, so a page of somebody else must be turned away.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// Whether the page that asks may connect: one of the relay's own host or of an allowed origin. What sends no origin is
/// no browser, or one that loads what a page of another site embeds.
pub(crate) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return headers.get("sec-fetch-site").is_none_or(|site| site != "cross-site");
    };
    let Ok(origin) = origin.to_str() else { return false };
    may_connect(origin, headers.get(HOST).and_then(|host| host.to_str().ok()), allowed)
}

/// Whether a page of this origin may connect to the relay at this host.
#[must_use]
pub fn may_connect(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    let own = match (origin.split_once("://"), host) {
        (Some((_, authority)), Some(host)) => authority.eq_ignore_ascii_case(host),
        _ => false,
    };
    own || allowed.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origin: Option<&'static str>, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "relay.example:8787".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&headers, &allowed.iter().map(|&origin| origin.into()).collect::<Vec<_>>())
    }

    #[test]
    fn a_page_of_the_same_host_and_whatever_is_no_page_may_connect() {
        assert!(check(None, &[]));
        assert!(check(Some("http://relay.example:8787"), &[]));
        assert!(check(Some("http://Relay.Example:8787"), &["https://app.example"]));
    }

    #[test]
    fn what_a_page_of_another_site_embeds_may_not_connect() {
        let embedded = |site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", site.parse().unwrap());
            is_allowed(&headers, &[])
        };
        assert!(!embedded("cross-site"));
        assert!(embedded("same-origin") && embedded("none"));
    }

    #[test]
    fn another_page_may_connect_only_if_it_is_named() {
        assert!(!check(Some("http://relay.example"), &[]));
        assert!(!check(Some("https://evil.example"), &["https://app.example"]));
        assert!(!check(Some("null"), &[]));
        assert!(!check(Some("https://app.example.evil.example"), &["https://app.example"]));
        assert!(check(Some("https://app.example"), &["https://app.example/"]));
    }
}
