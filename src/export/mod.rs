//! A recording as tidy tables, for people who analyse it: `formicarium export`. docs/export.md describes them.
//!
//! `tables` says what there is, `rows` (with `actions` and `facts`) reads it row by row, `csv`, `jsonl` and `parquet`
//! write it, `folder` keeps half-written files from view. `film` makes the run's frames of the feed again and `html` puts
//! them into the page. Reads recordings only; must not know agents or the command line, and of the feed only its messages.

mod actions;
mod csv;
mod doc;
mod facts;
pub(crate) mod film;
mod folder;
mod html;
mod jsonl;
mod parquet;
mod rows;
mod table;
mod tables;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use self::doc::columns as columns_document;
pub use self::html::play;
pub use self::table::{Cell, Column, Kind, Table};
pub use self::tables::TABLES;

use crate::recorder::RecorderError;
use crate::recorder::reader::Recording;
use crate::recorder::replay::ReplayError;

/// How tables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet.
    Parquet,
    /// CSV.
    Csv,
    /// JSON Lines.
    Jsonl,
}

impl Format {
    /// The ending of files, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
        }
    }
}

/// A table that was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Its name.
    pub table: &'static str,
    /// Its file in the folder.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What an export has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The tables, in their order.
    pub tables: Vec<Written>,
    /// What they lack, in words; nothing as a rule.
    pub lacks: Option<String>,
}

/// A page that plays a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Played {
    /// Its last tick.
    pub ticks: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// A row that is not what was written.
    #[error(
        "the recording {path} is damaged: table {table}, row {row}: {why}; --tables exports the others", path = .path.display()
    )]
    Row {
        /// The recording.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The row, counted from 1.
        row: u64,
        /// How it was seen.
        why: String,
    },
    /// Not a folder to write into.
    #[error("{folder} {why}; name an empty folder with --out, or one that is not there yet", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The run cannot be made again.
    #[error("cannot play the run: {0}")]
    Replay(ReplayError),
    /// This host has no page.
    #[error(
        "this formicarium was built without the page that plays runs; `make viewer`, and build it again"
    )]
    NoPage,
    /// More than a page holds.
    #[error(
        "the run is too long for a page: it holds {most_mib} MiB of frames, and these end at tick {tick}; \
         export tables instead (--to parquet), or record fewer ticks (run --ticks)"
    )]
    TooLong {
        /// The tick whose frame did not fit.
        tick: u64,
        /// The limit.
        most_mib: u64,
    },
    /// Not a file to write.
    #[error("{file} {why}; name another with --out", file = .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refused.
    #[error("cannot write {path}: {source}; nothing was written", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Writes a table of its own as Parquet: one that is no part of a recording.
///
/// # Errors
/// The system's, while writing.
pub fn write_parquet<W: Write + Send + 'static>(
    out: W,
    name: &str,
    doc: &str,
    columns: &[Column<'_>],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> io::Result<()> {
    let mut sink = Box::new(self::parquet::Parquet::new(out, name, doc, columns)?);
    for row in rows {
        debug_assert_eq!(row.len(), columns.len());
        sink.row(&row)?;
    }
    sink.finish()
}

/// Writes rows in one format.
trait Sink {
    /// Writes a row, whose cells fit the columns.
    fn row(&mut self, row: &[Cell]) -> io::Result<()>;
    /// Writes what is left.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Writes those of [`TABLES`] that `wanted` wants to a folder: all of one moment, and all or none. The folder must be
/// empty or new, unless `force`.
///
/// # Errors
/// See [`ExportError`].
pub fn export(
    recording: &Recording,
    format: Format,
    folder: &Path,
    wanted: impl Fn(&str) -> bool,
    force: bool,
) -> Result<Done, ExportError> {
    // One transaction: of a run that goes on, all tables are those of one moment.
    let _moment = recording.moment()?;
    let names = rows::Names::read(recording)?;
    let mut folder = folder::Folder::open(folder, force)?;
    let mut done = Done {
        tables: Vec::new(),
        lacks: None,
    };
    for table in TABLES.iter().filter(|table| wanted(table.name)) {
        let file = format!("{}.{}", table.name, format.ending());
        let path = folder.file(&file);
        let failed = |source| ExportError::Write {
            path: path.clone(),
            source,
        };
        let handle = folder.create(&file).map_err(failed)?;
        let out = BufWriter::new(handle.try_clone().map_err(failed)?);
        let mut sink = sink(format, table, out).map_err(failed)?;
        let mut rows = 0;
        rows::each(recording, table, &names, &mut |row| {
            rows += 1;
            sink.row(row).map_err(failed)
        })?;
        sink.finish().map_err(failed)?;
        // Before it gets its name: a power cut leaves no empty table.
        handle.sync_all().map_err(failed)?;
        let bytes = handle.metadata().map_err(failed)?.len();
        done.tables.push(Written {
            table: table.name,
            file,
            rows,
            bytes,
        });
        if let (table::Source::Actions, Err(why)) = (table.source, &names.catalogue) {
            done.lacks = Some(format!(
                "table actions has numbers in place of the actions' names, and no outcomes: {why}"
            ));
        }
    }
    folder.keep()?;
    Ok(done)
}

fn sink<W: Write + Send + 'static>(
    format: Format,
    table: &Table,
    out: W,
) -> io::Result<Box<dyn Sink>> {
    Ok(match format {
        Format::Csv => Box::new(self::csv::Csv::new(out, table.columns)?),
        Format::Jsonl => Box::new(self::jsonl::JsonLines::new(out, table.columns)),
        Format::Parquet => {
            let Table {
                name, doc, columns, ..
            } = table;
            Box::new(self::parquet::Parquet::new(out, name, doc, columns)?)
        }
    })
}
