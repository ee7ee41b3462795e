//! The options of `SyncClient`: what is accepted, what is assumed, and a clear `bad-option` for the rest.
//! Decides defaults; never touches the database or the network. Called by the class's constructor.

use std::time::Duration;

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::error::SyncError;
use super::interop::{field, has_method};
use super::store::{Database, site_from_hex};
use super::transport::Transport;
use crate::engine::replica::RecordsConfig;
use crate::engine::store::Budget;
use crate::wire::{SiteId, record};

const DEFAULT_CHANGES: usize = 5000;
const DEFAULT_BYTES: usize = 512 * 1024;
const DEFAULT_PULL_MS: f64 = 30_000.0;
const IN_MEMORY: &str = ":memory:";

#[derive(Debug)]
pub(super) struct Options {
    pub(super) db: Database,
    pub(super) transport: Transport,
    /// Set where the transport carries the push-pull contract.
    pub(super) records: Option<RecordsConfig>,
    /// A function, or undefined.
    pub(super) on_auth_required: JsValue,
    pub(super) site: SiteId,
    pub(super) tables: Option<Vec<String>>,
    pub(super) budget: Budget,
    /// Names the remote in the bookkeeping.
    pub(super) remote: String,
    /// Names what only one tab may lead; `None` where there is nobody to share with.
    pub(super) shared_as: Option<String>,
    pub(super) logger: JsValue,
}

impl Options {
    pub(super) fn parse(options: &JsValue) -> Result<Self, SyncError> {
        if !options.is_object() {
            return Err(bad("new SyncClient() needs an object with at least { db, transport }"));
        }
        let db = database(&field(options, "db"))?;
        let transport = transport(&field(options, "transport"))?;
        let site = db.siteid().as_string().and_then(|hex| site_from_hex(&hex));
        let site = site.ok_or_else(|| bad("db.siteid must be the 32 hex digits of crsql_site_id()"))?;
        let filename = db.filename().as_string();
        let filename = filename.ok_or_else(|| bad("db.filename must be a string"))?;
        let remote = match optional_text(options, "remoteId")? {
            Some(remote) => remote,
            None => default_remote(&transport)?,
        };
        let multi_tab = optional_bool(options, "multiTab")?.unwrap_or(true);
        let records = if is_relay(&transport) {
            None
        } else {
            let pull_every = optional_pause(options, "pullIntervalMs")?;
            Some(RecordsConfig { log: record::site_of(&remote), pull_every })
        };
        // What was agreed with a relay means nothing to a server of the other protocol at the same address.
        let remote = if records.is_some() { format!("push-pull:{remote}") } else { remote };
        let on_auth_required = field(options, "onAuthRequired");
        if !on_auth_required.is_undefined() && !on_auth_required.is_function() {
            return Err(bad("onAuthRequired must be a function"));
        }
        let shared_as =
            (multi_tab && filename != IN_MEMORY).then(|| format!("crsqlite-sync:{filename}:{remote}"));
        Ok(Options {
            tables: optional_tables(options)?,
            budget: Budget {
                changes: optional_count(options, "batchChanges")?.unwrap_or(DEFAULT_CHANGES),
                bytes: optional_count(options, "batchBytes")?.unwrap_or(DEFAULT_BYTES),
            },
            logger: field(options, "logger"),
            db,
            transport: transport.unchecked_into(),
            records,
            on_auth_required,
            site,
            remote,
            shared_as,
        })
    }
}

fn bad(message: impl Into<String>) -> SyncError {
    SyncError::new("bad-option", message)
}

fn database(db: &JsValue) -> Result<Database, SyncError> {
    if !db.is_object() {
        return Err(bad("db is missing: pass an open database of @vlcn.io/crsqlite-wasm"));
    }
    for method in ["exec", "execA", "tx", "prepare", "onUpdate"] {
        if !has_method(db, method) {
            return Err(bad(format!(
                "db has no method {method}(): pass an open database of @vlcn.io/crsqlite-wasm"
            )));
        }
    }
    Ok(db.clone().unchecked_into())
}

fn transport(transport: &JsValue) -> Result<JsValue, SyncError> {
    const EXAMPLE: &str =
        "for example new WsTransport({ url, protocol: \"relay\" }) or new HttpTransport({ url })";
    if !transport.is_object() {
        return Err(bad(format!("transport is missing: pass one, {EXAMPLE}")));
    }
    if !is_relay(transport) {
        if has_method(transport, "push") && has_method(transport, "pull") {
            return Ok(transport.clone());
        }
        return Err(bad(format!("transport must have push() and pull(), or protocol \"relay\": {EXAMPLE}")));
    }
    for method in ["connect", "disconnect", "reconnect", "send", "onMessage", "onStateChange"] {
        if !has_method(transport, method) {
            return Err(bad(format!("transport has no method {method}()")));
        }
    }
    Ok(transport.clone())
}

fn is_relay(transport: &JsValue) -> bool {
    field(transport, "protocol").as_string().as_deref() == Some("relay")
}

/// Origin and path of the transport's address where it shows one that does not change, else its name.
fn default_remote(transport: &JsValue) -> Result<String, SyncError> {
    if let Some(url) = field(transport, "url").as_string() {
        let end = url.find(['?', '#']).unwrap_or(url.len());
        return Ok(url.get(..end).unwrap_or(&url).to_owned());
    }
    let name = field(transport, "name").as_string().filter(|name| !name.is_empty());
    name.ok_or_else(|| bad("remoteId is missing, and the transport has neither a url nor a name"))
}

fn optional_text(options: &JsValue, name: &str) -> Result<Option<String>, SyncError> {
    let value = field(options, name);
    if value.is_undefined() {
        return Ok(None);
    }
    let text = value.as_string().filter(|text| !text.is_empty());
    text.map(Some).ok_or_else(|| bad(format!("{name} must be a string that is not empty")))
}

fn optional_bool(options: &JsValue, name: &str) -> Result<Option<bool>, SyncError> {
    let value = field(options, name);
    if value.is_undefined() {
        return Ok(None);
    }
    value.as_bool().map(Some).ok_or_else(|| bad(format!("{name} must be true or false")))
}

/// Milliseconds; 0 is never.
fn optional_pause(options: &JsValue, name: &str) -> Result<Option<Duration>, SyncError> {
    let value = field(options, name);
    let ms = if value.is_undefined() { Some(DEFAULT_PULL_MS) } else { value.as_f64() };
    let pause = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    let pause = pause.ok_or_else(|| bad(format!("{name} must be a number of milliseconds, not below 0")))?;
    Ok(Some(pause).filter(|pause| !pause.is_zero()))
}

fn optional_count(options: &JsValue, name: &str) -> Result<Option<usize>, SyncError> {
    let value = field(options, name);
    if value.is_undefined() {
        return Ok(None);
    }
    let number = value.as_f64().filter(|number| *number >= 1.0 && number.fract() == 0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above; `as` saturates
    number
        .map(|number| Some(number as usize))
        .ok_or_else(|| bad(format!("{name} must be a whole number above 0")))
}

fn optional_tables(options: &JsValue) -> Result<Option<Vec<String>>, SyncError> {
    let value = field(options, "tables");
    if value.is_undefined() {
        return Ok(None);
    }
    let wrong = || bad("tables must be an array of table names");
    let list = value.dyn_into::<Array>().map_err(|_| wrong())?;
    let names: Option<Vec<String>> =
        list.iter().map(|name| name.as_string().filter(|name| !name.is_empty())).collect();
    names.map(Some).ok_or_else(wrong)
}
