//! What a spectator is shown: the whole scene, and what changed in it.
//! It must not know the feed, nor what any kind of thing does.

use crate::id::SeatId;
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole scene at a tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// The space, or none for games without a place.
    pub space: Option<SpaceInfo>,
    /// What can be seen, in the order of the indices used by `terrain` and `things`.
    pub kinds: Vec<KindInfo>,
    /// For each cell, row by row: index of a kind + 1 for things that never change, 0 for none.
    pub terrain: Vec<u16>,
    /// Everything that can change, sorted by id.
    pub things: Vec<Thing>,
}

/// The extent of a grid, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SpaceInfo {
    /// Cells from west to east.
    pub width: u32,
    /// Cells from north to south.
    pub height: u32,
    /// Whether the edges are joined.
    pub torus: bool,
}

/// How a kind of thing looks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindInfo {
    /// Its name in the scenario.
    pub name: String,
    /// The glyph on maps.
    pub glyph: char,
    /// `#rrggbb`.
    pub colour: String,
    /// Whether it keeps bodies out of its cell.
    pub solid: bool,
    /// Whether it hides what is behind it.
    pub opaque: bool,
}

/// A thing that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Thing {
    /// Stable for the whole run.
    pub id: u64,
    /// Index into [`Picture::kinds`].
    pub kind: u16,
    /// Cells from the west edge, from 0.
    pub x: i32,
    /// Cells from the north edge, from 0.
    pub y: i32,
    /// The seat whose body it is.
    pub seat: Option<SeatId>,
    /// -1 none; 0 north, 1 east, 2 south, 3 west, 4 north-east, 5 south-east, 6 south-west, 7 north-west.
    pub face: i8,
    /// Bit 0 timed out, bit 1 absent, bit 2 exited.
    pub flags: u8,
}

/// What changed in one step: `picture(t)` with `delta(t + 1)` applied is `picture(t + 1)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delta {
    /// Things that are new or changed, whole, sorted by id.
    pub upsert: Vec<Thing>,
    /// Things that are gone, sorted by id.
    pub removed: Vec<u64>,
}

impl Picture {
    /// Applies a delta.
    pub fn apply(&mut self, delta: &Delta) {
        let mut things: BTreeMap<u64, Thing> =
            self.things.iter().map(|thing| (thing.id, *thing)).collect();
        for id in &delta.removed {
            things.remove(id);
        }
        for thing in &delta.upsert {
            things.insert(thing.id, *thing);
        }
        self.things = things.into_values().collect();
    }
}
