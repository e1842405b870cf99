//! What desks may come to take, held against what the machine and the seats' own limits have: before a run begins.
//!
//! Must not know who sits where beyond a name.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::broker::Limits;
use crate::plan::ProcessLimits;

/// Versions of a file that the estimate of the history counts: the tree itself, and one edit of all of it.
const HISTORY: u64 = 2;

/// What all desks and the shared tree take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Seats with a desk.
    pub desks: u64,
    /// Files of the tree at the start, and their bytes.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that the tree may come to have.
    pub most_files: u64,
    /// Bytes of them.
    pub most_bytes: u64,
}

/// Why there is too little room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooDear {
    /// The file system.
    #[error(
        "{desks} desks, the shared tree and its history may come to take {needed} and {files} files ({desks} + 3 times {tree} and \
         {tree_files} files, by [files]), and the file system of the run's folder has {free} and room for {free_files} files; \
         lower max_bytes or max_files, seat fewer agents, or record elsewhere (--out)",
        needed = size(*.needed), tree = size(*.tree), free = size(*.free)
    )]
    Disk {
        /// Desks.
        desks: u64,
        /// Bytes needed.
        needed: u64,
        /// Files needed.
        files: u64,
        /// Bytes of one tree.
        tree: u64,
        /// Files of one tree.
        tree_files: u64,
        /// Bytes free.
        free: u64,
        /// Files free.
        free_files: u64,
    },
    /// A seat's own limit.
    #[error(
        "the shared tree may come to have {} in {files} files (by [files]), and seat {seat} may keep {} in {may_files} files in all \
         (limits in the cast); raise workspace_bytes and workspace_files, lower max_bytes and max_files, or give it no desk \
         (files = false)",
        size(*.bytes), size(*.may)
    )]
    Seat {
        /// The seat.
        seat: String,
        /// Bytes of the tree.
        bytes: u64,
        /// Files of the tree.
        files: u64,
        /// Bytes that it may keep.
        may: u64,
        /// Files that it may keep.
        may_files: u64,
    },
}

impl Cost {
    /// Of so many desks of a tree.
    pub fn of(desks: usize, tree: &[(String, std::sync::Arc<[u8]>)], limits: &Limits) -> Cost {
        Cost {
            desks: desks as u64,
            files: tree.len() as u64,
            bytes: tree.iter().map(|(_, content)| content.len() as u64).sum(),
            most_files: limits.entries as u64,
            most_bytes: limits.tree_bytes,
        }
    }

    /// Holds it against a file system and the seats' limits.
    ///
    /// # Errors
    /// There is too little room.
    pub fn check<'a>(
        &self,
        folder: &Path,
        seats: impl Iterator<Item = (&'a str, &'a ProcessLimits)>,
    ) -> Result<(), TooDear> {
        for (seat, limits) in seats {
            let may = limits.workspace_bytes.unwrap_or(u64::MAX);
            let may_files = limits.workspace_files.unwrap_or(u64::MAX);
            if may < self.most_bytes || may_files < self.most_files {
                return Err(TooDear::Seat {
                    seat: seat.to_owned(),
                    bytes: self.most_bytes,
                    files: self.most_files,
                    may,
                    may_files,
                });
            }
        }
        // A file system that tells nothing of itself is found out when it is full.
        let Ok(found) = statvfs(folder) else {
            return Ok(());
        };
        let free = found.blocks_available() * found.fragment_size();
        // Some file systems have no fixed number of files, and say 0 of all.
        let free_files = match found.files() {
            0 => u64::MAX,
            _ => found.files_available(),
        };
        let needed = (self.desks + 1 + HISTORY).saturating_mul(self.most_bytes);
        let files = (self.desks + 1).saturating_mul(self.most_files);
        if needed > free || files > free_files {
            return Err(TooDear::Disk {
                desks: self.desks,
                needed,
                files,
                tree: self.most_bytes,
                tree_files: self.most_files,
                free,
                free_files,
            });
        }
        Ok(())
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} files of {} on {} desks: {} files, {}; at most {} files, {}",
            self.files,
            size(self.bytes),
            self.desks,
            self.files * self.desks,
            size(self.bytes * self.desks),
            self.most_files.saturating_mul(self.desks),
            size(self.most_bytes.saturating_mul(self.desks)),
        )
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut left = bytes as f64;
    while left >= 1024.0 && unit + 1 < UNITS.len() {
        left /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{left:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_desks_may_take_is_held_against_what_there_is() {
        let tree = [("a".to_owned(), std::sync::Arc::from(&b"0123456789"[..]))];
        let limits = Limits {
            entries: 1000,
            tree_bytes: 16 << 20,
            ..Limits::default()
        };
        let cost = Cost::of(8, &tree, &limits);
        assert_eq!(
            cost.to_string(),
            "1 files of 10 B on 8 desks: 8 files, 80 B; at most 8000 files, 128.0 MiB"
        );
        let folder = std::env::temp_dir();
        let generous = ProcessLimits::default();
        assert_eq!(
            cost.check(&folder, [("ada", &generous)].into_iter()),
            Ok(())
        );
        let small = ProcessLimits {
            workspace_bytes: Some(1 << 20),
            ..generous
        };
        let why = cost
            .check(&folder, [("ada", &generous), ("bob", &small)].into_iter())
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("16.0 MiB in 1000 files") && why.contains("seat bob may keep 1.0 MiB"),
            "{why}"
        );
        let vast = Limits {
            tree_bytes: 1 << 50,
            ..limits
        };
        let why = Cost::of(8, &tree, &vast)
            .check(&folder, std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("8 desks") && why.contains("11264.0 TiB"),
            "{why}"
        );
    }
}
