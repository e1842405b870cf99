//! Whether a publish may be: checked against leases, current versions, limits and the shape of a tree; merged where
//! texts do not collide.
//!
//! Decides only. Must not know the file system, and writes nothing: what it decided is committed by the broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::Index;
use super::journal::JournalError;
use super::lease::{Lease, Leases, span};
use super::merge::merge;
use super::path::TreePath;
use super::publish::{Change, Limits, Publish, Wanted};
use super::version::{ContentHash, Reason, State, Version};

/// A path that may have a new version.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub path: TreePath,
    pub state: State,
    pub from: Option<u64>,
    pub merged: Option<ContentHash>,
    pub token: Option<u64>,
}

/// A path that may not.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub path: TreePath,
    pub reason: Reason,
    pub why: String,
    pub wanted: State,
    pub base: Option<u64>,
}

/// What the check came to. With a refusal nothing is accepted.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// In the order in which they can be carried out: what goes, the deepest first; then what comes, folders first.
    pub accepted: Vec<Accepted>,
    pub refused: Vec<Refused>,
    /// Paths at which stands already what was wanted; and folders that stay because others have files in them.
    pub unchanged: Vec<TreePath>,
    /// Whether the publish is over a limit as a whole: then nothing of it is kept.
    pub too_much: bool,
    /// Contents of merges.
    pub contents: Vec<(ContentHash, Arc<[u8]>)>,
}

/// Reads a content that the journal, or the batch that is being made, has.
pub(super) type ReadContent<'a> =
    dyn Fn(&ContentHash) -> Result<Option<Vec<u8>>, JournalError> + 'a;

/// Checks a publish. Leases whose time is over must have been taken out.
pub(super) fn check(
    publish: &Publish,
    index: &Index,
    leases: &Leases,
    limits: &Limits,
    read: &ReadContent<'_>,
) -> Result<Checked, JournalError> {
    let mut check = Check {
        publish,
        index,
        leases,
        limits,
        read,
        plan: BTreeMap::new(),
        out: Checked::default(),
    };
    if !check.whole() {
        return Ok(check.out);
    }
    for change in &publish.changes {
        check.change(change)?;
    }
    check.shape();
    Ok(check.finish())
}

struct Check<'a> {
    publish: &'a Publish,
    index: &'a Index,
    leases: &'a Leases,
    limits: &'a Limits,
    read: &'a ReadContent<'a>,
    plan: BTreeMap<TreePath, Accepted>,
    out: Checked,
}

