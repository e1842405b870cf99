//! What must hold after a kill and recovery, checked with nothing of the broker's own judgement but its data types.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use formicarium_agents::broker::*;

/// What the facts so far come to.
pub struct Check {
    folder: PathBuf,
    sequence: u64,
    token: u64,
    newest: BTreeMap<TreePath, Version>,
    versions: HashMap<u64, Version>,
    leases: BTreeMap<u64, (Scope, String)>,
    acknowledged_bytes: usize,
    pub counts: Counts,
}

/// What there was to check.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub facts: u64,
    pub acknowledged: usize,
    pub repaired: usize,
    pub merged: usize,
    pub refused: usize,
    pub leased: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts {
            facts,
            acknowledged,
            repaired,
            merged,
            refused,
            leased,
        } = self;
        write!(
            f,
            "{repaired} with something to repair; {facts} facts, {acknowledged} versions acknowledged and 0 lost, {merged} merged, \
             {leased} under a lease, {refused} refused and kept"
        )
    }
}

impl Check {
    pub fn new(folder: &Path) -> Check {
        Check {
            folder: folder.to_owned(),
            sequence: 0,
            token: 0,
            newest: BTreeMap::new(),
            versions: HashMap::new(),
            leases: BTreeMap::new(),
            acknowledged_bytes: 0,
            counts: Counts::default(),
        }
    }

    /// Recovers, and checks everything.
    pub fn round(&mut self, what: &str, journal: &dyn Journal) {
        let (_, repaired) = recover(&self.folder, journal).expect(what);
        self.counts.repaired += usize::from(!repaired.is_nothing());
        let (_, again) = recover(&self.folder, journal).expect(what);
        assert!(
            again.is_nothing(),
            "{what}: a second recovery finds work: {again}"
        );
        for fact in journal.facts_after(self.sequence).expect(what) {
            self.sequence += 1;
            assert_eq!(fact.sequence(), self.sequence, "{what}: a fact is missing");
            self.fact(fact, journal, what);
        }
        self.acknowledged(what);
        self.tree(what);
        self.counts.facts = self.sequence;
    }

    fn fact(&mut self, fact: Fact, journal: &dyn Journal, what: &str) {
        match fact {
            Fact::Version(version) => {
                let before = self.newest.get(&version.path);
                assert_eq!(
                    version.parent,
                    before.map(|v| v.sequence),
                    "{what}: an update is lost: {version:?}"
                );
                assert_eq!(
                    version.number,
                    before.map_or(1, |v| v.number + 1),
                    "{what}: {version:?}"
                );
                for hash in version.state.hash().into_iter().chain(version.merged) {
                    let content = journal.content(&hash).expect(what);
                    let content =
                        content.unwrap_or_else(|| panic!("{what}: no content of {version:?}"));
                    assert_eq!(ContentHash::of(&content), hash, "{what}: {version:?}");
                }
                let covering: Vec<_> = self
                    .leases
                    .iter()
                    .filter(|(_, (scope, _))| scope.covers(&version.path))
                    .collect();
                if !covering.is_empty() {
                    let (_, (_, holder)) = covering
                        .iter()
                        .find(|(token, _)| Some(**token) == version.token)
                        .unwrap_or_else(|| {
                            panic!("{what}: published against a lease: {version:?} {covering:?}")
                        });
                    assert_eq!(Some(holder), version.seat.as_ref(), "{what}: {version:?}");
                    self.counts.leased += 1;
                } else {
                    assert_eq!(
                        version.token, None,
                        "{what}: a token without a lease: {version:?}"
                    );
                }
                self.counts.merged += usize::from(version.merged.is_some());
                self.newest.insert(version.path.clone(), version.clone());
                self.versions.insert(version.sequence, version);
            }
            Fact::Refusal(refusal) => {
                self.counts.refused += 1;
                if let Some(hash) = refusal.wanted.and_then(|wanted| wanted.hash()) {
                    assert!(
                        journal.has_content(&hash).expect(what),
                        "{what}: refused and not kept: {refusal:?}"
                    );
                }
            }
            Fact::Lease(lease) => match lease.change {
                LeaseChange::Granted { .. } => {
                    assert!(
                        lease.token > self.token,
                        "{what}: a token came twice: {lease:?}"
                    );
                    self.token = lease.token;
                    let overlaps = self
                        .leases
                        .values()
                        .any(|(s, seat)| s.overlaps(&lease.scope) && *seat != lease.seat);
                    assert!(!overlaps, "{what}: two hold one path: {lease:?}");
                    self.leases.insert(lease.token, (lease.scope, lease.seat));
                }
                LeaseChange::Renewed { .. } => {
                    assert!(self.leases.contains_key(&lease.token), "{what}")
                }
                LeaseChange::Ended { .. } => {
                    assert!(
                        self.leases.remove(&lease.token).is_some(),
                        "{what}: it ended twice: {lease:?}"
                    );
                }
            },
        }
    }

    fn acknowledged(&mut self, what: &str) {
        let Ok(list) = fs::read_to_string(self.folder.join("acknowledged")) else {
            return;
        };
        for line in list[self.acknowledged_bytes..].lines() {
            let version: Version = serde_json::from_str(line).expect("a line is written at once");
            let kept = self.versions.get(&version.sequence);
            assert_eq!(kept, Some(&version), "{what}: acknowledged and lost");
            self.counts.acknowledged += 1;
        }
        self.acknowledged_bytes = list.len();
    }

    fn tree(&self, what: &str) {
        let mut found = BTreeMap::new();
        walk(&self.folder.join("shared"), "", &mut found);
        let wanted: BTreeMap<String, State> = self
            .newest
            .values()
            .filter(|version| version.state != State::Absent)
            .map(|version| (version.path.to_string(), version.state))
            .collect();
        assert_eq!(found, wanted, "{what}: the tree is not as the journal");
        let staging = fs::read_dir(self.folder.join("staging"))
            .expect(what)
            .count();
        assert_eq!(staging, 0, "{what}: something is left in staging");
    }
}

fn walk(at: &Path, prefix: &str, found: &mut BTreeMap<String, State>) {
    for entry in fs::read_dir(at).expect("the tree is read") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.metadata().expect("it is there");
        let mode = kind.permissions().mode() & 0o7777;
        if kind.is_dir() {
            assert_eq!(mode, 0o755, "{path}");
            walk(&entry.path(), &format!("{path}/"), found);
            found.insert(path, State::Dir);
        } else {
            assert!(
                kind.is_file() && matches!(mode, 0o644 | 0o755),
                "{path} {mode:o}"
            );
            let content = fs::read(entry.path()).expect("it is read");
            let state = State::File {
                hash: ContentHash::of(&content),
                bytes: content.len() as u64,
                executable: mode == 0o755,
            };
            found.insert(path, state);
        }
    }
}
