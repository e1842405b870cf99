//! What an ACP agent says on its output, as types; and the lines that are said to it.
//!
//! JSON-RPC 2.0, one message a line, version 1 of the protocol (agentclientprotocol.com). The agents are somebody else's
//! and change: what is not known here is `Other`, and missing fields are empty. Why the types are our own and not those
//! of a crate: docs/design/acp.md. Must not know ticks or seats.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::mcp::rpc;

/// The version of the protocol that this speaks.
pub(super) const VERSION: u64 = 1;
/// The name under which the agent knows the seat's MCP server.
pub(super) const SERVER: &str = "world";
/// The code of an agent that wants somebody to log in first.
pub(super) const AUTH_REQUIRED: i64 = -32000;
const NO_METHOD: i64 = -32601;

/// One line.
#[derive(Debug)]
pub(super) enum Line {
    /// The agent answers the host.
    Answers {
        id: u64,
        result: Result<Value, Failure>,
    },
    /// The agent asks the host.
    Asks { id: Value, what: Ask },
    /// Something happened in a session.
    Update { session: String, update: Update },
    /// A notification that this host has no use for, or an answer to nothing that was asked.
    Other,
}

/// An error as JSON-RPC has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) code: i64,
    pub(super) message: String,
    data: Value,
}

impl Failure {
    /// In words: the message, and what its data says.
    pub(super) fn words(&self) -> String {
        let data = match &self.data {
            Value::Null => String::new(),
            Value::String(text) => format!(": {text}"),
            other => match other["details"].as_str().or(other["message"].as_str()) {
                Some(text) => format!(": {text}"),
                None => format!(": {other}"),
            },
        };
        format!("{}{data}", self.message.trim())
    }
}

/// What the agent asks.
#[derive(Debug)]
pub(super) enum Ask {
    /// Whether a tool may be used.
    Permission {
        call: Box<Call>,
        options: Vec<Choice>,
    },
    /// Something that this host does not do: the method's name.
    Unknown(String),
}

/// One of the answers to a permission request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Choice {
    pub(super) option_id: Value,
    pub(super) kind: String,
}

/// What happened in a session.
#[derive(Debug)]
pub(super) enum Update {
    /// A piece of the model's words, and of which message.
    Text(String, Option<String>),
    /// A piece of its thoughts.
    Thought(String, Option<String>),
    /// A tool call has begun or gone on.
    Call(Box<Call>),
    /// What the session has cost so far, in US dollars.
    Cost(f64),
    /// Something else of the conversation, to be kept as it came.
    Other,
    /// Nothing of the conversation: command lists, modes, the host's own words.
    Quiet,
}

/// A tool call as far as one message tells of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    /// The tool's name, for programs: a field that came late to the protocol.
    pub(super) name: Option<String>,
    /// Words for people, made by the agent or by its model.
    pub(super) title: Option<String>,
    /// `read`, `edit`, `delete`, `move`, `search`, `execute`, `think`, `fetch`, `switch_mode`, `other`.
    pub(super) kind: Option<String>,
    pub(super) input: Option<Value>,
    /// `pending`, `in_progress`, `completed`, `failed`.
    pub(super) status: Option<String>,
    /// The words of its content.
    pub(super) words: String,
}

#[derive(Deserialize)]
struct Raw {
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Failure>,
}

/// Reads a line.
///
/// # Errors
/// It is no JSON object of JSON-RPC.
pub(super) fn read(line: &[u8]) -> Result<Line, serde_json::Error> {
    let raw: Raw = serde_json::from_slice(line)?;
    let params = &raw.params;
    Ok(match (raw.method.as_deref(), raw.id) {
        (Some("session/request_permission"), Some(id)) => Line::Asks {
            id,
            what: Ask::Permission {
                call: Box::new(call(&params["toolCall"])),
                options: params["options"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|option| serde_json::from_value(option.clone()).ok())
                    .collect(),
            },
        },
        (Some(other), Some(id)) => Line::Asks {
            id,
            what: Ask::Unknown(other.to_owned()),
        },
        (Some("session/update"), None) => Line::Update {
            session: params["sessionId"].as_str().unwrap_or_default().to_owned(),
            update: update(&params["update"]),
        },
        (Some(_), None) => Line::Other,
        (None, id) => match id.as_ref().and_then(Value::as_u64) {
            Some(id) => Line::Answers {
                id,
                result: raw.error.map_or(Ok(raw.result), Err),
            },
            None => Line::Other,
        },
    })
}

fn update(update: &Value) -> Update {
    let text = || {
        let content = &update["content"];
        let words = match content["type"].as_str() {
            Some("text") => content["text"].as_str().unwrap_or_default().to_owned(),
            Some(other) => format!("[{other}]"),
            None => String::new(),
        };
        (words, update["messageId"].as_str().map(str::to_owned))
    };
    match update["sessionUpdate"].as_str().unwrap_or_default() {
        "agent_message_chunk" => {
            let (words, message) = text();
            Update::Text(words, message)
        }
        "agent_thought_chunk" => {
            let (words, message) = text();
            Update::Thought(words, message)
        }
        "tool_call" | "tool_call_update" => Update::Call(Box::new(call(update))),
        "usage_update" => match (
            update["cost"]["amount"].as_f64(),
            update["cost"]["currency"].as_str(),
        ) {
            (Some(amount), Some("USD")) => Update::Cost(amount),
            _ => Update::Quiet,
        },
        "user_message_chunk"
        | "available_commands_update"
        | "current_mode_update"
        | "config_option_update"
        | "session_info_update" => Update::Quiet,
        _ => Update::Other,
    }
}

fn call(value: &Value) -> Call {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let content = value["content"].as_array().into_iter().flatten();
    Call {
        id: text("toolCallId").unwrap_or_default(),
        name: text("name"),
        title: text("title"),
        kind: text("kind"),
        input: value.get("rawInput").filter(|v| !v.is_null()).cloned(),
        status: text("status"),
        words: content
            .filter_map(|part| part["content"]["text"].as_str())
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// Tokens of a turn, as the answer to a prompt may tell them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Usage {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cached_read_tokens: u64,
    pub(super) cached_write_tokens: u64,
}

fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// A request of the host.
pub(super) fn request(id: u64, method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// A notification of the host.
pub(super) fn notify(method: &str, params: &Value) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// The host's answer to a request.
pub(super) fn answer(id: &Value, result: Value) -> Vec<u8> {
    line(&rpc::reply(id, result))
}

/// The host does not do what was asked.
pub(super) fn refuse(id: &Value, method: &str) -> Vec<u8> {
    let own = method.starts_with("fs/") || method.starts_with("terminal/");
    let why = if own {
        "this host offers neither files nor terminals, as its clientCapabilities say; use your own"
    } else {
        "this host does not know the method"
    };
    line(&rpc::failure(id, NO_METHOD, &format!("{method}: {why}")))
}
