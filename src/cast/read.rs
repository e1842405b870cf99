//! Reads a cast file, format 1, with the engine's TOML reader: all faults in one go, each with its place.

use formicarium_agents::{ProcessLimits, Restart, RestartPolicy};
use formicarium_engine::Diagnostic;
use formicarium_engine::scenario::reader::{Item, Reader, Table};

use std::path::PathBuf;
use std::time::Duration;

use super::{AgentKind, Cast, MCP_READY_MS, ProcessRule, Rule};

const AGENTS: [&str; 7] = [
    "process",
    "claude",
    "acp",
    "mcp",
    "builtin:noop",
    "builtin:random",
    "builtin:script",
];

/// Reads the cast `name` from the bytes of `file`.
pub fn cast(file: &str, name: &str, bytes: &[u8]) -> Result<Cast, Vec<Diagnostic>> {
    let reader = Reader::parse(file, bytes);
    let cast = {
        let root = reader.root();
        if let Some(item) = root.need("format", "format = 1") {
            item.int(1..=1);
        }
        let cast = Cast {
            name: root
                .get("name")
                .and_then(|item| item.text_of(1..=60))
                .unwrap_or_else(|| name.to_owned()),
            summary: root.text_or("summary", ""),
            deadline: root
                .get("deadline")
                .and_then(|item| milliseconds(&item, 1..=86_400_000))
                .map(Duration::from_millis),
            budget: root
                .table("budget")
                .map(|table| super::claude::budget(&table))
                .unwrap_or_default(),
            rules: root.tables("seat").iter().filter_map(rule).collect(),
        };
        if cast.rules.is_empty() && !reader.failed() {
            reader
                .fault(0..0, "the cast seats nobody")
                .expected("[[seat]] with match and agent or command");
        }
        cast
    };
    let faults = reader.into_faults();
    if faults.is_empty() {
        Ok(cast)
    } else {
        Err(faults)
    }
}

fn rule(table: &Table<'_>) -> Option<Rule> {
    let pattern = table
        .need("match", "a seat's name, * for any characters")
        .and_then(|item| item.text_of(1..=100));
    let agent = match table.get("agent") {
        None => Some(0),
        Some(item) => item.choice(&AGENTS),
    };
    let agent = match AGENTS[agent?] {
        "builtin:noop" => AgentKind::Noop,
        "builtin:random" => AgentKind::Random,
        "builtin:script" => {
            AgentKind::Script(table.need("script", "a file of acts, one a line")?.text()?)
        }
        "claude" => super::claude::rule(table)?,
        "acp" => super::acp::rule(table)?,
        "mcp" => AgentKind::Mcp {
            ready_ms: table
                .get("ready")
                .and_then(|item| milliseconds(&item, 1..=3_600_000))
                .unwrap_or(MCP_READY_MS),
        },
        _ => AgentKind::Process(Box::new(process(table, &ProcessRule::default())?)),
    };
    let desk = table.get("desk").and_then(|item| item.bool());
    Some(Rule {
        pattern: pattern?,
        agent,
        desk: desk.unwrap_or(true),
        from: None,
    })
}

/// Reads how a process is run; one without a default command must name it.
pub(super) fn process(table: &Table<'_>, defaults: &ProcessRule) -> Option<ProcessRule> {
    let command = match defaults.command.as_str() {
        "" => table.need("command", "the program to run"),
        _ => table.get("command"),
    };
    let command = match command {
        Some(item) => item.text_of(1..=4096),
        None if defaults.command.is_empty() => None,
        None => Some(defaults.command.clone()),
    };
    let rule = ProcessRule {
        command: String::new(),
        args: table
            .get("args")
            .map(|item| texts(&item))
            .unwrap_or_default(),
        files: table
            .get("files")
            .map(|item| texts(&item))
            .unwrap_or_default(),
        env: table
            .table("env")
            .map(|env| env_of(&env))
            .unwrap_or_default(),
        read: table
            .get("read")
            .map(|item| absolute(&item))
            .unwrap_or_default(),
        connect: table
            .get("connect")
            .map(|item| ports(&item))
            .unwrap_or_default(),
        restart: table.table("restart").map_or(defaults.restart, |restart| {
            restart_of(&restart, defaults.restart)
        }),
        limits: table
            .table("limits")
            .map_or(defaults.limits, |limits| limits_of(&limits)),
        ready_ms: table
            .get("ready")
            .and_then(|item| milliseconds(&item, 1..=3_600_000))
            .unwrap_or(defaults.ready_ms),
    };
    Some(ProcessRule {
        command: command?,
        ..rule
    })
}

