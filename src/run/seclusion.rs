//! How the seats of a run are kept apart: which level, which users, and where their folders lie.
//!
//! Knows what the command line asked for and what the machine can enforce. Must not enforce anything itself.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use formicarium_agents::isolation::probe::{Finding, Probe};
use formicarium_agents::isolation::reach::closed_to_others;
use formicarium_agents::isolation::uid::{self, Claim, UidError, UidRange};
use formicarium_agents::isolation::{Isolation, Level};
use thiserror::Error;

/// Where the folders of seats lie when other users cannot reach the run's own.
const STATE: &str = "/var/lib/formicarium";

/// What the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// A user for each seat, Landlock and seccomp; the host must be root.
    Uid,
    /// Landlock and seccomp; all seats run as the host's user.
    Landlock,
    /// Nothing is enforced: for agents that you trust with your files.
    Advisory,
    /// The strongest of these that this machine can enforce.
    Best,
}

/// Why seats cannot be kept apart as wanted.
#[derive(Debug, Error)]
pub enum SeclusionError {
    /// Rights are missing.
    #[error(
        "isolation level {level} cannot be enforced here:\n{}\nor run without: --isolation advisory keeps nobody from \
         anybody's files, --isolation best takes what there is ({best})",
        lines(.missing)
    )]
    Missing {
        /// The level wanted.
        level: Level,
        /// What it lacks.
        missing: Vec<Finding>,
        /// What could be had.
        best: Level,
    },
    /// Too few users.
    #[error(transparent)]
    Users(#[from] UidError),
    /// The folders of the seats.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

fn lines(missing: &[Finding]) -> String {
    missing
        .iter()
        .map(|finding| {
            let right = finding.right;
            format!(
                "  missing: {} ({}); to have it: {}",
                right.words(),
                finding.reason,
                right.remedy()
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The level of a run. Without a wish: `uid` for root, `landlock` for others. For a process with one thread.
pub fn level(wanted: Option<Wanted>, range: UidRange) -> Result<Level, SeclusionError> {
    let is_root = nix::unistd::geteuid().is_root();
    let level = match wanted {
        Some(Wanted::Advisory) => return Ok(Level::Advisory),
        Some(Wanted::Best) => return Ok(best(Probe::new(range).best())),
        Some(Wanted::Landlock) => Level::Landlock,
        Some(Wanted::Uid) => Level::Uid,
        None if is_root => Level::Uid,
        None => Level::Landlock,
    };
    let probe = Probe::new(range);
    let missing: Vec<Finding> = probe.missing(level).into_iter().cloned().collect();
    match missing.is_empty() {
        true => Ok(level),
        false => Err(SeclusionError::Missing {
            level,
            missing,
            best: probe.best(),
        }),
    }
}

/// The level `uid` is no use where other users cannot reach the host's own programs.
fn best(level: Level) -> Level {
    match level {
        Level::Uid if closed_host().is_some() => Level::Landlock,
        level => level,
    }
}

/// The folder that keeps other users from the host's own programs.
fn closed_host() -> Option<PathBuf> {
    closed_to_others(std::env::current_exe().ok()?.parent()?)
}

/// How the seats of one run are kept apart.
#[derive(Debug)]
pub struct Seclusion {
    level: Level,
    /// Users of the seats that are processes, in their order; held as long as this lives.
    claims: Vec<Claim>,
    /// Where the seats' folders lie.
    folder: PathBuf,
    /// The folder in the way of other users, if that is why they lie elsewhere.
    closed: Option<PathBuf>,
}

impl Seclusion {
    /// Claims users for so many seats, and makes the folder of the seats' folders.
    pub fn new(
        level: Level,
        range: UidRange,
        seats: usize,
        run: &str,
        dir: &Path,
    ) -> Result<Self, SeclusionError> {
        let mut made = Seclusion {
            level,
            claims: Vec::new(),
            folder: dir.join("agents"),
            closed: None,
        };
        if level != Level::Uid || seats == 0 {
            return Ok(made);
        }
        made.claims = uid::claim(range, seats, uid::CLAIMS.as_ref())?;
        made.closed = closed_to_others(dir);
        if made.closed.is_some() {
            let state = Path::new(STATE).join(run);
            passable(Path::new(STATE))?;
            passable(&state)?;
            let link = std::mem::replace(&mut made.folder, state.join("agents"));
            passable(&made.folder)?;
            // It is there already where a run goes on.
            if fs::read_link(&link).ok().as_ref() != Some(&made.folder) {
                symlink(&made.folder, &link).map_err(|source| SeclusionError::Io {
                    what: "making the link",
                    path: link,
                    source,
                })?;
            }
        } else {
            passable(&made.folder)?;
        }
        Ok(made)
    }

    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// A seat's folder.
    pub fn folder(&self, seat: &str) -> PathBuf {
        self.folder.join(seat)
    }

    /// How the process with this number among the seats that are processes is kept apart.
    pub fn of(&self, process: usize) -> Isolation {
        match self.level {
            Level::Uid => Isolation::uid(self.claims[process].owner()),
            Level::Landlock => Isolation::LANDLOCK,
            Level::Advisory => Isolation::ADVISORY,
        }
    }

    /// Says in the log how seats are kept apart.
    pub fn tell(&self) {
        match self.level {
            Level::Advisory => tracing::warn!(
                "isolation is advisory: agents run as you do and could reach your files; run only agents that you trust"
            ),
            Level::Landlock => {
                tracing::info!("isolation: landlock (all seats run as the host's user)");
                if nix::unistd::geteuid().is_root()
                    && let Some(closed) = closed_host()
                {
                    tracing::info!(
                        closed = %closed.display(),
                        "level uid would be stronger, but other users may not enter the folder named as closed, and so not run \
                         the programs that come with the host: chmod o+x it, or install the host elsewhere"
                    );
                }
            }
            Level::Uid => tracing::info!("isolation: uid (a user for each seat)"),
        }
        if let Some(closed) = &self.closed {
            tracing::info!(
                folder = %self.folder.display(),
                closed = %closed.display(),
                "the seats' folders lie elsewhere, with a link in the run's folder: other users may not enter the folder named \
                 as closed"
            );
        }
    }
}

/// Removes the folders of a run's seats that lie outside of the run's own, if they do: as [`Seclusion::new`] put them.
pub fn clear(dir: &Path, run: &str) {
    let state = Path::new(STATE).join(run);
    let is_name = Path::new(run).components().count() == 1 && !run.starts_with('.');
    // Only what the link in the run's folder says, and only where we put such things.
    if is_name && fs::read_link(dir.join("agents")).is_ok_and(|to| to == state.join("agents")) {
        let _ = fs::remove_dir_all(&state);
    }
}

/// Makes a folder that others may pass through and not list.
fn passable(folder: &Path) -> Result<(), SeclusionError> {
    let failed = |what| {
        move |source| SeclusionError::Io {
            what,
            path: folder.to_owned(),
            source,
        }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(folder)
        .map_err(failed("making the folder"))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
        .map_err(failed("setting the rights of"))
}
