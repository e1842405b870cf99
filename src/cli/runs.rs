//! `formicarium runs`: what has been recorded under a folder.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::table::table;
use super::{Exit, fail};
use crate::recorder::ancestry::dependents;
use crate::recorder::reader::Recording;
use crate::recorder::{RecorderError, sealed};

#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    /// Folder of the runs.
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// Print a JSON array on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RunsArgs) -> Exit {
    let mut folders: Vec<PathBuf> = match std::fs::read_dir(&args.folder) {
        Ok(entries) => entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| sealed::file_of(path).is_some())
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return fail(Exit::Failed, &error),
    };
    folders.sort();
    let mut list: Vec<Row> = Vec::new();
    for folder in folders {
        match row(folder) {
            Ok(row) => list.push(row),
            Err(error) => {
                fail(Exit::Good, &error);
            }
        }
    }
    if args.json {
        println!("{}", serde_json::json!(list));
        return Exit::Good;
    }
    if list.is_empty() {
        println!(
            "no recordings under {}; make one with: formicarium run commons",
            args.folder.display()
        );
        return Exit::Good;
    }
    let heads = [
        "DIR", "SCENARIO", "CAST", "SEED", "TICKS", "END", "FORK OF", "FORKS",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(list.into_iter().map(|row| {
        let sealed = if row.sealed { " (sealed)" } else { "" };
        let none = || "-".to_owned();
        vec![
            row.dir.display().to_string(),
            row.scenario,
            row.cast,
            row.seed.to_string(),
            row.ticks.to_string(),
            row.end + sealed,
            row.parent
                .map_or_else(none, |of| format!("{} at {}", of.run, of.tick)),
            match row.forks.is_empty() {
                true => none(),
                false => row.forks.join(", "),
            },
        ]
    }));
    print!("{}", table(&rows, &[3, 4]));
    Exit::Good
}

/// What is said of a run.
#[derive(Serialize)]
struct Row {
    dir: PathBuf,
    run: String,
    scenario: String,
    cast: String,
    seed: u64,
    ticks: u64,
    end: String,
    sealed: bool,
    /// Where it branched off.
    parent: Option<Fork>,
    /// The runs that have their history from it.
    forks: Vec<String>,
}

#[derive(Serialize)]
struct Fork {
    run: String,
    tick: u64,
}

fn row(dir: PathBuf) -> Result<Row, RecorderError> {
    // Its own rows are enough: a fork whose parent is gone is listed too.
    let (path, connection) = Recording::connect(&dir)?;
    let recording = Recording::of(path, connection)?;
    let meta = &recording.meta;
    let parent = meta.parent.as_ref();
    Ok(Row {
        run: meta.run.clone(),
        scenario: meta.scenario.clone(),
        cast: meta.cast.clone(),
        seed: meta.seed,
        ticks: recording
            .last_tick()
            .unwrap_or_default()
            .max(parent.map_or(0, |of| of.tick)),
        end: match &recording.end {
            Some(end) => end.reason.clone(),
            None => "no end recorded".to_owned(),
        },
        sealed: sealed::is_sealed(recording.path()),
        parent: parent.map(|of| Fork {
            run: of.run.clone(),
            tick: of.tick,
        }),
        forks: dependents(&dir).into_iter().map(|fork| fork.run).collect(),
        dir,
    })
}
