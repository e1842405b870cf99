//! One walk through a seat's files: by stamps, reading only what may be other.
//!
//! Follows no link, opens nothing but folders and regular files, and ends within its bounds whatever the agent has put
//! there. Must not know when it is done, or why.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{Mode, fstat, fstatat};

use super::watch::Watch;
use super::{Change, ENTRIES, FILE_BYTES, IGNORED, LOOK_BYTES, LOOK_TIME, Now, Seen};
use crate::broker::ContentHash;
use crate::broker::tree::{DIRECTORY, SHARED, is_dir, is_file, names_up_to};
use crate::workspace::desk;
use crate::workspace::scan::{Stamp, is_settled, now_ns};

/// A file shorter than this is kept anew rather than as what was added to it.
const SHORT: u64 = 4096;
/// Most folders in one another.
const DEPTH: usize = 64;

/// A path as it was last seen.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// What stood there; none: something that is not kept.
    seen: Option<Seen>,
    /// Its stamp, and when that was taken.
    stamp: Option<(Stamp, i128)>,
    round: u64,
}

impl Entry {
    pub(super) fn of(seen: Seen) -> Entry {
        Entry {
            seen: Some(seen),
            stamp: None,
            round: 0,
        }
    }
}

/// What a walk may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: u64,
    pub(super) file_bytes: u64,
    pub(super) until: Instant,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            entries: ENTRIES,
            bytes: LOOK_BYTES,
            file_bytes: FILE_BYTES,
            until: Instant::now() + LOOK_TIME,
        }
    }
}

