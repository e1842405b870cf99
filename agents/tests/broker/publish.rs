//! What a publish may do, and what becomes of it otherwise.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use formicarium_agents::broker::*;

use crate::stage::*;

#[test]
fn what_is_published_stands_in_the_tree_with_the_hosts_rights() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    let outcome = now(
        &mut broker,
        "alice",
        &[
            ("a/b/c.txt", file("one\n")),
            ("run.sh", Wanted::file(*b"#!/bin/sh\n", true)),
            ("empty", Wanted::Dir),
        ],
    );
    assert_eq!(outcome.refusals, []);
    let made: Vec<&str> = outcome.versions.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(
        made,
        ["a", "a/b", "a/b/c.txt", "empty", "run.sh"],
        "folders above are made"
    );
    let mode = |p: &str| fs::metadata(folder.shared(p)).unwrap().permissions().mode() & 0o7777;
    for (at, rights) in [
        ("", 0o755),
        ("a", 0o755),
        ("a/b/c.txt", 0o644),
        ("run.sh", 0o755),
        ("empty", 0o755),
    ] {
        assert_eq!(mode(at), rights, "{at:?}");
    }
    let inode = || fs::metadata(folder.shared("a/b/c.txt")).unwrap().ino();
    let reader = fs::File::open(folder.shared("a/b/c.txt")).unwrap();
    let before = inode();
    now(&mut broker, "bob", &[("a/b/c.txt", file("two\n"))]);
    assert_ne!(inode(), before, "a version is a fresh inode");
    assert_eq!(
        std::io::read_to_string(reader).unwrap(),
        "one\n",
        "who had it open reads on what it was"
    );
    assert_eq!(
        fs::read_to_string(folder.shared("a/b/c.txt")).unwrap(),
        "two\n"
    );
    let log = broker.log(&path("a/b/c.txt")).unwrap();
    let said: Vec<_> = log
        .iter()
        .map(|v| (v.number, v.seat.as_deref().unwrap(), v.parent))
        .collect();
    assert_eq!(
        said,
        [(1, "alice", None), (2, "bob", Some(log[0].sequence))]
    );
    assert_eq!(
        broker
            .content(&log[0].state.hash().unwrap())
            .unwrap()
            .unwrap(),
        b"one\n",
        "every version is kept"
    );
    check_tree(&folder.0, &broker);
}

#[test]
fn two_publishers_with_one_base_are_merged_or_the_second_is_refused_and_kept() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    now(&mut broker, "host", &[("toc", file("1\n2\n3\n4\n5\n"))]);
    let alice = publish(&broker, "alice", &[("toc", file("ONE\n2\n3\n4\n5\n"))]);
    let bob = publish(&broker, "bob", &[("toc", file("1\n2\n3\n4\nFIVE\n"))]);
    let eve = publish(&broker, "eve", &[("toc", file("one\n2\n3\n4\n5\n"))]);
    // One batch: the later ones see what came before.
    let outcomes = broker.publish(&[alice, bob, eve.clone()], 0).unwrap();
    assert!(outcomes[0].is_published() && outcomes[0].versions[0].merged.is_none());
    let merged = &outcomes[1].versions[0];
    assert_eq!(
        merged.merged,
        Some(ContentHash::of(b"1\n2\n3\n4\nFIVE\n")),
        "what bob wrote is kept beside the merge"
    );
    assert_eq!(merged.parent, Some(outcomes[0].versions[0].sequence));
    assert_eq!(
        fs::read_to_string(folder.shared("toc")).unwrap(),
        "ONE\n2\n3\n4\nFIVE\n"
    );
    assert_eq!(reasons(&outcomes[2]), [("toc", Reason::Conflict)]);
    let refusal = &outcomes[2].refusals[0];
    assert_eq!(
        (refusal.base, refusal.current),
        (Some(1), Some(merged.sequence))
    );
    assert!(
        refusal.why.contains("began with fact #1")
            && refusal.why.contains("bob published toc@3 (fact #3,"),
        "both are named: {}",
        refusal.why
    );
    let kept = broker
        .content(&refusal.wanted.unwrap().hash().unwrap())
        .unwrap();
    assert_eq!(kept.unwrap(), b"one\n2\n3\n4\n5\n");
    let again = one(&mut broker, eve);
    assert_eq!(
        again.refusals[0].sequence, refusal.sequence,
        "the same refusal is no new fact"
    );
    // What eve then brings together goes over the version that was named.
    let over = now(&mut broker, "eve", &[("toc", file("one\n2\n3\n4\nFIVE\n"))]);
    assert!(over.is_published());
    let numbers: Vec<u64> = broker
        .take_facts(1, 0)
        .unwrap()
        .iter()
        .map(Fact::sequence)
        .collect();
    assert_eq!(
        numbers,
        (1..=broker.sequence()).collect::<Vec<_>>(),
        "no number is missing"
    );
    check_tree(&folder.0, &broker);
}

