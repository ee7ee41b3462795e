//! What a pull asks for, from the JSON of its body or frame, or from an address. Decides what a malformed question is and
//! the bounds of a page; never reads a log. Used by the endpoints.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::cursor::Filter;
use super::object;

/// More names than any app has collections.
const MOST_COLLECTIONS: usize = 256;

/// A pull, ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) cursor: Option<String>,
    pub(crate) filter: Filter,
    /// At least 1.
    pub(crate) records: usize,
}

/// Why a pull cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pull is an object of `cursor` (text), `collections` (texts) and `batchSize` (a number): {0}")]
pub(crate) struct BadPull(String);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Body {
    cursor: Option<String>,
    collections: Option<Vec<String>>,
    batch_size: Option<f64>,
}

impl Query {
    /// Reads the JSON of a body or a payload; an empty one asks for everything. A page has at most `most` records.
    ///
    /// # Errors
    /// When a field has another type.
    pub(crate) fn from_json(text: &str, most: usize) -> Result<Self, BadPull> {
        let body: Body = if text.trim().is_empty() {
            Body::default()
        } else {
            object(text).map_err(|error| BadPull(error.to_string()))?
        };
        Query::bounded(body, most)
    }

    /// Reads the names and values of an address, where a list is its name more than once, or commas.
    ///
    /// # Errors
    /// When `batchSize` is no number.
    pub(crate) fn from_pairs(pairs: Vec<(String, String)>, most: usize) -> Result<Self, BadPull> {
        let (mut body, mut collections) = (Body::default(), Vec::new());
        for (name, value) in pairs {
            match name.as_str() {
                "cursor" => body.cursor = Some(value),
                "collections" => {
                    // A name may have a comma itself: then this asks for a collection too many, and misses none.
                    collections.extend(value.split(',').filter(|part| !part.is_empty()).map(str::to_owned));
                    collections.push(value);
                }
                "batchSize" => {
                    let number = value.parse().map_err(|_| BadPull("`batchSize` is no number".to_owned()))?;
                    body.batch_size = Some(number);
                }
                _ => {}
            }
        }
        body.collections = Some(collections.into_iter().filter(|name| !name.is_empty()).collect());
        Query::bounded(body, most)
    }

    fn bounded(body: Body, most: usize) -> Result<Self, BadPull> {
        let collections = body.collections.unwrap_or_default();
        if collections.len() > MOST_COLLECTIONS {
            return Err(BadPull(format!("more than {MOST_COLLECTIONS} collections")));
        }
        let most = most.max(1);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
        let records = body.batch_size.map_or(most, |asked| (asked as usize).clamp(1, most));
        let filter = Filter(collections.into_iter().collect::<BTreeSet<_>>());
        // In an address no cursor is an empty one.
        Ok(Query { cursor: body.cursor.filter(|cursor| !cursor.is_empty()), filter, records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(cursor: Option<&str>, collections: &[&str], records: usize) -> Query {
        let filter = Filter(collections.iter().map(|&name| name.to_owned()).collect());
        Query { cursor: cursor.map(str::to_owned), filter, records }
    }

    #[test]
    fn fields_may_be_left_out_or_null_and_a_page_is_bounded() {
        for (text, expected) in [
            ("", query(None, &[], 100)),
            ("{}", query(None, &[], 100)),
            (r#"{"cursor":null,"collections":null,"batchSize":null,"more":1}"#, query(None, &[], 100)),
            (r#"{"cursor":"c","collections":["b","a","b"],"batchSize":7}"#, query(Some("c"), &["a", "b"], 7)),
            (r#"{"batchSize":1e99}"#, query(None, &[], 100)),
            (r#"{"batchSize":0}"#, query(None, &[], 1)),
            (r#"{"batchSize":-3.5}"#, query(None, &[], 1)),
        ] {
            assert_eq!(Query::from_json(text, 100), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_another_type_is_refused() {
        let many = format!(r#"{{"collections":[{}]}}"#, vec!["\"a\""; MOST_COLLECTIONS + 1].join(","));
        for text in [
            "[]",
            r#"["c"]"#,
            "null",
            "x",
            r#"{"cursor":7}"#,
            r#"{"collections":"a"}"#,
            r#"{"batchSize":"7"}"#,
            &many,
        ] {
            assert!(Query::from_json(text, 100).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_asks_for_the_same() {
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            Query::from_pairs(pairs.collect(), 100)
        };
        assert_eq!(pairs(&[]), Ok(query(None, &[], 100)));
        assert_eq!(
            pairs(&[
                ("cursor", "c"),
                ("collections", "a"),
                ("collections", "b,c"),
                ("batchSize", "7"),
                ("x", "y")
            ]),
            Ok(query(Some("c"), &["a", "b", "b,c", "c"], 7))
        );
        assert_eq!(pairs(&[("cursor", ""), ("collections", "")]), Ok(query(None, &[], 100)));
        assert!(pairs(&[("batchSize", "many")]).is_err());
    }
}
