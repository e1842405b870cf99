//! What a step tells the outside: events, and rejections of what was asked.
//! It must not know who listens.

use crate::id::{ActionId, SeatId};
use crate::value::Value;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// Something that happened in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// `mechanic.what`, as listed in docs/scenario-format.md: `harvest.ate`, `sanction.hit`, `speech.said`, ...
    pub name: &'static str,
    /// Who did it, or to whom it happened.
    pub seat: Option<SeatId>,
    /// The other seat that it concerns.
    pub other: Option<SeatId>,
    /// The cell (x east, y south, from 0) where it happened.
    pub at: Option<(i32, i32)>,
    /// What was said.
    pub text: Option<String>,
    /// More, by name.
    #[serde(serialize_with = "as_map")]
    pub fields: Vec<(Cow<'static, str>, Value)>,
}

impl Event {
    /// An event with a name and nothing else.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            seat: None,
            other: None,
            at: None,
            text: None,
            fields: Vec::new(),
        }
    }

    /// Names the seat that did it.
    #[must_use]
    pub fn seat(mut self, seat: SeatId) -> Self {
        self.seat = Some(seat);
        self
    }

    /// Names the other seat.
    #[must_use]
    pub fn other(mut self, other: SeatId) -> Self {
        self.other = Some(other);
        self
    }

    /// Names the cell.
    #[must_use]
    pub fn at(mut self, x: i32, y: i32) -> Self {
        self.at = Some((x, y));
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
}

fn as_map<S: Serializer>(
    fields: &[(Cow<'static, str>, Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.len()))?;
    for (name, value) in fields {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// An action that was asked for and not done, or not wholly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rejection {
    /// Who asked.
    pub seat: SeatId,
    /// What was asked. A number outside the catalogue is given back as it came.
    pub action: ActionId,
    /// A stable word: `blocked`, `timed-out`, `bad-argument`, ... as listed in docs/scenario-format.md.
    pub code: &'static str,
    /// One sentence for the agent.
    pub reason: String,
}

/// Why an action was not done; the words are part of the agent protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Code {
    Ok,
    UnknownAction,
    BadArgs,
    Limit,
    Repeated,
    TimedOut,
    Outside,
    Blocked,
    Swap,
    Contested,
    Cooldown,
    TooFar,
    Bye,
    Over,
    NotAllowed,
    Busy,
}

impl Code {
    /// All of them, for the test that each is documented.
    #[cfg(test)]
    pub(crate) const ALL: [Code; 16] = [
        Self::Ok,
        Self::UnknownAction,
        Self::BadArgs,
        Self::Limit,
        Self::Repeated,
        Self::TimedOut,
        Self::Outside,
        Self::Blocked,
        Self::Swap,
        Self::Contested,
        Self::Cooldown,
        Self::TooFar,
        Self::Bye,
        Self::Over,
        Self::NotAllowed,
        Self::Busy,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UnknownAction => "unknown-action",
            Self::BadArgs => "bad-argument",
            Self::Limit => "over-limit",
            Self::Repeated => "repeated",
            Self::TimedOut => "timed-out",
            Self::Outside => "outside",
            Self::Blocked => "blocked",
            Self::Swap => "swap",
            Self::Contested => "contested",
            Self::Cooldown => "cooldown",
            Self::TooFar => "too-far",
            Self::Bye => "bye",
            Self::Over => "over",
            Self::NotAllowed => "not-allowed",
            Self::Busy => "busy",
        }
    }
}
