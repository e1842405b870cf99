//! Isolation as a run's owner meets it: which level a run has, what stops it, where folders lie, what limits do.
//!
//! As root these runs have the level `uid`, else `landlock`; what needs root is said and passed over without it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::host::{
    Folder, assert_replays, binary, copy, formicarium, output, query_text, root, run, seat,
};

/// A user that no seat and no service has.
const SOMEBODY: u32 = 19_999;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// Says so where a case needs root and there is none.
fn needs_root(case: &str) -> bool {
    if !is_root() {
        eprintln!("NOT TESTED: {case} (needs root)");
    }
    is_root()
}

fn level_of(run: &Path) -> String {
    let meta = &query_text(run, "SELECT value FROM meta WHERE key = 'run'")[0];
    let meta: Value = serde_json::from_str(meta).expect("JSON");
    meta["isolation"].as_str().expect("a level").to_owned()
}

/// A run as somebody who is not root.
fn as_somebody(args: &[&str]) -> Output {
    formicarium(args)
        // Other users may not enter the project's folder.
        .current_dir("/")
        .uid(SOMEBODY)
        .gid(SOMEBODY)
        .output()
        .expect("the host starts")
}

#[test]
fn a_run_has_the_level_that_its_owner_can_have_and_says_so() {
    let folder = Folder::new("level");
    let (plain, advisory, best) = (
        folder.path("plain"),
        folder.path("advisory"),
        folder.path("best"),
    );
    let usual = ["commons", "--ticks", "3", "--seed", "1"];
    let mut hashes = Vec::new();
    for (out, more) in [
        (&plain, &[][..]),
        (&advisory, &["--isolation", "advisory"][..]),
        (&best, &["--isolation", "best"][..]),
    ] {
        let summary = run(out, &[&usual, more].concat());
        hashes.push(summary["hash"].clone());
        assert_replays(out);
    }
    let strongest = if is_root() { "uid" } else { "landlock" };
    assert_eq!(
        [level_of(&plain), level_of(&advisory), level_of(&best)],
        [strongest, "advisory", strongest]
    );
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    if is_root() {
        let owner = |seat: &str| {
            let workspace = plain.join("agents").join(seat).join("workspace");
            std::fs::metadata(workspace).expect("a workspace").uid()
        };
        let (one, two) = (owner("harvester-1"), owner("harvester-2"));
        assert!(one != two && one >= 20_000 && two >= 20_000, "{one} {two}");
        let gate = std::fs::metadata(plain.join("agents/harvester-1")).expect("a gate");
        assert_eq!(
            (gate.uid(), gate.gid(), gate.mode() & 0o7777),
            (0, 0, 0o700),
            "after the run nobody passes"
        );
    }
}

#[test]
fn the_best_level_is_one_at_which_seats_reach_the_hosts_programs() {
    if !needs_root("the_best_level_is_one_at_which_seats_reach_the_hosts_programs") {
        return;
    }
    let folder = Folder::new("closed-host");
    let home = folder.path("home");
    std::fs::create_dir(&home).expect("a folder");
    let beside = binary().parent().expect("a folder").to_owned();
    for name in ["formicarium", "formicarium-player"] {
        std::fs::copy(beside.join(name), home.join(name)).expect("a copy");
    }
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).expect("rights");
    let out = folder.path("run");
    let done = Command::new(home.join("formicarium"))
        .args([
            "run",
            "commons",
            "--ticks",
            "3",
            "--headless",
            "--isolation",
            "best",
            "--out",
        ])
        .arg(&out)
        .current_dir(root())
        .output()
        .expect("the host starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("chmod o+x"), "{said}");
    assert_eq!(level_of(&out), "landlock");
    assert_eq!(
        query_text(&out, "SELECT DISTINCT status FROM scores"),
        ["playing"],
        "{said}"
    );
}

#[test]
fn a_missing_right_stops_a_run_before_it_begins() {
    if !needs_root("a_missing_right_stops_a_run_before_it_begins") {
        return;
    }
    let folder = Folder::new("missing");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o777)).expect("rights");
    let out = folder.path("run");
    let text = out.to_str().expect("UTF-8");
    let args = [
        "run",
        "commons",
        "--ticks",
        "3",
        "--headless",
        "--out",
        text,
    ];
    let refused = as_somebody(&[&args[..], &["--isolation", "uid"]].concat());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    for words in [
        "become another user",
        "EPERM",
        "docker run",
        "--isolation advisory",
        "(landlock)",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!out.exists(), "nothing was begun");

    let done = as_somebody(&args);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("isolation: landlock"), "{said}");
    assert_eq!(level_of(&out), "landlock");
}

