//! Compares two runs: where they first part, in which component of the world and by which inputs, and what came of it.
//!
//! Where a run comes from (ids, times, host, cast) is told apart and makes no difference. Reads only; must not know who asks
//! or how it is shown.

mod outcome;
mod words;

pub(crate) use words::action;

use std::collections::{BTreeMap, BTreeSet};

use formicarium_engine::{SeatInput, TickInput};
use rusqlite::OptionalExtension;
use serde::Serialize;
use serde_json::Value;

use self::outcome::{files, messages, metrics, scores};
use self::words::words;
use super::reader::{Recording, TickRow};
use super::replay::setting;
use super::{RecorderError, RunMeta, SeatMeta, input_check};

/// Something that is one thing in the first run and another in the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// What.
    pub name: String,
    /// In the first run; null for nothing.
    pub a: Value,
    /// In the second.
    pub b: Value,
}

/// The first tick after which the worlds are not equal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parting {
    /// The tick.
    pub tick: u64,
    /// The parts of the world that differ; none if one of the runs has no such tick.
    pub parts: Vec<String>,
    /// World hash of the first run; none if it has none of that tick.
    pub a: Option<String>,
    /// Of the second.
    pub b: Option<String>,
}

/// The first tick whose inputs are not equal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inputs {
    /// The tick.
    pub tick: u64,
    /// What differs, by seat, in words.
    pub seats: Vec<Pair>,
}

/// A metric that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The first tick at which it does.
    pub tick: u64,
    /// Its value then, in the first run.
    pub a: Option<f64>,
    /// In the second.
    pub b: Option<f64>,
    /// Its last value in the first run.
    pub last_a: Option<f64>,
    /// In the second.
    pub last_b: Option<f64>,
}

/// What was said, in the ticks that both runs have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Messages {
    /// How many messages the first run has.
    pub a: u64,
    /// The second.
    pub b: u64,
    /// The first that differs.
    pub first: Pair,
}

/// A path whose versions differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Path {
    /// The path.
    pub path: String,
    /// The first version that differs.
    pub version: u64,
    /// The newest version in the first run; none if nothing ever stood there.
    pub newest_a: Option<u64>,
    /// In the second.
    pub newest_b: Option<u64>,
    /// What the first version that differs is, in the first run.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

/// All that differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Whether they are equal, but for where they come from.
    pub equal: bool,
    /// Inputs of the first run, and of the second.
    pub ticks: (u64, u64),
    /// What the world is made of.
    pub setting: Vec<Pair>,
    /// Where the worlds part.
    pub first: Option<Parting>,
    /// Where the inputs part.
    pub inputs: Option<Inputs>,
    /// Metrics that differ.
    pub metrics: Vec<Metric>,
    /// Final scores that differ, by seat.
    pub scores: Vec<Pair>,
    /// Messages, if they differ.
    pub messages: Option<Messages>,
    /// Paths of the shared tree whose versions differ.
    pub files: Vec<Path>,
    /// Where the runs come from, where that differs. No difference of the runs.
    pub provenance: Vec<Pair>,
}

/// Compares two runs.
///
/// # Errors
/// One of them cannot be read, or is damaged where it was looked at.
pub fn diff(a: &Recording, b: &Recording) -> Result<Difference, RecorderError> {
    let moment = |of: &'_ Recording| {
        of.connection
            .execute_batch("BEGIN")
            .map_err(|error| of.sql(error))
    };
    moment(a)?;
    moment(b)?;
    let result = compare(a, b);
    for of in [a, b] {
        // It has read only; the next one begins anew.
        let _ = of.connection.execute_batch("ROLLBACK");
    }
    result
}

