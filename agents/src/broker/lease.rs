//! Leases: timed, exclusive rights to publish a path or a subtree, each with a fencing token that only rises.
//!
//! A pure state machine: the time in milliseconds is an argument. Must not know files, versions or the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::path::TreePath;

/// Most leases that one seat holds at once.
pub const PER_SEAT: usize = 64;
/// Longest lease in milliseconds: a day.
pub const TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// What a lease covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "path", rename_all = "snake_case")]
pub enum Scope {
    /// One path, whether something stands there or not.
    Path(TreePath),
    /// A path and everything below it.
    Subtree(TreePath),
    /// The whole tree.
    Tree,
}

impl Scope {
    /// The path it names; none for the whole tree.
    pub fn path(&self) -> Option<&TreePath> {
        match self {
            Scope::Path(path) | Scope::Subtree(path) => Some(path),
            Scope::Tree => None,
        }
    }

    /// Whether a path lies in it.
    pub fn covers(&self, path: &TreePath) -> bool {
        match self {
            Scope::Path(own) => own == path,
            Scope::Subtree(own) => own == path || path.is_below(own),
            Scope::Tree => true,
        }
    }

    /// Whether some path lies in both.
    pub fn overlaps(&self, other: &Scope) -> bool {
        match (self.path(), other.path()) {
            (Some(own), Some(others)) => self.covers(others) || other.covers(own),
            _ => true,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Path(path) => write!(f, "{path}"),
            Scope::Subtree(path) => write!(f, "{path}/**"),
            Scope::Tree => f.write_str("**"),
        }
    }
}

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its fencing token; no two leases of a run have the same, and later ones have higher.
    pub token: u64,
    /// What it covers.
    pub scope: Scope,
    /// Who holds it.
    pub seat: String,
    /// When it ends, in milliseconds of the caller's clock.
    pub until_ms: u64,
}

/// Why a lease was not granted, renewed or released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds something in it.
    #[error(
        "{} is leased by {} for another {}: wait and ask again, or work on other files meanwhile",
        held.scope, held.seat, span(*left_ms)
    )]
    Held {
        /// The lease that is in the way.
        held: Lease,
        /// How long it still holds.
        left_ms: u64,
    },
    /// No such lease of this seat is alive.
    #[error(
        "you hold no lease with token {token}: it ended, or was never yours; others may have published since: look at what \
         stands there now, and ask for a new one"
    )]
    NotHeld {
        /// The token.
        token: u64,
    },
    /// The seat holds too many.
    #[error("you hold {PER_SEAT} leases, which is the limit; release one, or lease a folder")]
    TooMany,
    /// Not a time that a lease may have.
    #[error("a lease holds for 1 to {TTL_MS} ms, not {ttl_ms}")]
    Ttl {
        /// What was asked for.
        ttl_ms: u64,
    },
}

/// A time for people.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..600_000 => format!("{:.1} s", ms as f64 / 1000.0).replace(".0 s", " s"),
        _ => format!("{} min", ms / 60_000),
    }
}

/// All leases that are held.
#[derive(Debug, Clone)]
pub struct Leases {
    next_token: u64,
    now_ms: u64,
    held: BTreeMap<u64, Lease>,
    /// Tokens by the path of their scope, so that a check looks at ancestors and descendants only.
    by_path: BTreeMap<TreePath, BTreeSet<u64>>,
    /// Tokens of leases of the whole tree.
    whole: BTreeSet<u64>,
    by_end: BTreeSet<(u64, u64)>,
    by_seat: BTreeMap<String, BTreeSet<u64>>,
}

impl Leases {
    /// No leases; the first token will be `next_token`.
    pub fn new(next_token: u64) -> Leases {
        Leases {
            next_token,
            now_ms: 0,
            held: BTreeMap::new(),
            by_path: BTreeMap::new(),
            whole: BTreeSet::new(),
            by_end: BTreeSet::new(),
            by_seat: BTreeMap::new(),
        }
    }

    /// The token that the next lease will get.
    pub fn next_token(&self) -> u64 {
        self.next_token
    }

