//! A seat's folders: `workspace` (where its process runs), `home`, `tmp`, and the read-only `program`.
//!
//! Must not know what runs there. Which command that is and with which environment: [`command`]; what it may reach:
//! [`confine`].

pub mod command;
pub mod confine;
pub mod desk;
mod guard;
pub mod history;
mod scan;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use crate::isolation::Owner;

/// Longest seat name in bytes.
pub const SEAT_NAME_BYTES: usize = 64;

/// Why a seat's folders could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The name cannot be a folder's.
    #[error(
        "{name:?} cannot be a seat's name: 1 to {SEAT_NAME_BYTES} of a-z A-Z 0-9 . _ - are allowed, beginning with a letter \
         or digit"
    )]
    SeatName {
        /// The name.
        name: String,
    },
    /// The name of a program file leads out of `program/`.
    #[error("{name:?} cannot be a program file's name: it must be a relative path without `..`")]
    FileName {
        /// The name.
        name: String,
    },
    /// A program file is missing or no regular file.
    #[error("program file {}: {error}; name an existing regular file in the cast", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The system refused.
    #[error("cannot {what} {}: {error}; check the rights and the space of the run's folder", path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// A seat's folders, all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The seat's folder, absolute.
    pub root: PathBuf,
    /// Where the process starts.
    pub workspace: PathBuf,
    /// Its `HOME`.
    pub home: PathBuf,
    /// Its `TMPDIR`.
    pub tmp: PathBuf,
    /// Its own files, read-only.
    pub program: PathBuf,
    /// Where its stderr goes.
    pub stderr: PathBuf,
}

/// Whether a seat's name is safe as a folder's name: no separators, no `.` in front, nothing to escape.
pub fn is_seat_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && name.len() <= SEAT_NAME_BYTES
}

/// Makes the folders of a seat, and copies its program's files into `program` (files 0444 or 0555).
/// Folders that are there stay with what is in them; program files are replaced.
///
/// With an owner, who must have no process now, the first three and all in them are given to it, and the seat's folder is
/// a gate that only the owner's group and this process's user can pass. Without one it is this process's user's alone.
///
/// # Errors
/// See [`WorkspaceError`].
pub fn prepare(
    folder: &Path,
    seat: &str,
    files: &[(PathBuf, String)],
    owner: Option<Owner>,
) -> Result<Workspace, WorkspaceError> {
    if !is_seat_name(seat) {
        return Err(WorkspaceError::SeatName {
            name: seat.to_owned(),
        });
    }
    for (_, name) in files {
        let safe = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !safe || name.is_empty() || name.ends_with('/') {
            return Err(WorkspaceError::FileName { name: name.clone() });
        }
    }
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |error| WorkspaceError::System { what, path, error }
    };
    let root = std::path::absolute(folder).map_err(failed("find", folder))?;
    let made = Workspace {
        workspace: root.join("workspace"),
        home: root.join("home"),
        tmp: root.join("tmp"),
        program: root.join("program"),
        stderr: root.join("stderr.log"),
        root,
    };
    for path in [&made.workspace, &made.home, &made.tmp, &made.program] {
        fs::create_dir_all(path).map_err(failed("make the folder", path))?;
    }
    for path in [&made.workspace, &made.home, &made.tmp] {
        set_mode(path, 0o700)?;
    }
    set_mode(&made.program, 0o755)?;
    match owner {
        Some(owner) => {
            for path in [&made.workspace, &made.home, &made.tmp] {
                give(path, owner)?;
            }
            chown(&made.root, geteuid().as_raw(), owner.gid)?;
            set_mode(&made.root, 0o710)?;
        }
        None => set_mode(&made.root, 0o700)?,
    }
    for (source, name) in files {
        copy(source, &made.program, name)?;
    }
    Ok(made)
}

/// Adds a file to a seat's program folder, in place of one of that name.
///
/// # Errors
/// As the system says.
pub fn add_program(
    at: &Workspace,
    name: &str,
    content: &[u8],
    mode: u32,
) -> Result<(), WorkspaceError> {
    let path = at.program.join(name);
    let written = match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::write(&path, content),
    };
    written.map_err(|error| WorkspaceError::System {
        what: "write",
        path: path.clone(),
        error,
    })?;
    set_mode(&path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), WorkspaceError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| {
        WorkspaceError::System {
            what: "set the rights of",
            path: path.to_owned(),
            error,
        }
    })
}

