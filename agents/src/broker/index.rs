//! The newest version of every path, in memory, with what limits are counted by.
//!
//! Must not know leases, the journal or the file system.

use std::collections::BTreeMap;

use super::path::TreePath;
use super::version::{State, Version};

/// The newest versions, absent ones included.
#[derive(Debug, Clone, Default)]
pub struct Index {
    newest: BTreeMap<TreePath, Version>,
    by_sequence: BTreeMap<u64, TreePath>,
    entries: usize,
    files: usize,
    bytes: u64,
}

impl Index {
    /// Takes a version in, in place of the one of the same path.
    pub fn put(&mut self, version: Version) {
        let mut count = |state: &State, up: bool| {
            let entries = usize::from(*state != State::Absent);
            let files = usize::from(matches!(state, State::File { .. }));
            if up {
                self.entries += entries;
                self.files += files;
                self.bytes += state.bytes();
            } else {
                self.entries -= entries;
                self.files -= files;
                self.bytes -= state.bytes();
            }
        };
        count(&version.state, true);
        if let Some(old) = self.newest.get(&version.path) {
            count(&old.state, false);
            self.by_sequence.remove(&old.sequence);
        }
        self.by_sequence
            .insert(version.sequence, version.path.clone());
        self.newest.insert(version.path.clone(), version);
    }

    /// The newest version of a path, be it absent.
    pub fn get(&self, path: &TreePath) -> Option<&Version> {
        self.newest.get(path)
    }

    /// What stands at a path.
    pub fn state(&self, path: &TreePath) -> State {
        self.newest.get(path).map_or(State::Absent, |v| v.state)
    }

    /// All that stands in the tree, in order of paths: a folder before what is in it.
    pub fn present(&self) -> impl Iterator<Item = &Version> {
        self.newest.values().filter(|v| v.state != State::Absent)
    }

    /// All that stands below a path.
    pub fn below(&self, path: &TreePath) -> impl Iterator<Item = &Version> {
        self.newest
            .range(path.below())
            .map(|(_, version)| version)
            .filter(|version| version.state != State::Absent)
    }

    /// The newest versions with a higher sequence number, the oldest first, absent ones included.
    pub fn changed_since(&self, sequence: u64) -> impl Iterator<Item = &Version> {
        self.by_sequence
            .range(sequence.saturating_add(1)..)
            .map(|(_, path)| &self.newest[path])
    }

    /// How many files and folders stand in the tree.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// How many files stand in the tree.
    pub fn files(&self) -> usize {
        self.files
    }

    /// How many bytes the files of the tree have.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
