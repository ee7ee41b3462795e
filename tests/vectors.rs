//! The shared vectors against `wire`, natively and in the browser. The format is in `vectors/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may

use crsqlite_sync::wire::push_pull::{ClientFrame, Envelope, ServerFrame, encode};
use crsqlite_sync::wire::{
    Body, Change, Decoded, Message, Pk, Row, SiteId, SyncRequest, TableDigest, Value, record,
};
use serde_json::Value as Json;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const RELAY: &str = include_str!("vectors/relay.json");
const PUSH_PULL: &str = include_str!("vectors/push-pull.json");
const RECORDS: &str = include_str!("vectors/records.json");

fn vectors(file: &str, section: &str) -> Vec<Json> {
    let all: Json = serde_json::from_str(file).unwrap();
    let section = all[section].as_array().unwrap().clone();
    assert!(!section.is_empty());
    section
}

fn text<'a>(vector: &'a Json, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{} lacks {field}", vector["name"]))
}

fn name(vector: &Json) -> &str {
    text(vector, "name")
}

#[test]
fn every_frame_of_the_relay_protocol_is_what_the_vectors_say() {
    let mut seeds = 0;
    for vector in vectors(RELAY, "frames") {
        let name = name(&vector);
        let decoded = Message::decode(text(&vector, "text"));
        match text(&vector, "is") {
            "message" => {
                let Ok(Decoded::Message(message)) = decoded else { panic!("{name}: {decoded:?}") };
                assert_eq!(message.encode(), text(&vector, "encoded"), "{name}");
                let kind = format!("\"type\":\"{}\"", text(&vector, "type"));
                assert!(message.encode().contains(&kind), "{name}");
                assert_eq!(
                    bad_rows(&message),
                    vector.get("badRows").cloned().unwrap_or(Json::Array(vec![])),
                    "{name}"
                );
                let again = Message::decode(text(&vector, "encoded"));
                assert_eq!(again, Ok(Decoded::Message(message)), "{name}");
                seeds += usize::from(vector["seed"] == true);
            }
            "unknown-type" => assert!(matches!(decoded, Ok(Decoded::UnknownType(_))), "{name}: {decoded:?}"),
            code => assert_eq!(decoded.map_err(|error| error.code()), Err(code), "{name}"),
        }
    }
    assert_eq!(seeds, 4, "the four examples of the seed");
}

fn bad_rows(message: &Message) -> Json {
    use crsqlite_sync::wire::Body;
    let rows: &[Row] = match &message.body {
        Body::Response(response) => &response.changes,
        Body::Push(push) => &push.changes,
        Body::Request(_) | Body::Ack(_) | Body::Error(_) => &[],
    };
    let bad = rows.iter().enumerate().filter_map(|(index, row)| {
        row.as_ref().err().map(|bad| serde_json::json!({ "index": index, "code": bad.code.as_str() }))
    });
    bad.collect()
}

#[test]
fn every_row_is_good_or_has_the_code_that_the_vectors_say() {
    for vector in vectors(RELAY, "rows") {
        let row = Change::from_json(text(&vector, "text"));
        match vector.get("code") {
            None => assert_eq!(row.unwrap().to_json(), text(&vector, "encoded"), "{}", name(&vector)),
            Some(code) => {
                let bad = row.expect_err(name(&vector));
                assert_eq!(
                    (bad.code.as_str(), bad.text.as_str()),
                    (code.as_str().unwrap(), text(&vector, "text"))
                );
            }
        }
    }
}

fn class(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Integer(_) => "integer",
        Value::Real(_) => "real",
        Value::Text(_) => "text",
        Value::RawText(_) => "raw-text",
        Value::Blob(_) => "blob",
    }
}

