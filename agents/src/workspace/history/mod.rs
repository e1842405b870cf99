//! What has become of a seat's own files since they were last looked at, so that a recording has them.
//!
//! A look walks `workspace` and `home`, reads what has another stamp, and says what is other by content. The desk is not a
//! part of it: the shared tree has versions of its own. Must not know ticks, nor where changes are kept.
//!
//! * `walk`: one look
//! * `watch`: why most looks need no walk
//! * [`restore`]: the way back

pub mod restore;
mod walk;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

use self::walk::{Bounds, Entry, Walk};
use self::watch::Watch;
use super::Workspace;
use super::guard::FsUser;
use crate::broker::ContentHash;
use crate::broker::tree::DIRECTORY;
use crate::isolation::Owner;

/// Largest file that is kept, in bytes.
pub const FILE_BYTES: u64 = 16 << 20;
/// Bytes of new content that one look takes in.
pub const LOOK_BYTES: u64 = 64 << 20;
/// Files, links and folders of a seat that are looked at.
pub const ENTRIES: usize = 20_000;
/// How long one look may take.
pub const LOOK_TIME: Duration = Duration::from_secs(2);
/// Folders that are left out wherever they lie: what can be made again, and is large.
pub const IGNORED: [&str; 12] = [
    "node_modules",
    "target",
    "__pycache__",
    ".venv",
    "venv",
    ".cache",
    ".npm",
    ".cargo",
    ".rustup",
    ".gradle",
    ".mypy_cache",
    ".pytest_cache",
];
/// Looks after which a seat is walked through although nothing was reported: stores through mappings raise no event.
const UNREPORTED: u32 = 64;

/// What became of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `workspace/...` or `home/...`, `/` between the parts.
    pub path: String,
    /// What stands there now.
    pub now: Now,
}

impl Change {
    /// A whole file.
    pub fn file(path: String, content: Vec<u8>) -> Change {
        let now = Now::File {
            hash: ContentHash::of(&content),
            bytes: content.len() as u64,
            executable: false,
            base: None,
            rest: content,
        };
        Change { path, now }
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// A folder.
    Dir,
    /// A regular file.
    File {
        /// BLAKE3 of all its bytes.
        hash: ContentHash,
        /// How many.
        bytes: u64,
        /// Its owner may execute it.
        executable: bool,
        /// The content that it goes on from; none: from nothing.
        base: Option<ContentHash>,
        /// What follows that.
        rest: Vec<u8>,
    },
    /// A symbolic link, and where it leads.
    Link(String),
    /// Nothing any more.
    Gone,
    /// Something that is not kept, and why not.
    LeftOut(String),
}

/// A seat's own files as they were last seen.
#[derive(Debug)]
pub struct History {
    /// Name and folder of each part.
    parts: [(&'static str, PathBuf); 2],
    owner: Option<Owner>,
    entries: BTreeMap<String, Entry>,
    round: u64,
    unreported: u32,
}

impl History {
    /// Of a seat whose files were last seen as `known`: the hash of each file by its path.
    pub fn new(at: &Workspace, owner: Option<Owner>, known: Vec<(String, Seen)>) -> History {
        History {
            parts: [
                ("workspace", at.workspace.clone()),
                ("home", at.home.clone()),
            ],
            owner,
            entries: known
                .into_iter()
                .map(|(path, seen)| (path, Entry::of(seen)))
                .collect(),
            round: 0,
            unreported: 0,
        }
    }
}

/// What was seen at a path, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A folder.
    Dir,
    /// A file.
    File {
        /// BLAKE3 of its bytes.
        hash: ContentHash,
        /// How many.
        bytes: u64,
        /// Its owner may execute it.
        executable: bool,
    },
    /// A link.
    Link(String),
}

/// The files of all seats of a run.
#[derive(Debug)]
pub struct Histories {
    seats: BTreeMap<usize, History>,
    watch: Watch,
}

impl Histories {
    /// Of these seats.
    pub fn new(seats: BTreeMap<usize, History>) -> Histories {
        Histories {
            seats,
            watch: Watch::new(),
        }
    }

    /// Looks at a seat's files; what has changed, in the order of the paths. Waits for the disk.
    pub fn look(&mut self, seat: usize) -> Vec<Change> {
        let Some(history) = self.seats.get_mut(&seat) else {
            return Vec::new();
        };
        let quiet = !self.watch.is_touched(seat) && history.round > 0;
        history.unreported = if quiet { history.unreported + 1 } else { 0 };
        if quiet && history.unreported < UNREPORTED {
            return Vec::new();
        }
        history.unreported = 0;
        self.watch.begin(seat);
        history.walk(seat, &mut self.watch)
    }
}

impl History {
    fn walk(&mut self, seat: usize, watch: &mut Watch) -> Vec<Change> {
        self.round += 1;
        let open = |(name, path): &(&'static str, PathBuf)| {
            let flags = OFlag::O_RDONLY | DIRECTORY;
            (*name, openat(AT_FDCWD, path, flags, Mode::empty()))
        };
        // With the host's rights: the way there may be closed to the agent. What lies in them is read with the agent's.
        let parts = self.parts.each_ref().map(open);
        let Ok(_user) = FsUser::enter(self.owner) else {
            return Vec::new();
        };
        let mut walk = Walk::new(
            &mut self.entries,
            self.round,
            Bounds::default(),
            (seat, watch),
        );
        for (name, opened) in parts {
            match opened {
                Ok(fd) => walk.part(&fd, name),
                // The agent has removed it, or put something else there: all that was in it is gone.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => walk.cut(name, &format!("it cannot be read ({})", errno.desc())),
            }
        }
        walk.finish()
    }
}

#[cfg(test)]
mod tests;
