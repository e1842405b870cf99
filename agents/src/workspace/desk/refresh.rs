//! From the shared tree to a desk: what others published comes in, and what the agent changed itself stays.
//!
//! Must not know publishes. Files are written beside the desk and renamed onto it, through no link.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::collect::read_file;
use super::{Desk, DeskError, Freeze, Frozen};
use crate::broker::tree::{beneath, file_mode, is_dir, is_file, write_new};
use crate::broker::{ContentHash, State, TreePath, Version, Wanted};
use crate::workspace::guard::reflink;
use crate::workspace::scan::{Entry, Stamp, now_ns};

/// What a refresh did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Paths that are now as in the shared tree.
    pub updated: Vec<TreePath>,
    /// Paths that others changed, and the agent too: they stay as they are.
    pub kept: Vec<TreePath>,
}

impl Desk {
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
    pub(super) fn bring(&mut self, root: &OwnedFd, version: &Version) -> Result<bool, DeskError> {
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
