//! What has changed in a desk's folder since it was last in step: found by stamps, without reading files.
//!
//! Must not know versions or publishes. Follows no link, opens nothing but folders, and ends within its limits whatever
//! the agent has put there.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstatat};

use crate::broker::tree::{is_dir, is_file, names_up_to};
use crate::broker::{PathError, Reason, State, TreePath, Unshared};
use crate::isolation::Owner;

/// A file that was changed this shortly before its stamp was taken may change again without another stamp: the clock of
/// file systems goes in steps. It is read again.
const RACY_NS: i128 = 50_000_000;
/// Most things that cannot be shared which are named one by one.
const UNSHARED: usize = 64;

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub inode: u64,
    pub bytes: u64,
    pub mode: u32,
    modified_ns: i128,
    /// An agent cannot set this one.
    changed_ns: i128,
}

impl Stamp {
    pub(super) fn of(found: &FileStat) -> Stamp {
        let ns = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Stamp {
            inode: found.st_ino,
            bytes: u64::try_from(found.st_size).unwrap_or(u64::MAX),
            mode: found.st_mode,
            modified_ns: ns(found.st_mtime, found.st_mtime_nsec),
            changed_ns: ns(found.st_ctime, found.st_ctime_nsec),
        }
    }

    pub(super) fn is_executable(&self) -> bool {
        self.mode & libc::S_IXUSR != 0
    }
}

/// Nanoseconds of the clock that file systems stamp with.
pub(super) fn now_ns() -> i128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as i128)
}

/// Whether a file with this stamp is surely the one whose stamp was taken then.
pub(super) fn is_settled((stamp, taken_ns): (Stamp, i128), found: &Stamp) -> bool {
    stamp == *found && stamp.changed_ns.max(stamp.modified_ns) + RACY_NS < taken_ns
}

/// A path of the desk as it was last in step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The version it comes from; none when that is not known yet.
    pub version: Option<u64>,
    /// What stood there.
    pub state: State,
    /// Of a file: its stamp, and when that was taken.
    pub stamp: Option<(Stamp, i128)>,
    /// The last scan that came by.
    pub seen: u64,
}

impl Entry {
    /// Whether a file with this stamp is surely the one that was last in step.
    pub(super) fn is_settled(&self, found: &Stamp) -> bool {
        self.stamp.is_some_and(|taken| is_settled(taken, found))
    }
}

/// What may have changed at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate {
    /// It is gone.
    Gone,
    /// There is a folder where none was.
    Dir,
    /// A file to be read.
    File(Stamp),
}

/// Why a scan did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Too many entries.
    Entries,
    /// Too long.
    Time,
    /// The system refused at the root.
    System(Errno),
}

/// What a scan may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub entries: usize,
    pub until: Instant,
    pub owner: Option<Owner>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub candidates: Vec<(TreePath, Candidate)>,
    pub unshared: Vec<Unshared>,
}

/// Compares the folder with what was last in step.
pub(super) fn scan(
    root: &OwnedFd,
    known: &mut BTreeMap<TreePath, Entry>,
    round: u64,
    bounds: Bounds,
) -> Result<Found, Stopped> {
    let mut scan = Scan {
        known,
        round,
        bounds,
        entries: 0,
        links: HashMap::new(),
        found: Found::default(),
    };
    scan.folder(root, None)?;
    for (_, (missing, paths)) in std::mem::take(&mut scan.links) {
        if missing > 0 {
            for path in paths {
                scan.found.candidates.retain(|(at, _)| *at != path);
                let why = "it has another name outside the desk; replace it by a copy";
                scan.unshare(path.as_str(), Reason::Special, why);
            }
        }
    }
    let gone = scan.known.iter().filter(|(_, entry)| entry.seen != round);
    let gone = gone.map(|(path, _)| (path.clone(), Candidate::Gone));
    scan.found.candidates.extend(gone);
    Ok(scan.found)
}

struct Scan<'a> {
    known: &'a mut BTreeMap<TreePath, Entry>,
    round: u64,
    bounds: Bounds,
    entries: usize,
    /// Files with several names: how many of those were not found yet, and those that were.
    links: HashMap<u64, (u64, Vec<TreePath>)>,
    found: Found,
}

