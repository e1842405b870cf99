//! A run as the frames of the feed (docs/feed-protocol.md), made again by re-execution: what the page in `html` plays.
//!
//! Every hash is compared on the way. Must not know pages or files.

use std::collections::BTreeMap;

use formicarium_agents::broker::{Fact, LeaseChange, Scope, State, TreePath};
use formicarium_engine::{Scenario, TickInput};
use serde_json::Value;

use super::ExportError;
use super::html::{MOST_BYTES, too_long};
use super::rows::{QueryError, query};
use crate::feed::files::{Covered, FilesDelta, Held, PathState};
use crate::feed::files_wire::Standing;
use crate::feed::picture::Picture;
use crate::feed::statics;
use crate::feed::wire::{self, CostTotals, Event, Kind, Phase, SeatStatus, ToClient};
use crate::recorder::hash_text;
use crate::recorder::reader::Recording;
use crate::recorder::replay::initial_world;

/// Statuses as the feed says them; a note with another word changes none.
const STATUSES: [&str; 7] = [
    "starting", "ready", "playing", "late", "absent", "exited", "ended",
];

/// Takes the messages in order: control messages as text, frames as bytes.
pub(super) trait Reel {
    /// Takes one.
    fn take(&mut self, is_frame: bool, tick: u64, bytes: &[u8]) -> Result<(), ExportError>;
}

struct Film<'a> {
    reel: &'a mut dyn Reel,
    seq: u64,
}

impl Film<'_> {
    fn frame(&mut self, kind: Kind, tick: u64, payload: &[u8]) -> Result<(), ExportError> {
        if matches!(kind, Kind::Tick) {
            self.seq += 1;
        }
        let frame = wire::frame(kind, self.seq, tick, payload, false);
        self.reel.take(true, tick, &frame)
    }

    fn say(&mut self, tick: u64, message: &ToClient) -> Result<(), ExportError> {
        let json = serde_json::to_vec(message).expect("feed messages have string keys");
        self.reel.take(false, tick, &json)
    }

    fn status(&mut self, tick: u64, seats: Vec<SeatStatus>) -> Result<(), ExportError> {
        if seats.is_empty() {
            return Ok(());
        }
        let message = ToClient::Status {
            phase: Phase::Running,
            head_tick: tick,
            head_seq: self.seq,
            tps: 0.0,
            seats,
        };
        self.say(tick, &message)
    }
}

/// Plays the whole run into `reel`; the number of its last tick.
pub(super) fn shoot(recording: &Recording, reel: &mut dyn Reel) -> Result<u64, ExportError> {
    let meta = &recording.meta;
    let mut world = initial_world(recording).map_err(ExportError::Replay)?;
    let first = world.picture();
    let bundle = recording.bundle()?;
    let seats = meta.seats.len();
    let mut picture = Picture::new(0, &first, world.scores(), seats);
    let mut film = Film { reel, seq: 0 };
    // `initial_world` has loaded both already.
    if let Ok(scenario) = Scenario::load(&bundle)
        && let Ok(params) = scenario.params(&meta.set)
    {
        let casts = [meta.cast.clone()];
        let command = format!("formicarium run {}", scenario.name());
        let actions = world.catalogue();
        let facts = statics::of(
            &scenario,
            &params,
            meta,
            (&casts, &command),
            &first,
            actions,
        );
        let json = serde_json::to_vec(&facts).expect("feed payloads have string keys");
        film.frame(Kind::Static, 0, &json)?;
    }
    let mut files = files(recording)?;
    if let Some(files) = &mut files {
        picture.files(files.remove(&0).unwrap_or_default());
    }
    film.frame(Kind::Snapshot, 0, &picture.snapshot())?;

    let mut around = Around::read(recording)?;
    let (events, statuses) = around.at(0);
    if !events.is_empty() {
        let json = picture.add(events);
        film.frame(Kind::Tick, 0, &json)?;
    }
    film.status(0, statuses)?;
    recording.inputs(|input: TickInput| {
        let output = world.step(&input);
        let tick = output.tick;
        if let Some(row) = recording.tick(tick)?
            && row.hash != hash_text(output.hash)
        {
            let why = "it cannot be played: re-execution gives another world (`formicarium replay` says which part)";
            return Err(recording.damaged(tick, why.to_owned()).into());
        }
        let (agents, statuses) = around.at(tick);
        let mut events: Vec<Event> = output
            .events
            .iter()
            .map(|event| Event::of_world(tick, event))
            .collect();
        events.extend(agents);
        let news = files.as_mut().and_then(|files| files.remove(&tick));
        let (scores, metrics) = (&output.scores, &output.metrics);
        let json = picture.apply(tick, &output.delta, scores, metrics, events, news);
        film.frame(Kind::Tick, tick, &json)?;
        film.status(tick, statuses)
    })?;
    let last = world.tick();
    if let Some(json) = picture.end() {
        film.frame(Kind::Tick, last, &json)?;
    }
    let (tick, reason, scores) = match &recording.end {
        Some(end) => (end.ticks, end.reason.clone(), end.scores.clone()),
        None => (
            last,
            "the recording goes no further".to_owned(),
            world.scores(),
        ),
    };
    let end = ToClient::End {
        tick,
        reason,
        scores,
    };
    film.say(last, &end)?;
    Ok(last)
}

