//! Makes each tick again from its input and holds what the recording says of it against that: hashes, events, metrics,
//! keyframes, scores. Goes on after a difference, as far as there are inputs. Must not know the chain.

use formicarium_engine::{TickInput, TickOutput, World};
use rusqlite::ToSql;

use super::super::chain::{encode, encode_ref};
use super::super::reader::Recording;
use super::super::replay::{ReplayError, initial_world, short};
use super::super::rows::{by_name, with_event};
use super::super::tables::{EVENTS, METRICS, Table};
use super::super::{RecorderError, RunEnd, hash_text, input_check};
use super::{Faults, Report};

/// Rows of a tick, encoded.
type Encoded = Vec<Vec<u8>>;

/// Makes the run again.
pub(super) fn execute(recording: &Recording, report: &mut Report, faults: &mut Faults) {
    let mut world = match initial_world(recording) {
        Ok(world) => Some(world),
        Err(error @ ReplayError::Semantics { .. }) => {
            report.unchecked.push(format!("re-execution: {error}"));
            None
        }
        Err(error) => {
            faults.add("bundle", None, None, error.to_string());
            None
        }
    };
    let last_hashed = recording.last_hashed().ok().flatten();
    let mut scores = None;
    if let Some(world) = &world {
        let parts: Vec<u64> = world.parts().iter().map(|(_, part)| short(*part)).collect();
        hashes(recording, (0, last_hashed), world.hash(), &parts, faults);
        keyframe(recording, world, report, faults);
        scores = Some(world.scores());
    }
    let walked = walk(recording, faults, |input, faults| {
        let Some(made) = &mut world else { return };
        if input.tick != made.tick() + 1 {
            let row = Some(format!("tick {}", made.tick() + 1));
            let why = format!("its input says it is of tick {}", input.tick);
            faults.add("inputs", Some(made.tick() + 1), row, why);
            world = None;
            return;
        }
        let output = made.step(&input);
        let of = (output.tick, last_hashed);
        if hashes(recording, of, output.hash, &output.parts, faults) {
            outcome(recording, &output, faults);
        }
        keyframe(recording, made, report, faults);
        scores = Some(output.scores);
    });
    let (last, is_whole) = walked.unwrap_or_else(|error| {
        faults.add("inputs", None, None, error.to_string());
        (0, false)
    });
    if !is_whole {
        // It stopped on the way.
        (world, scores) = (None, None);
    }
    report.ticks = last;
    report.hash = world.as_ref().map(|world| hash_text(world.hash()));
    beyond(recording, last, faults);
    let promised = recording.end.as_ref().map(|end| end.ticks).max(last_hashed);
    if promised.unwrap_or(0) > last {
        let why = format!(
            "its row is missing; the recording speaks of {} ticks",
            promised.unwrap_or(0)
        );
        faults.add(
            "inputs",
            Some(last + 1),
            Some(format!("tick {}", last + 1)),
            why,
        );
    }
    if let Some(end) = &recording.end {
        ending(recording, end, report, scores.as_deref(), faults);
    }
}

/// Calls `each` with the inputs in order, up to the first that is missing or damaged; checks the others too. The last tick,
/// and whether all before it were there.
fn walk(
    recording: &Recording,
    faults: &mut Faults,
    mut each: impl FnMut(TickInput, &mut Faults),
) -> rusqlite::Result<(u64, bool)> {
    let mut statement = recording.connection.prepare(
        "SELECT tick, CAST(body AS BLOB), CAST(digest AS BLOB) FROM inputs ORDER BY tick",
    )?;
    let mut rows = statement.query([])?;
    let (mut expected, mut last, mut is_whole) = (1_u64, 0, true);
    while let Some(row) = rows.next()? {
        let (tick, body, digest): (i64, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = Some(format!("tick {tick}"));
        let Ok(tick) = u64::try_from(tick) else {
            faults.add("inputs", None, name, "there is no such tick");
            continue;
        };
        if tick != expected {
            let why = format!("its row is missing (the next one found is of tick {tick})");
            faults.add(
                "inputs",
                Some(expected),
                Some(format!("tick {expected}")),
                why,
            );
            is_whole = false;
        }
        expected = tick + 1;
        let input = match digest == input_check(tick, &body).into_bytes() {
            true => {
                serde_json::from_slice(&body).map_err(|error| format!("it is no input: {error}"))
            }
            false => Err("it does not fit its check value: its bytes were changed".to_owned()),
        };
        match input {
            Ok(input) if is_whole => {
                each(input, faults);
                last = tick;
            }
            Ok(_) => {}
            Err(why) => {
                faults.add("inputs", Some(tick), name, why);
                is_whole = false;
            }
        }
    }
    if !is_whole {
        faults.add(
            "inputs",
            Some(last + 1),
            None,
            format!("the world could be made again up to tick {last} only"),
        );
    }
    Ok((expected - 1, is_whole))
}

/// Compares the hashes of a tick; whether there are any.
fn hashes(
    recording: &Recording,
    (tick, last_hashed): (u64, Option<u64>),
    hash: u128,
    parts: &[u64],
    faults: &mut Faults,
) -> bool {
    let mut wrong = |why: String| {
        faults.add("ticks", Some(tick), Some(format!("tick {tick}")), why);
    };
    let row = match recording.tick(tick) {
        Ok(Some(row)) => row,
        Ok(None) => {
            if Some(tick) <= last_hashed || recording.end.is_some() {
                wrong("its row of hashes is missing".into());
            }
            return false;
        }
        Err(RecorderError::Damaged { why, .. }) => {
            wrong(why);
            return true;
        }
        Err(error) => {
            wrong(error.to_string());
            return true;
        }
    };
    let made = hash_text(hash);
    let names = recording.meta.parts.iter();
    let differing = names
        .zip(parts.iter().zip(&row.parts))
        .filter(|(_, (now, then))| now != then)
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>();
    if row.hash != made {
        wrong(format!(
            "the hash is recorded as {}, but made again it is {made}",
            row.hash
        ));
    }
    if !differing.is_empty() {
        wrong(format!("the world differs in {}", differing.join(", ")));
    }
    true
}

/// Compares events and metrics of a step.
fn outcome(recording: &Recording, output: &TickOutput, faults: &mut Faults) {
    let tick = output.tick as i64;
    let row = |values: &[&dyn ToSql]| {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| encode(*value, &mut bytes));
        bytes
    };
    let events = output.events.iter().enumerate();
    let events: Encoded = events
        .map(|(n, event)| with_event(tick, n, event, row))
        .collect();
    rows(recording, &EVENTS, output.tick, &events, faults);
    let metrics: Encoded = by_name(&recording.meta.metrics, &output.metrics)
        .into_iter()
        .map(|(name, value)| row(&[&tick, name, value]))
        .collect();
    rows(recording, &METRICS, output.tick, &metrics, faults);
}