fn compare(a: &Recording, b: &Recording) -> Result<Difference, RecorderError> {
    // Where one run has no hashes, it has no metrics and no messages either.
    let last = |of: &Recording| -> Result<i64, RecorderError> {
        Ok(of.last_hashed()?.unwrap_or(0) as i64)
    };
    let both = last(a)?.min(last(b)?);
    let mut found = Difference {
        equal: false,
        ticks: (a.last_tick()?, b.last_tick()?),
        setting: settings(a, b)?,
        first: None,
        inputs: None,
        metrics: metrics(a, b, both)?,
        scores: scores(a, b)?,
        messages: messages(a, b, both)?,
        files: files(a, b)?,
        provenance: provenance(a, b),
    };
    let last = found.ticks.0.max(found.ticks.1);
    for tick in 0..=last {
        if found.first.is_none() {
            found.first = parting(a, b, tick, found.ticks)?;
        }
        if tick > 0 && found.inputs.is_none() {
            found.inputs = inputs(a, b, tick)?;
        }
        if found.first.is_some() && found.inputs.is_some() {
            break;
        }
    }
    found.equal = found.setting.is_empty()
        && found.first.is_none()
        && found.inputs.is_none()
        && found.metrics.is_empty()
        && found.scores.is_empty()
        && found.messages.is_none()
        && found.files.is_empty();
    Ok(found)
}

fn pairs(list: Vec<(&str, Value, Value)>) -> Vec<Pair> {
    list.into_iter()
        .filter(|(_, a, b)| a != b)
        .map(|(name, a, b)| Pair {
            name: name.to_owned(),
            a,
            b,
        })
        .collect()
}

/// What the worlds are made of.
fn settings(a: &Recording, b: &Recording) -> Result<Vec<Pair>, RecorderError> {
    let digest = |of: &Recording| -> Result<Value, RecorderError> {
        Ok(blake3::Hash::from(of.bundle()?.digest())
            .to_hex()
            .as_str()
            .into())
    };
    let number = |seed: u64| Value::from(seed.to_string());
    let (was, is) = (&a.meta, &b.meta);
    let mut list = pairs(vec![
        (
            "scenario",
            was.scenario.clone().into(),
            is.scenario.clone().into(),
        ),
        ("scenario digest", digest(a)?, digest(b)?),
        ("seed", number(was.seed), number(is.seed)),
        ("semantics", was.semantics.into(), is.semantics.into()),
    ]);
    let (was, is) = (parameters(a), parameters(b));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names {
        let of = |values: &BTreeMap<String, Value>| values.get(name).cloned().unwrap_or_default();
        let words = format!("parameter {name}");
        list.extend(pairs(vec![(&words, of(&was), of(&is))]));
    }
    Ok(list)
}

/// All parameters, or where they cannot be told, those that were set.
fn parameters(of: &Recording) -> BTreeMap<String, Value> {
    let recorded = of.meta.provenance.as_ref().map(|from| from.params.clone());
    let made = || serde_json::to_value(setting(of).ok()?.1).ok();
    recorded
        .or_else(made)
        .and_then(|values| serde_json::from_value(values).ok())
        .unwrap_or_else(|| {
            let set = of.meta.set.iter().cloned();
            set.map(|(name, value)| (name, value.into())).collect()
        })
}

/// Where the runs come from.
fn provenance(a: &Recording, b: &Recording) -> Vec<Pair> {
    let of = |meta: &RunMeta, digest: fn(&super::Provenance) -> &String| -> Value {
        meta.provenance
            .as_ref()
            .map_or(Value::Null, |from| digest(from).clone().into())
    };
    let (was, is) = (&a.meta, &b.meta);
    let end = |run: &Recording| -> Value {
        run.end
            .as_ref()
            .map_or(Value::Null, |end| end.reason.clone().into())
    };
    let cast = |meta: &RunMeta| of(meta, |from| &from.cast_digest);
    let host = |meta: &RunMeta| of(meta, |from| &from.host_digest);
    let both = |value: fn(&RunMeta) -> Value| (value(was), value(is));
    let mut list = Vec::new();
    let mut add = |name: &'static str, (a, b): (Value, Value)| list.push((name, a, b));
    add("run", both(|meta| meta.run.clone().into()));
    add(
        "started (seconds since 1970)",
        both(|meta| meta.started_unix.into()),
    );
    add("cast", both(|meta| meta.cast.clone().into()));
    add("cast digest", (cast(was), cast(is)));
    add(
        "host version",
        both(|meta| meta.host_version.clone().into()),
    );
    add("host digest", (host(was), host(is)));
    add("mode", both(|meta| meta.mode.clone().into()));
    add("hz", both(|meta| meta.hz.into()));
    add("last tick asked for", both(|meta| meta.ticks.into()));
    add("isolation", both(|meta| meta.isolation.clone().into()));
    add("durability", both(|meta| meta.durability.clone().into()));
    add("end", (end(a), end(b)));
    let mut list = pairs(list);
    let agents = |meta: &RunMeta| -> BTreeMap<String, String> {
        let seats = meta.seats.iter().cloned();
        seats
            .map(|SeatMeta { seat, agent, .. }| (seat, agent))
            .collect()
    };
    let (was, is) = (agents(was), agents(is));
    for (seat, agent) in &was {
        if let Some(other) = is.get(seat) {
            let words = format!("agent of {seat}");
            let (a, b) = (agent.clone().into(), other.clone().into());
            list.extend(pairs(vec![(&words, a, b)]));
        }
    }
    list
}

