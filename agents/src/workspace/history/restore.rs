//! A seat's own files laid out again, in a folder where none are.
//!
//! Nobody may have a process there yet; [`crate::workspace::prepare`] gives the files to their owner afterwards. Must not
//! know where they come from.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// What is to stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A folder.
    Dir,
    /// A file.
    File {
        /// Its bytes.
        content: Vec<u8>,
        /// Its owner may execute it.
        executable: bool,
    },
    /// A link, and where it leads.
    Link(String),
}

/// Why files could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A path leads elsewhere.
    #[error("the recording has a file {path:?}, which is no path of a seat's folder")]
    Path {
        /// The path.
        path: String,
    },
    /// The system refused.
    #[error("cannot restore {}: {error}; check the rights and the space of the run's folder", path.display())]
    System {
        /// What.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// Whether a seat's folder has nothing of its own: neither `workspace` nor `home`.
pub fn is_missing(folder: &Path) -> bool {
    ["workspace", "home"]
        .iter()
        .all(|part| fs::symlink_metadata(folder.join(part)).is_err())
}

/// Writes these into a seat's folder that [`is_missing`]: path as in [`super::Change`], and what stands there. Says how
/// many.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(
    folder: &Path,
    files: impl IntoIterator<Item = (String, Kept)>,
) -> Result<usize, RestoreError> {
    // Links come last: nothing is ever written through one.
    let (mut links, mut count) = (Vec::new(), 0);
    let mut put = |path: String, kept: &Kept| {
        let at = folder.join(&path);
        count += 1;
        lay(&at, kept).map_err(|error| RestoreError::System { path: at, error })
    };
    for (path, kept) in files {
        if !is_own(&path) {
            return Err(RestoreError::Path { path });
        }
        match kept {
            Kept::Link(_) => links.push((path, kept)),
            Kept::Dir | Kept::File { .. } => put(path, &kept)?,
        }
    }
    for (path, kept) in links {
        put(path, &kept)?;
    }
    Ok(count)
}

fn is_own(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    matches!(parts.next(), Some(Component::Normal(part)) if part == "workspace" || part == "home")
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

fn lay(at: &Path, kept: &Kept) -> io::Result<()> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    match kept {
        Kept::Dir => fs::create_dir_all(at),
        Kept::Link(target) => symlink(target, at),
        Kept::File {
            content,
            executable,
        } => {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(at)?;
            io::Write::write_all(&mut file, content)?;
            let mode = if *executable { 0o755 } else { 0o644 };
            file.set_permissions(fs::Permissions::from_mode(mode))
        }
    }
}
