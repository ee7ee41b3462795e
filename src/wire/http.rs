//! How the push-pull contract is laid on HTTP: where a request goes, and how much of a refusal's text is kept.
//! Never decides when to ask, and never encodes: parameters arrive encoded. Called by the HTTP transport.

/// How many characters of a refusal's text are kept.
pub const LONGEST_TEXT: usize = 500;

/// The address of an endpoint below `base`, whose own query is kept and whose fragment is dropped. An empty endpoint is
/// the base itself. `parameters` is such as `cursor=7&batchSize=50`.
#[must_use]
pub fn address(base: &str, endpoint: &str, parameters: &str) -> String {
    let (path, base_query) = split(base);
    let (endpoint, endpoint_query) = split(endpoint);
    let mut address = path.trim_end_matches('/').to_owned();
    let endpoint = endpoint.trim_start_matches('/');
    // "/" has nothing left without its slash, and would become the address of the page.
    if !endpoint.is_empty() || (address.is_empty() && !path.is_empty()) {
        address.push('/');
        address.push_str(endpoint);
    }
    let mut before = '?';
    for query in [base_query, endpoint_query, parameters] {
        if !query.is_empty() {
            address.push(before);
            address.push_str(query);
            before = '&';
        }
    }
    address
}

/// Path and query, without the fragment.
fn split(address: &str) -> (&str, &str) {
    let end = address.find('#').unwrap_or(address.len());
    let address = address.get(..end).unwrap_or(address);
    address.split_once('?').unwrap_or((address, ""))
}

/// A server's text, cut to a length that fits into a message.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => [text.get(..end).unwrap_or(text), "…"].concat(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_put_below_the_base_and_queries_are_kept() {
        for (base, endpoint, parameters, expected) in [
            ("https://h/sync", "push", "", "https://h/sync/push"),
            ("https://h/sync///", "push", "", "https://h/sync/push"),
            ("https://h", "push", "", "https://h/push"),
            ("https://h/", "pull", "cursor=7", "https://h/pull?cursor=7"),
            ("https://h/sync?tenant=1", "push", "", "https://h/sync/push?tenant=1"),
            ("https://h/sync/?tenant=1", "pull", "cursor=a%26b", "https://h/sync/pull?tenant=1&cursor=a%26b"),
            ("https://h/sync?", "pull", "cursor=7", "https://h/sync/pull?cursor=7"),
            ("https://h/sync#top", "push", "", "https://h/sync/push"),
            ("https://h/sync?a=/b/#top?x", "push", "", "https://h/sync/push?a=/b/"),
            ("https://h/sync", "/health", "", "https://h/sync/health"),
            ("https://h/sync?t=1", "health?deep=1", "", "https://h/sync/health?t=1&deep=1"),
            ("https://h/sync/", "", "", "https://h/sync"),
            ("https://h/sync/?t=1", "", "", "https://h/sync?t=1"),
            ("/api/sync", "push", "", "/api/sync/push"),
            ("api/sync/", "pull", "", "api/sync/pull"),
            ("/", "push", "", "/push"),
            ("/", "", "", "/"),
            ("", "push", "", "/push"),
        ] {
            assert_eq!(address(base, endpoint, parameters), expected, "{base} {endpoint}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(excerpt("  no such tenant\n"), "no such tenant");
        let exact = "é".repeat(LONGEST_TEXT);
        assert_eq!(excerpt(&exact), exact);
        let cut = excerpt(&"😀".repeat(LONGEST_TEXT + 1));
        assert_eq!(cut.chars().count(), LONGEST_TEXT + 1);
        assert!(cut.ends_with("😀…"));
    }
}
