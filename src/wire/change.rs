//! One row of `crsql_changes` as it travels. Decides which rows are well formed; a row that is not becomes a
//! [`BadRow`] with its text kept, so that one bad row never costs the message its other rows.
//! Whether a good row fits the local schema is for whoever merges it.

use std::borrow::Cow;

use super::bytes::{SiteId, decode_base64, encode_base64};
use super::json::{self, Fault, Object, Reader};
use super::pk::Pk;
use super::value::Value;
use crate::rules::{self, Rule};

/// The `cid` of the row sentinel: an even `cl` says deleted, an odd one created again.
pub const SENTINEL: &str = "-1";
/// `col_version` and `cl` stay below 2^52: the next local write must still fit the exact range.
pub const MAX_COL_VERSION: i64 = (1 << 52) - 1;
/// `db_version` and `seq` stay within 2^53 - 1: beyond it a foreign clock poisons the reader's own.
pub const MAX_DB_VERSION: i64 = (1 << 53) - 1;

/// A message of more is malformed: a bad row may be a hundred times shorter than the place that it takes here.
pub const MAX_BAD_ROWS: usize = 1 << 16;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The receiver has something else under this row's name.
    Conflict,
}

impl RowCode {
    const ALL: [RowCode; 11] = [
        RowCode::MalformedRow,
        RowCode::MalformedKey,
        RowCode::MalformedSiteId,
        RowCode::VersionOutOfRange,
        RowCode::PoisonSentinel,
        RowCode::UnknownTable,
        RowCode::UnknownColumn,
        RowCode::KeyMismatch,
        RowCode::Refused,
        RowCode::TooLarge,
        RowCode::Conflict,
    ];

    /// The code of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        RowCode::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// A code that is not known yet says no more than that the row was refused.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(RowCode::from_name(&reader.string()?).unwrap_or(RowCode::Refused))
    }

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
            RowCode::Conflict => "conflict",
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

impl Change {
    /// Reads one row of a message.
    ///
    /// # Errors
    /// The first rule that the row breaks, with the row's text.
    pub fn from_json(text: &str) -> Row {
        json::parse(text, |reader| Ok(Change::read(reader)))
            .unwrap_or(Err(RowCode::MalformedRow))
            .map_err(|code| BadRow { code, text: text.to_owned() })
    }