#[test]
fn a_publish_is_all_or_nothing() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    now(
        &mut broker,
        "host",
        &[("a", file("1\n")), ("b", file("1\n"))],
    );
    let late = publish(
        &broker,
        "bob",
        &[
            ("a", file("bob\n")),
            ("b", file("bob\n")),
            ("new", file("bob\n")),
        ],
    );
    now(&mut broker, "alice", &[("a", file("alice\n"))]);
    let outcome = one(&mut broker, late);
    assert_eq!(outcome.versions, []);
    assert_eq!(
        reasons(&outcome),
        [
            ("a", Reason::Conflict),
            ("b", Reason::Together),
            ("new", Reason::Together)
        ]
    );
    assert_eq!(fs::read_to_string(folder.shared("b")).unwrap(), "1\n");
    assert!(!folder.shared("new").exists());
    check_tree(&folder.0, &broker);
}

#[test]
fn while_a_path_is_leased_only_its_holder_with_the_token_publishes_it() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    now(&mut broker, "host", &[("book/one", file("1\n"))]);
    let lease = broker
        .grant(Scope::Subtree(path("book")), "alice", 100, 1, 0)
        .unwrap();
    let mut by_alice = publish(&broker, "alice", &[("book/one", file("2\n"))]);
    assert_eq!(
        reasons(&one(&mut broker, by_alice.clone())),
        [("book/one", Reason::Token)],
        "no token"
    );
    let bobs = now(&mut broker, "bob", &[("book/two", file("b\n"))]);
    assert_eq!(reasons(&bobs), [("book/two", Reason::Leased)]);
    assert!(
        bobs.refusals[0]
            .why
            .contains("book/** is leased by alice for another 100 ms"),
        "{}",
        bobs.refusals[0].why
    );
    assert_eq!(
        reasons(&now(
            &mut broker,
            "bob",
            &[("book", file("b\n")), ("book/one", Wanted::Absent)]
        ))
        .len(),
        2
    );
    by_alice.tokens = vec![lease.token];
    let mut stolen = publish(&broker, "bob", &[("book/one", file("b\n"))]);
    stolen.tokens = vec![lease.token];
    assert_eq!(
        reasons(&one(&mut broker, stolen)),
        [("book/one", Reason::Token)]
    );
    let done = one(&mut broker, by_alice.clone());
    assert_eq!(done.versions[0].token, Some(lease.token));
    // Time over: bob may, and alice with her old token may not, not even where nobody holds a lease.
    let mut late = publish(&broker, "alice", &[("book/one", file("3\n"))]);
    late.tokens = vec![lease.token];
    let bobs = publish(&broker, "bob", &[("book/one", file("b\n"))]);
    let outcomes = broker.publish(&[late, bobs], 100).unwrap();
    assert_eq!(reasons(&outcomes[0]), [("book/one", Reason::Token)]);
    assert!(outcomes[1].is_published());
    // A lease reserves a path that does not exist yet: no file may come to stand above it.
    broker
        .grant(Scope::Path(path("x/y")), "alice", 100, 1, 200)
        .unwrap();
    let above = publish(&broker, "bob", &[("x", file("b\n"))]);
    assert_eq!(
        reasons(&broker.publish(&[above], 200).unwrap()[0]),
        [("x", Reason::Leased)]
    );
    let ends: Vec<LeaseEnd> = broker
        .take_facts(1, 200)
        .unwrap()
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::Lease(LeaseFact {
                change: LeaseChange::Ended { how },
                ..
            }) => Some(how),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [LeaseEnd::Expired]);
}

#[test]
fn a_seat_that_asks_again_and_again_waits_and_is_refused_once() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    let scope = Scope::Path(path("toc.md"));
    broker.grant(scope.clone(), "alice", 1000, 1, 0).unwrap();
    let mut ask = |again_ms, now_ms| {
        let asked = broker.grant_or_wait(scope.clone(), "bob", 1000, again_ms, 2, now_ms);
        let facts = broker.take_facts(2, now_ms).unwrap();
        let refusals = facts.iter().filter(|f| matches!(f, Fact::Refusal(_)));
        let waits = broker.take_waits().map(|waits| waits.len());
        (asked.is_ok(), refusals.count(), waits)
    };
    assert_eq!(ask(0, 0), (false, 1, None), "it asks once");
    assert_eq!(ask(300, 100), (false, 1, Some(1)));
    assert_eq!(ask(300, 200), (false, 0, None));
    assert_eq!(ask(300, 450), (false, 0, None));
    assert_eq!(ask(300, 900), (false, 1, Some(1)), "it had given up");
    assert_eq!(ask(300, 1000), (true, 0, Some(0)), "alice's time is over");
    assert_eq!(ask(300, 1100), (true, 0, None), "its own");
    broker.end_seat("bob", 3, 1200);
    assert_eq!(broker.take_waits(), None);
}

