//! The conversation of an agent and its model, from pieces to whole messages: words, thoughts, tool calls, their results.
//!
//! Pure, and bounded: a message is cut, and of calls only the newest are remembered. Must not know what a tool does.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::wire::{Call, SERVER, Update};
use crate::event::{Transcript, TranscriptKind};
use crate::protocol::excerpt;

/// Bytes of a message that are gathered; what comes beyond is dropped.
const GATHERED: usize = 256 << 10;
/// Calls that are remembered.
const CALLS: usize = 64;
/// Characters of a transcript's words for people.
const WORDS: usize = 2000;

/// The conversation so far, as far as it is unfinished.
#[derive(Debug, Default)]
pub(super) struct Talk {
    open: Option<Open>,
    calls: VecDeque<Known>,
}

/// A message that has begun.
#[derive(Debug)]
struct Open {
    kind: TranscriptKind,
    message: Option<String>,
    words: String,
}

/// A call that has begun.
#[derive(Debug)]
struct Known {
    call: Call,
    told: bool,
    over: bool,
}

impl Talk {
    /// Something happened; `line` is how it was told.
    pub(super) fn update(
        &mut self,
        update: Update,
        line: &[u8],
        out: &mut dyn FnMut(Transcript, &str),
    ) {
        match update {
            Update::Text(words, message) => self.gather(TranscriptKind::Text, words, message, out),
            Update::Thought(words, message) => {
                self.gather(TranscriptKind::Thinking, words, message, out);
            }
            Update::Call(call) => {
                self.flush(out);
                self.called(*call, out);
            }
            Update::Other => {
                self.flush(out);
                let line = String::from_utf8_lossy(line);
                out(said(TranscriptKind::Other, "", line.into_owned()), "");
            }
            Update::Cost(_) | Update::Quiet => {}
        }
    }

    fn gather(
        &mut self,
        kind: TranscriptKind,
        words: String,
        message: Option<String>,
        out: &mut dyn FnMut(Transcript, &str),
    ) {
        let goes_on =
            |open: &Open| open.kind == kind && (open.message == message || message.is_none());
        if !self.open.as_ref().is_some_and(goes_on) {
            self.flush(out);
            self.open = Some(Open {
                kind,
                message,
                words: String::new(),
            });
        }
        if let Some(open) = &mut self.open {
            let room = GATHERED.saturating_sub(open.words.len());
            open.words += &words[..words.floor_char_boundary(room)];
        }
    }

    /// The message that has begun is whole. The words go out beside the transcript, uncut.
    pub(super) fn flush(&mut self, out: &mut dyn FnMut(Transcript, &str)) {
        let Some(open) = self.open.take() else { return };
        if open.words.trim().is_empty() {
            return;
        }
        let name = match open.kind {
            TranscriptKind::Thinking => "agent_thought_chunk",
            _ => "agent_message_chunk",
        };
        let line = json!({"sessionUpdate": name, "content": {"type": "text", "text": open.words}});
        out(said(open.kind, &open.words, line.to_string()), &open.words);
    }

    /// Adds to what is known of a call, and tells it once its arguments are there, and its result.
    fn called(&mut self, news: Call, out: &mut dyn FnMut(Transcript, &str)) {
        let known = self.know(news);
        let call = &known.call;
        let over = matches!(call.status.as_deref(), Some("completed" | "failed"));
        let has_input = match &call.input {
            Some(Value::Object(input)) => !input.is_empty(),
            Some(_) => true,
            None => false,
        };
        let begun = has_input || over || call.status.as_deref() == Some("in_progress");
        let shown = call.name.as_ref().or(call.title.as_ref());
        let shown = shown.map_or("a tool", |name| {
            name.strip_prefix("mcp__")
                .and_then(|name| name.strip_prefix(SERVER))
                .and_then(|name| name.strip_prefix("__"))
                .unwrap_or(name)
        });
        if begun && !std::mem::replace(&mut known.told, true) {
            let input = call.input.clone().unwrap_or_else(|| json!({}));
            let line = json!({"sessionUpdate": "tool_call", "toolCallId": call.id, "name": call.name,
                "title": call.title, "kind": call.kind, "rawInput": input});
            let words = format!("{shown} {input}");
            out(said(TranscriptKind::ToolCall, &words, line.to_string()), "");
        }
        if over && !std::mem::replace(&mut known.over, true) {
            let line = json!({"sessionUpdate": "tool_call_update", "toolCallId": call.id, "status": call.status,
                "content": [{"type": "content", "content": {"type": "text", "text": call.words}}]});
            out(
                said(TranscriptKind::ToolResult, &call.words, line.to_string()),
                "",
            );
        }
    }

    fn know(&mut self, news: Call) -> &mut Known {
        let at = match self.calls.iter().position(|known| known.call.id == news.id) {
            Some(at) => {
                let call = &mut self.calls[at].call;
                *call = merge(call, news);
                at
            }
            None => {
                if self.calls.len() == CALLS {
                    self.calls.pop_front();
                }
                self.calls.push_back(Known {
                    call: news,
                    told: false,
                    over: false,
                });
                self.calls.len() - 1
            }
        };
        &mut self.calls[at]
    }

    /// A call with what was told of it before.
    pub(super) fn whole(&self, call: Call) -> Call {
        match self.calls.iter().find(|known| known.call.id == call.id) {
            Some(known) => merge(&known.call, call),
            None => call,
        }
    }
}

/// What was known before, with the news.
fn merge(before: &Call, news: Call) -> Call {
    Call {
        id: news.id,
        name: news.name.or_else(|| before.name.clone()),
        title: news.title.or_else(|| before.title.clone()),
        kind: news.kind.or_else(|| before.kind.clone()),
        input: news.input.or_else(|| before.input.clone()),
        status: news.status.or_else(|| before.status.clone()),
        words: if news.words.is_empty() {
            before.words.clone()
        } else {
            news.words
        },
    }
}

fn said(kind: TranscriptKind, words: &str, line: String) -> Transcript {
    Transcript {
        kind,
        text: excerpt(words.trim(), WORDS).into_owned(),
        line,
    }
}
