//! The structural bindings of a cr-sqlite database: what is called on the app's `db`, on the transaction that it
//! lends and on wa-sqlite's low-level `api`. Decides nothing; every call catches what JavaScript throws.
//! Called by the rest of `store`.

use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `Database` in types.d.ts.
    #[derive(Debug, Clone)]
    pub(crate) type Database;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn filename(this: &Database) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn siteid(this: &Database) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn api(this: &Database) -> Option<Api>;
    /// The handle that `api` wants.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn db(this: &Database) -> JsValue;
    #[wasm_bindgen(method, catch, js_name = imperativeTx)]
    pub(crate) fn imperative_tx(this: &Database) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn tx(this: &Database, body: &Function) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = onUpdate)]
    pub(crate) fn on_update(this: &Database, listener: &Function) -> Result<JsValue, JsValue>;

    /// What `imperativeTx` and `tx` lend: the only one who may talk to the database meanwhile.
    #[derive(Debug, Clone)]
    pub(crate) type Tx;

    #[wasm_bindgen(method, catch, js_name = execA)]
    pub(crate) fn exec_a(this: &Tx, sql: &str, bind: &js_sys::Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn prepare(this: &Tx, sql: &str) -> Result<Promise, JsValue>;

    /// The wrapper's prepared statement; it finalises what is left of them when the database closes.
    #[derive(Debug, Clone)]
    pub(crate) type Stmt;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn base(this: &Stmt) -> JsValue;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn finalize(this: &Stmt, tx: &Tx) -> Result<Promise, JsValue>;

    /// wa-sqlite's `SQLiteAPI`.
    #[derive(Debug, Clone)]
    pub(crate) type Api;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn get_autocommit(this: &Api, db: &JsValue) -> Result<u32, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn step(this: &Api, stmt: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn reset(this: &Api, stmt: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn bind_null(this: &Api, stmt: &JsValue, index: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn bind_int(this: &Api, stmt: &JsValue, index: u32, value: i32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn bind_int64(this: &Api, stmt: &JsValue, index: u32, value: i64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn bind_double(this: &Api, stmt: &JsValue, index: u32, value: f64)
    -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn bind_text(this: &Api, stmt: &JsValue, index: u32, value: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn bind_blob(this: &Api, stmt: &JsValue, index: u32, value: &[u8])
    -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn column_count(this: &Api, stmt: &JsValue) -> Result<u32, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn column_type(this: &Api, stmt: &JsValue, column: u32) -> Result<u32, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn column_int64(this: &Api, stmt: &JsValue, column: u32) -> Result<i64, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn column_double(this: &Api, stmt: &JsValue, column: u32) -> Result<f64, JsValue>;
    /// The bytes of a BLOB, or of a TEXT: `column_text` would cut at U+0000.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn column_blob(this: &Api, stmt: &JsValue, column: u32) -> Result<Uint8Array, JsValue>;
}

/// SQLite's result and type codes, as far as they are told apart.
pub(crate) mod code {
    pub(crate) const BUSY: u32 = 5;
    pub(crate) const LOCKED: u32 = 6;
    pub(crate) const NOMEM: u32 = 7;
    pub(crate) const READONLY: u32 = 8;
    pub(crate) const INTERRUPT: u32 = 9;
    pub(crate) const IOERR: u32 = 10;
    pub(crate) const CORRUPT: u32 = 11;
    pub(crate) const FULL: u32 = 13;
    pub(crate) const CANTOPEN: u32 = 14;
    pub(crate) const MISUSE: u32 = 21;
    pub(crate) const NOTADB: u32 = 26;
    pub(crate) const ROW: u32 = 100;

    pub(crate) const INTEGER: u32 = 1;
    pub(crate) const FLOAT: u32 = 2;
    pub(crate) const BLOB: u32 = 4;
    pub(crate) const NULL: u32 = 5;
}
