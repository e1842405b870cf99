//! From a desk to a publish: what has changed is found, read while the seat is stopped, and renames are linked.
//!
//! Must not know what becomes of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat2};
use nix::sys::stat::fstat;

use super::{Desk, DeskError, Freeze, Frozen};
use crate::broker::tree::{beneath, is_file};
use crate::broker::{Base, Change, Publish, Reason, State, TreePath, Unshared, Wanted};
use crate::workspace::scan::{Candidate, Stamp, now_ns, unreadable};

/// How often a file that changes while it is read is read again.
const READS: usize = 3;

impl Desk {
    /// Collects what has changed, all of it or what lies at or below `only`. The seat is frozen only if something may
    /// have changed, and only while that is read. Seat, tick and tokens are the caller's to add. Its outcome has to be
    /// told by [`Desk::settle`].
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn collect(
        &mut self,
        only: Option<&[TreePath]>,
        freeze: &mut dyn Freeze,
    ) -> Result<Publish, DeskError> {
        let _user = self.user()?;
        self.collected.clear();
        let root = self.root()?;
        let first = self.scan(&root)?;
        if first.candidates.is_empty() {
            return Ok(Publish {
                unshared: first.unshared,
                ..Publish::default()
            });
        }
        let frozen = Frozen::begin(freeze)?;
        // What was found may have gone on changing until now.
        let found = self.scan(&root)?;
        let mut publish = Publish {
            unshared: found.unshared,
            ..Publish::default()
        };
        let until = Instant::now() + self.plan.time;
        let mut bytes = 0;
        for (path, candidate) in found.candidates {
            let asked = |o: &TreePath| path == *o || path.is_below(o) || o.is_below(&path);
            if only.is_some_and(|only| !only.iter().any(asked)) {
                continue;
            }
            if Instant::now() > until {
                return Err(self.slow());
            }
            let wanted = match candidate {
                Candidate::Gone => Ok(Some((Wanted::Absent, None))),
                Candidate::Dir => Ok(Some((Wanted::Dir, None))),
                Candidate::File(stamp) => self.read(&root, &path, stamp, bytes),
            };
            match wanted {
                Ok(None) => {}
                Ok(Some((wanted, stamp))) => {
                    bytes += wanted.state().bytes();
                    self.collected.insert(path.clone(), (wanted.state(), stamp));
                    let entry = self.entries.get(&path);
                    publish.changes.push(Change {
                        base: entry.map_or(Base::NONE, |entry| Base {
                            version: entry.version,
                            state: entry.state,
                        }),
                        path,
                        wanted,
                        from: None,
                    });
                }
                Err((reason, why)) => publish.unshared.push(Unshared {
                    path: path.to_string(),
                    reason,
                    why,
                }),
            }
        }
        drop(frozen);
        self.link_renames(&mut publish.changes);
        Ok(publish)
    }

    /// What has changed, as far as it can be told while the seat goes on: for showing, not for publishing.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn look(&mut self) -> Result<Publish, DeskError> {
        let publish = self.collect(None, &mut ());
        self.collected.clear();
        publish
    }

    /// Reads a candidate. None when it is what it was.
    #[expect(clippy::type_complexity, reason = "one use")]
    fn read(
        &mut self,
        root: &OwnedFd,
        path: &TreePath,
        stamp: Stamp,
        bytes: u64,
    ) -> Result<Option<(Wanted, Option<(Stamp, i128)>)>, (Reason, String)> {
        let limits = &self.plan.limits;
        if stamp.bytes > limits.file_bytes || bytes + stamp.bytes > limits.publish_bytes {
            let why = format!(
                "it has {} bytes; a file may have {}, and a publish {} in all",
                stamp.bytes, limits.file_bytes, limits.publish_bytes
            );
            return Err((Reason::Limit, why));
        }
        for _ in 0..READS {
            let taken_ns = now_ns();
            let read = read_file(root, path, limits.file_bytes);
            let (stamp, content) = match read.map_err(|e| (Reason::Unreadable, unreadable(e)))? {
                Some(read) => read,
                None => continue,
            };
            let wanted = Wanted::file(content, stamp.is_executable());
            if let Some(entry) = self.entries.get_mut(path)
                && entry.state == wanted.state()
            {
                entry.stamp = Some((stamp, taken_ns));
                return Ok(None);
            }
            return Ok(Some((wanted, Some((stamp, taken_ns)))));
        }
        let why = "it changed while it was read; publish again when it is at rest".to_owned();
        Err((Reason::Unreadable, why))
    }

    /// A file that came where another with the same inode or content went was renamed.
    fn link_renames(&self, changes: &mut [Change]) {
        let (mut inodes, mut hashes) = (HashMap::new(), HashMap::new());
        for change in changes.iter().filter(|c| c.wanted == Wanted::Absent) {
            let Some(entry) = self.entries.get(&change.path) else {
                continue;
            };
            if let (Some(hash), Some(version)) = (entry.state.hash(), entry.version) {
                inodes.extend(entry.stamp.map(|(stamp, _)| (stamp.inode, version)));
                hashes.insert(hash, version);
            }
        }
        for change in changes.iter_mut() {
            let Wanted::File { hash, .. } = &change.wanted else {
                continue;
            };
            if change.base.state == State::Absent {
                let stamp = self
                    .collected
                    .get(&change.path)
                    .and_then(|(_, stamp)| *stamp);
                let by_inode = stamp.and_then(|(stamp, _)| inodes.get(&stamp.inode));
                change.from = by_inode.or_else(|| hashes.get(hash)).copied();
            }
        }
    }
}

/// Reads a file of a desk: a regular one, beneath the root, through no link, without waiting. None when it changed
/// meanwhile.
pub(super) fn read_file(
    root: &OwnedFd,
    path: &TreePath,
    limit: u64,
) -> nix::Result<Option<(Stamp, Vec<u8>)>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let fd = openat2(root, path.as_str(), beneath(flags))?;
    let before = fstat(&fd)?;
    let stamp = Stamp::of(&before);
    if !is_file(&before) || stamp.bytes > limit {
        return Ok(None);
    }
    let mut content = Vec::with_capacity(stamp.bytes as usize);
    let mut file = File::from(fd);
    let read = (&mut file).take(stamp.bytes + 1).read_to_end(&mut content);
    read.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let after = Stamp::of(&fstat(file.as_fd())?);
    Ok((after == stamp && content.len() as u64 == stamp.bytes).then_some((stamp, content)))
}
