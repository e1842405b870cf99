//! `formicarium files`: what the agents of a run shared, in any version. Reads recordings only; the run may still go on.

mod diff;
mod log;

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use formicarium_agents::broker::{ContentHash, LeaseChange, LeaseFact, State, Version};
use serde_json::{Value, json};

use super::table::table;
use super::{Exit, fail};
use crate::recorder::RecorderError;
use crate::recorder::export;
use crate::recorder::reader::Recording;
use crate::recorder::versions::{History, LookupError};

/// Who is named where a version is the scenario's own.
const SCENARIO: &str = "(scenario)";

#[derive(Debug, Args)]
pub(super) struct FilesArgs {
    /// A run's folder or its run.db; the run may still go on.
    run: PathBuf,
    /// Print JSON on standard output, for programs.
    #[arg(long, global = true)]
    json: bool,
    /// What to read; the tree at the end if nothing is named.
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All versions, refusals and leases in order: of a path, of a folder with all in it (`notes/**`), or of all.
    Log {
        /// The path.
        path: Option<String>,
    },
    /// Write the bytes of a version to standard output: `chapter.md@3`, or `chapter.md` for its newest.
    Show {
        /// The path, and which version.
        #[arg(value_name = "PATH[@VERSION]", required_unless_present = "hash")]
        path: Option<String>,
        /// A content by its hash instead: that of a refusal, or what was merged (`log` names them).
        #[arg(long, conflicts_with = "path")]
        hash: Option<String>,
    },
    /// Compare two versions; exits 0 if they are equal, 1 if not, 2 if there is anything wrong.
    Diff {
        /// The first.
        #[arg(value_name = "PATH[@VERSION]")]
        old: String,
        /// The second; `@VERSION` for one of the same path, the newest of that path if nothing is named.
        #[arg(value_name = "[PATH]@VERSION")]
        new: Option<String>,
    },
    /// The tree as it stood at a tick: what the inputs up to that tick hold.
    At {
        /// The tick; 0 is the tree that the run began with.
        tick: u64,
        /// Write it there: an empty folder, or one that is not there yet.
        folder: Option<PathBuf>,
    },
}

/// What went wrong, with the exit status it has.
type Wrong = (Exit, Box<dyn Error>);

fn wrong(exit: Exit) -> impl Fn(String) -> Wrong {
    move |words| (exit, words.into())
}

fn reading(error: RecorderError) -> Wrong {
    let exit = match error {
        RecorderError::Damaged { .. } => Exit::Different,
        _ => Exit::Failed,
    };
    (exit, error.into())
}

fn lookup(error: LookupError) -> Wrong {
    (Exit::Usage, error.into())
}

pub(super) fn run(args: &FilesArgs) -> Exit {
    match answer(args) {
        Ok(exit) => exit,
        Err((exit, error)) => {
            let exit = match args.what {
                // 1 would say that they differ.
                Some(What::Diff { .. }) => Exit::Usage,
                _ => exit,
            };
            fail(exit, error.as_ref())
        }
    }
}

fn answer(args: &FilesArgs) -> Result<Exit, Wrong> {
    let recording = Recording::open(&args.run).map_err(reading)?;
    let history = recording.history().map_err(reading)?.ok_or_else(|| {
        let words = format!(
            "{} shares no files: its scenario has no [files]",
            args.run.display()
        );
        wrong(Exit::Usage)(words)
    })?;
    match &args.what {
        None => {
            let (tree, leases) = (history.tree(None), history.open_leases());
            say(&match args.json {
                true => line(&json!({"files": rows(&tree), "leases": lease_rows(&leases)})),
                false => listing(&tree) + &held(&leases, recording.end.is_none()),
            })
        }
        Some(What::Log { path }) => {
            let facts = match path {
                Some(path) => history.about(path).map_err(lookup)?,
                None => history.facts().iter().collect(),
            };
            say(&match args.json {
                true => line(&log::json(&facts)),
                false => log::words(&facts, &history, &args.run),
            })
        }
        Some(What::Show { path, hash }) => match (path, hash) {
            (_, Some(hash)) => show_hash(&recording, hash, args.json),
            (path, None) => show(
                &recording,
                &history,
                path.as_deref().unwrap_or_default(),
                args.json,
            ),
        },
        Some(What::Diff { old, new }) => {
            diff::run(&recording, &history, old, new.as_deref(), args.json)
        }
        Some(What::At { tick, folder }) => at(&recording, &history, *tick, folder.as_deref(), args),
    }
}

fn show(recording: &Recording, history: &History, name: &str, json: bool) -> Result<Exit, Wrong> {
    let version = history.find_file(name).map_err(lookup)?;
    let content = recording.version_content(version).map_err(reading)?;
    match json {
        false => say_bytes(&content),
        true => {
            let mut shown = row(version);
            shown["text"] = std::str::from_utf8(&content).map_or(Value::Null, Value::from);
            say(&line(&shown))
        }
    }
}

