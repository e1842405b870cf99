//! A user and a group for each seat, never used twice at once on one machine, and the end of all that runs as one.
//!
//! A user is claimed by an advisory lock on a file of its number, below a folder that only root enters. The lock is held
//! by an open file, so a host that dies, however, gives its users back. Must not know seats.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid};

use super::plan::Owner;
use crate::sys;

/// Where the files of claimed users lie.
pub const CLAIMS: &str = "/run/formicarium/uids";

/// Users that seats may have: a range without ends missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidRange {
    /// The first.
    pub first: u32,
    /// The last, included.
    pub last: u32,
}

impl Default for UidRange {
    fn default() -> Self {
        UidRange::DEFAULT
    }
}

impl UidRange {
    /// Users 20000 to 29999: above those that systems give to people and services, below those of containers' ranges.
    pub const DEFAULT: UidRange = UidRange {
        first: 20_000,
        last: 29_999,
    };
}

impl fmt::Display for UidRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.first, self.last)
    }
}

impl FromStr for UidRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no range of users; write FIRST-LAST, both from 1 to 4294967294, such as 20000-29999"
            )
        };
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        match first >= 1 && first <= last && last < u32::MAX {
            true => Ok(UidRange { first, last }),
            false => Err(wrong()),
        }
    }
}

/// A user that nobody else on this machine has while this lives.
#[derive(Debug)]
pub struct Claim {
    owner: Owner,
    /// Holds the lock. The file stays: removing it would let two hosts lock two files of one name.
    _lock: File,
}

impl Claim {
    /// The user.
    pub fn owner(&self) -> Owner {
        self.owner
    }
}

/// Why there are not enough users.
#[derive(Debug, thiserror::Error)]
pub enum UidError {
    /// All of the range are taken.
    #[error(
        "{needed} seats need a user each, and only {free} of {range} are free; end other runs on this machine, or give a \
         wider range with --uids FIRST-LAST"
    )]
    Taken {
        /// Users needed.
        needed: usize,
        /// Users that are free.
        free: usize,
        /// Where they were looked for.
        range: UidRange,
    },
    /// The folder of claims cannot be used.
    #[error(
        "cannot {what} {}: {error}; a seat's user is claimed by a file there (in a container: --tmpfs /run)", path.display()
    )]
    System {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// Claims as many users, lowest first. Users with living processes are left out: a host that was killed may have left
/// some whose end is under way.
///
/// # Errors
/// See [`UidError`].
pub fn claim(range: UidRange, count: usize, folder: &Path) -> Result<Vec<Claim>, UidError> {
    open_folder(folder)?;
    let busy = users_with_processes();
    let mut claims = Vec::with_capacity(count);
    for uid in range.first..=range.last {
        if claims.len() == count {
            break;
        }
        if busy.contains(&uid) {
            continue;
        }
        let path = folder.join(uid.to_string());
        let failed = |what| {
            let path = path.clone();
            move |error| UidError::System { what, path, error }
        };
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open"))?;
        match lock.try_lock() {
            Ok(()) => claims.push(Claim {
                owner: Owner { uid, gid: uid },
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
    }
    match claims.len() == count {
        true => Ok(claims),
        false => Err(UidError::Taken {
            needed: count,
            free: claims.len(),
            range,
        }),
    }
}

/// Makes the folder of claims, for root alone.
pub(super) fn open_folder(folder: &Path) -> Result<(), UidError> {
    let failed = |what| {
        move |error| UidError::System {
            what,
            path: folder.to_owned(),
            error,
        }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("make the folder"))?;
    let found = fs::symlink_metadata(folder).map_err(failed("look at"))?;
    // Whoever may write there could take a claimed file away.
    let own = found.uid() == nix::unistd::geteuid().as_raw();
    match found.is_dir() && own && found.mode() & 0o022 == 0 {
        true => Ok(()),
        false => Err(failed("trust")(io::Error::other(
            "it is no folder of this user's alone",
        ))),
    }
}

fn users_with_processes() -> BTreeSet<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .filter_map(|entry| entry.metadata().ok())
        .map(|found| found.uid())
        .collect()
}

/// Sends a signal to everything that runs as this user: daemons and fork bombs too, since the kernel finds them all in one
/// call. For a process with one thread, as root; the child that does it is left to the caller's reaping.
///
/// # Errors
/// There is no room for a child.
pub(crate) fn signal_all(owner: Owner, signal: Signal) -> nix::Result<Pid> {
    as_owner(owner, || {
        let _ = kill(Pid::from_raw(-1), signal);
    })
}

/// Lets processes of this user write nothing to files, or again. As the user itself: root in a container mostly may not set
/// the limits of others. The child that does it is left to the caller's reaping.
///
/// # Errors
/// There is no room for a child.
pub(crate) fn set_files_full(owner: Owner, pids: &[Pid], are_full: bool) -> nix::Result<Pid> {
    as_owner(owner, || {
        for pid in pids {
            sys::set_files_full(*pid, are_full);
        }
    })
}

/// Does something in a child that has become the user. For a process with one thread, as root.
fn as_owner(owner: Owner, work: impl FnOnce()) -> nix::Result<Pid> {
    match sys::fork_single_threaded()? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Never without the change of user: what root sends to all means the whole machine.
            if super::become_owner(owner).is_ok() && nix::unistd::geteuid().as_raw() == owner.uid {
                work();
            }
            sys::exit_now(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_refused() {
        assert_eq!("7-9".parse(), Ok(UidRange { first: 7, last: 9 }));
        assert_eq!(UidRange::DEFAULT.to_string().parse(), Ok(UidRange::DEFAULT));
        for bad in [
            "",
            "7",
            "-",
            "0-9",
            "9-7",
            "1-4294967295",
            "a-b",
            "1-2-3",
            "-1-3",
        ] {
            assert!(bad.parse::<UidRange>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_user_is_claimed_twice_and_all_come_back() {
        let folder = std::env::temp_dir().join(format!("formicarium-uids-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        // Users that no process of this machine has.
        let range = UidRange {
            first: 3_900_000_001,
            last: 3_900_000_005,
        };
        let first = claim(range, 3, &folder).unwrap();
        let second = claim(range, 2, &folder).unwrap();
        let users: BTreeSet<u32> = first
            .iter()
            .chain(&second)
            .map(|claim| claim.owner().uid)
            .collect();
        assert_eq!(users, (range.first..=range.last).collect());
        let error = claim(range, 1, &folder).unwrap_err();
        assert!(matches!(error, UidError::Taken { free: 0, .. }), "{error}");
        drop(first);
        assert_eq!(claim(range, 3, &folder).unwrap().len(), 3);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let folder =
            std::env::temp_dir().join(format!("formicarium-open-uids-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let error = claim(UidRange::DEFAULT, 1, &folder).unwrap_err();
        assert!(error.to_string().contains("trust"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
