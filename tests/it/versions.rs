//! `formicarium files`: every version of a shared tree is read from a recording that a broker wrote, also while it is written.

use std::path::Path;
use std::process::Output;

use formicarium::recorder::writer::Recorder;
use formicarium::recorder::{RunEnd, RunMeta};
use formicarium_agents::broker::{
    Base, Broker, Change, ContentHash, Fact, Limits, Publish, Scope, TreePath, Wanted,
};
use formicarium_engine::{Bundle, FileFact, FileNews, InputBody, SeatId, SeatInput, TickInput};
use serde_json::{Value, json};

use crate::host::{Folder, output, run};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

fn recorder(run: &Path) -> Recorder {
    std::fs::create_dir_all(run).expect("a folder");
    let meta: RunMeta = serde_json::from_value(json!({
        "run": "r", "scenario": "s", "scenario_digest": "", "seed": 1, "set": [], "mode": "lockstep", "hz": 0.0,
        "ticks": 0, "cast": "", "isolation": "advisory", "durability": "process", "semantics": 1,
        "host_version": "", "started_unix": 0, "seats": [], "parts": [], "metrics": [],
    }))
    .expect("a meta");
    Recorder::create(&run.join("run.db"), &meta, &Bundle::new()).expect("a recording")
}

fn publish(seat: Option<&str>, tick: u64, path: &str, wanted: Wanted, base: Base) -> Publish {
    Publish {
        seat: seat.map(Into::into),
        tick,
        tokens: Vec::new(),
        changes: vec![Change {
            path: TreePath::new(path).expect("a path"),
            wanted,
            base,
            from: None,
        }],
        unshared: Vec::new(),
    }
}

/// Commits a tick's input that holds the facts of seats, as the host does.
fn enter(recorder: &Recorder, tick: u64, facts: &[Fact]) {
    let seats = facts
        .iter()
        .filter(|fact| !matches!(fact, Fact::Version(version) if version.seat.is_none()))
        .map(|fact| SeatInput {
            seat: SeatId(0),
            seq: fact.sequence() as u32,
            body: InputBody::File(FileFact {
                number: fact.sequence(),
                path: String::new(),
                news: FileNews::Leased { token: 0 },
            }),
        })
        .collect();
    let body = serde_json::to_vec(&TickInput {
        tick,
        seats,
        set: Vec::new(),
    })
    .expect("JSON");
    let answer = recorder.input(tick, body);
    runtime()
        .block_on(recorder.acknowledged(answer))
        .expect("committed");
}

fn files(run: &Path, args: &[&str]) -> Output {
    let mut all = vec!["files", run.to_str().expect("UTF-8")];
    all.extend(args);
    output(&all)
}

