//! The Model Context Protocol as far as a server of tools needs it: JSON-RPC requests in, replies out, one at a time.
//! For talks that bring their own pipe; the server over HTTP is a library's. Must not know what a tool does.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::tools::Tool;

/// Versions of MCP that this speaks, newest first (modelcontextprotocol.io, "Versioning").
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// A message of the client.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// Absent in a notification, which is not answered.
    #[serde(default)]
    pub id: Option<Value>,
    #[serde(default)]
    method: String,
    #[serde(default)]
    params: Value,
}

impl Request {
    /// The id of the request that the client does not wait for any more, if it says so.
    pub fn cancels(&self) -> Option<Value> {
        (self.method == "notifications/cancelled").then(|| self.params["requestId"].clone())
    }
}

/// What has to be done about it.
#[derive(Debug, PartialEq)]
pub enum Todo {
    /// Send this result.
    Reply(Value),
    /// Send this error: code and words.
    Fail(i64, String),
    /// Call a tool; its result is the reply.
    Call {
        /// The tool's name.
        name: String,
        /// Its arguments.
        args: Map<String, Value>,
    },
    /// Nothing.
    Nothing,
}

/// What a request asks for. `tools` are the server's.
pub fn read(request: &Request, tools: &[Tool]) -> Todo {
    let params = &request.params;
    match request.method.as_str() {
        "initialize" => {
            let asked = params["protocolVersion"].as_str().unwrap_or_default();
            let version = VERSIONS
                .iter()
                .find(|version| **version == asked)
                .unwrap_or(&VERSIONS[0]);
            Todo::Reply(json!({
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "formicarium", "version": env!("CARGO_PKG_VERSION")},
            }))
        }
        "ping" => Todo::Reply(json!({})),
        "tools/list" => {
            let tools: Vec<Value> = tools
                .iter()
                .map(|tool| {
                    json!({"name": tool.name, "description": tool.description, "inputSchema": tool.schema})
                })
                .collect();
            Todo::Reply(json!({"tools": tools}))
        }
        "tools/call" => match params["name"].as_str() {
            Some(name) => Todo::Call {
                name: name.to_owned(),
                args: params["arguments"].as_object().cloned().unwrap_or_default(),
            },
            None => Todo::Fail(-32602, "tools/call needs `name`, a text".into()),
        },
        // A notification; or, without a method, an answer to what nobody asked.
        "" => Todo::Nothing,
        _ if request.id.is_none() => Todo::Nothing,
        other => Todo::Fail(-32601, format!("there is no method {other:?} here")),
    }
}

/// The result of a tool call.
pub fn tool_result(text: &str, is_error: bool) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": is_error})
}

/// A reply to the request with this id.
pub fn reply(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// A failure of the request with this id.
pub fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}
