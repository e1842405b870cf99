//! The recording: `run.db`, the one file from which a run replays.
//!
//! One writer thread owns the only writing connection (`writer`); readers open the file read-only
//! (`reader`, and `versions` for the shared tree); `replay` re-executes and compares; `export` writes
//! a shared tree to a folder. Knows the engine's data types; must not know agent processes, the feed
//! or the command line.

pub mod ancestry;
pub mod chain;
pub mod diff;
pub mod export;
pub mod files;
pub mod fingerprint;
pub mod fork;
pub mod pace;
pub mod reader;
pub mod replay;
pub mod rows;
pub mod schema;
pub mod seal;
pub mod sealed;
pub mod seek;
pub mod tables;
pub mod verify;
pub mod versions;
pub mod workspaces;
pub mod writer;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a run is made of besides its inputs; stored once in table `meta` under the key `run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMeta {
    /// Identifier of the run; also the name of its folder unless `--out` chose another.
    pub run: String,
    /// The scenario's `name`.
    pub scenario: String,
    /// BLAKE3 of the scenario's bundle, hexadecimal.
    pub scenario_digest: String,
    /// Seed of every random stream of the world.
    pub seed: u64,
    /// Parameter overrides as given by `--set`, in order.
    pub set: Vec<(String, String)>,
    /// `lockstep` or `realtime`.
    pub mode: String,
    /// Ticks a second in `realtime`.
    pub hz: f64,
    /// Last tick of the run; 0 = no end.
    pub ticks: u64,
    /// The cast's name.
    pub cast: String,
    /// Isolation level that the seats' processes ran under.
    pub isolation: String,
    /// `process` (survives a kill of the host) or `power` (survives a power cut).
    pub durability: String,
    /// `formicarium_engine::SEMANTICS` of the recording host.
    pub semantics: u32,
    /// Version of the host that recorded.
    pub host_version: String,
    /// Start of the run, seconds since 1970 (UTC). Provenance only; no input of the world.
    pub started_unix: u64,
    /// Seats in the scenario's order.
    pub seats: Vec<SeatMeta>,
    /// Names of the hashed parts of the world, in the order of `ticks.parts`.
    pub parts: Vec<String>,
    /// Names of the metrics.
    pub metrics: Vec<String>,
    /// Where it comes from; recordings of early hosts do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Where the run branched off another; none for one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// What was asked of the host, so that another can go on as this one did.
    #[serde(default)]
    pub options: RunOptions,
}

/// The run that a fork branched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub run: String,
    /// The last tick that both have.
    pub tick: u64,
    /// The world's hash at that tick.
    pub hash: String,
    /// What the fork has of its rows; forks of early hosts do not say, and have them in their own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Inherited>,
    /// What was made other there.
    #[serde(default, skip_serializing_if = "Changes::is_nothing")]
    pub changes: Changes,
}

/// What is other from a tick on, by the hand of whoever runs the host. It enters the next input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Parameters: name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Seats that are told something, and what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub say: Vec<(String, String)>,
    /// Seats that have another agent, and which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seated: Vec<(String, String)>,
}

impl Changes {
    /// Whether there are none.
    pub fn is_nothing(&self) -> bool {
        *self == Changes::default()
    }
}

/// What a fork has of the rows of its parent, and of those before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// The parent's folder when the fork was made, absolute.
    pub path: String,
    /// The parent's folder from the fork's, so that both may move together.
    pub near: String,
    /// The last block of the parent's chain up to the tick.
    pub block: i64,
    /// Its digest.
    pub block_digest: String,
    /// By table, the key of the last row that the fork has; tables of which it has none are left out.
    pub to: std::collections::BTreeMap<String, i64>,
    /// BLAKE3 over all these rows; the fork's chain goes on from it.
    pub digest: String,
    /// Whether they stand in the fork's own file; else the parent is needed.
    pub copied: bool,
}

/// What a run was asked for besides its scenario, seed and parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunOptions {
    /// The cast's name; none for the scenario's own, or where every seat was given.
    pub cast: Option<String>,
    /// Seats that were given before the cast; the first that matches counts.
    pub agents: Vec<Given>,
    /// Longest wait of a lockstep tick, in milliseconds; none: as cast or scenario say.
    pub deadline_ms: Option<u64>,
    /// Last tick; none: as the scenario says.
    pub ticks: Option<u64>,
    /// The scenario's folder, from which the programs of its casts were copied; none for a shipped one.
    pub folder: Option<PathBuf>,
}

/// Seats that were given on a command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// `SEATS=COMMAND`.
    pub agent: String,
    /// The folder that its relative paths mean.
    pub from: PathBuf,
}

impl Given {
    /// As they are given in the present folder.
    pub fn here(agents: impl IntoIterator<Item = String>) -> impl Iterator<Item = Given> {
        let from = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        agents.into_iter().map(move |agent| Given {
            agent,
            from: from.clone(),
        })
    }
}

/// Where a run comes from, besides what the world is made of. No input of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// BLAKE3 of the cast's text and of each `--agent`, hexadecimal.
    pub cast_digest: String,
    /// BLAKE3 of the host's executable file, hexadecimal; empty if it could not be read.
    pub host_digest: String,
    /// The scenario's parameters with their values, those that `set` left alone too.
    pub params: serde_json::Value,
}

/// One seat and who sat on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeatMeta {
    /// The seat's name.
    pub seat: String,
    /// The seat's group in the scenario.
    pub group: String,
    /// What the cast put there: a command line or `builtin:...`.
    pub agent: String,
    /// The session of the agent's own program, if the host chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The session of another run that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_from: Option<String>,
}

/// How a run ended; stored in table `meta` under the key `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Why, in words: `ticks reached`, the scenario's own end, `interrupted`...
    pub reason: String,
    /// Number of steps done.
    pub ticks: u64,
    /// World hash after the last step, hexadecimal.
    pub hash: String,
    /// Final score of each seat.
    pub scores: Vec<f64>,
    /// Final status of each seat.
    pub status: Vec<String>,
}