#[test]
fn every_value_is_read_and_written_as_the_vectors_say() {
    for vector in vectors(RELAY, "values") {
        let name = name(&vector);
        let value = Value::from_json(text(&vector, "text"));
        if vector["invalid"] == true {
            assert!(value.is_err(), "{name}: {value:?}");
            continue;
        }
        let value = value.unwrap();
        assert_eq!(class(&value), text(&vector, "class"), "{name}");
        assert_eq!(value.to_json(), text(&vector, "encoded"), "{name}");
        assert_eq!(Value::from_json(text(&vector, "encoded")).unwrap(), value, "{name}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn every_key_is_unpacked_and_packed_as_the_vectors_say() {
    for vector in vectors(RELAY, "keys") {
        let name = name(&vector);
        let key = Pk::parse(&bytes(text(&vector, "hex")));
        if vector["invalid"] == true {
            assert_eq!(key, None, "{name}");
            continue;
        }
        let key = key.unwrap();
        assert_eq!(key.as_bytes(), bytes(text(&vector, "canonical")), "{name}");
        let columns: Vec<Value> = vector["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| Value::from_json(column.as_str().unwrap()).unwrap())
            .collect();
        assert_eq!(key.columns(), columns, "{name}");
        assert_eq!(Pk::pack(&columns), Some(key), "{name}");
    }
}

/// (type, requestId, payload) of a frame, or the code that refuses it.
fn read<'a>(
    from: &str,
    text: &'a str,
) -> Result<(&'static str, Option<String>, Option<&'a str>), &'static str> {
    let envelope = Envelope::decode(text).map_err(|error| error.code())?;
    if from == "client" {
        return Ok(match envelope.from_client().map_err(|error| error.code())? {
            ClientFrame::Auth(payload) => ("auth", None, Some(payload)),
            ClientFrame::Push { request_id, payload } => ("push", Some(request_id), Some(payload)),
            ClientFrame::Pull { request_id, payload } => ("pull", Some(request_id), Some(payload)),
            ClientFrame::Unknown(_) => ("unknown", None, None),
        });
    }
    Ok(match envelope.from_server().map_err(|error| error.code())? {
        ServerFrame::PushResult { request_id, payload } => ("push_result", Some(request_id), Some(payload)),
        ServerFrame::PullResult { request_id, payload } => ("pull_result", Some(request_id), Some(payload)),
        ServerFrame::Error { request_id, payload } => ("error", request_id, payload),
        ServerFrame::ServerPush(payload) => ("server_push", None, Some(payload)),
        ServerFrame::Unknown(_) => ("unknown", None, None),
    })
}

#[test]
fn rows_add_up_to_the_digests_of_the_vectors() {
    for vector in vectors(RELAY, "digests") {
        let (name, table) = (name(&vector), text(&vector, "table"));
        let mut sums = TableDigest::default();
        for row in vector["rows"].as_array().unwrap() {
            let pk = Pk::parse(&bytes(row["pk"].as_str().unwrap())).unwrap();
            let columns: Vec<(&str, i64, Value)> = row["columns"]
                .as_array()
                .unwrap()
                .iter()
                .map(|column| {
                    let value = Value::from_json(&column[2].to_string()).unwrap();
                    (column[0].as_str().unwrap(), column[1].as_i64().unwrap(), value)
                })
                .collect();
            let columns = columns.iter().map(|(cid, version, value)| (*cid, *version, value));
            sums.add_row(table, &pk, row["cl"].as_i64().unwrap(), columns);
        }
        let digest = Some(vec![(table.to_owned(), sums)]);
        let body = Body::Request(SyncRequest { digest, ..SyncRequest::default() });
        let frame = Message { site_id: SiteId([0; 16]), timestamp: 0, body }.encode();
        let written: Json = serde_json::from_str(&frame).unwrap();
        assert_eq!(written["payload"]["digest"][table], vector["digest"], "{name}");
    }
}

#[test]
fn every_frame_of_the_push_pull_contract_is_what_the_vectors_say() {
    for vector in vectors(PUSH_PULL, "frames") {
        let name = name(&vector);
        let is = text(&vector, "is");
        let request_id = vector.get("requestId").and_then(Json::as_str);
        let payload = vector.get("payload").and_then(Json::as_str);
        let read = read(text(&vector, "from"), text(&vector, "text"));
        if is == "malformed-message" {
            assert_eq!(read, Err("malformed-message"), "{name}");
            continue;
        }
        assert_eq!(read, Ok((is, request_id.map(str::to_owned), payload)), "{name}");
        if let Some(payload) = payload {
            assert_eq!(encode(is, request_id, payload), text(&vector, "encoded"), "{name}");
        }
    }
}

#[test]
fn every_record_is_a_row_or_refused_or_somebody_elses_as_the_vectors_say() {
    for vector in vectors(RECORDS, "records") {
        let name = name(&vector);
        let mut rows = record::read(&format!("[{}]", text(&vector, "text"))).unwrap();
        let row = rows.pop();
        match text(&vector, "is") {
            "other" => assert_eq!(row, None, "{name}"),
            "row" => {
                let change = row.expect(name).unwrap_or_else(|bad| panic!("{name}: {bad:?}"));
                let id = text(&vector, "id");
                assert_eq!(record::id(&change), id, "{name}");
                let written = record::write(&[(id.to_owned(), change)], 1_701_388_800_000);
                assert_eq!(written, format!("[{}]", text(&vector, "encoded")), "{name}");
            }
            code => {
                let bad = row.expect(name).expect_err(name);
                assert_eq!((bad.code.as_str(), bad.text.as_str()), (code, text(&vector, "text")), "{name}");
            }
        }
    }
}
