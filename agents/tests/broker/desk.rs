//! Desks: every way to change a file is seen, nothing hostile is followed, what others published comes in.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

use formicarium_agents::broker::*;
use formicarium_agents::isolation::Owner;
use formicarium_agents::workspace::desk::{DeskError, Freeze};

use crate::stage::*;

fn stocked(folder: &Folder) -> Broker {
    let (mut broker, _) = open(&folder.0);
    let text = |n: usize| {
        file(
            &(1..=9)
                .map(|line| format!("{n}{line}\n"))
                .collect::<String>(),
        )
    };
    now(
        &mut broker,
        "host",
        &[
            ("a", text(1)),
            ("b", text(2)),
            ("d/c", text(3)),
            ("d/e/f", text(4)),
            ("empty", Wanted::Dir),
        ],
    );
    broker
}

fn changes(asked: &Publish) -> Vec<String> {
    let kind = |wanted: &Wanted| match wanted {
        Wanted::Absent => "-".to_owned(),
        Wanted::Dir => "/".to_owned(),
        Wanted::File { executable, .. } => if *executable { "x" } else { "f" }.to_owned(),
    };
    let mut all: Vec<String> = asked
        .changes
        .iter()
        .map(|c| format!("{}{}", kind(&c.wanted), c.path))
        .collect();
    all.sort();
    all
}

/// Counts how often a seat was stopped, and does something then.
struct Stopper<F: FnMut()>(usize, bool, F);

impl<F: FnMut()> Freeze for Stopper<F> {
    fn freeze(&mut self) -> io::Result<()> {
        assert!(!self.1, "not stopped twice");
        self.0 += 1;
        self.1 = true;
        (self.2)();
        Ok(())
    }
    fn thaw(&mut self) {
        self.1 = false;
    }
}

#[test]
fn every_way_to_change_a_file_is_seen() {
    let folder = Folder::new();
    let mut broker = stocked(&folder);
    let mut desk = desk(&folder.0, &broker, "alice", None);
    let at = desk.path();
    assert_eq!(changes(&desk.collect(None, &mut ()).unwrap()), [""; 0]);
    let cases: [(&str, &[&str]); 16] = [
        ("echo 9 > a", &["fa"]),
        ("echo 9 >> a", &["fa"]),
        ("sed -i s/9/7/ a", &["fa"]),
        ("echo 8 > t && mv t a", &["fa"]),
        ("rm a && echo 7 > a", &["fa"]),
        (
            "dd if=/dev/zero of=a bs=1 count=1 conv=notrunc 2>/dev/null",
            &["fa"],
        ),
        ("truncate -s 1 a", &["fa"]),
        // Same length, same time stamp for those who can set it.
        (
            "touch -r b stamp && printf 'x' | dd of=b bs=1 conv=notrunc 2>/dev/null && touch -r stamp b && rm stamp",
            &["fb"],
        ),
        ("chmod +x d/c", &["xd/c"]),
        ("cp d/c d/g && ln d/g d/h", &["xd/g", "xd/h"]),
        ("mkdir -p x/y && rmdir empty", &["-empty", "/x", "/x/y"]),
        (
            "mv d z",
            &[
                "-d", "-d/c", "-d/e", "-d/e/f", "-d/g", "-d/h", "/z", "/z/e", "fz/e/f", "xz/c",
                "xz/g", "xz/h",
            ],
        ),
        (
            "rm -r z && echo 1 > z",
            &["-z/c", "-z/e", "-z/e/f", "-z/g", "-z/h", "fz"],
        ),
        ("rm z && mkdir z", &["/z"]),
        ("touch a b; chmod go-r a", &[]),
        (
            "find . -mindepth 1 -delete",
            &["-a", "-b", "-x", "-x/y", "-z"],
        ),
    ];
    for (script, expected) in cases {
        let done = Command::new("sh")
            .args(["-ec", script])
            .current_dir(&at)
            .status()
            .unwrap();
        assert!(done.success(), "{script}");
        let asked = desk.collect(None, &mut ()).unwrap();
        assert_eq!(changes(&asked), expected, "{script}");
        assert_eq!(asked.unshared, [], "{script}");
        let outcome = hand_in(&mut broker, &mut desk, "alice");
        assert_eq!(outcome.refusals, [], "{script}");
        assert_eq!(
            changes(&desk.collect(None, &mut ()).unwrap()),
            [""; 0],
            "{script}"
        );
        refresh(&broker, &mut desk);
        let same = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .arg(&at)
            .arg(broker.shared())
            .status()
            .unwrap();
        assert!(same.success(), "{script}");
        check_tree(&folder.0, &broker);
    }
}

