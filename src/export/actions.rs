//! Table `actions`: what entered the world, in the scenario's words, and what became of it.
//!
//! The inputs hold numbers; names come from the scenario in the recording, outcomes from the notes about refusals. In
//! one tick the world does an action once a seat and refuses every repetition, so that a refusal finds its call.

use std::collections::BTreeMap;

use formicarium_engine::{
    ActionCall, ActionId, ActionSpec, Arg, InputBody, ParamKind, SeatId, SeatInput, TickInput,
};
use rusqlite::Rows;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ExportError;
use super::rows::{Each, Names, damaged};
use super::table::Cell;
use crate::recorder::reader::Recording;

const REFUSALS: &str =
    "SELECT tick, seat, text, data FROM notes WHERE kind = 'rejected' ORDER BY tick, id";

/// Calls `each` with a row for each action and for each thing that happened to a seat instead.
pub(super) fn each(
    recording: &Recording,
    names: &Names,
    each: &mut Each<'_>,
) -> Result<(), ExportError> {
    let failed = |error: rusqlite::Error| damaged(recording, "notes", 1, error.to_string());
    let mut statement = recording.connection().prepare(REFUSALS).map_err(failed)?;
    let mut refusals = Refusals {
        recording,
        rows: statement.query([]).map_err(failed)?,
        next: None,
    };
    refusals.advance()?;
    // The notes of a tick are durable when the next input is, or the end.
    let sure = match recording.has_end()? {
        true => u64::MAX,
        false => recording.last_tick()?.saturating_sub(1),
    };
    recording.inputs(|input: TickInput| {
        let mut known = refusals.of(input.tick)?;
        known.is_sure = input.tick <= sure;
        let counts = counts(&input);
        let mut seen = BTreeMap::new();
        for one in &input.seats {
            seat(
                recording,
                names,
                input.tick,
                one,
                each,
                &mut |call, name| {
                    let of = (one.seat, call.action);
                    let before = seen.entry(of).or_insert(0);
                    *before += 1;
                    known.outcome(one.seat.0, name, *before - 1, counts[&of])
                },
            )?;
        }
        Ok(())
    })
}

fn seat(
    recording: &Recording,
    names: &Names,
    tick: u64,
    one: &SeatInput,
    each: &mut Each<'_>,
    outcome: &mut dyn FnMut(&ActionCall, &str) -> (Cell, Cell),
) -> Result<(), ExportError> {
    let nothing: &[ActionCall] = &[];
    let (kind, calls, why) = match &one.body {
        InputBody::Act(calls) if calls.is_empty() => ("pass", nothing, None),
        InputBody::Act(calls) => ("act", &calls[..], None),
        InputBody::Late => ("late", nothing, None),
        InputBody::Absent => ("absent", nothing, None),
        InputBody::Back => ("back", nothing, None),
        InputBody::Exited { reason } => ("exited", nothing, Some(reason.as_str())),
        InputBody::Thought { .. } => ("thought", nothing, None),
        InputBody::Told { text } => ("told", nothing, Some(text.as_str())),
        InputBody::Seated { agent } => ("seated", nothing, Some(agent.as_str())),
        InputBody::Fault { kind, .. } => ("fault", nothing, Some(kind.word())),
        InputBody::FaultOver { kind, .. } => ("fault_over", nothing, Some(kind.word())),
        // What became of files has tables of its own, and whom the host asks is nobody's doing.
        InputBody::File(_) | InputBody::Turn | InputBody::Unseen => return Ok(()),
    };
    let Some(name) = names.seats.get(one.seat.index()) else {
        let why = format!(
            "its input is of seat {}, and there are {} seats",
            one.seat.0,
            names.seats.len()
        );
        return Err(recording.damaged(tick, why).into());
    };
    let mut row = |n: usize, rest: [Cell; 5]| {
        let [id, action, args, outcome, reason] = rest;
        each(&[
            Cell::int(tick),
            Cell::text(name),
            Cell::int(u64::from(one.seq)),
            Cell::int(n as u64),
            Cell::text(kind),
            id,
            action,
            args,
            outcome,
            reason,
        ])
    };
    if calls.is_empty() {
        let reason = Cell::text_or_null(why);
        let args = match &one.body {
            InputBody::Thought { ms, tokens } => {
                Cell::text(json!({"ms": ms, "tokens": tokens}).to_string())
            }
            _ => Cell::Null,
        };
        return row(0, [Cell::Null, Cell::Null, args, Cell::Null, reason]);
    }
    for (n, call) in calls.iter().enumerate() {
        let catalogue = names.catalogue.as_deref().unwrap_or_default();
        let spec = catalogue.iter().find(|spec| spec.id == call.action);
        let (action, args, (outcome, reason)) = match spec {
            Some(spec) => (
                Cell::text(&spec.name),
                in_words(call, spec, &names.seats),
                outcome(call, &spec.name),
            ),
            None => {
                let args = serde_json::to_value(&call.args).unwrap_or_default();
                (Cell::Null, args, (Cell::Null, Cell::Null))
            }
        };
        let id = Cell::int(u64::from(call.action.0));
        row(
            n,
            [id, action, Cell::text(args.to_string()), outcome, reason],
        )?;
    }
    Ok(())
}

