//! Who asks again and again for a lease that another holds.
//!
//! Nobody is queued by it, and it grants nothing: it is for spectators, and so that one wait is one refusal. A pure state
//! machine: the time in milliseconds is an argument. Must not know who holds what.

use std::collections::BTreeMap;

use super::lease::{PER_SEAT, Scope};

/// Longest time for which a seat is taken at its word that it will ask again: a minute.
pub const AGAIN_MS: u64 = 60_000;

/// A seat that waits for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Who.
    pub seat: String,
    /// What it asks for.
    pub scope: Scope,
    /// The tick in which it asked first.
    pub since: u64,
}

/// All that wait.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    /// Since which tick, and until when without another word, by seat and scope.
    open: BTreeMap<(String, Scope), (u64, u64)>,
    changed: bool,
}

impl Waits {
    /// A seat was refused and says that it will ask again within `again_ms`; 0: it will not. Whether it waited already.
    pub fn refused(
        &mut self,
        seat: &str,
        scope: &Scope,
        tick: u64,
        again_ms: u64,
        now_ms: u64,
    ) -> bool {
        let key = (seat.to_owned(), scope.clone());
        let until = now_ms.saturating_add(again_ms.min(AGAIN_MS));
        if let Some((_, end)) = self.open.get_mut(&key) {
            *end = until;
            if again_ms == 0 {
                self.open.remove(&key);
                self.changed = true;
            }
            return true;
        }
        let own = self.open.keys().filter(|(name, _)| name == seat).count();
        if again_ms > 0 && own < PER_SEAT {
            self.open.insert(key, (tick, until));
            self.changed = true;
        }
        false
    }

    /// A seat has what it waited for.
    pub fn granted(&mut self, seat: &str, scope: &Scope) {
        // Most never waited: no key is made for them.
        if !self.open.is_empty() {
            self.changed |= self
                .open
                .remove(&(seat.to_owned(), scope.clone()))
                .is_some();
        }
    }

    /// A seat's process is gone.
    pub fn end_seat(&mut self, seat: &str) {
        self.keep(|(name, _), _| name != seat);
    }

    /// Whoever has not asked again in its time does not wait any more.
    pub fn expire(&mut self, now_ms: u64) {
        self.keep(|_, until| until > now_ms);
    }

    fn keep(&mut self, stays: impl Fn(&(String, Scope), u64) -> bool) {
        let before = self.open.len();
        self.open.retain(|key, (_, until)| stays(key, *until));
        self.changed |= self.open.len() != before;
    }

    /// All that wait, by seat; none if that is as it was the last time.
    pub fn take(&mut self) -> Option<Vec<Wait>> {
        std::mem::take(&mut self.changed).then(|| self.list())
    }

    /// All that wait, by seat.
    pub fn list(&self) -> Vec<Wait> {
        let wait = |((seat, scope), (since, _)): (&(String, Scope), &(u64, u64))| Wait {
            seat: seat.clone(),
            scope: scope.clone(),
            since: *since,
        };
        self.open.iter().map(wait).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(waits: Option<Vec<Wait>>) -> Option<Vec<String>> {
        let words = |wait: Wait| format!("{} {} {}", wait.seat, wait.scope, wait.since);
        waits.map(|waits| waits.into_iter().map(words).collect())
    }

    #[test]
    fn who_asks_again_waits_until_it_has_it_or_stops_asking() {
        let mut waits = Waits::default();
        let path = |text| Scope::Path(crate::broker::TreePath::new(text).expect("a path"));
        assert!(!waits.refused("bob", &Scope::Tree, 1, 0, 0));
        assert_eq!(waits.take(), None, "who does not ask again does not wait");

        assert!(!waits.refused("bob", &path("a"), 2, 500, 0));
        assert!(!waits.refused("ada", &path("a"), 2, 500, 0));
        assert!(!waits.refused("bob", &path("b"), 2, 500, 0));
        let all = ["ada a 2", "bob a 2", "bob b 2"].map(String::from);
        assert_eq!(named(waits.take()), Some(all.into()));
        assert!(waits.refused("bob", &path("a"), 3, 500, 400));
        assert_eq!(waits.take(), None, "it still waits, and since then");

        waits.expire(500);
        assert_eq!(named(waits.take()), Some(vec!["bob a 2".into()]));
        waits.granted("bob", &path("b"));
        assert_eq!(waits.take(), None);
        waits.granted("bob", &path("a"));
        assert_eq!(named(waits.take()), Some(vec![]));

        waits.refused("bob", &path("a"), 4, 500, 600);
        assert!(
            waits.refused("bob", &path("a"), 4, 0, 700),
            "its last word: one wait, one refusal"
        );
        assert!(waits.list().is_empty());
        waits.refused("bob", &path("a"), 5, u64::MAX, 800);
        waits.end_seat("bob");
        assert!(waits.list().is_empty());
    }

    #[test]
    fn a_promise_to_ask_again_is_believed_for_a_minute_and_by_number() {
        let mut waits = Waits::default();
        waits.refused("bob", &Scope::Tree, 1, u64::MAX, 0);
        waits.expire(AGAIN_MS - 1);
        assert_eq!(waits.list().len(), 1);
        waits.expire(AGAIN_MS);
        assert!(waits.list().is_empty());
        for n in 0..2 * PER_SEAT {
            let path = crate::broker::TreePath::new(&format!("f{n}")).expect("a path");
            waits.refused("bob", &Scope::Path(path), 1, 10, 0);
        }
        assert_eq!(waits.list().len(), PER_SEAT);
    }
}
