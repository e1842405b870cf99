//! `sweep.parquet`: one row for each measure of each run. docs/sweep.md describes it.
//!
//! Tidy: a measure is a row, a parameter a column. Must not know how runs are started.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use formicarium_engine::{ParamType, ParamValue};

use super::state::{self, State};
use super::{Cell, Sweep, SweepError};
use crate::export::{self, Cell as Value, Column, Kind};
use crate::recorder::fingerprint::fingerprint;
use crate::recorder::reader::Recording;

/// The table's file in the folder of a sweep.
pub const FILE: &str = "sweep.parquet";
/// Before a parameter's name, so that none meets another column.
pub const PARAM: &str = "param_";

const fn column(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    doc: &'static str,
) -> Column<'static> {
    Column {
        name,
        kind,
        unit,
        nullable: false,
        doc,
    }
}

/// Columns before the parameters'.
pub const BEFORE: [Column<'static>; 5] = [
    column(
        "cell",
        Kind::Text,
        "",
        "the run's name in the sweep, and that of its folder below `runs/`",
    ),
    column(
        "status",
        Kind::Text,
        "",
        "`ended`; `failed` (see `error`); `open`: not come to its end yet. Only `ended` runs have measures",
    ),
    column("cast", Kind::Text, "", "the cast's name"),
    column(
        "cast_digest",
        Kind::Text,
        "",
        "BLAKE3 of the cast's text, hexadecimal",
    ),
    column("seed", Kind::UInt, "", "seed of the world"),
];

/// Columns behind the parameters'.
pub const BEHIND: [Column<'static>; 15] = [
    column(
        "run",
        Kind::Text,
        "",
        "the run's id; null if it is not `ended`, as in all columns down to `faults`",
    )
    .or_null(),
    column("scenario", Kind::Text, "", "the scenario's name"),
    column(
        "scenario_digest",
        Kind::Text,
        "",
        "BLAKE3 of the scenario's files, hexadecimal",
    ),
    column(
        "semantics",
        Kind::Int,
        "",
        "semantics version of the world's rules",
    )
    .or_null(),
    column(
        "fingerprint",
        Kind::Text,
        "",
        "the run's fingerprint: equal for equal inputs and worlds (`formicarium fingerprint`)",
    )
    .or_null(),
    column("ticks", Kind::Int, "ticks", "steps that were done").or_null(),
    column("end_reason", Kind::Text, "", "why it ended").or_null(),
    column(
        "end_hash",
        Kind::Text,
        "",
        "hash of the world at the end, 32 hexadecimal digits",
    )
    .or_null(),
    column(
        "seconds",
        Kind::Real,
        "s",
        "from its start to its last tick; time between a stop and going on is not in it",
    )
    .or_null(),
    column(
        "faults",
        Kind::Int,
        "",
        "faults around its agents (crashes, silence, garbage): kind `fault` of its table `notes`",
    )
    .or_null(),
    column(
        "error",
        Kind::Text,
        "",
        "the last words of a run that failed",
    )
    .or_null(),
    column(
        "measure",
        Kind::Text,
        "",
        "`metric` (value at the end) or `score`; null in the one row of a run without measures",
    )
    .or_null(),
    column(
        "name",
        Kind::Text,
        "",
        "the metric's name; of a score, the seat's",
    )
    .or_null(),
    column("unit", Kind::Text, "", "unit of `value` in the scenario").or_null(),
    column(
        "value",
        Kind::Real,
        "see `unit`",
        "the number; null where a metric has none",
    )
    .or_null(),
];

/// How the table came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Runs with faults around their agents.
    pub with_faults: usize,
}

/// Writes the table of what has ended and of what failed, with the last words of those.
///
/// # Errors
/// A recording cannot be read, or the file not written; the one of before stands then.
pub fn write(
    sweep: &Sweep,
    out: &Path,
    failures: &[(usize, String)],
) -> Result<Written, SweepError> {
    let mut rows = Vec::new();
    let mut with_faults = 0;
    for (index, cell) in sweep.cells.iter().enumerate() {
        let failure = failures.iter().find(|(failed, _)| *failed == index);
        let dir = out.join("runs").join(&cell.name);
        // What failed because its folder holds something else has no measures of its own.
        let state = match failure {
            Some(_) => State::Open,
            None => state::look(sweep, cell, &dir)?,
        };
        match state {
            State::Ended(recording) => {
                let faults = measured(sweep, cell, &recording, &mut rows)?;
                with_faults += usize::from(faults > 0);
            }
            _ => {
                let error = failure.map(|(_, words)| words.as_str());
                rows.push(row(sweep, cell, None, error, None));
            }
        }
    }
    let written = rows.len() as u64;
    let names: Vec<String> = sweep
        .scenario
        .param_docs()
        .iter()
        .map(|doc| format!("{PARAM}{}", doc.name))
        .collect();
    let columns = columns(sweep, &names);
    let path = out.join(FILE);
    let half = out.join(".sweep.parquet.new");
    let write = || {
        // Never through a link that somebody put there.
        let _ = std::fs::remove_file(&half);
        let file = File::create_new(&half)?;
        let buffered = BufWriter::new(file.try_clone()?);
        let doc = "a measure of a run of a sweep";
        export::write_parquet(buffered, "sweep", doc, &columns, rows.into_iter())?;
        file.sync_all()?;
        std::fs::rename(&half, &path)
    };
    write().map_err(SweepError::io(&path))?;
    Ok(Written {
        path,
        rows: written,
        with_faults,
    })
}

