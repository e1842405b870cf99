//! What an ACP agent may do when it asks: the seat's own tools, and what the cast allows. Everything else: no.
//!
//! This binds an agent that asks. One that does not ask is held by its mode (which asks), and, where the machine can, by
//! its isolation: docs/design/acp.md.

use serde_json::{Value, json};

use super::wire::{Call, Choice, SERVER};
use crate::mcp::tools::Tools;

/// Whether the tool of a call may be used.
pub(super) fn may_use(call: &Call, tools: &Tools, allow: &[String]) -> bool {
    let kind = call.kind.as_deref();
    // A title is made for people and may be the model's own words: it names a tool of ours at most, and only where
    // there is neither a name nor a kind that says otherwise.
    let named = match &call.name {
        Some(name) => Some(name),
        None => call
            .title
            .as_ref()
            .filter(|_| matches!(kind, None | Some("other"))),
    };
    if named.is_some_and(|name| is_own(name, tools)) {
        return true;
    }
    allow.iter().any(
        |allowed| match (allowed.strip_prefix("kind:"), &call.name) {
            (Some(allowed), _) => kind == Some(allowed),
            (None, None) => false,
            (None, Some(name)) => match allowed.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == allowed,
            },
        },
    )
}

/// Whether this is how some agent calls a tool of the seat's server.
fn is_own(name: &str, tools: &Tools) -> bool {
    let of_ours = |tool: &str| tools.list().iter().any(|own| own.name == tool);
    let name = name.strip_prefix("mcp__").unwrap_or(name);
    let name = name.strip_prefix("mcp_").unwrap_or(name);
    // `move (world MCP Server)`: Gemini.
    if let Some(tool) = name
        .strip_suffix(" MCP Server)")
        .and_then(|rest| rest.strip_suffix(SERVER))
        .and_then(|rest| rest.strip_suffix(" ("))
    {
        return of_ours(tool);
    }
    // `mcp__world__move`: Claude Code; `world_move`, `world.move`, `world/move`: others.
    name.strip_prefix(SERVER).is_some_and(|rest| {
        ["__", "_", ".", "/", ":"]
            .iter()
            .any(|between| rest.strip_prefix(between).is_some_and(of_ours))
    })
}

/// The outcome of a permission request: for this one call, where that can be chosen. Where there is nothing to choose
/// from, it is as if somebody had cancelled.
pub(super) fn outcome(options: &[Choice], allowed: bool) -> Value {
    let kinds = if allowed {
        ["allow_once", "allow_always"]
    } else {
        ["reject_once", "reject_always"]
    };
    let chosen = kinds
        .iter()
        .find_map(|kind| options.iter().find(|option| option.kind == *kind));
    match chosen {
        Some(option) => {
            json!({"outcome": {"outcome": "selected", "optionId": option.option_id}})
        }
        None => json!({"outcome": {"outcome": "cancelled"}}),
    }
}