/// Whether the worlds differ after a tick.
fn parting(
    a: &Recording,
    b: &Recording,
    tick: u64,
    ticks: (u64, u64),
) -> Result<Option<Parting>, RecorderError> {
    let (was, is) = (a.tick(tick)?, b.tick(tick)?);
    let found = match (&was, &is) {
        (Some(was), Some(is)) if was.hash == is.hash && was.parts == is.parts => return Ok(None),
        (Some(was), Some(is)) => parts((&a.meta, was), (&b.meta, is)),
        // A killed host leaves its last inputs without hashes; only a missing input makes them different.
        _ if tick <= ticks.0 && tick <= ticks.1 => return Ok(None),
        _ => Vec::new(),
    };
    Ok(Some(Parting {
        tick,
        parts: found,
        a: was.map(|row| row.hash),
        b: is.map(|row| row.hash),
    }))
}

/// Names of the parts that differ.
fn parts(a: (&RunMeta, &TickRow), b: (&RunMeta, &TickRow)) -> Vec<String> {
    let named = |(meta, row): (&RunMeta, &TickRow)| -> BTreeMap<String, u64> {
        meta.parts
            .iter()
            .cloned()
            .zip(row.parts.iter().copied())
            .collect()
    };
    let (was, is) = (named(a), named(b));
    // In the order of the world, so that the first is the first that differs there.
    let order =
        a.0.parts
            .iter()
            .chain(b.0.parts.iter().filter(|part| !was.contains_key(*part)));
    order
        .filter(|part| was.get(*part) != is.get(*part))
        .cloned()
        .collect()
}

/// What differs in the inputs of a tick.
fn inputs(a: &Recording, b: &Recording, tick: u64) -> Result<Option<Inputs>, RecorderError> {
    let (was, is) = (input(a, tick)?, input(b, tick)?);
    if was == is {
        return Ok(None);
    }
    let parse = |of: &Recording, body: Option<Vec<u8>>| -> Result<Vec<SeatInput>, RecorderError> {
        let Some(body) = body else {
            return Ok(Vec::new());
        };
        let input: TickInput = serde_json::from_slice(&body)
            .map_err(|error| of.damaged(tick, format!("the input row is no input: {error}")))?;
        Ok(input.seats)
    };
    let (was, is) = (words(a, parse(a, was)?), words(b, parse(b, is)?));
    let seats: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let of = |words: &BTreeMap<String, String>, seat: &String| {
        words
            .get(seat)
            .map_or(Value::Null, |text| text.clone().into())
    };
    let list = seats
        .into_iter()
        .map(|seat| Pair {
            name: seat.clone(),
            a: of(&was, seat),
            b: of(&is, seat),
        })
        .filter(|pair| pair.a != pair.b)
        .collect();
    Ok(Some(Inputs { tick, seats: list }))
}

/// The input row of a tick, checked.
fn input(of: &Recording, tick: u64) -> Result<Option<Vec<u8>>, RecorderError> {
    let row: Option<(Vec<u8>, Vec<u8>)> = of
        .connection
        .prepare_cached(
            "SELECT CAST(body AS BLOB), CAST(digest AS BLOB) FROM inputs WHERE tick = ?1",
        )
        .and_then(|mut statement| {
            let row = statement.query_row([tick as i64], |row| Ok((row.get(0)?, row.get(1)?)));
            row.optional()
        })
        .map_err(|error| of.damaged(tick, error.to_string()))?;
    match row {
        Some((body, digest)) if digest != input_check(tick, &body).into_bytes() => {
            let why = "the input row does not fit its check value: its bytes were changed";
            Err(of.damaged(tick, why.to_owned()))
        }
        row => Ok(row.map(|(body, _)| body)),
    }
}
