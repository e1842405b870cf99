//! The folder that tables are written to: never half a table under its name, never through a link.
//!
//! A table is written under a temporary name; when all are whole, all get theirs. What is not kept is removed again.
//! Must not know tables or formats.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::ExportError;

/// An open folder, and what is not kept yet.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    root: OwnedFd,
    made: bool,
    pending: Vec<String>,
}

impl Folder {
    /// Opens an empty folder or makes one; with `force` any folder.
    pub(super) fn open(path: &Path, force: bool) -> Result<Folder, ExportError> {
        // `link/` and `link/.` would be followed; without their ends they are not.
        let path = path.components().as_path();
        let wrong = |why: String| ExportError::Folder {
            folder: path.to_owned(),
            why,
        };
        let made = match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(wrong(format!("cannot be made ({error})"))),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOTDIR | Errno::ELOOP => wrong("is a link or no folder".to_owned()),
            errno => wrong(format!("cannot be opened ({errno})")),
        })?;
        if !made && !force {
            let mut entries = std::fs::read_dir(path).map_err(|error| wrong(error.to_string()))?;
            if entries.next().is_some() {
                return Err(wrong("is not empty (--force writes there)".to_owned()));
            }
        }
        Ok(Folder {
            path: path.to_owned(),
            root,
            made,
            pending: Vec::new(),
        })
    }

    /// The path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a new file that is to be `name`.
    pub(super) fn create(&mut self, name: &str) -> io::Result<File> {
        let part = part(name);
        // What an export that was killed has left.
        match unlinkat(&self.root, &part[..], UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o666);
        let file = openat(&self.root, &part[..], flags, mode)?;
        self.pending.push(name.to_owned());
        Ok(File::from(file))
    }

    /// Gives all files their names.
    pub(super) fn keep(mut self) -> Result<(), ExportError> {
        self.made = false;
        while let Some(name) = self.pending.first() {
            renameat(&self.root, &part(name)[..], &self.root, &name[..]).map_err(|errno| {
                ExportError::Write {
                    path: self.file(name),
                    source: errno.into(),
                }
            })?;
            self.pending.remove(0);
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for name in &self.pending {
            let _ = unlinkat(&self.root, &part(name)[..], UnlinkatFlags::NoRemoveDir);
        }
        if self.made {
            // Not if somebody has put something there.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

fn part(name: &str) -> String {
    format!(".{name}.part")
}