pub(super) fn texts(item: &Item<'_>) -> Vec<String> {
    item.list()
        .unwrap_or_default()
        .iter()
        .filter_map(Item::text)
        .collect()
}

/// Paths that mean the same from everywhere.
fn absolute(item: &Item<'_>) -> Vec<PathBuf> {
    let paths = texts(item).into_iter().map(PathBuf::from);
    let (good, bad): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| path.is_absolute());
    for path in bad {
        item.fault(format!("{path:?} is no absolute path"))
            .expected("a path that begins with /");
    }
    good
}

fn ports(item: &Item<'_>) -> Vec<u16> {
    item.list()
        .unwrap_or_default()
        .iter()
        .filter_map(|item| item.int(1..=65_535))
        .map(|port| port as u16)
        .collect()
}

fn env_of(table: &Table<'_>) -> Vec<(String, String)> {
    table
        .entries()
        .into_iter()
        .filter_map(|(key, span, item)| {
            if key.is_empty() || key.contains(['=', '\0']) {
                table
                    .reader()
                    .fault(span, format!("`{key}` cannot be the name of a variable"));
                return None;
            }
            Some((key.to_owned(), item.text()?))
        })
        .collect()
}

fn restart_of(table: &Table<'_>, defaults: Restart) -> Restart {
    const POLICIES: [(&str, RestartPolicy); 3] = [
        ("never", RestartPolicy::Never),
        ("on-failure", RestartPolicy::OnFailure),
        ("always", RestartPolicy::Always),
    ];
    let policy = table
        .get("policy")
        .and_then(|item| item.choice(&POLICIES.map(|(word, _)| word)));
    Restart {
        policy: policy.map_or(defaults.policy, |index| POLICIES[index].1),
        max: table.int_or("max", 0..=1000, i64::from(defaults.max)) as u32,
        backoff_ms: table
            .get("backoff")
            .and_then(|item| milliseconds(&item, 0..=3_600_000))
            .unwrap_or(defaults.backoff_ms),
        ..defaults
    }
}

fn limits_of(table: &Table<'_>) -> ProcessLimits {
    let defaults = ProcessLimits::default();
    let limit = |key: &str, default: Option<u64>| {
        let given = table.get(key).and_then(|item| item.int(1..=1 << 50));
        given.map_or(default, |number| Some(number as u64))
    };
    ProcessLimits {
        stderr_bytes: table.int_or("stderr", 0..=1 << 30, defaults.stderr_bytes as i64) as u64,
        memory_bytes: limit("memory", defaults.memory_bytes),
        processes: limit("processes", defaults.processes),
        files: limit("files", defaults.files),
        file_bytes: limit("file_size", defaults.file_bytes),
        cpu_seconds: limit("cpu", defaults.cpu_seconds),
        workspace_bytes: limit("workspace_bytes", defaults.workspace_bytes),
        workspace_files: limit("workspace_files", defaults.workspace_files),
    }
}

pub(super) fn milliseconds(item: &Item<'_>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let text = item.text()?;
    let fault = |expected: String| {
        item.fault(format!("`{}` is {text:?}", item.path()))
            .expected(expected);
        None
    };
    match duration_ms(&text) {
        Some(ms) if range.contains(&ms) => Some(ms),
        Some(_) => fault(format!("{} ms to {} ms", range.start(), range.end())),
        None => fault("a duration such as \"200ms\", \"10s\" or \"2m\"".into()),
    }
}

/// Reads a duration such as `200ms`, `10s` or `2m`, in milliseconds.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let factor = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}
