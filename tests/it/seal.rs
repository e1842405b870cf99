//! Sealing and deleting: a recording that stands alone, and none that goes while another needs it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use formicarium::recorder::reader::Recording;
use serde_json::Value;

use crate::host::{Folder, Live, assert_replays, copy, output, run};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Exit status and all that was said.
fn said(args: &[&str]) -> (i32, String) {
    let done = output(args);
    let words =
        String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    (done.status.code().expect("an exit"), words)
}

/// What it printed.
fn good(args: &[&str]) -> String {
    let done = output(args);
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {words}");
    String::from_utf8(done.stdout).expect("UTF-8")
}

fn fork(parent: &Path, out: &Path, at: &str) {
    good(&[
        "fork",
        text(parent),
        "--out",
        text(out),
        "--headless",
        "--at",
        at,
    ]);
}

fn seal(run: &Path) -> Value {
    serde_json::from_str(&good(&["seal", text(run), "--json"])).expect("JSON")
}

fn verify(run: &Path) -> Value {
    let report = serde_json::from_slice(&output(&["verify", text(run), "--json"]).stdout);
    let report: Value = report.expect("a report");
    assert_eq!(report["verdict"], "good", "{report}");
    report
}

/// All rows of all tables but the chain, as text.
fn rows(run: &Path) -> Vec<String> {
    let recording = Recording::open(run).expect("a recording");
    let tables = [
        "bundle",
        "seats",
        "inputs",
        "ticks",
        "keyframes",
        "events",
        "metrics",
        "notes",
        "remembered",
        "scores",
        "transcripts",
        "costs",
        "contents",
        "file_facts",
        "messages",
        "versions",
    ];
    let mut list = Vec::new();
    for table in tables {
        let sql = format!("SELECT * FROM {table}");
        let mut statement = recording.connection().prepare(&sql).expect("a table");
        let columns = statement.column_count();
        let mut found = statement.query([]).expect("rows");
        while let Some(row) = found.next().expect("a row") {
            let values: Vec<rusqlite::types::Value> = (0..columns)
                .map(|column| row.get(column).expect("a value"))
                .collect();
            list.push(format!("{table} {values:?}"));
        }
    }
    list.sort();
    list
}

/// What is sealed is what was there.
fn seals_alike(run: &Path) {
    let (before, report) = (rows(run), verify(run));
    let done = seal(run);
    assert_eq!(done["already"], false);
    assert!(!run.join("run.db").exists() && !run.join("run.db-wal").exists());
    let file = run.join("run.db.zst");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    assert_eq!(
        fs::metadata(&file).expect("there").len(),
        done["sealed_bytes"].as_u64().expect("bytes")
    );
    assert_eq!(rows(run), before);
    let after = verify(run);
    for part in ["run", "ticks", "hash", "ended", "keyframes", "facts"] {
        assert_eq!(after[part], report[part], "{part}");
    }
    assert_replays(run);
    let bytes = fs::read(&file).expect("there");
    let again = seal(run);
    assert_eq!(
        (&again["already"], &again["open_bytes"]),
        (&true.into(), &done["open_bytes"])
    );
    assert_eq!(fs::read(&file).expect("there"), bytes);
}

