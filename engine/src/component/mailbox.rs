//! What waits for a seat to be shown: what it heard and what became of its actions. Data only.

use crate::event::Code;
use crate::id::ActionId;
use crate::observation::Heard;
use bevy_ecs::prelude::Component;
use serde::{Deserialize, Serialize};

/// What the last step left for a seat.
#[derive(Component, Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mailbox {
    pub(crate) heard: Vec<Heard>,
    pub(crate) results: Vec<Outcome>,
}

/// What became of one action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) action: ActionId,
    pub(crate) code: Code,
    pub(crate) reason: String,
}
