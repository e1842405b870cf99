//! Casts: who sits where.
//!
//! `read` turns a cast file into rules with diagnostics; here they are matched to the scenario's
//! seats, after the overrides of the command line. Lives in the host because it names both worlds:
//! the engine's seats and the agents' programs (docs/design/cast.md). Starts nothing.

pub mod acp;
pub mod claude;
pub mod read;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formicarium_agents::{ProcessLimits, Program, Restart};
use formicarium_engine::{Bundle, Diagnostic};
use thiserror::Error;

use self::acp::AcpRule;
use self::claude::ClaudeRule;
use crate::run::budget::Budget;
use crate::run::builtin::Builtin;

/// A cast, checked.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Its name.
    pub name: String,
    /// A sentence.
    pub summary: String,
    /// Longest wait of a lockstep tick with this cast; none: as the scenario says. Models think longer than scripts.
    pub deadline: Option<Duration>,
    /// What all its seats together may spend.
    pub budget: Budget,
    /// Rules in the order of the file; the first that matches a seat wins.
    pub rules: Vec<Rule>,
}

/// Who sits on the seats that a pattern matches.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Pattern over seat names; `*` stands for any characters, `?` for one.
    pub pattern: String,
    /// Who.
    pub agent: AgentKind,
    /// Whether it has a desk, in a scenario that shares files.
    pub desk: bool,
    /// The folder that its paths mean; none for the cast's own.
    pub from: Option<PathBuf>,
}

/// What kind of agent, before its files are looked for.
#[derive(Debug, Clone)]
pub enum AgentKind {
    /// A process.
    Process(Box<ProcessRule>),
    /// Claude Code.
    Claude(Box<ClaudeRule>),
    /// Any ACP agent.
    Acp(Box<AcpRule>),
    /// Whichever MCP client comes with the seat's token.
    Mcp {
        /// Milliseconds that the first tick waits for one.
        ready_ms: u64,
    },
    /// `builtin:noop`.
    Noop,
    /// `builtin:random`.
    Random,
    /// `builtin:script` with its file, relative to the cast's folder.
    Script(String),
}

/// How long the first tick waits for an MCP client unless the cast says otherwise: people start those by hand.
const MCP_READY_MS: u64 = 60_000;

/// How a process is run.
#[derive(Debug, Clone)]
pub struct ProcessRule {
    /// Program, looked up in `program/`, beside the host's binary, then in PATH.
    pub command: String,
    /// Arguments; one that equals the name of a file in `files` becomes the path of its copy.
    pub args: Vec<String>,
    /// Files to copy, relative to the cast's folder.
    pub files: Vec<String>,
    /// Added to the clean environment.
    pub env: Vec<(String, String)>,
    /// Folders and files that it may read besides its own and the system's.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to.
    pub connect: Vec<u16>,
    /// What happens when it ends.
    pub restart: Restart,
    /// Its limits.
    pub limits: ProcessLimits,
    /// Milliseconds that it may take to answer `hello`.
    pub ready_ms: u64,
}

impl Default for ProcessRule {
    fn default() -> ProcessRule {
        ProcessRule {
            command: String::new(),
            args: Vec::new(),
            files: Vec::new(),
            env: Vec::new(),
            read: Vec::new(),
            connect: Vec::new(),
            restart: Restart::default(),
            limits: ProcessLimits::default(),
            ready_ms: 10_000,
        }
    }
}

/// An agent ready to be started.
#[derive(Debug, Clone)]
pub enum Agent {
    /// A process.
    Process(Box<Program>),
    /// Whichever MCP client comes with the seat's token.
    Mcp {
        /// The first tick waits so long for one.
        ready: Duration,
    },
    /// A builtin.
    Builtin(Builtin),
}

/// A seat with its agent.
#[derive(Debug, Clone)]
pub struct Seated {
    /// What the recording and the page call it.
    pub label: String,
    /// Who plays.
    pub agent: Agent,
    /// Which of the scenario's prompts it gets, if it takes one.
    pub prompt: Option<String>,
    /// What it may spend.
    pub budget: Budget,
    /// Whether it has a desk, in a scenario that shares files.
    pub desk: bool,
}

