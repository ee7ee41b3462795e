//! Where the attack begins: for each entry what it takes as it is, from the shared vectors where they have it.
//! Decides nothing about what is valid. Read by the property test, and written out as the fuzzer's first corpus.

#![allow(unreachable_pub)] // the fuzzer makes a library of it

use serde_json::Value as Json;

const RELAY: &str = include_str!("../vectors/relay.json");
const PUSH_PULL: &str = include_str!("../vectors/push-pull.json");
const RECORDS: &str = include_str!("../vectors/records.json");

/// A row that is good.
pub const ROW: &str = r#"{"table":"messages","pk":"bXNnLTEyMzQ1","cid":"content","val":"Hello!","col_version":1,"db_version":42,"site_id":"cXdlcnR5dWlvcGFzZGZnaA==","cl":1,"seq":0}"#;

/// The inputs to begin with.
#[must_use]
pub fn of(entry: &str) -> Vec<Vec<u8>> {
    match entry {
        "relay_frame" => {
            let mut frames = texts(RELAY, "frames");
            let around =
                frames.iter().find(|frame| frame.contains("\"changes\":[]")).cloned().unwrap_or_default();
            let rows = texts(RELAY, "rows");
            frames.extend(
                rows.iter().map(|row| around.replace("\"changes\":[]", &format!("\"changes\":[{row}]"))),
            );
            bytes(frames)
        }
        "push_pull_frame" => bytes(texts(PUSH_PULL, "frames")),
        "record" => {
            let mut lists: Vec<String> =
                texts(RECORDS, "records").iter().map(|record| format!("[{record}]")).collect();
            lists.extend(values(PUSH_PULL, "pushResults"));
            bytes(lists)
        }
        "value" => bytes(texts(RELAY, "values")),
        "key" => section(RELAY, "keys").iter().filter_map(|key| hex(key["hex"].as_str()?)).collect(),
        "field" => lines(FIELDS),
        "http_text" => bytes(HTTP.map(str::to_owned)),
        "retry_after" => lines(DELAYS),
        "stored_state" => vec![STATE.into()],
        "option" => options(),
        _ => Vec::new(),
    }
}

const FIELDS: &str = r#"0+/8=
0-_8
1YWJjZGVmZ2hpamtsbW5vcA==
1cXdlcnR5dWlvcGFzZGZnaA
200000000000000ff
3["r1",7]
3["r2",3,9]
4{"YWJjZGVmZ2hpamtsbW5vcA==":["r2",3,9],"cXdlcnR5dWlvcGFzZGZnaA==":["r1",7]}
5{"siteId":"YWJjZGVmZ2hpamtsbW5vcA==","run":"r1","baseVersion":3,"version":9007199254740991}
6[{"index":0,"code":"unknown-table"},{"index":18446744073709551615,"code":"malformed-row"}]
7[0,2]
7[4294967295,4294967295]"#;

const HTTP: [&str; 3] = [
    "https://example.com/sync/?tenant=1#top\n/push\ncursor=a%26b&batchSize=50\nno such tenant\n",
    "/\n\n\nToo many requests",
    "https://example.com\nhealth?deep=1\n\n<html>\u{1F600}</html>",
];

const DELAYS: &str = "busy; retryAfter=1500
retryAfter=20 ms
retryAfter=18446744073709551615
retryAfter=soon
 120
99999999999999999999999
Sun, 06 Nov 1994 08:49:37 GMT
Sunday, 06-Nov-94 08:49:37 GMT";

const STATE: &str = r#"db.high	9
runs	[["a",0],["b",7]]
tables	["t","u"]
account	"me"
current-log	"BwcHBwcHBwcHBwcHBwcHBw=="
schema	3
pushed	4
first-synced	true
last-synced-at	1701388800000
received/BwcHBwcHBwcHBwcHBwcHBw==	["x",4,6]
log/BwcHBwcHBwcHBwcHBwcHBw==	{"uploaded":2,"ranges":[[4,5],[8,8]],"stored":["x",3],"kept_sent":true}
rewind/BwcHBwcHBwcHBwcHBwcHBw==	["a",2]
"#;

/// Every kind of value that JavaScript hands in.
fn options() -> Vec<Vec<u8>> {
    let numbers = [0.0, -0.0, 1.0, 1.5, -1.0, 3e4, 1e12, 1e22, f64::MAX, f64::INFINITY, f64::NAN];
    let texts = ["", "relay", "push-pull", "GET", "wss://example.com/sync?tenant=1#top", "websocket"];
    let kinds = [[0].to_vec(), [1].to_vec(), [2, 1].to_vec(), [5].to_vec()];
    let numbers = numbers.map(|number: f64| [&[3][..], &number.to_le_bytes()].concat());
    let texts = texts.map(|text| [&[4], text.as_bytes()].concat());
    kinds.into_iter().chain(numbers).chain(texts).collect()
}

fn section(file: &str, name: &str) -> Vec<Json> {
    let all: Json = serde_json::from_str(file).unwrap_or_default();
    all[name].as_array().cloned().unwrap_or_default()
}

/// What stands in the vectors as text, in both spellings.
fn texts(file: &str, name: &str) -> Vec<String> {
    let vectors = section(file, name);
    let spellings = vectors.iter().flat_map(|vector| [&vector["text"], &vector["encoded"]]);
    spellings.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn values(file: &str, name: &str) -> Vec<String> {
    section(file, name).iter().map(|vector| vector["value"].to_string()).collect()
}

fn lines(text: &str) -> Vec<Vec<u8>> {
    text.lines().map(|line| line.into()).collect()
}

fn bytes(texts: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    texts.into_iter().map(String::into_bytes).collect()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
