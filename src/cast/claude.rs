//! The cast's `agent = "claude"`: reads its keys, and makes the plan of a seat played by Claude Code.

use std::time::Duration;

use formicarium_agents::{AdapterPlan, ClaudePlan, Restart, RestartPolicy, Turn};
use formicarium_engine::scenario::reader::{Item, Table};

use super::read::{milliseconds, process, texts};
use super::{AgentKind, ProcessRule};
use crate::run::budget::Budget;

/// A seat played by Claude Code.
#[derive(Debug, Clone)]
pub struct ClaudeRule {
    /// How its process is run; the command is `claude` unless the cast says otherwise.
    pub process: ProcessRule,
    /// The model; none for the program's default.
    pub model: Option<String>,
    /// The program's `--effort`.
    pub effort: Option<String>,
    /// How ticks and turns go together.
    pub turn: Turn,
    /// Model calls before a new turn begins.
    pub max_turns: u32,
    /// Name of the scenario's prompt.
    pub prompt: Option<String>,
    /// With files and shell.
    pub full: bool,
    /// Tools that it may use in full mode.
    pub allow: Vec<String>,
    /// More of the program's settings, a JSON object.
    pub settings: Option<serde_json::Value>,
    /// A turn that is silent for so long is interrupted.
    pub stall_ms: u64,
    /// What it may spend.
    pub budget: Budget,
}

const TURNS: [(&str, Turn); 2] = [
    ("continuous", Turn::Continuous),
    ("per-tick", Turn::PerTick),
];

/// Reads the rule of a seat.
pub(super) fn rule(table: &Table<'_>) -> Option<AgentKind> {
    let defaults = ProcessRule {
        command: "claude".into(),
        // A CLI needs seconds to start, and all seats start at once.
        ready_ms: 120_000,
        restart: Restart {
            policy: RestartPolicy::OnFailure,
            ..Restart::default()
        },
        ..ProcessRule::default()
    };
    let turn = table
        .get("turn")
        .and_then(|item| item.choice(&TURNS.map(|(word, _)| word)));
    let text = |key: &str| table.get(key).and_then(|item| item.text_of(1..=200));
    Some(AgentKind::Claude(Box::new(ClaudeRule {
        model: text("model"),
        effort: text("effort"),
        turn: turn.map_or(Turn::Continuous, |index| TURNS[index].1),
        max_turns: table.int_or("max_turns", 1..=100_000, 100) as u32,
        prompt: text("prompt"),
        full: table.bool_or("full", false),
        allow: table
            .get("allow")
            .map(|item| texts(&item))
            .unwrap_or_default(),
        settings: table.get("settings").and_then(|item| settings(&item)),
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

fn settings(item: &Item<'_>) -> Option<serde_json::Value> {
    let text = item.text()?;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) if value.is_object() => Some(value),
        Ok(_) => {
            item.fault("`settings` is no object")
                .expected("a JSON object in a text");
            None
        }
        Err(error) => {
            item.fault(format!("`settings` is not JSON: {error}"))
                .expected("a JSON object in a text");
            None
        }
    }
}

pub(super) fn budget(table: &Table<'_>) -> Budget {
    let count = |key: &str| {
        table
            .get(key)
            .and_then(|item| item.int(1..=1_000_000_000_000))
            .map(|number| number as u64)
    };
    Budget {
        tokens: count("tokens"),
        calls: count("calls"),
        usd: table
            .get("usd")
            .and_then(|item| item.float(0.000_001..=1e9)),
        time: table
            .get("time")
            .and_then(|item| milliseconds(&item, 1..=u64::MAX / 2))
            .map(Duration::from_millis),
    }
}

/// The plan of its adapter. Prompt and door are filled in when the run knows them.
pub(super) fn plan(rule: &ClaudeRule) -> AdapterPlan {
    AdapterPlan::Claude(Box::new(ClaudePlan {
        session: new_session(),
        has_session: false,
        fork_of: None,
        model: rule.model.clone(),
        effort: rule.effort.clone(),
        turn: rule.turn,
        max_turns: rule.max_turns,
        system: None,
        full: rule.full,
        allow: rule.allow.clone(),
        settings: rule.settings.clone(),
        model_door: None,
        stall_ms: rule.stall_ms,
    }))
}

/// The id of a session that has not begun.
pub fn new_session() -> String {
    uuid(rand::random())
}

/// A random UUID (RFC 9562, version 4).
fn uuid(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_version() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
