//! The shared tree on disk: fresh inodes by rename, folders, removals. Nothing here follows a link.
//!
//! Must not know versions or leases, nor why something shall stand there.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{
    AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat, openat2, renameat, renameat2,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path::TreePath;

/// The name of the shared tree in a run's folder.
pub const SHARED: &str = "shared";
/// The name of the folder beside it in which files are written before they are renamed into the tree.
pub const STAGING: &str = "staging";
/// Rights of folders in the tree.
pub const DIR_MODE: u32 = 0o755;

/// Rights of a file in the tree.
pub fn file_mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// The system refused something in the shared tree.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {errno}; check the space and the rights of the run's folder", path.display())]
pub struct TreeError {
    /// What was tried.
    pub what: &'static str,
    /// Where.
    pub path: PathBuf,
    /// The system's reason.
    pub errno: Errno,
}

/// The shared tree of a run, and its staging folder.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
    root: OwnedFd,
    staging: OwnedFd,
    /// Names in the staging folder; only one broker at a time has it, and sweeps it when it starts.
    next_name: u64,
}

/// How a folder is opened: never through a link, never out of the tree.
pub(crate) fn beneath(flags: OFlag) -> OpenHow {
    OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    )
}

pub(crate) const DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

impl Tree {
    /// Opens `shared` and `staging` in a run's folder, and makes them if they are missing.
    ///
    /// # Errors
    /// One of them is no folder or a link, they are on two file systems, or the system refuses.
    pub fn open(folder: &Path) -> Result<Tree, TreeError> {
        let open = |name: &'static str, mode: u32| {
            let path = folder.join(name);
            let failed = |what| {
                let path = path.clone();
                move |errno| TreeError { what, path, errno }
            };
            let at = openat(
                nix::fcntl::AT_FDCWD,
                folder,
                OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
            .map_err(failed("open the run's folder of"))?;
            match mkdirat(&at, name, Mode::from_bits_truncate(mode)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed("make the folder")(errno)),
            }
            let fd = openat(&at, name, OFlag::O_RDONLY | DIRECTORY, Mode::empty())
                .map_err(failed("open the folder (it must not be a link)"))?;
            fchmod(&fd, Mode::from_bits_truncate(mode)).map_err(failed("set the rights of"))?;
            Ok(fd)
        };
        let tree = Tree {
            root: open(SHARED, DIR_MODE)?,
            staging: open(STAGING, 0o700)?,
            folder: folder.to_owned(),
            next_name: 0,
        };
        let device = |fd: &OwnedFd, name| {
            fstat(fd).map(|s| s.st_dev).map_err(|errno| TreeError {
                what: "look at",
                path: folder.join(name),
                errno,
            })
        };
        if device(&tree.root, SHARED)? != device(&tree.staging, STAGING)? {
            return Err(TreeError {
                what: "rename from `staging` into another file system at",
                path: folder.join(SHARED),
                errno: Errno::EXDEV,
            });
        }
        Ok(tree)
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the tree.
    pub fn path(&self) -> PathBuf {
        self.folder.join(SHARED)
    }

    fn error(&self, what: &'static str, path: &TreePath, errno: Errno) -> TreeError {
        TreeError {
            what,
            path: self.path().join(path.as_str()),
            errno,
        }
    }

    /// Opens a folder of the tree, or the root.
    pub(crate) fn dir(&self, path: Option<&TreePath>, flags: OFlag) -> nix::Result<OwnedFd> {
        let path = path.map_or(".", TreePath::as_str);
        openat2(&self.root, path, beneath(flags | OFlag::O_DIRECTORY))
    }

    fn parent(&self, path: &TreePath) -> Result<OwnedFd, TreeError> {
        self.dir(path.parent().as_ref(), OFlag::O_PATH)
            .map_err(|errno| self.error("open the folder of", path, errno))
    }

    fn fresh_name(&mut self) -> CString {
        self.next_name += 1;
        CString::new(self.next_name.to_string()).expect("digits have no zero byte")
    }

