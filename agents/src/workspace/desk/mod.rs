//! A seat's desk: its private, writable copy of the shared tree, and what it was in step with.
//!
//! Must not know leases, the journal or how the seat's processes are stopped: the caller freezes and thaws them.
//! Everything on the desk is the agent's to change at any moment, so nothing here trusts a name twice.

mod collect;
mod refresh;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

pub use self::refresh::Refreshed;
use super::guard::FsUser;
use super::scan::{Bounds, Entry, Found, Stamp, Stopped, scan};
use crate::broker::tree::{DIRECTORY, SHARED, names};
use crate::broker::{Limits, Outcome, State, TreePath, Version};
use crate::isolation::Owner;

/// The folder in a workspace in which files are written before they are renamed onto the desk.
pub(super) const STAGING: &str = ".desk";
/// Entries on a desk beyond those that the tree may have: what is not shared lies there too.
const EXTRA_ENTRIES: usize = 10_000;

/// Most folders of earlier desks that are kept beside one.
const MOST_ASIDE: u32 = 1000;

/// Stops and continues whoever may write on the desk.
pub trait Freeze {
    /// Stops them. They stay stopped until `thaw`.
    ///
    /// # Errors
    /// They could not be stopped; nothing is read then.
    fn freeze(&mut self) -> io::Result<()>;
    /// Lets them go on.
    fn thaw(&mut self);
}

/// Nobody is there to be stopped.
impl Freeze for () {
    fn freeze(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn thaw(&mut self) {}
}

/// Frozen until it goes out of scope, whatever happens meanwhile.
struct Frozen<'a>(&'a mut dyn Freeze);

