//! Lines to messages and back. A line that is no message gives an error that says what, at which byte, and what to do.
//!
//! Must not know where lines come from. The type is read first and the message then straight from the text, not through
//! serde's buffered form of tagged enums: that form loses the place of an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, Visitor,
};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::{ACTIONS_PER_ACT, FromAgent, LINE_BYTES, ToAgent};

/// Why a line is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (at byte {byte} of the line)")]
pub struct DecodeError {
    /// Of what sort the error is.
    pub kind: DecodeErrorKind,
    /// Where in the line, counted from 1; 0 when the line as a whole is meant.
    pub byte: usize,
    /// What is wrong, what was expected and what to do.
    pub detail: String,
}

/// Sorts of decoding errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// Over [`LINE_BYTES`].
    TooLong,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON.
    NotJson,
    /// JSON, but no message of this protocol.
    NotAMessage,
}

/// A message as one line, its newline included.
///
/// # Panics
/// Never for the messages of this crate: all their keys are strings.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    serde_json::to_writer(&mut line, message)
        .expect("messages have string keys and are written to memory");
    line.push(b'\n');
    line
}

/// Reads a line of an agent, with or without its newline.
///
/// # Errors
/// See [`DecodeErrorKind`]. Nothing is coerced: a string for a number, `NaN`, an unknown key are errors.
pub fn decode_from_agent(line: &[u8]) -> Result<FromAgent, DecodeError> {
    let text = text_of(line)?;
    match kind_of(text)?.as_ref() {
        "act" => {
            let act: super::Act = body_of(text, "act")?;
            if act.actions.len() > ACTIONS_PER_ACT {
                return Err(DecodeError {
                    kind: DecodeErrorKind::NotAMessage,
                    byte: 0,
                    detail: format!(
                        "`act` holds {} actions, and {ACTIONS_PER_ACT} is the most; send fewer",
                        act.actions.len()
                    ),
                });
            }
            Ok(FromAgent::Act(act))
        }
        "answer" => Ok(FromAgent::Answer(body_of(text, "answer")?)),
        "ready" => Ok(FromAgent::Ready(body_of(text, "ready")?)),
        "remember" => Ok(FromAgent::Remember(body_of(text, "remember")?)),
        "lease" => Ok(FromAgent::Lease(body_of(text, "lease")?)),
        "files" => Ok(FromAgent::Files(body_of(text, "files")?)),
        "publish" => {
            let publish: super::AskPublish = body_of(text, "publish")?;
            let most = super::PATHS_PER_PUBLISH;
            if publish.paths.len() > most {
                let detail = format!(
                    "`publish` names {} paths, and {most} is the most; name the folder, or none for all",
                    publish.paths.len()
                );
                return Err(DecodeError {
                    kind: DecodeErrorKind::NotAMessage,
                    byte: 0,
                    detail,
                });
            }
            Ok(FromAgent::Publish(publish))
        }
        "log" => Ok(FromAgent::Log(body_of(text, "log")?)),
        other => Err(unknown_type(
            text,
            other,
            "`ready`, `act`, `answer`, `remember`, `lease`, `publish`, `files`, `log`",
        )),
    }
}

/// Reads a line of the host, with or without its newline: the agent's side of the protocol.
///
/// # Errors
/// See [`DecodeErrorKind`].
pub fn decode_to_agent(line: &[u8]) -> Result<ToAgent, DecodeError> {
    let text = text_of(line)?;
    match kind_of(text)?.as_ref() {
        "observe" => Ok(ToAgent::Observe(body_of(text, "observe")?)),
        "hello" => Ok(ToAgent::Hello(Box::new(body_of(text, "hello")?))),
        "question" => Ok(ToAgent::Question(Box::new(body_of(text, "question")?))),
        "files" => Ok(ToAgent::Files(body_of(text, "files")?)),
        "end" => Ok(ToAgent::End(body_of(text, "end")?)),
        other => Err(unknown_type(
            text,
            other,
            "`hello`, `observe`, `question`, `files`, `end`",
        )),
    }
}

