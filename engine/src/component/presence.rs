//! Whether a seat takes part, what it did last, and what it does once its thinking is paid. Data only.

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

/// An act that was thought about for so long that it takes effect later; the body waits meanwhile.
#[derive(Component, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Ticks until it takes effect; 0 while nothing is held.
    pub(crate) left: u64,
    pub(crate) calls: Vec<ActionCall>,
}
