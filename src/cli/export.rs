//! `formicarium export`: writes a recording as tables, or as a page. Parses, and says what was written.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::table::table;
use super::{Exit, fail};
use crate::export::{ExportError, Format, TABLES, Written, export, play};
use crate::recorder::RecorderError;
use crate::recorder::reader::Recording;
use crate::recorder::replay::ReplayError;
use crate::recorder::sealed;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// A run's folder or its run.db; the run may still go on, or have been cut off.
    run: PathBuf,
    /// The format of the tables.
    #[arg(long, value_enum)]
    to: To,
    /// Folder to write to: an empty one, or one that is not there yet; RUN-export unless given. Of `html` the file,
    /// RUN.html unless given.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Only these tables, with commas between them; all unless given.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(TABLES.map(|table| table.name)))]
    tables: Vec<String>,
    /// Write to a folder that is not empty; files of the same names are replaced.
    #[arg(long)]
    force: bool,
    /// Print one JSON object on standard output instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Parquet files, for polars, DuckDB, pandas, R.
    Parquet,
    /// CSV files (RFC 4180), for spreadsheets and anything else.
    Csv,
    /// JSON Lines, an object a row.
    Jsonl,
    /// One file that plays the run in a browser, with no server.
    Html,
}

pub(super) fn run(args: &ExportArgs) -> Exit {
    let format = match args.to {
        To::Parquet => Format::Parquet,
        To::Csv => Format::Csv,
        To::Jsonl => Format::Jsonl,
        To::Html => return page(args),
    };
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| beside(&args.run, "-export"));
    let wanted = |name: &str| args.tables.is_empty() || args.tables.iter().any(|one| one == name);
    let done = Recording::open(&args.run)
        .map_err(ExportError::from)
        .and_then(|recording| export(&recording, format, &folder, wanted, args.force));
    let done = match done {
        Ok(done) => done,
        Err(error) => return wrong(&error),
    };
    match args.json {
        true => println!(
            "{}",
            json!({"dir": folder, "format": format.ending(), "tables": done.tables, "lacks": done.lacks})
        ),
        false => {
            print!("{}", words(&done.tables));
            println!("written to {}", folder.display());
        }
    }
    if let Some(lacks) = done.lacks {
        eprintln!("note: {lacks}");
    }
    Exit::Good
}

fn page(args: &ExportArgs) -> Exit {
    if !args.tables.is_empty() {
        eprintln!("formicarium: --tables is for tables; --to html plays the whole run");
        return Exit::Usage;
    }
    let file = args
        .out
        .clone()
        .unwrap_or_else(|| beside(&args.run, ".html"));
    let played = Recording::open(&args.run)
        .map_err(ExportError::from)
        .and_then(|recording| play(&recording, &file, args.force));
    match (played, args.json) {
        (Err(error), _) => return wrong(&error),
        (Ok(played), true) => println!(
            "{}",
            json!({"file": file, "format": "html", "ticks": played.ticks, "bytes": played.bytes})
        ),
        (Ok(played), false) => println!(
            "{} plays {} ticks ({} bytes); open it in a browser",
            file.display(),
            played.ticks,
            played.bytes
        ),
    }
    Exit::Good
}

fn wrong(error: &ExportError) -> Exit {
    let exit = match error {
        ExportError::Folder { .. } | ExportError::File { .. } => Exit::Usage,
        ExportError::Row { .. }
        | ExportError::Recorder(RecorderError::Damaged { .. })
        | ExportError::Replay(ReplayError::Recorder(RecorderError::Damaged { .. })) => {
            Exit::Different
        }
        ExportError::Recorder(_)
        | ExportError::Replay(_)
        | ExportError::NoPage
        | ExportError::TooLong { .. }
        | ExportError::Write { .. } => Exit::Failed,
    };
    fail(exit, error)
}

/// `runs/a` -> `runs/a-export`, and the same for `runs/a/run.db`.
fn beside(run: &Path, end: &str) -> PathBuf {
    let run = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
    let run = std::fs::canonicalize(&run).unwrap_or(run);
    let folder = match run.file_name() {
        Some(name) if name == sealed::OPEN || name == sealed::SEALED => {
            run.parent().unwrap_or(&run).to_owned()
        }
        _ => run,
    };
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(end);
    folder.with_file_name(name)
}

fn words(tables: &[Written]) -> String {
    let mut rows = vec![["FILE", "ROWS", "BYTES"].map(str::to_owned).to_vec()];
    rows.extend(tables.iter().map(|one| {
        vec![
            one.file.clone(),
            one.rows.to_string(),
            one.bytes.to_string(),
        ]
    }));
    table(&rows, &[1, 2])
}
