//! How far the run of a cell is, by what stands in its folder. Reads only; must not start or remove anything.

use std::path::Path;

use formicarium_engine::SEMANTICS;
use rusqlite::{Connection, OpenFlags};

use super::{Cell, Sweep, SweepError};
use crate::recorder::reader::Recording;
use crate::recorder::{RecorderError, RunEnd};
use crate::run::{DESERTED, INTERRUPTED};

/// What there is of a run.
#[derive(Debug)]
pub enum State {
    /// No folder.
    New,
    /// A folder without a tick: the host was killed before its recording began.
    Unbegun,
    /// A recording that has not come to its end.
    Open,
    /// A run that has come to its end.
    Ended(Box<Recording>),
    /// A run that ended because all its agents were gone, with the last fault around them.
    Deserted(String),
}

/// Looks at the folder of a cell's run.
///
/// # Errors
/// What stands there is no run of this cell, or cannot be read.
pub fn look(sweep: &Sweep, cell: &Cell, dir: &Path) -> Result<State, SweepError> {
    let db = dir.join("run.db");
    if !dir.exists() {
        return Ok(State::New);
    }
    if !db.exists() || is_blank(&db) {
        return Ok(State::Unbegun);
    }
    let recording = Recording::open(dir)?;
    if let Some(why) = difference(sweep, cell, &recording) {
        let dir = dir.to_owned();
        return Err(SweepError::Other { dir, why });
    }
    Ok(match &recording.end {
        Some(end) if end.reason == DESERTED => State::Deserted(deserted(&recording, end)?),
        Some(end) if end.reason != INTERRUPTED => State::Ended(Box::new(recording)),
        _ => State::Open,
    })
}

/// How many faults there were around the agents of a run, and the last of them.
///
/// # Errors
/// The recording cannot be read.
pub fn faults(recording: &Recording) -> Result<(u64, Option<String>), SweepError> {
    let (path, connection) = Recording::connect(recording.path())?;
    let sql = "SELECT count(*), (SELECT text FROM notes WHERE kind = 'fault' ORDER BY id DESC LIMIT 1) \
               FROM notes WHERE kind = 'fault'";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?));
    let found = connection.query_row(sql, [], read);
    found.map_err(|source| RecorderError::Sql { path, source }.into())
}

fn deserted(recording: &Recording, end: &RunEnd) -> Result<String, SweepError> {
    let last = faults(recording)?
        .1
        .map_or(String::new(), |fault| format!(": {fault}"));
    let ticks = end.ticks;
    Ok(format!(
        "{DESERTED} after {ticks} ticks{last}; remove the folder of the run to have it run anew"
    ))
}

/// A database without a mark: the transaction that makes a recording of it has not been committed.
fn is_blank(db: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(db, flags) else {
        return false;
    };
    let tables = "SELECT (SELECT count(*) FROM sqlite_schema) + (SELECT application_id FROM pragma_application_id)";
    connection
        .query_row(tables, [], |row| row.get::<_, i64>(0))
        .is_ok_and(|found| found == 0)
}

/// In what a recording is other than its cell asks for.
fn difference(sweep: &Sweep, cell: &Cell, recording: &Recording) -> Option<String> {
    let meta = &recording.meta;
    let other = |what: &str, there: &str, here: &str| {
        (there != here).then(|| format!("of its {what} it has {there}, here it has {here}"))
    };
    let provenance = meta.provenance.as_ref();
    // Through text as those of the recording: numbers are then read by the same rules.
    let params = serde_json::to_string(&cell.params).unwrap_or_default();
    let params: serde_json::Value = serde_json::from_str(&params).unwrap_or_default();
    let no_cast = "none".to_owned();
    other("scenario's digest", &meta.scenario_digest, &sweep.digest)
        .or_else(|| {
            let there = provenance.map(|of| &of.params);
            let there = there.map_or_else(|| "unknown".into(), |params| params.to_string());
            other("parameters", &there, &params.to_string())
        })
        .or_else(|| other("seed", &meta.seed.to_string(), &cell.seed.to_string()))
        .or_else(|| {
            let there = meta.options.cast.as_ref().unwrap_or(&no_cast);
            other("cast", there, &cell.cast)
        })
        .or_else(|| {
            let there = provenance.map_or("unknown", |of| &of.cast_digest);
            other("cast's digest", there, &cell.cast_digest)
        })
        .or_else(|| {
            let agents = &meta.options.agents;
            (!agents.is_empty()).then(|| "seats of it were given other agents".to_owned())
        })
        .or_else(|| {
            other(
                "last tick",
                &meta.ticks.to_string(),
                &cell.ticks.to_string(),
            )
        })
        .or_else(|| {
            let version = SEMANTICS.to_string();
            other("semantics version", &meta.semantics.to_string(), &version)
        })
}
