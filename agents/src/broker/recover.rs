//! Recovery: makes the shared tree equal to the journal, whatever a kill or a vandal has left, and says what it repaired.
//!
//! Idempotent, and itself safe to kill at any point. Must not know leases or why the host starts.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat};
use nix::unistd::geteuid;

use super::journal::{Journal, JournalError};
use super::path::TreePath;
use super::tree::{self, DIR_MODE, Tree, TreeError, file_mode};
use super::version::{ContentHash, State, Version};

/// What was repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Files that were missing or not as in the journal.
    pub files_written: usize,
    /// Folders that were missing.
    pub dirs_made: usize,
    /// Folders whose rights were wrong.
    pub rights_set: usize,
    /// Entries of the tree that the journal does not have; with a folder goes what is in it.
    pub strays_removed: usize,
    /// Entries in the staging folder.
    pub staging_swept: usize,
}

impl Repaired {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        *self == Repaired::default()
    }
}

impl std::fmt::Display for Repaired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_nothing() {
            return f.write_str("the shared tree is as in the journal");
        }
        write!(
            f,
            "repaired the shared tree: {} files written, {} folders made, {} rights set, {} strays removed, {} left-overs \
             swept",
            self.files_written,
            self.dirs_made,
            self.rights_set,
            self.strays_removed,
            self.staging_swept
        )
    }
}

/// Why the tree could not be made equal to the journal.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The file system refused.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal lacks a content, or has another under its hash.
    #[error("the journal has no sound content for {path}@{number}, which should stand at {}: the journal is damaged; restore it from a copy", at.display())]
    Content {
        /// The path.
        path: TreePath,
        /// The number of its version.
        number: u64,
        /// Where it should stand.
        at: PathBuf,
    },
}

/// Makes the tree in a run's folder equal to the journal, and opens it.
///
/// # Errors
/// See [`RecoverError`].
pub fn recover(folder: &Path, journal: &dyn Journal) -> Result<(Tree, Repaired), RecoverError> {
    let mut tree = Tree::open(folder)?;
    let mut repaired = Repaired {
        staging_swept: tree.sweep()?,
        ..Repaired::default()
    };
    let wanted: BTreeMap<TreePath, Version> = journal
        .newest()?
        .into_iter()
        .filter(|version| version.state != State::Absent)
        .map(|version| (version.path.clone(), version))
        .collect();
    remove_strays(&mut tree, &wanted, &mut repaired)?;
    // In order of paths, so that a folder is there before what is in it.
    for version in wanted.values() {
        let path = &version.path;
        match version.state {
            State::Absent => {}
            State::Dir => {
                if tree.put_dir(path)? {
                    repaired.dirs_made += 1;
                }
            }
            State::File {
                hash,
                bytes,
                executable,
            } => {
                if is_sound(&tree, path, &hash, bytes, executable) {
                    continue;
                }
                let content = journal.content(&hash)?;
                let content = content.filter(|content| ContentHash::of(content) == hash);
                let content = content.ok_or_else(|| RecoverError::Content {
                    path: path.clone(),
                    number: version.number,
                    at: tree.path().join(path.as_str()),
                })?;
                tree.put_file(path, &content, executable)?;
                repaired.files_written += 1;
            }
        }
    }
    Ok((tree, repaired))
}

/// Walks the folders that the journal knows and removes every entry that it does not, or knows as another kind.
fn remove_strays(
    tree: &mut Tree,
    wanted: &BTreeMap<TreePath, Version>,
    repaired: &mut Repaired,
) -> Result<(), TreeError> {
    let mut folders: Vec<Option<TreePath>> = vec![None];
    while let Some(folder) = folders.pop() {
        let at = folder
            .as_ref()
            .map_or(tree.path(), |folder| tree.path().join(folder.as_str()));
        let failed = |what| {
            let path = at.clone();
            move |errno| TreeError { what, path, errno }
        };
        let fd = open_dir(tree, folder.as_ref(), repaired).map_err(failed("open the folder"))?;
        for name in tree::names(&fd).map_err(failed("read the folder"))? {
            let path = TreePath::entry(folder.as_ref(), name.to_bytes()).ok();
            let state = path.as_ref().and_then(|p| wanted.get(p)).map(|v| v.state);
            let found = match fstatat(&fd, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(failed("look into")(errno)),
            };
            match state {
                Some(State::Dir) if tree::is_dir(&found) => folders.push(path),
                Some(State::File { .. }) if tree::is_file(&found) => {}
                _ => {
                    tree.discard(&fd, &name)
                        .map_err(failed("remove a stray in"))?;
                    repaired.strays_removed += 1;
                }
            }
        }
    }
    Ok(())
}

/// Opens a folder of the tree for reading and sets its rights if they are wrong.
fn open_dir(
    tree: &Tree,
    folder: Option<&TreePath>,
    repaired: &mut Repaired,
) -> nix::Result<OwnedFd> {
    let mode = Mode::from_bits_truncate(DIR_MODE);
    let fd = match tree.dir(folder, OFlag::O_RDONLY) {
        Err(Errno::EACCES) if folder.is_some() => {
            let folder = folder.expect("checked");
            let parent = tree.dir(folder.parent().as_ref(), OFlag::O_PATH)?;
            let name = CString::new(folder.name()).expect("a tree path has no zero byte");
            let flag = nix::sys::stat::FchmodatFlags::NoFollowSymlink;
            nix::sys::stat::fchmodat(&parent, name.as_c_str(), mode, flag)?;
            repaired.rights_set += 1;
            tree.dir(Some(folder), OFlag::O_RDONLY)?
        }
        other => other?,
    };
    let found = fstat(&fd)?;
    if found.st_uid != geteuid().as_raw() {
        nix::unistd::fchown(&fd, Some(geteuid()), None)?;
        repaired.rights_set += 1;
    }
    if found.st_mode & 0o7777 != DIR_MODE {
        fchmod(&fd, mode)?;
        repaired.rights_set += 1;
    }
    Ok(fd)
}

/// Whether the file stands there with this content, these rights, the host as its owner and no second name.
fn is_sound(
    tree: &Tree,
    path: &TreePath,
    hash: &ContentHash,
    bytes: u64,
    executable: bool,
) -> bool {
    let open = || -> nix::Result<OwnedFd> {
        let parent = tree.dir(path.parent().as_ref(), OFlag::O_PATH)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        openat(&parent, path.name(), flags, Mode::empty())
    };
    let Ok(fd) = open() else { return false };
    let sound = fstat(&fd).is_ok_and(|found| {
        tree::is_file(&found)
            && found.st_size as u64 == bytes
            && found.st_mode & 0o7777 == file_mode(executable)
            && found.st_uid == geteuid().as_raw()
            && found.st_nlink == 1
    });
    let mut hasher = blake3::Hasher::new();
    let mut file = File::from(fd).take(bytes + 1);
    sound && hash_all(&mut file, &mut hasher) && hasher.finalize().as_bytes() == &hash.0
}

fn hash_all(file: &mut impl Read, hasher: &mut blake3::Hasher) -> bool {
    let mut buffer = [0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return true,
            Ok(n) => {
                hasher.update(&buffer[..n]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}
