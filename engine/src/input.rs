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
    /// Parameters that are other from this tick on, by name, as text; before anything else. One that the scenario does not
    /// have, or that would make another world of it, stays as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
}

impl TickInput {
    /// An input in which nobody did anything.
    #[must_use]
    pub fn empty(tick: u64) -> Self {
        Self {
            tick,
            seats: Vec::new(),
            set: Vec::new(),
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
    /// The agent's process is gone. Where it is started again, `Back` or an `Act` says so.
    Exited {
        /// A short sentence that says whose fault it was.
        reason: String,
    },
    /// Something became of the shared tree, by this seat's doing.
    File(FileFact),
    /// Whoever runs the host has told the seat's agent something. The world does not hear it.
    Told {
        /// The words.
        text: String,
    },
    /// Another agent has the seat from now on. Its body stays.
    Seated {
        /// What sits there: a command line or `builtin:...`.
        agent: String,
    },
    /// It was this seat's turn: nobody else was asked.
    Turn,
    /// The seat was not shown the world before this step: what it heard and what became of its actions waits for it.
    Unseen,
    /// What the seat's answer has cost it in thinking, as the host measured it; stands before its `Act` or `Late`. Where
    /// the scenario lets thinking cost ticks, the act takes effect so many ticks later.
    Thought {
        /// From the observation to the answer, or to the end of the wait for it.
        ms: u64,
        /// Tokens that its model wrote meanwhile.
        tokens: u64,
    },
    /// A fault of the scenario strikes the seat's agent.
    Fault {
        /// Which line of the scenario's `[[fault]]`, from 0.
        line: u32,
        /// What goes wrong.
        kind: FaultKind,
        /// For how many ticks; 0 for what is over at once.
        ticks: u64,
    },
    /// It is over.
    FaultOver {
        /// Which line.
        line: u32,
        /// What went wrong.
        kind: FaultKind,
    },
}

/// What can go wrong around a seat's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Its process is killed, as by a crash.
    Kill,
    /// Its processes are stopped, and go on later.
    Freeze,
    /// What it says is dropped.
    Mute,
    /// It is shown nothing, nothing of it arrives, and its model is out of reach.
    CutOff,
    /// It cannot write to any file.
    FillDisk,
}

impl FaultKind {
    pub(crate) const ALL: [FaultKind; 5] = [
        Self::Kill,
        Self::Freeze,
        Self::Mute,
        Self::CutOff,
        Self::FillDisk,
    ];
    /// Their words, in the same order.
    pub(crate) const WORDS: [&str; 5] = ["kill", "freeze", "mute", "cut_off", "fill_disk"];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// One thing that became of the shared tree. The tree is no state of the world; that it changed is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFact {
    /// Number of the fact, in the order in which the host committed them; counted from 1 and never twice in a run.
    pub number: u64,
    /// The path, relative to the tree, `/` between the parts.
    pub path: String,
    /// What became of it.
    pub news: FileNews,
}

/// What became of a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub enum FileNews {
    /// It has a new version.
    Published {
        /// The version, counted from 1 for each path.
        version: u64,
        /// `created`, `changed` or `deleted`.
        change: String,
        /// It was put together from this seat's changes and another version.
        merged: bool,
    },
    /// What the seat wanted to publish was not taken.
    Refused {
        /// `leased`, `collision`, or a word for what the tree does not hold.
        code: String,
        /// The sentence for people.
        reason: String,
        /// Who has the lease.
        holder: Option<SeatId>,
    },
    /// The seat alone may publish it now, and what lies under it.
    Leased {
        /// The lease's fencing token.
        token: u64,
    },
    /// The lease was given back.
    Released {
        /// The lease's fencing token.
        token: u64,
    },
    /// The lease's time was over, or its holder is gone.
    Expired {
        /// The lease's fencing token.
        token: u64,
    },
}
