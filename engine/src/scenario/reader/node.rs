//! A TOML file as a tree in the file's own order, with spans. It must not know parameters or faults of meaning.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file's tree in its own order; toml's tables are sorted by key.
pub(super) enum Node {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Datetime,
    List(Vec<(Node, Range<usize>)>),
    Table(Vec<Entry>),
}

pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
    pub(super) span: Range<usize>,
}

impl Node {
    pub(super) fn table(table: &DeTable<'_>, fault: &mut dyn FnMut(Range<usize>, String)) -> Self {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                key_span: key.span(),
                node: Self::value(value, fault),
                span: value.span(),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        Self::Table(entries)
    }

    fn value(value: &Spanned<DeValue<'_>>, fault: &mut dyn FnMut(Range<usize>, String)) -> Self {
        match value.get_ref() {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(int) => match i64::from_str_radix(int.as_str(), int.radix()) {
                Ok(int) => Self::Int(int),
                Err(_) => {
                    fault(value.span(), "a whole number must fit in 64 bits".into());
                    Self::Int(0)
                }
            },
            // An infinity or NaN that is written out is refused where a number is asked for, with the key's name.
            DeValue::Float(float) => Self::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Datetime(_) => Self::Datetime,
            DeValue::Array(items) => Self::List(
                items
                    .iter()
                    .map(|item| (Self::value(item, fault), item.span()))
                    .collect(),
            ),
            DeValue::Table(table) => Self::table(table, fault),
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match self {
            Self::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Datetime => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}
