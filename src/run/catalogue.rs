//! The action catalogue at the host's edge: JSON Schema out, typed calls in.
//!
//! Past this file no action is a string any more. Must not know ticks, limits or who is asking.

use std::collections::BTreeMap;

use formicarium_engine::{ActionCall, ActionId, ActionSpec, Arg, ParamKind, ParamSpec, SeatId};
use serde_json::{Map, Value, json};

/// The actions of a world, by name.
#[derive(Debug)]
pub struct Catalogue {
    specs: Vec<ActionSpec>,
    by_name: BTreeMap<String, usize>,
    seats: BTreeMap<String, SeatId>,
    say: Option<usize>,
}

/// Why a call was refused at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable word for programs: `unknown-action`, `unknown-argument`, `missing-argument`, `bad-argument`.
    pub code: &'static str,
    /// The sentence for people and models.
    pub reason: String,
}

impl Catalogue {
    /// Takes the world's actions and its seats' names in the scenario's order.
    pub fn new(specs: Vec<ActionSpec>, seats: &[String]) -> Catalogue {
        let by_name = specs
            .iter()
            .enumerate()
            .map(|(index, spec)| (spec.name.clone(), index))
            .collect();
        let seats = seats
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), SeatId(index as u32)))
            .collect();
        let say = specs.iter().position(|spec| spec.speech);
        Catalogue {
            specs,
            by_name,
            seats,
            say,
        }
    }

    /// All actions.
    pub fn specs(&self) -> &[ActionSpec] {
        &self.specs
    }

    /// Name of an action; empty for an id that is none of this catalogue's.
    pub fn name(&self, action: ActionId) -> &str {
        self.specs
            .iter()
            .find(|spec| spec.id == action)
            .map_or("", |spec| spec.name.as_str())
    }

    /// True if the action is speech, which has a limit of its own.
    pub fn is_speech(&self, action: ActionId) -> bool {
        self.specs
            .iter()
            .any(|spec| spec.id == action && spec.speech)
    }

    /// The catalogue as agents are told it: name, description, JSON Schema of the parameters.
    pub fn to_json(&self) -> Vec<(String, String, Value)> {
        self.specs
            .iter()
            .map(|spec| {
                (
                    spec.name.clone(),
                    spec.description.clone(),
                    self.schema(spec),
                )
            })
            .collect()
    }

    /// The call behind `say: "text"`.
    pub fn say(&self, text: &str) -> Result<ActionCall, Refusal> {
        let Some(index) = self.say else {
            return Err(Refusal {
                code: "unknown-action",
                reason: "nobody can speak in this scenario: it has no speech mechanic".into(),
            });
        };
        let mut args = Map::new();
        args.insert("text".into(), Value::String(text.into()));
        self.parse_args(&self.specs[index], &args)
    }

    /// Reads one action. Numbers are never taken from strings, and nothing is clamped.
    pub fn parse(&self, name: &str, args: &Map<String, Value>) -> Result<ActionCall, Refusal> {
        let Some(index) = self.by_name.get(name) else {
            let known = self.by_name.keys().map(String::as_str).collect::<Vec<_>>();
            return Err(Refusal {
                code: "unknown-action",
                reason: format!(
                    "there is no action '{}'{}; there are: {}",
                    shorten(name),
                    near(name, &known),
                    known.join(", ")
                ),
            });
        };
        self.parse_args(&self.specs[*index], args)
    }

    fn parse_args(
        &self,
        spec: &ActionSpec,
        args: &Map<String, Value>,
    ) -> Result<ActionCall, Refusal> {
        if let Some(unknown) = args
            .keys()
            .find(|key| spec.params.iter().all(|param| param.name != **key))
        {
            let known = spec
                .params
                .iter()
                .map(|param| param.name.as_str())
                .collect::<Vec<_>>();
            let known_words = if known.is_empty() {
                "it takes none".into()
            } else {
                known.join(", ")
            };
            return Err(Refusal {
                code: "unknown-argument",
                reason: format!(
                    "{} has no argument '{}'{}; its arguments: {known_words}",
                    spec.name,
                    shorten(unknown),
                    near(unknown, &known)
                ),
            });
        }
        let args = spec
            .params
            .iter()
            .map(|param| match args.get(&param.name) {
                None | Some(Value::Null) if !param.required => Ok(Arg::None),
                None => Err(Refusal {
                    code: "missing-argument",
                    reason: format!(
                        "{} needs the argument '{}': {}",
                        spec.name,
                        param.name,
                        self.wanted(param)
                    ),
                }),
                Some(value) => self.parse_value(param, value).ok_or_else(|| Refusal {
                    code: "bad-argument",
                    reason: format!(
                        "{}: '{}' is {}, but it must be {}",
                        spec.name,
                        param.name,
                        shorten(&value.to_string()),
                        self.wanted(param)
                    ),
                }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(ActionCall {
            action: spec.id,
            args,
        })
    }

    fn parse_value(&self, param: &ParamSpec, value: &Value) -> Option<Arg> {
        match &param.kind {
            ParamKind::Choice(choices) => {
                let word = value.as_str()?;
                choices
                    .iter()
                    .position(|choice| choice == word)
                    .map(|index| Arg::Choice(index as u16))
            }
            ParamKind::Int { min, max } => value
                .as_i64()
                .filter(|number| (*min..=*max).contains(number))
                .map(Arg::Int),
            ParamKind::Num { min, max } => value
                .as_f64()
                .filter(|number| number.is_finite() && (*min..=*max).contains(number))
                .map(Arg::Num),
            ParamKind::Bool => value.as_bool().map(Arg::Bool),
            ParamKind::Text { max_chars } => value
                .as_str()
                .filter(|text| text.chars().count() <= *max_chars as usize)
                .map(|text| Arg::Text(text.to_owned())),
            ParamKind::Seat => self.seats.get(value.as_str()?).copied().map(Arg::Seat),
        }
    }

    fn wanted(&self, param: &ParamSpec) -> String {
        match &param.kind {
            ParamKind::Choice(choices) => format!("one of {}", choices.join(", ")),
            ParamKind::Int { min, max } => format!("a whole number from {min} to {max}"),
            ParamKind::Num { min, max } => format!("a number from {min} to {max}"),
            ParamKind::Bool => "true or false".into(),
            ParamKind::Text { max_chars } => format!("a text of at most {max_chars} characters"),
            ParamKind::Seat => "the name of a seat".into(),
        }
    }

    fn schema(&self, spec: &ActionSpec) -> Value {
        let properties: Map<String, Value> = spec
            .params
            .iter()
            .map(|param| {
                let mut schema = match &param.kind {
                    ParamKind::Choice(choices) => json!({"type": "string", "enum": choices}),
                    ParamKind::Int { min, max } => {
                        json!({"type": "integer", "minimum": min, "maximum": max})
                    }
                    ParamKind::Num { min, max } => {
                        json!({"type": "number", "minimum": min, "maximum": max})
                    }
                    ParamKind::Bool => json!({"type": "boolean"}),
                    ParamKind::Text { max_chars } => {
                        json!({"type": "string", "maxLength": max_chars})
                    }
                    ParamKind::Seat => json!({"type": "string"}),
                };
                schema["description"] = Value::String(param.doc.to_string());
                (param.name.to_string(), schema)
            })
            .collect();
        let required: Vec<&str> = spec
            .params
            .iter()
            .filter(|param| param.required)
            .map(|param| param.name.as_str())
            .collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

/// Arguments come from strangers; a message quotes no more of them than a person would read.
fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['\u{2026}']).collect()
}

fn near(word: &str, known: &[&str]) -> String {
    formicarium_engine::scenario::nearest(word, known.iter().copied())
        .map(|best| format!(" (did you mean '{best}'?)"))
        .unwrap_or_default()
}
