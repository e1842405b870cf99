//! What all adapters of models have in common: the environment of their programs, and what stands before the first
//! observation. Variables that only one kind of program knows do not hurt the others. Must not know any protocol.

use std::ffi::OsString;

use serde_json::Value;

use crate::protocol::Hello;
use crate::workspace::Workspace;

/// The environment: no talk but with the model door, files in the seat's own folders, and the way to the model.
pub(super) fn environment(
    at: &Workspace,
    model_door: Option<&(String, String)>,
) -> Vec<(String, OsString)> {
    let mut env: Vec<(String, OsString)> = [
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
        // The seat's tools stand in the first request, not behind a search for tools.
        ("ENABLE_TOOL_SEARCH", "false"),
        // A call may be held for as long as a tick takes; the host's own deadlines end that, not the program's.
        ("MCP_TOOL_TIMEOUT", "86400000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .to_vec();
    env.push(("CLAUDE_CONFIG_DIR".into(), at.home.join(".claude").into()));
    env.push(("CLAUDE_CODE_TMPDIR".into(), at.tmp.clone().into()));
    if let Some((url, key)) = model_door {
        env.push(("ANTHROPIC_BASE_URL".into(), url.into()));
        env.push(("ANTHROPIC_API_KEY".into(), key.into()));
    }
    env
}

/// Who the agent is and what the rules are, where no prompt of the scenario says so. `server` has its tools.
pub(super) fn introduction(hello: &Hello, server: &str) -> String {
    format!(
        "You are {} in \"{}\".\n{}\n{}\nPlay with the tools of the server {server}.\n\n",
        hello.seat, hello.scenario.title, hello.role, hello.rules
    )
}

/// What an earlier process of the seat asked to remember, in words; empty for nothing.
pub(super) fn remembered(hello: &Hello) -> String {
    let note = hello.remembered.as_ref().and_then(Value::as_str);
    note.map_or(String::new(), |note| {
        format!("You were started again. Your note from before: {note}\n\n")
    })
}