fn columns<'a>(sweep: &'a Sweep, names: &'a [String]) -> Vec<Column<'a>> {
    let params = sweep.scenario.param_docs().iter().zip(names);
    let params = params.map(|(doc, name)| Column {
        name,
        kind: match doc.kind {
            ParamType::Int => Kind::Int,
            ParamType::Float => Kind::Real,
            ParamType::Bool => Kind::Bool,
            ParamType::Text | ParamType::Choice => Kind::Text,
        },
        unit: "",
        nullable: false,
        doc: &doc.doc,
    });
    BEFORE.into_iter().chain(params).chain(BEHIND).collect()
}

/// What the rows of a run have in common.
struct Common<'a> {
    recording: &'a Recording,
    fingerprint: String,
    seconds: f64,
    faults: u64,
}

fn measured(
    sweep: &Sweep,
    cell: &Cell,
    recording: &Recording,
    rows: &mut Vec<Vec<Value>>,
) -> Result<u64, SweepError> {
    let common = Common {
        recording,
        fingerprint: fingerprint(recording)?.fingerprint,
        seconds: recording.last_at_us()? as f64 / 1e6,
        faults: state::faults(recording)?.0,
    };
    let before = rows.len();
    let metrics = recording.metrics()?;
    let last = metrics.last().map_or(&[][..], |(_, values)| values);
    for (name, value) in recording.meta.metrics.iter().zip(last) {
        let mut specs = sweep.scenario.metrics().iter();
        let spec = specs.find(|spec| spec.name == *name);
        let unit = spec.map(|spec| spec.unit.as_str());
        let measure = ("metric", name.as_str(), unit.unwrap_or(""), *value);
        rows.push(row(sweep, cell, Some(&common), None, Some(measure)));
    }
    let scores = recording.end.iter().flat_map(|end| &end.scores);
    for (seat, score) in recording.meta.seats.iter().zip(scores) {
        let measure = (
            "score",
            seat.seat.as_str(),
            sweep.scenario.score().unit.as_str(),
            *score,
        );
        rows.push(row(sweep, cell, Some(&common), None, Some(measure)));
    }
    if rows.len() == before {
        rows.push(row(sweep, cell, Some(&common), None, None));
    }
    Ok(common.faults)
}

type Measure<'a> = (&'static str, &'a str, &'a str, f64);

fn row(
    sweep: &Sweep,
    cell: &Cell,
    common: Option<&Common<'_>>,
    error: Option<&str>,
    measure: Option<Measure<'_>>,
) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    let maybe = |words: Option<&str>| words.map_or(Value::Null, text);
    let status = match (common, error) {
        (Some(_), _) => "ended",
        (None, Some(_)) => "failed",
        (None, None) => "open",
    };
    let mut row = vec![
        text(&cell.name),
        text(status),
        text(&cell.cast),
        text(&cell.cast_digest),
        Value::UInt(cell.seed),
    ];
    row.extend(cell.params.iter().map(|(_, value)| match value {
        ParamValue::Int(value) => Value::Int(*value),
        ParamValue::Num(value) => Value::Real(*value),
        ParamValue::Bool(value) => Value::Bool(*value),
        ParamValue::Text(value) => text(value),
    }));
    let meta = common.map(|common| &common.recording.meta);
    let end = common.and_then(|common| common.recording.end.as_ref());
    row.extend([
        maybe(meta.map(|meta| meta.run.as_str())),
        text(sweep.scenario.name()),
        text(&sweep.digest),
        meta.map_or(Value::Null, |meta| Value::Int(i64::from(meta.semantics))),
        maybe(common.map(|common| common.fingerprint.as_str())),
        end.map_or(Value::Null, |end| Value::Int(end.ticks as i64)),
        maybe(end.map(|end| end.reason.as_str())),
        maybe(end.map(|end| end.hash.as_str())),
        common.map_or(Value::Null, |common| Value::Real(common.seconds)),
        common.map_or(Value::Null, |common| Value::Int(common.faults as i64)),
        maybe(error),
        maybe(measure.map(|(measure, ..)| measure)),
        maybe(measure.map(|(_, name, ..)| name)),
        maybe(
            measure
                .map(|(_, _, unit, _)| unit)
                .filter(|unit| !unit.is_empty()),
        ),
        match measure {
            Some((.., value)) if value.is_finite() => Value::Real(value),
            _ => Value::Null,
        },
    ]);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_column_as_it_is() {
        let text = include_str!("../../docs/sweep.md");
        for column in BEFORE.iter().chain(&BEHIND) {
            let Column {
                name, unit, doc, ..
            } = column;
            let (kind, null) = (column.kind.word(), if column.nullable { "yes" } else { "" });
            let row = format!("| `{name}` | {kind} | {unit} | {null} | {doc} |\n");
            assert!(text.contains(&row), "docs/sweep.md lacks\n{row}");
        }
    }
}