fn rows(recording: &Recording, table: &Table, tick: u64, made: &Encoded, faults: &mut Faults) {
    let then = table.then_by.unwrap_or(table.columns[0]);
    let read = || -> rusqlite::Result<Encoded> {
        let mut statement = recording.connection.prepare_cached(&format!(
            "SELECT {} FROM {} WHERE tick = ?1 ORDER BY {then}",
            table.columns.join(", "),
            table.name
        ))?;
        let mut rows = statement.query([tick as i64])?;
        let mut list = Vec::new();
        while let Some(row) = rows.next()? {
            let mut bytes = Vec::new();
            for column in 0..table.columns.len() {
                encode_ref(row.get_ref(column)?, &mut bytes);
            }
            list.push(bytes);
        }
        Ok(list)
    };
    let found = match read() {
        Ok(found) => found,
        Err(error) => return faults.add(table.name, Some(tick), None, error.to_string()),
    };
    if found.len() != made.len() {
        let why = format!("{} rows, but made again {}", found.len(), made.len());
        faults.add(table.name, Some(tick), None, why);
    }
    for (at, (found, made)) in found.iter().zip(made).enumerate() {
        if found != made {
            let row = Some(format!("row {} of the tick, by {then}", at + 1));
            faults.add(table.name, Some(tick), row, "made again it is another");
        }
    }
}

/// Restores a keyframe, if there is one of the world's tick.
fn keyframe(recording: &Recording, world: &World, report: &mut Report, faults: &mut Faults) {
    let tick = world.tick();
    let found = recording
        .connection
        .prepare_cached("SELECT body FROM keyframes WHERE tick = ?1");
    let found = found.and_then(|mut statement| {
        let mut rows = statement.query([tick as i64])?;
        rows.next()?.map(|row| row.get::<_, Vec<u8>>(0)).transpose()
    });
    let mut wrong = |why: String| {
        faults.add("keyframes", Some(tick), Some(format!("tick {tick}")), why);
    };
    let body = match found {
        Ok(Some(body)) => body,
        Ok(None) => return,
        Err(error) => return wrong(error.to_string()),
    };
    match world.restored(&body) {
        Ok(restored) if restored.hash() != world.hash() => {
            wrong("it restores another world than that of its tick".into());
        }
        Ok(_) => report.keyframes += 1,
        Err(error) => wrong(error.to_string()),
    }
}

/// Rows of ticks that there are no inputs for.
fn beyond(recording: &Recording, last: u64, faults: &mut Faults) {
    for table in ["ticks", "keyframes", "events", "metrics"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE tick > ?1 OR tick < 0");
        let count = recording
            .connection
            .query_row(&sql, [last as i64], |row| row.get::<_, i64>(0));
        match count {
            Ok(0) => {}
            Ok(count) => {
                let why = format!("{count} rows of ticks that have no input");
                faults.add(table, None, None, why);
            }
            Err(error) => faults.add(table, None, None, error.to_string()),
        }
    }
}

/// What the recording says of the run's end.
fn ending(
    recording: &Recording,
    end: &RunEnd,
    report: &Report,
    scores: Option<&[f64]>,
    faults: &mut Faults,
) {
    let row = || Some("key end".to_owned());
    if let Some(hash) = report.hash.as_ref().filter(|hash| **hash != end.hash) {
        let why = format!(
            "the final hash is recorded as {}, but made again it is {hash}",
            end.hash
        );
        faults.add("meta", Some(end.ticks), row(), why);
    }
    if end.ticks < report.ticks {
        let why = format!(
            "it speaks of {} ticks, but there are {} inputs",
            end.ticks, report.ticks
        );
        faults.add("meta", Some(end.ticks), row(), why);
    }
    let read = || -> rusqlite::Result<Vec<f64>> {
        let mut statement = recording
            .connection
            .prepare("SELECT score FROM scores ORDER BY seat")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    match (read(), scores) {
        (Err(error), _) => faults.add("scores", None, None, error.to_string()),
        (Ok(found), Some(made)) if found != made => {
            let differs = found
                .iter()
                .zip(made)
                .position(|(found, made)| found != made);
            let row = differs.map(|seat| format!("seat {seat}"));
            faults.add("scores", Some(end.ticks), row, "made again they are others");
        }
        (Ok(_), _) => {}
    }
}
