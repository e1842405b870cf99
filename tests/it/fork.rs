//! Forks: the same history until a tick, and a future of their own.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::host::{Folder, assert_replays, output, query_int, query_text, run};

fn fork(parent: &Path, out: &Path, more: &[&str]) -> Value {
    let (parent, out) = (
        parent.to_str().expect("UTF-8"),
        out.to_str().expect("UTF-8"),
    );
    let done = output(
        &[
            &["fork", parent, "--out", out, "--headless", "--json"],
            more,
        ]
        .concat(),
    );
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{words}");
    serde_json::from_slice(&done.stdout).expect("a summary")
}

fn hashes(run: &Path, until: u64) -> Vec<String> {
    query_text(
        run,
        &format!("SELECT tick || ' ' || hash FROM ticks WHERE tick <= {until} ORDER BY tick"),
    )
}

#[test]
fn with_no_change_and_builtin_agents_a_fork_is_its_parent_again() {
    let folder = Folder::new("fork-same");
    let parent = folder.path("parent");
    let args = [
        "commons",
        "--agent",
        "*=builtin:random",
        "--seed",
        "9",
        "--ticks",
        "400",
    ];
    let summary = run(&parent, &args);
    // Before the first keyframe, at one, behind one, at the very beginning and end.
    for at in ["0", "1", "255", "256", "300", "400"] {
        let out = folder.path(&format!("fork-{at}"));
        let forked = fork(&parent, &out, &["--at", at]);
        assert_eq!(forked["hash"], summary["hash"], "at {at}");
        assert_eq!(hashes(&out, 400), hashes(&parent, 400), "at {at}");
        assert_replays(&out);
        for table in ["events", "metrics"] {
            let sql = format!("SELECT count(*) FROM {table}");
            assert_eq!(
                query_int(&out, &sql),
                query_int(&parent, &sql),
                "{table} at {at}"
            );
        }
        let meta = "SELECT json_extract(value, '$.parent.tick') FROM meta WHERE key = 'run'";
        assert_eq!(query_int(&out, meta).to_string(), at);
    }
    // Further than its parent, counted from the run's beginning.
    let out = folder.path("further");
    let forked = fork(&parent, &out, &["--at", "390", "--ticks", "450"]);
    assert_eq!(forked["end"], "tick 450 of 450 reached");
    let whole = folder.path("whole");
    let undisturbed = run(&whole, &[&args[..5], &["--ticks", "450"]].concat());
    assert_eq!(forked["hash"], undisturbed["hash"]);
}

#[test]
fn a_fork_with_a_change_is_the_same_until_then_and_another_after() {
    let folder = Folder::new("fork-other");
    let parent = folder.path("parent");
    let args = [
        "commons",
        "--cast",
        "restrained",
        "--seed",
        "2",
        "--ticks",
        "120",
    ];
    run(&parent, &args);
    let before = fs::read(parent.join("run.db")).expect("the parent");
    let out = folder.path("fork");
    let change = [
        "--at",
        "60",
        "--agent",
        "harvester-1=builtin:random",
        "--drop",
        "harvester-2",
    ];
    fork(&parent, &out, &change);
    assert_replays(&out);
    assert_eq!(hashes(&out, 60), hashes(&parent, 60));
    assert_ne!(hashes(&out, 120)[61..], hashes(&parent, 120)[61..]);
    assert_eq!(
        query_text(&out, "SELECT agent FROM seats WHERE seat < 2 ORDER BY seat"),
        ["builtin:random", "builtin:noop"]
    );
    let acts = "SELECT count(*) FROM inputs, json_each(inputs.body, '$.seats') e WHERE tick > 60 AND \
                json_extract(e.value, '$.seat') = 1 AND json_array_length(json_extract(e.value, '$.body.v')) > 0";
    assert_eq!(query_int(&out, acts), 0, "the dropped one waits");
    assert_eq!(
        fs::read(parent.join("run.db")).expect("the parent"),
        before,
        "the parent is only read"
    );
    // A fork of the fork has a parent too, and its own changes are those that count.
    let second = folder.path("second");
    fork(&out, &second, &["--at", "90"]);
    assert_eq!(hashes(&second, 120)[..91], hashes(&out, 120)[..91]);
    assert_replays(&second);
}

#[test]
fn shared_files_are_those_of_the_tick() {
    let folder = Folder::new("fork-files");
    let parent = folder.path("parent");
    run(&parent, &["workshop"]);
    let out = folder.path("fork");
    fork(&parent, &out, &["--at", "8", "--drop", "writer-2"]);
    assert_replays(&out);
    assert_eq!(hashes(&out, 8), hashes(&parent, 8));
    let at = |run: &Path| {
        let done = output(&["files", run.to_str().expect("UTF-8"), "--json", "at", "8"]);
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice::<Value>(&done.stdout).expect("JSON")
    };
    assert_eq!(at(&out), at(&parent));
    let versions = "SELECT count(*) FROM versions WHERE seat = 'writer-2' AND tick >= 8";
    assert_eq!(query_int(&out, versions), 0, "it has left");
    assert!(query_int(&parent, versions) > 0);
    // The others go on, on the tree as it was.
    let others = "SELECT count(*) FROM versions WHERE seat = 'writer-1' AND tick >= 8";
    assert!(query_int(&out, others) > 0);
    let mut tree: Vec<_> = query_text(
        &out,
        "SELECT path FROM versions v WHERE kind = 'file' AND version = \
                                             (SELECT max(version) FROM versions w WHERE w.path = v.path)",
    );
    tree.sort();
    for path in tree {
        assert!(out.join("shared").join(&path).is_file(), "{path}");
    }
}

#[test]
fn what_cannot_be_forked_is_said() {
    let folder = Folder::new("fork-not");
    let parent = folder.path("parent");
    run(
        &parent,
        &["commons", "--agent", "*=builtin:noop", "--ticks", "5"],
    );
    let parent = parent.to_str().expect("UTF-8");
    let out = folder.path("out");
    let words = |args: &[&str]| {
        let done = output(
            &[
                &[
                    "fork",
                    parent,
                    "--headless",
                    "--out",
                    out.to_str().expect("UTF-8"),
                ],
                args,
            ]
            .concat(),
        );
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let beyond = words(&["--at", "6"]);
    assert!(
        beyond.contains("ends at tick 5; tick 6 was never made"),
        "{beyond}"
    );
    let unread = words(&["--at", "3", "--agent", "harvester-1"]);
    assert!(unread.contains("there is no '='"), "{unread}");
    assert!(!out.exists(), "nothing is left of it");
    folder.write("out/something", "");
    let occupied = words(&["--at", "3"]);
    assert!(occupied.contains("not empty"), "{occupied}");
}