#[test]
fn a_rename_is_linked_to_the_version_that_moved() {
    let folder = Folder::new();
    let mut broker = stocked(&folder);
    let mut desk = desk(&folder.0, &broker, "alice", None);
    fs::rename(desk.path().join("a"), desk.path().join("moved")).unwrap();
    fs::write(desk.path().join("moved"), "and changed").unwrap();
    let from = broker.index().get(&path("a")).unwrap().sequence;
    let outcome = hand_in(&mut broker, &mut desk, "alice");
    let moved = outcome
        .versions
        .iter()
        .find(|v| v.path == path("moved"))
        .unwrap();
    assert_eq!(moved.from, Some(from));
}

#[test]
fn what_others_published_comes_in_unless_the_agent_changed_it() {
    let folder = Folder::new();
    let mut broker = stocked(&folder);
    let mut alice = desk(&folder.0, &broker, "alice", None);
    let mut bob = desk(&folder.0, &broker, "bob", None);
    let (at, to) = (bob.path(), alice.path());
    // Bob changes three; alice one of them in another line, one in the same, and one not at all.
    for name in ["a", "b", "d/c"] {
        let text = fs::read_to_string(at.join(name)).unwrap();
        fs::write(at.join(name), format!("bob\n{}", &text[3..])).unwrap();
    }
    fs::write(at.join("d/new"), "new\n").unwrap();
    fs::remove_dir(at.join("empty")).unwrap();
    assert!(hand_in(&mut broker, &mut bob, "bob").is_published());
    let text = fs::read_to_string(to.join("a")).unwrap();
    fs::write(to.join("a"), format!("{}alice\n", &text[..24])).unwrap();
    fs::write(to.join("b"), "alice\n").unwrap();
    let done = refresh(&broker, &mut alice);
    assert_eq!(done.updated, ["empty", "d/c", "d/new"].map(path));
    assert_eq!(done.kept, ["a", "b"].map(path));
    assert_eq!(
        fs::read_to_string(to.join("b")).unwrap(),
        "alice\n",
        "hers stays"
    );
    // One collides, so that nothing of hers is published; alone the other is merged.
    let outcome = hand_in(&mut broker, &mut alice, "alice");
    assert_eq!(
        reasons(&outcome),
        [("b", Reason::Conflict), ("a", Reason::Together)]
    );
    let mut asked = alice.collect(Some(&[path("a")]), &mut ()).unwrap();
    asked.seat = Some("alice".into());
    let outcome = one(&mut broker, asked);
    alice.settle(&outcome);
    assert!(outcome.versions[0].merged.is_some());
    // She goes on before the merge has come in: that is a change against what she had written.
    fs::write(
        to.join("a"),
        fs::read_to_string(to.join("a"))
            .unwrap()
            .replace("alice", "alice too"),
    )
    .unwrap();
    assert_eq!(refresh(&broker, &mut alice).kept, ["a", "b"].map(path));
    let mut asked = alice.collect(Some(&[path("a")]), &mut ()).unwrap();
    asked.seat = Some("alice".into());
    let outcome = one(&mut broker, asked);
    assert!(outcome.is_published(), "{outcome:?}");
    alice.settle(&outcome);
    refresh(&broker, &mut alice);
    let both = fs::read_to_string(to.join("a")).unwrap();
    assert!(
        both.starts_with("bob\n") && both.ends_with("alice too\n"),
        "{both:?}"
    );
    // She looks at the collision and publishes over it; or gives hers up.
    alice.resolve(broker.index().get(&path("b")).unwrap());
    assert!(hand_in(&mut broker, &mut alice, "alice").is_published());
    assert_eq!(fs::read_to_string(folder.shared("b")).unwrap(), "alice\n");
    fs::write(at.join("b"), "bob again\n").unwrap();
    assert_eq!(refresh(&broker, &mut bob).kept, [path("b")]);
    assert!(
        bob.take(broker.index().get(&path("b")).unwrap(), &mut ())
            .unwrap()
    );
    assert_eq!(fs::read_to_string(at.join("b")).unwrap(), "alice\n");
    // A change that the agent takes back makes way for what it had kept out.
    let was = fs::read_to_string(at.join("d/c")).unwrap();
    fs::write(at.join("d/c"), "x\n").unwrap();
    fs::write(to.join("d/c"), "y\n").unwrap();
    assert!(hand_in(&mut broker, &mut alice, "alice").is_published());
    assert_eq!(refresh(&broker, &mut bob).kept, [path("d/c")]);
    fs::write(at.join("d/c"), was).unwrap();
    assert_eq!(refresh(&broker, &mut bob).updated, [path("d/c")]);
    check_tree(&folder.0, &broker);
}

