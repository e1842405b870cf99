//! What the host asks for: which program takes a seat, with what, and for how long it is waited for.
//!
//! Plain data. Must not know how a program is started.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;

/// One seat that a process fills.
#[derive(Debug, Clone, PartialEq)]
pub struct SeatPlan {
    /// The seat's name: 1 to 64 of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
    pub seat: String,
    /// The run's id; the agent finds it as `FORMICARIUM_RUN`.
    pub run: String,
    /// What runs there.
    pub program: Program,
    /// The seat's folder, `agents/<seat>` of the run's folder. It is made if it is missing.
    pub folder: PathBuf,
    /// How it is kept apart from the others.
    pub isolation: Isolation,
}

/// A program and how it is treated.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// A path, or a name that is looked for in `program/`, beside the host's own executable, and on `PATH`.
    pub command: String,
    /// Its arguments. One that equals a name of `files` is replaced by that file's path in `program/`.
    pub args: Vec<String>,
    /// Added to the clean environment; a later name replaces an earlier one.
    pub env: Vec<(String, String)>,
    /// Files copied into the read-only folder `program/`: source, and name there (relative, no `..`).
    pub files: Vec<(PathBuf, String)>,
    /// Folders and files that it may read and execute besides its own and the system's; absolute.
    pub read: Vec<PathBuf>,
    /// TCP ports that it may connect to, besides the model door's.
    pub connect: Vec<u16>,
    /// What happens when it ends before the run does.
    pub restart: Restart,
    /// What it may use.
    pub limits: ProcessLimits,
    /// How long it may take from its start to `ready`, in milliseconds; at least 1.
    pub ready_ms: u64,
    /// How it is talked to.
    pub adapter: AdapterPlan,
    /// How long it may take from SIGTERM, or from closing its output, to its end before SIGKILL, in milliseconds.
    pub grace_ms: u64,
}

impl Program {
    /// A program by its command, with the defaults: no arguments, `restart` never, 30 s to `ready`, 2 s of grace.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            files: Vec::new(),
            read: Vec::new(),
            connect: Vec::new(),
            restart: Restart::default(),
            limits: ProcessLimits::default(),
            ready_ms: 30_000,
            adapter: AdapterPlan::Stdio,
            grace_ms: 2_000,
        }
    }
}

/// How a program is talked to.
#[derive(Debug, Clone, PartialEq)]
pub enum AdapterPlan {
    /// It speaks the agent protocol on its standard streams.
    Stdio,
    /// Claude Code, over its stream-json form with the control channel.
    Claude(Box<ClaudePlan>),
    /// Any agent that speaks the Agent Client Protocol on its standard streams.
    Acp(Box<AcpPlan>),
}

impl AdapterPlan {
    /// Whether what the host says has to be translated.
    pub fn translates(&self) -> bool {
        !matches!(self, AdapterPlan::Stdio)
    }

    /// Whether its tools reach it over a socket in the seat's folder.
    pub fn has_socket(&self) -> bool {
        matches!(self, AdapterPlan::Acp(_))
    }

    /// TCP port of the model door, for those that use it.
    pub fn model_port(&self) -> Option<u16> {
        let door = match self {
            AdapterPlan::Stdio => None,
            AdapterPlan::Claude(plan) => plan.model_door.as_ref(),
            AdapterPlan::Acp(plan) => plan.model_door.as_ref(),
        };
        let url: http::Uri = door?.0.parse().ok()?;
        url.port_u16()
    }

    /// Gives a program that plays with a model its prompt, and base URL and key of the model. Others need neither.
    pub fn furnish(&mut self, prompt: String, model_door: Option<(String, String)>) {
        match self {
            AdapterPlan::Stdio => {}
            AdapterPlan::Claude(plan) => {
                plan.system = Some(prompt);
                plan.model_door = model_door;
            }
            AdapterPlan::Acp(plan) => {
                plan.prompt = Some(prompt);
                plan.model_door = model_door;
            }
        }
    }
}

