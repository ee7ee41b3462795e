//! The decoders of `wire`: what they take is JSON, means the same when it is written again, and does not change by a
//! field that nobody knows. Never looks at how a decoder works; serde_json says what is JSON.
//! Called through the list in `mod.rs`.

use std::collections::BTreeMap;

use crsqlite_sync::wire::http::{LONGEST_TEXT, address, excerpt};
use crsqlite_sync::wire::push_pull::{ClientFrame, Envelope, ServerFrame, encode};
use crsqlite_sync::wire::record::{self as records, Fate};
use crsqlite_sync::wire::{
    Body, Change, Decoded, Message, Pk, Row, RowCode, Run, SiteId, Value, WireError, decode_base64,
    encode_base64, unpack_columns,
};
use serde_json::Value as Json;
use serde_json::value::RawValue;

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The same object with one field more, if it is an object that has any.
fn with_unknown_field(text: &str) -> Option<String> {
    let fields = text.trim_start_matches([' ', '\n', '\t', '\r']).strip_prefix('{')?;
    let any = fields.trim_start_matches([' ', '\n', '\t', '\r']).starts_with('"');
    any.then(|| ["{\"~\":[{\"type\":[]},-1.5e3,\"\\u00e9\"],", fields].concat())
}

/// A fault names its place, which another field moves.
fn code<T>(result: Result<T, WireError>) -> Result<T, &'static str> {
    result.map_err(|error| error.code())
}

pub fn relay_frame(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let decoded = Message::decode(&text);
    if let Some(more) = with_unknown_field(&text) {
        assert_eq!(code(Message::decode(&more)), code(decoded.clone()), "an unknown field changes it");
    }
    let Ok(decoded) = decoded else { return false };
    assert!(is_json(&text), "taken, but no JSON");
    if let Decoded::Message(message) = decoded {
        rows(&message.body).iter().for_each(|row| check_row(row, &text));
        let encoded = message.encode();
        assert!(is_json(&encoded), "written, but no JSON: {encoded}");
        assert_eq!(Message::decode(&encoded), Ok(Decoded::Message(message)), "{encoded}");
    }
    true
}

fn rows(body: &Body) -> &[Row] {
    match body {
        Body::Response(body) => &body.changes,
        Body::Push(body) => &body.changes,
        Body::Request(_) | Body::Ack(_) | Body::Error(_) => &[],
    }
}

fn check_row(row: &Row, within: &str) {
    match row {
        Ok(change) => {
            assert_eq!(change.check(), Ok(()));
            assert_eq!(Change::from_json(&change.to_json()).as_ref(), Ok(change));
        }
        Err(bad) => {
            assert!(within.contains(&bad.text), "a bad row's text is not its own: {}", bad.text);
            assert_eq!(Change::from_json(&bad.text).as_ref(), Err(bad));
            assert_eq!(RowCode::from_name(bad.code.as_str()), Some(bad.code));
        }
    }
}

pub fn push_pull_frame(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let decoded = Envelope::decode(&text);
    if let Some(more) = with_unknown_field(&text) {
        assert_eq!(code(Envelope::decode(&more)), code(decoded.clone()), "an unknown field changes it");
    }
    // With every name once, it is taken whenever it is an object with a type.
    if let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&text)
        && let Ok(once) = serde_json::to_string(&fields)
    {
        let kind = fields.get("type").and_then(|kind| serde_json::from_str::<String>(kind.get()).ok());
        assert_eq!(Envelope::decode(&once).ok().map(|envelope| envelope.kind), kind, "{once}");
    }
    let Ok(envelope) = decoded else { return false };
    assert!(is_json(&text), "taken, but no JSON");
    let Envelope { kind, request_id, payload } = &envelope;
    let again = encode(kind, request_id.as_deref(), payload.unwrap_or("null"));
    assert_eq!(Envelope::decode(&again).as_ref(), Ok(&envelope), "{again}");
    let client = !matches!(envelope.clone().from_client(), Ok(ClientFrame::Unknown(_)));
    let server = !matches!(envelope.clone().from_server(), Ok(ServerFrame::Unknown(_)));
    assert!(!(client && server), "{} is of both sides", envelope.kind);
    true
}

pub fn value(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let value = Value::from_json(&text);
    match serde_json::from_str::<Json>(&text) {
        Ok(Json::Object(_)) => {}
        Ok(plain) => assert_eq!(value.as_ref().ok(), of_plain(&plain).as_ref(), "{text}"),
        // serde_json looks at the inside of a tag's fields, which is for the tag's reader to say.
        Err(_) => assert!(value.is_err(), "taken, but no JSON: {text}"),
    }
    let Ok(value) = value else { return false };
    let written = value.to_json();
    assert!(is_json(&written), "written, but no JSON: {written}");
    assert_eq!(Value::from_json(&written).as_ref(), Ok(&value), "{written}");
    true
}

#[allow(clippy::cast_precision_loss)] // as SQLite does
fn of_plain(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Integer((*flag).into()),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(unsigned)) => Value::Real(unsigned as f64),
            (None, None) => Value::real(number.as_f64()?),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