/// What happened around agents, as spectators are told it, by tick.
pub(crate) struct Around {
    events: BTreeMap<u64, Vec<Event>>,
    costs: BTreeMap<u64, Vec<(u32, CostTotals)>>,
    /// As they stand after the last tick that was asked for.
    pub(crate) seats: Vec<SeatStatus>,
}

impl Around {
    pub(crate) fn read(recording: &Recording) -> Result<Around, ExportError> {
        let mut events: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        let mut bytes = 0;
        // A model's calls of its tools stand among its conversation; `kind` is all that the feed says of them besides.
        let sql = "SELECT tick, seat, kind, text, data FROM notes UNION ALL \
                   SELECT tick, seat, 'tool', text, '{\"kind\":\"tool-call\"}' FROM transcripts WHERE kind = 'tool-call'";
        query(recording, "notes", sql, |row| {
            let (tick, seat): (i64, Option<u32>) = (row.get(0)?, row.get(1)?);
            let (kind, text): (String, String) = (row.get(2)?, row.get(3)?);
            let tick = tick.max(0) as u64;
            let data: Option<String> = row.get(4)?;
            // All of it goes into frames: what is too long for a page is not gathered first.
            bytes += (text.len() + data.as_ref().map_or(0, String::len)) as u64;
            if bytes > MOST_BYTES {
                return Err(QueryError::Other(too_long(tick)));
            }
            let data = data.map_or(Ok(Value::Null), |data| serde_json::from_str(&data));
            let data = data.map_err(|error| {
                let why = format!("data of a note '{kind}': {error}");
                QueryError::Other(recording.damaged(tick, why).into())
            })?;
            let name = match kind.as_str() {
                "rejected" => "action.rejected".to_owned(),
                kind => format!("agent.{kind}"),
            };
            let event = Event::of_agent(tick, &name, seat, text, data);
            events.entry(tick).or_default().push(event);
            Ok(())
        })?;
        let mut costs: BTreeMap<u64, Vec<(u32, CostTotals)>> = BTreeMap::new();
        let sql = "SELECT tick, seat, source = 'call', input_tokens + output_tokens + cache_read_tokens + cache_write_tokens, \
                   total(usd) FROM costs GROUP BY id ORDER BY tick, id";
        query(recording, "costs", sql, |row| {
            let (tick, seat): (i64, u32) = (row.get(0)?, row.get(1)?);
            // Tokens are those of the model door, as on the live page; money is what programs say.
            let is_call: bool = row.get(2)?;
            let tokens: i64 = row.get(3)?;
            let cost = CostTotals {
                tokens: if is_call { tokens.max(0) as u64 } else { 0 },
                calls: u64::from(is_call),
                usd: row.get(4)?,
            };
            costs
                .entry(tick.max(0) as u64)
                .or_default()
                .push((seat, cost));
            Ok(())
        })?;
        let seats = (0..recording.meta.seats.len() as u32).map(|seat| SeatStatus {
            seat,
            status: STATUSES[0],
            reason: None,
            cost: None,
        });
        Ok(Around {
            events,
            costs,
            seats: seats.collect(),
        })
    }

