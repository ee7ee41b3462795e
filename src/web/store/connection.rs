//! One connection to the database and the transaction on it: takes the wrapper's mutex, keeps prepared statements.
//! Decides how a statement is run (wa-sqlite's `api`, or plain `execA` where a database has none), never what is asked.
//! Called by the rest of `store`.

use std::ops::ControlFlow;

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::db::{Api, Database, Stmt, Tx, code};
use super::failure::{sqlite_code, store_error};
use super::pace::Pace;
use super::statement::{Arg, Cells, Prepared, Visit, plain_arg, plain_cell};
use crate::engine::store::StoreError;
use crate::rules::{self, Rule};
use crate::sorted::SortedMap;
use crate::web::interop::spawn;

/// How many statements stay prepared. Some texts hold numbers that never come back (the ranges of an upload).
const MAX_STATEMENTS: usize = 96;
/// What SQLite takes for a cache where nobody has chosen: so many KiB, negated.
const SQLITES_CACHE: i64 = -2000;

/// The transaction that the wrapper has lent us, and how to give it back.
#[derive(Debug)]
enum Lease {
    /// From `imperativeTx`: the mutex is ours, BEGIN and COMMIT as well.
    Ours { tx: Tx, release: Function },
    /// From `tx`: inside a savepoint that settling `body` releases or rolls back.
    Wrapped { tx: Tx, resolve: Function, reject: Function, done: Promise },
}