/// One seat played by Claude Code.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaudePlan {
    /// The session's id, a UUID; a process that is started again resumes it.
    pub session: String,
    /// An earlier host's process has begun it: the first process resumes it too.
    pub has_session: bool,
    /// The session of another run that this one goes on from, until it has one itself; its file lies in the seat's home.
    pub fork_of: Option<String>,
    /// The model's name; none: the program's own default.
    pub model: Option<String>,
    /// How hard it thinks: the program's `--effort`.
    pub effort: Option<String>,
    /// How ticks and the program's turns go together.
    pub turn: Turn,
    /// Model calls in one turn of the program before a new turn begins.
    pub max_turns: u32,
    /// The system prompt; none: the program's own, with the rules in the first message.
    pub system: Option<String>,
    /// Whether it also works with files and shell. If not, it has the seat's tools alone, and a request has 2 KB
    /// instead of 100.
    pub full: bool,
    /// In full mode, the program's tools that it may use without being asked: names as the program's own, `*` at the
    /// end for any. Everything else is refused.
    pub allow: Vec<String>,
    /// More of the program's settings, as a JSON object.
    pub settings: Option<serde_json::Value>,
    /// Base URL and key of the model.
    pub model_door: Option<(String, String)>,
    /// A turn that is silent for so long is interrupted, in milliseconds.
    pub stall_ms: u64,
}

/// One seat played by an ACP agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AcpPlan {
    /// The command that copies between its standard streams and a socket, and arguments before the socket's path:
    /// `formicarium bridge` by its full path. The agent starts it as its tool server.
    pub bridge: Vec<String>,
    /// What it is told before its first observation; none: role and rules as they are.
    pub prompt: Option<String>,
    /// The session mode, one of those that the agent offers; none: `default` where it offers that.
    pub mode: Option<String>,
    /// Tools that it may use without being asked, besides the seat's own: names as the agent gives them, `*` at the end
    /// for any, or `kind:read` and such. Everything else is refused.
    pub allow: Vec<String>,
    /// Base URL and key of the model.
    pub model_door: Option<(String, String)>,
    /// A turn that is silent for so long is cancelled, in milliseconds.
    pub stall_ms: u64,
}

/// How ticks and turns go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// One turn over many ticks: the result of an action is held until its tick is closed, and carries the next
    /// observation. A tick costs one model call.
    Continuous,
    /// A message a tick, and a turn for each.
    PerTick,
}

/// Whether and when a seat's process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// After which ends.
    pub policy: RestartPolicy,
    /// How many restarts in one run at most.
    pub max: u32,
    /// Wait before the first restart in milliseconds; doubled for each further one.
    pub backoff_ms: u64,
    /// The longest wait in milliseconds.
    pub backoff_cap_ms: u64,
}

impl Default for Restart {
    /// Never; and, if a policy is set, at most 5 times after 200 ms, 400 ms, ... up to 30 s.
    fn default() -> Self {
        Self {
            policy: RestartPolicy::Never,
            max: 5,
            backoff_ms: 200,
            backoff_cap_ms: 30_000,
        }
    }
}

/// After which ends a seat's process is started again. An end that the host asked for is never followed by a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// None.
    Never,
    /// An exit status other than 0, a signal, a lost keeper, no `ready` in time.
    OnFailure,
    /// Each, status 0 included.
    Always,
}

/// What a seat's process may use. None: as much as the host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessLimits {
    /// Size of the file `stderr.log` in bytes; what the process writes beyond is read and dropped.
    pub stderr_bytes: u64,
    /// Writable private memory of one process, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at a time, at level `uid`: elsewhere the kernel would count the host's too.
    pub processes: Option<u64>,
    /// Open files of one process.
    pub files: Option<u64>,
    /// Size of one file in bytes.
    pub file_bytes: Option<u64>,
    /// Processor seconds of one process.
    pub cpu_seconds: Option<u64>,
    /// Bytes in `workspace`, `home` and `tmp` together. Beyond it the seat is stopped.
    pub workspace_bytes: Option<u64>,
    /// Files and folders there. Beyond it the seat is stopped.
    pub workspace_files: Option<u64>,
}

impl Default for ProcessLimits {
    /// Generous: a coding agent that installs packages and runs builds stays below. 1 MiB of stderr.
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            stderr_bytes: 1_048_576,
            memory_bytes: Some(16 * GIB),
            processes: Some(1024),
            files: Some(4096),
            file_bytes: Some(4 * GIB),
            cpu_seconds: None,
            workspace_bytes: Some(8 * GIB),
            workspace_files: Some(500_000),
        }
    }
}