    /// Events around agents at a tick, and the seats whose status is another after them.
    pub(crate) fn at(&mut self, tick: u64) -> (Vec<Event>, Vec<SeatStatus>) {
        let before = self.seats.clone();
        let events = self.events.remove(&tick).unwrap_or_default();
        for event in &events {
            let seat = event
                .seat
                .and_then(|seat| self.seats.get_mut(seat as usize));
            let word = event.data["status"].as_str();
            let known = STATUSES.iter().find(|status| Some(**status) == word);
            if let (Some(seat), Some(status), "agent.status") = (seat, known, &*event.name) {
                let text = event.text.as_deref().unwrap_or_default();
                seat.status = status;
                seat.reason = text.split_once(": ").map(|(_, reason)| reason.to_owned());
            }
        }
        for (seat, more) in self.costs.remove(&tick).unwrap_or_default() {
            if let Some(seat) = self.seats.get_mut(seat as usize) {
                let so_far = seat
                    .cost
                    .map_or((0, 0, 0.0), |cost| (cost.tokens, cost.calls, cost.usd));
                seat.cost = Some(CostTotals {
                    tokens: so_far.0 + more.tokens,
                    calls: so_far.1 + more.calls,
                    usd: so_far.2 + more.usd,
                });
            }
        }
        let changed = self
            .seats
            .iter()
            .zip(&before)
            .filter(|(now, then)| now != then);
        (events, changed.map(|(now, _)| now.clone()).collect())
    }
}

/// What became of the shared files, by the tick whose input holds it; none for a run that shares none.
pub(crate) fn files(
    recording: &Recording,
) -> Result<Option<BTreeMap<u64, FilesDelta>>, ExportError> {
    let Some(history) = recording.history()? else {
        return Ok(None);
    };
    let names = &recording.meta.seats;
    let seat_of = |name: &str| {
        names
            .iter()
            .position(|seat| seat.seat == name)
            .map(|n| n as u32)
    };
    let mut tree: BTreeMap<&TreePath, u64> = BTreeMap::new();
    let mut deltas: BTreeMap<u64, FilesDelta> = BTreeMap::new();
    for told in history.facts() {
        // Renewals enter no input, and the page counts no time down.
        let Some(entered) = told.entered else {
            continue;
        };
        let delta = deltas.entry(entered).or_default();
        match &told.fact {
            Fact::Version(version) => {
                let standing = match version.state {
                    State::Absent => Standing::Gone,
                    State::Dir => Standing::Folder,
                    State::File { executable, .. } if executable => Standing::Program,
                    State::File { .. } => Standing::File,
                };
                match version.state {
                    State::File { bytes, .. } => tree.insert(&version.path, bytes),
                    State::Absent | State::Dir => tree.remove(&version.path),
                };
                delta.published += u64::from(version.seat.is_some());
                let state = PathState {
                    sequence: version.sequence,
                    version: version.number,
                    standing,
                    bytes: version.state.bytes(),
                    seat: version.seat.as_deref().and_then(seat_of),
                    tick: version.tick,
                };
                delta.paths.insert(version.path.to_string(), state);
            }
            Fact::Refusal(_) => delta.refused += 1,
            Fact::Lease(lease) => {
                let is_held = !matches!(lease.change, LeaseChange::Ended { .. });
                let held = seat_of(&lease.seat).filter(|_| is_held).map(|seat| Held {
                    scope: Covered {
                        path: lease
                            .scope
                            .path()
                            .map_or(String::new(), ToString::to_string),
                        subtree: !matches!(lease.scope, Scope::Path(_)),
                    },
                    seat,
                    since: Some(lease.tick),
                    until_ms: 0,
                });
                delta.leases.insert(lease.token, held);
            }
        }
        (delta.count, delta.bytes) = (tree.len() as u64, tree.values().sum());
    }
    Ok(Some(deltas))
}
