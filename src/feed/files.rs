//! The shared files that spectators see: newest versions, leases, who waits. Kept from what became of them, tick by tick.
//!
//! Pure, and bounded: of a large tree those paths are shown that changed last. Must not know the broker, clocks or sockets.

use std::collections::{BTreeMap, BTreeSet};

use super::files_wire::{
    FilesSnapshot, FilesTick, LeaseColumns, PathColumns, Standing, Totals, WaitColumns,
};

/// Paths that spectators are shown.
const PATHS: usize = 2_000;
/// Leases, and waiting seats, that they are shown.
const HOLDERS: usize = 1_000;

/// The newest version of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathState {
    /// Place in the order of all that became of the tree.
    pub sequence: u64,
    /// Its number, from 1.
    pub version: u64,
    /// What stands there.
    pub standing: Standing,
    /// Bytes of a file.
    pub bytes: u64,
    /// Who published it; none for the host.
    pub seat: Option<u32>,
    /// In which tick.
    pub tick: u64,
}

/// What a lease covers, or is wanted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Covered {
    /// The path; empty for the whole tree.
    pub path: String,
    /// And all that lies below it.
    pub subtree: bool,
}

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it covers.
    pub scope: Covered,
    /// Who holds it.
    pub seat: u32,
    /// The tick in which it began; none where this is news of a lease that is known already.
    pub since: Option<u64>,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: u64,
}

/// A seat that waits for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What it waits for.
    pub scope: Covered,
    /// Who.
    pub seat: u32,
    /// The tick in which it asked first.
    pub since: u64,
}

/// What became of the shared files in some time; that of several times can be put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesDelta {
    /// New versions, the newest of each path.
    pub paths: BTreeMap<String, PathState>,
    /// Leases that began or were prolonged; none: it ended.
    pub leases: BTreeMap<u64, Option<Held>>,
    /// All that wait, if that changed.
    pub waiting: Option<Vec<Waiting>>,
    /// Files in the tree by now.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many versions seats have published.
    pub published: u64,
    /// How many refusals there were.
    pub refused: u64,
}

impl FilesDelta {
    /// Adds what became of them after this.
    pub fn then(&mut self, later: FilesDelta) {
        self.paths.extend(later.paths);
        for (token, held) in later.leases {
            let known = self.leases.get(&token).cloned().flatten();
            let held = held.map(|held| Held {
                since: held.since.or(known.and_then(|known| known.since)),
                ..held
            });
            self.leases.insert(token, held);
        }
        self.waiting = later.waiting.or(self.waiting.take());
        (self.count, self.bytes) = (later.count, later.bytes);
        self.published += later.published;
        self.refused += later.refused;
    }
}

/// The state that spectators see.
#[derive(Debug, Default)]
pub struct Files {
    paths: BTreeMap<String, PathState>,
    /// What is shown, in the order in which it would make room: what is gone first, then what changed longest ago.
    order: BTreeSet<(bool, u64, String)>,
    leases: BTreeMap<u64, Held>,
    waiting: Vec<Waiting>,
    totals: Totals,
}

impl Files {
    /// Takes in what became of the files; none if spectators see no difference.
    pub fn apply(&mut self, delta: FilesDelta) -> Option<FilesTick> {
        let before = self.totals;
        let mut tick = FilesTick::default();
        // With it, whether it was shown before.
        let mut changed = BTreeMap::new();
        for (path, state) in delta.paths {
            let was_shown = self.paths.contains_key(&path);
            // The tree as it stood when it was opened is told again with the first tick.
            if self.put(&path, state) {
                changed.insert(path, was_shown);
            }
        }
        while self.paths.len() > PATHS
            && let Some((_, _, path)) = self.order.pop_first()
        {
            self.paths.remove(&path);
            // What spectators have not heard of they need not forget.
            if changed.remove(&path).unwrap_or(true) {
                tick.del.push(path);
            }
        }
        let upd = changed.keys().map(|path| (path, &self.paths[path]));
        tick.upd = path_columns(upd);

        let has_leases = !delta.leases.is_empty();
        for (token, held) in delta.leases {
            match held {
                Some(held) => {
                    let known = self.leases.get(&token).and_then(|held| held.since);
                    let since = held.since.or(known);
                    self.leases.insert(token, Held { since, ..held });
                }
                None => {
                    self.leases.remove(&token);
                }
            }
        }
        tick.leases = has_leases.then(|| lease_columns(&self.leases));
        if let Some(waiting) = delta.waiting {
            self.waiting = waiting;
            tick.waiting = Some(wait_columns(&self.waiting));
        }
        self.totals = Totals {
            count: delta.count,
            bytes: delta.bytes,
            held: self.leases.len() as u64,
            waits: self.waiting.len() as u64,
            published: before.published + delta.published,
            refused: before.refused + delta.refused,
        };
        tick.totals = self.totals;
        let same = FilesTick {
            totals: before,
            ..FilesTick::default()
        };
        (tick != same).then_some(tick)
    }

    /// Takes in a version; false if it is known, or there is a newer one.
    fn put(&mut self, path: &str, state: PathState) -> bool {
        if let Some(old) = self.paths.get(path) {
            if old.sequence >= state.sequence {
                return false;
            }
            self.order.remove(&place(path, old));
        }
        self.order.insert(place(path, &state));
        self.paths.insert(path.to_owned(), state);
        true
    }

    /// The run is over: nobody holds anything or waits any more. None if nobody did.
    pub fn end(&mut self) -> Option<FilesTick> {
        let delta = FilesDelta {
            leases: self.leases.keys().map(|token| (*token, None)).collect(),
            waiting: (!self.waiting.is_empty()).then(Vec::new),
            count: self.totals.count,
            bytes: self.totals.bytes,
            ..FilesDelta::default()
        };
        self.apply(delta)
    }

    /// All of it.
    pub fn snapshot(&self) -> FilesSnapshot {
        FilesSnapshot {
            paths: path_columns(self.paths.iter()),
            leases: lease_columns(&self.leases),
            waiting: wait_columns(&self.waiting),
            totals: self.totals,
        }
    }
}

fn place(path: &str, state: &PathState) -> (bool, u64, String) {
    let is_there = state.standing != Standing::Gone;
    (is_there, state.sequence, path.to_owned())
}

fn path_columns<'a>(paths: impl Iterator<Item = (&'a String, &'a PathState)>) -> PathColumns {
    let mut columns = PathColumns::default();
    for (path, state) in paths {
        columns.path.push(path.clone());
        columns.version.push(state.version);
        columns.kind.push(state.standing as u8);
        columns.bytes.push(state.bytes);
        columns.seat.push(state.seat.map_or(-1, i64::from));
        columns.tick.push(state.tick);
    }
    columns
}

fn lease_columns(leases: &BTreeMap<u64, Held>) -> LeaseColumns {
    let mut columns = LeaseColumns::default();
    for (token, held) in leases.iter().take(HOLDERS) {
        columns.token.push(*token);
        columns.path.push(held.scope.path.clone());
        columns.subtree.push(held.scope.subtree.into());
        columns.seat.push(held.seat);
        columns.since.push(held.since.unwrap_or(0));
        columns.until_ms.push(held.until_ms);
    }
    columns
}

fn wait_columns(waiting: &[Waiting]) -> WaitColumns {
    let mut columns = WaitColumns::default();
    for wait in waiting.iter().take(HOLDERS) {
        columns.path.push(wait.scope.path.clone());
        columns.subtree.push(wait.scope.subtree.into());
        columns.seat.push(wait.seat);
        columns.since.push(wait.since);
    }
    columns
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
