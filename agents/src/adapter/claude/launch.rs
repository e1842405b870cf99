//! How Claude Code is started and greeted, and what it may do: command line, environment, prompt, permissions.
//!
//! No prompt and no secret stands in argv, which every process of the machine can read.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::wire::SERVER;
use crate::adapter::{Launch, model};
use crate::plan::ClaudePlan;
use crate::protocol::Hello;
use crate::workspace::Workspace;

/// Tools of the program that a seat in full mode has.
const FULL_TOOLS: &str = "Bash,Read,Write,Edit,Glob,Grep";

/// The command line and environment of a new process.
pub(super) fn launch(plan: &ClaudePlan, resume: bool, at: &Workspace) -> Launch {
    let mut args: Vec<OsString> = [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--strict-mcp-config",
        "--permission-prompt-tool",
        "stdio",
        "--max-turns",
    ]
    .map(OsString::from)
    .to_vec();
    args.push(plan.max_turns.to_string().into());
    let mut option = |name: &str, value: &str| args.extend([name.into(), value.into()]);
    match &plan.fork_of {
        _ if resume => option("--resume", &plan.session),
        None => option("--session-id", &plan.session),
        Some(from) => {
            option("--resume", from);
            option("--session-id", &plan.session);
        }
    }
    if let Some(model) = &plan.model {
        option("--model", model);
    }
    if let Some(effort) = &plan.effort {
        option("--effort", effort);
    }
    if let Some(settings) = &plan.settings {
        option("--settings", &settings.to_string());
    }
    option("--allowedTools", &format!("mcp__{SERVER}"));
    option("--tools", if plan.full { FULL_TOOLS } else { "" });
    if !resume && plan.fork_of.is_some() {
        args.push("--fork-session".into());
    }
    if !plan.full {
        args.push("--bare".into());
    }
    let env = model::environment(at, plan.model_door.as_ref());
    Launch { args, env }
}

/// The first request: the host is the tool server `world`.
pub(super) fn initialize(plan: &ClaudePlan) -> Value {
    let mut request = json!({"subtype": "initialize", "sdkMcpServers": [SERVER], "hooks": null});
    if let Some(system) = &plan.system {
        let key = if plan.full {
            "appendSystemPrompt"
        } else {
            "systemPrompt"
        };
        request[key] = json!(system);
    }
    request
}

/// What stands before the first observation: what does not stand in the system prompt.
pub(super) fn greeting(hello: &Hello, has_system: bool) -> String {
    let mut text = match has_system {
        true => String::new(),
        false => model::introduction(hello, SERVER),
    };
    text += &model::remembered(hello);
    text
}

/// Whether a tool may be used: the seat's own always, the program's if the plan lists it. Everything else: no.
pub(super) fn may_use(plan: &ClaudePlan, tool: &str) -> bool {
    tool.strip_prefix("mcp__")
        .and_then(|rest| rest.strip_prefix(SERVER))
        .is_some_and(|rest| rest.starts_with("__"))
        || plan
            .allow
            .iter()
            .any(|allowed| match allowed.strip_suffix('*') {
                Some(start) => tool.starts_with(start),
                None => tool == allowed,
            })
}

/// What to do about an error of the model, by its status or words.
pub(in crate::adapter) fn advice(status: &str) -> &'static str {
    let has = |word: &str| status.contains(word);
    if has("401") || has("403") || has("authentication") {
        "set ANTHROPIC_API_KEY for the host to a valid key"
    } else if has("404") {
        "check the model's name in the cast"
    } else if has("429") {
        "the account's rate limit is reached: use fewer seats, or slower ticks"
    } else if has("529") || has("overloaded") {
        "the provider is overloaded; it passes by itself"
    } else if has("502") || has("ECONNREFUSED") || has("onnection") {
        "the model cannot be reached: check the network, or ANTHROPIC_BASE_URL of the host"
    } else {
        "see the seat's transcript"
    }
}
