//! The stable numbers by which everything outside names a seat or an action.
//! It must not know bevy's `Entity`, which never leaves the engine.

use serde::{Deserialize, Serialize};

/// A seat's number: its index in [`World::seats`](crate::World::seats), from 0, in the scenario's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeatId(pub u32);

impl SeatId {
    /// The seat's number as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An action's number: its index in [`World::catalogue`](crate::World::catalogue), from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId(pub u16);

impl ActionId {
    /// The action's number as an index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}
