//! Forks: the same history until a tick, and a future of their own.

use std::fs;
use std::path::Path;

use serde_json::Value;

use formicarium::recorder::reader::Recording;
use rusqlite::types::FromSql;

use crate::host::{Folder, Live, assert_replays, copy, output, run};

/// Rows of a query on a run, with those that a fork has from before.
fn column<T: FromSql>(run: &Path, sql: &str) -> Vec<T> {
    let recording = Recording::open(run).expect("a recording");
    let mut statement = recording.connection().prepare(sql).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

fn query_text(run: &Path, sql: &str) -> Vec<String> {
    column(run, sql)
}

fn query_int(run: &Path, sql: &str) -> i64 {
    column(run, sql)[0]
}

/// The same of the fork's own file.
fn own_int(run: &Path, sql: &str) -> i64 {
    crate::host::query_int(run, sql)
}

fn assert_verifies(run: &Path) -> Value {
    let done = output(&["verify", run.to_str().expect("UTF-8"), "--json"]);
    let report: Value = serde_json::from_slice(&done.stdout).expect("a report");
    assert_eq!(report["verdict"], "good", "{report}");
    report
}

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
        assert_verifies(&out);
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
    assert_verifies(&second);
    assert_eq!(own_int(&second, "SELECT min(tick) FROM inputs"), 91);
    assert_eq!(own_int(&second, "SELECT min(tick) FROM ticks"), 91);
    assert_eq!(query_int(&second, "SELECT min(tick) FROM inputs"), 1);
    // Numbers are unique and rise with time through all three.
    for table in ["notes", "remembered"] {
        let numbers: Vec<i64> = column(&second, &format!("SELECT id FROM {table}"));
        assert!(numbers.is_sorted_by(|a, b| a < b), "{table}: {numbers:?}");
    }
    // Moved together, they find one another; copies of both are a pair of their own.
    let moved = folder.path("moved");
    copy(&folder.path("parent"), &moved.join("parent"));
    copy(&out, &moved.join("fork"));
    copy(&second, &moved.join("second"));
    for name in ["parent", "fork", "second"] {
        fs::rename(folder.path(name), folder.path(&format!("old-{name}"))).expect("moved away");
    }
    assert_verifies(&moved.join("second"));
    assert_eq!(
        hashes(&moved.join("second"), 120),
        hashes_of_second(&folder)
    );
}

/// Those of a fork whose parents are gone, from its own file and theirs.
fn hashes_of_second(folder: &Folder) -> Vec<String> {
    let own = |name: &str, from: u64, to: u64| {
        let sql = format!(
            "SELECT tick || ' ' || hash FROM ticks WHERE tick BETWEEN {from} AND {to} ORDER BY tick"
        );
        crate::host::query_text(&folder.path(name), &sql)
    };
    [
        own("old-parent", 0, 60),
        own("old-fork", 61, 90),
        own("old-second", 91, 120),
    ]
    .concat()
}

#[test]
fn a_parent_that_goes_on_may_be_forked_and_its_later_rows_stay_its_own() {
    let folder = Folder::new("fork-live");
    let parent = folder.path("parent");
    let args = [
        "commons",
        "--cast",
        "restrained",
        "--seed",
        "2",
        "--ticks",
        "0",
    ];
    let mut live = Live::start(&parent, &args);
    live.until("SELECT count(*) FROM ticks", 40);
    let out = folder.path("fork");
    let at = crate::host::query_int(&parent, "SELECT max(tick) FROM inputs").to_string();
    fork(
        &parent,
        &out,
        &["--at", &at, "--ticks", "5000", "--drop", "*"],
    );
    let before = query_int(&out, "SELECT count(*) FROM notes");
    let now = crate::host::query_int(&parent, "SELECT max(tick) FROM ticks");
    live.until("SELECT max(tick) FROM ticks", now + 20);
    assert_eq!(query_int(&out, "SELECT count(*) FROM notes"), before);
    assert_eq!(query_int(&out, "SELECT max(tick) FROM ticks"), 5000);
    assert_eq!(
        query_int(&out, "SELECT count(*) - count(DISTINCT tick) FROM ticks"),
        0
    );
    assert_verifies(&out);
    live.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(live.wait(), Some(0));
    assert_verifies(&out);
    assert_replays(&out);
}

