//! A vandalised or half-written tree becomes equal to the journal; a damaged journal is named.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use formicarium_agents::broker::*;

use crate::stage::*;

fn stocked(folder: &Folder) -> Broker {
    let (mut broker, _) = open(&folder.0);
    now(
        &mut broker,
        "host",
        &[
            ("a", file("a\n")),
            ("d/b", file("b\n")),
            ("d/e/c", Wanted::file(*b"c\n", true)),
            ("empty", Wanted::Dir),
        ],
    );
    broker
}

#[test]
fn every_kind_of_vandalism_is_repaired_once_and_outsiders_stay_whole() {
    let folder = Folder::new();
    let mut broker = stocked(&folder);
    let secret = folder.0.join("secret");
    fs::write(&secret, "secret\n").unwrap();
    let outside = folder.0.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept\n").unwrap();
    let at = |p: &str| folder.shared(p);
    type Vandalism<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let vandalisms: Vec<Vandalism> = vec![
        (
            "changed in place",
            Box::new(|| fs::write(at("a"), "X\n").unwrap()),
        ),
        (
            "torn",
            Box::new(|| {
                fs::File::options()
                    .write(true)
                    .open(at("d/b"))
                    .unwrap()
                    .set_len(1)
                    .unwrap()
            }),
        ),
        ("missing", Box::new(|| fs::remove_file(at("a")).unwrap())),
        (
            "folder missing",
            Box::new(|| fs::remove_dir_all(at("d")).unwrap()),
        ),
        ("stray", Box::new(|| fs::write(at("d/stray"), "").unwrap())),
        (
            "link to a file",
            Box::new(|| {
                fs::remove_file(at("a")).unwrap();
                symlink(&secret, at("a")).unwrap()
            }),
        ),
        (
            "link to a folder",
            Box::new(|| {
                fs::remove_dir_all(at("d")).unwrap();
                symlink(&outside, at("d")).unwrap()
            }),
        ),
        (
            "folder for file",
            Box::new(|| {
                fs::remove_file(at("a")).unwrap();
                fs::create_dir_all(at("a/x/y")).unwrap()
            }),
        ),
        (
            "file for folder",
            Box::new(|| {
                fs::remove_dir_all(at("d")).unwrap();
                fs::write(at("d"), "").unwrap()
            }),
        ),
        (
            "fifo",
            Box::new(|| {
                fs::remove_file(at("a")).unwrap();
                nix::unistd::mkfifo(&at("a"), nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
        ),
        (
            "rights of a file",
            Box::new(|| fs::set_permissions(at("a"), fs::Permissions::from_mode(0o4777)).unwrap()),
        ),
        (
            "rights of a folder",
            Box::new(|| fs::set_permissions(at("d"), fs::Permissions::from_mode(0o777)).unwrap()),
        ),
        (
            "no rights",
            Box::new(|| fs::set_permissions(at("d"), fs::Permissions::from_mode(0o0)).unwrap()),
        ),
        (
            "hard link",
            Box::new(|| fs::hard_link(at("a"), at("z")).unwrap()),
        ),
        (
            "hard link outside",
            Box::new(|| fs::hard_link(at("a"), outside.join("a")).unwrap()),
        ),
        (
            "odd names",
            Box::new(|| {
                use std::os::unix::ffi::OsStrExt;
                fs::write(at("d").join(std::ffi::OsStr::from_bytes(b"\xff\n")), "").unwrap();
                fs::create_dir(at(".git")).unwrap();
            }),
        ),
        (
            "staging left over",
            Box::new(|| {
                fs::write(folder.0.join("staging/7"), "half").unwrap();
                fs::create_dir_all(folder.0.join("staging/x/y")).unwrap();
            }),
        ),
        (
            "all gone",
            Box::new(|| {
                fs::remove_dir_all(at("")).unwrap();
                fs::remove_dir_all(folder.0.join("staging")).unwrap();
            }),
        ),
        (
            "very deep",
            Box::new(|| {
                let mut deep = at("d");
                for _ in 0..300 {
                    deep.push("deep");
                }
                fs::create_dir_all(deep).unwrap();
            }),
        ),
    ];
    for (what, vandalise) in &vandalisms {
        vandalise();
        let (_, repaired) = recover(&folder.0, &journal(&folder.0)).unwrap();
        assert!(!repaired.is_nothing(), "{what}");
        assert!(repaired.to_string().starts_with("repaired"), "{what}");
        check_tree(&folder.0, &broker);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret\n", "{what}");
        assert_eq!(
            fs::read_to_string(outside.join("kept")).unwrap(),
            "kept\n",
            "{what}"
        );
        assert_eq!(fs::read_to_string(at("d/e/c")).unwrap(), "c\n", "{what}");
        assert_eq!(
            fs::read_dir(folder.0.join("staging")).unwrap().count(),
            0,
            "{what}"
        );
    }
    // A running broker repairs too, and says so.
    fs::write(folder.shared("a"), "X\n").unwrap();
    assert_eq!(broker.repair().unwrap().files_written, 1);
    check_tree(&folder.0, &broker);
}

#[test]
fn what_was_committed_and_not_brought_into_the_tree_is_brought() {
    let folder = Folder::new();
    drop(stocked(&folder));
    // The commit point is the journal alone: a host killed right after it leaves the tree behind.
    let mut journal = journal(&folder.0);
    let hash = ContentHash::of(b"new\n");
    let log = journal.log(&path("a")).unwrap();
    let sequence = journal.marks().unwrap().sequence + 1;
    let state = State::File {
        hash,
        bytes: 4,
        executable: false,
    };
    let version = Version {
        sequence,
        number: 2,
        state,
        parent: Some(log[0].sequence),
        ..log[0].clone()
    };
    journal
        .commit(Batch {
            contents: vec![(hash, b"new\n"[..].into())],
            facts: vec![Fact::Version(version)],
            tokens_below: None,
        })
        .unwrap();
    let (mut broker, repaired) = Broker::open(
        &folder.0,
        Box::new(journal),
        Limits::default(),
        sequence - 1,
    )
    .unwrap();
    assert_eq!(
        repaired,
        Repaired {
            files_written: 1,
            ..Repaired::default()
        }
    );
    assert_eq!(fs::read_to_string(folder.shared("a")).unwrap(), "new\n");
    let facts: Vec<u64> = broker
        .take_facts(1, 0)
        .unwrap()
        .iter()
        .map(Fact::sequence)
        .collect();
    assert_eq!(
        facts,
        [sequence],
        "what no tick has seen is given out again"
    );
}

#[test]
fn a_content_that_is_missing_or_wrong_is_named_and_a_sound_tree_needs_none() {
    let folder = Folder::new();
    drop(stocked(&folder));
    let db = rusqlite::Connection::open(folder.0.join("run.db")).unwrap();
    let hash = ContentHash::of(b"b\n");
    db.execute("UPDATE contents SET body = x'00' WHERE hash = ?1", [hash.0])
        .unwrap();
    let (_, repaired) = recover(&folder.0, &journal(&folder.0)).unwrap();
    assert!(repaired.is_nothing());
    fs::write(folder.shared("d/b"), "X\n").unwrap();
    for _ in 0..2 {
        let error = recover(&folder.0, &journal(&folder.0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no sound content for d/b@1"), "{error}");
        db.execute("DELETE FROM contents WHERE hash = ?1", [hash.0])
            .unwrap();
    }
}

#[test]
fn the_folders_themselves_are_no_links() {
    for name in ["shared", "staging"] {
        let folder = Folder::new();
        drop(stocked(&folder));
        let outside = folder.0.join("outside");
        fs::rename(folder.0.join(name), &outside).unwrap();
        symlink(&outside, folder.0.join(name)).unwrap();
        let error = recover(&folder.0, &journal(&folder.0))
            .unwrap_err()
            .to_string();
        assert!(error.contains("must not be a link"), "{error}");
    }
}
