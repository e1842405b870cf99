//! The rows of each table, read from a recording one by one and checked against the table's columns.
//!
//! What does not fit is a damaged row, named by table, number and column. Must not know formats or files.

use std::collections::BTreeMap;

use formicarium_engine::{ActionSpec, SEMANTICS, Scenario};
use rusqlite::OptionalExtension;
use rusqlite::types::ValueRef;

use super::table::{Cell, Column, Kind, Source, Table};
use super::{ExportError, actions, facts};
use crate::recorder::RunEnd;
use crate::recorder::reader::Recording;

/// Takes the rows of a table as they come.
pub(super) type Each<'a> = dyn FnMut(&[Cell]) -> Result<(), ExportError> + 'a;

/// What rows are named by: read once for all tables.
#[derive(Debug)]
pub(super) struct Names {
    /// Seats by number.
    pub(super) seats: Vec<String>,
    /// The action catalogue, or why there is none.
    pub(super) catalogue: Result<Vec<ActionSpec>, String>,
    units: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn read(recording: &Recording) -> Result<Names, ExportError> {
        let mut seats = Vec::new();
        query(
            recording,
            "seats",
            "SELECT name FROM seats ORDER BY seat",
            |row| {
                seats.push(row.get(0)?);
                Ok(())
            },
        )?;
        let meta = &recording.meta;
        let bundle = recording.bundle()?;
        let scenario = Scenario::load(&bundle).ok();
        let params = scenario
            .as_ref()
            .and_then(|scenario| scenario.params(&meta.set).ok());
        let catalogue = match (&scenario, &params) {
            _ if meta.semantics != SEMANTICS => Err(format!(
                "its semantics version is {}, this host's is {SEMANTICS}; formicarium {} knows their names",
                meta.semantics, meta.host_version
            )),
            (Some(scenario), Some(params)) => Ok(scenario.catalogue(params)),
            _ => Err("the scenario inside it does not load".to_owned()),
        };
        let units = scenario
            .iter()
            .flat_map(Scenario::metrics)
            .filter(|metric| !metric.unit.is_empty())
            .map(|metric| (metric.name.clone(), metric.unit.clone()))
            .collect();
        Ok(Names {
            seats,
            catalogue,
            units,
        })
    }
}

/// Calls `each` with the rows of a table in their order.
pub(super) fn each(
    recording: &Recording,
    table: &Table,
    names: &Names,
    each: &mut Each<'_>,
) -> Result<(), ExportError> {
    let check = Check { recording, table };
    let mut number = 0;
    let mut checked = |row: &[Cell]| {
        number += 1;
        check.row(number, row)?;
        each(row)
    };
    match table.source {
        Source::Run => run(recording, &mut checked),
        Source::Query(sql) => rows(recording, table, sql, &mut checked),
        Source::Metrics => metrics(recording, table, names, &mut checked),
        Source::Actions => actions::each(recording, names, &mut checked),
        Source::Files => facts::files(recording, &mut checked),
        Source::Leases => facts::leases(recording, &mut checked),
    }
}

/// Runs a query for its rows, with what goes wrong told of the table.
pub(super) fn query(
    recording: &Recording,
    table: &'static str,
    sql: &str,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> Result<(), QueryError>,
) -> Result<(), ExportError> {
    let mut number = 0;
    let mut read = || -> Result<(), QueryError> {
        let mut statement = recording.connection().prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            number += 1;
            each(row)?;
        }
        Ok(())
    };
    read().map_err(|error| match error {
        QueryError::Sql(error) => damaged(recording, table, number.max(1), error.to_string()),
        QueryError::Other(error) => error,
    })
}

/// What goes wrong within a query.
pub(super) enum QueryError {
    Sql(rusqlite::Error),
    Other(ExportError),
}

impl From<rusqlite::Error> for QueryError {
    fn from(error: rusqlite::Error) -> Self {
        QueryError::Sql(error)
    }
}

impl From<ExportError> for QueryError {
    fn from(error: ExportError) -> Self {
        QueryError::Other(error)
    }
}

pub(super) fn damaged(
    recording: &Recording,
    table: &'static str,
    row: u64,
    why: String,
) -> ExportError {
    ExportError::Row {
        path: recording.path().to_owned(),
        table,
        row,
        why,
    }
}