/// Closes the gate of a seat whose processes have ended, so that a later seat with the same user cannot pass it.
/// [`prepare`] opens it again.
///
/// # Errors
/// As the system says.
pub fn close_gate(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    lchown(folder, None, Some(getegid().as_raw()))
}

/// Gives a folder and all in it to a user. Links are given themselves, never what they lead to.
fn give(path: &Path, owner: Owner) -> Result<(), WorkspaceError> {
    let failed = |what| {
        move |error| WorkspaceError::System {
            what,
            path: path.to_owned(),
            error,
        }
    };
    let found = fs::symlink_metadata(path).map_err(failed("look at"))?;
    if found.uid() != owner.uid || found.gid() != owner.gid {
        chown(path, owner.uid, owner.gid)?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path).map_err(failed("read the folder"))? {
            give(&entry.map_err(failed("read the folder"))?.path(), owner)?;
        }
    }
    Ok(())
}

fn chown(path: &Path, uid: u32, gid: u32) -> Result<(), WorkspaceError> {
    lchown(path, Some(uid), Some(gid)).map_err(|error| WorkspaceError::System {
        what: "change the owner of",
        path: path.to_owned(),
        error,
    })
}

fn copy(source: &Path, program: &Path, name: &str) -> Result<(), WorkspaceError> {
    let unreadable = |error| WorkspaceError::Source {
        path: source.to_owned(),
        error,
    };
    let found = fs::metadata(source).map_err(unreadable)?;
    if !found.is_file() {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )));
    }
    let target = program.join(name);
    let failed = |what| {
        move |(path, error): (PathBuf, io::Error)| WorkspaceError::System { what, path, error }
    };
    let mut at = program.to_owned();
    for part in Path::new(name)
        .parent()
        .into_iter()
        .flat_map(Path::components)
    {
        at.push(part);
        fs::create_dir_all(&at)
            .map_err(|e| (at.clone(), e))
            .map_err(failed("make the folder"))?;
        set_mode(&at, 0o755)?;
    }
    // A fresh file, never written through what stands there.
    match fs::remove_file(&target) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed("replace")((target, e))),
    }
    fs::copy(source, &target)
        .map_err(|e| (target.clone(), e))
        .map_err(failed("write"))?;
    let executable = found.permissions().mode() & 0o111 != 0;
    set_mode(&target, if executable { 0o555 } else { 0o444 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_seats() {
        for good in ["a", "harvester-1", "Tit.For_Tat", "7", &"x".repeat(64)] {
            assert!(is_seat_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "a\n",
            "\u{e4}",
            "a\0",
            &"x".repeat(65),
        ] {
            assert!(!is_seat_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn program_files_are_copied_read_only_and_replaced() {
        let base =
            std::env::temp_dir().join(format!("formicarium-workspace-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(&base).unwrap();
        let source = base.join("agent.py");
        fs::write(&source, "one").unwrap();
        let folder = base.join("seat");
        let files = [
            (source.clone(), "agent.py".to_owned()),
            (source.clone(), "lib/help.py".to_owned()),
        ];
        let made = prepare(&folder, "seat", &files, None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&made.program.join("agent.py")), 0o444);
        // Open to the host's user: whoever started a run may remove its folder.
        assert_eq!(mode(&made.program), 0o755);
        assert_eq!(mode(&made.workspace), 0o700);
        fs::write(made.workspace.join("kept"), "").unwrap();
        fs::write(&source, "two").unwrap();
        let made = prepare(&folder, "seat", &files, None).unwrap();
        assert_eq!(
            fs::read_to_string(made.program.join("lib/help.py")).unwrap(),
            "two"
        );
        assert!(made.workspace.join("kept").exists());
        for bad in ["../x", "/etc/x", "a/../b", "", "a/"] {
            let files = [(source.clone(), bad.to_owned())];
            assert!(
                matches!(
                    prepare(&folder, "seat", &files, None),
                    Err(WorkspaceError::FileName { .. })
                ),
                "{bad:?}"
            );
        }
        let files = [(base.clone(), "x".to_owned())];
        assert!(matches!(
            prepare(&folder, "seat", &files, None),
            Err(WorkspaceError::Source { .. })
        ));
        assert!(matches!(
            prepare(&folder, "../seat", &[], None),
            Err(WorkspaceError::SeatName { .. })
        ));
        fs::remove_dir_all(&base).unwrap();
    }
}
