//! Whose body it is and what it has earned. Data only.

use crate::id::SeatId;
use bevy_ecs::prelude::{Component, Entity, Resource};
use serde::{Deserialize, Serialize};

/// Whose body it is.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat(pub(crate) SeatId);

/// What a seat has earned. Finite.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score(pub(crate) f64);

/// The entity of each seat, by its number.
#[derive(Resource, Clone, Debug, Default)]
pub(crate) struct Bodies(pub(crate) Vec<Entity>);