fn good(run: &Path, args: &[&str]) -> String {
    let output = files(run, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json_of(run: &Path, args: &[&str]) -> Value {
    let text = good(run, &[args, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

fn paths(answer: &Value) -> Vec<String> {
    let files = answer["files"].as_array().expect("files");
    let name = |file: &Value| {
        format!(
            "{}@{}",
            file["path"].as_str().expect("a path"),
            file["version"]
        )
    };
    files.iter().map(name).collect()
}

/// toc.md: @1 of the scenario, @2 of ada in tick 2 (published in 1), @3 removed in tick 3; bob refused while ada holds it.
pub fn recorded(run: &Path) -> Recorder {
    let recorder = recorder(run);
    let journal = recorder.journal().expect("a journal");
    let opened = Broker::open(run, Box::new(journal), Limits::default(), 0);
    let mut broker = opened.expect("a broker").0;
    let decide = |broker: &mut Broker, publishes: &[Publish], published: bool| {
        let outcomes = broker.publish(publishes, 1).expect("decided");
        assert!(
            outcomes.iter().all(|one| one.is_published() == published),
            "{outcomes:?}"
        );
        outcomes
            .iter()
            .filter_map(|one| one.versions.last())
            .next_back()
            .map_or(Base::NONE, |version| Base {
                version: Some(version.sequence),
                state: version.state,
            })
    };
    let text = |text: &str| Wanted::file(text.as_bytes(), false);
    let start = publish(None, 0, "toc.md", text("one\ntwo\n"), Base::NONE);
    let first = decide(&mut broker, &[start], true);
    let facts = broker.take_facts(0, 1).expect("committed");
    enter(&recorder, 1, &facts);
    let change = publish(Some("ada"), 1, "toc.md", text("one\nTWO\n"), first);
    let tool = Wanted::file(*b"#!/bin/sh\n", true);
    let tool = publish(Some("ada"), 1, "bin/go", tool, Base::NONE);
    let second = decide(&mut broker, &[tool, change], true);
    let toc = Scope::Path(TreePath::new("toc.md").expect("a path"));
    let lease = broker.grant(toc, "ada", 60_000, 1, 1).expect("granted");
    let mine = publish(Some("bob"), 1, "toc.md", text("mine\n"), first);
    decide(&mut broker, &[mine], false);
    let facts = broker.take_facts(2, 1).expect("committed");
    enter(&recorder, 2, &facts);
    let mut gone = publish(Some("ada"), 2, "toc.md", Wanted::Absent, second);
    gone.tokens = vec![lease.token];
    decide(&mut broker, &[gone], true);
    let facts = broker.take_facts(3, 1).expect("committed");
    enter(&recorder, 3, &facts);
    let image = Wanted::file(*b"a\0b", false);
    let image = publish(Some("bob"), 3, "p.png", image, Base::NONE);
    decide(&mut broker, &[image], true);
    recorder
}

#[test]
fn every_version_is_read_while_the_recording_is_written_and_after() {
    let folder = Folder::new("versions");
    let run = folder.path("run");
    let recorder = recorded(&run);
    let check = || {
        assert_eq!(paths(&json_of(&run, &[])), ["bin@1", "bin/go@1", "p.png@1"]);
        assert_eq!(json_of(&run, &[])["leases"][0]["seat"], "ada");
        assert_eq!(paths(&json_of(&run, &["at", "0"])), ["toc.md@1"]);
        // Published in tick 1, but in the input of tick 2.
        assert_eq!(paths(&json_of(&run, &["at", "1"])), ["toc.md@1"]);
        assert_eq!(
            paths(&json_of(&run, &["at", "2"])),
            ["bin@1", "bin/go@1", "toc.md@2"]
        );
        // p.png is in no input.
        assert_eq!(paths(&json_of(&run, &["at", "3"])), ["bin@1", "bin/go@1"]);
        assert_eq!(good(&run, &["show", "toc.md@1"]), "one\ntwo\n");
        let kept = ContentHash::of(b"mine\n").to_string();
        assert_eq!(good(&run, &["show", "--hash", &kept]), "mine\n");
        let log = good(&run, &["log", "toc.md"]);
        for words in [
            "created, 8 bytes",
            "changed, 8 bytes",
            "leased for 60 s",
            "removed",
            "refused (leased)",
            &kept,
        ] {
            assert!(log.contains(words), "{words} in {log}");
        }
        assert!(!log.contains("bin/go"), "{log}");
        assert_eq!(
            json_of(&run, &["log", "bin/**"]).as_array().map(Vec::len),
            Some(2)
        );
    };
    check();
    let end: RunEnd = serde_json::from_value(
        json!({"reason": "", "ticks": 3, "hash": "", "scores": [], "status": []}),
    )
    .expect("an end");
    runtime().block_on(recorder.finish(end)).expect("closed");
    check();
    assert!(good(&run, &[]).contains("open when the run ended:"));
}

#[test]
fn differences_exit_as_diff_does() {
    let folder = Folder::new("versions-diff");
    let run = folder.path("run");
    let _recorder = recorded(&run);
    let diff = |args: &[&str]| {
        let output = files(&run, &[&["diff"], args].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let changed = "--- toc.md@1\n+++ toc.md@2\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n";
    assert_eq!(diff(&["toc.md@1", "@2"]), (Some(1), changed.to_owned()));
    assert_eq!(
        diff(&["toc.md@1", "toc.md@2"]),
        (Some(1), changed.to_owned())
    );
    assert_eq!(diff(&["toc.md@1", "@1"]), (Some(0), String::new()));
    let (status, text) = diff(&["toc.md@2"]);
    assert_eq!(status, Some(1));
    assert!(
        text.contains("toc.md@3 is no file") && text.contains("-TWO"),
        "{text}"
    );
    let (status, text) = diff(&["toc.md@1", "p.png"]);
    assert_eq!(status, Some(1));
    assert_eq!(text, "binary files toc.md@1 and p.png@1 differ\n");
    assert_eq!(diff(&["toc.md@1", "@9"]).0, Some(2));
    let missing = output(&["files", "/nowhere/run", "diff", "a@1"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_tree_is_written_to_an_empty_folder_and_never_through_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new("versions-at");
    let run = folder.path("run");
    let _recorder = recorded(&run);
    let out = folder.path("out");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    good(&run, &["at", "2", &text(&out)]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("written");
    assert_eq!(read("toc.md"), "one\nTWO\n");
    let mode = |name: &str| {
        std::fs::metadata(out.join(name))
            .expect("there")
            .permissions()
            .mode()
    };
    assert_ne!(mode("bin/go") & 0o100, 0, "executable");
    assert_eq!(mode("toc.md") & 0o111, 0, "not executable");
    let again = files(&run, &["at", "2", &text(&out)]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
    let empty = folder.path("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let link = folder.path("link");
    symlink(&empty, &link).expect("a link");
    for name in [text(&link), format!("{}/", text(&link))] {
        let through = files(&run, &["at", "2", &name]);
        assert_eq!(through.status.code(), Some(2), "{name}");
    }
    assert_eq!(std::fs::read_dir(&empty).expect("there").count(), 0);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let folder = Folder::new("versions-none");
    let shared = folder.path("run");
    let recorder = recorded(&shared);
    let plain = folder.path("plain");
    run(
        &plain,
        &[
            "scenarios/commons",
            "--agent",
            "*=builtin:noop",
            "--ticks",
            "2",
        ],
    );
    let nowhere = folder.path("nowhere");
    let hash = "0".repeat(64);
    let cases: [(&Path, &[&str], i32, &str); 9] = [
        (&nowhere, &[], 1, "there is no such file"),
        (&plain, &[], 2, "shares no files"),
        (
            &shared,
            &["show", "none.md@2"],
            2,
            "there are bin, bin/go, p.png, toc.md",
        ),
        (
            &shared,
            &["log", "none.md"],
            2,
            "nothing was ever published",
        ),
        (&shared, &["show", "toc.md@9"], 2, "it has @1 to @3"),
        (
            &shared,
            &["show", "toc.md"],
            2,
            "the last content before it is toc.md@2",
        ),
        (&shared, &["show", "bin"], 2, "a folder"),
        (
            &shared,
            &["show", "--hash", &hash],
            2,
            "no content of this run",
        ),
        (&shared, &["at", "4"], 2, "has come to tick 3"),
    ];
    for (run, args, status, words) in cases {
        let output = files(run, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {errors}");
        assert!(errors.contains(words), "{args:?}: {errors}");
    }
    let end: RunEnd = serde_json::from_value(
        json!({"reason": "", "ticks": 3, "hash": "", "scores": [], "status": []}),
    )
    .expect("an end");
    runtime().block_on(recorder.finish(end)).expect("closed");
    let database = rusqlite::Connection::open(shared.join("run.db")).expect("the recording");
    database
        .execute("UPDATE contents SET body = x'00'", [])
        .expect("changed");
    let damaged = files(&shared, &["show", "toc.md@1"]);
    assert_eq!(damaged.status.code(), Some(3), "damage is no content");
}
