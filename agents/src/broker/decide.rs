//! What becomes of one publish: which contents are kept, which facts are made, in memory.
//!
//! Must not commit, nor touch the tree: `mod.rs` does both. The rules are those of `check`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check;
use super::journal::JournalError;
use super::path::TreePath;
use super::publish::{Change, Publish, Wanted};
use super::version::{ContentHash, Fact, Reason, Refusal, Version};
use super::{Broker, Outcome, REMEMBERED_REFUSALS};

impl Broker {
    /// Decides on a publish against what came before it, in the same batch too.
    pub(super) fn decide(
        &mut self,
        publish: &Publish,
        contents: &mut BTreeMap<ContentHash, Arc<[u8]>>,
        facts: &mut Vec<Fact>,
    ) -> Result<Outcome, JournalError> {
        if let Some(why) = self.keep(publish, contents)? {
            return Ok(self.refuse_all(publish, &why, facts));
        }
        let checked = {
            let read = |hash: &ContentHash| match contents.get(hash) {
                Some(content) => Ok(Some(content.to_vec())),
                None => self.journal.content(hash),
            };
            check::check(publish, &self.index, &self.leases, &self.limits, &read)?
        };
        // Refused content is kept, but for what a limit keeps out.
        let over = |path: &TreePath| {
            let mut refused = checked.refused.iter();
            refused.any(|r| {
                r.reason == Reason::Limit
                    && r.path == *path
                    && r.wanted.bytes() > self.limits.file_bytes
            })
        };
        for change in publish
            .changes
            .iter()
            .filter(|c| !checked.too_much && !over(&c.path))
        {
            if let Wanted::File { content, hash, .. } = &change.wanted {
                contents.insert(*hash, Arc::clone(content));
            }
        }
        contents.extend(checked.contents);
        let mut outcome = Outcome {
            unchanged: checked.unchanged,
            ..Outcome::default()
        };
        for unshared in &publish.unshared {
            let refusal = Refusal {
                sequence: 0,
                path: unshared.path.clone(),
                seat: publish.seat.clone(),
                tick: publish.tick,
                reason: unshared.reason,
                why: unshared.why.clone(),
                wanted: None,
                base: None,
                current: None,
                holder: None,
            };
            outcome.unshared.push(self.refuse(refusal, facts));
        }
        for refused in checked.refused {
            let refusal = Refusal {
                sequence: 0,
                current: self.index.get(&refused.path).map(|v| v.sequence),
                path: refused.path.to_string(),
                seat: publish.seat.clone(),
                tick: publish.tick,
                reason: refused.reason,
                why: refused.why,
                wanted: Some(refused.wanted),
                base: refused.base,
                holder: match refused.reason {
                    Reason::Leased => self.holder(&refused.path, publish.seat.as_deref()),
                    _ => None,
                },
            };
            outcome.refusals.push(self.refuse(refusal, facts));
        }
        for accepted in checked.accepted {
            let parent = self.index.get(&accepted.path);
            let version = Version {
                number: parent.map_or(1, |version| version.number + 1),
                parent: parent.map(|version| version.sequence),
                sequence: self.next_sequence(),
                path: accepted.path,
                state: accepted.state,
                seat: publish.seat.clone(),
                tick: publish.tick,
                from: accepted.from,
                merged: accepted.merged,
                token: accepted.token,
            };
            if !self.refused.is_empty() {
                let key = (publish.seat.clone(), version.path.to_string());
                self.refused.remove(&key);
            }
            self.index.put(version.clone());
            facts.push(Fact::Version(version.clone()));
            outcome.versions.push(version);
        }
        Ok(outcome)
    }

    /// Counts what the journal has to keep for a seat. The reason, if that is more than it may.
    fn keep(
        &mut self,
        publish: &Publish,
        contents: &BTreeMap<ContentHash, Arc<[u8]>>,
    ) -> Result<Option<String>, JournalError> {
        // The scenario's own files are nobody's.
        let Some(seat) = &publish.seat else {
            return Ok(None);
        };
        let mut fresh = 0;
        for change in &publish.changes {
            if let Wanted::File { hash, content, .. } = &change.wanted
                && !contents.contains_key(hash)
                && !self.journal.has_content(hash)?
            {
                fresh += content.len() as u64;
            }
        }
        let kept = self.kept.get(seat).copied().unwrap_or(0);
        let most = self.limits.kept_bytes;
        if fresh > 0 && kept + fresh > most {
            return Ok(Some(format!(
                "the contents that this seat has published, or tried to, have {kept} bytes, and this would add {fresh}; \
                 {most} are kept. It stays on the desk"
            )));
        }
        if fresh > 0 {
            self.kept.insert(seat.clone(), kept + fresh);
        }
        Ok(None)
    }

    /// Refuses all of a publish for a limit, without a look at it.
    fn refuse_all(&mut self, publish: &Publish, why: &str, facts: &mut Vec<Fact>) -> Outcome {
        let refusal = |change: &Change| Refusal {
            sequence: 0,
            path: change.path.to_string(),
            seat: publish.seat.clone(),
            tick: publish.tick,
            reason: Reason::Limit,
            why: why.to_owned(),
            wanted: None,
            base: change.base.version,
            current: self.index.get(&change.path).map(|v| v.sequence),
            holder: None,
        };
        let refusals: Vec<Refusal> = publish.changes.iter().map(refusal).collect();
        let refusals = refusals
            .into_iter()
            .map(|r| self.refuse(r, facts))
            .collect();
        Outcome {
            refusals,
            ..Outcome::default()
        }
    }

    /// Who else has a lease that keeps a seat from a path.
    fn holder(&self, path: &TreePath, seat: Option<&str>) -> Option<String> {
        let mut leases = self.leases.covering(path).chain(self.leases.below(path));
        let other = leases.find(|lease| Some(lease.seat.as_str()) != seat)?;
        Some(other.seat.clone())
    }

    /// Makes a refusal a fact, unless it is the same as the last one of this seat and path: then it is that one.
    fn refuse(&mut self, mut refusal: Refusal, facts: &mut Vec<Fact>) -> Refusal {
        let key = (refusal.seat.clone(), refusal.path.clone());
        if let Some(last) = self.refused.get(&key)
            && (last.reason, last.wanted, last.base, last.current)
                == (
                    refusal.reason,
                    refusal.wanted,
                    refusal.base,
                    refusal.current,
                )
        {
            refusal.sequence = last.sequence;
            return refusal;
        }
        refusal.sequence = self.next_sequence();
        if self.refused.len() >= REMEMBERED_REFUSALS {
            self.refused.clear();
        }
        self.refused.insert(key, refusal.clone());
        facts.push(Fact::Refusal(refusal.clone()));
        refusal
    }
}