#[test]
fn tokens_rise_over_restarts_and_live_leases_end_with_the_host() {
    let folder = Folder::new();
    let mut highest = 0;
    for restart in 0..3 {
        let (mut broker, _) = open(&folder.0);
        let ended = broker.take_facts(0, 0).unwrap().into_iter().filter(|fact| {
            matches!(
                fact,
                Fact::Lease(LeaseFact {
                    change: LeaseChange::Ended {
                        how: LeaseEnd::Restart
                    },
                    ..
                })
            )
        });
        assert_eq!(
            ended.count(),
            restart,
            "one more each time, since all facts are asked for"
        );
        assert_eq!(broker.leases().list().count(), 0);
        // Enough to need a second block of tokens.
        for n in 0..1500 {
            let lease = broker
                .grant(Scope::Path(path("a")), "alice", 10, n, n * 20)
                .unwrap();
            assert!(lease.token > highest);
            highest = lease.token;
        }
        broker.take_facts(9, 1499 * 20).unwrap();
        // Not durable, and never seen in the journal: its token is not given out again all the same.
        highest = broker
            .grant(Scope::Path(path("b")), "bob", 10, 9, 0)
            .unwrap()
            .token;
    }
}

#[test]
fn the_shape_of_the_tree_and_who_deletes_what() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    now(
        &mut broker,
        "host",
        &[("d/one", file("1\n")), ("f", file("1\n"))],
    );
    for (changes, expected) in [
        (vec![("f/x", file("x"))], Reason::Kind),
        (vec![("d", file("x"))], Reason::Kind),
        (vec![("n", file("x")), ("n/m", file("x"))], Reason::Kind),
        (vec![("n", file("x")), ("n", file("y"))], Reason::Kind),
    ] {
        let outcome = now(&mut broker, "bob", &changes);
        assert!(
            outcome.refusals.iter().any(|r| r.reason == expected),
            "{changes:?} {outcome:?}"
        );
    }
    // A folder goes but for what others have put into it.
    let gone = publish(
        &broker,
        "bob",
        &[("d", Wanted::Absent), ("d/one", Wanted::Absent)],
    );
    now(&mut broker, "alice", &[("d/two", file("2\n"))]);
    let outcome = one(&mut broker, gone);
    assert_eq!(outcome.unchanged, [path("d")]);
    assert!(!folder.shared("d/one").exists() && folder.shared("d/two").exists());
    // Delete against edit, either way round.
    let delete = publish(&broker, "bob", &[("f", Wanted::Absent)]);
    now(&mut broker, "alice", &[("f", file("2\n"))]);
    assert_eq!(
        reasons(&one(&mut broker, delete)),
        [("f", Reason::Conflict)]
    );
    let edit = publish(&broker, "bob", &[("f", file("3\n"))]);
    now(&mut broker, "alice", &[("f", Wanted::Absent)]);
    assert_eq!(reasons(&one(&mut broker, edit)), [("f", Reason::Conflict)]);
    // File to folder and back, in one publish each.
    now(&mut broker, "alice", &[("f", file("1\n"))]);
    assert!(
        now(
            &mut broker,
            "alice",
            &[("f", Wanted::Dir), ("f/g/h", file("x\n"))]
        )
        .is_published()
    );
    assert_eq!(fs::read_to_string(folder.shared("f/g/h")).unwrap(), "x\n");
    let back = [
        ("f", file("1\n")),
        ("f/g", Wanted::Absent),
        ("f/g/h", Wanted::Absent),
    ];
    assert!(now(&mut broker, "alice", &back).is_published());
    // A rename links to where it came from.
    let from = broker.index().get(&path("f")).unwrap().sequence;
    let mut rename = publish(
        &broker,
        "alice",
        &[("f", Wanted::Absent), ("g", file("1\n"))],
    );
    rename.changes[1].from = Some(from);
    assert_eq!(one(&mut broker, rename).versions[1].from, Some(from));
    // Somebody deletes a folder while another works in it.
    let work = publish(&broker, "bob", &[("d/three", file("3\n"))]);
    now(
        &mut broker,
        "alice",
        &[("d/two", Wanted::Absent), ("d", Wanted::Absent)],
    );
    assert!(one(&mut broker, work).is_published());
    // A base from the future, or of nothing.
    let mut wrong = publish(&broker, "bob", &[("d/three", file("4\n"))]);
    wrong.changes[0].base.version = Some(1 << 40);
    assert_eq!(
        reasons(&one(&mut broker, wrong)),
        [("d/three", Reason::Base)]
    );
    check_tree(&folder.0, &broker);
}

