//! What a failure of the database means. Decides by SQLite's code and by the state of the storage, never by the
//! text of a message. Called by the rest of `store` for whatever a statement throws.

use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::db::code;
use crate::engine::store::StoreError;

/// Less free space than this, and a failed write means that the storage is full.
const NO_ROOM_BYTES: f64 = 1_000_000.0;

/// SQLite's primary result code of what was thrown; `None` where SQLite did not throw it.
pub(super) fn sqlite_code(thrown: &JsValue) -> Option<u32> {
    let code = Reflect::get(thrown, &"code".into()).ok()?.as_f64()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // result codes are small
    Some(code as u32 & 0xff)
}

/// The message of what was thrown. SQLite's messages name tables and columns, never values.
pub(super) fn message(thrown: &JsValue) -> String {
    let text = Reflect::get(thrown, &"message".into()).ok().and_then(|text| text.as_string());
    let text = text.or_else(|| thrown.as_string()).unwrap_or_else(|| "unknown error".to_owned());
    match sqlite_code(thrown) {
        Some(code) => format!("{text} (SQLite code {code})"),
        None => text,
    }
}

/// The statement is to blame, not the database: the next row may do better.
pub(super) fn blames_the_row(thrown: &JsValue) -> bool {
    sqlite_code(thrown).is_some_and(|code| {
        !matches!(
            code,
            code::BUSY
                | code::LOCKED
                | code::NOMEM
                | code::READONLY
                | code::INTERRUPT
                | code::IOERR
                | code::CORRUPT
                | code::FULL
                | code::CANTOPEN
                | code::MISUSE
                | code::NOTADB
        )
    })
}

/// The failure as the engine knows it.
pub(super) async fn store_error(thrown: &JsValue) -> StoreError {
    match sqlite_code(thrown) {
        Some(code::FULL) => StoreError::Full(message(thrown)),
        // IndexedDB's quota reaches SQLite as a plain input/output error.
        Some(code::IOERR) if storage_is_full().await => StoreError::Full(message(thrown)),
        Some(code::BUSY | code::LOCKED) => StoreError::Busy,
        Some(_) | None => StoreError::Failed(message(thrown)),
    }
}

#[wasm_bindgen]
extern "C" {
    type Global;
    type Navigator;
    type StorageManager;

    #[wasm_bindgen(method, getter)]
    fn navigator(this: &Global) -> Option<Navigator>;
    #[wasm_bindgen(method, getter)]
    fn storage(this: &Navigator) -> Option<StorageManager>;
    #[wasm_bindgen(method, catch)]
    fn estimate(this: &StorageManager) -> Result<Promise, JsValue>;
}

async fn storage_is_full() -> bool {
    let global: Global = js_sys::global().unchecked_into();
    let Some(storage) = global.navigator().and_then(|navigator| navigator.storage()) else { return false };
    let Ok(asked) = storage.estimate() else { return false };
    let Ok(estimate) = JsFuture::from(asked).await else { return false };
    let number = |key: &str| Reflect::get(&estimate, &key.into()).ok().and_then(|value| value.as_f64());
    matches!((number("quota"), number("usage")), (Some(quota), Some(usage)) if quota - usage < NO_ROOM_BYTES)
}
