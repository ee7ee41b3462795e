//! One row of `crsql_changes` as it travels. Decides which rows are well formed; a row that is not becomes a
//! [`BadRow`] with its text kept, so that one bad row never costs the message its other rows.
//! Whether a good row fits the local schema is for whoever merges it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::bytes::{SiteId, decode_base64, encode_base64};
use super::pk::Pk;
use super::value::Value;

/// The `cid` of the row sentinel: an even `cl` says deleted, an odd one created again.
pub const SENTINEL: &str = "-1";
/// `col_version` and `cl` stay below 2^52: the next local write must still fit the exact range.
pub const MAX_COL_VERSION: i64 = (1 << 52) - 1;
/// `db_version` and `seq` stay within 2^53 - 1: beyond it a foreign clock poisons the reader's own.
pub const MAX_DB_VERSION: i64 = (1 << 53) - 1;

/// A well-formed change of one column, or of a row's existence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub table: String,
    pub pk: Pk,
    /// Column name, or [`SENTINEL`].
    pub cid: String,
    pub val: Value,
    pub col_version: i64,
    /// The **sender's** clock; the origin's is lost after a merge.
    pub db_version: i64,
    /// The **origin**: who wrote the value.
    pub site_id: SiteId,
    /// Causal length: odd while the row lives, even once it is deleted.
    pub cl: i64,
    pub seq: i64,
}

/// Why a row cannot be taken. The code is stable and travels in `rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowCode {
    /// A field is missing or of another type.
    MalformedRow,
    /// The key is not a packed key of cr-sqlite.
    MalformedKey,
    /// The origin is not 16 bytes.
    MalformedSiteId,
    /// A version outside what keeps clocks sane.
    VersionOutOfRange,
    /// A sentinel whose versions disagree, or a dead row with a column: it would corrupt the reader's clocks.
    PoisonSentinel,
    /// The local database has no such replicated table.
    UnknownTable,
    /// The local table has no such column.
    UnknownColumn,
    /// Another number of key columns, or another key type, than the local table's.
    KeyMismatch,
    /// The database refused the value (a constraint or a trigger).
    Refused,
    /// The row alone is larger than the receiver takes.
    TooLarge,
}

impl RowCode {
    /// The code as it stands in messages, lists and pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RowCode::MalformedRow => "malformed-row",
            RowCode::MalformedKey => "malformed-key",
            RowCode::MalformedSiteId => "malformed-site-id",
            RowCode::VersionOutOfRange => "version-out-of-range",
            RowCode::PoisonSentinel => "poison-sentinel",
            RowCode::UnknownTable => "unknown-table",
            RowCode::UnknownColumn => "unknown-column",
            RowCode::KeyMismatch => "key-mismatch",
            RowCode::Refused => "refused",
            RowCode::TooLarge => "too-large",
        }
    }
}

/// A row that is not well formed, with its JSON text as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    pub code: RowCode,
    pub text: String,
}

/// A row of a message: good, or kept aside.
pub type Row = Result<Change, BadRow>;

#[derive(Deserialize)]
struct ChangeJson<'a> {
    table: String,
    #[serde(borrow)]
    pk: std::borrow::Cow<'a, str>,
    cid: String,
    #[serde(default = "null")]
    val: Value,
    col_version: i64,
    db_version: i64,
    #[serde(borrow)]
    site_id: std::borrow::Cow<'a, str>,
    cl: i64,
    #[serde(default)]
    seq: i64,
}

fn null() -> Value {
    Value::Null
}

#[derive(Serialize)]
struct ChangeOut<'a> {
    table: &'a str,
    pk: String,
    cid: &'a str,
    val: &'a Value,
    col_version: i64,
    db_version: i64,
    site_id: SiteId,
    cl: i64,
    seq: i64,
}

impl Change {
    /// Reads one row of a message.
    ///
    /// # Errors
    /// The first rule that the row breaks, with the row's text.
    pub fn from_json(text: &str) -> Row {
        Change::read(text).map_err(|code| BadRow { code, text: text.to_owned() })
    }

    fn read(text: &str) -> Result<Change, RowCode> {
        let row: ChangeJson<'_> = serde_json::from_str(text).map_err(|_| RowCode::MalformedRow)?;
        let pk = decode_base64(&row.pk).and_then(|bytes| Pk::parse(&bytes)).ok_or(RowCode::MalformedKey)?;
        let site_id = SiteId::from_base64(&row.site_id).ok_or(RowCode::MalformedSiteId)?;
        let change = Change {
            table: row.table,
            pk,
            cid: row.cid,
            val: row.val,
            col_version: row.col_version,
            db_version: row.db_version,
            site_id,
            cl: row.cl,
            seq: row.seq,
        };
        change.check().map(|()| change)
    }

