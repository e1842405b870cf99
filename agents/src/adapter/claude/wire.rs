//! What Claude Code says on its stream-json output, as types; and the lines that are said to it.
//!
//! The program is somebody else's and changes: what is not known here is [`Line::Other`], and missing fields are
//! empty. Must not know ticks or seats.

use serde_json::{Value, json};

use crate::mcp::rpc;

/// One line.
#[derive(Debug)]
pub(super) enum Line {
    /// The beginning of a turn.
    Init {
        version: String,
        servers: Vec<(String, String)>,
    },
    /// The model was asked again after an error.
    Retry {
        attempt: u64,
        most: u64,
        status: String,
    },
    /// What the model said.
    Assistant(Vec<Block>),
    /// What its tools answered.
    ToolResults(String),
    /// The end of a turn.
    Result(TurnResult),
    /// The program asks the host.
    Asks {
        id: String,
        what: Ask,
    },
    /// The program answers the host.
    Answers {
        id: String,
        error: Option<String>,
    },
    Other,
}

/// A part of what the model said.
#[derive(Debug, PartialEq)]
pub(super) enum Block {
    Text(String),
    Thinking(String),
    ToolCall { name: String, input: String },
}

/// The end of a turn.
#[derive(Debug, Default)]
pub(super) struct TurnResult {
    pub(super) subtype: String,
    pub(super) is_error: bool,
    /// Words of the model or of the error.
    pub(super) words: String,
    pub(super) status: Option<u64>,
    pub(super) stop_reason: String,
    /// Totals of this process, by model.
    pub(super) usage: Vec<(String, Usage)>,
}

/// Totals of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
    pub(super) usd: f64,
}

/// What the program asks.
#[derive(Debug)]
pub(super) enum Ask {
    /// A message to the seat's MCP server.
    Mcp(rpc::Request),
    /// Whether a tool may be used.
    Permission { tool: String, input: Value },
    /// Something that this host does not know.
    Unknown(String),
}

/// Reads a line.
///
/// # Errors
/// It is not JSON.
pub(super) fn read(line: &[u8]) -> Result<Line, serde_json::Error> {
    let value: Value = serde_json::from_slice(line)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(match value["type"].as_str().unwrap_or_default() {
        "system" => match value["subtype"].as_str().unwrap_or_default() {
            "init" => Line::Init {
                version: text(&value["claude_code_version"]),
                servers: value["mcp_servers"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|server| (text(&server["name"]), text(&server["status"])))
                    .collect(),
            },
            "api_retry" => Line::Retry {
                attempt: value["attempt"].as_u64().unwrap_or(0),
                most: value["max_retries"].as_u64().unwrap_or(0),
                status: format!("{} {}", value["error_status"], text(&value["error"])),
            },
            _ => Line::Other,
        },
        "assistant" => Line::Assistant(
            blocks(&value)
                .filter_map(|block| match block["type"].as_str()? {
                    "text" => Some(Block::Text(text(&block["text"]))),
                    "thinking" => Some(Block::Thinking(text(&block["thinking"]))),
                    "tool_use" => Some(Block::ToolCall {
                        name: text(&block["name"]),
                        input: block["input"].to_string(),
                    }),
                    _ => None,
                })
                .collect(),
        ),
        "user" => Line::ToolResults(
            blocks(&value)
                .map(result_text)
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        "result" => Line::Result(TurnResult {
            subtype: text(&value["subtype"]),
            is_error: value["is_error"] == true,
            words: text(&value["result"]),
            status: value["api_error_status"].as_u64(),
            stop_reason: text(&value["stop_reason"]),
            usage: value["modelUsage"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(model, usage)| {
                    let number = |key: &str| usage[key].as_u64().unwrap_or(0);
                    let usage = Usage {
                        input: number("inputTokens"),
                        output: number("outputTokens"),
                        cache_read: number("cacheReadInputTokens"),
                        cache_write: number("cacheCreationInputTokens"),
                        usd: usage["costUSD"].as_f64().unwrap_or(0.0),
                    };
                    (model.clone(), usage)
                })
                .collect(),
        }),
        "control_request" => {
            let request = &value["request"];
            let what = match request["subtype"].as_str().unwrap_or_default() {
                "mcp_message" => match serde_json::from_value(request["message"].clone()) {
                    Ok(message) => Ask::Mcp(message),
                    Err(_) => Ask::Unknown("mcp_message".into()),
                },
                "can_use_tool" => Ask::Permission {
                    tool: text(&request["tool_name"]),
                    input: request["input"].clone(),
                },
                other => Ask::Unknown(other.to_owned()),
            };
            Line::Asks {
                id: text(&value["request_id"]),
                what,
            }
        }
        "control_response" => {
            let response = &value["response"];
            Line::Answers {
                id: text(&response["request_id"]),
                error: (response["subtype"] == "error").then(|| text(&response["error"])),
            }
        }
        _ => Line::Other,
    })
}

fn blocks(value: &Value) -> impl Iterator<Item = &Value> {
    value["message"]["content"].as_array().into_iter().flatten()
}

/// The words of a tool's result, or of a text block.
fn result_text(block: &Value) -> String {
    if let Some(text) = block["text"].as_str().or_else(|| block["content"].as_str()) {
        return text.to_owned();
    }
    let parts = block["content"].as_array().into_iter().flatten();
    parts
        .filter_map(|part| part["text"].as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The name under which the program knows the seat's MCP server.
pub(super) const SERVER: &str = "world";

fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// A message of the user: begins a turn.
pub(super) fn message(text: &str) -> Vec<u8> {
    line(&json!({"type": "user", "message": {"role": "user", "content": text}}))
}

/// A request of the host.
pub(super) fn request(id: &str, request: &Value) -> Vec<u8> {
    line(&json!({"type": "control_request", "request_id": id, "request": request}))
}

/// The host's answer to a request.
pub(super) fn answer(id: &str, answer: &Value) -> Vec<u8> {
    line(&json!({"type": "control_response",
        "response": {"subtype": "success", "request_id": id, "response": answer}}))
}

/// The host cannot do what was asked.
pub(super) fn refuse(id: &str, why: &str) -> Vec<u8> {
    line(&json!({"type": "control_response",
        "response": {"subtype": "error", "request_id": id, "error": why}}))
}
