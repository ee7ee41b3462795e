//! The options of `SyncClient`: what is accepted, what is assumed, and a clear `bad-option` for the rest.
//! Decides defaults; never touches the database or the network. Called by the class's constructor.

use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use super::error::SyncError;
use super::given::{as_given, bad, given};
use super::interop::{field, has_method};
use super::store::{Database, site_from_hex};
use super::transport::Transport;
use crate::engine::options::{self, count, flag, pause, text};
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
    pub(super) fn parse(object: &JsValue) -> Result<Self, SyncError> {
        if !object.is_object() {
            return Err(bad("new SyncClient() needs an object with at least { db, transport }"));
        }
        let db = database(&field(object, "db"))?;
        let transport = transport(&field(object, "transport"))?;
        let site = db.siteid().as_string().and_then(|hex| site_from_hex(&hex));
        let site = site.ok_or_else(|| bad("db.siteid must be the 32 hex digits of crsql_site_id()"))?;
        let filename = db.filename().as_string();
        let filename = filename.ok_or_else(|| bad("db.filename must be a string"))?;
        let remote = text("remoteId", given(object, "remoteId"))
            .map_err(bad)?
            .or_else(|| options::default_remote(given(&transport, "url"), given(&transport, "name")))
            .ok_or_else(|| bad("remoteId is missing, and the transport has neither a url nor a name"))?;
        let multi_tab = flag("multiTab", &given(object, "multiTab")).map_err(bad)?.unwrap_or(true);
        let records = if is_relay(&transport) {
            None
        } else {
            let pull_every = given(object, "pullIntervalMs");
            let pull_every = pause("pullIntervalMs", &pull_every, DEFAULT_PULL_MS).map_err(bad)?;
            Some(RecordsConfig { log: record::site_of(&remote), pull_every })
        };
        // What was agreed with a relay means nothing to a server of the other protocol at the same address.
        let remote = if records.is_some() { format!("push-pull:{remote}") } else { remote };
        let on_auth_required = field(object, "onAuthRequired");
        if !on_auth_required.is_undefined() && !on_auth_required.is_function() {
            return Err(bad("onAuthRequired must be a function"));
        }
        let at_most = |name, otherwise| {
            count(name, &given(object, name)).map(|count| count.unwrap_or(otherwise)).map_err(bad)
        };
        let shared_as = (multi_tab && filename != IN_MEMORY)
            .then(|| format!("crsqlite-sync:{}:{remote}", file_of(&filename)));
        Ok(Options {
            tables: tables(field(object, "tables"))?,
            budget: Budget {
                changes: at_most("batchChanges", DEFAULT_CHANGES)?,
                bytes: at_most("batchBytes", DEFAULT_BYTES)?,
            },
            logger: field(object, "logger"),
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

/// The file, however the app spells its name: read as the VFS reads it.
fn file_of(filename: &str) -> String {
    let arguments = Array::of2(&filename.into(), &"file://localhost/".into());
    let class = field(&js_sys::global(), "URL").dyn_into::<Function>().ok();
    let url = class.and_then(|class| js_sys::Reflect::construct(&class, &arguments).ok());
    let path = url.and_then(|url| field(&url, "pathname").as_string());
    path.unwrap_or_else(|| filename.to_owned())
}

fn database(db: &JsValue) -> Result<Database, SyncError> {
    let methods = ["exec", "execA", "tx", "prepare", "onUpdate"];
    let lacks = methods.into_iter().find(|method| !has_method(db, method));
    let wrong = match lacks {
        None => return Ok(db.clone().unchecked_into()),
        Some(_) if db.is_undefined() || db.is_null() => "is missing",
        Some(_) if has_method(db, "then") => "is a promise, did you forget await?",
        Some(method) => &["has no method ", method, "()"].concat(),
    };
    Err(bad(["db ", wrong, ": pass an open database of @vlcn.io/crsqlite-wasm"].concat()))
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

fn tables(given: JsValue) -> Result<Option<Vec<String>>, SyncError> {
    if given.is_undefined() {
        return Ok(None);
    }
    let names =
        given.dyn_into::<Array>().ok().and_then(|list| options::names(list.iter().map(|n| as_given(&n))));
    names.map(Some).ok_or_else(|| bad("tables must be an array of table names"))
}
