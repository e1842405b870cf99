//! `formicarium runs`: what has been recorded under a folder.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail};
use crate::recorder::reader::Recording;

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
            .filter(|path| path.join("run.db").is_file())
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return fail(Exit::Failed, &error),
    };
    folders.sort();
    let mut list = Vec::new();
    for folder in folders {
        match Recording::open(&folder) {
            Ok(recording) => {
                let ticks = recording.last_tick().unwrap_or_default();
                let end = recording
                    .end
                    .as_ref()
                    .map_or("no end recorded", |end| end.reason.as_str())
                    .to_owned();
                list.push((folder, recording.meta.clone(), ticks, end));
            }
            Err(error) => {
                fail(Exit::Good, &error);
            }
        }
    }
    if args.json {
        let rows: Vec<_> = list
            .iter()
            .map(|(folder, meta, ticks, end)| {
                serde_json::json!({"dir": folder, "run": meta.run, "scenario": meta.scenario, "cast": meta.cast,
                    "seed": meta.seed, "ticks": ticks, "end": end})
            })
            .collect();
        println!("{}", serde_json::Value::from(rows));
        return Exit::Good;
    }
    if list.is_empty() {
        println!(
            "no recordings under {}; make one with: formicarium run commons",
            args.folder.display()
        );
        return Exit::Good;
    }
    println!(
        "{:<36} {:<12} {:<12} {:>20} {:>8}  END",
        "DIR", "SCENARIO", "CAST", "SEED", "TICKS"
    );
    for (folder, meta, ticks, end) in list {
        println!(
            "{:<36} {:<12} {:<12} {:>20} {ticks:>8}  {end}",
            folder.display().to_string(),
            meta.scenario,
            meta.cast,
            meta.seed
        );
    }
    Exit::Good
}
