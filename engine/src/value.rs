//! A small tree of data for event fields and structured observations.
//! It must not know how it is written on a wire: it only derives serde's traits, without a tag, so that it looks like
//! plain data in any self-describing format.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// A piece of structured data. Numbers are finite.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, on purpose.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Num(f64),
    /// UTF-8 text.
    Text(Cow<'static, str>),
    /// Values in order.
    List(Vec<Value>),
    /// Named values, in the order in which they were made.
    Map(Vec<(Cow<'static, str>, Value)>),
}

impl Value {
    /// The value under `key`, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, if this is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Num(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$v:ident| $make:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($v: $from) -> Self { $make }
        })*
    };
}
value_from! {
    bool => |v| Self::Bool(v),
    i64 => |v| Self::Int(v),
    i32 => |v| Self::Int(i64::from(v)),
    u32 => |v| Self::Int(i64::from(v)),
    f64 => |v| Self::Num(v),
    &'static str => |v| Self::Text(Cow::Borrowed(v)),
    String => |v| Self::Text(Cow::Owned(v)),
    Vec<Value> => |v| Self::List(v),
}

impl From<crate::SeatId> for Value {
    fn from(seat: crate::SeatId) -> Self {
        Self::Int(i64::from(seat.0))
    }
}