impl Scan<'_> {
    fn unshare(&mut self, path: &str, reason: Reason, why: &str) {
        if self.found.unshared.len() < UNSHARED {
            self.found.unshared.push(Unshared {
                path: path.escape_debug().to_string(),
                reason,
                why: why.to_owned(),
            });
        }
    }

    /// Something that cannot be shared, or not be looked at: what was known of it is neither changed nor gone.
    fn pass_over(&mut self, path: &TreePath, reason: Reason, why: &str) {
        self.unshare(path.as_str(), reason, why);
        if let Some(entry) = self.known.get_mut(path) {
            entry.seen = self.round;
        }
        for (_, entry) in self.known.range_mut(path.below()) {
            entry.seen = self.round;
        }
    }

    fn folder(&mut self, fd: &OwnedFd, at: Option<&TreePath>) -> Result<(), Stopped> {
        let most = (self.bounds.entries - self.entries).saturating_add(1);
        let found = match (names_up_to(fd, most), at) {
            (Ok(found), _) => found,
            (Err(errno), None) => return Err(Stopped::System(errno)),
            (Err(errno), Some(path)) => {
                self.pass_over(path, Reason::Unreadable, &unreadable(errno));
                return Ok(());
            }
        };
        self.entries += found.len();
        if self.entries > self.bounds.entries {
            return Err(Stopped::Entries);
        }
        if Instant::now() > self.bounds.until {
            return Err(Stopped::Time);
        }
        for name in found {
            match TreePath::entry(at, name.to_bytes()) {
                Ok(path) => self.entry(fd, &name, path)?,
                Err(error) => {
                    let name = name.to_string_lossy();
                    let path = at.map_or(name.to_string(), |at| format!("{at}/{name}"));
                    let reason = match error {
                        PathError::TooDeep | PathError::TooLong => Reason::Limit,
                        _ => Reason::Name,
                    };
                    self.unshare(&path, reason, &error.to_string());
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: &OwnedFd, name: &CString, path: TreePath) -> Result<(), Stopped> {
        let found = match fstatat(folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            // Gone since the folder was read.
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => {
                self.pass_over(&path, Reason::Unreadable, &unreadable(errno));
                return Ok(());
            }
        };
        if is_dir(&found) {
            return self.subfolder(folder, name, path);
        }
        if !is_file(&found) {
            let why = match found.st_mode & libc::S_IFMT {
                libc::S_IFLNK => {
                    "symbolic links are not shared: others would follow them; use a copy"
                }
                libc::S_IFIFO => "pipes are not shared",
                libc::S_IFSOCK => "sockets are not shared",
                _ => "devices are not shared",
            };
            self.pass_over(&path, Reason::Special, why);
            return Ok(());
        }
        if found.st_mode & (libc::S_ISUID | libc::S_ISGID) != 0 {
            let why = "set-uid and set-gid files are not shared; chmod ug-s";
            self.pass_over(&path, Reason::Special, why);
            return Ok(());
        }
        if found.st_nlink > 1 {
            // With an owner the kernel says whose file it is. Without, all names have to be on the desk.
            match self.bounds.owner {
                Some(owner) if found.st_uid != owner.uid => {
                    self.pass_over(&path, Reason::Special, "it is a link to another's file");
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    let link = self.links.entry(found.st_ino);
                    let link = link.or_insert((found.st_nlink, Vec::new()));
                    link.0 = link.0.saturating_sub(1);
                    link.1.push(path.clone());
                }
            }
        }
        let stamp = Stamp::of(&found);
        let round = self.round;
        if let Some(entry) = self.known.get_mut(&path) {
            entry.seen = round;
            if entry.is_settled(&stamp) {
                return Ok(());
            }
        }
        let candidate = (path, Candidate::File(stamp));
        self.found.candidates.push(candidate);
        Ok(())
    }

    fn subfolder(&mut self, at: &OwnedFd, name: &CString, path: TreePath) -> Result<(), Stopped> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match openat(at, name.as_c_str(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(errno) => {
                self.pass_over(&path, Reason::Unreadable, &unreadable(errno));
                return Ok(());
            }
        };
        match self.known.get_mut(&path) {
            Some(entry) if entry.state == State::Dir => entry.seen = self.round,
            other => {
                if let Some(entry) = other {
                    entry.seen = self.round;
                }
                let candidate = (path.clone(), Candidate::Dir);
                self.found.candidates.push(candidate);
            }
        }
        self.folder(&fd, Some(&path))
    }
}

pub(super) fn unreadable(errno: Errno) -> String {
    format!(
        "it cannot be read ({}); give yourself the right to, or remove it",
        errno.desc()
    )
}
