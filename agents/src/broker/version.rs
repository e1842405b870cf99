//! What the journal holds: contents by their hash, versions of paths, refusals, and facts about leases.
//!
//! Data only. Every fact has a sequence number; they rise by one through a run, so that a reader knows what is new.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::lease::{Lease, Scope};
use super::path::TreePath;

/// The BLAKE3 hash of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// Hashes a content.
    pub fn of(content: &[u8]) -> ContentHash {
        ContentHash(*blake3::hash(content).as_bytes())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ContentHash> for String {
    fn from(hash: ContentHash) -> String {
        hash.to_string()
    }
}

impl TryFrom<String> for ContentHash {
    type Error = String;

    fn try_from(text: String) -> Result<ContentHash, String> {
        blake3::Hash::from_hex(&text)
            .map(|hash| ContentHash(*hash.as_bytes()))
            .map_err(|error| format!("{text:?} is no BLAKE3 hash: {error}"))
    }
}

impl Serialize for TreePath {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<TreePath, D::Error> {
        let text = String::deserialize(from)?;
        TreePath::new(&text).map_err(|e| serde::de::Error::custom(format!("path {text:?}: {e}")))
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum State {
    /// Nothing.
    Absent,
    /// A folder.
    Dir,
    /// A regular file.
    File {
        /// Its content.
        hash: ContentHash,
        /// How long it is.
        bytes: u64,
        /// Whether it may be executed.
        executable: bool,
    },
}

impl State {
    /// The content, if it is a file.
    pub fn hash(&self) -> Option<ContentHash> {
        match self {
            State::File { hash, .. } => Some(*hash),
            State::Absent | State::Dir => None,
        }
    }

    /// Bytes of the content.
    pub fn bytes(&self) -> u64 {
        match self {
            State::File { bytes, .. } => *bytes,
            State::Absent | State::Dir => 0,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Absent => f.write_str("nothing"),
            State::Dir => f.write_str("a folder"),
            State::File { bytes, .. } => write!(f, "a file of {bytes} bytes"),
        }
    }
}

/// One version of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its place in the order of all facts.
    pub sequence: u64,
    /// The path.
    pub path: TreePath,
    /// Its number among the versions of this path, from 1: `chapter-1.md@3`.
    pub number: u64,
    /// What stands there.
    pub state: State,
    /// Who published it; none for the host (the scenario's initial tree).
    pub seat: Option<String>,
    /// The tick in which it was published.
    pub tick: u64,
    /// The version of this path that it took the place of.
    pub parent: Option<u64>,
    /// The version of another path that was renamed to this one.
    pub from: Option<u64>,
    /// The content as the seat had written it, when this version is a merge of that with its parent.
    pub merged: Option<ContentHash>,
    /// The fencing token under which it was published; none without a lease.
    pub token: Option<u64>,
}

/// Why a path was not published, as a word for rules and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Another seat holds a lease.
    Leased,
    /// The token is over, another's, or missing.
    Token,
    /// Others changed it in between, and the changes collide.
    Conflict,
    /// The base is no version of this path.
    Base,
    /// A file where a folder has to be, or the other way round.
    Kind,
    /// Over a limit.
    Limit,
    /// A name that the tree does not take.
    Name,
    /// Not a plain file or folder.
    Special,
    /// It could not be read, or changed while it was read.
    Unreadable,
    /// Nothing is wrong with it, but with another path of the same publish.
    Together,
}

impl Reason {
    /// The word in recordings and for agents.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Leased => "leased",
            Reason::Token => "token",
            Reason::Conflict => "conflict",
            Reason::Base => "base",
            Reason::Kind => "kind",
            Reason::Limit => "limit",
            Reason::Name => "name",
            Reason::Special => "special",
            Reason::Unreadable => "unreadable",
            Reason::Together => "together",
        }
    }
}

/// A path that was not published. The content that was refused is kept, unless it was refused for its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its place in the order of all facts.
    pub sequence: u64,
    /// The path as text: it may be one that the tree does not take.
    pub path: String,
    /// Whose publish it was.
    pub seat: Option<String>,
    /// The tick in which it was refused.
    pub tick: u64,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, and what to do, in a sentence.
    pub why: String,
    /// What the seat wanted to stand there; the content of a file can be fetched by its hash.
    pub wanted: Option<State>,
    /// The version that the seat had started from.
    pub base: Option<u64>,
    /// The version that stands there.
    pub current: Option<u64>,
    /// Who has the lease that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// Its time was over.
    Expired,
    /// Its holder gave it back.
    Released,
    /// Its holder's process ended.
    HolderGone,
    /// The host was started anew: no holder's process outlives the host.
    Restart,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum LeaseChange {
    /// It began.
    Granted {
        /// For how long, in milliseconds.
        ttl_ms: u64,
    },
    /// Its end was put off.
    Renewed {
        /// For how long from then, in milliseconds.
        ttl_ms: u64,
    },
    /// It ended.
    Ended {
        /// How.
        how: LeaseEnd,
    },
}

/// A fact about a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseFact {
    /// Its place in the order of all facts.
    pub sequence: u64,
    /// The tick in which it happened.
    pub tick: u64,
    /// The lease's fencing token.
    pub token: u64,
    /// What it covers.
    pub scope: Scope,
    /// Who holds it.
    pub seat: String,
    /// What became of it.
    pub change: LeaseChange,
}

impl LeaseFact {
    pub(super) fn new(sequence: u64, tick: u64, lease: &Lease, change: LeaseChange) -> LeaseFact {
        LeaseFact {
            sequence,
            tick,
            token: lease.token,
            scope: lease.scope.clone(),
            seat: lease.seat.clone(),
            change,
        }
    }
}

/// Something that happened at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// A path has a new version.
    Version(Version),
    /// A path was not published.
    Refusal(Refusal),
    /// A lease began, was renewed or ended.
    Lease(LeaseFact),
}

impl Fact {
    /// Its place in the order of all facts.
    pub fn sequence(&self) -> u64 {
        match self {
            Fact::Version(version) => version.sequence,
            Fact::Refusal(refusal) => refusal.sequence,
            Fact::Lease(lease) => lease.sequence,
        }
    }
}
