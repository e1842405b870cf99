//! A publish as a desk hands it over, and what it may measure.
//!
//! Data only. Whether it may be is decided in `check`.

use std::sync::Arc;

use super::path::TreePath;
use super::version::{ContentHash, Reason, State};

/// What a tree and a publish may measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders in the tree.
    pub entries: usize,
    /// Bytes of all files in the tree.
    pub tree_bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Paths in one publish.
    pub changes: usize,
    /// Bytes of all files in one publish.
    pub publish_bytes: u64,
    /// Bytes of all contents that a seat publishes, or tries to, while one host runs: the journal keeps every one of them.
    pub kept_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 10_000,
            tree_bytes: 256 * 1024 * 1024,
            file_bytes: 16 * 1024 * 1024,
            changes: 2_000,
            publish_bytes: 64 * 1024 * 1024,
            kept_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What a seat wants to stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing.
    Absent,
    /// A folder.
    Dir,
    /// A file.
    File {
        /// Its content.
        content: Arc<[u8]>,
        /// Its hash.
        hash: ContentHash,
        /// Whether it may be executed.
        executable: bool,
    },
}

impl Wanted {
    /// A file of this content.
    pub fn file(content: impl Into<Arc<[u8]>>, executable: bool) -> Wanted {
        let content = content.into();
        let hash = ContentHash::of(&content);
        Wanted::File {
            content,
            hash,
            executable,
        }
    }

    /// The same without the content.
    pub fn state(&self) -> State {
        match self {
            Wanted::Absent => State::Absent,
            Wanted::Dir => State::Dir,
            Wanted::File {
                content,
                hash,
                executable,
            } => State::File {
                hash: *hash,
                bytes: content.len() as u64,
                executable: *executable,
            },
        }
    }
}

/// What a desk started from at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The version; none when the desk knew of none.
    pub version: Option<u64>,
    /// What stood on the desk. After a merge that is what the seat had written, not yet the merged version.
    pub state: State,
}

impl Base {
    /// A path of which the desk knew nothing.
    pub const NONE: Base = Base {
        version: None,
        state: State::Absent,
    };
}

/// One path of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: TreePath,
    /// What shall stand there.
    pub wanted: Wanted,
    /// What the desk started from.
    pub base: Base,
    /// The version of another path that was renamed to this.
    pub from: Option<u64>,
}

/// Something on a desk that cannot be shared. It holds up nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unshared {
    /// The path as text.
    pub path: String,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, in a sentence.
    pub why: String,
}

/// What a seat hands over: all of it is published, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// Who; none for the host.
    pub seat: Option<String>,
    /// In which tick.
    pub tick: u64,
    /// The fencing tokens under which it publishes.
    pub tokens: Vec<u64>,
    /// What has changed.
    pub changes: Vec<Change>,
    /// What cannot be shared.
    pub unshared: Vec<Unshared>,
}

impl Publish {
    /// Whether there is nothing to say: the broker need not be asked.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.unshared.is_empty()
    }
}
