//! Where a body stands and looks, and the dense mirror of all bodies. Data only.

use crate::space::Dir;
use bevy_ecs::prelude::{Component, Resource};
use serde::{Deserialize, Serialize};

/// The cell a body stands on.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position(pub(crate) u32);

/// Where a body looks.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facing(pub(crate) Dir);

/// What stands in each cell, so that nobody has to ask entity by entity. Derived: made anew from positions and sites.
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cells {
    /// Seat number + 1, 0 for nobody.
    pub(crate) body: Vec<u32>,
    /// Index of a kind + 1 for what can be seen there now, 0 for nothing.
    pub(crate) kind: Vec<u16>,
    /// Whether the kind there is solid.
    pub(crate) solid: Vec<bool>,
    /// Whether the kind there is opaque.
    pub(crate) opaque: Vec<bool>,
}