    /// Puts a file in place of whatever stands at the path: written beside the tree, then renamed in as a fresh inode.
    /// It is not synced: the journal holds the content, and recovery compares every file with it.
    ///
    /// # Errors
    /// The system refuses, or the path's folder is missing.
    pub fn put_file(
        &mut self,
        path: &TreePath,
        content: &[u8],
        executable: bool,
    ) -> Result<(), TreeError> {
        let name = self.fresh_name();
        let written = write_new(&self.staging, &name, content, file_mode(executable));
        written.map_err(|errno| {
            let _ = unlinkat(&self.staging, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
            self.error("write", path, errno)
        })?;
        let parent = self.parent(path)?;
        let failed = |tree: &Tree, errno| tree.error("rename a file to", path, errno);
        // What stands there changes places with the new file and is then removed. Readers see one or the other, as with
        // a plain rename over it; but that would make ext4 write the new file's data out before the next commit.
        let exchange = RenameFlags::RENAME_EXCHANGE;
        match renameat2(
            &self.staging,
            name.as_c_str(),
            &parent,
            path.name(),
            exchange,
        ) {
            Ok(()) => {
                let staging = self
                    .staging
                    .try_clone()
                    .map_err(|_| failed(self, Errno::EMFILE))?;
                self.discard(&staging, &name)
                    .map_err(|errno| self.error("remove what stood at", path, errno))?;
                Ok(())
            }
            Err(Errno::ENOENT) => renameat(&self.staging, name.as_c_str(), &parent, path.name())
                .map_err(|errno| failed(self, errno)),
            // A file system that cannot exchange.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                match fstatat(&parent, path.name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(found) if is_dir(&found) => {
                        self.discard(&parent, &c_name(path))
                            .map_err(|errno| self.error("remove the folder at", path, errno))?;
                    }
                    _ => {}
                }
                renameat(&self.staging, name.as_c_str(), &parent, path.name())
                    .map_err(|errno| failed(self, errno))
            }
            Err(errno) => Err(failed(self, errno)),
        }
    }

    /// Makes a folder in place of whatever stands at the path, unless it is one. True when it was made.
    ///
    /// # Errors
    /// The system refuses, or the path's folder is missing.
    pub fn put_dir(&mut self, path: &TreePath) -> Result<bool, TreeError> {
        let parent = self.parent(path)?;
        let failed = |tree: &Tree, errno| tree.error("make the folder", path, errno);
        let mode = Mode::from_bits_truncate(DIR_MODE);
        match fstatat(&parent, path.name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if is_dir(&found) => return Ok(false),
            Ok(_) => {
                self.discard(&parent, &c_name(path))
                    .map_err(|errno| failed(self, errno))?;
            }
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(self, errno)),
        }
        mkdirat(&parent, path.name(), mode).map_err(|errno| failed(self, errno))?;
        // The process's umask may have taken rights away.
        fchmodat(&parent, path.name(), mode, FchmodatFlags::NoFollowSymlink)
            .map_err(|errno| failed(self, errno))?;
        Ok(true)
    }

    /// Removes whatever stands at the path. True when something did.
    ///
    /// # Errors
    /// The system refuses.
    pub fn remove(&mut self, path: &TreePath) -> Result<bool, TreeError> {
        let parent = match self.dir(path.parent().as_ref(), OFlag::O_PATH) {
            Ok(parent) => parent,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(false),
            Err(errno) => return Err(self.error("open the folder of", path, errno)),
        };
        self.discard(&parent, &c_name(path))
            .map_err(|errno| self.error("remove", path, errno))
    }

    /// Removes an entry, whatever it is and however deep: folders go to the staging folder and are emptied there.
    pub(crate) fn discard(&mut self, parent: &OwnedFd, name: &CStr) -> nix::Result<bool> {
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => return Ok(true),
            Err(Errno::ENOENT) => return Ok(false),
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => return Ok(true),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let moved = self.fresh_name();
        renameat(parent, name, &self.staging, moved.as_c_str())?;
        self.empty(vec![moved])?;
        Ok(true)
    }

    /// Removes folders of the staging folder. Folders in them are lifted up to it first, so that no depth is too deep.
    fn empty(&mut self, mut folders: Vec<CString>) -> nix::Result<()> {
        while let Some(name) = folders.pop() {
            let open = || {
                openat(
                    &self.staging,
                    name.as_c_str(),
                    OFlag::O_RDONLY | DIRECTORY,
                    Mode::empty(),
                )
            };
            let fd = match open() {
                Err(Errno::EACCES) => {
                    let mode = Mode::S_IRWXU;
                    fchmodat(
                        &self.staging,
                        name.as_c_str(),
                        mode,
                        FchmodatFlags::NoFollowSymlink,
                    )?;
                    open()?
                }
                other => other?,
            };
            fchmod(&fd, Mode::S_IRWXU)?;
            for entry in names(&fd)? {
                if unlinkat(&fd, entry.as_c_str(), UnlinkatFlags::NoRemoveDir).is_ok()
                    || unlinkat(&fd, entry.as_c_str(), UnlinkatFlags::RemoveDir).is_ok()
                {
                    continue;
                }
                let lifted = self.fresh_name();
                renameat(&fd, entry.as_c_str(), &self.staging, lifted.as_c_str())?;
                folders.push(lifted);
            }
            unlinkat(&self.staging, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
        }
        Ok(())
    }

    /// Empties the staging folder. Returns how many entries were there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn sweep(&mut self) -> Result<usize, TreeError> {
        let swept = |tree: &mut Tree| -> nix::Result<usize> {
            let found = names(&tree.staging)?;
            // Names that are handed out from here on must not be among those that are there.
            let highest = found.iter().filter_map(|n| n.to_str().ok()?.parse().ok());
            tree.next_name = highest.fold(tree.next_name, u64::max).min(u64::MAX / 2);
            let mut folders = Vec::new();
            for name in &found {
                match unlinkat(&tree.staging, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                    Ok(()) => {}
                    Err(_) => folders.push(name.clone()),
                }
            }
            tree.empty(folders)?;
            Ok(found.len())
        };
        swept(self).map_err(|errno| TreeError {
            what: "empty",
            path: self.folder.join(STAGING),
            errno,
        })
    }
}

/// Writes a file that must not be there yet, with exactly these rights.
pub(crate) fn write_new(at: &OwnedFd, name: &CStr, content: &[u8], mode: u32) -> nix::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    let fd = openat(
        at,
        name,
        flags | OFlag::O_CLOEXEC,
        Mode::from_bits_truncate(0o600),
    )?;
    let mut file = File::from(fd);
    file.write_all(content)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    fchmod(file.as_fd(), Mode::from_bits_truncate(mode))
}

pub(crate) fn is_dir(found: &FileStat) -> bool {
    found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR
}

pub(crate) fn is_file(found: &FileStat) -> bool {
    found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG
}

/// The entries of an open folder.
pub(crate) fn names(folder: &OwnedFd) -> nix::Result<Vec<CString>> {
    names_up_to(folder, usize::MAX)
}

/// The first entries of an open folder.
pub(crate) fn names_up_to(folder: &OwnedFd, most: usize) -> nix::Result<Vec<CString>> {
    let again = openat(folder, ".", OFlag::O_RDONLY | DIRECTORY, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::from_fd(again)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            if found.len() == most {
                break;
            }
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

fn c_name(path: &TreePath) -> CString {
    CString::new(path.name()).expect("a tree path has no zero byte")
}
