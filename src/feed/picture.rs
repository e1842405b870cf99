//! The state that spectators see, kept beside the world from its deltas.
//!
//! A snapshot of it is self-contained: a late joiner needs nothing that came before. Pure; must not
//! know sockets or threads.

use std::collections::{BTreeMap, VecDeque};

use formicarium_engine::{Delta, Picture as WorldPicture, Thing};

use super::files::{Files, FilesDelta};
use super::files_wire::FilesTick;
use super::wire::{Columns, CostTotals, Event, History, ScoreColumns, SeatStatus, Snapshot, Tick};

/// Events a late joiner is shown.
const RECENT: usize = 100;
/// Points of the metric history; twice that many are thinned to this.
const HISTORY: usize = 500;

/// What was before this host showed anything.
#[derive(Debug, Default)]
pub struct Past {
    /// The tick that it begins with.
    pub tick: u64,
    /// Values of the metrics up to it, by tick.
    pub metrics: Vec<(u64, Vec<f64>)>,
}

/// Reduced state of the feed.
#[derive(Debug)]
pub struct Picture {
    tick: u64,
    things: BTreeMap<u64, Thing>,
    scores: Vec<f64>,
    status: Vec<SeatStatus>,
    metrics: Vec<f64>,
    history_ticks: Vec<u64>,
    history_values: Vec<Vec<f64>>,
    /// Every `stride`th tick enters the history.
    stride: u64,
    recent: VecDeque<Event>,
    /// None in a scenario without shared files.
    files: Option<Files>,
}

impl Picture {
    /// The state at a tick, before the first one that is shown.
    pub fn new(tick: u64, world: &WorldPicture, scores: Vec<f64>, seats: usize) -> Picture {
        let status = (0..seats as u32)
            .map(|seat| SeatStatus {
                seat,
                status: "starting",
                reason: None,
                cost: None,
            })
            .collect();
        let mut picture = Picture {
            tick,
            things: BTreeMap::new(),
            scores,
            status,
            metrics: Vec::new(),
            history_ticks: Vec::new(),
            history_values: Vec::new(),
            stride: 1,
            recent: VecDeque::new(),
            files: None,
        };
        picture.replace(world);
        picture
    }

    /// Values of the metrics at an earlier tick.
    pub fn recall(&mut self, tick: u64, metrics: &[f64]) {
        self.metrics = metrics.to_vec();
        self.remember(tick, metrics);
    }

    /// Takes the whole world anew, after deltas were lost.
    pub fn replace(&mut self, world: &WorldPicture) {
        self.things = world
            .things
            .iter()
            .map(|thing| (thing.id, *thing))
            .collect();
    }

    /// The tick shown.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The scores shown.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Status of every seat.
    pub fn status(&self) -> &[SeatStatus] {
        &self.status
    }

    /// Sets a seat's status, or what it has used if `new` says that; the seat's whole status if it changed.
    pub fn set_status(&mut self, new: SeatStatus) -> Option<SeatStatus> {
        let old = self.status.get_mut(new.seat as usize)?;
        let new = SeatStatus {
            cost: new.cost.or(old.cost),
            ..new
        };
        (*old != new).then(|| {
            old.clone_from(&new);
            new
        })
    }

    /// Sets what a seat has used; the seat's whole status if it changed.
    pub fn set_cost(&mut self, seat: u32, cost: CostTotals) -> Option<SeatStatus> {
        let status = self.status.get(seat as usize)?.clone();
        self.set_status(SeatStatus {
            cost: Some(cost),
            ..status
        })
    }

    /// Applies one tick and gives its payload as JSON.
    pub fn apply(
        &mut self,
        tick: u64,
        delta: &Delta,
        scores: &[f64],
        metrics: &[f64],
        events: Vec<Event>,
        files: Option<FilesDelta>,
    ) -> Vec<u8> {
        self.tick = tick;
        for id in &delta.removed {
            self.things.remove(id);
        }
        for thing in &delta.upsert {
            self.things.insert(thing.id, *thing);
        }
        let mut changed = ScoreColumns::default();
        for (seat, (old, new)) in self.scores.iter_mut().zip(scores).enumerate() {
            if old != new {
                *old = *new;
                changed.seat.push(seat as u32);
                changed.score.push(*new);
            }
        }
        self.metrics = metrics.to_vec();
        self.remember(tick, metrics);
        let payload = Tick {
            upd: Columns::of(delta.upsert.iter()),
            del: &delta.removed,
            scores: changed,
            metrics,
            events: &events,
            files: files.and_then(|delta| self.files.get_or_insert_default().apply(delta)),
        };
        let json = serde_json::to_vec(&payload).expect("feed payloads have string keys");
        self.keep(events);
        json
    }

    /// What became of the shared files before the first tick; its payload as JSON.
    pub fn files(&mut self, delta: FilesDelta) -> Option<Vec<u8>> {
        let files = self.files.get_or_insert_default().apply(delta);
        files.map(|files| self.more(&[], Some(files)))
    }

    /// The run is over: nobody holds a file any more. None if nobody did.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        let files = self.files.as_mut()?.end()?;
        Some(self.more(&[], Some(files)))
    }

    /// More that happened at the present tick, and its payload as JSON.
    pub fn add(&mut self, events: Vec<Event>) -> Vec<u8> {
        let json = self.more(&events, None);
        self.keep(events);
        json
    }

    fn more(&self, events: &[Event], files: Option<FilesTick>) -> Vec<u8> {
        let payload = Tick {
            upd: Columns::of([].iter()),
            del: &[],
            scores: ScoreColumns::default(),
            metrics: &self.metrics,
            events,
            files,
        };
        serde_json::to_vec(&payload).expect("feed payloads have string keys")
    }

    fn keep(&mut self, events: Vec<Event>) {
        self.recent.extend(events);
        let surplus = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..surplus);
    }

    /// The whole state as a snapshot payload in JSON.
    pub fn snapshot(&self) -> Vec<u8> {
        let payload = Snapshot {
            things: Columns::of(self.things.values()),
            scores: &self.scores,
            status: &self.status,
            metrics: &self.metrics,
            history: History {
                ticks: &self.history_ticks,
                values: &self.history_values,
            },
            recent: self.recent.iter().collect(),
            files: self.files.as_ref().map(Files::snapshot),
        };
        serde_json::to_vec(&payload).expect("feed payloads have string keys")
    }

    fn remember(&mut self, tick: u64, metrics: &[f64]) {
        if !tick.is_multiple_of(self.stride) {
            return;
        }
        self.history_ticks.push(tick);
        self.history_values.push(metrics.to_vec());
        if self.history_ticks.len() >= 2 * HISTORY {
            self.stride *= 2;
            let stride = self.stride;
            let keep: Vec<bool> = self
                .history_ticks
                .iter()
                .map(|tick| tick.is_multiple_of(stride))
                .collect();
            let mut flags = keep.iter();
            self.history_ticks
                .retain(|_| *flags.next().expect("one flag a tick"));
            let mut flags = keep.iter();
            self.history_values
                .retain(|_| *flags.next().expect("one flag a tick"));
        }
    }
}