#[test]
fn what_is_resolved_goes_over_the_version_that_was_looked_at_and_over_nothing_newer() {
    let folder = Folder::new();
    let mut broker = stocked(&folder);
    let mut alice = desk(&folder.0, &broker, "alice", None);
    let mut bob = desk(&folder.0, &broker, "bob", None);
    fs::write(alice.path().join("b"), "alice\n").unwrap();
    fs::write(bob.path().join("b"), "bob\n").unwrap();
    assert!(hand_in(&mut broker, &mut bob, "bob").is_published());
    let seen = broker.index().get(&path("b")).unwrap().clone();
    // While alice brings both together, bob goes on.
    fs::write(bob.path().join("b"), "bob again\n").unwrap();
    assert!(hand_in(&mut broker, &mut bob, "bob").is_published());
    refresh(&broker, &mut alice);
    fs::write(alice.path().join("b"), "alice and bob\n").unwrap();
    alice.resolve(&seen);
    let outcome = hand_in(&mut broker, &mut alice, "alice");
    assert_eq!(reasons(&outcome), [("b", Reason::Conflict)]);
    assert_eq!(
        refresh(&broker, &mut alice).kept,
        [path("b")],
        "it is still told of"
    );
    alice.resolve(broker.index().get(&path("b")).unwrap());
    assert!(hand_in(&mut broker, &mut alice, "alice").is_published());
    check_tree(&folder.0, &broker);
}

