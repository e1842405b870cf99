//! What a run that goes on begins with: everything that its recording says of the time before.
//!
//! Only reads. Must not know how agents are started.

use formicarium_agents::protocol::Resumed;
use formicarium_agents::workspace::history::restore::is_missing;
use formicarium_engine::{InputBody, TickInput, TickOutput, World};
use serde_json::Value;

use super::fault::Active;
use super::workspaces;
use crate::recorder::pace::Pace;
use crate::recorder::reader::Recording;
use crate::recorder::replay::initial_world;
use crate::recorder::seek::{SeekError, world_at};
use crate::recorder::{Changes, RecorderError};

/// The past of a run.
pub struct Past {
    /// Steps done.
    pub tick: u64,
    /// What the last steps put out that the recording does not have: the input is the commit point.
    pub unwritten: Vec<TickOutput>,
    /// The world before the first step, where the recording does not have it.
    pub unstarted: Option<World>,
    /// What was recorded since the newest keyframe.
    pub pace: Pace,
    /// Microseconds from the start of the run to the last tick.
    pub at_us: u64,
    /// Why the world has ended, if it has.
    pub ended: Option<String>,
    /// By seat.
    pub seats: Vec<SeatPast>,
    /// The last fact of the shared files that an input holds; 0 for none.
    pub taken: u64,
    /// Who had the last turn, in mode `turns`.
    pub last_turn: Option<usize>,
    /// Faults that had struck and were not over.
    pub struck: Vec<Active>,
    /// Values of the metrics, by tick.
    pub metrics: Vec<(u64, Vec<f64>)>,
    /// What is other from here on, and stands in no input yet.
    pub changes: Changes,
    /// The seats' own files.
    pub workspaces: workspaces::Past,
}

/// The past of a seat.
#[derive(Debug, Clone)]
pub struct SeatPast {
    /// What its agent is told.
    pub resumed: Resumed,
    /// What it had asked to remember.
    pub remembered: Option<Value>,
    /// The world takes it for gone or absent.
    pub missed: bool,
    /// Its agent's program had begun its session.
    pub has_session: bool,
    /// What its answers took, in milliseconds, and its waits in vain (false), where that was measured.
    pub thoughts: Vec<(u64, bool)>,
    /// Tokens, calls and dollars that it had used.
    pub spent: (u64, u64, f64),
}

impl Past {
    /// Reads a recording up to its last committed tick; the world as it is then.
    ///
    /// # Errors
    /// See [`SeekError`].
    pub fn read(recording: &Recording) -> Result<(Past, World), SeekError> {
        let tick = recording.last_tick()?;
        let hashed = recording.last_hashed()?;
        // The last step is made again in any case: it says whether the world has ended.
        let from = hashed.unwrap_or(0).min(tick.saturating_sub(1));
        let (world, mut unwritten) = world_at(recording, from, tick)?;
        let ended = unwritten.last().and_then(|output| output.ended.clone());
        unwritten.retain(|output| hashed.is_none_or(|hashed| output.tick > hashed));
        let mut pace = recording.pace(tick)?;
        pace.add_events(unwritten.iter().map(|output| output.events.len()).sum());
        let resumed = Resumed {
            tick,
            acts: 0,
            last_act: None,
        };
        let mut seats = vec![
            SeatPast {
                resumed,
                remembered: None,
                missed: false,
                has_session: false,
                thoughts: Vec::new(),
                spent: (0, 0, 0.0),
            };
            world.seats().len()
        ];
        let mut taken = 0;
        let mut last_turn = None;
        let mut struck: Vec<Active> = Vec::new();
        recording.inputs(|input: TickInput| -> Result<(), RecorderError> {
            let mut before = None;
            for entry in &input.seats {
                let Some(seat) = seats.get_mut(entry.seat.index()) else {
                    continue;
                };
                match &entry.body {
                    InputBody::Act(_) => {
                        seat.resumed.acts += 1;
                        seat.resumed.last_act = Some(input.tick - 1);
                        seat.missed = false;
                    }
                    InputBody::Back => seat.missed = false,
                    InputBody::Absent | InputBody::Exited { .. } => seat.missed = true,
                    InputBody::File(fact) => taken = taken.max(fact.number),
                    InputBody::Turn => last_turn = Some(entry.seat.index()),
                    InputBody::Thought { ms, .. } => seat.thoughts.push((*ms, true)),
                    // What was measured stands before it.
                    InputBody::Late => {
                        if let Some((_, answered)) = seat
                            .thoughts
                            .last_mut()
                            .filter(|_| before == Some(entry.seat))
                        {
                            *answered = false;
                        }
                    }
                    // It struck when the tick before was shown.
                    InputBody::Fault { line, kind, ticks } if *ticks > 0 => struck.push(Active {
                        seat: entry.seat.index(),
                        line: *line,
                        kind: *kind,
                        until: (input.tick - 1).saturating_add(*ticks),
                    }),
                    InputBody::FaultOver { line, .. } => {
                        let seat = entry.seat.index();
                        struck.retain(|one| one.seat != seat || one.line != *line);
                    }
                    InputBody::Unseen
                    | InputBody::Fault { .. }
                    | InputBody::Told { .. }
                    | InputBody::Seated { .. } => {}
                }
                before = matches!(entry.body, InputBody::Thought { .. }).then_some(entry.seat);
            }
            Ok(())
        })?;
        for (seat, state) in recording.remembered(tick)? {
            if let Some(seat) = seats.get_mut(seat as usize) {
                seat.remembered = serde_json::from_str(&state).ok();
            }
        }
        for seat in recording.seats_with_sessions()? {
            if let Some(seat) = seats.get_mut(seat as usize) {
                seat.has_session = true;
            }
        }
        for cost in recording.costs()? {
            let names = world.seats().iter();
            if let Some(seat) = names
                .zip(&mut seats)
                .find(|(info, _)| info.name == cost.seat)
            {
                let (tokens, calls, usd) = &mut seat.1.spent;
                *tokens += cost.input_tokens
                    + cost.output_tokens
                    + cost.cache_read_tokens
                    + cost.cache_write_tokens;
                *calls += cost.calls;
                *usd += cost.usd;
            }
        }
        let mut workspaces = workspaces::Past {
            bytes: recording.workspace_bytes()?,
            ..workspaces::Past::default()
        };
        for seat in 0..seats.len() {
            workspaces.seen.push(recording.workspace_seen(seat)?);
            let name = &world.seats()[seat].name;
            let folder = recording.path().with_file_name("agents").join(name);
            // As found, where there is something.
            let (kept, left_out) = match is_missing(&folder) {
                true => recording.workspace_at(seat, u64::MAX)?,
                false => <_>::default(),
            };
            workspaces.kept.push(kept);
            workspaces.left_out.push(
                left_out
                    .iter()
                    .filter_map(|file| Some(format!("{} ({})", file.path, file.left_out()?)))
                    .collect(),
            );
        }
        let past = Past {
            tick,
            unwritten,
            pace,
            unstarted: match hashed {
                Some(_) => None,
                None => Some(initial_world(recording)?),
            },
            at_us: recording.last_at_us()?,
            ended,
            seats,
            taken,
            last_turn,
            struck,
            metrics: recording.metrics()?,
            changes: match &recording.meta.parent {
                // A fork that has not made a tick of its own.
                Some(parent) if parent.tick == tick => parent.changes.clone(),
                _ => Changes::default(),
            },
            workspaces,
        };
        Ok((past, world))
    }
}
