//! What one seat is shown at a tick. It must not know how it is sent.

use crate::id::{ActionId, SeatId};
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// What one seat is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observation {
    /// The world after so many steps.
    pub tick: u64,
    /// A short text for a reader of words.
    pub text: String,
    /// The same for programs: a [`Value::Map`], its fields listed in docs/scenario-format.md.
    pub state: Value,
    /// What was said to the seat in the last step.
    pub heard: Vec<Heard>,
    /// What became of the seat's actions of the last step, in order.
    pub results: Vec<ActionResult>,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Who said it.
    pub from: SeatId,
    /// How it was said.
    pub how: How,
    /// The words.
    pub text: String,
    /// The tick whose step carried it.
    pub tick: u64,
}

/// How something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// To everyone within the radius of speech.
    Say,
    /// To one seat that is near.
    Whisper,
    /// To everyone.
    Broadcast,
}

impl How {
    /// The word of the protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Say => "say",
            Self::Whisper => "whisper",
            Self::Broadcast => "broadcast",
        }
    }
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionResult {
    /// Which action.
    pub action: ActionId,
    /// `ok`, or the rejection's code.
    pub code: &'static str,
    /// Why not; absent when ok.
    pub reason: Option<String>,
}