impl Check<'_> {
    fn refuse(&mut self, change: &Change, reason: Reason, why: String) {
        self.out.refused.push(Refused {
            path: change.path.clone(),
            reason,
            why,
            wanted: change.wanted.state(),
            base: change.base.version,
        });
    }

    fn refuse_all(&mut self, reason: Reason, why: &str) -> bool {
        for change in &self.publish.changes {
            self.refuse(change, reason, why.to_owned());
        }
        false
    }

    /// What concerns the publish as a whole. False when that is its end.
    fn whole(&mut self) -> bool {
        let (publish, limits) = (self.publish, self.limits);
        if publish.changes.len() > limits.changes {
            let why = format!(
                "{} paths changed and a publish takes {}; publish a part at a time",
                publish.changes.len(),
                limits.changes
            );
            // One refusal speaks for all: there are too many to name each.
            if let Some(first) = publish.changes.first() {
                self.refuse(first, Reason::Limit, why);
            }
            self.out.too_much = true;
            return false;
        }
        let bytes: u64 = publish
            .changes
            .iter()
            .map(|c| c.wanted.state().bytes())
            .sum();
        if bytes > limits.publish_bytes {
            let why = format!(
                "{bytes} bytes changed and a publish takes {}; publish a part at a time",
                limits.publish_bytes
            );
            if let Some(first) = publish.changes.first() {
                self.refuse(first, Reason::Limit, why);
            }
            self.out.too_much = true;
            return false;
        }
        for token in &publish.tokens {
            let own = self.leases.get(*token).map(|lease| Some(&lease.seat));
            if own != Some(publish.seat.as_ref()) {
                let why = format!(
                    "token {token} is over: its lease ended or was never yours; look at what stands there now, and ask \
                     for a new lease"
                );
                return self.refuse_all(Reason::Token, &why);
            }
        }
        true
    }

    /// The lease under which a path may be published, if it needs one.
    fn lease(&self, path: &TreePath, hides_below: bool) -> Result<Option<u64>, (Reason, String)> {
        let seat = self.publish.seat.as_deref();
        let mut own = None;
        let below = self.leases.below(path).filter(|_| hides_below);
        for lease in self.leases.covering(path) {
            if Some(lease.seat.as_str()) != seat {
                return Err((Reason::Leased, self.leased(lease)));
            }
            if self.publish.tokens.contains(&lease.token) {
                own = Some(Ok(lease.token));
            } else {
                own = own.or(Some(Err(lease.token)));
            }
        }
        for lease in below {
            if Some(lease.seat.as_str()) != seat {
                return Err((Reason::Leased, self.leased(lease)));
            }
        }
        match own {
            None => Ok(None),
            Some(Ok(token)) => Ok(Some(token)),
            Some(Err(token)) => Err((
                Reason::Token,
                format!("you lease it with token {token}; publish with that token"),
            )),
        }
    }

    fn leased(&self, lease: &Lease) -> String {
        format!(
            "{} is leased by {} for another {}; your content is kept: publish again when the lease is over",
            lease.scope,
            lease.seat,
            span(self.leases.left_ms(lease))
        )
    }

    fn change(&mut self, change: &Change) -> Result<(), JournalError> {
        let path = &change.path;
        if self.plan.contains_key(path) || self.out.unchanged.contains(path) {
            self.refuse(
                change,
                Reason::Kind,
                "it is named twice in this publish".into(),
            );
            return Ok(());
        }
        let wanted = change.wanted.state();
        let current = self.index.state(path);
        if wanted == current {
            self.out.unchanged.push(path.clone());
            return Ok(());
        }
        let token = match self.lease(path, matches!(wanted, State::File { .. })) {
            Ok(token) => token,
            Err((reason, why)) => {
                self.refuse(change, reason, why);
                return Ok(());
            }
        };
        if wanted.bytes() > self.limits.file_bytes {
            let why = format!(
                "it has {} bytes and a file may have {}",
                wanted.bytes(),
                self.limits.file_bytes
            );
            self.refuse(change, Reason::Limit, why);
            return Ok(());
        }
        let newest = self.index.get(path);
        let known = newest.map_or(0, |version| version.sequence);
        if change
            .base
            .version
            .is_some_and(|base| base > known || base == 0)
        {
            let why =
                "the version that the desk started from does not exist; refresh the desk".into();
            self.refuse(change, Reason::Base, why);
            return Ok(());
        }
        let mut accepted = Accepted {
            path: path.clone(),
            state: wanted,
            from: change.from,
            merged: None,
            token,
        };
        if change.base.state != current {
            match self.merged(change, current)? {
                Some((state, content)) if state == current => {
                    debug_assert!(content.is_none());
                    self.out.unchanged.push(path.clone());
                    return Ok(());
                }
                Some((state, content)) => {
                    accepted.state = state;
                    accepted.merged = wanted.hash();
                    self.out.contents.extend(content);
                }
                None => {
                    let why = collision(change, newest, current);
                    self.refuse(change, Reason::Conflict, why);
                    return Ok(());
                }
            }
        }
        self.plan.insert(path.clone(), accepted);
        Ok(())
    }

    /// A file that both sides changed: content and executable bit each from the side that changed it.
    #[expect(clippy::type_complexity, reason = "one use")]
    fn merged(
        &self,
        change: &Change,
        current: State,
    ) -> Result<Option<(State, Option<(ContentHash, Arc<[u8]>)>)>, JournalError> {
        let (
            State::File {
                hash: base_hash,
                executable: base_bit,
                ..
            },
            State::File {
                hash: their_hash,
                bytes: their_bytes,
                executable: their_bit,
            },
            Wanted::File {
                content,
                hash,
                executable,
            },
        ) = (change.base.state, current, &change.wanted)
        else {
            return Ok(None);
        };
        let executable = if *executable == base_bit {
            their_bit
        } else {
            *executable
        };
        let state = |hash, bytes| State::File {
            hash,
            bytes,
            executable,
        };
        if *hash == base_hash || *hash == their_hash {
            return Ok(Some((state(their_hash, their_bytes), None)));
        }
        if their_hash == base_hash {
            return Ok(Some((state(*hash, content.len() as u64), None)));
        }
        let (Some(base), Some(theirs)) = ((self.read)(&base_hash)?, (self.read)(&their_hash)?)
        else {
            return Ok(None);
        };
        let Some(merged) = merge(&base, &theirs, content) else {
            return Ok(None);
        };
        let hash = ContentHash::of(&merged);
        let state = state(hash, merged.len() as u64);
        if state.bytes() > self.limits.file_bytes || state == current {
            return Ok((state == current).then_some((state, None)));
        }
        Ok(Some((state, Some((hash, merged.into())))))
    }

    fn planned(&self, path: &TreePath) -> State {
        self.plan
            .get(path)
            .map_or_else(|| self.index.state(path), |accepted| accepted.state)
    }

    /// Something that will stand below a path.
    fn occupied(&self, path: &TreePath) -> Option<TreePath> {
        let stays = |at: &TreePath| self.planned(at) != State::Absent;
        self.index
            .below(path)
            .map(|version| &version.path)
            .find(|at| stays(at))
            .or_else(|| {
                let mut planned = self.plan.range(path.below()).map(|(at, _)| at);
                planned.find(|at| stays(at))
            })
            .cloned()
    }

    /// Whether what is left makes a tree: each entry in a folder, nothing in a file.
    fn shape(&mut self) {
        // Folders that go, the deepest first. One in which something of others' stands stays.
        let going: Vec<TreePath> = self
            .plan
            .values()
            .rev()
            .filter(|a| a.state == State::Absent && self.index.state(&a.path) == State::Dir)
            .map(|a| a.path.clone())
            .collect();
        for path in going {
            if self.occupied(&path).is_some() {
                self.plan.remove(&path);
                self.out.unchanged.push(path);
            }
        }
        let coming: Vec<TreePath> = self
            .plan
            .values()
            .filter(|a| a.state != State::Absent)
            .map(|a| a.path.clone())
            .collect();
        for path in coming {
            if let Err((reason, why)) = self.place(&path) {
                let change = self.publish.changes.iter().find(|c| c.path == path);
                if let Some(change) = change {
                    self.refuse(change, reason, why);
                }
            }
        }
        let (mut entries, mut bytes) = (self.index.entries(), self.index.bytes());
        for accepted in self.plan.values() {
            let old = self.index.state(&accepted.path);
            entries += usize::from(accepted.state != State::Absent);
            bytes += accepted.state.bytes();
            entries -= usize::from(old != State::Absent);
            bytes -= old.bytes();
        }
        let limits = self.limits;
        let grows = entries > self.index.entries() || bytes > self.index.bytes();
        if grows && (entries > limits.entries || bytes > limits.tree_bytes) {
            let why = format!(
                "the tree would have {entries} files and folders with {bytes} bytes, and may have {} with {}",
                limits.entries, limits.tree_bytes
            );
            if self.out.refused.is_empty()
                && let Some(change) = self.publish.changes.first()
            {
                self.refuse(change, Reason::Limit, why);
            }
        }
    }

    fn place(&mut self, path: &TreePath) -> Result<(), (Reason, String)> {
        if matches!(self.planned(path), State::File { .. })
            && let Some(inside) = self.occupied(path)
        {
            let why = format!("a file cannot stand where {inside} stands in a folder");
            return Err((Reason::Kind, why));
        }
        for folder in path.ancestors() {
            match self.planned(&folder) {
                State::Dir => {
                    // One that goes in this publish stays after all: `path` comes into it.
                    return Ok(());
                }
                State::File { .. } => {
                    return Err((Reason::Kind, format!("{folder} is a file, not a folder")));
                }
                State::Absent => {
                    let token = self.lease(&folder, false)?;
                    if self.index.state(&folder) == State::Dir {
                        self.plan.remove(&folder);
                        self.out.unchanged.push(folder);
                        continue;
                    }
                    let made = Accepted {
                        path: folder.clone(),
                        state: State::Dir,
                        from: None,
                        merged: None,
                        token,
                    };
                    self.plan.insert(folder, made);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Checked {
        if self.out.refused.is_empty() {
            let going = self.plan.values().rev();
            let going = going.filter(|a| a.state == State::Absent);
            let coming = self.plan.values().filter(|a| a.state != State::Absent);
            self.out.accepted = going.chain(coming).cloned().collect();
            return self.out;
        }
        let named: std::collections::BTreeSet<TreePath> =
            self.out.refused.iter().map(|r| r.path.clone()).collect();
        let because = self.out.refused[0].path.clone();
        for change in &self.publish.changes {
            if self.plan.contains_key(&change.path) && !named.contains(&change.path) {
                let why = format!("it waits for {because}, which was refused in the same publish");
                self.refuse(change, Reason::Together, why);
            }
        }
        self.out.contents.clear();
        self.out.unchanged.clear();
        self.out
    }
}

fn collision(change: &Change, newest: Option<&Version>, current: State) -> String {
    let (number, by) = newest.map_or((0, "nobody"), |version| {
        (
            version.number,
            version.seat.as_deref().unwrap_or("the scenario"),
        )
    });
    let began = match change.base.version {
        Some(base) => format!("fact #{base}"),
        None => "nothing".to_owned(),
    };
    format!(
        "{by} published {}@{number} (fact #{}, {current}), and yours ({}) began with {began}: the two collide. Yours is kept",
        change.path,
        newest.map_or(0, |version| version.sequence),
        change.wanted.state(),
    )
}