pub fn key(data: &[u8]) -> bool {
    let packed = unpack_columns(data);
    let Some(key) = Pk::parse(data) else {
        assert_eq!(packed, None, "well formed, but refused");
        return false;
    };
    let columns = key.columns();
    assert_eq!(packed.unwrap_or_else(|| vec![Value::text_from_bytes(data.to_vec())]), columns);
    assert!((1..=255).contains(&columns.len()));
    assert!(key.as_bytes().len() <= data.len() + 11, "longer than the longest head: {key:?}");
    assert_eq!(Pk::parse(key.as_bytes()).as_ref(), Some(&key), "the canonical form is another key");
    assert_eq!(Pk::pack(&columns), Some(key));
    true
}

/// The first byte says which field; the others are its text.
pub fn field(data: &[u8]) -> bool {
    let Some((which, text)) = data.split_first() else { return false };
    let text = String::from_utf8_lossy(text);
    let request =
        |field: &str| frame("sync_request", &["\"sinceVersion\":0,\"", field, "\":", &text].concat());
    let ack = |field: &str| {
        frame("sync_ack", &["\"receivedVersion\":1,\"appliedCount\":1,\"", field, "\":", &text].concat())
    };
    match which % 8 {
        0 => base64(&text),
        1 => site_id(&text),
        2 => run(&text),
        3 => relay_frame(request("stored").as_bytes()),
        4 => relay_frame(request("cursors").as_bytes()),
        5 => relay_frame(ack("relay").as_bytes()),
        6 => relay_frame(ack("rejected").as_bytes()),
        _ => {
            let part = ["\"changes\":[],\"currentVersion\":1,\"part\":", &*text].concat();
            relay_frame(frame("sync_response", &part).as_bytes())
        }
    }
}

fn frame(kind: &str, fields: &str) -> String {
    format!(
        r#"{{"type":"{kind}","version":1,"siteId":"YWJjZGVmZ2hpamtsbW5vcA==","timestamp":1,"payload":{{{fields}}}}}"#
    )
}

fn base64(text: &str) -> bool {
    let Some(bytes) = decode_base64(text) else { return false };
    let ours = encode_base64(&bytes);
    assert_eq!(decode_base64(&ours).as_ref(), Some(&bytes));
    // The same letters in our spelling, but for the bits of the last one that say nothing.
    let theirs = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let ours = ours.trim_end_matches('=');
    let most = ours.len().saturating_sub(1);
    assert_eq!((ours.len(), ours.get(..most)), (theirs.len(), theirs.get(..most)), "{text}");
    true
}

fn site_id(text: &str) -> bool {
    let bytes = decode_base64(text);
    let site = SiteId::from_base64(text);
    assert_eq!(site, bytes.and_then(|bytes| SiteId::from_slice(&bytes)));
    site.is_some_and(|site| {
        assert_eq!(SiteId::from_base64(&site.to_string()), Some(site));
        true
    })
}

fn run(text: &str) -> bool {
    let run = Run::new(text);
    assert_eq!(run.is_some(), (1..=64).contains(&text.len()));
    assert!(run.as_ref().is_none_or(|run| run.as_str() == text));
    run.is_some()
}

pub fn record(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let (rows, fates) = (records::read(&text), records::read_result(&text));
    if let Some(more) = with_unknown_field(&text) {
        assert_eq!(code(records::read_result(&more)), code(fates.clone()), "an unknown field changes it");
    }
    assert!(rows.is_err() || fates.is_err(), "both a list and an object");
    assert!((rows.is_err() && fates.is_err()) || is_json(&text), "taken, but no JSON");
    for row in rows.iter().flatten() {
        match row {
            Ok(change) => check_record(change),
            Err(bad) => assert!(text.contains(&bad.text), "a bad record's text is not its own"),
        }
    }
    let better_first = |pair: &[(String, Fate)]| pair[0].1 != pair[1].1 && pair[1].1 == Fate::Accepted;
    for fates in fates.iter() {
        // A conflict with what is equal counts as accepted, where the conflicts stand.
        let accepted_last = fates.windows(2).filter(|pair| better_first(pair)).count();
        assert!(accepted_last == 0 || text.contains("remote"), "{fates:?}");
    }
    rows.is_ok_and(|rows| !rows.is_empty()) || fates.is_ok_and(|fates| !fates.is_empty())
}

fn check_record(change: &Change) {
    assert_eq!((change.check(), change.db_version, change.seq), (Ok(()), 0, 0));
    let written = records::write(&[(records::id(change), change.clone())], 0);
    assert!(is_json(&written), "written, but no JSON: {written}");
    assert_eq!(records::read(&written), Ok(vec![Ok(change.clone())]), "{written}");
}

/// An address and what a server says, each on its line: base, endpoint, parameters, text.
pub fn http_text(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (base, endpoint, parameters, said) = (next(), next(), next(), next());
    let whole = address(base, endpoint, parameters);
    assert!(whole.len() <= base.len() + endpoint.len() + parameters.len() + 3, "{whole}");
    assert!(whole.ends_with(parameters), "{whole}");
    assert!(parameters.contains('#') || !whole.contains('#'), "a fragment goes to no server: {whole}");
    let cut = excerpt(said);
    assert!(cut.chars().count() <= LONGEST_TEXT + 1);
    assert!(said.contains(cut.trim_end_matches('…')), "{cut}");
    !cut.is_empty()
}
