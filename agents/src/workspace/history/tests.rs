//! What a look finds, and the way back.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::restore::{Kept, RestoreError, is_missing, restore};
use super::*;

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn place(name: &str) -> (Place, Workspace) {
    let base = std::env::temp_dir().join(format!("formicarium-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&base);
    let at = crate::workspace::prepare(&base, "seat", &[], None).unwrap();
    (Place(base), at)
}

fn histories(at: &Workspace, known: Vec<(String, Seen)>) -> Histories {
    Histories::new([(3, History::new(at, None, known))].into())
}

/// The changes as one line each.
fn lines(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let now = match &change.now {
            Now::Dir => "folder".to_owned(),
            Now::Gone => "gone".to_owned(),
            Now::Link(to) => format!("-> {to}"),
            Now::LeftOut(why) => format!("left out: {why}"),
            Now::File {
                bytes,
                executable,
                base,
                rest,
                ..
            } => format!(
                "{bytes}{}{}",
                if *executable { " x" } else { "" },
                match base {
                    Some(_) => format!(", {} more", rest.len()),
                    None => format!(" {:?}", String::from_utf8_lossy(&rest[..rest.len().min(9)])),
                }
            ),
        };
        format!("{} {now}", change.path)
    };
    changes.iter().map(line).collect()
}

#[test]
fn a_look_says_what_has_changed_and_no_more() {
    let (_place, at) = place("history");
    let mut seats = histories(&at, Vec::new());
    assert_eq!(lines(&seats.look(3)), [""; 0]);
    fs::write(at.workspace.join("notes.md"), "one").unwrap();
    fs::create_dir_all(at.home.join(".claude/projects")).unwrap();
    fs::write(at.home.join(".claude/projects/s.jsonl"), vec![b'a'; 5000]).unwrap();
    fs::create_dir_all(at.workspace.join("node_modules/x")).unwrap();
    fs::create_dir_all(at.workspace.join("shared")).unwrap();
    fs::write(at.workspace.join("shared/tree.txt"), "of the tree").unwrap();
    fs::write(at.tmp.join("scratch"), "not kept").unwrap();
    symlink("/etc/passwd", at.workspace.join("link")).unwrap();
    assert_eq!(
        lines(&seats.look(3)),
        [
            "home/.claude folder",
            "home/.claude/projects folder",
            "home/.claude/projects/s.jsonl 5000 \"aaaaaaaaa\"",
            "workspace/link -> /etc/passwd",
            "workspace/node_modules left out: folders named node_modules are not kept",
            "workspace/notes.md 3 \"one\"",
        ]
    );
    assert_eq!(lines(&seats.look(3)), [""; 0], "nothing is told twice");
    // Behind what stands there; of the same length; in a folder that is new; gone.
    let mut log = vec![b'a'; 5000];
    log.extend(b"more");
    fs::write(at.home.join(".claude/projects/s.jsonl"), &log).unwrap();
    fs::write(at.workspace.join("notes.md"), "two").unwrap();
    fs::create_dir(at.workspace.join("bin")).unwrap();
    fs::write(at.workspace.join("bin/run"), "#!/bin/sh").unwrap();
    fs::set_permissions(
        at.workspace.join("bin/run"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    fs::remove_file(at.workspace.join("link")).unwrap();
    assert_eq!(
        lines(&seats.look(3)),
        [
            "home/.claude/projects/s.jsonl 5004, 4 more",
            "workspace/bin folder",
            "workspace/bin/run 9 x \"#!/bin/sh\"",
            "workspace/link gone",
            "workspace/notes.md 3 \"two\"",
        ]
    );
    fs::write(at.workspace.join("bin/run"), "#!/bin/ash").unwrap();
    assert_eq!(
        lines(&seats.look(3)),
        ["workspace/bin/run 10 x \"#!/bin/as\""],
        "a folder that came later is watched too"
    );
    fs::remove_dir_all(at.workspace.join("bin")).unwrap();
    assert_eq!(
        lines(&seats.look(3)),
        ["workspace/bin gone", "workspace/bin/run gone"]
    );
}

#[test]
fn what_is_known_from_a_recording_is_not_told_again() {
    let (_place, at) = place("history-known");
    fs::write(at.workspace.join("a"), "alpha").unwrap();
    let seen = Seen::File {
        hash: ContentHash::of(b"alpha"),
        bytes: 5,
        executable: false,
    };
    let known = vec![
        ("workspace/a".to_owned(), seen.clone()),
        ("workspace/b".to_owned(), seen),
    ];
    assert_eq!(lines(&histories(&at, known).look(3)), ["workspace/b gone"]);
}

#[test]
fn large_files_and_deep_folders_are_left_out_and_said_once() {
    let (_place, at) = place("history-large");
    let large = fs::File::create(at.workspace.join("large")).unwrap();
    large.set_len(FILE_BYTES + 1).unwrap();
    let mut deep = at.workspace.clone();
    for _ in 0..70 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let mut seats = histories(&at, Vec::new());
    let first = lines(&seats.look(3));
    let left: Vec<&String> = first.iter().filter(|line| line.contains("left")).collect();
    assert_eq!(left.len(), 2, "{first:?}");
    assert!(left[0].ends_with("more than 64 folders in one another"));
    assert_eq!(
        *left[1],
        format!(
            "workspace/large left out: it has {} bytes, more than {FILE_BYTES}",
            FILE_BYTES + 1
        )
    );
    assert_eq!(lines(&seats.look(3)), [""; 0]);
    large.set_len(2).unwrap();
    assert_eq!(lines(&seats.look(3)), ["workspace/large 2 \"\\0\\0\""]);
}

#[test]
fn what_was_kept_is_laid_out_again_and_nothing_outside() {
    let base = std::env::temp_dir().join(format!("formicarium-restore-{}", std::process::id()));
    let place = Place(base.clone());
    fs::create_dir_all(&base).unwrap();
    assert!(is_missing(&base));
    let file = |content: &str| Kept::File {
        content: content.into(),
        executable: true,
    };
    let files = [
        ("home".to_owned(), Kept::Dir),
        ("workspace/a/b".to_owned(), file("x")),
        ("workspace/l".to_owned(), Kept::Link("../outside".into())),
    ];
    assert_eq!(restore(&base, files).unwrap(), 3);
    // Two things at one path, the first of them a link that leads out: the second stands in its way.
    fs::create_dir(base.join("outside")).unwrap();
    let crossed = [
        ("workspace/m".to_owned(), Kept::Link("../outside".into())),
        ("workspace/m/x".to_owned(), file("x")),
    ];
    assert!(restore(&base, crossed).is_err());
    assert!(!base.join("outside/x").exists());
    assert!(!is_missing(&base));
    let made = base.join("workspace/a/b");
    assert_eq!(fs::read_to_string(&made).unwrap(), "x");
    assert_eq!(
        fs::metadata(&made).unwrap().permissions().mode() & 0o777,
        0o755
    );
    for bad in ["../x", "program/x", "workspace/../../x", "/etc/x", ""] {
        let files = [(bad.to_owned(), file("x"))];
        assert!(
            matches!(restore(&base, files), Err(RestoreError::Path { .. })),
            "{bad:?}"
        );
    }
    drop(place);
}
