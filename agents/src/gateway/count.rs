//! Reads the usage in an answer of the Messages API while its bytes pass by, however they are cut into chunks.
//!
//! Must not know connections: it is shown bytes, keeps a bounded copy, and changes nothing.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::call::Unread;
use super::sse::Events;

/// Longest model name kept, in characters.
const MODEL_CHARS: usize = 128;

/// The counts of one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) model: String,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cache_read_tokens: u64,
    pub(super) cache_write_tokens: u64,
}

/// Reads one answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counter {
    form: Form,
    /// Longest reading copy in bytes, of one event or one JSON answer.
    limit: usize,
    pub(super) usage: Usage,
    pub(super) unread: Option<Unread>,
    /// The error that the upstream reported within a stream.
    pub(super) error: Option<String>,
    started: bool,
    finished: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// Nothing to count in it.
    Nothing,
    Stream(Events),
    Json(Vec<u8>),
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Start {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    model: Option<String>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct Delta {
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureBody,
}

#[derive(Deserialize)]
struct FailureBody {
    #[serde(rename = "type")]
    kind: String,
    message: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl Counter {
    /// The counter for an answer with this head to that request.
    pub(super) fn new(
        method: &Method,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        limit: usize,
    ) -> Self {
        if method != Method::POST || path == "/v1/messages/count_tokens" || !status.is_success() {
            return Self::of(Form::Nothing, None, limit);
        }
        let is = |name, word: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.is_some_and(|value| value.trim().to_ascii_lowercase().starts_with(word))
        };
        if path != "/v1/messages" {
            Self::of(Form::Nothing, Some(Unread::UnknownForm), limit)
        } else if headers.contains_key(CONTENT_ENCODING) && !is(CONTENT_ENCODING, "identity") {
            Self::of(Form::Nothing, Some(Unread::Compressed), limit)
        } else if is(CONTENT_TYPE, "text/event-stream") {
            Self::stream(limit)
        } else if is(CONTENT_TYPE, "application/json") {
            Self::json(limit)
        } else {
            Self::of(Form::Nothing, Some(Unread::UnknownForm), limit)
        }
    }

    pub(super) fn stream(limit: usize) -> Self {
        Self::of(Form::Stream(Events::new(limit)), None, limit)
    }

    pub(super) fn json(limit: usize) -> Self {
        Self::of(Form::Json(Vec::new()), None, limit)
    }

    fn of(form: Form, unread: Option<Unread>, limit: usize) -> Self {
        Self {
            form,
            limit,
            usage: Usage::default(),
            unread,
            error: None,
            started: false,
            finished: false,
        }
    }

    /// Reads the next bytes of the body.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        match &mut self.form {
            Form::Nothing => {}
            Form::Json(body) if body.len() + bytes.len() > self.limit => {
                self.form = Form::Nothing;
                self.flag(Unread::TooLong);
            }
            Form::Json(body) => body.extend_from_slice(bytes),
            Form::Stream(_) => {
                while let Form::Stream(events) = &mut self.form {
                    let Some(event) = events.next(&mut bytes) else {
                        break;
                    };
                    match event {
                        Ok(data) => self.event(&data),
                        Err(_) => self.flag(Unread::TooLong),
                    }
                }
            }
        }
    }

    /// The body has come to its proper end.
    pub(super) fn end(&mut self) {
        match std::mem::replace(&mut self.form, Form::Nothing) {
            Form::Nothing => {}
            Form::Stream(_) => {
                if !self.started && self.error.is_none() {
                    self.flag(Unread::Missing);
                }
            }
            Form::Json(body) => match serde_json::from_slice::<Message>(&body) {
                Ok(message) => {
                    if message.usage.is_none() {
                        self.flag(Unread::Missing);
                    }
                    self.message(message);
                }
                Err(_) => self.flag(Unread::Garbled),
            },
        }
    }

    /// A stream has said all it had to say: whoever leaves now has left nothing behind.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// A stream that began and has not said that it is done. At the end of the body this means that it was cut in a way
    /// that HTTP cannot show.
    pub(super) fn half_told(&self) -> bool {
        self.started && !self.finished
    }

    fn event(&mut self, data: &[u8]) {
        if self.try_event(data).is_err() {
            self.flag(Unread::Garbled);
        }
    }

    fn try_event(&mut self, data: &[u8]) -> Result<(), serde_json::Error> {
        match serde_json::from_slice::<Kind>(data)?.kind.as_str() {
            "message_start" => {
                self.started = true;
                self.message(serde_json::from_slice::<Start>(data)?.message);
            }
            "message_delta" => {
                if let Some(usage) = serde_json::from_slice::<Delta>(data)?.usage {
                    self.add(&usage);
                }
            }
            "message_stop" => self.finished = true,
            "error" => {
                let FailureBody { kind, message } = serde_json::from_slice::<Failure>(data)?.error;
                self.error = Some(match message {
                    Some(message) => format!("{kind}: {message}"),
                    None => kind,
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, message: Message) {
        if let Some(model) = message.model {
            self.usage.model = model.chars().take(MODEL_CHARS).collect();
        }
        if let Some(usage) = message.usage {
            self.add(&usage);
        }
    }

    /// The numbers of the API are totals so far: a later one replaces an earlier one.
    fn add(&mut self, raw: &RawUsage) {
        let set = |total: &mut u64, seen: Option<u64>| *total = seen.unwrap_or(*total);
        set(&mut self.usage.input_tokens, raw.input_tokens);
        set(&mut self.usage.output_tokens, raw.output_tokens);
        set(
            &mut self.usage.cache_read_tokens,
            raw.cache_read_input_tokens,
        );
        set(
            &mut self.usage.cache_write_tokens,
            raw.cache_creation_input_tokens,
        );
    }

    /// The first reason is kept: it is the one to look into.
    fn flag(&mut self, reason: Unread) {
        self.unread.get_or_insert(reason);
    }
}