fn show_hash(recording: &Recording, text: &str, json: bool) -> Result<Exit, Wrong> {
    let hash = ContentHash::try_from(text.to_owned()).map_err(wrong(Exit::Usage))?;
    let content = recording.file_content(&hash).map_err(reading)?;
    let content = content.ok_or_else(|| {
        let words = format!(
            "no content of this run has the hash {hash}; what was refused for its size is not kept"
        );
        wrong(Exit::Usage)(words)
    })?;
    match json {
        false => say_bytes(&content),
        true => say(&line(&json!({
            "hash": hash.to_string(), "bytes": content.len(), "text": std::str::from_utf8(&content).ok(),
        }))),
    }
}

fn at(
    recording: &Recording,
    history: &History,
    tick: u64,
    folder: Option<&Path>,
    args: &FilesArgs,
) -> Result<Exit, Wrong> {
    let last = recording.last_tick().map_err(reading)?;
    if tick > last {
        let words = format!("there is no tick {tick}: the run has come to tick {last}");
        return Err(wrong(Exit::Usage)(words));
    }
    let tree = history.tree(Some(tick));
    let written = match folder {
        None => None,
        Some(folder) => Some(export::write(recording, &tree, folder).map_err(
            |error| -> Wrong {
                match error {
                    export::ExportError::Recording(error) => reading(error),
                    export::ExportError::Folder { .. } => (Exit::Usage, error.into()),
                    export::ExportError::Write { .. } => (Exit::Failed, error.into()),
                }
            },
        )?),
    };
    if args.json {
        let answer = json!({"tick": tick, "files": rows(&tree), "written": written});
        return say(&line(&answer));
    }
    match (folder, written) {
        (Some(folder), Some(files)) => say(&format!(
            "{files} file{} of tick {tick} written to {}\n",
            if files == 1 { "" } else { "s" },
            folder.display()
        )),
        _ => say(&listing(&tree)),
    }
}

/// A tree for people.
fn listing(tree: &[&Version]) -> String {
    if tree.is_empty() {
        return "the shared tree is empty\n".to_owned();
    }
    let mut rows = vec![["PATH", "VERSION", "SEAT", "TICK", "BYTES", ""].map(str::to_owned)];
    rows.extend(tree.iter().map(|version| {
        let (path, bytes, mark) = match version.state {
            State::Dir => (format!("{}/", version.path), String::new(), ""),
            State::File {
                bytes, executable, ..
            } => (
                version.path.to_string(),
                bytes.to_string(),
                if executable { "executable" } else { "" },
            ),
            State::Absent => (version.path.to_string(), String::new(), "removed"),
        };
        [
            path,
            format!("@{}", version.number),
            version.seat.as_deref().unwrap_or(SCENARIO).to_owned(),
            version.tick.to_string(),
            bytes,
            mark.to_owned(),
        ]
    }));
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    table(&rows, &[1, 3, 4])
}

/// Open leases for people; nothing if there are none.
fn held(leases: &[&LeaseFact], goes_on: bool) -> String {
    if leases.is_empty() {
        return String::new();
    }
    let mut rows = vec![["LEASE", "HOLDER", "TOKEN", "TICK", "FOR"].map(str::to_owned)];
    rows.extend(leases.iter().map(|lease| {
        [
            lease.scope.to_string(),
            lease.seat.clone(),
            lease.token.to_string(),
            lease.tick.to_string(),
            seconds(ttl(lease)),
        ]
    }));
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    let when = match goes_on {
        true => "open now, as far as it is recorded:",
        false => "open when the run ended:",
    };
    format!("\n{when}\n{}", table(&rows, &[2, 3, 4]))
}

fn ttl(lease: &LeaseFact) -> u64 {
    match lease.change {
        LeaseChange::Granted { ttl_ms } | LeaseChange::Renewed { ttl_ms } => ttl_ms,
        LeaseChange::Ended { .. } => 0,
    }
}

fn seconds(ms: u64) -> String {
    format!("{} s", ms as f64 / 1000.0)
}

fn rows(tree: &[&Version]) -> Vec<Value> {
    tree.iter().map(|version| row(version)).collect()
}

/// A version for programs, in the words of the view `versions`.
fn row(version: &Version) -> Value {
    let (kind, executable) = match version.state {
        State::Absent => ("absent", false),
        State::Dir => ("dir", false),
        State::File { executable, .. } => ("file", executable),
    };
    json!({
        "path": version.path, "version": version.number, "seat": version.seat, "tick": version.tick,
        "kind": kind, "bytes": version.state.bytes(), "hash": version.state.hash(), "executable": executable,
        "merged": version.merged.is_some(), "sequence": version.sequence,
    })
}

fn lease_rows(leases: &[&LeaseFact]) -> Vec<Value> {
    leases
        .iter()
        .map(|lease| {
            json!({
                "path": lease.scope.to_string(), "seat": lease.seat, "token": lease.token, "tick": lease.tick,
                "ttl_ms": ttl(lease), "sequence": lease.sequence,
            })
        })
        .collect()
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn say(text: &str) -> Result<Exit, Wrong> {
    say_bytes(text.as_bytes())
}

/// Writes to standard output. Who stops reading early, as `head` does, has what it wanted.
fn say_bytes(bytes: &[u8]) -> Result<Exit, Wrong> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err((Exit::Failed, error.into())),
        _ => Ok(Exit::Good),
    }
}
