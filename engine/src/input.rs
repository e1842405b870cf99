//! Everything that enters a step from outside: the only door for what is not deterministic.
//! It must not know messages, processes or clocks; the host has already turned those into these types.

use crate::action::ActionCall;
use crate::id::SeatId;
use serde::{Deserialize, Serialize};

/// The input of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TickInput {
    /// The tick that this step makes: one more than [`World::tick`](crate::World::tick) before it.
    pub tick: u64,
    /// What the seats sent, sorted by (seat, seq). The engine sorts again, so that order can never change a run.
    pub seats: Vec<SeatInput>,
}

impl TickInput {
    /// An input in which nobody did anything.
    #[must_use]
    pub fn empty(tick: u64) -> Self {
        Self {
            tick,
            seats: Vec::new(),
        }
    }
}

/// One thing that a seat sent, or that happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeatInput {
    /// Whose it is. A seat that does not exist is ignored.
    pub seat: SeatId,
    /// Order among the inputs of one seat.
    pub seq: u32,
    /// What it is.
    pub body: InputBody,
}

/// What a seat sent, or what happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "v", rename_all = "snake_case")]
pub enum InputBody {
    /// Actions, in order. An empty list is a pass.
    Act(Vec<ActionCall>),
    /// The deadline passed without an answer: the scenario's `on_late` is applied.
    Late,
    /// Late too often in a row: nobody waits for the seat any more. Its body stays and does nothing.
    Absent,
    /// The seat speaks again. An `Act` says so too.
    Back,
    /// The agent's process is gone for good.
    Exited {
        /// A short sentence that says whose fault it was.
        reason: String,
    },
}