#[test]
fn a_sealed_run_is_read_as_before_and_not_written_any_more() {
    let folder = Folder::new("seal");
    let out = folder.path("run");
    run(&out, &["workshop"]);
    let print = good(&["fingerprint", text(&out)]);
    let files = good(&["files", text(&out), "--json", "log"]);
    let copied = folder.path("copy");
    fs::create_dir(&copied).expect("a folder");
    fs::copy(out.join("run.db"), copied.join("run.db")).expect("a copy");
    seals_alike(&out);
    assert_eq!(good(&["fingerprint", text(&out)]), print);
    assert_eq!(good(&["files", text(&out), "--json", "log"]), files);
    good(&["diff", text(&out), text(&copied)]);
    good(&[
        "export",
        text(&out),
        "--to",
        "csv",
        "--out",
        text(&folder.path("csv")),
    ]);
    // Any tool reads it: unpacked, it is a database by itself.
    let unpacked = folder.path("run.db");
    let sealed = fs::File::open(out.join("run.db.zst")).expect("there");
    let mut reader = zstd::Decoder::new(sealed).expect("zstd");
    std::io::copy(
        &mut reader,
        &mut fs::File::create(&unpacked).expect("a file"),
    )
    .expect("unpacked");
    let database = rusqlite::Connection::open(&unpacked).expect("a database");
    let ticks: i64 = database
        .query_row("SELECT count(*) FROM ticks", [], |row| row.get(0))
        .expect("ticks");
    assert!(ticks > 10);
    let listed = good(&["runs", text(&folder.0), "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let sealed = listed
        .as_array()
        .expect("runs")
        .iter()
        .filter(|run| run["sealed"] == true);
    assert_eq!(sealed.count(), 1, "{listed}");
    // It has ended, which is only told again; further it does not go, but a fork does.
    good(&["resume", text(&out), "--headless"]);
    let (status, words) = said(&["resume", text(&out), "--headless", "--ticks", "60"]);
    assert!(
        status == 2 && words.contains("is sealed") && words.contains("formicarium fork"),
        "{words}"
    );
    let forked = folder.path("fork");
    fork(&out, &forked, "8");
    assert_replays(&forked);
    verify(&forked);
    // It copied what it has, so that nobody is needed.
    good(&["delete", text(&out)]);
    verify(&forked);
}

#[test]
fn a_fork_that_is_sealed_needs_no_parent() {
    let folder = Folder::new("seal-fork");
    let (parent, first, second) = (
        folder.path("parent"),
        folder.path("first"),
        folder.path("second"),
    );
    run(
        &parent,
        &["commons", "--cast", "mixed", "--seed", "3", "--ticks", "60"],
    );
    fork(&parent, &first, "30");
    fork(&first, &second, "45");
    // The one between them alone: what refers to it goes on to, and it needs nobody.
    let before = rows(&second);
    seals_alike(&first);
    assert_eq!(rows(&second), before);
    verify(&second);
    good(&["delete", text(&parent)]);
    verify(&first);
    seals_alike(&second);
    good(&["delete", text(&first)]);
    assert_replays(&second);
    verify(&second);
}

#[test]
fn a_parent_may_be_sealed_under_its_forks() {
    let folder = Folder::new("seal-parent");
    let (parent, first) = (folder.path("parent"), folder.path("first"));
    run(
        &parent,
        &[
            "commons",
            "--agent",
            "*=builtin:random",
            "--seed",
            "3",
            "--ticks",
            "60",
        ],
    );
    fork(&parent, &first, "30");
    let before = rows(&first);
    seals_alike(&parent);
    assert_eq!(rows(&first), before);
    verify(&first);
    good(&["resume", text(&first), "--headless", "--ticks", "70"]);
    verify(&first);
    let (status, words) = said(&["delete", text(&parent)]);
    assert!(status == 2 && words.contains("Seal them first"), "{words}");
    good(&["delete", text(&first)]);
    let words = fs::read_dir(parent.join("forks")).expect("there");
    assert_eq!(words.count(), 0, "the parent has forgotten it");
    good(&["delete", text(&parent)]);
}

#[test]
fn a_seal_that_was_cut_off_has_lost_nothing_and_one_of_a_damaged_run_is_refused() {
    let folder = Folder::new("seal-cut");
    let out = folder.path("run");
    run(
        &out,
        &[
            "commons",
            "--agent",
            "*=builtin:random",
            "--seed",
            "3",
            "--ticks",
            "40",
        ],
    );
    let before = rows(&out);
    let whole = folder.path("whole");
    copy(&out, &whole);
    seal(&whole);
    // Wherever it was cut off: a draft, half a file, both files, or the last logs.
    for left in [
        &["run.db.sealing"][..],
        &["run.db.sealing", "run.db.zst.part"],
        &["run.db.zst"],
    ] {
        let cut = folder.path("cut");
        copy(&out, &cut);
        for name in left {
            fs::write(cut.join(name), "half of it").expect("a file");
        }
        assert_eq!(rows(&cut), before, "{left:?}");
        seal(&cut);
        assert_eq!(rows(&cut), before, "{left:?}");
        let mut names: Vec<_> = fs::read_dir(&cut)
            .expect("there")
            .flatten()
            .map(|entry| entry.file_name().into_string().expect("UTF-8"))
            .filter(|name| name.starts_with("run.db"))
            .collect();
        names.sort();
        assert_eq!(names, ["run.db.zst"], "{left:?}");
        good(&["delete", text(&cut)]);
    }
    fs::write(whole.join("run.db-wal"), "of a recording that is gone").expect("a file");
    assert_eq!(seal(&whole)["already"], true);
    assert!(!whole.join("run.db-wal").exists());
    let changed = rusqlite::Connection::open(out.join("run.db"))
        .and_then(|db| db.execute("UPDATE metrics SET value = value + 1 WHERE tick = 9", []));
    assert!(changed.is_ok_and(|rows| rows > 0));
    let (status, words) = said(&["seal", text(&out)]);
    assert!(
        status == 3 && words.contains("metrics") && words.contains("it is not sealed"),
        "{words}"
    );
    assert!(out.join("run.db").exists() && !out.join("run.db.zst").exists());
}

#[test]
fn a_run_that_somebody_needs_is_not_deleted() {
    let folder = Folder::new("delete");
    let (parent, first, second) = (
        folder.path("parent"),
        folder.path("first"),
        folder.path("second"),
    );
    let mut live = Live::start(
        &parent,
        &[
            "commons",
            "--cast",
            "restrained",
            "--seed",
            "2",
            "--ticks",
            "0",
        ],
    );
    live.until("SELECT count(*) FROM ticks", 20);
    for command in ["seal", "delete"] {
        let (status, words) = said(&[command, text(&parent)]);
        assert!(
            status == 1 && words.contains("another host is at it"),
            "{words}"
        );
    }
    good(&[
        "fork",
        text(&parent),
        "--out",
        text(&first),
        "--headless",
        "--at",
        "10",
        "--ticks",
        "15",
        "--drop",
        "*",
    ]);
    live.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(live.wait(), Some(0));
    fork(&first, &second, "12");
    let listed = good(&["runs", text(&folder.0), "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let of = |name: &str| {
        let list = listed.as_array().expect("runs");
        let is = |run: &&Value| run["dir"] == text(&folder.path(name));
        list.iter().find(is).expect("listed").clone()
    };
    assert_eq!(
        of("parent")["forks"],
        serde_json::json!([of("first")["run"]])
    );
    assert_eq!(of("second")["parent"]["run"], of("first")["run"]);
    assert!(good(&["runs", text(&folder.0)]).contains(" at 12"));
    let (status, words) = said(&["delete", text(&parent)]);
    let named = format!("{} in ", of("first")["run"].as_str().expect("an id"));
    assert!(
        status == 2 && words.contains(&named) && words.contains("--with-forks"),
        "{words}"
    );
    verify(&second);
    let deleted = good(&["delete", text(&parent), "--with-forks", "--json"]);
    let deleted: Value = serde_json::from_str(&deleted).expect("JSON");
    let order: Vec<&Value> = deleted["deleted"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|run| &run["dir"])
        .collect();
    assert_eq!(order, [text(&second), text(&first), text(&parent)]);
    for run in [&parent, &first, &second] {
        assert!(!run.exists());
    }
}

#[test]
fn nothing_but_a_run_is_deleted() {
    let folder = Folder::new("delete-not");
    let out = folder.path("run");
    run(
        &out,
        &["commons", "--agent", "*=builtin:noop", "--ticks", "3"],
    );
    let precious = folder.write("precious/file", "keep me");
    symlink(&out, folder.path("link")).expect("a link");
    folder.write("foreign/run.db", "not a database");
    let link = folder.path("link");
    for (name, words) in [
        ("precious", "there is no such file"),
        ("nowhere", "cannot be had"),
        ("foreign", "is not a Formicarium recording"),
        ("link", "is a link"),
        ("link/", "is a link"),
        ("link/.", "is a link"),
        ("run/run.db", "is no folder"),
    ] {
        let (status, said) = said(&["delete", text(&folder.path(name))]);
        assert!(
            status == 2 && said.contains(words),
            "{name}: {status} {said}"
        );
    }
    folder.write("run/notes.txt", "mine");
    let (status, words) = said(&["delete", text(&out)]);
    assert!(status == 2 && words.contains("notes.txt"), "{words}");
    fs::remove_file(out.join("notes.txt")).expect("removed");
    // Links inside are removed, and not what they lead to.
    let _ = fs::remove_dir_all(out.join("agents"));
    symlink(folder.path("precious"), out.join("agents")).expect("a link");
    fs::create_dir_all(out.join("source/deep")).expect("a folder");
    symlink(&precious, out.join("source/deep/link")).expect("a link");
    symlink(folder.path("precious"), out.join("source/deep/folder")).expect("a link");
    good(&["delete", text(&out)]);
    assert!(!out.exists() && link.is_symlink());
    assert_eq!(fs::read_to_string(&precious).expect("kept"), "keep me");
}