#[test]
fn a_parent_that_is_gone_or_changed_is_told_with_what_to_do() {
    let folder = Folder::new("fork-lost");
    let parent = folder.path("parent");
    let args = [
        "commons",
        "--agent",
        "*=builtin:random",
        "--seed",
        "9",
        "--ticks",
        "50",
    ];
    run(&parent, &args);
    let out = folder.path("fork");
    fork(&parent, &out, &["--at", "40"]);
    let words = |command: &str, status: i32| {
        let done = output(&[command, out.to_str().expect("UTF-8")]);
        assert_eq!(done.status.code(), Some(status), "{done:?}");
        String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout)
    };
    // One row of what it lends.
    let change = |sql: &str| {
        let done =
            rusqlite::Connection::open(parent.join("run.db")).and_then(|db| db.execute(sql, []));
        assert_eq!(done, Ok(1), "{sql}");
    };
    change("UPDATE ticks SET at_us = at_us + 1 WHERE tick = 7");
    let said = words("verify", 3);
    assert!(
        said.contains("its rows up to tick 40 are not those"),
        "{said}"
    );
    change("UPDATE ticks SET at_us = at_us - 1 WHERE tick = 7");
    assert_verifies(&out);
    // What came after is none of its business.
    change("UPDATE ticks SET at_us = at_us + 1 WHERE tick = 47");
    assert_verifies(&out);
    change("UPDATE chain SET digest = replace(digest, '1', '2') WHERE block = 1");
    let said = words("replay", 1);
    assert!(
        said.contains("block 1 of its chain has another digest"),
        "{said}"
    );
    let away = folder.path("away");
    fs::rename(&parent, &away).expect("moved away");
    let said = words("replay", 1);
    let place = fs::canonicalize(&folder.0).expect("there").join("parent");
    assert!(
        said.contains("that run is gone. Put its folder back at"),
        "{said}"
    );
    assert!(said.contains(place.to_str().expect("UTF-8")), "{said}");
    assert!(words("resume", 2).contains("that run is gone"));
    assert!(words("verify", 3).contains("that run is gone"));
    // Another run in its place.
    run(&parent, &args);
    let said = words("replay", 1);
    assert!(said.contains("that is run commons-"), "{said}");
}

