//! Says whether a recording is whole: everything that is wrong with it, each with its table, tick and row.
//!
//! Five looks at one moment of the file: `audit` recomputes the hash chain, `execution` makes each tick again, `files`
//! follows the versions of the shared tree, `super::workspaces` those of the seats' own files, and SQLite checks its own
//! pages. Writes nothing, starts no process. Must not know who asks.

mod audit;
mod execution;
mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Serialize;

use super::reader::Recording;
use super::{Parent, RecorderError, RunMeta, ancestry, workspaces};

/// Faults of one table that are told; of more only the number.
const TOLD: usize = 100;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The table; `shared` for the folder of the shared tree, empty for the file as a whole.
    pub table: String,
    /// The tick, where it belongs to one.
    pub tick: Option<u64>,
    /// The row, or the rows, in words.
    pub row: Option<String>,
    /// What is wrong.
    pub why: String,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The run's id.
    pub run: String,
    /// Inputs.
    pub ticks: u64,
    /// Hash of the re-executed world after the last of them.
    pub hash: Option<String>,
    /// Whether the run came to its end. A run that was cut off, or still goes on, has none, and that is no fault.
    pub ended: bool,
    /// The hash chain; none in recordings of early hosts.
    pub chain: Option<ChainReport>,
    /// The tick up to which the inputs are those of its parent; 0 for a run of its own.
    #[serde(skip_serializing_if = "is_zero")]
    pub inherited: u64,
    /// Keyframes that were restored.
    pub keyframes: u64,
    /// Facts of the shared tree.
    pub facts: u64,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
    /// All that is wrong.
    pub faults: Vec<Fault>,
}

/// The hash chain as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Its blocks.
    pub blocks: u64,
    /// The digest of the last one: it stands for all that the chain covers.
    pub digest: String,
    /// Rows after the last block, which nothing covers yet: a host that is killed leaves some.
    pub open: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Collects faults, not without bound.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    counts: BTreeMap<String, usize>,
}

impl Faults {
    pub(super) fn add(
        &mut self,
        table: &str,
        tick: Option<u64>,
        row: Option<String>,
        why: impl Into<String>,
    ) {
        let count = self.counts.entry(table.to_owned()).or_default();
        *count += 1;
        if *count <= TOLD {
            self.list.push(Fault {
                table: table.to_owned(),
                tick,
                row,
                why: why.into(),
            });
        }
    }

    fn is_about(&self, table: &str) -> bool {
        self.counts.contains_key(table)
    }

    fn finish(mut self) -> Vec<Fault> {
        for (table, count) in self.counts {
            if count > TOLD {
                self.list.push(Fault {
                    table,
                    tick: None,
                    row: None,
                    why: format!("and {} more faults of this table", count - TOLD),
                });
            }
        }
        self.list
    }
}

/// Verifies the recording of a run, which may still go on.
///
/// # Errors
/// It cannot be opened, or is none of ours.
pub fn verify(run: &Path) -> Result<Report, RecorderError> {
    let mut faults = Faults::default();
    let (path, connection, mut report) = rows(run, &mut faults)?;
    if !report.unchecked.is_empty() {
        report.faults = faults.finish();
        return Ok(report);
    }
    match Recording::of(path.clone(), connection) {
        Ok(recording) => {
            report.run.clone_from(&recording.meta.run);
            if report.chain.is_none() {
                match recording.meta.provenance {
                    // A host that says where a run comes from keeps a chain.
                    Some(_) => faults.add("chain", None, None, "the table is missing"),
                    None => report.unchecked.push(
                        "the hash chain: this recording was made by a host that kept none".into(),
                    ),
                }
            }
            execution::execute(&recording, &mut report, &mut faults);
            files::check(&recording, &mut report, &mut faults);
            if let Err(error) = workspaces::verify(&recording, &mut faults) {
                faults.add("workspace_files", None, None, error.to_string());
            }
        }
        Err(error) => {
            if !faults.is_about("meta") {
                faults.add("meta", None, None, error.to_string());
            }
            report.unchecked.push(format!(
                "re-execution and the shared tree: what the run is made of cannot be read ({error})"
            ));
        }
    }
    report.faults = faults.finish();
    Ok(report)
}