    /// Moves the clock on, never back, and returns the leases that ended by it, in order of their end.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Lease> {
        self.now_ms = self.now_ms.max(now_ms);
        let mut ended = Vec::new();
        while let Some(&(until, token)) = self.by_end.first() {
            if until > self.now_ms {
                break;
            }
            ended.extend(self.remove(token));
        }
        ended
    }

    /// Grants a lease. A seat that asks again for the same scope gets the lease it has, with the later end. Its own
    /// leases may overlap; others' may not. Leases whose time is over have to be taken out by [`Leases::expire`] first.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub fn grant(&mut self, scope: Scope, seat: &str, ttl_ms: u64) -> Result<Lease, LeaseError> {
        check_ttl(ttl_ms)?;
        if let Some(held) = self.in_the_way(&scope, seat) {
            return Err(LeaseError::Held {
                left_ms: self.left_ms(held),
                held: held.clone(),
            });
        }
        let own = self.by_seat.get(seat);
        let same = own
            .into_iter()
            .flatten()
            .find(|token| self.held[token].scope == scope);
        if let Some(&token) = same {
            return self.renew(token, seat, ttl_ms);
        }
        if own.is_some_and(|own| own.len() >= PER_SEAT) {
            return Err(LeaseError::TooMany);
        }
        let lease = Lease {
            token: self.next_token,
            scope,
            seat: seat.to_owned(),
            until_ms: self.now_ms.saturating_add(ttl_ms),
        };
        self.next_token += 1;
        match lease.scope.path() {
            Some(path) => self.by_path.entry(path.clone()).or_default(),
            None => &mut self.whole,
        }
        .insert(lease.token);
        self.by_end.insert((lease.until_ms, lease.token));
        self.by_seat
            .entry(lease.seat.clone())
            .or_default()
            .insert(lease.token);
        self.held.insert(lease.token, lease.clone());
        Ok(lease)
    }

    /// Puts the end of a lease off. It never comes nearer by this: that is what release is for.
    ///
    /// # Errors
    /// [`LeaseError::NotHeld`] when it ended or is another's.
    pub fn renew(&mut self, token: u64, seat: &str, ttl_ms: u64) -> Result<Lease, LeaseError> {
        check_ttl(ttl_ms)?;
        let lease = self
            .held
            .get_mut(&token)
            .filter(|lease| lease.seat == seat)
            .ok_or(LeaseError::NotHeld { token })?;
        let until = self.now_ms.saturating_add(ttl_ms).max(lease.until_ms);
        self.by_end.remove(&(lease.until_ms, token));
        lease.until_ms = until;
        self.by_end.insert((until, token));
        Ok(lease.clone())
    }

    /// Ends a lease at its holder's wish.
    ///
    /// # Errors
    /// [`LeaseError::NotHeld`] when it ended or is another's.
    pub fn release(&mut self, token: u64, seat: &str) -> Result<Lease, LeaseError> {
        self.held
            .get(&token)
            .filter(|lease| lease.seat == seat)
            .ok_or(LeaseError::NotHeld { token })?;
        self.remove(token).ok_or(LeaseError::NotHeld { token })
    }

    /// Ends all leases of a seat: its agent is gone.
    pub fn end_seat(&mut self, seat: &str) -> Vec<Lease> {
        let tokens = self.by_seat.get(seat).cloned().unwrap_or_default();
        tokens
            .into_iter()
            .filter_map(|token| self.remove(token))
            .collect()
    }

    /// How long a lease still holds.
    pub fn left_ms(&self, lease: &Lease) -> u64 {
        lease.until_ms.saturating_sub(self.now_ms)
    }

    /// All leases, the oldest first.
    pub fn list(&self) -> impl Iterator<Item = &Lease> {
        self.held.values()
    }

    /// The leases that one seat holds, the oldest first.
    pub fn of_seat(&self, seat: &str) -> impl Iterator<Item = &Lease> {
        let tokens = self.by_seat.get(seat).into_iter().flatten();
        tokens.map(|token| &self.held[token])
    }

    /// A lease by its token.
    pub fn get(&self, token: u64) -> Option<&Lease> {
        self.held.get(&token)
    }

    /// The leases that cover a path, the nearest scope first.
    pub fn covering(&self, path: &TreePath) -> impl Iterator<Item = &Lease> {
        std::iter::once(path.clone())
            .chain(path.ancestors())
            .filter_map(|at| self.by_path.get(&at))
            .chain(std::iter::once(&self.whole))
            .flatten()
            .map(|token| &self.held[token])
            .filter(|lease| lease.scope.covers(path))
    }

    /// The leases of paths below a path.
    pub fn below(&self, path: &TreePath) -> impl Iterator<Item = &Lease> {
        let tokens = self.by_path.range(path.below()).flat_map(|(_, t)| t);
        tokens.map(|token| &self.held[token])
    }

    fn in_the_way(&self, scope: &Scope, seat: &str) -> Option<&Lease> {
        let others = |lease: &&Lease| lease.seat != seat;
        match scope {
            Scope::Tree => self.held.values().find(others),
            Scope::Path(path) => self.covering(path).find(others),
            Scope::Subtree(path) => self
                .covering(path)
                .find(others)
                .or_else(|| self.below(path).find(others)),
        }
    }

    fn remove(&mut self, token: u64) -> Option<Lease> {
        let lease = self.held.remove(&token)?;
        match lease.scope.path() {
            Some(path) => {
                if let Some(tokens) = self.by_path.get_mut(path) {
                    tokens.remove(&token);
                    if tokens.is_empty() {
                        self.by_path.remove(path);
                    }
                }
            }
            None => {
                self.whole.remove(&token);
            }
        }
        self.by_end.remove(&(lease.until_ms, token));
        if let Some(tokens) = self.by_seat.get_mut(&lease.seat) {
            tokens.remove(&token);
            if tokens.is_empty() {
                self.by_seat.remove(&lease.seat);
            }
        }
        Some(lease)
    }
}

fn check_ttl(ttl_ms: u64) -> Result<(), LeaseError> {
    if (1..=TTL_MS).contains(&ttl_ms) {
        Ok(())
    } else {
        Err(LeaseError::Ttl { ttl_ms })
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