#[test]
fn a_long_line_of_forks_is_cut_by_a_copy() {
    let folder = Folder::new("fork-deep");
    let mut last = folder.path("run-0");
    let args = [
        "commons",
        "--agent",
        "*=builtin:random",
        "--seed",
        "9",
        "--ticks",
        "30",
    ];
    let summary = run(&last, &args);
    let mut copied = Vec::new();
    for number in 1..=10 {
        let next = folder.path(&format!("run-{number}"));
        // Ticks do not have to rise along the line.
        let at = if number % 3 == 0 { 5 } else { 10 + 2 * number };
        let forked = fork(&last, &next, &["--at", &at.to_string()]);
        assert_eq!(forked["hash"], summary["hash"], "fork {number}");
        assert_verifies(&next);
        assert_eq!(
            hashes(&next, 30),
            hashes(&folder.path("run-0"), 30),
            "fork {number}"
        );
        let sql =
            "SELECT json_extract(value, '$.parent.history.copied') FROM meta WHERE key = 'run'";
        copied.push(query_int(&next, sql));
        last = next;
    }
    assert_eq!(copied, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
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

/// Keeps the text of each observation, and the results that came with it, by tick.
const LISTENER: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        print(json.dumps({"type": "ready"}), flush=True)
    elif message["type"] == "observe":
        with open(f"{message['tick']}.json", "w") as heard:
            json.dump({"text": message["text"], "results": message["results"]}, heard)
        print(json.dumps({"type": "act", "tick": message["tick"], "actions": []}), flush=True)
"#;

#[test]
fn one_word_or_one_rule_is_changed_and_stands_in_the_inputs() {
    let folder = Folder::new("fork-changes");
    let parent = folder.path("parent");
    let listener = folder.write("listener.py", LISTENER);
    let listener = format!("harvester-1=python3 {}", listener.display());
    let args = [
        "commons",
        "--agent",
        &listener,
        "--agent",
        "*=builtin:random",
        "--seed",
        "5",
        "--ticks",
        "40",
    ];
    run(&parent, &args);
    let out = folder.path("fork");
    let say = ["--say", "harvester-1: eat slowly: it grows back"];
    fork(
        &parent,
        &out,
        &[
            &["--at", "20", "--set", "timeout=0", "--set", "view=9"][..],
            &say,
        ]
        .concat(),
    );
    assert_replays(&out);
    assert_eq!(hashes(&out, 20), hashes(&parent, 20));
    let events = "SELECT tick || ' ' || name || ' ' || coalesce(text, data) FROM events WHERE name LIKE 'world.%' OR name = 'seat.told' ORDER BY tick, n";
    assert_eq!(
        query_text(&out, events),
        [
            r#"21 world.set {"name":"timeout","value":"0"}"#,
            r#"21 world.set {"name":"view","value":"9"}"#,
            "21 seat.told eat slowly: it grows back",
        ]
    );
    // It was told with the first thing that it saw, and only then.
    let heard = |tick: u64| {
        let path = out.join(format!("agents/harvester-1/workspace/{tick}.json"));
        let text = fs::read_to_string(path).expect("it was shown that tick");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let words = "You are told by who runs this world: eat slowly: it grows back\n";
    assert!(
        heard(20)["text"].as_str().expect("a text").ends_with(words),
        "{}",
        heard(20)
    );
    let result = serde_json::json!({"action": null, "ok": true, "code": "told", "reason": "eat slowly: it grows back"});
    assert!(
        heard(20)["results"]
            .as_array()
            .expect("results")
            .contains(&result)
    );
    assert!(!heard(19).to_string().contains("eat slowly"));
    assert!(!heard(21).to_string().contains("eat slowly"));
    // Keyframes after the change restore under it: a fork of the fork, and verification.
    let second = folder.path("second");
    fork(&out, &second, &["--at", "35", "--ticks", "60"]);
    assert_replays(&second);
    for run in [&out, &second] {
        let done = output(&["verify", run.to_str().expect("UTF-8")]);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stdout)
        );
    }
    let (from, at) = (parent.to_str().expect("UTF-8"), folder.path("none"));
    let at = at.to_str().expect("UTF-8");
    for (change, why) in [
        (["--set", "harvesters=3"], "other seats"),
        (["--set", "timeout=-1"], "expected"),
        (["--set", "tmeout=1"], "tmeout"),
        (["--say", "harvester-01: hm"], "did you mean harvester-1?"),
        (["--say", "hm"], "SEAT: TEXT"),
    ] {
        let done = output(
            &[
                &["fork", from, "--at", "3", "--out", at, "--headless"][..],
                &change,
            ]
            .concat(),
        );
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{change:?}: {words}");
        assert!(words.contains(why), "{change:?}: {words}");
        assert!(!Path::new(at).exists(), "{change:?}");
    }
}

#[test]
fn another_agent_on_the_same_body_stands_in_the_inputs() {
    let folder = Folder::new("fork-seated");
    let out = folder.path("run");
    run(
        &out,
        &["commons", "--agent", "*=builtin:random", "--ticks", "10"],
    );
    let run = out.to_str().expect("UTF-8");
    let change = ["--agent", "harvester-2=builtin:noop", "--ticks", "20"];
    let done = output(&[&["resume", run, "--headless"][..], &change].concat());
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let events = "SELECT tick || ' ' || seat || ' ' || text FROM events WHERE name = 'seat.seated'";
    assert_eq!(query_text(&out, events), ["11 1 builtin:noop"]);
    assert_replays(&out);
    let forked = folder.path("fork");
    fork(&out, &forked, &["--at", "15", "--drop", "harvester-3"]);
    assert_eq!(
        query_text(&forked, events),
        ["11 1 builtin:noop", "16 2 builtin:noop"]
    );
}

#[test]
fn the_workshop_with_another_agent_from_its_middle_on_differs_from_there() {
    let folder = Folder::new("fork-middle");
    let (parent, out) = (folder.path("parent"), folder.path("fork"));
    run(&parent, &["workshop"]);
    fork(
        &parent,
        &out,
        &["--at", "12", "--agent", "writer-1=builtin:random"],
    );
    assert_replays(&out);
    assert_verifies(&out);
    assert_eq!(hashes(&out, 12), hashes(&parent, 12));
    for sql in [
        "SELECT sequence || ' ' || body FROM file_facts WHERE tick < 12 ORDER BY sequence",
        "SELECT tick || ' ' || seat || ' ' || path || ' ' || kind || ' ' || coalesce(hash, '') FROM workspace_files WHERE tick < 12 \
         ORDER BY id",
        "SELECT tick || ' ' || name || ' ' || coalesce(text, '') FROM events WHERE tick <= 12 ORDER BY tick, n",
    ] {
        assert!(!query_text(&parent, sql).is_empty(), "{sql}");
        assert_eq!(query_text(&out, sql), query_text(&parent, sql), "{sql}");
    }
    let names = [&parent, &out].map(|run| run.to_str().expect("UTF-8").to_owned());
    let done = output(&["diff", &names[0], &names[1], "--json"]);
    assert_eq!(done.status.code(), Some(3));
    let told: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(told["inputs"]["tick"], 13, "{told}");
    assert!(told["first"]["tick"].as_u64() >= Some(13), "{told}");
    let parts = told["first"]["parts"].as_array();
    assert!(parts.is_some_and(|parts| !parts.is_empty()), "{told}");
    assert!(
        !told["files"].as_array().expect("files").is_empty(),
        "{told}"
    );
}
