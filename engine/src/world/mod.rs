//! The world: made from a scenario, stepped by inputs, shown to seats and spectators, kept and brought back.
//! It must not know what any mechanic does; mechanic/mod.rs holds the order of a step.

mod build;
mod keep;
mod measure;
mod set;
#[cfg(test)]
mod tests;

pub use keep::RestoreError;

use crate::action::ActionSpec;
use crate::component::{Bodies, Cells, Facing, Held, Position, Presence, Seat, Standing};
use crate::event::{Event, Rejection};
use crate::id::SeatId;
use crate::input::TickInput;
use crate::mechanic::harvest::{Orchard, Sites};
use crate::mechanic::order::{Clock, Inbox, Outbox, Rejected, Rules, by};
use crate::mechanic::sanction::Timeout;
use crate::mechanic::{score, vision};
use crate::observation::Observation;
use crate::picture::{Delta, KindInfo, Picture, SpaceInfo, Thing};
use crate::registry::Registry;
use crate::scenario::{Diagnostic, Params, Scenario, TimeSpec};
use bevy_ecs::prelude::{Schedule, World as EcsWorld};
use serde::Serialize;
use set::Source;
use xxhash_rust::xxh3::Xxh3;

/// A seat of a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeatInfo {
    /// Its name: that of its group, with a number from 1 if there are several or the scenario asks for it.
    pub name: String,
    /// The name of its group: `[[seat]] name`.
    pub group: String,
    /// What the scenario tells this seat about itself.
    pub role: String,
}

/// What one step tells.
#[derive(Clone, Debug, PartialEq)]
pub struct TickOutput {
    /// The tick that the step made.
    pub tick: u64,
    /// What happened, in a fixed order.
    pub events: Vec<Event>,
    /// What was refused, sorted by seat.
    pub rejections: Vec<Rejection>,
    /// What changed in the picture.
    pub delta: Delta,
    /// One finite number for each metric, in the scenario's order.
    pub metrics: Vec<f64>,
    /// One finite number for each seat.
    pub scores: Vec<f64>,
    /// Hash of all state after the step.
    pub hash: u128,
    /// The low halves of the hashes of the parts, in the order of [`World::parts`].
    pub parts: Vec<u64>,
    /// Why the run is over, if it is: `[end]`, or a game that is played out. The last tick of `[time]` is not in it, since
    /// the host may be told another. Steps after that go on as before.
    pub ended: Option<String>,
}

/// How a step is executed; the results are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// On the calling thread.
    #[default]
    Single,
    /// On so many threads, at least 1; the pool is shared by all worlds and keeps the size it was first given.
    #[cfg(feature = "threads")]
    Threads(usize),
}

/// A running world. It is a function of (scenario, params, seed, inputs) and of nothing else.
pub struct World {
    source: Source,
    ecs: EcsWorld,
    schedule: Schedule,
    registry: Registry,
    seats: Vec<SeatInfo>,
    rules: Rules,
    /// The things of the last picture, to tell what changed.
    things: Vec<Thing>,
    /// Room for one part's bytes, kept so that hashing allocates nothing.
    scratch: Vec<u8>,
}

