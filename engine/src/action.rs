//! What a seat may do: the typed catalogue, a typed call, and the check that a call fits its specification.
//! It must not know what any action does, nor how a call is written in a message.

use crate::id::{ActionId, SeatId};
use serde::{Deserialize, Serialize, Serializer};

/// One action of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionSpec {
    /// Its number: the index in the catalogue.
    pub id: ActionId,
    /// Its name, unique in the catalogue: lower case, `a-z`, `0-9`, `_`.
    pub name: String,
    /// One or two sentences for the agent.
    pub description: String,
    /// Its parameters, in the order of [`ActionCall::args`].
    pub params: Vec<ParamSpec>,
    /// Speech counts against the limit of speech, not of actions, and leaves the seat's tick open.
    pub speech: bool,
}

/// One parameter of an action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamSpec {
    /// Its name, unique in the action.
    pub name: String,
    /// One sentence for the agent.
    pub doc: String,
    /// What it may be.
    pub kind: ParamKind,
    /// Whether it must be given; one that need not be is [`Arg::None`] when left out.
    pub required: bool,
}

/// What an argument may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "of", rename_all = "snake_case")]
pub enum ParamKind {
    /// One of these words; the argument is its index.
    Choice(Vec<String>),
    /// A whole number, both ends included.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A finite number, both ends included.
    Num {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// True or false.
    Bool,
    /// Text of at most so many characters (Unicode scalar values).
    Text {
        /// The most characters.
        max_chars: u32,
    },
    /// A seat; in a message it is named by its name.
    Seat,
}

/// An argument, already typed (the last action of a seat is state, so the tag has to suit a binary codec): past the host's door there are no strings where a choice or a number is meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arg {
    /// Index into [`ParamKind::Choice`].
    Choice(u16),
    /// A whole number.
    Int(i64),
    /// A finite number; one that is not finite refuses to be written.
    Num(#[serde(serialize_with = "finite")] f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A seat.
    Seat(SeatId),
    /// Not given.
    None,
}

/// JSON has no NaN: writing `null` in its place would come back as another input, so it is an error instead.
fn finite<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        Err(serde::ser::Error::custom(
            "a number in an input must be finite",
        ))
    }
}

/// One action with its arguments in the order of [`ActionSpec::params`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionCall {
    /// Which action.
    pub action: ActionId,
    /// Its arguments; shorter than the parameters means [`Arg::None`] for the rest.
    pub args: Vec<Arg>,
}

impl ActionCall {
    /// A call of `action` with `args`.
    #[must_use]
    pub fn new(action: ActionId, args: Vec<Arg>) -> Self {
        Self { action, args }
    }
}

impl ActionSpec {
    /// Checks arguments against the parameters. `seats` is the number of seats in the world.
    ///
    /// # Errors
    /// A sentence that names the parameter, what it may be and what it was.
    pub fn check(&self, args: &[Arg], seats: usize) -> Result<(), String> {
        if args.len() > self.params.len() {
            return Err(format!(
                "{} takes {} arguments, got {}",
                self.name,
                self.params.len(),
                args.len()
            ));
        }
        for (index, param) in self.params.iter().enumerate() {
            let arg = args.get(index).unwrap_or(&Arg::None);
            if matches!(arg, Arg::None) && !param.required {
                continue;
            }
            param
                .kind
                .check(arg, seats)
                .map_err(|what| format!("{}: {what}", param.name))?;
        }
        Ok(())
    }
}

impl ParamKind {
    fn check(&self, arg: &Arg, seats: usize) -> Result<(), String> {
        match (self, arg) {
            (_, Arg::None) => Err("is required".into()),
            (Self::Choice(words), Arg::Choice(index)) => match words.get(usize::from(*index)) {
                Some(_) => Ok(()),
                None => Err(format!("must be one of {}", words.join(", "))),
            },
            (Self::Int { min, max }, Arg::Int(value)) if (min..=max).contains(&value) => Ok(()),
            (Self::Int { min, max }, Arg::Int(value)) => {
                Err(format!("must be {min} to {max}, got {value}"))
            }
            (Self::Num { min, max }, Arg::Num(value)) if value >= min && value <= max => Ok(()),
            (Self::Num { min, max }, Arg::Num(value)) => {
                Err(format!("must be {min} to {max}, got {value}"))
            }
            (Self::Bool, Arg::Bool(_)) => Ok(()),
            (Self::Text { max_chars }, Arg::Text(text)) => {
                let chars = text.chars().count();
                if chars <= *max_chars as usize {
                    Ok(())
                } else {
                    Err(format!(
                        "has {chars} characters, at most {max_chars} are allowed"
                    ))
                }
            }
            (Self::Seat, Arg::Seat(seat)) if seat.index() < seats => Ok(()),
            (Self::Seat, Arg::Seat(seat)) => Err(format!("there is no seat {}", seat.0)),
            (expected, _) => Err(format!("must be {}", expected.noun())),
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Choice(_) => "one of the choices",
            Self::Int { .. } => "a whole number",
            Self::Num { .. } => "a number",
            Self::Bool => "true or false",
            Self::Text { .. } => "text",
            Self::Seat => "a seat",
        }
    }
}
