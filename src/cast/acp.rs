//! The cast's `agent = "acp"`: reads its keys, and makes the plan of a seat played by any ACP agent.

use formicarium_agents::{AcpPlan, AdapterPlan, Restart, RestartPolicy};
use formicarium_engine::scenario::reader::Table;

use super::claude::budget;
use super::read::{milliseconds, process, texts};
use super::{AgentKind, ProcessRule};
use crate::run::budget::Budget;

/// A seat played by an ACP agent.
#[derive(Debug, Clone)]
pub struct AcpRule {
    /// How its process is run.
    pub process: ProcessRule,
    /// Name of the scenario's prompt.
    pub prompt: Option<String>,
    /// The session mode that it is put in; none for `default`, where it has that.
    pub mode: Option<String>,
    /// Tools that it may use besides the seat's own.
    pub allow: Vec<String>,
    /// A turn that is silent for so long is cancelled.
    pub stall_ms: u64,
    /// What it may spend.
    pub budget: Budget,
}

/// Reads the rule of a seat.
pub(super) fn rule(table: &Table<'_>) -> Option<AgentKind> {
    let defaults = ProcessRule {
        // An agent with a runtime of its own needs seconds to start, and all seats start at once.
        ready_ms: 120_000,
        restart: Restart {
            policy: RestartPolicy::OnFailure,
            ..Restart::default()
        },
        ..ProcessRule::default()
    };
    let text = |key: &str| table.get(key).and_then(|item| item.text_of(1..=200));
    Some(AgentKind::Acp(Box::new(AcpRule {
        prompt: text("prompt"),
        mode: text("mode"),
        allow: table
            .get("allow")
            .map(|item| texts(&item))
            .unwrap_or_default(),
        stall_ms: table
            .get("stall")
            .and_then(|item| milliseconds(&item, 100..=3_600_000))
            .unwrap_or(120_000),
        budget: table
            .table("budget")
            .map(|table| budget(&table))
            .unwrap_or_default(),
        process: process(table, &defaults)?,
    })))
}

/// The plan of its adapter. Prompt and door are filled in when the run knows them.
pub(super) fn plan(rule: &AcpRule) -> AdapterPlan {
    // The agent starts this binary once more, as the way to its tools.
    let own = std::env::current_exe().map_or_else(
        |_| env!("CARGO_PKG_NAME").to_owned(),
        |path| path.to_string_lossy().into_owned(),
    );
    AdapterPlan::Acp(Box::new(AcpPlan {
        bridge: vec![own, "bridge".into()],
        prompt: None,
        mode: rule.mode.clone(),
        allow: rule.allow.clone(),
        model_door: None,
        stall_ms: rule.stall_ms,
    }))
}
