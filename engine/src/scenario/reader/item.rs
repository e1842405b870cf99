//! A value with its place, read as the type and range that is asked for. It must not know what it is for.

use super::node::Node;
use super::table::Table;
use super::{Fault, Reader};
use crate::scenario::diagnostic::{nearest, suggest};
use crate::scenario::params::ParamValue;
use serde_json::Value;
use std::ops::{Range, RangeInclusive};

/// A value somewhere in the file.
#[derive(Clone)]
pub struct Item<'r> {
    pub(super) reader: &'r Reader,
    pub(super) node: &'r Node,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

impl<'r> Item<'r> {
    /// Where it stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Its path, `seat[0].count`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The reader, for faults that stand elsewhere.
    #[must_use]
    pub fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// Adds a fault at this place.
    pub fn fault(&self, message: impl Into<String>) -> Fault<'r> {
        self.reader.fault(self.span.clone(), message)
    }

    pub(super) fn wrong(&self, expected: &str) {
        self.fault(format!("`{}` is {}", self.path, self.node.noun()))
            .expected(expected);
    }

    /// The parameter that stands here as `"$name"`: `None` if none does, `Some(None)` if it is unknown (a fault).
    fn param(&self) -> Option<Option<&'r ParamValue>> {
        let (Node::Text(text), Some(params)) = (self.node, &self.reader.params) else {
            return None;
        };
        let name = text.strip_prefix('$')?;
        let value = params.get(name);
        if value.is_none() {
            self.fault(format!("there is no parameter `{name}`"))
                .help(suggest(name, params.iter().map(|(name, _)| name)));
        }
        Some(value)
    }

    fn wrong_param(&self, value: &ParamValue, expected: &str) {
        self.fault(format!(
            "`{}` is a parameter that is {}",
            self.path,
            value.noun()
        ))
        .expected(expected);
    }

    /// Text, or a parameter that is text.
    pub fn text(&self) -> Option<String> {
        match (self.param(), self.node) {
            (Some(Some(ParamValue::Text(text))), _) => Some(text.clone()),
            (Some(Some(other)), _) => {
                self.wrong_param(other, "text");
                None
            }
            (Some(None), _) => None,
            (None, Node::Text(text)) => Some(text.clone()),
            _ => {
                self.wrong("text");
                None
            }
        }
    }

    /// Text as it stands, without a fault if it is something else.
    #[must_use]
    pub fn text_quiet(&self) -> Option<String> {
        match self.node {
            Node::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Text of `min..=max` characters.
    pub fn text_of(&self, range: RangeInclusive<usize>) -> Option<String> {
        let text = self.text()?;
        let chars = text.chars().count();
        if range.contains(&chars) {
            return Some(text);
        }
        self.fault(format!("`{}` has {chars} characters", self.path))
            .expected(format!("{} to {} characters", range.start(), range.end()));
        None
    }

    /// One character.
    pub fn glyph(&self) -> Option<char> {
        let text = self.text()?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(glyph), None) if !glyph.is_control() && !glyph.is_whitespace() => Some(glyph),
            _ => {
                self.fault(format!("`{}` is {text:?}", self.path))
                    .expected("one visible character");
                None
            }
        }
    }

    /// A whole number in a range, or a parameter that is one.
    pub fn int(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let expected = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (only, end) if only == end => format!("{only}"),
            (start, end) => format!("a whole number from {start} to {end}"),
        };
        let value = match (self.param(), self.node) {
            (Some(Some(ParamValue::Int(value))), _) | (None, Node::Int(value)) => *value,
            (Some(Some(other)), _) => {
                self.wrong_param(other, &expected);
                return None;
            }
            (Some(None), _) => return None,
            _ => {
                self.wrong(&expected);
                return None;
            }
        };
        if !range.contains(&value) {
            self.fault(format!("`{}` is {value}", self.path))
                .expected(expected);
            return None;
        }
        Some(value)
    }

    /// A finite number in a range, or a parameter that is one. A whole number will do.
    pub fn float(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = if range.end().abs() < 1e15 {
            format!("a number from {} to {}", range.start(), range.end())
        } else {
            "a finite number".to_owned()
        };
        let value = match (self.param(), self.node) {
            (Some(Some(ParamValue::Num(value))), _) | (None, Node::Float(value)) => *value,
            (Some(Some(ParamValue::Int(value))), _) | (None, Node::Int(value)) => *value as f64,
            (Some(Some(other)), _) => {
                self.wrong_param(other, &expected);
                return None;
            }
            (Some(None), _) => return None,
            _ => {
                self.wrong(&expected);
                return None;
            }
        };
        if !range.contains(&value) {
            self.fault(format!("`{}` is {value}", self.path))
                .expected(expected);
            return None;
        }
        Some(value)
    }

    /// True or false, or a parameter that is.
    pub fn bool(&self) -> Option<bool> {
        match (self.param(), self.node) {
            (Some(Some(ParamValue::Bool(value))), _) | (None, Node::Bool(value)) => Some(*value),
            (Some(Some(other)), _) => {
                self.wrong_param(other, "true or false");
                None
            }
            (Some(None), _) => None,
            _ => {
                self.wrong("true or false");
                None
            }
        }
    }

    /// The index of one of `words`.
    pub fn choice(&self, words: &[&str]) -> Option<usize> {
        let text = self.text()?;
        let index = words.iter().position(|word| *word == text);
        if index.is_none() {
            let fault = self
                .fault(format!("`{}` is {text:?}", self.path))
                .expected(format!("one of {}", words.join(", ")));
            if let Some(near) = nearest(&text, words.iter().copied()) {
                fault.help(format!("did you mean `{near}`?"));
            }
        }
        index
    }

    /// Whether text stands here.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.node, Node::Text(_))
    }

    /// Whether this whole number stands here, itself or as a parameter; no fault if it does not.
    #[must_use]
    pub fn is_int(&self, wanted: i64) -> bool {
        match self.node {
            Node::Int(value) => *value == wanted,
            Node::Text(text) => text
                .strip_prefix('$')
                .and_then(|name| self.reader.params.as_ref()?.get(name))
                .is_some_and(|value| *value == ParamValue::Int(wanted)),
            _ => false,
        }
    }

    /// Whether a table stands here.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self.node, Node::Table(_))
    }

    /// Whether a list stands here.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.node, Node::List(_))
    }

    /// A table.
    pub fn table(&self) -> Option<Table<'r>> {
        match self.node {
            Node::Table(entries) => Some(Table::new(
                self.reader,
                entries,
                self.span(),
                self.path.clone(),
            )),
            _ => {
                self.wrong("a table");
                None
            }
        }
    }

    /// Whatever stands here, as JSON; texts that name parameters are their values.
    pub fn json(&self) -> Option<Value> {
        Some(match (self.param(), self.node) {
            (Some(Some(ParamValue::Text(text))), _) => text.as_str().into(),
            (Some(Some(ParamValue::Int(value))), _) | (None, Node::Int(value)) => (*value).into(),
            (Some(Some(ParamValue::Num(value))), _) => (*value).into(),
            (Some(Some(ParamValue::Bool(value))), _) | (None, Node::Bool(value)) => (*value).into(),
            (Some(None), _) => return None,
            (None, Node::Text(text)) => text.as_str().into(),
            (None, Node::Float(value)) if value.is_finite() => (*value).into(),
            (None, Node::List(_)) => {
                let items = self.list()?;
                let items: Option<Vec<Value>> = items.iter().map(Item::json).collect();
                items?.into()
            }
            (None, Node::Table(_)) => {
                let mut object = serde_json::Map::new();
                for (key, _, item) in self.table()?.entries() {
                    object.insert(key.to_owned(), item.json()?);
                }
                object.into()
            }
            (None, Node::Float(_) | Node::Datetime) => {
                self.wrong("something that JSON has: text, a finite number, true or false, a list, a table");
                return None;
            }
        })
    }

    /// The items of a list.
    pub fn list(&self) -> Option<Vec<Item<'r>>> {
        let Node::List(items) = self.node else {
            self.wrong("a list");
            return None;
        };
        let item = |(index, (node, span)): (usize, &'r (Node, Range<usize>))| Item {
            reader: self.reader,
            node,
            span: span.clone(),
            path: format!("{}[{index}]", self.path),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list of texts.
    pub fn texts(&self) -> Option<Vec<String>> {
        self.list()?.iter().map(Item::text).collect()
    }
}
