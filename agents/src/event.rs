//! What the host is told about its agents: messages, faults with whose fault it was, and the state of each process.
//!
//! Must not know how any of it is found out.

use serde::{Deserialize, Serialize};

use crate::protocol::FromAgent;

/// One thing that happened at one seat. Events of a seat arrive in the order in which they happened.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentEvent {
    /// The seat's index, as given to [`crate::Agents::start`].
    pub seat: usize,
    /// What happened.
    pub body: AgentEventBody,
}

/// What happened at a seat.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEventBody {
    /// A process runs and has said nothing yet: the host answers with `hello`.
    Started {
        /// 1 for the first process of the seat, one more after each restart.
        attempt: u32,
    },
    /// A message that keeps the protocol and its limits. `ready` comes once a process, and before all others.
    Message(FromAgent),
    /// Something went wrong. The world and the other seats are not touched by it.
    Fault(Fault),
    /// A line of the talk between an adapter and its program.
    Transcript(Transcript),
    /// What the seat's program has used since the last time.
    Cost(Cost),
    /// The state of the seat's process has changed.
    Status(ProcessStatus),
}

/// A line that an agent's program wrote to its adapter: what a model said, called and was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// What it was.
    pub kind: TranscriptKind,
    /// The words for people, at most about 2,000 characters; empty where there are none.
    pub text: String,
    /// The line as it came, without its newline.
    pub line: String,
}

/// What a line of a transcript was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptKind {
    /// The model's words.
    Text,
    /// What the model thought before its words.
    Thinking,
    /// A tool that the model called.
    ToolCall,
    /// What the tool answered.
    ToolResult,
    /// The end of a turn.
    Result,
    /// Everything else.
    Other,
}

impl TranscriptKind {
    /// The word in recordings and on the feed.
    pub fn as_str(self) -> &'static str {
        match self {
            TranscriptKind::Text => "text",
            TranscriptKind::Thinking => "thinking",
            TranscriptKind::ToolCall => "tool-call",
            TranscriptKind::ToolResult => "tool-result",
            TranscriptKind::Result => "result",
            TranscriptKind::Other => "other",
        }
    }
}

/// What a program says a turn has cost; differences, never totals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cost {
    /// The model's name.
    pub model: String,
    /// Tokens read, without those from the provider's cache.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Money in US dollars, by the program's own price list.
    pub usd: f64,
}

/// One thing that went wrong at a seat, in words that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it was.
    pub kind: FaultKind,
    /// Whose fault it was.
    pub blame: Blame,
    /// What happened, where, and what to do; one line, at most about 500 characters.
    pub detail: String,
}

impl Fault {
    /// A fault of that kind. `detail` says what, where and what to do.
    pub fn new(kind: FaultKind, blame: Blame, detail: impl Into<String>) -> Self {
        Self {
            kind,
            blame,
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} (fault of the {}): {}",
            self.kind.as_str(),
            self.blame.as_str(),
            self.detail
        )
    }
}

/// The kinds of faults. The word on the wire and in recordings is [`FaultKind::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A line that is not JSON (`NaN` and `Infinity` are not JSON either). The line was dropped.
    Garbage,
    /// A line that is not UTF-8. The line was dropped.
    NotUtf8,
    /// JSON, but no message of the protocol: unknown type or key, missing or mistyped field. The line was dropped.
    BadMessage,
    /// A line over [`crate::protocol::LINE_BYTES`]. It was skipped up to its newline.
    TooLong,
    /// The output ended in the middle of a line. The half line was dropped.
    HalfLine,
    /// More than [`crate::protocol::MESSAGES_PER_TICK`] messages or [`crate::protocol::BYTES_PER_TICK`] bytes since the
    /// last observation. The rest was dropped.
    Flood,
    /// A message at the wrong time: before `ready`, or a second `ready`. It was dropped.
    OutOfOrder,
    /// A `thought` or `log` over its limit. It was cut at the limit; the message counts.
    TextCut,
    /// A `remember` over its limit. The state kept before stays.
    RememberTooLarge,
    /// The process closed its output and lives on. It is ended after its grace time.
    Eof,
    /// The process does not read its input: observations were replaced by newer ones before it took them.
    NotReading,
    /// The program could not be started.
    SpawnFailed,
    /// The process ended before the run did.
    Exited,
    /// No `ready` in the time that the cast gives. The process is ended.
    ReadyTimeout,
    /// The keeper of the seat's process was killed. The process tree has been ended with it.
    KeeperLost,
    /// The model could not be reached, refused, or a turn ended in an error. The seat passes.
    ModelError,
    /// A turn was silent for too long and was interrupted.
    Stalled,
    /// The program's version is outside the range that was tested.
    UntestedVersion,
    /// The seat keeps more in its folders than its limits allow. The process is ended.
    OverLimit,
}