/// Something about a seat that is no input of the world: a thought, a log line, a fault, a change
/// of status, a message refused at the door.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// World tick at which it came.
    pub tick: u64,
    /// The seat's index; none for the run as a whole.
    pub seat: Option<u32>,
    /// `thought`, `log`, `fault`, `status`, `rejected`, `budget`, `answer`.
    pub kind: &'static str,
    /// The words.
    pub text: String,
    /// More, as JSON object text; empty for none.
    pub data: String,
}

/// A line of the conversation between a seat's adapter and its program.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscriptRow {
    /// World tick at which it came.
    pub tick: u64,
    /// The seat's index.
    pub seat: u32,
    /// `text`, `thinking`, `tool-call`, `tool-result`, `result`, `other`.
    pub kind: &'static str,
    /// Words for people; empty for none.
    pub text: String,
    /// The line as it came.
    pub line: String,
}

/// What a seat has used: a request at the model door, or a turn as the agent's program counts it.
#[derive(Debug, Clone, PartialEq)]
pub struct CostRow {
    /// World tick at which it was known.
    pub tick: u64,
    /// The seat's index.
    pub seat: u32,
    /// `call` or `turn`.
    pub source: &'static str,
    /// The model's name.
    pub model: String,
    /// How a call ended: `complete`, `client-left`, `upstream-failed`, `refused`, `stopped`.
    pub outcome: &'static str,
    /// HTTP status of a call.
    pub status: Option<u16>,
    /// Tokens read, without cached ones.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// US dollars of a turn, by the program's own price list.
    pub usd: Option<f64>,
    /// Milliseconds that a call took.
    pub ms: Option<u64>,
}

/// What went wrong with a recording.
#[derive(Debug, Error)]
pub enum RecorderError {
    /// The database refused.
    #[error("the recording {path}: {source}", path = .path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// Not a recording of ours.
    #[error("{path} is not a Formicarium recording: {why}", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How it was seen.
        why: String,
    },
    /// A recording of a later format.
    #[error("{path} has recording format {found}; this host reads format {known}. Use a newer formicarium.", path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A row that is not what was written.
    #[error("the recording {path} is damaged at tick {tick}: {why}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Tick of the row.
        tick: u64,
        /// How it was seen.
        why: String,
    },
    /// A fork without what it has from its parent.
    #[error("{path} has the history of run {run} up to tick {tick} by reference, but {why}", path = .path.display())]
    Parent {
        /// The fork's file.
        path: PathBuf,
        /// The parent's id.
        run: String,
        /// Where it branched off.
        tick: u64,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A recording that nobody writes any more.
    #[error("{path} is sealed: it is only read. To go on from it, branch off: formicarium fork RUN --at TICK", path = .path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The writer thread is gone.
    #[error("the recorder has stopped: {0}")]
    Stopped(String),
}

/// Check value of an input row: XXH3-64 over the tick (8 bytes, little-endian) and the body.
pub fn input_check(tick: u64, body: &[u8]) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&tick.to_le_bytes());
    hasher.update(body);
    format!("{:016x}", hasher.digest())
}

/// Hexadecimal form of a world hash, 32 digits.
pub fn hash_text(hash: u128) -> String {
    format!("{hash:032x}")
}
