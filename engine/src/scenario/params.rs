//! A scenario's parameters: what they may be, and the values of one run. It must not know what they are used for.

use super::diagnostic::{Diagnostic, suggest};
use super::reader::{Reader, Table};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::fmt;

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// A whole number.
    Int(i64),
    /// A finite number.
    Num(f64),
    /// True or false.
    Bool(bool),
    /// Text, or one of the choices.
    Text(String),
}

impl ParamValue {
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Int(_) => "a whole number",
            Self::Num(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Text(_) => "text",
        }
    }
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Num(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

impl Serialize for ParamValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Num(value) => serializer.serialize_f64(*value),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Text(value) => serializer.serialize_str(value),
        }
    }
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// A whole number.
    Int,
    /// A finite number.
    Float,
    /// True or false.
    Bool,
    /// Any text.
    Text,
    /// One of `choices`.
    Choice,
}

const TYPES: [&str; 5] = ["int", "float", "bool", "text", "choice"];

/// What a parameter may be, as the scenario declares it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamDoc {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ParamType,
    /// Its value when nobody sets it.
    pub default: ParamValue,
    /// The smallest allowed number.
    pub min: Option<f64>,
    /// The largest allowed number.
    pub max: Option<f64>,
    /// The words of a choice.
    pub choices: Vec<String>,
    /// One sentence.
    pub doc: String,
}

/// The values of all parameters of one run, in the scenario's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    values: Vec<(String, ParamValue)>,
}

impl Params {
    /// Names and values, in the scenario's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ParamValue)> + Clone {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ParamValue> {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The defaults.
    #[must_use]
    pub(super) fn defaults(docs: &[ParamDoc]) -> Self {
        Self {
            values: docs
                .iter()
                .map(|doc| (doc.name.clone(), doc.default.clone()))
                .collect(),
        }
    }

    /// The defaults with overrides `(name, text)`; the last one of a name counts.
    pub(super) fn resolve(
        docs: &[ParamDoc],
        overrides: &[(String, String)],
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut params = Self::defaults(docs);
        let mut faults = Vec::new();
        for (name, text) in overrides {
            let fault = |message: String| {
                Diagnostic::error("--set", &format!("{name}={text}"), 0..0, message)
            };
            let Some(index) = docs.iter().position(|doc| doc.name == *name) else {
                faults.push(
                    fault(format!("there is no parameter `{name}`"))
                        .help(suggest(name, docs.iter().map(|doc| doc.name.as_str()))),
                );
                continue;
            };
            match docs[index].parse(text) {
                Ok(value) => params.values[index].1 = value,
                Err(expected) => {
                    faults
                        .push(fault(format!("parameter `{name}` is {text:?}")).expected(expected));
                }
            }
        }
        if faults.is_empty() {
            Ok(params)
        } else {
            Err(faults)
        }
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl ParamDoc {
    /// Reads a value from text, as it stands on a command line.
    fn parse(&self, text: &str) -> Result<ParamValue, String> {
        let value = match self.kind {
            ParamType::Int => text.parse().ok().map(ParamValue::Int),
            ParamType::Float => text
                .parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
                .map(ParamValue::Num),
            ParamType::Bool => text.parse().ok().map(ParamValue::Bool),
            ParamType::Text | ParamType::Choice => Some(ParamValue::Text(text.to_owned())),
        };
        value
            .filter(|value| self.allows(value))
            .ok_or_else(|| self.expected())
    }

    fn allows(&self, value: &ParamValue) -> bool {
        let number = match value {
            ParamValue::Int(value) => *value as f64,
            ParamValue::Num(value) => *value,
            ParamValue::Bool(_) => return true,
            ParamValue::Text(text) => {
                return self.kind != ParamType::Choice || self.choices.contains(text);
            }
        };
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }

    fn expected(&self) -> String {
        let noun = match self.kind {
            ParamType::Int => "a whole number",
            ParamType::Float => "a number",
            ParamType::Bool => return "true or false".into(),
            ParamType::Text => return "text".into(),
            ParamType::Choice => return format!("one of {}", self.choices.join(", ")),
        };
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{noun} from {min} to {max}"),
            (Some(min), None) => format!("{noun}, at least {min}"),
            (None, Some(max)) => format!("{noun}, at most {max}"),
            (None, None) => noun.into(),
        }
    }
}

/// Whether a name may be used for parameters, kinds, seats, metrics: `a-z` first, then `a-z`, `0-9`, `_`, `-`.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

/// Reads `[params]`. Nothing here may stand for a parameter itself.
pub(super) fn read(root: &Table<'_>, reader: &Reader) -> Vec<ParamDoc> {
    let Some(params) = root.table("params") else {
        return Vec::new();
    };
    params
        .entries()
        .into_iter()
        .filter_map(|(name, span, item)| {
            if !is_name(name) {
                reader
                    .fault(span, format!("`{name}` cannot name a parameter"))
                    .expected("a-z, then a-z, 0-9, _ or -");
            }
            read_one(name, &item.table()?)
        })
        .collect()
}

fn read_one(name: &str, table: &Table<'_>) -> Option<ParamDoc> {
    let number = -1e300..=1e300;
    let kind = table
        .need("type", "one of int, float, bool, text, choice")?
        .choice(&TYPES);
    let doc = table
        .need("doc", "one sentence that says what it does")
        .and_then(|item| item.text());
    let default = table.need("default", "the value when nobody sets it");
    let numeric = kind.is_none_or(|kind| kind < 2);
    let bound = |key| {
        if numeric {
            table.get(key).and_then(|item| item.float(number.clone()))
        } else {
            None
        }
    };
    let (min, max) = (bound("min"), bound("max"));
    let choices = match kind {
        Some(4) => table
            .need("choices", "a list of words")
            .and_then(|item| item.texts())
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    let (kind, default) = (kind?, default?);
    let value = match kind {
        0 => ParamValue::Int(default.int(i64::MIN..=i64::MAX)?),
        1 => ParamValue::Num(default.float(number)?),
        2 => ParamValue::Bool(default.bool()?),
        _ => ParamValue::Text(default.text()?),
    };
    let kind = [
        ParamType::Int,
        ParamType::Float,
        ParamType::Bool,
        ParamType::Text,
        ParamType::Choice,
    ][kind];
    let doc = ParamDoc {
        name: name.to_owned(),
        kind,
        default: value,
        min,
        max,
        choices,
        doc: doc.unwrap_or_default(),
    };
    if !doc.allows(&doc.default) {
        default
            .fault(format!("`{}` is {}", default.path(), doc.default))
            .expected(doc.expected());
    }
    Some(doc)
}
