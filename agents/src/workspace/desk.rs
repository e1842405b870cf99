//! A seat's desk: its private, writable copy of the shared tree, and what it was in step with.
//!
//! Must not know leases, the journal or how the seat's processes are stopped: the caller freezes and thaws them.
//! Everything on the desk is the agent's to change at any moment, so nothing here trusts a name twice.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::guard::{FsUser, Owner, reflink};
use super::scan::{Bounds, Candidate, Entry, Found, Stamp, Stopped, now_ns, scan, unreadable};
use crate::broker::tree::{
    DIRECTORY, SHARED, beneath, file_mode, is_dir, is_file, names, write_new,
};
use crate::broker::{
    Base, Change, ContentHash, Limits, Outcome, Publish, Reason, State, TreePath, Unshared,
    Version, Wanted,
};

/// The folder in a workspace in which files are written before they are renamed onto the desk.
const STAGING: &str = ".desk";
/// How often a file that changes while it is read is read again.
const READS: usize = 3;
/// Entries on a desk beyond those that the tree may have: what is not shared lies there too.
const EXTRA_ENTRIES: usize = 10_000;

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

/// What a refresh did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Paths that are now as in the shared tree.
    pub updated: Vec<TreePath>,
    /// Paths that others changed, and the agent too: they stay as they are.
    pub kept: Vec<TreePath>,
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
        for n in 0.. {
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

    /// Collects what has changed, all of it or what lies at or below `only`. The seat is frozen only if something may
    /// have changed, and only while that is read. Seat, tick and tokens are the caller's to add. Its outcome has to be
    /// told by [`Desk::settle`].
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn collect(
        &mut self,
        only: Option<&[TreePath]>,
        freeze: &mut dyn Freeze,
    ) -> Result<Publish, DeskError> {
        let _user = self.user()?;
        self.collected.clear();
        let root = self.root()?;
        let first = self.scan(&root)?;
        if first.candidates.is_empty() {
            return Ok(Publish {
                unshared: first.unshared,
                ..Publish::default()
            });
        }
        let frozen = Frozen::begin(freeze)?;
        // What was found may have gone on changing until now.
        let found = self.scan(&root)?;
        let mut publish = Publish {
            unshared: found.unshared,
            ..Publish::default()
        };
        let until = Instant::now() + self.plan.time;
        let mut bytes = 0;
        for (path, candidate) in found.candidates {
            let asked = |o: &TreePath| path == *o || path.is_below(o) || o.is_below(&path);
            if only.is_some_and(|only| !only.iter().any(asked)) {
                continue;
            }
            if Instant::now() > until {
                return Err(self.slow());
            }
            let wanted = match candidate {
                Candidate::Gone => Ok(Some((Wanted::Absent, None))),
                Candidate::Dir => Ok(Some((Wanted::Dir, None))),
                Candidate::File(stamp) => self.read(&root, &path, stamp, bytes),
            };
            match wanted {
                Ok(None) => {}
                Ok(Some((wanted, stamp))) => {
                    bytes += wanted.state().bytes();
                    self.collected.insert(path.clone(), (wanted.state(), stamp));
                    let entry = self.entries.get(&path);
                    publish.changes.push(Change {
                        base: entry.map_or(Base::NONE, |entry| Base {
                            version: entry.version,
                            state: entry.state,
                        }),
                        path,
                        wanted,
                        from: None,
                    });
                }
                Err((reason, why)) => publish.unshared.push(Unshared {
                    path: path.to_string(),
                    reason,
                    why,
                }),
            }
        }
        drop(frozen);
        self.link_renames(&mut publish.changes);
        Ok(publish)
    }

    /// Reads a candidate. None when it is what it was.
    #[expect(clippy::type_complexity, reason = "one use")]
    fn read(
        &mut self,
        root: &OwnedFd,
        path: &TreePath,
        stamp: Stamp,
        bytes: u64,
    ) -> Result<Option<(Wanted, Option<(Stamp, i128)>)>, (Reason, String)> {
        let limits = &self.plan.limits;
        if stamp.bytes > limits.file_bytes || bytes + stamp.bytes > limits.publish_bytes {
            let why = format!(
                "it has {} bytes; a file may have {}, and a publish {} in all",
                stamp.bytes, limits.file_bytes, limits.publish_bytes
            );
            return Err((Reason::Limit, why));
        }
        for _ in 0..READS {
            let taken_ns = now_ns();
            let read = read_file(root, path, limits.file_bytes);
            let (stamp, content) = match read.map_err(|e| (Reason::Unreadable, unreadable(e)))? {
                Some(read) => read,
                None => continue,
            };
            let wanted = Wanted::file(content, stamp.is_executable());
            if let Some(entry) = self.entries.get_mut(path)
                && entry.state == wanted.state()
            {
                entry.stamp = Some((stamp, taken_ns));
                return Ok(None);
            }
            return Ok(Some((wanted, Some((stamp, taken_ns)))));
        }
        let why = "it changed while it was read; publish again when it is at rest".to_owned();
        Err((Reason::Unreadable, why))
    }

    /// A file that came where another with the same inode or content went was renamed.
    fn link_renames(&self, changes: &mut [Change]) {
        let (mut inodes, mut hashes) = (HashMap::new(), HashMap::new());
        for change in changes.iter().filter(|c| c.wanted == Wanted::Absent) {
            let Some(entry) = self.entries.get(&change.path) else {
                continue;
            };
            if let (Some(hash), Some(version)) = (entry.state.hash(), entry.version) {
                inodes.extend(entry.stamp.map(|(stamp, _)| (stamp.inode, version)));
                hashes.insert(hash, version);
            }
        }
        for change in changes.iter_mut() {
            let Wanted::File { hash, .. } = &change.wanted else {
                continue;
            };
            if change.base.state == State::Absent {
                let stamp = self
                    .collected
                    .get(&change.path)
                    .and_then(|(_, stamp)| *stamp);
                let by_inode = stamp.and_then(|(stamp, _)| inodes.get(&stamp.inode));
                change.from = by_inode.or_else(|| hashes.get(hash)).copied();
            }
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

    /// Brings in what others have published: the newest versions after [`Desk::sequence`], the oldest first; `sequence`
    /// is the last fact that they know of. Paths that the agent has changed itself stay, and so does their base, so that
    /// a publish merges or is refused. A desk that is gone is made anew from `present`, all that stands in the tree.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn refresh(
        &mut self,
        changed: &[Version],
        present: impl FnOnce() -> Vec<Version>,
        sequence: u64,
        freeze: &mut dyn Freeze,
    ) -> Result<Refreshed, DeskError> {
        let _user = self.user()?;
        let mut done = Refreshed::default();
        let root = match self.root() {
            Err(DeskError::Gone { .. }) => {
                let present = present();
                self.lay_out(&present, sequence)?;
                done.updated = present.into_iter().map(|v| v.path).collect();
                return Ok(done);
            }
            other => other?,
        };
        let mut frozen = None;
        let mut freeze = Some(freeze);
        let behind = std::mem::take(&mut self.behind);
        for version in behind.values().chain(changed) {
            let path = &version.path;
            self.behind.remove(path);
            if let Some(entry) = self.entries.get_mut(path)
                && entry.state == version.state
            {
                entry.version = Some(version.sequence);
                continue;
            }
            if version.state == State::Absent && !self.entries.contains_key(path) {
                continue;
            }
            if frozen.is_none()
                && let Some(freeze) = freeze.take()
            {
                frozen = Some(Frozen::begin(freeze)?);
            }
            if self.is_untouched(&root, path) && self.bring(&root, version)? {
                done.updated.push(path.clone());
            } else {
                self.behind.insert(path.clone(), version.clone());
            }
        }
        drop(frozen);
        done.kept = self.behind.keys().cloned().collect();
        self.sequence = self.sequence.max(sequence);
        Ok(done)
    }

    /// Whether the agent has left a path as it was last in step.
    fn is_untouched(&mut self, root: &OwnedFd, path: &TreePath) -> bool {
        let parent = path.parent();
        let folder = parent.as_ref().map_or(".", TreePath::as_str);
        let found = openat2(root, folder, beneath(OFlag::O_PATH | OFlag::O_DIRECTORY))
            .and_then(|folder| fstatat(&folder, path.name(), AtFlags::AT_SYMLINK_NOFOLLOW));
        let limit = self.plan.limits.file_bytes;
        match (self.entries.get_mut(path), found) {
            (None, Err(Errno::ENOENT)) => true,
            (Some(entry), Ok(found)) if entry.state == State::Dir => is_dir(&found),
            (Some(entry), Ok(found)) if is_file(&found) => {
                let stamp = Stamp::of(&found);
                let bytes = entry.state.bytes();
                if entry.is_settled(&stamp) {
                    return true;
                }
                if stamp.bytes != bytes {
                    return false;
                }
                let taken_ns = now_ns();
                let Ok(Some((stamp, content))) = read_file(root, path, limit) else {
                    return false;
                };
                let same = Wanted::file(content, stamp.is_executable()).state() == entry.state;
                if same {
                    entry.stamp = Some((stamp, taken_ns));
                }
                same
            }
            _ => false,
        }
    }

    /// Makes a path of the desk what a version says. False when something of the agent's is in the way, or when the tree
    /// has moved on already: then a later refresh brings it.
    fn bring(&mut self, root: &OwnedFd, version: &Version) -> Result<bool, DeskError> {
        let path = &version.path;
        let failed = |desk: &Desk, errno| desk.system("write", path.as_str(), errno);
        let parent = match self.parent(root, path) {
            Ok(parent) => parent,
            Err(Errno::ENOENT) if version.state == State::Absent => return Ok(true),
            Err(Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES | Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(failed(self, errno)),
        };
        let taken_ns = now_ns();
        match version.state {
            State::Absent => {
                let was = self.entries.get(path).map(|entry| entry.state);
                let flag = match was {
                    Some(State::Dir) => UnlinkatFlags::RemoveDir,
                    _ => UnlinkatFlags::NoRemoveDir,
                };
                return match unlinkat(&parent, path.name(), flag) {
                    Ok(()) | Err(Errno::ENOENT) => {
                        self.entries.remove(path);
                        Ok(true)
                    }
                    // Files of the agent's are in it: the folder is its own from now on.
                    Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
                        self.entries.remove(path);
                        Ok(false)
                    }
                    Err(Errno::EACCES | Errno::EPERM | Errno::EISDIR | Errno::ENOTDIR) => Ok(false),
                    Err(errno) => Err(failed(self, errno)),
                };
            }
            State::Dir => {
                if matches!(self.entries.get(path), Some(e) if e.state != State::Dir) {
                    let _ = unlinkat(&parent, path.name(), UnlinkatFlags::NoRemoveDir);
                }
                match mkdirat(&parent, path.name(), Mode::from_bits_truncate(0o755)) {
                    Ok(()) => {}
                    Err(Errno::EEXIST) => {
                        let found = fstatat(&parent, path.name(), AtFlags::AT_SYMLINK_NOFOLLOW);
                        if !found.is_ok_and(|found| is_dir(&found)) {
                            return Ok(false);
                        }
                    }
                    Err(Errno::EACCES) => return Ok(false),
                    Err(errno) => return Err(failed(self, errno)),
                }
            }
            State::File {
                hash,
                bytes,
                executable,
            } => {
                let copied = Copied {
                    hash,
                    bytes,
                    executable,
                };
                let Some(name) = self.stage(path, &copied)? else {
                    return Ok(false);
                };
                if matches!(self.entries.get(path), Some(e) if e.state == State::Dir) {
                    let _ = unlinkat(&parent, path.name(), UnlinkatFlags::RemoveDir);
                }
                let renamed = renameat(&self.staging, name.as_c_str(), &parent, path.name());
                if let Err(errno) = renamed {
                    let _ = unlinkat(&self.staging, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
                    return match errno {
                        Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST | Errno::EACCES => {
                            Ok(false)
                        }
                        errno => Err(failed(self, errno)),
                    };
                }
            }
        }
        let stamp = match version.state {
            State::File { .. } => fstatat(&parent, path.name(), AtFlags::AT_SYMLINK_NOFOLLOW)
                .ok()
                .map(|found| (Stamp::of(&found), taken_ns)),
            State::Absent | State::Dir => None,
        };
        let entry = Entry {
            version: Some(version.sequence),
            state: version.state,
            stamp,
            seen: self.round,
        };
        self.entries.insert(path.clone(), entry);
        Ok(true)
    }

    /// Opens the folder of a path. One that the agent had removed, and whose removal was not taken, comes back.
    fn parent(&mut self, root: &OwnedFd, path: &TreePath) -> nix::Result<OwnedFd> {
        let open = |at: Option<&TreePath>| {
            let at = at.map_or(".", TreePath::as_str);
            openat2(root, at, beneath(OFlag::O_PATH | OFlag::O_DIRECTORY))
        };
        let folder = path.parent();
        match open(folder.as_ref()) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let mut missing: Vec<TreePath> = path.ancestors().collect();
        missing.reverse();
        for folder in missing {
            if self.entries.contains_key(&folder) {
                // The agent has removed it and not published that: it stays as the agent has it.
                if open(Some(&folder)).is_err() {
                    return Err(Errno::ENOENT);
                }
                continue;
            }
            let above = open(folder.parent().as_ref())?;
            match mkdirat(&above, folder.name(), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            let entry = Entry {
                version: None,
                state: State::Dir,
                stamp: None,
                seen: self.round,
            };
            self.entries.insert(folder, entry);
        }
        open(folder.as_ref())
    }

    /// Copies a file of the shared tree beside the desk. None when another version stands there by now.
    fn stage(&mut self, path: &TreePath, state: &Copied) -> Result<Option<CString>, DeskError> {
        self.next_name += 1;
        let name = CString::new(self.next_name.to_string()).expect("digits have no zero byte");
        let (shared, staging) = (&self.shared, &self.staging);
        let copied = copy(shared, path, staging, &name, state, &mut self.reflinks);
        if !matches!(copied, Ok(true)) {
            let _ = unlinkat(&self.staging, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
        match copied {
            Ok(true) => Ok(Some(name)),
            Ok(false) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR) => Ok(None),
            Err(errno) => Err(self.system("copy", path.as_str(), errno)),
        }
    }

    /// Gives up what the agent has at a path for a version that stands in the tree. False when a folder of the agent's is
    /// in the way.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn take(&mut self, version: &Version, freeze: &mut dyn Freeze) -> Result<bool, DeskError> {
        let _user = self.user()?;
        let root = self.root()?;
        let _frozen = Frozen::begin(freeze)?;
        let taken = self.bring(&root, version)?;
        if taken {
            self.behind.remove(&version.path);
        }
        Ok(taken)
    }

    /// Says that what is on the desk at a path is meant to follow this version: the agent has looked at it after a
    /// collision and brought both together. The next publish goes over it.
    pub fn resolve(&mut self, version: &Version) {
        self.behind.remove(&version.path);
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

/// Reads a file of a desk: a regular one, beneath the root, through no link, without waiting. None when it changed
/// meanwhile.
fn read_file(root: &OwnedFd, path: &TreePath, limit: u64) -> nix::Result<Option<(Stamp, Vec<u8>)>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let fd = openat2(root, path.as_str(), beneath(flags))?;
    let before = fstat(&fd)?;
    let stamp = Stamp::of(&before);
    if !is_file(&before) || stamp.bytes > limit {
        return Ok(None);
    }
    let mut content = Vec::with_capacity(stamp.bytes as usize);
    let mut file = File::from(fd);
    let read = (&mut file).take(stamp.bytes + 1).read_to_end(&mut content);
    read.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let after = Stamp::of(&fstat(file.as_fd())?);
    Ok((after == stamp && content.len() as u64 == stamp.bytes).then_some((stamp, content)))
}

/// Copies a file of the shared tree, by reference where the file system can, and checks its content. False when another
/// content stands there by now.
fn copy(
    shared: &OwnedFd,
    path: &TreePath,
    staging: &OwnedFd,
    name: &CString,
    state: &Copied,
    reflinks: &mut bool,
) -> nix::Result<bool> {
    let io = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let from = openat2(shared, path.as_str(), beneath(flags))?;
    // Its inode is this version's alone: what is read from it is what is copied by reference.
    let mut content = Vec::with_capacity(usize::try_from(state.bytes).unwrap_or(0));
    let mut file = File::from(from);
    (&mut file)
        .take(state.bytes + 1)
        .read_to_end(&mut content)
        .map_err(io)?;
    if ContentHash::of(&content) != state.hash {
        return Ok(false);
    }
    let mode = file_mode(state.executable);
    if *reflinks {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let to = openat(
            staging,
            name.as_c_str(),
            flags | OFlag::O_CLOEXEC,
            Mode::S_IRUSR | Mode::S_IWUSR,
        )?;
        if reflink(&file.into(), &to).is_ok() {
            return fchmod(&to, Mode::from_bits_truncate(mode)).map(|()| true);
        }
        // This file system cannot; it is not asked again.
        *reflinks = false;
        unlinkat(staging, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
    }
    write_new(staging, name, &content, mode).map(|()| true)
}

/// What a copy has to be.
struct Copied {
    hash: ContentHash,
    bytes: u64,
    executable: bool,
}