impl FaultKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [FaultKind; 19] = [
        FaultKind::Garbage,
        FaultKind::NotUtf8,
        FaultKind::BadMessage,
        FaultKind::TooLong,
        FaultKind::HalfLine,
        FaultKind::Flood,
        FaultKind::OutOfOrder,
        FaultKind::TextCut,
        FaultKind::RememberTooLarge,
        FaultKind::Eof,
        FaultKind::NotReading,
        FaultKind::SpawnFailed,
        FaultKind::Exited,
        FaultKind::ReadyTimeout,
        FaultKind::KeeperLost,
        FaultKind::ModelError,
        FaultKind::Stalled,
        FaultKind::UntestedVersion,
        FaultKind::OverLimit,
    ];

    /// The word for this kind, as it stands in recordings and on the page, for example `half-line`.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Garbage => "garbage",
            FaultKind::NotUtf8 => "not-utf8",
            FaultKind::BadMessage => "bad-message",
            FaultKind::TooLong => "too-long",
            FaultKind::HalfLine => "half-line",
            FaultKind::Flood => "flood",
            FaultKind::OutOfOrder => "out-of-order",
            FaultKind::TextCut => "text-cut",
            FaultKind::RememberTooLarge => "remember-too-large",
            FaultKind::Eof => "eof",
            FaultKind::NotReading => "not-reading",
            FaultKind::SpawnFailed => "spawn-failed",
            FaultKind::Exited => "exited",
            FaultKind::ReadyTimeout => "ready-timeout",
            FaultKind::KeeperLost => "keeper-lost",
            FaultKind::ModelError => "model-error",
            FaultKind::Stalled => "stalled",
            FaultKind::UntestedVersion => "untested-version",
            FaultKind::OverLimit => "over-limit",
        }
    }
}

/// Whose fault something was, so that the right person is asked to mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The agent's own program.
    Agent,
    /// The cast: a wrong command, a missing file.
    Cast,
    /// Formicarium itself.
    Host,
    /// The machine: memory, descriptors, someone outside who sent a signal.
    Machine,
}

impl Blame {
    /// `agent`, `cast`, `host` or `machine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Blame::Agent => "agent",
            Blame::Cast => "cast",
            Blame::Host => "host",
            Blame::Machine => "machine",
        }
    }
}

/// The state of a seat's process, without its reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Asked for, or running and not yet `ready`.
    Starting,
    /// Has answered `hello` with `ready`.
    Ready,
    /// Has acted at least once.
    Running,
    /// Is being ended.
    Terminating,
    /// The process and its whole tree are gone.
    Exited,
}

/// The state of a seat's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "snake_case",
    tag = "phase",
    deny_unknown_fields
)]
pub enum ProcessStatus {
    /// Asked for, or running and not yet `ready`.
    Starting,
    /// Has answered `hello` with `ready`.
    Ready,
    /// Has acted at least once.
    Running,
    /// Is being ended.
    Terminating {
        /// Why, in words.
        reason: String,
    },
    /// The process and its whole tree are gone.
    Exited {
        /// Why, in words.
        reason: String,
        /// Whose fault it was; none when it ended as it should.
        blame: Option<Blame>,
        /// Whether another process takes the seat after the back-off time.
        will_restart: bool,
    },
}

impl ProcessStatus {
    /// The state without its reasons.
    pub fn phase(&self) -> Phase {
        match self {
            ProcessStatus::Starting => Phase::Starting,
            ProcessStatus::Ready => Phase::Ready,
            ProcessStatus::Running => Phase::Running,
            ProcessStatus::Terminating { .. } => Phase::Terminating,
            ProcessStatus::Exited { .. } => Phase::Exited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_kinds_are_those_of_serde() {
        for kind in FaultKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        for blame in [Blame::Agent, Blame::Cast, Blame::Host, Blame::Machine] {
            assert_eq!(serde_json::to_value(blame).unwrap(), blame.as_str());
        }
    }
}