fn text_of(line: &[u8]) -> Result<&str, DecodeError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.len() > LINE_BYTES {
        return Err(DecodeError {
            kind: DecodeErrorKind::TooLong,
            byte: LINE_BYTES + 1,
            detail: format!(
                "the line has {} bytes, and {LINE_BYTES} is the most; send less",
                line.len()
            ),
        });
    }
    std::str::from_utf8(line).map_err(|e| DecodeError {
        kind: DecodeErrorKind::NotUtf8,
        byte: e.valid_up_to() + 1,
        detail: "the line is not UTF-8; encode what you write as UTF-8".to_owned(),
    })
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

fn kind_of(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    match serde_json::from_str::<Head<'_>>(text) {
        Ok(head) => Ok(head.kind),
        Err(e) => Err(explain(text, &e, "an object with the key \"type\"")),
    }
}

fn body_of<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, DecodeError> {
    let mut json = serde_json::Deserializer::from_str(text);
    T::deserialize(Object::<_, true>(&mut json))
        .map_err(|e| explain(text, &e, &format!("the message `{what}`")))
}

fn unknown_type(text: &str, found: &str, known: &str) -> DecodeError {
    let byte = text.find("\"type\"").map_or(0, |at| at + 1);
    DecodeError {
        kind: DecodeErrorKind::NotAMessage,
        byte,
        detail: format!(
            "unknown type {:?}; expected one of {known}",
            excerpt(found, 40)
        ),
    }
}

/// The first `chars` characters, with a mark if there were more.
pub(crate) fn excerpt(text: &str, chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars) {
        None => Cow::Borrowed(text),
        Some((at, _)) => Cow::Owned(format!("{}...", &text[..at])),
    }
}

fn explain(text: &str, error: &serde_json::Error, expected: &str) -> DecodeError {
    // serde_json counts lines, and a line may hold a bare `\r` but no `\n`: the column is the byte.
    let byte = error.column();
    let mut what = error.to_string();
    if let Some(at) = what.rfind(" at line ") {
        what.truncate(at);
    }
    let what = excerpt(&what, 240);
    let near = near(text, byte);
    match error.classify() {
        Category::Data => DecodeError {
            kind: DecodeErrorKind::NotAMessage,
            byte,
            detail: format!("not {expected}: {what}{near}; see docs/agent-protocol.md"),
        },
        _ => DecodeError {
            kind: DecodeErrorKind::NotJson,
            byte,
            detail: format!(
                "not JSON: {what}{near}; write one JSON object a line, and anything else to stderr"
            ),
        },
    }
}

fn near(text: &str, byte: usize) -> String {
    let mut from = byte.saturating_sub(24).min(text.len());
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    let piece = excerpt(&text[from..], 40);
    if piece.is_empty() {
        String::new()
    } else {
        format!(", near {piece:?}")
    }
}

/// A deserialiser of an object, and of nothing else: serde would also take an array for a struct, field by field.
/// With `SKIP_TYPE` it leaves out the key `type`, so that the structs need not have it.
struct Object<D, const SKIP_TYPE: bool>(D);

impl<'de, D: Deserializer<'de>, const SKIP_TYPE: bool> Deserializer<'de> for Object<D, SKIP_TYPE> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Fields::<V, SKIP_TYPE>(visitor))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads a list whose elements are objects.
///
/// # Errors
/// When an element is anything else, or no `T`.
pub(super) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct One<T>(T);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            T::deserialize(Object::<D, false>(deserializer)).map(One)
        }
    }
    Ok(Vec::<One<T>>::deserialize(deserializer)?
        .into_iter()
        .map(|one| one.0)
        .collect())
}

struct Fields<V, const SKIP_TYPE: bool>(V);

impl<'de, V: Visitor<'de>, const SKIP_TYPE: bool> Visitor<'de> for Fields<V, SKIP_TYPE> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        if SKIP_TYPE {
            self.0.visit_map(KeysWithoutType(map))
        } else {
            self.0.visit_map(map)
        }
    }
}

struct KeysWithoutType<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KeysWithoutType<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            let Some(key) = self.0.next_key::<Key<'de>>()? else {
                return Ok(None);
            };
            if key.0 == "type" {
                self.0.next_value::<IgnoredAny>()?;
                continue;
            }
            let key: StrDeserializer<'_, A::Error> = key.0.as_ref().into_deserializer();
            return seed.deserialize(key).map(Some);
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// A key, borrowed where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
