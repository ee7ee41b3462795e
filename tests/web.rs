//! The crate in a real browser. `cargo xtask test --only wasm`, or `wasm-pack test --headless --chrome`.

#![cfg(target_arch = "wasm32")]
// Clippy knows tests by `#[test]` only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use crsqlite_sync::wire::Value;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn values_keep_every_bit_in_the_browser() {
    let values = [
        Value::Integer(i64::MIN),
        Value::Integer(9_007_199_254_740_993),
        Value::Real(5.0),
        Value::Real(f64::NEG_INFINITY),
        Value::Real(-0.0),
        Value::Blob(vec![0, 255]),
    ];
    for value in values {
        let text = value.to_json();
        assert_eq!(Value::from_json(&text).unwrap(), value, "{text}");
    }
}
