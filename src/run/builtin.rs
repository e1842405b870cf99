//! Builtin agents: seats played inside the host, through the same door as processes.
//!
//! `noop` waits, `random` picks any legal call, `script` plays a file of acts line by line. They
//! draw from the run's seed, the seat and the tick alone, so a run of builtins repeats by its seed.

use formicarium_engine::{ActionCall, ActionSpec, Arg, ParamKind, SeatId};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::catalogue::Catalogue;
use super::door::Asked;

/// A builtin agent of one seat.
#[derive(Debug, Clone, PartialEq)]
pub enum Builtin {
    /// Does nothing.
    Noop,
    /// Any action with any legal arguments; never speaks.
    Random,
    /// Line `n` of the script answers tick `n`; after the last line it waits.
    Script(Vec<ScriptLine>),
}

/// One line of a script: an `act` without its type and tick.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptLine {
    /// The actions, as in protocol 1.
    #[serde(default)]
    pub actions: Vec<ScriptAction>,
    /// What to say.
    #[serde(default)]
    pub say: Option<String>,
}

/// One action of a script line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptAction {
    /// The action's name.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// What a builtin wants done.
#[derive(Debug, Clone)]
pub enum Move {
    /// Typed calls.
    Calls(Vec<ActionCall>),
    /// An act that goes through the same checks as one of a process.
    Asked(Asked),
}

impl Builtin {
    /// Reads a script: JSON Lines; empty lines are acts without actions.
    pub fn script(text: &str) -> Result<Builtin, String> {
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| {
                if line.trim().is_empty() {
                    return Ok(ScriptLine::default());
                }
                serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
            })
            .collect::<Result<_, _>>()?;
        Ok(Builtin::Script(lines))
    }

    /// The answer to `tick`.
    pub fn answer(
        &self,
        seed: u64,
        seat: usize,
        tick: u64,
        catalogue: &Catalogue,
        seats: usize,
    ) -> Move {
        match self {
            Builtin::Noop => Move::Calls(Vec::new()),
            Builtin::Random => Move::Calls(random(seed, seat, tick, catalogue, seats)),
            Builtin::Script(lines) => {
                let line = lines.get(tick as usize).cloned().unwrap_or_default();
                let actions = line
                    .actions
                    .into_iter()
                    .map(|action| (action.name, action.args))
                    .collect();
                Move::Asked(Asked {
                    tick,
                    actions,
                    say: line.say,
                })
            }
        }
    }
}

fn random(
    seed: u64,
    seat: usize,
    tick: u64,
    catalogue: &Catalogue,
    seats: usize,
) -> Vec<ActionCall> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(seat as u64).to_le_bytes());
    key[16..24].copy_from_slice(&tick.to_le_bytes());
    key[24..].copy_from_slice(b"builtin\0");
    let mut rng = ChaCha8Rng::from_seed(key);
    let actions: Vec<&ActionSpec> = catalogue
        .specs()
        .iter()
        .filter(|spec| !spec.speech)
        .collect();
    let Some(spec) = (!actions.is_empty()).then(|| actions[rng.random_range(0..actions.len())])
    else {
        return Vec::new();
    };
    let args = spec
        .params
        .iter()
        .map(|param| match &param.kind {
            ParamKind::Choice(choices) => {
                Arg::Choice(rng.random_range(0..choices.len().max(1)) as u16)
            }
            ParamKind::Int { min, max } => Arg::Int(rng.random_range(*min..=*max)),
            ParamKind::Num { min, max } => Arg::Num(min + (max - min) * rng.random::<f64>()),
            ParamKind::Bool => Arg::Bool(rng.random()),
            ParamKind::Text { .. } => Arg::Text(String::new()),
            ParamKind::Seat => Arg::Seat(SeatId(rng.random_range(0..seats.max(1)) as u32)),
        })
        .collect();
    vec![ActionCall {
        action: spec.id,
        args,
    }]
}