#[test]
fn executable_bits_merge_apart_from_contents() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    now(&mut broker, "host", &[("s", file("1\n"))]);
    let bit = publish(&broker, "alice", &[("s", Wanted::file(*b"1\n", true))]);
    let text = publish(&broker, "bob", &[("s", file("2\n"))]);
    let outcomes = broker.publish(&[text, bit], 0).unwrap();
    assert!(outcomes.iter().all(Outcome::is_published));
    assert_eq!(fs::read_to_string(folder.shared("s")).unwrap(), "2\n");
    assert_eq!(
        fs::metadata(folder.shared("s"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
    check_tree(&folder.0, &broker);
}

#[test]
fn limits_are_named_with_their_numbers() {
    let folder = Folder::new();
    let limits = Limits {
        entries: 3,
        tree_bytes: 10,
        file_bytes: 6,
        changes: 3,
        publish_bytes: 9,
        ..Limits::default()
    };
    let (mut broker, _) = Broker::open(&folder.0, Box::new(journal(&folder.0)), limits, 0).unwrap();
    let cases: [(Vec<(&str, Wanted)>, &str); 5] = [
        (vec![("a", file("1234567"))], "7 bytes"),
        (
            vec![("a", file("123456")), ("b", file("123456"))],
            "12 bytes",
        ),
        (
            vec![
                ("a", file("")),
                ("b", file("")),
                ("c", file("")),
                ("d", file("")),
            ],
            "4 paths",
        ),
        (vec![("a/b/c/d", file(""))], "4 files and folders"),
        (vec![("a", file("12345")), ("b", file("1234"))], ""),
    ];
    for (changes, said) in cases {
        let outcome = now(&mut broker, "bob", &changes);
        assert_eq!(outcome.refusals.is_empty(), said.is_empty(), "{outcome:?}");
        assert!(
            outcome
                .refusals
                .iter()
                .all(|r| r.reason == Reason::Limit || r.reason == Reason::Together)
        );
        assert!(
            outcome
                .refusals
                .first()
                .is_none_or(|r| r.why.contains(said)),
            "{outcome:?}"
        );
    }
    let kept = |text: &str| broker.content(&ContentHash::of(text.as_bytes())).unwrap();
    assert_eq!(
        kept("1234567"),
        None,
        "what is too large is not kept either"
    );
    let outcome = now(&mut broker, "bob", &[("c", file("12"))]);
    assert_eq!(reasons(&outcome), [("c", Reason::Limit)]);
    assert!(
        now(&mut broker, "bob", &[("a", Wanted::Absent)]).is_published(),
        "what shrinks the tree is always taken"
    );
}

#[test]
fn what_one_seat_has_the_journal_keep_has_a_limit() {
    let folder = Folder::new();
    let limits = Limits {
        kept_bytes: 10,
        ..Limits::default()
    };
    let (mut broker, _) = Broker::open(&folder.0, Box::new(journal(&folder.0)), limits, 0).unwrap();
    assert!(now(&mut broker, "ada", &[("a", file("ada"))]).is_published());
    let mut blind = publish(&broker, "bob", &[("a", file("bob-56")), ("b", file("1"))]);
    blind.changes[0].base = Base::NONE;
    assert_eq!(
        reasons(&one(&mut broker, blind.clone()))[0],
        ("a", Reason::Conflict)
    );
    assert!(
        broker
            .content(&ContentHash::of(b"bob-56"))
            .unwrap()
            .is_some()
    );
    // What has been kept already counts once; more than ten bytes are not kept, collision or not.
    for _ in 0..3 {
        assert_eq!(
            reasons(&one(&mut broker, blind.clone()))[0],
            ("a", Reason::Conflict)
        );
    }
    let over = now(&mut broker, "bob", &[("c", file("1234"))]);
    assert_eq!(reasons(&over), [("c", Reason::Limit)]);
    assert!(
        over.refusals[0]
            .why
            .contains("have 7 bytes, and this would add 4; 10 are kept"),
        "{over:?}"
    );
    assert_eq!(over.refusals[0].wanted, None);
    assert_eq!(broker.content(&ContentHash::of(b"1234")).unwrap(), None);
    // Others are not concerned, nor is what takes no room.
    assert!(now(&mut broker, "ada", &[("c", file("1234"))]).is_published());
    assert!(now(&mut broker, "bob", &[("d", Wanted::Dir)]).is_published());
    assert!(now(&mut broker, "bob", &[("d/e", file("1234"))]).is_published());
}

#[test]
fn a_journal_that_fails_takes_nothing_with_it() {
    /// Real, until it is told that the disk is full.
    struct Full(crate::sqlite::Sqlite, usize);
    impl Journal for Full {
        fn commit(&mut self, batch: Batch) -> Result<(), JournalError> {
            if self.1 == 0 {
                return Err(JournalError(
                    "run.db: the disk is full; make space and resume".into(),
                ));
            }
            self.1 -= 1;
            self.0.commit(batch)
        }
        fn has_content(&self, hash: &ContentHash) -> Result<bool, JournalError> {
            self.0.has_content(hash)
        }
        fn content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, JournalError> {
            self.0.content(hash)
        }
        fn newest(&self) -> Result<Vec<Version>, JournalError> {
            self.0.newest()
        }
        fn log(&self, path: &TreePath) -> Result<Vec<Version>, JournalError> {
            self.0.log(path)
        }
        fn facts_after(&self, sequence: u64) -> Result<Vec<Fact>, JournalError> {
            self.0.facts_after(sequence)
        }
        fn open_leases(&self) -> Result<Vec<LeaseFact>, JournalError> {
            self.0.open_leases()
        }
        fn marks(&self) -> Result<Marks, JournalError> {
            self.0.marks()
        }
    }
    let folder = Folder::new();
    let full = Full(journal(&folder.0), 2);
    let (mut broker, _) = Broker::open(&folder.0, Box::new(full), Limits::default(), 0).unwrap();
    assert!(now(&mut broker, "alice", &[("a", file("1\n"))]).is_published());
    let late = publish(&broker, "alice", &[("a", file("2\n"))]);
    for _ in 0..2 {
        let error = broker.publish(std::slice::from_ref(&late), 0).unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
    assert_eq!(
        fs::read_to_string(folder.shared("a")).unwrap(),
        "1\n",
        "the tree never gets ahead of the journal"
    );
    assert!(broker.grant(Scope::Tree, "alice", 1, 0, 0).is_err());
    drop(broker);
    let (mut broker, repaired) = open(&folder.0);
    assert!(repaired.is_nothing(), "{repaired}");
    assert!(now(&mut broker, "alice", &[("a", file("2\n"))]).is_published());
}

#[test]
fn publishers_at_once_share_commits_and_lose_nothing() {
    let folder = Folder::new();
    let (mut broker, _) = open(&folder.0);
    let lines: String = (0..64).map(|n| format!("line {n}\n\n\n")).collect();
    now(&mut broker, "host", &[("toc", file(&lines))]);
    let (handle, thread) = BrokerThread::start(broker).unwrap();
    std::thread::scope(|scope| {
        for seat in 0..8 {
            let (handle, lines) = (handle.clone(), lines.clone());
            scope.spawn(move || {
                let (mut base, mut text) = (None, lines);
                for round in 0..8 {
                    let base = base.get_or_insert_with(|| Base {
                        version: Some(1),
                        state: file(&text).state(),
                    });
                    let line = seat * 8 + round;
                    text = text.replace(
                        &format!("line {line}\n"),
                        &format!("LINE {line} of {seat}\n"),
                    );
                    let change = Change {
                        path: path("toc"),
                        wanted: file(&text),
                        base: *base,
                        from: None,
                    };
                    let asked = Publish {
                        seat: Some(seat.to_string()),
                        changes: vec![change],
                        ..Publish::default()
                    };
                    let outcome = handle.publish(asked).unwrap();
                    assert_eq!(outcome.refusals, []);
                    // As a desk that was not refreshed: what it has written is what it goes on from.
                    *base = Base {
                        version: Some(outcome.versions[0].sequence),
                        state: file(&text).state(),
                    };
                }
            });
        }
    });
    let held = handle
        .with(|broker, _| broker.leases().list().count())
        .unwrap();
    assert_eq!(held, 0);
    drop(handle);
    let broker = thread.join().unwrap();
    let text = fs::read_to_string(folder.shared("toc")).unwrap();
    for line in 0..64 {
        assert_eq!(
            text.matches(&format!("LINE {line} of {}\n", line / 8))
                .count(),
            1,
            "{line}"
        );
    }
    check_tree(&folder.0, &broker);
}