impl<'a> Frozen<'a> {
    fn begin(freeze: &'a mut dyn Freeze) -> Result<Frozen<'a>, DeskError> {
        freeze.freeze().map_err(DeskError::Freeze)?;
        Ok(Frozen(freeze))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.thaw();
    }
}

/// Why a desk could not be made, read or refreshed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The system refused.
    #[error("cannot {what} {}: {errno}; check the rights and the space of the workspace", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The agent has removed or replaced the folder itself.
    #[error("the desk {} is gone or no folder any more; `desk refresh` makes it anew", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// Too much lies there.
    #[error("the desk {} holds more than {entries} files and folders; remove some", path.display())]
    TooMany {
        /// Where.
        path: PathBuf,
        /// The limit.
        entries: usize,
    },
    /// It took too long.
    #[error("the desk {} was not read within {limit:?}; publish a part at a time", path.display())]
    Slow {
        /// Where.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The seat's processes could not be stopped.
    #[error("the seat's processes could not be stopped to read its desk: {0}")]
    Freeze(io::Error),
}

/// Where a desk is and what it may take.
#[derive(Debug, Clone)]
pub struct DeskPlan {
    /// The seat's workspace; the desk is `shared` in it.
    pub workspace: PathBuf,
    /// The folder of the shared tree.
    pub shared: PathBuf,
    /// Whose rights are used; none when all seats share the host's user.
    pub owner: Option<Owner>,
    /// Limits of the tree and of a publish.
    pub limits: Limits,
    /// How long a scan or the reading of changed files may take.
    pub time: Duration,
}

/// A seat's desk.
#[derive(Debug)]
pub struct Desk {
    plan: DeskPlan,
    workspace: OwnedFd,
    staging: OwnedFd,
    shared: OwnedFd,
    entries: BTreeMap<TreePath, Entry>,
    /// What the last collect read, until its outcome is known.
    collected: BTreeMap<TreePath, (State, Option<(Stamp, i128)>)>,
    /// Versions that others published where the agent had a change of its own: tried again at each refresh.
    behind: BTreeMap<TreePath, Version>,
    /// Whether the file system may still turn out to copy by reference.
    reflinks: bool,
    round: u64,
    next_name: u64,
    /// Versions up to this sequence number have been seen.
    sequence: u64,
}

impl Desk {
    /// Makes a desk in a workspace from the versions that stand in the tree. A folder that is there from before is kept
    /// beside it under another name. `sequence` is the last fact that these versions know of.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn make(plan: DeskPlan, present: &[Version], sequence: u64) -> Result<Desk, DeskError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |errno| DeskError::System { what, path, errno }
        };
        let open = |path: &Path, flags| openat(AT_FDCWD, path, flags | DIRECTORY, Mode::empty());
        // With the host's rights: the way to both may be closed to the agent.
        let shared = open(&plan.shared, OFlag::O_PATH).map_err(failed("open", &plan.shared))?;
        let workspace =
            open(&plan.workspace, OFlag::O_PATH).map_err(failed("open", &plan.workspace))?;
        let _user =
            FsUser::enter(plan.owner).map_err(failed("act for the owner of", &plan.workspace))?;
        let at = plan.workspace.join(STAGING);
        match mkdirat(&workspace, STAGING, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("make the folder", &at)(errno)),
        }
        let staging = openat(
            &workspace,
            STAGING,
            OFlag::O_RDONLY | DIRECTORY,
            Mode::empty(),
        )
        .map_err(failed("open the folder", &at))?;
        for name in names(&staging).map_err(failed("read the folder", &at))? {
            let _ = unlinkat(&staging, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
        let mut desk = Desk {
            plan,
            workspace,
            staging,
            shared,
            entries: BTreeMap::new(),
            collected: BTreeMap::new(),
            behind: BTreeMap::new(),
            reflinks: true,
            round: 0,
            next_name: 0,
            sequence: 0,
        };
        desk.lay_out(present, sequence)?;
        Ok(desk)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.plan.workspace.join(SHARED)
    }

    /// Versions up to this sequence number have been seen; a refresh wants those after it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Versions of others that are not on the desk, since the agent has a change of its own there.
    pub fn behind(&self) -> impl Iterator<Item = &Version> {
        self.behind.values()
    }

    /// Whether there are any.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    fn system(&self, what: &'static str, at: &str, errno: Errno) -> DeskError {
        DeskError::System {
            what,
            path: self.path().join(at),
            errno,
        }
    }

    fn user(&self) -> Result<FsUser, DeskError> {
        FsUser::enter(self.plan.owner)
            .map_err(|errno| self.system("act for the owner of", "", errno))
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            entries: self.plan.limits.entries + EXTRA_ENTRIES,
            until: Instant::now() + self.plan.time,
            owner: self.plan.owner,
        }
    }

    /// A fresh folder with everything in it; one that is there is moved aside.
    fn lay_out(&mut self, present: &[Version], sequence: u64) -> Result<(), DeskError> {
        for n in 0..=MOST_ASIDE {
            let aside = match n {
                0 => format!("{SHARED}.old"),
                n => format!("{SHARED}.old-{n}"),
            };
            if fstatat(
                &self.workspace,
                aside.as_str(),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )
            .is_ok()
            {
                continue;
            }
            if n == MOST_ASIDE {
                return Err(self.system("find a free name to move aside", "", Errno::EEXIST));
            }
            match renameat(&self.workspace, SHARED, &self.workspace, aside.as_str()) {
                Ok(()) | Err(Errno::ENOENT) => break,
                Err(errno) => return Err(self.system("move aside", "", errno)),
            }
        }
        mkdirat(&self.workspace, SHARED, Mode::from_bits_truncate(0o755))
            .map_err(|errno| self.system("make the folder", "", errno))?;
        self.entries.clear();
        self.collected.clear();
        self.behind.clear();
        let root = self.root()?;
        for version in present {
            self.bring(&root, version)?;
        }
        self.sequence = sequence;
        Ok(())
    }

    fn root(&self) -> Result<OwnedFd, DeskError> {
        openat(
            &self.workspace,
            SHARED,
            OFlag::O_RDONLY | DIRECTORY,
            Mode::empty(),
        )
        .map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => DeskError::Gone { path: self.path() },
            errno => self.system("open", "", errno),
        })
    }

    fn scan(&mut self, root: &OwnedFd) -> Result<Found, DeskError> {
        self.round += 1;
        let bounds = self.bounds();
        scan(root, &mut self.entries, self.round, bounds).map_err(|stopped| match stopped {
            Stopped::Entries => DeskError::TooMany {
                path: self.path(),
                entries: bounds.entries,
            },
            Stopped::Time => self.slow(),
            Stopped::System(errno) => self.system("read", "", errno),
        })
    }

    fn slow(&self) -> DeskError {
        DeskError::Slow {
            path: self.path(),
            limit: self.plan.time,
        }
    }

    /// Takes in what became of the last collect: what was published is no change any more.
    pub fn settle(&mut self, outcome: &Outcome) {
        let collected = std::mem::take(&mut self.collected);
        if !outcome.is_published() {
            return;
        }
        let version_of: HashMap<&TreePath, u64> = outcome
            .versions
            .iter()
            .map(|version| (&version.path, version.sequence))
            .collect();
        for (path, (state, stamp)) in collected {
            self.behind.remove(&path);
            if state == State::Absent {
                self.entries.remove(&path);
                continue;
            }
            let version = version_of.get(&path).copied();
            let entry = Entry {
                version: version.or_else(|| self.entries.get(&path).and_then(|e| e.version)),
                state,
                stamp,
                seen: self.round,
            };
            self.entries.insert(path, entry);
        }
    }

    /// Says that what is on the desk at a path is meant to follow this version: the agent has looked at it after a
    /// collision and brought both together. The next publish goes over it, and over nothing newer.
    pub fn resolve(&mut self, version: &Version) {
        let newer = |behind: &Version| behind.sequence > version.sequence;
        if !self.behind.get(&version.path).is_some_and(newer) {
            self.behind.remove(&version.path);
        }
        if version.state == State::Absent {
            self.entries.remove(&version.path);
            return;
        }
        let entry = Entry {
            version: Some(version.sequence),
            state: version.state,
            stamp: None,
            seen: self.round,
        };
        self.entries.insert(version.path.clone(), entry);
    }
}