    /// The rules that hold whatever the schema is.
    ///
    /// # Errors
    /// The first rule that the row breaks.
    pub fn check(&self) -> Result<(), RowCode> {
        let versions = 0..=MAX_COL_VERSION;
        let clocks = 0..=MAX_DB_VERSION;
        if !versions.contains(&self.col_version)
            || !versions.contains(&self.cl)
            || !clocks.contains(&self.db_version)
            || !clocks.contains(&self.seq)
        {
            return Err(RowCode::VersionOutOfRange);
        }
        let poison =
            if self.is_sentinel() { self.col_version != self.cl } else { self.cl % 2 == 0 && self.cl > 0 };
        if poison {
            return Err(RowCode::PoisonSentinel);
        }
        if self.table.is_empty() || self.cid.is_empty() {
            return Err(RowCode::MalformedRow);
        }
        Ok(())
    }

    /// Says that the row was deleted, or created again.
    #[must_use]
    pub fn is_sentinel(&self) -> bool {
        self.cid == SENTINEL
    }

    /// An odd sentinel: whoever sends it also sends all rows of this key (the moved or zeroed columns keep
    /// their old versions in cr-sqlite, so a reader that follows by version would miss them).
    #[must_use]
    pub fn revives_row(&self) -> bool {
        self.is_sentinel() && self.cl % 2 == 1
    }

    /// About how many bytes the row takes in a message.
    #[must_use]
    pub fn wire_size(&self) -> usize {
        160 + self.table.len() + self.cid.len() + self.pk.as_bytes().len() * 4 / 3 + self.val.wire_size()
    }

    /// The JSON object of the messages.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Change {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ChangeOut {
            table: &self.table,
            pk: encode_base64(self.pk.as_bytes()),
            cid: &self.cid,
            val: &self.val,
            col_version: self.col_version,
            db_version: self.db_version,
            site_id: self.site_id,
            cl: self.cl,
            seq: self.seq,
        }
        .serialize(serializer)
    }
}

/// Reads `changes`: each element for itself.
pub(super) fn rows<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Row>, D::Error> {
    let raw = Vec::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.into_iter().map(|row| Change::from_json(row.get())).collect())
}

/// Writes `changes`: a bad row goes out as it came in.
pub(super) fn write_rows<S: serde::Serializer>(rows: &[Row], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(RowOut))
}

struct RowOut<'a>(&'a Row);

impl Serialize for RowOut<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Ok(change) => change.serialize(serializer),
            Err(bad) => match serde_json::from_str::<&RawValue>(&bad.text) {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => serializer.serialize_unit(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = r#"{"table":"messages","pk":"bXNnLTEyMzQ1","cid":"content","val":"Hello!","col_version":1,
        "db_version":42,"site_id":"cXdlcnR5dWlvcGFzZGZnaA==","cl":1,"seq":0}"#;

    #[test]
    fn the_row_of_the_seed_is_read_and_its_key_is_sent_packed() {
        let change = Change::from_json(SEED).unwrap();
        assert_eq!(change.pk.columns(), vec![Value::Text("msg-12345".into())]);
        assert_eq!(change.val, Value::Text("Hello!".into()));
        assert_eq!(Change::from_json(&change.to_json()), Ok(change));
    }

    #[test]
    fn each_broken_rule_has_its_code() {
        let cases = [
            ("\"cl\":1", "\"cl\":\"1\"", RowCode::MalformedRow),
            ("\"table\":\"messages\"", "\"table\":\"\"", RowCode::MalformedRow),
            ("bXNnLTEyMzQ1", "", RowCode::MalformedKey),
            ("bXNnLTEyMzQ1", "AQ==", RowCode::MalformedKey),
            ("cXdlcnR5dWlvcGFzZGZnaA==", "", RowCode::MalformedSiteId),
            ("\"col_version\":1", "\"col_version\":4503599627370496", RowCode::VersionOutOfRange),
            ("\"db_version\":42", "\"db_version\":9223372036854775807", RowCode::VersionOutOfRange),
            ("\"db_version\":42", "\"db_version\":-1", RowCode::VersionOutOfRange),
            ("\"cl\":1", "\"cl\":2", RowCode::PoisonSentinel),
            (
                "\"cid\":\"content\",\"val\":\"Hello!\",\"col_version\":1",
                "\"cid\":\"-1\",\"val\":null,\"col_version\":3",
                RowCode::PoisonSentinel,
            ),
        ];
        for (from, to, code) in cases {
            let text = SEED.replace(from, to);
            assert_ne!(text, SEED, "{from}");
            assert_eq!(Change::from_json(&text).unwrap_err().code, code, "{to}");
        }
    }
}
