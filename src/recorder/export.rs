//! Writes a recorded tree to a folder: an empty or a new one, and never through a link.
//!
//! Every name is opened from its parent's descriptor, and made anew or not at all, so that whoever can write beside us
//! cannot lead us elsewhere. Must not know which versions make up the tree, nor who asks.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use formicarium_agents::broker::{State, TreePath, Version};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use super::RecorderError;
use super::reader::Recording;

/// Why a tree was not written, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The content cannot be read.
    #[error(transparent)]
    Recording(#[from] RecorderError),
    /// Not a folder to write into.
    #[error("{folder} {why}; name an empty folder, or one that is not there yet", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refused.
    #[error("cannot write {path}: {source}; what was written before it stays", path = .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Writes the versions into a folder and says how many files those were.
///
/// # Errors
/// See [`ExportError`].
pub fn write(
    recording: &Recording,
    tree: &[&Version],
    folder: &Path,
) -> Result<usize, ExportError> {
    // `link/` and `link/.` would be followed; without their ends they are not.
    let folder = folder.components().as_path();
    let root = open(folder)?;
    let mut files = 0;
    for version in tree {
        let failed = |source: std::io::Error| ExportError::Write {
            path: folder.join(version.path.as_str()),
            source,
        };
        match version.state {
            State::Absent => {}
            State::Dir => drop(walk(&root, Some(&version.path)).map_err(failed)?),
            State::File { executable, .. } => {
                let content = recording.version_content(version)?;
                let parent = walk(&root, version.path.parent().as_ref()).map_err(failed)?;
                put(&parent, version.path.name(), &content, executable).map_err(failed)?;
                files += 1;
            }
        }
    }
    Ok(files)
}

fn open(folder: &Path) -> Result<OwnedFd, ExportError> {
    let wrong = |why: String| ExportError::Folder {
        folder: folder.to_owned(),
        why,
    };
    match std::fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(wrong(format!("cannot be made ({error})"))),
    }
    let root = openat(AT_FDCWD, folder, FOLDER, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOTDIR | Errno::ELOOP => wrong("is a link or no folder".to_owned()),
        errno => wrong(format!("cannot be opened ({errno})")),
    })?;
    let mut entries = std::fs::read_dir(folder).map_err(|error| wrong(error.to_string()))?;
    match entries.next() {
        None => Ok(root),
        Some(_) => Err(wrong("is not empty".to_owned())),
    }
}

/// Opens a folder below the root, name by name, and makes what is missing on the way.
fn walk(root: &OwnedFd, path: Option<&TreePath>) -> std::io::Result<OwnedFd> {
    let mut at = root.try_clone()?;
    for name in path.into_iter().flat_map(|path| path.as_str().split('/')) {
        match mkdirat(&at, name, Mode::from_bits_truncate(0o777)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        at = openat(&at, name, FOLDER, Mode::empty())?;
    }
    Ok(at)
}

fn put(parent: &OwnedFd, name: &str, content: &[u8], executable: bool) -> std::io::Result<()> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = if executable { 0o777 } else { 0o666 };
    let file = openat(parent, name, flags, Mode::from_bits_truncate(mode))?;
    File::from(file).write_all(content)
}
