//! `formicarium diff`: two runs compared, for people and for programs.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::table::table;
use super::{Exit, fail};
use crate::recorder::RecorderError;
use crate::recorder::diff::{Difference, Pair, diff};
use crate::recorder::reader::Recording;

/// Rows of a list that people are shown; programs get all.
const SHOWN: usize = 20;
/// Characters of a cell that people are shown.
const WIDTH: usize = 80;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// A run's folder or its run.db.
    a: PathBuf,
    /// Another one.
    b: PathBuf,
    /// Print one JSON object on standard output instead of words.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DiffArgs) -> Exit {
    let compare = || -> Result<Difference, RecorderError> {
        diff(&Recording::open(&args.a)?, &Recording::open(&args.b)?)
    };
    let found = match compare() {
        Ok(found) => found,
        Err(error @ RecorderError::Damaged { .. }) => return fail(Exit::Different, &error),
        Err(error) => return fail(Exit::Failed, &error),
    };
    match args.json {
        true => println!("{}", serde_json::json!(found)),
        false => print!("{}", words(&found, &args.a, &args.b)),
    }
    match found.equal {
        true => Exit::Good,
        false => Exit::Different,
    }
}

fn words(found: &Difference, a: &Path, b: &Path) -> String {
    let mut text = head(found);
    let (a, b) = (a.display().to_string(), b.display().to_string());
    let runs = [("A", &a, found.ticks.0), ("B", &b, found.ticks.1)];
    for (name, run, ticks) in runs {
        // A string takes all that is written.
        let _ = writeln!(text, "{name}: {run}, {ticks} ticks");
    }
    section(&mut text, "made of", "WHAT", &found.setting);
    if let Some(inputs) = &found.inputs {
        let title = format!("inputs of tick {}", inputs.tick);
        section(&mut text, &title, "SEAT", &inputs.seats);
    }
    let rows = found.metrics.iter().map(|metric| {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
        vec![
            metric.name.clone(),
            metric.tick.to_string(),
            number(metric.a),
            number(metric.b),
            number(metric.last_a),
            number(metric.last_b),
        ]
    });
    let columns = ["METRIC", "TICK", "A", "B", "LAST A", "LAST B"];
    listed(
        &mut text,
        "metrics, from the tick at which they part",
        &columns,
        rows.collect(),
    );
    section(&mut text, "scores", "SEAT", &found.scores);
    if let Some(messages) = &found.messages {
        let title = format!(
            "messages ({} in A, {} in B), the first that differs",
            messages.a, messages.b
        );
        section(&mut text, &title, "", std::slice::from_ref(&messages.first));
    }
    let rows = found.files.iter().map(|file| {
        let or = |words: &Option<String>| words.clone().unwrap_or("-".to_owned());
        vec![
            format!("{}@{}", file.path, file.version),
            or(&file.a),
            or(&file.b),
        ]
    });
    listed(
        &mut text,
        "files, by the first version that differs",
        &["VERSION", "A", "B"],
        rows.collect(),
    );
    if let Some(file) = found.files.first() {
        let (path, version) = (&file.path, file.version);
        let (run, newest) = match file.newest_a {
            Some(newest) if newest >= version => (&a, newest),
            _ => (&b, file.newest_b.unwrap_or(version)),
        };
        let _ = match version {
            1 if newest == 1 => writeln!(text, "see one: formicarium files {run} show {path}@1"),
            1 => writeln!(
                text,
                "see what became of it: formicarium files {run} diff {path}@1 @{newest}"
            ),
            _ => writeln!(
                text,
                "see what it changed: formicarium files {run} diff {path}@{} @{version}",
                version - 1
            ),
        };
    }
    section(
        &mut text,
        "where they come from (no difference of the runs)",
        "WHAT",
        &found.provenance,
    );
    text
}

fn head(found: &Difference) -> String {
    if found.equal {
        return "equal\n".to_owned();
    }
    match &found.first {
        Some(first) if first.parts.is_empty() && (first.a.is_none() || first.b.is_none()) => {
            let goes_on = if first.a.is_some() { "A" } else { "B" };
            format!("different at tick {}: only {goes_on} goes on\n", first.tick)
        }
        Some(first) => {
            let parts = match first.parts.is_empty() {
                true => "the sum of all parts".to_owned(),
                false => first.parts.join(", "),
            };
            let hash = |hash: &Option<String>| hash.clone().unwrap_or_default();
            let (a, b) = (hash(&first.a), hash(&first.b));
            format!("different at tick {}: {parts} (A {a}, B {b})\n", first.tick)
        }
        None => "different, though the worlds are equal at every tick\n".to_owned(),
    }
}

fn section(text: &mut String, title: &str, name: &str, pairs: &[Pair]) {
    let rows = pairs
        .iter()
        .map(|pair| vec![pair.name.clone(), cell(&pair.a), cell(&pair.b)]);
    listed(text, title, &[name, "A", "B"], rows.collect());
}

fn listed(text: &mut String, title: &str, columns: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let more = rows.len().saturating_sub(SHOWN);
    let mut all = vec![columns.iter().map(|column| (*column).to_owned()).collect()];
    all.extend(rows.into_iter().take(SHOWN));
    let _ = write!(text, "\n{title}:\n{}", table(&all, &[]));
    if more > 0 {
        let _ = writeln!(text, "... and {more} more (--json has all)");
    }
}

/// A value for a terminal: without control characters, and not without end.
fn cell(value: &Value) -> String {
    let words = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(shown).collect(),
        other => other.to_string(),
    };
    match words.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}...", &words[..at]),
        None => words,
    }
}

fn shown(c: char) -> String {
    match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    }
}