impl World {
    /// Makes the world of a scenario. `params` come from [`Scenario::params`].
    ///
    /// # Errors
    /// The faults that the scenario has with these parameters.
    pub fn new(scenario: &Scenario, params: &Params, seed: u64) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(scenario, params, seed);
        build::world(scenario.spec(params)?, source, |_| ())
    }

    /// The parameters as they are now: those of [`World::new`], and what inputs have set since.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.source.params
    }

    /// Chooses how steps are executed from here on.
    pub fn set_executor(&mut self, executor: Executor) {
        build::set_executor(&mut self.schedule, executor);
    }

    /// The number of steps done.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.ecs.resource::<Clock>().0
    }

    /// The seats, by number.
    #[must_use]
    pub fn seats(&self) -> &[SeatInfo] {
        &self.seats
    }

    /// `[time]` with parameters and the override applied. `ticks` is the last tick, also where a game sets it.
    #[must_use]
    pub fn time(&self) -> &TimeSpec {
        &self.rules.spec.time
    }

    /// Says that the run ends after another tick than `[time]` says; 0 for no end. It changes what observations say of
    /// the time, and nothing else: it is not state.
    pub fn set_ticks(&mut self, ticks: u64) {
        let spec = std::sync::Arc::make_mut(&mut self.rules.spec);
        spec.time.ticks = ticks;
        spec.time.ticks = vision::last_tick(spec);
        self.ecs.insert_resource(self.rules.clone());
    }

    /// The action catalogue, by number.
    #[must_use]
    pub fn catalogue(&self) -> &[ActionSpec] {
        &self.rules.catalogue
    }

    /// Makes the next tick. Any input will do: what makes no sense is refused or ignored.
    pub fn step(&mut self, input: &TickInput) -> TickOutput {
        let set = self.set(&input.set);
        let tick = self.tick() + 1;
        self.ecs.resource_mut::<Clock>().0 = tick;
        self.ecs.resource_mut::<Inbox>().0 = input.seats.clone();
        self.schedule.run(&mut self.ecs);
        self.ecs.clear_trackers();
        let mut events = set;
        events.append(&mut self.drain_events());
        let rejections = std::mem::take(&mut self.ecs.resource_mut::<Rejected>().0);
        let things = self.draw();
        let delta = difference(&self.things, &things);
        self.things = things;
        score::earn(&mut self.ecs, &self.rules.spec, &events);
        measure::count(&mut self.ecs, &self.rules.spec, &events);
        let scores = self.scores();
        let metrics = measure::metrics(&self.ecs, &self.rules.spec, &scores);
        let ended = measure::ended(&self.rules.spec, tick, &metrics);
        let parts: Vec<(&'static str, u128)> = self.hash_parts();
        TickOutput {
            tick,
            events,
            rejections,
            delta,
            metrics,
            scores,
            hash: whole(&parts),
            parts: parts.iter().map(|(_, hash)| *hash as u64).collect(),
            ended,
        }
    }

    /// What a seat is shown now. A seat that does not exist is shown nothing.
    #[must_use]
    pub fn observe(&self, seat: SeatId) -> Observation {
        vision::observe(&self.ecs, &self.seats, seat)
    }

    /// How many ticks the seat's body still waits for what was thought about too long; 0: not at all.
    #[must_use]
    pub fn busy(&self, seat: SeatId) -> u64 {
        let bodies = &self.ecs.resource::<Bodies>().0;
        let held = bodies
            .get(seat.index())
            .and_then(|body| self.ecs.get::<Held>(*body));
        held.map_or(0, |held| held.left)
    }

    /// The hash of all state: XXH3-128 over the names and hashes of the parts.
    #[must_use]
    pub fn hash(&self) -> u128 {
        whole(&self.parts())
    }

    /// The hash of each part of the state, in a fixed order: to name the first one that differs.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, u128)> {
        let mut bytes = Vec::new();
        self.registry
            .parts
            .iter()
            .map(|part| (part.name, part_hash(part, &self.ecs, &mut bytes)))
            .collect()
    }

    fn hash_parts(&mut self) -> Vec<(&'static str, u128)> {
        let (ecs, scratch) = (&self.ecs, &mut self.scratch);
        self.registry
            .parts
            .iter()
            .map(|part| (part.name, part_hash(part, ecs, scratch)))
            .collect()
    }

    /// The score of each seat.
    #[must_use]
    pub fn scores(&self) -> Vec<f64> {
        vision::all_scores(&self.ecs)
    }

    /// The metrics as they are now, in the scenario's order; events of a tick count as none before the first step.
    #[must_use]
    pub fn metrics(&self) -> Vec<f64> {
        measure::metrics(&self.ecs, &self.rules.spec, &self.scores())
    }

    /// The whole scene.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let spec = &self.rules.spec;
        let kinds = spec.kinds.iter().map(|kind| KindInfo {
            name: kind.name.clone(),
            glyph: kind.glyph,
            colour: kind.colour.clone(),
            solid: kind.solid,
            opaque: kind.opaque,
        });
        let space = spec.space.as_ref().map(|space| SpaceInfo {
            width: space.grid.width as u32,
            height: space.grid.height as u32,
            torus: space.grid.torus,
        });
        let growing = spec
            .mechanics
            .harvest
            .as_ref()
            .map(|harvest| harvest.kind + 1);
        let terrain = spec.space.as_ref().map_or(Vec::new(), |space| {
            space
                .kinds
                .iter()
                .map(|kind| if Some(*kind) == growing { 0 } else { *kind })
                .collect()
        });
        Picture {
            space,
            kinds: kinds.collect(),
            terrain,
            things: self.things.clone(),
        }
    }

    /// Everything that can change, sorted by id: bodies by seat, then live sites by cell.
    fn draw(&self) -> Vec<Thing> {
        let Some(space) = &self.rules.spec.space else {
            return Vec::new();
        };
        let mut things = Vec::with_capacity(self.things.len() + 8);
        for entity in &self.ecs.resource::<Bodies>().0 {
            let Ok(entity) = self.ecs.get_entity(*entity) else {
                continue;
            };
            let (Some(seat), Some(position), Some(facing)) = (
                entity.get::<Seat>(),
                entity.get::<Position>(),
                entity.get::<Facing>(),
            ) else {
                continue;
            };
            let standing = entity
                .get::<Presence>()
                .map_or(Standing::Playing, |presence| presence.standing);
            let timed_out = entity
                .get::<Timeout>()
                .is_some_and(|timeout| timeout.left > 0);
            let (x, y) = space.grid.place(position.0);
            things.push(Thing {
                id: u64::from(seat.0.0),
                kind: self.ecs.resource::<build::Kinds>().0[seat.0.index()],
                x,
                y,
                seat: Some(seat.0),
                face: facing.0 as i8,
                flags: u8::from(timed_out)
                    | u8::from(standing == Standing::Absent) << 1
                    | u8::from(standing == Standing::Exited) << 2,
            });
        }
        if let Some(harvest) = &self.rules.spec.mechanics.harvest {
            let live = &self.ecs.resource::<Orchard>().live;
            for (cell, _) in self
                .ecs
                .resource::<Sites>()
                .cells
                .iter()
                .zip(live)
                .filter(|(_, live)| **live)
            {
                let (x, y) = space.grid.place(*cell);
                let id = (1 << 32) | u64::from(*cell);
                things.push(Thing {
                    id,
                    kind: harvest.kind,
                    x,
                    y,
                    seat: None,
                    face: -1,
                    flags: 0,
                });
            }
        }
        things
    }

    fn drain_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        events.append(&mut self.ecs.resource_mut::<Outbox<by::Intake>>().events);
        events.append(&mut self.ecs.resource_mut::<Outbox<by::Speech>>().events);
        events.append(&mut self.ecs.resource_mut::<Outbox<by::Sanction>>().events);
        events.append(&mut self.ecs.resource_mut::<Outbox<by::Harvest>>().events);
        events.append(&mut self.ecs.resource_mut::<Outbox<by::Matrix>>().events);
        events.append(&mut self.ecs.resource_mut::<Outbox<by::Report>>().events);
        events
    }

    /// The mirror of all bodies and sites, made from the state alone.
    fn mirror(&self) -> Cells {
        let Some(space) = &self.rules.spec.space else {
            return Cells::default();
        };
        let mut cells = Cells {
            kind: space.kinds.clone(),
            body: vec![0; space.kinds.len()],
            ..Cells::default()
        };
        let kinds = &self.rules.spec.kinds;
        let flag = |pick: fn(&crate::scenario::Kind) -> bool| -> Vec<bool> {
            space
                .kinds
                .iter()
                .map(|kind| *kind > 0 && pick(&kinds[usize::from(*kind) - 1]))
                .collect()
        };
        cells.solid = flag(|kind| kind.solid);
        cells.opaque = flag(|kind| kind.opaque);
        if self.rules.spec.mechanics.harvest.is_some() {
            let live = &self.ecs.resource::<Orchard>().live;
            for (cell, live) in self.ecs.resource::<Sites>().cells.iter().zip(live) {
                if !live {
                    cells.kind[*cell as usize] = 0;
                }
            }
        }
        for (index, entity) in self.ecs.resource::<Bodies>().0.iter().enumerate() {
            if let Some(position) = self.ecs.get::<Position>(*entity) {
                cells.body[position.0 as usize] = index as u32 + 1;
            }
        }
        cells
    }
}

fn part_hash(part: &crate::registry::Part, ecs: &EcsWorld, bytes: &mut Vec<u8>) -> u128 {
    bytes.clear();
    (part.encode)(ecs, bytes);
    xxhash_rust::xxh3::xxh3_128(bytes)
}

fn whole(parts: &[(&'static str, u128)]) -> u128 {
    let mut hasher = Xxh3::new();
    for (name, hash) in parts {
        hasher.update(name.as_bytes());
        hasher.update(&hash.to_le_bytes());
    }
    hasher.digest128()
}

/// What turns one list of things, sorted by id, into another.
fn difference(before: &[Thing], after: &[Thing]) -> Delta {
    let mut delta = Delta::default();
    let mut old = before.iter().peekable();
    for thing in after {
        while let Some(gone) = old.next_if(|old| old.id < thing.id) {
            delta.removed.push(gone.id);
        }
        if old.next_if(|old| old.id == thing.id) != Some(thing) {
            delta.upsert.push(*thing);
        }
    }
    delta.removed.extend(old.map(|gone| gone.id));
    delta
}
