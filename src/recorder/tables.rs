//! The tables of `run.db` as the hash chain and a verifier see them: columns, order, how a row is written.
//!
//! `TABLES` has every table in the order that the chain counts in. Must not know when rows are written, or why.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::chain::encode_ref;

/// How a table changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows are added; the first column is a tick or a number that rises.
    Ticked,
    /// Rows are added, numbered in the first column: from 1, or in a fork behind those that it has from before.
    Numbered,
    /// Rows are replaced; the first column is the key.
    Replaced,
}

/// A table of the recording.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How it changes.
    pub kind: Kind,
    /// The columns that the chain covers, the key first.
    pub columns: &'static [&'static str],
    /// The order in which it counts them, besides the key.
    pub then_by: Option<&'static str>,
    /// How a row is written; a [`Kind::Numbered`] one with its number last.
    pub(super) insert: &'static str,
}

impl Table {
    const fn new(name: &'static str, columns: &'static [&'static str], kind: Kind) -> Table {
        Table {
            name,
            kind,
            columns,
            then_by: None,
            insert: "",
        }
    }

    const fn written(self, insert: &'static str) -> Table {
        Table { insert, ..self }
    }

    /// Whether there is one row for each key.
    pub fn is_unique(&self) -> bool {
        self.then_by.is_none()
    }

    /// Calls `each` with key and encoded row, in order: all rows of the file itself, or those after a key.
    pub fn read(
        &self,
        connection: &Connection,
        after: Option<i64>,
        each: impl FnMut(ValueRef<'_>, &[u8]),
    ) -> rusqlite::Result<()> {
        let condition = after.map(|after| format!("{} > {after}", self.columns[0]));
        if !connection.table_exists(Some("main"), self.name)? {
            // A recording from before there was such a table.
            return Ok(());
        }
        let own = format!("main.{}", self.name);
        self.read_where(
            connection,
            &own,
            condition.as_deref().unwrap_or("TRUE"),
            each,
        )
    }

    /// The same from a table of that form, those rows that an SQL condition holds for.
    pub fn read_where(
        &self,
        connection: &Connection,
        from: &str,
        condition: &str,
        mut each: impl FnMut(ValueRef<'_>, &[u8]),
    ) -> rusqlite::Result<()> {
        let (columns, key) = (self.columns.join(", "), self.columns[0]);
        let then = self
            .then_by
            .map_or(String::new(), |then| format!(", {then}"));
        let sql = format!("SELECT {columns} FROM {from} WHERE {condition} ORDER BY {key}{then}");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut bytes = Vec::new();
        while let Some(row) = rows.next()? {
            bytes.clear();
            for column in 0..self.columns.len() {
                encode_ref(row.get_ref(column)?, &mut bytes);
            }
            each(row.get_ref(0)?, &bytes);
        }
        Ok(())
    }
}

pub(super) static META: Table = Table::new("meta", &["key", "value"], Kind::Replaced)
    .written("INSERT OR REPLACE INTO meta VALUES (?1, ?2)");
pub(super) static BUNDLE: Table = Table::new("bundle", &["path", "body"], Kind::Replaced)
    .written("INSERT INTO bundle VALUES (?1, ?2)");
pub(super) static SEATS: Table =
    Table::new("seats", &["seat", "name", "team", "agent"], Kind::Replaced)
        .written("INSERT OR REPLACE INTO seats VALUES (?1, ?2, ?3, ?4)");
pub(super) static INPUTS: Table = Table::new("inputs", &["tick", "body", "digest"], Kind::Ticked)
    .written("INSERT INTO inputs VALUES (?1, ?2, ?3)");
pub(super) static TICKS: Table = Table::new(
    "ticks",
    &["tick", "hash", "parts", "at_us", "step_us"],
    Kind::Ticked,
)
.written("INSERT INTO ticks VALUES (?1, ?2, ?3, ?4, ?5)");
pub(super) static KEYFRAMES: Table = Table::new("keyframes", &["tick", "body"], Kind::Ticked)
    .written("INSERT OR REPLACE INTO keyframes VALUES (?1, ?2)");
/// Table `events`: several rows a tick, in the order that they happened.
pub static EVENTS: Table = Table {
    then_by: Some("n"),
    ..Table::new(
        "events",
        &[
            "tick", "n", "name", "seat", "other", "x", "y", "text", "data",
        ],
        Kind::Ticked,
    )
    .written("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
};
/// Table `metrics`: several rows a tick, by name.
pub static METRICS: Table = Table {
    then_by: Some("name"),
    ..Table::new("metrics", &["tick", "name", "value"], Kind::Ticked)
        .written("INSERT INTO metrics VALUES (?1, ?2, ?3)")
};
pub(super) static NOTES: Table = Table::new(
    "notes",
    &["id", "tick", "seat", "kind", "text", "data"],
    Kind::Numbered,
)
.written("INSERT INTO notes (tick, seat, kind, text, data, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
pub(super) static REMEMBERED: Table = Table::new(
    "remembered",
    &["id", "tick", "seat", "state"],
    Kind::Numbered,
)
.written("INSERT INTO remembered (tick, seat, state, id) VALUES (?1, ?2, ?3, ?4)");
pub(super) static SCORES: Table =
    Table::new("scores", &["seat", "score", "status"], Kind::Replaced)
        .written("INSERT OR REPLACE INTO scores VALUES (?1, ?2, ?3)");
pub(super) static TRANSCRIPTS: Table = Table::new(
    "transcripts",
    &["id", "tick", "seat", "kind", "text", "line"],
    Kind::Numbered,
)
.written(
    "INSERT INTO transcripts (tick, seat, kind, text, line, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
);
pub(super) static COSTS: Table = Table::new(
    "costs",
    &[
        "id",
        "tick",
        "seat",
        "source",
        "model",
        "outcome",
        "status",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "usd",
        "ms",
    ],
    Kind::Numbered,
)
.written(
    "INSERT INTO costs (tick, seat, source, model, outcome, status, input_tokens, output_tokens, \
     cache_read_tokens, cache_write_tokens, usd, ms, id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
);
/// Without the bodies: the hash, which is their name, is checked against them.
pub(super) static CONTENTS: Table = Table::new("contents", &["id", "hash"], Kind::Numbered)
    .written("INSERT OR IGNORE INTO contents (hash, body, id) VALUES (?1, ?2, ?3)");
pub(super) static FILE_FACTS: Table = Table::new(
    "file_facts",
    &["sequence", "tick", "kind", "path", "seat", "token", "body"],
    Kind::Ticked,
)
.written("INSERT INTO file_facts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");

/// As [`CONTENTS`], of the seats' own files.
pub(super) static WORKSPACE_CONTENTS: Table =
    Table::new("workspace_contents", &["id", "hash"], Kind::Numbered)
        .written("INSERT OR IGNORE INTO workspace_contents (hash, body, id) VALUES (?1, ?2, ?3)");
pub(super) static WORKSPACE_FILES: Table = Table::new(
    "workspace_files",
    &[
        "id", "tick", "seat", "path", "kind", "hash", "bytes", "executable", "base", "rest", "text",
    ],
    Kind::Numbered,
)
.written(
    "INSERT INTO workspace_files (tick, seat, path, kind, hash, bytes, executable, base, rest, text, id) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
);

/// All tables but the chain's own.
pub static TABLES: [&Table; 17] = [
    &META,
    &BUNDLE,
    &SEATS,
    &INPUTS,
    &TICKS,
    &KEYFRAMES,
    &EVENTS,
    &METRICS,
    &NOTES,
    &REMEMBERED,
    &SCORES,
    &TRANSCRIPTS,
    &COSTS,
    &CONTENTS,
    &FILE_FACTS,
    &WORKSPACE_CONTENTS,
    &WORKSPACE_FILES,
];
