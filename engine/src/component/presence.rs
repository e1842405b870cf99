//! Whether a seat takes part, and what it did last. Data only.

use crate::action::ActionCall;
use bevy_ecs::prelude::Component;
use serde::{Deserialize, Serialize};

/// Whether a seat takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    #[default]
    Playing,
    Absent,
    Exited,
}

/// Whether a seat takes part, and the actions that `on_late = "repeat"` would repeat.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Presence {
    pub(crate) standing: Standing,
    pub(crate) last: Vec<ActionCall>,
}