impl Seated {
    /// Whether the seat has a desk, in a scenario that shares files: what the host plays itself has none.
    pub fn has_desk(&self) -> bool {
        self.desk && !matches!(self.agent, Agent::Builtin(_))
    }
}

/// Why nobody can be seated.
#[derive(Debug, Error)]
pub enum CastError {
    /// No such cast.
    #[error("the scenario has no cast '{name}'{}; it has: {have}", suggestion.as_ref().map_or(String::new(), |near| format!(" (did you mean '{near}'?)")))]
    Missing {
        /// What was asked for.
        name: String,
        /// What there is.
        have: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// The file is broken.
    #[error("the cast is broken")]
    Broken(Vec<Diagnostic>),
    /// A seat that no rule matches.
    #[error(
        "cast '{cast}' says nobody for the seat '{seat}'; add a [[seat]] with match = \"*\", or use --agent '{seat}=COMMAND'"
    )]
    Empty {
        /// The cast.
        cast: String,
        /// The seat.
        seat: String,
    },
    /// An `--agent` that cannot be read.
    #[error(
        "--agent '{given}': {why}; write it as SEATS=COMMAND, for example --agent 'harvester-*=python3 my.py'"
    )]
    Override {
        /// What was given.
        given: String,
        /// What is wrong.
        why: String,
    },
    /// A program file that is not there.
    #[error("cast '{cast}', seat '{seat}': {path}: {why}", path = .path.display())]
    File {
        /// The cast.
        cast: String,
        /// The seat.
        seat: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Names of the casts in a scenario's bundle.
pub fn names(bundle: &Bundle) -> Vec<String> {
    bundle
        .iter()
        .filter_map(|(path, _)| {
            path.strip_prefix("casts/")?
                .strip_suffix(".toml")
                .map(str::to_owned)
        })
        .filter(|name| !name.contains('/'))
        .collect()
}

/// Reads the cast `name` of a scenario.
pub fn load(bundle: &Bundle, name: &str) -> Result<Cast, CastError> {
    let path = format!("casts/{name}.toml");
    let Some(bytes) = bundle.get(&path) else {
        let have = names(bundle);
        let suggestion =
            formicarium_engine::scenario::nearest(name, have.iter().map(String::as_str))
                .map(str::to_owned);
        let have = if have.is_empty() {
            "none".into()
        } else {
            have.join(", ")
        };
        return Err(CastError::Missing {
            name: name.to_owned(),
            have,
            suggestion,
        });
    };
    read::cast(&path, name, bytes).map_err(CastError::Broken)
}

/// BLAKE3 over the text of the cast `name` (nothing if there is none) and each of `overrides` as it was given, each with
/// its length before it (64 bits, little-endian), hexadecimal.
pub fn digest<'a>(
    bundle: &'a Bundle,
    name: &str,
    overrides: impl Iterator<Item = &'a str>,
) -> String {
    let text = bundle.get(&format!("casts/{name}.toml"));
    let mut hasher = blake3::Hasher::new();
    let overrides = overrides.map(str::as_bytes);
    for part in std::iter::once(text.unwrap_or_default()).chain(overrides) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

/// Reads `SEATS=COMMAND`. The command is split like a shell would; files named in it are copied. Relative paths mean `from`.
pub fn override_rule(given: &str, from: &Path) -> Result<Rule, CastError> {
    let wrong = |why: &str| CastError::Override {
        given: given.to_owned(),
        why: why.to_owned(),
    };
    let (pattern, command) = given
        .split_once('=')
        .ok_or_else(|| wrong("there is no '='"))?;
    if pattern.trim().is_empty() {
        return Err(wrong("no seat is named before the '='"));
    }
    let agent = match command.trim() {
        "builtin:noop" => AgentKind::Noop,
        "builtin:random" => AgentKind::Random,
        "mcp" => AgentKind::Mcp {
            ready_ms: MCP_READY_MS,
        },
        other if other.starts_with("builtin:script:") => {
            AgentKind::Script(other["builtin:script:".len()..].into())
        }
        other if other.starts_with("builtin:") => {
            return Err(wrong("builtin agents are noop, random and script:FILE"));
        }
        other => {
            let mut words = shlex::split(other).ok_or_else(|| wrong("a quote is not closed"))?;
            if words.is_empty() {
                return Err(wrong("the command is empty"));
            }
            let command = words.remove(0);
            let files = std::iter::once(&command)
                .chain(&words)
                .filter(|word| {
                    word.contains(['/', '.']) && from.join(word).is_file() && !in_system(word)
                })
                .cloned()
                .collect();
            AgentKind::Process(Box::new(ProcessRule {
                command,
                args: words,
                files,
                ..ProcessRule::default()
            }))
        }
    };
    Ok(Rule {
        pattern: pattern.trim().to_owned(),
        agent,
        desk: true,
        from: Some(from.to_owned()),
    })
}

/// Programs of the system stay where they are.
fn in_system(path: &str) -> bool {
    ["/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/etc/"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// Seats everybody: overrides first, then the cast's rules, whose paths mean `folder`.
pub fn seat(
    cast: &Cast,
    folder: &Path,
    overrides: &[Rule],
    seats: &[String],
) -> Result<Vec<Seated>, CastError> {
    seats
        .iter()
        .map(|seat| {
            let rule = overrides
                .iter()
                .chain(&cast.rules)
                .find(|rule| matches(&rule.pattern, seat))
                .ok_or_else(|| CastError::Empty {
                    cast: cast.name.clone(),
                    seat: seat.clone(),
                })?;
            let base = rule.from.as_deref().unwrap_or(folder);
            let file = |path: &Path, why: String| CastError::File {
                cast: cast.name.clone(),
                seat: seat.clone(),
                path: path.to_owned(),
                why,
            };
            let seated = match &rule.agent {
                AgentKind::Noop => Ok(builtin("builtin:noop", Builtin::Noop)),
                AgentKind::Mcp { ready_ms } => Ok(Seated {
                    label: "mcp".into(),
                    agent: Agent::Mcp {
                        ready: Duration::from_millis(*ready_ms),
                    },
                    prompt: None,
                    budget: Budget::default(),
                    desk: true,
                }),
                AgentKind::Random => Ok(builtin("builtin:random", Builtin::Random)),
                AgentKind::Script(name) => {
                    let path = base.join(name);
                    let text = fs::read_to_string(&path)
                        .map_err(|error| file(&path, error.to_string()))?;
                    let script = Builtin::script(&text).map_err(|why| file(&path, why))?;
                    Ok(builtin(&format!("builtin:script:{name}"), script))
                }
                AgentKind::Process(process) => {
                    program(process, base, &file).map(|(label, program)| Seated {
                        label,
                        agent: Agent::Process(Box::new(program)),
                        prompt: None,
                        budget: Budget::default(),
                        desk: true,
                    })
                }
                AgentKind::Acp(rule) => {
                    let (label, mut program) = program(&rule.process, base, &file)?;
                    program.adapter = acp::plan(rule);
                    Ok(Seated {
                        label,
                        agent: Agent::Process(Box::new(program)),
                        prompt: rule.prompt.clone(),
                        budget: rule.budget.clone(),
                        desk: true,
                    })
                }
                AgentKind::Claude(rule) => {
                    let (label, mut program) = program(&rule.process, base, &file)?;
                    program.adapter = claude::plan(rule);
                    let model = rule.model.as_deref().unwrap_or("default model");
                    Ok(Seated {
                        label: format!("{label} ({model})"),
                        agent: Agent::Process(Box::new(program)),
                        prompt: rule.prompt.clone(),
                        budget: rule.budget.clone(),
                        desk: true,
                    })
                }
            };
            seated.map(|seated| Seated {
                desk: rule.desk,
                ..seated
            })
        })
        .collect()
}

fn builtin(label: &str, builtin: Builtin) -> Seated {
    Seated {
        label: label.to_owned(),
        agent: Agent::Builtin(builtin),
        prompt: None,
        budget: Budget::default(),
        desk: true,
    }
}

/// Looks for the rule's files and names their copies in command and arguments.
fn program(
    rule: &ProcessRule,
    base: &Path,
    file: &impl Fn(&Path, String) -> CastError,
) -> Result<(String, Program), CastError> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for name in &rule.files {
        let path = base.join(name);
        if !path.is_file() {
            return Err(file(&path, "there is no such file".into()));
        }
        let base_name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if files
            .iter()
            .any(|(other, name)| *name == base_name && *other != path)
        {
            return Err(file(
                &path,
                format!("two files are named {base_name}; they go to one folder"),
            ));
        }
        files.push((path, base_name));
    }
    // A word of the command that is one of the files is named by its copy.
    let word = |word: &String| {
        let named = rule.files.iter().position(|name| name == word);
        match named {
            Some(index) => files[index].1.clone(),
            None => word.clone(),
        }
    };
    let label = std::iter::once(&rule.command)
        .chain(&rule.args)
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    let (command, args) = (word(&rule.command), rule.args.iter().map(word).collect());
    let program = Program {
        command,
        args,
        env: rule.env.clone(),
        read: rule.read.clone(),
        connect: rule.connect.clone(),
        restart: rule.restart,
        limits: rule.limits,
        ready_ms: rule.ready_ms,
        files,
        ..Program::new("")
    };
    Ok((label, program))
}

/// Matches a pattern with `*` and `?` against a seat's name, without backtracking over more than the last `*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, want) in [
            ("*", "alice", true),
            ("harvester-*", "harvester-12", true),
            ("harvester-*", "harvester", false),
            ("h?r*-*2", "harvester-12", true),
            ("*-1", "harvester-1", true),
            ("*-1", "harvester-11", false),
            ("", "", true),
            ("a", "", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} against {name}");
        }
    }

    #[test]
    fn a_seat_can_be_left_to_mcp_clients() {
        let rule = override_rule("alice=mcp", Path::new(".")).expect("a rule");
        assert!(matches!(rule.agent, AgentKind::Mcp { ready_ms: 60_000 }));
        let text = b"format = 1\n[[seat]]\nmatch = \"*\"\nagent = \"mcp\"\nready = \"5s\"\n";
        let cast = read::cast("casts/x.toml", "x", text).expect("a cast");
        assert!(matches!(
            cast.rules[0].agent,
            AgentKind::Mcp { ready_ms: 5_000 }
        ));
        let text =
            b"format = 1\n[[seat]]\nmatch = \"*\"\nagent = \"mcp\"\nbudget = { tokens = 1 }\n";
        let faults = read::cast("casts/x.toml", "x", text).expect_err("no budget");
        assert!(format!("{faults:?}").contains("budget"), "{faults:?}");
    }

    #[test]
    fn a_seat_has_limits_and_what_it_may_reach() {
        let text = b"format = 1\n[[seat]]\nmatch = \"*\"\ncommand = \"x\"\nread = [\"/srv/data\"]\nconnect = [443]\n\
            limits = { memory = 1000, processes = 10, files = 64, file_size = 5, cpu = 7, workspace_bytes = 9, workspace_files = 3 }\n";
        let cast = read::cast("casts/x.toml", "x", text).expect("a cast");
        let AgentKind::Process(process) = &cast.rules[0].agent else {
            panic!("{cast:?}");
        };
        assert_eq!(
            (&process.read[..], &process.connect[..]),
            (&[PathBuf::from("/srv/data")][..], &[443][..])
        );
        let limits = process.limits;
        let given = [
            limits.memory_bytes,
            limits.processes,
            limits.files,
            limits.file_bytes,
            limits.cpu_seconds,
            limits.workspace_bytes,
            limits.workspace_files,
        ];
        assert_eq!(given, [1000, 10, 64, 5, 7, 9, 3].map(Some));
        for bad in [
            "read = [\"data\"]",
            "connect = [0]",
            "connect = [65536]",
            "limits = { memory = 0 }",
            "limits = { memroy = 1 }",
        ] {
            let text = format!("format = 1\n[[seat]]\nmatch = \"*\"\ncommand = \"x\"\n{bad}\n");
            assert!(
                read::cast("casts/x.toml", "x", text.as_bytes()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn overrides_say_what_is_wrong_with_them() {
        for (given, words) in [
            ("alice", "no '='"),
            ("=python3", "no seat is named"),
            ("a=", "empty"),
            ("a=sh -c 'x", "quote"),
            ("a=builtin:clever", "noop, random and script"),
        ] {
            let error = override_rule(given, Path::new("."))
                .expect_err(given)
                .to_string();
            assert!(error.contains(words), "{given}: {error}");
        }
    }
}