#[test]
fn what_cannot_be_shared_is_named_and_holds_up_nothing() {
    let folder = Folder::new();
    let mut broker = stocked(&folder);
    let mut desk = desk(&folder.0, &broker, "alice", None);
    let at = desk.path();
    let secret = folder.0.join("secret");
    fs::write(&secret, "secret\n").unwrap();
    symlink(&secret, at.join("link")).unwrap();
    symlink("a", at.join("inner")).unwrap();
    fs::remove_file(at.join("b")).unwrap();
    symlink(&secret, at.join("b")).unwrap();
    fs::rename(at.join("d"), folder.0.join("away")).unwrap();
    symlink(folder.0.join("away"), at.join("d")).unwrap();
    fs::hard_link(&secret, at.join("hard")).unwrap();
    nix::unistd::mkfifo(&at.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at.join("socket")).unwrap();
    fs::write(at.join("suid"), "").unwrap();
    fs::set_permissions(at.join("suid"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::create_dir_all(at.join(".git/hooks")).unwrap();
    fs::File::create(at.join("sparse"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fs::write(at.join("line\nbreak"), "").unwrap();
    use std::os::unix::ffi::OsStrExt;
    fs::write(at.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    fs::create_dir_all(at.join(vec!["n"; 70].join("/"))).unwrap();
    fs::write(at.join("fine"), "fine\n").unwrap();
    let outcome = hand_in(&mut broker, &mut desk, "alice");
    assert_eq!(outcome.refusals, []);
    let mut named: Vec<(&str, Reason)> = outcome
        .unshared
        .iter()
        .map(|r| (r.path.as_str(), r.reason))
        .collect();
    named.sort_by_key(|(p, _)| *p);
    let deep = vec!["n"; 65].join("/");
    assert_eq!(
        named,
        [
            (".git", Reason::Name),
            ("b", Reason::Special),
            ("d", Reason::Special),
            ("fifo", Reason::Special),
            ("hard", Reason::Special),
            ("inner", Reason::Special),
            ("line\\nbreak", Reason::Name),
            ("link", Reason::Special),
            (deep.as_str(), Reason::Limit),
            ("socket", Reason::Special),
            ("sparse", Reason::Limit),
            ("suid", Reason::Special),
            ("\u{fffd}", Reason::Name),
        ]
    );
    assert!(
        folder.shared("fine").exists()
            && folder.shared("b").is_file()
            && folder.shared("d/c").is_file()
    );
    // Others' changes do not go through the link, nor over it.
    now(
        &mut broker,
        "bob",
        &[("d/c", file("bob\n")), ("b", file("bob\n"))],
    );
    let done = refresh(&broker, &mut desk);
    assert_eq!(done.kept, ["b", "d/c"].map(path));
    assert_ne!(
        fs::read_to_string(folder.0.join("away/c")).unwrap(),
        "bob\n"
    );
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n");
    check_tree(&folder.0, &broker);
}

#[test]
fn a_seat_is_stopped_only_while_what_changed_is_read() {
    let folder = Folder::new();
    let broker = stocked(&folder);
    let mut desk = desk(&folder.0, &broker, "alice", None);
    let at = desk.path();
    // Until the stamps are old enough to be believed, files are read again.
    while {
        let mut stopper = Stopper(0, false, || {});
        desk.collect(None, &mut stopper).unwrap();
        assert!(!stopper.1);
        stopper.0 > 0
    } {}
    fs::write(at.join("a"), "1\n").unwrap();
    // What is written in the last moment before the stop counts; what is swapped for a link by then is not followed.
    let last = || {
        fs::write(at.join("a"), "2\n").unwrap();
        fs::remove_file(at.join("b")).unwrap();
        symlink(folder.0.join("run.db"), at.join("b")).unwrap();
    };
    let mut stopper = Stopper(0, false, last);
    let asked = desk.collect(None, &mut stopper).unwrap();
    assert_eq!((stopper.0, stopper.1), (1, false));
    assert_eq!(changes(&asked), ["fa"]);
    assert_eq!(asked.changes[0].wanted, file("2\n"));
    struct Refuses;
    impl Freeze for Refuses {
        fn freeze(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        fn thaw(&mut self) {
            panic!("was never frozen");
        }
    }
    assert!(matches!(
        desk.collect(None, &mut Refuses),
        Err(DeskError::Freeze(_))
    ));
}

#[test]
fn a_desk_that_is_gone_is_made_anew_and_one_from_before_is_kept() {
    let folder = Folder::new();
    let broker = stocked(&folder);
    let mut first = desk(&folder.0, &broker, "alice", None);
    fs::write(first.path().join("mine"), "mine\n").unwrap();
    for gone in [
        "rm -r shared",
        "rm -r shared && ln -s / shared",
        "rm -r shared; echo > shared",
    ] {
        Command::new("sh")
            .args(["-c", gone])
            .current_dir(first.path().parent().unwrap())
            .status()
            .unwrap();
        assert!(
            matches!(first.collect(None, &mut ()), Err(DeskError::Gone { .. })),
            "{gone}"
        );
        assert_eq!(refresh(&broker, &mut first).updated.len(), 7, "{gone}");
        assert_eq!(changes(&first.collect(None, &mut ()).unwrap()), [""; 0]);
        fs::write(first.path().join("mine"), "mine\n").unwrap();
    }
    // The host starts anew: what was not published is still there, beside the fresh desk.
    let second = desk(&folder.0, &broker, "alice", None);
    assert!(!second.path().join("mine").exists());
    let old = fs::read_dir(second.path().parent().unwrap()).unwrap();
    assert!(
        old.into_iter()
            .any(|e| e.unwrap().path().join("mine").exists())
    );
}

#[test]
fn with_an_owner_nothing_is_read_that_its_agent_could_not_read() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT TESTED: acting for another user needs root");
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let mut broker = stocked(&folder);
    let owner = Owner {
        uid: 61_234,
        gid: 61_234,
    };
    let mut desk = desk(&folder.0, &broker, "alice", Some(owner));
    let at = desk.path();
    for name in ["", "a", "d", "d/c"] {
        let found = fs::metadata(at.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (owner.uid, owner.gid), "{name}");
    }
    let secret = folder.0.join("secret");
    fs::write(&secret, "secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&secret, at.join("stolen")).unwrap();
    // A foreign file that was moved here, and one of its own that cannot be read.
    fs::write(at.join("foreign"), "secret\n").unwrap();
    fs::set_permissions(at.join("foreign"), fs::Permissions::from_mode(0o600)).unwrap();
    for (name, text) in [("own", "own\n"), ("closed", "closed\n")] {
        fs::File::create(at.join(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        chown(at.join(name), Some(owner.uid), Some(owner.gid)).unwrap();
    }
    fs::set_permissions(at.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(at.join("d"), fs::Permissions::from_mode(0o0)).unwrap();
    let outcome = hand_in(&mut broker, &mut desk, "alice");
    assert_eq!(
        outcome
            .versions
            .iter()
            .map(|v| v.path.as_str())
            .collect::<Vec<_>>(),
        ["own"]
    );
    let mut named: Vec<(&str, Reason)> = outcome
        .unshared
        .iter()
        .map(|r| (r.path.as_str(), r.reason))
        .collect();
    named.sort_by_key(|(p, _)| *p);
    assert_eq!(
        named,
        [
            ("closed", Reason::Unreadable),
            ("d", Reason::Unreadable),
            ("foreign", Reason::Unreadable),
            ("stolen", Reason::Special),
        ]
    );
    assert!(
        folder.shared("d/c").exists(),
        "a folder that is closed is not gone"
    );
    assert_eq!(
        fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::write(folder.0.join("host"), "").unwrap();
    assert_eq!(
        fs::metadata(folder.0.join("host")).unwrap().uid(),
        0,
        "afterwards the host is itself again"
    );
}

#[test]
fn a_desk_with_too_much_on_it_is_refused_in_bounded_time() {
    let folder = Folder::new();
    let limits = Limits {
        entries: 20,
        ..Limits::default()
    };
    let (broker, _) = Broker::open(&folder.0, Box::new(journal(&folder.0)), limits, 0).unwrap();
    let mut desk = desk(&folder.0, &broker, "alice", None);
    let flood = "mkdir flood && cd flood && seq 11000 | xargs touch";
    let done = Command::new("sh")
        .args(["-c", flood])
        .current_dir(desk.path())
        .status();
    assert!(done.unwrap().success());
    let error = desk.collect(None, &mut ()).unwrap_err();
    assert!(
        matches!(
            error,
            DeskError::TooMany {
                entries: 10_020,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("10020"), "{error}");
}