#[test]
fn below_a_closed_folder_seats_lie_elsewhere_with_a_link() {
    if !needs_root("below_a_closed_folder_seats_lie_elsewhere_with_a_link") {
        return;
    }
    let folder = Folder::new("closed");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o700)).expect("rights");
    let out = folder.path("run");
    let summary = run(&out, &["commons", "--ticks", "3", "--seed", "1"]);
    assert_eq!(seat(&summary, "harvester-1")["trouble"], Value::Null);
    let link = std::fs::read_link(out.join("agents")).expect("a link");
    let state = link.parent().expect("a folder of the run");
    assert!(state.starts_with("/var/lib/formicarium"), "{link:?}");
    assert!(out.join("agents/harvester-1/workspace").is_dir());
    assert_replays(&out);
    std::fs::remove_dir_all(state).expect("what the run made");
}

#[test]
fn a_command_that_the_seat_cannot_reach_is_refused_with_what_is_in_the_way() {
    if !needs_root("a_command_that_the_seat_cannot_reach_is_refused_with_what_is_in_the_way") {
        return;
    }
    let folder = Folder::new("unreachable");
    let tool = folder.write("private/tool", "#!/bin/sh\n");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("rights");
    let private = tool.parent().expect("a folder");
    std::fs::set_permissions(private, std::fs::Permissions::from_mode(0o700)).expect("rights");
    let agent = format!("harvester-1={}", tool.display());
    // What the host finds first is closed to seats; the system's own is taken.
    let out = folder.path("run");
    let summary = run(&out, &["commons", "--ticks", "2", "--agent", &agent]);
    let trouble = seat(&summary, "harvester-1")["trouble"].to_string();
    // A program of one's own is copied, and its copy can be reached.
    assert!(!trouble.contains("may not enter"), "{trouble}");
    let scenario = folder.path("scenario");
    copy(&root().join("scenarios/commons"), &scenario);
    let cast = format!(
        "format = 1\n[[seat]]\nmatch = \"harvester-1\"\ncommand = \"{}\"\n[[seat]]\nmatch = \"*\"\nagent = \"builtin:noop\"\n",
        tool.display()
    );
    std::fs::write(scenario.join("casts/test.toml"), cast).expect("a cast");
    let summary = run(
        &folder.path("second"),
        &[
            scenario.to_str().expect("UTF-8"),
            "--cast",
            "test",
            "--ticks",
            "2",
        ],
    );
    let trouble = seat(&summary, "harvester-1")["trouble"].to_string();
    let way = format!("may not enter {}", private.display());
    assert!(trouble.contains(&way), "{trouble}");
}

#[test]
fn a_seat_over_its_limits_is_stopped_and_the_run_goes_on() {
    let folder = Folder::new("limits");
    let scenario = folder.path("scenario");
    copy(&root().join("scenarios/commons"), &scenario);
    std::fs::write(
        scenario.join("casts/hoarder.sh"),
        "read hello\necho '{\"type\":\"ready\"}'\nseq 1 50 | while read n; do : > file-$n; done\ncat > /dev/null\n",
    )
    .expect("a program");
    std::fs::write(
        scenario.join("casts/test.toml"),
        "format = 1\n[[seat]]\nmatch = \"harvester-1\"\ncommand = \"sh\"\nargs = [\"hoarder.sh\"]\nfiles = [\"hoarder.sh\"]\n\
         limits = { workspace_files = 20, memory = 1000000000, processes = 50, files = 100, file_size = 1000000, cpu = 60 }\n\
         [[seat]]\nmatch = \"*\"\nagent = \"builtin:noop\"\n",
    )
    .expect("a cast");
    // Longer than a count of what it keeps takes to come.
    let out = folder.path("run");
    let summary = run(
        &out,
        &[
            scenario.to_str().expect("UTF-8"),
            "--cast",
            "test",
            "--mode",
            "realtime",
            "--hz",
            "10",
            "--ticks",
            "60",
        ],
    );
    assert_eq!(summary["ticks"], 60, "the run goes on");
    let trouble = seat(&summary, "harvester-1")["trouble"].to_string();
    assert!(trouble.contains("more than 20 files"), "{trouble}");
    let faults = query_text(&out, "SELECT data FROM notes WHERE kind = 'fault'");
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("over-limit") && fault.contains("agent")),
        "{faults:?}"
    );
}

#[test]
fn doctor_says_right_by_right_what_can_be_enforced() {
    let done = output(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let apart = &report["isolation"];
    let strongest = if is_root() { "uid" } else { "landlock" };
    assert_eq!(
        (&apart["level"], &apart["best"], &apart["enforced"]),
        (&strongest.into(), &strongest.into(), &true.into()),
        "{apart}"
    );
    let rights = apart["rights"].as_array().expect("rights");
    assert_eq!(rights.len(), 9);
    assert!(
        rights
            .iter()
            .all(|right| !right["reason"].as_str().unwrap_or_default().is_empty())
    );
}