pub(super) struct Walk<'a> {
    entries: &'a mut BTreeMap<String, Entry>,
    round: u64,
    bounds: Bounds,
    watch: (usize, &'a mut Watch),
    changes: Vec<Change>,
    /// It did not come to its end: what it has not met may still be there.
    is_cut: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        entries: &'a mut BTreeMap<String, Entry>,
        round: u64,
        bounds: Bounds,
        watch: (usize, &'a mut Watch),
    ) -> Walk<'a> {
        Walk {
            entries,
            round,
            bounds,
            watch,
            changes: Vec::new(),
            is_cut: false,
        }
    }

    /// Walks through a part of the seat's folder.
    pub(super) fn part(&mut self, fd: &OwnedFd, name: &str) {
        self.folder(fd, name, 0);
    }

    /// What has changed, by path.
    pub(super) fn finish(mut self) -> Vec<Change> {
        if self.is_cut {
            // The next look begins anew.
            self.watch.1.touch(self.watch.0);
        } else {
            let gone = self.entries.iter().filter(|(_, e)| e.round != self.round);
            let gone: Vec<String> = gone.map(|(path, _)| path.clone()).collect();
            for path in gone {
                if self.entries.remove(&path).is_some_and(|e| e.seen.is_some()) {
                    self.changes.push(Change {
                        path,
                        now: Now::Gone,
                    });
                }
            }
        }
        self.changes.sort_by(|a, b| a.path.cmp(&b.path));
        self.changes
    }

    /// Says once that something is not kept.
    fn leave_out(&mut self, path: String, why: String) {
        self.put(path, None, None, Now::LeftOut(why));
    }

    fn put(&mut self, path: String, seen: Option<Seen>, stamp: Option<(Stamp, i128)>, now: Now) {
        let entry = Entry {
            seen,
            stamp,
            round: self.round,
        };
        let before = self.entries.insert(path.clone(), entry);
        let is_news = match (&now, before) {
            (Now::LeftOut(_), Some(before)) => before.seen.is_some(),
            _ => true,
        };
        if is_news {
            self.changes.push(Change { path, now });
        }
    }

    /// Nothing below is looked at, and nothing that was known there is gone.
    pub(super) fn cut(&mut self, path: &str, why: &str) {
        self.is_cut = true;
        self.leave_out(path.to_owned(), why.to_owned());
    }

    fn folder(&mut self, fd: &OwnedFd, at: &str, depth: usize) {
        // Before it is read: what comes later is reported.
        self.watch.1.add(self.watch.0, fd);
        let found = match names_up_to(fd, self.bounds.entries + 1) {
            Ok(found) => found,
            Err(errno) => {
                self.cut(at, &format!("it cannot be read ({})", errno.desc()));
                return;
            }
        };
        if found.len() > self.bounds.entries {
            let why = format!("more than {ENTRIES} files, links and folders");
            return self.cut(at, &why);
        }
        self.bounds.entries -= found.len();
        for name in found {
            if Instant::now() > self.bounds.until {
                return self.cut(at, &format!("it was not read within {LOOK_TIME:?}"));
            }
            let Ok(text) = name.to_str() else {
                let path = format!("{at}/{}", name.to_string_lossy().escape_debug());
                self.leave_out(path, "its name is not UTF-8".into());
                continue;
            };
            if at == "workspace" && is_desk(text) {
                continue;
            }
            let path = format!("{at}/{text}");
            let found = match fstatat(fd, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                Err(_) => continue,
            };
            if is_dir(&found) {
                self.subfolder(fd, text, path, depth);
            } else if is_file(&found) {
                self.file(fd, text, path, Stamp::of(&found));
            } else if found.st_mode & libc::S_IFMT == libc::S_IFLNK {
                self.link(fd, text, path);
            } else {
                self.leave_out(path, "no file, link or folder".into());
            }
        }
    }

    fn subfolder(&mut self, at: &OwnedFd, name: &str, path: String, depth: usize) {
        if IGNORED.contains(&name) {
            return self.leave_out(path, format!("folders named {name} are not kept"));
        }
        if depth == DEPTH {
            return self.cut(&path, &format!("more than {DEPTH} folders in one another"));
        }
        match openat(at, name, OFlag::O_RDONLY | DIRECTORY, Mode::empty()) {
            Ok(fd) => {
                self.stand(&path, Seen::Dir, || Now::Dir);
                self.folder(&fd, &path, depth + 1);
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => self.cut(&path, &format!("it cannot be read ({})", errno.desc())),
        }
    }

    fn link(&mut self, at: &OwnedFd, name: &str, path: String) {
        let Ok(target) = readlinkat(at, name) else {
            return;
        };
        match target.into_string() {
            Ok(target) => {
                let now = target.clone();
                self.stand(&path, Seen::Link(target), || Now::Link(now));
            }
            Err(_) => self.leave_out(path, "it leads to a name that is not UTF-8".into()),
        }
    }

    /// Something without content stands there.
    fn stand(&mut self, path: &str, seen: Seen, now: impl FnOnce() -> Now) {
        match self.entries.get_mut(path) {
            Some(entry) if entry.seen.as_ref() == Some(&seen) => entry.round = self.round,
            _ => self.put(path.to_owned(), Some(seen), None, now()),
        }
    }

    fn file(&mut self, at: &OwnedFd, name: &str, path: String, stamp: Stamp) {
        if let Some(entry) = self.entries.get_mut(&path)
            && entry.stamp.is_some_and(|taken| is_settled(taken, &stamp))
        {
            entry.round = self.round;
            return;
        }
        let taken = now_ns();
        if stamp.bytes > self.bounds.file_bytes {
            let why = format!("it has {} bytes, more than {FILE_BYTES}", stamp.bytes);
            return self.put(path, None, Some((stamp, taken)), Now::LeftOut(why));
        }
        if stamp.bytes > self.bounds.bytes {
            let why = format!("more than {LOOK_BYTES} bytes are new at once");
            return self.cut(&path, &why);
        }
        let content = match read(at, name, self.bounds.file_bytes) {
            Ok(content) => content,
            Err(Errno::ENOENT) => return,
            Err(errno) => {
                let why = format!("it cannot be read ({})", errno.desc());
                return self.put(path, None, Some((stamp, taken)), Now::LeftOut(why));
            }
        };
        self.bounds.bytes = self.bounds.bytes.saturating_sub(content.len() as u64);
        let (hash, bytes) = (ContentHash::of(&content), content.len() as u64);
        let executable = stamp.is_executable();
        let seen = Seen::File {
            hash,
            bytes,
            executable,
        };
        let before = self.entries.get_mut(&path);
        let mut base = None;
        if let Some(entry) = before {
            if entry.seen.as_ref() == Some(&seen) {
                entry.stamp = Some((stamp, taken));
                entry.round = self.round;
                return;
            }
            if let Some(Seen::File { hash, bytes, .. }) = entry.seen
                && (SHORT..content.len() as u64).contains(&bytes)
                && ContentHash::of(&content[..bytes as usize]) == hash
            {
                base = Some((hash, bytes as usize));
            }
        }
        let (base, rest) = match base {
            Some((hash, bytes)) => (Some(hash), content[bytes..].to_vec()),
            None => (None, content),
        };
        let now = Now::File {
            hash,
            bytes,
            executable,
            base,
            rest,
        };
        self.put(path, Some(seen), Some((stamp, taken)), now);
    }
}

/// Whether a name in the workspace belongs to the desk, which the shared tree stands behind.
fn is_desk(name: &str) -> bool {
    name == desk::STAGING
        || name
            .strip_prefix(SHARED)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(".old"))
}

/// Reads a regular file, through no link and without waiting: as much as is there by now, up to the limit.
fn read(at: &OwnedFd, name: &str, limit: u64) -> nix::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let file = File::from(openat(at, name, flags, Mode::empty())?);
    if !is_file(&fstat(file.as_fd())?) {
        return Err(Errno::EINVAL);
    }
    let mut content = Vec::new();
    let read = file.take(limit).read_to_end(&mut content);
    read.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(content)
}