    // Leaves the reader somewhere inside a row that is malformed.
    fn read(reader: &mut Reader<'_>) -> Result<Change, RowCode> {
        let fields = Fields::read(reader).map_err(|_| RowCode::MalformedRow)?;
        let (Some(table), Some(pk), Some(cid), Some(site_id)) =
            (fields.table, fields.pk, fields.cid, fields.site_id)
        else {
            return Err(RowCode::MalformedRow);
        };
        let [Some(col_version), Some(db_version), Some(cl), seq] = fields.numbers else {
            return Err(RowCode::MalformedRow);
        };
        let pk = decode_base64(&pk).and_then(|bytes| Pk::parse(&bytes)).ok_or(RowCode::MalformedKey)?;
        let site_id = match SiteId::from_base64(&site_id) {
            None if !rules::holds(Rule::WholeSiteIds) => SiteId([0; 16]),
            site_id => site_id.ok_or(RowCode::MalformedSiteId)?,
        };
        let change = Change {
            table: table.into_owned(),
            pk,
            cid: cid.into_owned(),
            val: fields.val.unwrap_or(Value::Null),
            col_version,
            db_version,
            site_id,
            cl,
            seq: seq.unwrap_or(0),
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
        if rules::holds(Rule::VersionRange)
            && (!versions.contains(&self.col_version)
                || !versions.contains(&self.cl)
                || !clocks.contains(&self.db_version)
                || !clocks.contains(&self.seq))
        {
            return Err(RowCode::VersionOutOfRange);
        }
        let poison =
            if self.is_sentinel() { self.col_version != self.cl } else { self.cl % 2 == 0 && self.cl > 0 };
        if poison && rules::holds(Rule::SoundSentinels) {
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
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let mut row = Object::new(out);
        row.text("table", &self.table);
        row.text("pk", &encode_base64(self.pk.as_bytes()));
        row.text("cid", &self.cid);
        self.val.write(row.name("val"));
        row.integer("col_version", self.col_version);
        row.integer("db_version", self.db_version);
        row.text("site_id", &encode_base64(&self.site_id.0));
        row.integer("cl", self.cl);
        row.integer("seq", self.seq);
        row.end();
    }
}

/// The fields of a row before they are checked.
#[derive(Default)]
struct Fields<'a> {
    table: Option<Cow<'a, str>>,
    pk: Option<Cow<'a, str>>,
    cid: Option<Cow<'a, str>>,
    val: Option<Value>,
    site_id: Option<Cow<'a, str>>,
    /// `col_version`, `db_version`, `cl`, `seq`
    numbers: [Option<i64>; 4],
}

impl<'a> Fields<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut fields = Fields::default();
        let [col_version, db_version, cl, seq] = &mut fields.numbers;
        reader.object()?;
        let mut first = true;
        while let Some(name) = reader.name(&mut first)? {
            let twice = match &*name {
                "table" => fields.table.replace(reader.string()?).is_some(),
                "pk" => fields.pk.replace(reader.string()?).is_some(),
                "cid" => fields.cid.replace(reader.string()?).is_some(),
                "val" => fields.val.replace(Value::read(reader)?).is_some(),
                "site_id" => fields.site_id.replace(reader.string()?).is_some(),
                "col_version" => col_version.replace(reader.integer()?).is_some(),
                "db_version" => db_version.replace(reader.integer()?).is_some(),
                "cl" => cl.replace(reader.integer()?).is_some(),
                "seq" => seq.replace(reader.integer()?).is_some(),
                _ => {
                    reader.skip()?;
                    false
                }
            };
            if twice {
                return Err(reader.fault("a field stands twice"));
            }
        }
        Ok(fields)
    }
}

/// Reads `changes`.
pub(super) fn read_rows(reader: &mut Reader<'_>) -> Result<Vec<Row>, Fault> {
    let (mut rows, mut bad, mut first) = (Vec::new(), 0, true);
    reader.array()?;
    while reader.element(&mut first)? {
        let row = read_row(reader)?;
        bad += usize::from(row.is_err());
        if bad > MAX_BAD_ROWS {
            return Err(reader.fault("too many bad rows"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Reads an element of `changes`. Fails only when it is no JSON.
fn read_row(reader: &mut Reader<'_>) -> Result<Row, Fault> {
    let mut ahead = reader.clone();
    match Change::read(&mut ahead) {
        Ok(change) => {
            *reader = ahead;
            Ok(Ok(change))
        }
        Err(code) => Ok(Err(BadRow { code, text: reader.skip()?.to_owned() })),
    }
}

/// Writes an element of `changes`: a bad row goes out as it came in.
pub(super) fn write_row(out: &mut String, row: &Row) {
    match row {
        Ok(change) => change.write(out),
        Err(bad) => out.push_str(json::parse(&bad.text, Reader::skip).unwrap_or("null")),
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

    /// The union `KeptRowCode` of the public types names them all, and no other.
    #[test]
    fn every_code_is_public() {
        let types = include_str!("../web/types.d.ts");
        let (_, rest) = types.split_once("export type KeptRowCode =").unwrap();
        let (union, _) = rest.split_once(';').unwrap();
        assert_eq!(union.matches("| \"").count(), RowCode::ALL.len());
        for code in RowCode::ALL {
            assert!(union.contains(&format!("| \"{}\"", code.as_str())), "{code:?} is not in the types");
        }
    }

    #[test]
    fn a_code_that_is_not_known_yet_is_read_as_a_refusal() {
        let code = |text: &str| json::parse(text, RowCode::read).unwrap();
        assert_eq!(code("\"too-large\""), RowCode::TooLarge);
        assert_eq!(code("\"over-quota\""), RowCode::Refused);
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