/// What is wrong with the rows of a recording by themselves: pages, chain, history. Nothing is made again.
///
/// # Errors
/// It cannot be opened, or is none of ours.
pub(super) fn unbroken(run: &Path) -> Result<Vec<Fault>, RecorderError> {
    let mut faults = Faults::default();
    rows(run, &mut faults)?;
    Ok(faults.finish())
}

/// Looks at the rows by themselves. What was opened is at one moment, and has all that a fork has from before; where that
/// cannot be had, the report has something unchecked.
fn rows(run: &Path, faults: &mut Faults) -> Result<(PathBuf, Connection, Report), RecorderError> {
    let (path, connection) = Recording::connect(run)?;
    let sql = |source| RecorderError::Sql {
        path: path.clone(),
        source,
    };
    let parent = parent_of(&connection);
    let attached = ancestry::attach(&connection, &path, parent.as_ref());
    // All that follows is of one moment.
    connection.execute_batch("BEGIN").map_err(sql)?;
    pages(&connection, faults);
    let has_end = connection
        .query_row("SELECT 1 FROM meta WHERE key = 'end'", [], |_| Ok(()))
        .is_ok();
    let chain = audit::audit(&connection, has_end, parent.as_ref(), faults);
    let mut report = Report {
        ended: has_end,
        chain,
        ..Report::default()
    };
    match (attached, &parent) {
        (Ok(_), Some(parent)) => history(&connection, parent, &mut report, faults),
        (Ok(_), None) => {}
        (Err(error), _) => {
            faults.add("parent", parent.map(|of| of.tick), None, error.to_string());
            let what = "re-execution and the shared tree: what it has from its parent is not there";
            report.unchecked.push(what.into());
        }
    }
    Ok((path, connection, report))
}

/// The run that it branched off, if it says so; that what it says cannot be read is told elsewhere.
fn parent_of(connection: &Connection) -> Option<Parent> {
    let sql = "SELECT value FROM meta WHERE key = 'run'";
    let text: String = connection.query_row(sql, [], |row| row.get(0)).ok()?;
    serde_json::from_str::<RunMeta>(&text).ok()?.parent
}

/// What a fork has from before is what it was when it branched off.
fn history(connection: &Connection, parent: &Parent, report: &mut Report, faults: &mut Faults) {
    let Some(inherited) = &parent.history else {
        // A fork of an early host: its chain covers what it copied.
        return;
    };
    report.inherited = inherited
        .to
        .get("inputs")
        .map_or(0, |tick| (*tick).max(0) as u64);
    let mut wrong = |why: String| faults.add("parent", Some(parent.tick), None, why);
    match ancestry::digest(connection, None, &inherited.to) {
        Ok(found) if found == inherited.digest => {}
        Ok(_) => wrong(format!(
            "its rows up to tick {} are not those that run {} had when this one branched off",
            parent.tick, parent.run
        )),
        Err(error) => wrong(error.to_string()),
    }
    if inherited.copied {
        return;
    }
    // What the parent has, the fork's own file has not.
    for table in ancestry::lent() {
        let Some(to) = inherited.to.get(table.name) else {
            continue;
        };
        let (name, key) = (table.name, table.columns[0]);
        let sql = format!("SELECT count(*) FROM main.{name} WHERE {key} <= {to}");
        match connection.query_row(&sql, [], |row| row.get::<_, i64>(0)) {
            Ok(0) => {}
            Ok(count) => {
                let why = format!("{count} rows that the parent has already, up to {key} {to}");
                faults.add(name, None, None, why);
            }
            Err(error) => faults.add(name, None, None, error.to_string()),
        }
    }
}

/// SQLite's own check of its pages and indices.
fn pages(connection: &Connection, faults: &mut Faults) {
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("PRAGMA main.integrity_check")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    match check() {
        Ok(lines) if lines == ["ok"] => {}
        Ok(lines) => lines
            .into_iter()
            .for_each(|line| faults.add("", None, None, line)),
        Err(error) => faults.add("", None, None, error.to_string()),
    }
}
