//! Looking for a text within a text: what std has for that is fast in long ones, and weighs a hundred times as much.
//! Decides nothing. Used by `engine` and `web`, on what is short.

/// What comes after the first `mark`, which is not empty.
pub(crate) fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    (0..text.len()).find_map(|at| text.get(at..)?.strip_prefix(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_first_mark_is_found_as_std_finds_it() {
        for text in ["", "a", "é=", "a=b", "=", "ab==c", "é=é=é", "aab", "aaab==", "b=aab="] {
            for mark in ["=", "==", "aab", "é", "é=", "aab="] {
                assert_eq!(after(text, mark), text.split_once(mark).map(|(_, rest)| rest), "{text} {mark}");
            }
        }
    }
}
