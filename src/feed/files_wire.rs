//! The shared files as they stand in frames, by column. Shapes only: no state, no sockets.

use serde::Serialize;

/// Key `files` of a snapshot: all of it.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct FilesSnapshot {
    /// Paths with their newest versions.
    pub paths: PathColumns,
    /// Leases that are held.
    pub leases: LeaseColumns,
    /// Seats that wait for one.
    pub waiting: WaitColumns,
    /// Counts of all, shown or not.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Key `files` of a tick: what changed.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct FilesTick {
    /// Paths that are new or changed.
    #[serde(skip_serializing_if = "PathColumns::is_empty")]
    pub upd: PathColumns,
    /// Paths that are not shown any more, since others changed after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub del: Vec<String>,
    /// All leases, if any has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leases: Option<LeaseColumns>,
    /// All that wait, if any has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitColumns>,
    /// Counts of all, shown or not.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Counts that frames always have in full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Files in the tree.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Leases that are held.
    pub held: u64,
    /// Seats that wait for a lease, each as often as it waits.
    pub waits: u64,
    /// Versions that seats have published so far.
    pub published: u64,
    /// Refusals so far.
    pub refused: u64,
}

/// Paths by column.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct PathColumns {
    /// Relative to the tree, `/` between the parts.
    pub path: Vec<String>,
    /// Number of the newest version, from 1.
    pub version: Vec<u64>,
    /// See [`Standing`].
    pub kind: Vec<u8>,
    /// Bytes; 0 for what is no file.
    pub bytes: Vec<u64>,
    /// Who published it; -1 the host.
    pub seat: Vec<i64>,
    /// In which tick.
    pub tick: Vec<u64>,
}

impl PathColumns {
    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// Nothing: it was deleted.
    Gone = 0,
    /// A file.
    File = 1,
    /// A file that may be executed.
    Program = 2,
    /// A folder.
    Folder = 3,
}

/// Leases by column.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct LeaseColumns {
    /// Fencing tokens, rising.
    pub token: Vec<u64>,
    /// What each covers; empty for the whole tree.
    pub path: Vec<String>,
    /// 1: and all that lies below it.
    pub subtree: Vec<u8>,
    /// Who holds it.
    pub seat: Vec<u32>,
    /// The tick in which it began.
    pub since: Vec<u64>,
    /// When it ends unless it is prolonged, in milliseconds since 1970 by the host's clock.
    pub until_ms: Vec<u64>,
}

/// Waiting seats by column.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct WaitColumns {
    /// What is waited for; empty for the whole tree.
    pub path: Vec<String>,
    /// 1: and all that lies below it.
    pub subtree: Vec<u8>,
    /// Who waits.
    pub seat: Vec<u32>,
    /// The tick in which it asked first.
    pub since: Vec<u64>,
}
