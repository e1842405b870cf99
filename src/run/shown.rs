//! The broker's facts in the words of the feed: what spectators are shown of the shared files.
//!
//! Must not know what spectators have seen already, or who watches.

use std::collections::BTreeMap;
use std::time::SystemTime;

use formicarium_agents::broker::{Fact, LeaseChange, Scope, State, Version};
use formicarium_agents::files::News;

use crate::feed::files::{Covered, FilesDelta, Held, PathState, Waiting};
use crate::feed::files_wire::Standing;

/// Milliseconds since 1970 by this machine's clock.
pub(super) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// What became of the files, at the time `now_ms`. `names` are the seats'.
pub(super) fn delta(news: News, names: &BTreeMap<String, usize>, now_ms: u64) -> FilesDelta {
    let seat_of = |name: &str| names.get(name).map(|seat| *seat as u32);
    let mut delta = FilesDelta {
        count: news.files as u64,
        bytes: news.bytes,
        ..FilesDelta::default()
    };
    for fact in &news.facts {
        match fact {
            Fact::Version(version) => {
                let seat = version.seat.as_deref().and_then(seat_of);
                delta.published += u64::from(version.seat.is_some());
                let state = path_state(version, seat);
                delta.paths.insert(version.path.to_string(), state);
            }
            Fact::Refusal(_) => delta.refused += 1,
            Fact::Lease(lease) => {
                let since = match lease.change {
                    LeaseChange::Granted { .. } => Some(lease.tick),
                    LeaseChange::Renewed { .. } | LeaseChange::Ended { .. } => None,
                };
                let known = delta.leases.get(&lease.token).and_then(Option::as_ref);
                let since = since.or(known.and_then(|held| held.since));
                // One that is over by now has no time left.
                let held = news.left_ms.get(&lease.token).zip(seat_of(&lease.seat));
                let held = held.map(|(left_ms, seat)| Held {
                    scope: covered(&lease.scope),
                    seat,
                    since,
                    until_ms: now_ms.saturating_add(*left_ms),
                });
                delta.leases.insert(lease.token, held);
            }
        }
    }
    delta.waiting = news.waiting.map(|waiting| {
        let shown = waiting.iter().filter_map(|wait| {
            Some(Waiting {
                scope: covered(&wait.scope),
                seat: seat_of(&wait.seat)?,
                since: wait.since,
            })
        });
        shown.collect()
    });
    delta
}

fn path_state(version: &Version, seat: Option<u32>) -> PathState {
    PathState {
        sequence: version.sequence,
        version: version.number,
        standing: match version.state {
            State::Absent => Standing::Gone,
            State::Dir => Standing::Folder,
            State::File {
                executable: true, ..
            } => Standing::Program,
            State::File { .. } => Standing::File,
        },
        bytes: version.state.bytes(),
        seat,
        tick: version.tick,
    }
}

fn covered(scope: &Scope) -> Covered {
    Covered {
        path: scope.path().map_or(String::new(), ToString::to_string),
        subtree: !matches!(scope, Scope::Path(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use formicarium_agents::broker::{
        ContentHash, LeaseEnd, LeaseFact, Reason, Refusal, TreePath, Wait,
    };

    fn path(text: &str) -> TreePath {
        TreePath::new(text).expect("a path")
    }

    fn lease(sequence: u64, token: u64, scope: Scope, change: LeaseChange) -> Fact {
        Fact::Lease(LeaseFact {
            sequence,
            tick: sequence + 10,
            token,
            scope,
            seat: "bob".into(),
            change,
        })
    }

    #[test]
    fn facts_of_a_tick_become_what_stands_at_its_end() {
        let version = |sequence, number, seat: Option<&str>, state| {
            Fact::Version(Version {
                sequence,
                path: path("toc.md"),
                number,
                state,
                seat: seat.map(str::to_owned),
                tick: 7,
                parent: None,
                from: None,
                merged: None,
                token: None,
            })
        };
        let file = State::File {
            hash: ContentHash::of(b""),
            bytes: 5,
            executable: true,
        };
        let refusal = Fact::Refusal(Refusal {
            sequence: 3,
            path: "toc.md".into(),
            seat: Some("ada".into()),
            tick: 7,
            reason: Reason::Leased,
            why: "another has it".into(),
            wanted: None,
            base: None,
            current: None,
            holder: Some("bob".into()),
        });
        let (granted, renewed) = (
            LeaseChange::Granted { ttl_ms: 1 },
            LeaseChange::Renewed { ttl_ms: 9 },
        );
        let ended = LeaseChange::Ended {
            how: LeaseEnd::Expired,
        };
        let folder = Scope::Subtree(path("notes"));
        let news = News {
            facts: vec![
                version(1, 1, None, State::Absent),
                version(2, 2, Some("bob"), file),
                refusal,
                lease(4, 1, folder.clone(), granted),
                lease(5, 1, folder.clone(), renewed),
                lease(6, 2, Scope::Tree, granted),
                lease(7, 2, Scope::Tree, ended),
                lease(8, 3, Scope::Tree, renewed),
            ],
            left_ms: [(1, 900), (3, 50)].into(),
            waiting: Some(vec![Wait {
                seat: "ada".into(),
                scope: folder,
                since: 6,
            }]),
            files: 1,
            bytes: 5,
        };
        let names = [("ada".to_owned(), 0), ("bob".to_owned(), 1)].into();
        let delta = delta(news, &names, 1_000_000);
        let notes = Covered {
            path: "notes".into(),
            subtree: true,
        };
        let expected = FilesDelta {
            paths: [(
                "toc.md".to_owned(),
                PathState {
                    sequence: 2,
                    version: 2,
                    standing: Standing::Program,
                    bytes: 5,
                    seat: Some(1),
                    tick: 7,
                },
            )]
            .into(),
            leases: [
                (
                    1,
                    Some(Held {
                        scope: notes.clone(),
                        seat: 1,
                        since: Some(14),
                        until_ms: 1_000_900,
                    }),
                ),
                (2, None),
                (
                    3,
                    Some(Held {
                        scope: Covered {
                            path: String::new(),
                            subtree: true,
                        },
                        seat: 1,
                        since: None,
                        until_ms: 1_000_050,
                    }),
                ),
            ]
            .into(),
            waiting: Some(vec![Waiting {
                scope: notes,
                seat: 0,
                since: 6,
            }]),
            count: 1,
            bytes: 5,
            published: 1,
            refused: 1,
        };
        assert_eq!(delta, expected);
    }
}
