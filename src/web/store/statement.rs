//! Prepared statements and the values that go in and come out: binds and reads each with its exact type. Decides what is bound
//! again; never what is asked. Called by `connection`.

use std::ops::ControlFlow;

use js_sys::{BigInt, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::db::{Api, Stmt, Tx, code};
use super::pace::Pace;

/// A value on its way into a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arg<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// Without U+0000: SQLite's binding would cut there.
    Text(&'a str),
    /// The same, for what the statement is likely to be given again.
    Name(&'a str),
    /// Not empty: the binding would make it NULL.
    Blob(&'a [u8]),
}

/// A value of a result row of ours: we never ask for a REAL by itself.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl Cell {
    pub(super) fn integer(&self) -> i64 {
        match self {
            Cell::Integer(value) => *value,
            Cell::Null | Cell::Text(_) | Cell::Blob(_) => 0,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Null | Cell::Integer(_) | Cell::Blob(_) => String::new(),
        }
    }
}

/// The cells of one row, by position; a missing one reads as NULL.
#[derive(Debug)]
pub(super) struct Cells(pub(super) Vec<Cell>);

impl Cells {
    pub(super) fn at(&self, column: usize) -> &Cell {
        self.0.get(column).unwrap_or(&Cell::Null)
    }
}

/// What is done with each row; a trait object, because every instance of the loop would weigh kilobytes.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Cells) -> ControlFlow<()>;

/// A statement, and what its parameters are bound to: SQLite keeps that from one run to the next.
#[derive(Debug)]
pub(super) struct Prepared {
    stmt: Stmt,
    base: JsValue,
    bound: Vec<Bound>,
}

impl Prepared {
    pub(super) fn new(stmt: Stmt) -> Self {
        Prepared { base: stmt.base(), stmt, bound: Vec::new() }
    }

    /// Asks the statement something harmless: it fails where the database was closed.
    pub(super) fn probe(&self, api: &Api) -> Result<(), JsValue> {
        api.column_count(&self.base).map(drop)
    }

    /// Runs it, row by row, until `visit` has enough; lets the page breathe between rows.
    pub(super) async fn each(
        &mut self,
        api: &Api,
        args: &[Arg<'_>],
        pace: &mut Pace,
        visit: Visit<'_>,
    ) -> Result<(), JsValue> {
        self.bind(api, args)?;
        let outcome = step_through(api, &self.base, pace, visit).await;
        // `reset` throws again what `step` threw.
        let reset = match api.reset(&self.base) {
            Ok(reset) => JsFuture::from(reset).await,
            Err(thrown) => Err(thrown),
        };
        outcome.and_then(|()| reset.map(drop))
    }

    pub(super) async fn finalize(self, tx: &Tx) {
        if let Ok(finalized) = self.stmt.finalize(tx) {
            // The wrapper's own close may have been quicker.
            let _ = JsFuture::from(finalized).await;
        }
    }

    fn bind(&mut self, api: &Api, args: &[Arg<'_>]) -> Result<(), JsValue> {
        let Prepared { base: stmt, bound, .. } = self;
        bound.resize(args.len(), Bound::Other);
        for ((index, arg), bound) in (1..).zip(args).zip(bound) {
            if bound.is(arg) {
                continue;
            }
            *bound = Bound::Other;
            match *arg {
                Arg::Null => api.bind_null(stmt, index)?,
                Arg::Integer(value) => match i32::try_from(value) {
                    Ok(value) => api.bind_int(stmt, index, value)?,
                    Err(_) => api.bind_int64(stmt, index, value)?,
                },
                Arg::Real(value) => api.bind_double(stmt, index, value)?,
                Arg::Text(text) | Arg::Name(text) => api.bind_text(stmt, index, text)?,
                Arg::Blob(bytes) => api.bind_blob(stmt, index, bytes)?,
            };
            *bound = arg.into();
        }
        Ok(())
    }
}

/// What of a binding is remembered, because to bind it again would cost more than to compare.
#[derive(Debug, Clone, PartialEq)]
enum Bound {
    Integer(i64),
    Name(String),
    Other,
}

impl Bound {
    fn is(&self, arg: &Arg<'_>) -> bool {
        match (self, arg) {
            (Bound::Integer(bound), Arg::Integer(value)) => bound == value,
            (Bound::Name(bound), Arg::Name(name)) => bound == name,
            _ => false,
        }
    }
}

impl From<&Arg<'_>> for Bound {
    fn from(arg: &Arg<'_>) -> Self {
        match *arg {
            Arg::Integer(value) => Bound::Integer(value),
            Arg::Name(name) => Bound::Name(name.to_owned()),
            Arg::Null | Arg::Real(_) | Arg::Text(_) | Arg::Blob(_) => Bound::Other,
        }
    }
}

async fn step_through(api: &Api, stmt: &JsValue, pace: &mut Pace, visit: Visit<'_>) -> Result<(), JsValue> {
    loop {
        let stepped = JsFuture::from(api.step(stmt)?).await?;
        if stepped.as_f64() != Some(f64::from(code::ROW)) {
            return Ok(());
        }
        let columns = api.column_count(stmt)?;
        let cells = (0..columns).map(|column| cell(api, stmt, column)).collect::<Result<Vec<_>, _>>()?;
        if visit(Cells(cells)).is_break() {
            return Ok(());
        }
        pace.breathe().await;
    }
}

fn cell(api: &Api, stmt: &JsValue, column: u32) -> Result<Cell, JsValue> {
    Ok(match api.column_type(stmt, column)? {
        code::INTEGER => Cell::Integer(api.column_int64(stmt, column)?),
        code::NULL | code::FLOAT => Cell::Null,
        code::BLOB => Cell::Blob(api.column_blob(stmt, column)?.to_vec()),
        _ => Cell::Text(String::from_utf8_lossy(&api.column_blob(stmt, column)?.to_vec()).into_owned()),
    })
}

/// An integer goes as a BigInt: a number would arrive as REAL.
pub(super) fn plain_arg(arg: &Arg<'_>) -> JsValue {
    match *arg {
        Arg::Null => JsValue::NULL,
        Arg::Integer(value) => BigInt::from(value).into(),
        Arg::Real(value) => value.into(),
        Arg::Text(text) | Arg::Name(text) => text.into(),
        Arg::Blob(bytes) => Uint8Array::from(bytes).into(),
    }
}

pub(super) fn plain_cell(value: JsValue) -> Cell {
    if let Some(text) = value.as_string() {
        return Cell::Text(text);
    }
    #[allow(clippy::cast_possible_truncation)] // integers beyond 2^53 come as BigInt
    if let Some(number) = value.as_f64() {
        return Cell::Integer(number as i64);
    }
    if value.is_bigint() {
        return i64::try_from(value).map_or(Cell::Null, Cell::Integer);
    }
    value.dyn_into::<Uint8Array>().map_or(Cell::Null, |bytes| Cell::Blob(bytes.to_vec()))
}