impl Lease {
    fn tx(&self) -> &Tx {
        match self {
            Lease::Ours { tx, .. } | Lease::Wrapped { tx, .. } => tx,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    db: Database,
    api: Option<Api>,
    handle: JsValue,
    lease: Option<Lease>,
    statements: SortedMap<String, Prepared>,
    /// See [`Connection::keep_journals_in_memory`] and [`Connection::enlarge_cache`].
    tuned: bool,
    utf8: bool,
}

impl Connection {
    pub(super) fn new(db: Database) -> Self {
        let handle = db.db();
        Connection {
            api: db.api(),
            handle,
            db,
            lease: None,
            statements: SortedMap::new(),
            tuned: false,
            utf8: false,
        }
    }

    /// Values keep their type when they are bound: [`Arg::Real`] stays a REAL.
    pub(super) fn binds_types(&self) -> bool {
        self.api.is_some()
    }

    /// SQLite holds text as UTF-8: the bytes of a blob can become text, and blobs can be strung together. Not known before
    /// the first transaction.
    pub(super) fn is_utf8(&self) -> bool {
        self.utf8
    }

    // ---------------------------------------------------------------------------------------- transaction

    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        let imperative = has_method(&self.db, "imperativeTx");
        let lease = if imperative { self.lend().await } else { self.wrap().await };
        let lease = match lease {
            Ok(lease) => lease,
            Err(thrown) => return Err(refused(&thrown).await),
        };
        let ours = matches!(lease, Lease::Ours { .. });
        self.lease = Some(lease);
        let begun = self.open(ours).await;
        if begun.is_err() {
            self.give_back(true).await;
        }
        begun
    }

    /// On IndexedDB a merge crawls while the journals of its statements are temporary files: several writes for each
    /// row. Only where nobody can notice: whoever has chosen a place keeps it, and temporary tables would be dropped.
    async fn keep_journals_in_memory(&mut self) -> Result<(), JsValue> {
        let chosen = self.row("PRAGMA temp_store", &[]).await?.is_some_and(|row| row.at(0).integer() != 0);
        let in_use = "SELECT 1 FROM pragma_database_list WHERE name = 'temp'";
        if !chosen && self.row(in_use, &[]).await?.is_none() {
            self.run("PRAGMA temp_store = MEMORY", &[]).await?;
        }
        Ok(())
    }

    /// Nor may the pages of a merge be read and written one by one because they find no room. It takes only as much as the
    /// database is large, and whoever has chosen a size keeps it.
    async fn enlarge_cache(&mut self) -> Result<(), JsValue> {
        let size = self.row("PRAGMA cache_size", &[]).await?.map(|row| row.at(0).integer());
        if size == Some(SQLITES_CACHE) {
            self.run("PRAGMA cache_size = -65536", &[]).await?;
        }
        Ok(())
    }

    async fn open(&mut self, ours: bool) -> Result<(), StoreError> {
        if let Some(api) = self.api.clone() {
            // A closed database is noticed here, at the statement: nothing may touch its handle before.
            let alive = match self.prepared("BEGIN IMMEDIATE").await {
                Ok(statement) => statement.probe(&api),
                Err(thrown) => Err(thrown),
            };
            if let Err(thrown) = alive {
                return Err(refused(&thrown).await);
            }
            // The wrapper's `tx` has opened its savepoint by now; whether the app had begun was asked before.
            if ours && rules::holds(Rule::AppTransaction) && self.in_transaction() {
                return Err(StoreError::Busy);
            }
        }
        if !std::mem::replace(&mut self.tuned, true) {
            // A database that refuses is slower, no more.
            let _ = self.keep_journals_in_memory().await;
            let _ = self.enlarge_cache().await;
            // A build that knows nothing else does not know the pragma.
            let encoding = self.row("PRAGMA encoding", &[]).await;
            self.utf8 = encoding.is_ok_and(|row| row.is_none_or(|row| row.at(0).text() == "UTF-8"));
        }
        let begin = if rules::holds(Rule::AppTransaction) { "BEGIN IMMEDIATE" } else { "SAVEPOINT ours" };
        if ours && let Err(thrown) = self.run(begin, &[]).await {
            return Err(refused(&thrown).await);
        }
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        let commit = if rules::holds(Rule::AppTransaction) { "COMMIT" } else { "RELEASE ours" };
        if matches!(self.lease, Some(Lease::Ours { .. }))
            && let Err(thrown) = self.run(commit, &[]).await
        {
            return Err(store_error(&thrown).await);
        }
        match self.give_back(false).await {
            None => Ok(()),
            Some(thrown) => Err(store_error(&thrown).await),
        }
    }

    pub(super) async fn rollback(&mut self) {
        if matches!(self.lease, Some(Lease::Ours { .. })) && (self.api.is_none() || self.in_transaction()) {
            let rollback = if rules::holds(Rule::AppTransaction) { "ROLLBACK" } else { "ROLLBACK TO ours" };
            // A transaction that SQLite has already given up has nothing to roll back.
            let _ = self.run(rollback, &[]).await;
        }
        self.give_back(true).await;
    }

    /// A transaction is open on this connection, whoever began it. False where the database cannot tell.
    pub(super) fn in_transaction(&self) -> bool {
        self.api.as_ref().is_some_and(|api| api.get_autocommit(&self.handle).is_ok_and(|on| on == 0))
    }

    async fn lend(&self) -> Result<Lease, JsValue> {
        let pair: Array = JsFuture::from(self.db.imperative_tx()?).await?.unchecked_into();
        Ok(Lease::Ours { release: pair.get(0).unchecked_into(), tx: pair.get(1).unchecked_into() })
    }

    async fn wrap(&self) -> Result<Lease, JsValue> {
        if self.in_transaction() {
            return Err(busy());
        }
        let mut settle = None;
        let body = Promise::new(&mut |resolve, reject| settle = Some((resolve, reject)));
        let (resolve, reject) = settle.ok_or(JsValue::UNDEFINED)?;
        let mut lent = None;
        let mut done = Err(JsValue::UNDEFINED);
        let tx = Promise::new(&mut |given, failed| {
            let body = body.clone();
            let callback = Closure::once_into_js(move |tx: JsValue| {
                // `given` is the resolver of a promise: calling it cannot throw.
                let _ = given.call1(&JsValue::UNDEFINED, &tx);
                body
            });
            done = self.db.tx(callback.unchecked_ref());
            lent = Some(failed);
        });
        let done = done?;
        if let Some(failed) = lent {
            // A `tx` that fails before it calls back must not leave us waiting.
            let done = done.clone();
            spawn(async move {
                if let Err(thrown) = JsFuture::from(done).await {
                    let _ = failed.call1(&JsValue::UNDEFINED, &thrown);
                }
            });
        }
        let tx: Tx = JsFuture::from(tx).await?.unchecked_into();
        Ok(Lease::Wrapped { tx, resolve, reject, done })
    }

    /// Ends the lease; what is returned is why it could not be ended well.
    async fn give_back(&mut self, undo: bool) -> Option<JsValue> {
        match self.lease.take()? {
            Lease::Ours { release, .. } => release.call0(&JsValue::UNDEFINED).err(),
            Lease::Wrapped { resolve, reject, done, .. } => {
                let settle = if undo { reject } else { resolve };
                let _ = settle.call1(&JsValue::UNDEFINED, &JsValue::UNDEFINED);
                JsFuture::from(done).await.err().filter(|_| !undo)
            }
        }
    }

    /// Finalises all prepared statements, under the mutex.
    pub(super) async fn close(&mut self) {
        if self.statements.is_empty() {
            return;
        }
        if let Ok(lease) = self.lend().await {
            self.lease = Some(lease);
            self.forget_statements().await;
            self.give_back(false).await;
        }
    }

    /// Finalises all prepared statements; inside a transaction.
    pub(super) async fn forget_statements(&mut self) {
        let Some(lease) = &self.lease else { return };
        for (_, statement) in std::mem::take(&mut self.statements) {
            statement.finalize(lease.tx()).await;
        }
    }

    // ----------------------------------------------------------------------------------------- statements

    /// Runs a statement that returns nothing we want.
    pub(super) async fn run(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<(), JsValue> {
        self.each(sql, args, &mut |_| ControlFlow::Break(())).await
    }

    /// All rows of a query.
    pub(super) async fn rows(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Cells>, JsValue> {
        let mut rows = Vec::new();
        self.each(sql, args, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(rows)
    }

    /// The first row of a query.
    pub(super) async fn row(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Option<Cells>, JsValue> {
        let mut first = None;
        self.each(sql, args, &mut |row| {
            first = Some(row);
            ControlFlow::Break(())
        })
        .await?;
        Ok(first)
    }

    /// Steps through a short query until `visit` has enough.
    pub(super) async fn each(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        visit: Visit<'_>,
    ) -> Result<(), JsValue> {
        self.each_paced(sql, args, &mut Pace::start(), visit).await
    }

    /// Steps through a query, row by row, until `visit` has enough; lets the page breathe between rows.
    pub(super) async fn each_paced(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
        pace: &mut Pace,
        visit: Visit<'_>,
    ) -> Result<(), JsValue> {
        let Some(api) = self.api.clone() else { return self.each_plainly(sql, args, visit).await };
        self.prepared(sql).await?.each(&api, args, pace, visit).await
    }

    async fn each_plainly(&mut self, sql: &str, args: &[Arg<'_>], visit: Visit<'_>) -> Result<(), JsValue> {
        let tx = self.lease.as_ref().map(Lease::tx).ok_or(JsValue::UNDEFINED)?;
        let bound: Array = args.iter().map(plain_arg).collect();
        let rows = JsFuture::from(tx.exec_a(sql, &bound)?).await?;
        if Array::is_array(&rows) {
            for row in Array::from(&rows).iter() {
                let cells = Array::from(&row).iter().map(plain_cell).collect();
                if visit(Cells(cells)).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn prepared(&mut self, sql: &str) -> Result<&mut Prepared, JsValue> {
        if !self.statements.contains_key(sql) {
            if self.statements.len() >= MAX_STATEMENTS {
                self.forget_statements().await;
            }
            let tx = self.lease.as_ref().map(Lease::tx).ok_or(JsValue::UNDEFINED)?;
            let stmt: Stmt = JsFuture::from(tx.prepare(sql)?).await?.unchecked_into();
            self.statements.insert(sql.to_owned(), Prepared::new(stmt));
        }
        self.statements.get_mut(sql).ok_or(JsValue::UNDEFINED)
    }
}

/// Why a transaction could not begin. Closing finalises our statements; using one is a misuse then. And what SQLite
/// did not say itself, the wrapper said of a closed database.
async fn refused(thrown: &JsValue) -> StoreError {
    if sqlite_code(thrown) == Some(code::MISUSE) {
        return StoreError::Closed;
    }
    if sqlite_code(thrown).is_none() && thrown.is_instance_of::<js_sys::Error>() && !is_trap(thrown) {
        return StoreError::Closed;
    }
    store_error(thrown).await
}

fn is_trap(thrown: &JsValue) -> bool {
    thrown.is_instance_of::<js_sys::WebAssembly::RuntimeError>()
}

fn busy() -> JsValue {
    let error: JsValue = js_sys::Error::new("a transaction is open").into();
    let _ = js_sys::Reflect::set(&error, &"code".into(), &code::BUSY.into());
    error
}

fn has_method(target: &JsValue, name: &str) -> bool {
    js_sys::Reflect::get(target, &name.into()).is_ok_and(|member| member.is_function())
}

/// An identifier in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string in single quotes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