/// Arguments by name, as an agent would have written them; a number that stands for no word stays a number.
fn in_words(call: &ActionCall, spec: &ActionSpec, seats: &[String]) -> Value {
    let mut words = Map::new();
    for (index, arg) in call.args.iter().enumerate() {
        let param = spec.params.get(index);
        let value = match (arg, param.map(|param| &param.kind)) {
            (Arg::None, _) => continue,
            (Arg::Choice(choice), Some(ParamKind::Choice(choices))) => choices
                .get(usize::from(*choice))
                .map_or(Value::from(*choice), |word| word.as_str().into()),
            (Arg::Choice(choice), _) => (*choice).into(),
            (Arg::Int(value), _) => (*value).into(),
            (Arg::Num(value), _) => (*value).into(),
            (Arg::Bool(value), _) => (*value).into(),
            (Arg::Text(text), _) => text.as_str().into(),
            (Arg::Seat(seat), _) => seats
                .get(seat.index())
                .map_or(Value::from(seat.0), |name| name.as_str().into()),
        };
        let name = param.map_or_else(|| index.to_string(), |param| param.name.clone());
        words.insert(name, value);
    }
    words.into()
}

/// Code and reason of a refusal.
type Words = (String, String);

/// What the notes of one tick say about the actions in its input.
struct Known {
    is_sure: bool,
    /// By seat and action: code and reason of each refusal, in order; none if one of them may be the door's.
    refused: BTreeMap<(u32, String), Option<Vec<Words>>>,
}

impl Known {
    /// What became of one call of an action: of `count` calls by this seat in this tick, the one after `before` others.
    fn outcome(&self, seat: u32, name: &str, before: usize, count: usize) -> (Cell, Cell) {
        let unknown = (Cell::Null, Cell::Null);
        if !self.is_sure {
            return unknown;
        }
        let refused = match self.refused.get(&(seat, name.to_owned())) {
            None => return (Cell::text("ok"), Cell::Null),
            Some(None) => return unknown,
            Some(Some(refused)) => refused,
        };
        let is_repeated = refused.iter().all(|(code, _)| code == "repeated");
        let at = match count.checked_sub(refused.len()) {
            Some(0) => before,
            // The first was done, the others were repetitions.
            Some(1) if is_repeated && before == 0 => return (Cell::text("ok"), Cell::Null),
            Some(1) if is_repeated => before - 1,
            _ => return unknown,
        };
        let (code, reason) = &refused[at];
        (Cell::text(code), Cell::text(reason))
    }
}

/// How many calls of each action each seat has in an input.
fn counts(input: &TickInput) -> BTreeMap<(SeatId, ActionId), usize> {
    let mut counts = BTreeMap::new();
    for one in &input.seats {
        if let InputBody::Act(calls) = &one.body {
            for call in calls {
                *counts.entry((one.seat, call.action)).or_default() += 1;
            }
        }
    }
    counts
}

/// The notes about refusals, read beside the inputs.
struct Refusals<'a> {
    recording: &'a Recording,
    rows: Rows<'a>,
    next: Option<Refusal>,
}

struct Refusal {
    tick: u64,
    seat: Option<u32>,
    reason: String,
    about: About,
}

/// `data` of a note about a refusal.
#[derive(Default, Deserialize)]
struct About {
    action: Option<String>,
    #[serde(default)]
    code: String,
    /// `world` or `door`; absent in recordings of early hosts.
    by: Option<String>,
}

impl Refusals<'_> {
    fn advance(&mut self) -> Result<(), ExportError> {
        let note = "a note of kind 'rejected'";
        let mut read = || -> rusqlite::Result<Option<(Refusal, String)>> {
            let Some(row) = self.rows.next()? else {
                return Ok(None);
            };
            let refusal = Refusal {
                tick: row.get::<_, i64>(0)?.max(0) as u64,
                seat: row.get(1)?,
                reason: row.get(2)?,
                about: About::default(),
            };
            let data: Option<String> = row.get(3)?;
            Ok(Some((refusal, data.unwrap_or_else(|| "{}".to_owned()))))
        };
        let found =
            read().map_err(|error| self.recording.damaged(0, format!("{note}: {error}")))?;
        self.next = match found {
            None => None,
            Some((mut next, data)) => {
                next.about = serde_json::from_str(&data).map_err(|error| {
                    let why = format!("data of {note}: {error}");
                    self.recording.damaged(next.tick, why)
                })?;
                Some(next)
            }
        };
        Ok(())
    }

    fn of(&mut self, tick: u64) -> Result<Known, ExportError> {
        let mut known = Known {
            is_sure: true,
            refused: BTreeMap::new(),
        };
        while let Some(next) = self.next.take_if(|next| next.tick <= tick) {
            self.advance()?;
            let (Some(seat), Some(action)) = (next.seat, next.about.action) else {
                continue;
            };
            if next.tick < tick || next.about.by.as_deref() == Some("door") {
                continue;
            }
            let is_world = next.about.by.is_some();
            let refused = known
                .refused
                .entry((seat, action))
                .or_insert_with(|| Some(Vec::new()));
            match (is_world, refused) {
                (true, Some(refused)) => refused.push((next.about.code, next.reason)),
                (_, refused) => *refused = None,
            }
        }
        Ok(known)
    }
}