fn run(recording: &Recording, each: &mut Each<'_>) -> Result<(), ExportError> {
    let meta = &recording.meta;
    let params: serde_json::Map<String, serde_json::Value> = meta
        .set
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    // Not the end that was read when the recording was opened: all tables are of one moment.
    let end: Option<String> = recording
        .connection()
        .query_row("SELECT value FROM meta WHERE key = 'end'", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|error| damaged(recording, "runs", 1, error.to_string()))?;
    let end: Option<RunEnd> = end
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| damaged(recording, "runs", 1, format!("meta 'end': {error}")))?;
    let (reason, hash) = end.map(|end| (end.reason, end.hash)).unzip();
    each(&[
        Cell::text(&meta.run),
        Cell::text(&meta.scenario),
        Cell::text(&meta.scenario_digest),
        Cell::UInt(meta.seed),
        Cell::text(serde_json::Value::from(params).to_string()),
        Cell::text(&meta.mode),
        Cell::Real(meta.hz),
        Cell::int(meta.ticks),
        Cell::text(&meta.cast),
        Cell::text(&meta.isolation),
        Cell::text(&meta.durability),
        Cell::int(u64::from(meta.semantics)),
        Cell::text(&meta.host_version),
        Cell::int(meta.started_unix),
        Cell::int(recording.last_tick()?),
        Cell::text_or_null(reason),
        Cell::text_or_null(hash),
    ])
}

fn rows(
    recording: &Recording,
    table: &Table,
    sql: &str,
    each: &mut Each<'_>,
) -> Result<(), ExportError> {
    let mut cells = Vec::with_capacity(table.columns.len());
    query(recording, table.name, sql, |row| {
        cells.clear();
        for (index, column) in table.columns.iter().enumerate() {
            cells.push(cell(row.get_ref(index)?, column));
        }
        Ok(each(&cells)?)
    })
}

fn metrics(
    recording: &Recording,
    table: &Table,
    names: &Names,
    each: &mut Each<'_>,
) -> Result<(), ExportError> {
    let sql = "SELECT tick, name, NULL, value FROM metrics ORDER BY tick, name";
    rows(recording, table, sql, &mut |row| {
        let mut row = row.to_vec();
        if let Cell::Text(name) = &row[1] {
            row[2] = Cell::text_or_null(names.units.get(name).cloned());
        }
        each(&row)
    })
}

/// What SQLite holds, as the column wants it where that loses nothing. What does not fit is found by the check.
fn cell(value: ValueRef<'_>, column: &Column<'_>) -> Cell {
    match (value, column.kind) {
        (ValueRef::Null, _) => Cell::Null,
        (ValueRef::Integer(value), Kind::Bool) if value == 0 || value == 1 => {
            Cell::Bool(value == 1)
        }
        (ValueRef::Integer(value), Kind::Real) => Cell::Real(value as f64),
        (ValueRef::Integer(value), _) => Cell::Int(value),
        (ValueRef::Real(value), _) => Cell::Real(value),
        (ValueRef::Text(bytes) | ValueRef::Blob(bytes), _) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::text(text),
            // No column takes it: the check says that it is no text.
            Err(_) => Cell::Real(f64::NAN),
        },
    }
}

struct Check<'a> {
    recording: &'a Recording,
    table: &'a Table,
}

impl Check<'_> {
    fn row(&self, number: u64, row: &[Cell]) -> Result<(), ExportError> {
        debug_assert_eq!(row.len(), self.table.columns.len(), "{}", self.table.name);
        for (cell, column) in row.iter().zip(self.table.columns) {
            let fits = match (cell, column.kind) {
                (Cell::Null, _) => column.nullable,
                (Cell::Int(_), Kind::Int)
                | (Cell::UInt(_), Kind::UInt)
                | (Cell::Bool(_), Kind::Bool)
                | (Cell::Text(_), Kind::Text) => true,
                (Cell::Real(value), Kind::Real) => value.is_finite(),
                (Cell::Text(text), Kind::Json) => {
                    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
                }
                _ => false,
            };
            if !fits {
                let why = format!(
                    "column {} must be {}{}, and is {}",
                    column.name,
                    column.kind.word(),
                    if column.nullable { " or null" } else { "" },
                    said(cell)
                );
                return Err(damaged(self.recording, self.table.name, number, why));
            }
        }
        Ok(())
    }
}

/// A cell for an error; no more of it than a person would read.
fn said(cell: &Cell) -> String {
    const MOST: usize = 60;
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Int(value) => value.to_string(),
        Cell::UInt(value) => value.to_string(),
        Cell::Real(value) if value.is_nan() => "bytes that are no UTF-8 text".to_owned(),
        Cell::Real(value) => value.to_string(),
        Cell::Bool(value) => value.to_string(),
        Cell::Text(text) => format!("{:?}", text.chars().take(MOST).collect::<String>()),
    }
}
