//! Seats' own files: in the recording as they were at each tick, and with whoever goes on from there.

use std::fs;
use std::path::Path;

use crate::host::{Folder, output, query_int, query_text, run};

/// Writes a diary that only grows, a page that is written anew each tick, a folder that may not be kept; and after ten ticks a
/// program.
const DIARIST: &str = r##"
import json, os, sys
def say(**message): print(json.dumps(message), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        say(type="ready")
    elif message["type"] == "observe":
        tick = message["tick"]
        with open("diary.txt", "a") as diary:
            diary.write(f"tick {tick}: " + "x" * 500 + "\n")
        with open(os.path.expanduser("~/page.json"), "w") as page:
            json.dump({"tick": tick, "lines": sum(1 for _ in open("diary.txt"))}, page)
        os.makedirs("node_modules/left", exist_ok=True)
        open("node_modules/left/pad.js", "w").write("pad")
        if tick == 10:
            os.makedirs("bin")
            open("bin/run", "w").write("#!/bin/sh\n")
            os.chmod("bin/run", 0o755)
            os.symlink("bin/run", "go")
            os.remove(os.path.expanduser("~/first"))
        if tick == 2:
            open(os.path.expanduser("~/first"), "w").write("kept until tick 10")
        say(type="act", tick=tick, actions=[])
    elif message["type"] == "end":
        break
"##;

fn recorded(folder: &Folder, ticks: &str) -> std::path::PathBuf {
    let agent = folder.write("diarist.py", DIARIST);
    let out = folder.path("parent");
    let diarist = format!("harvester-1=python3 {}", agent.display());
    let args = [
        "commons",
        "--agent",
        &diarist,
        "--agent",
        "*=builtin:random",
        "--ticks",
        ticks,
    ];
    run(&out, &args);
    out
}

fn own(run: &Path) -> std::path::PathBuf {
    run.join("agents/harvester-1")
}

fn verified(run: &Path) {
    let done = output(&["verify", run.to_str().expect("UTF-8")]);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

#[test]
fn a_fork_has_the_files_of_its_tick_and_goes_on_with_them() {
    let folder = Folder::new("workspaces");
    let parent = recorded(&folder, "20");
    verified(&parent);
    // What is only added is kept once: 20 lines of half a kilobyte, not the sum of all diaries.
    let diary = "SELECT sum(length(c.body)) FROM workspace_contents c JOIN workspace_files f ON f.rest = c.hash \
                 WHERE f.path = 'workspace/diary.txt'";
    let kept = query_int(&parent, diary);
    let whole = fs::metadata(own(&parent).join("workspace/diary.txt"))
        .expect("a diary")
        .len() as i64;
    // Short ones are kept anew: 8 of them.
    assert!(kept < whole + 8 * 4096, "{kept} of {whole}");
    assert_eq!(
        query_text(
            &parent,
            "SELECT path || ': ' || text FROM workspace_files WHERE kind = 'left-out'"
        ),
        ["workspace/node_modules: folders named node_modules are not kept"]
    );
    for (at, lines) in [("8", 8), ("15", 15)] {
        let out = folder.path(&format!("fork-{at}"));
        let (from, to) = (
            parent.to_str().expect("UTF-8"),
            out.to_str().expect("UTF-8"),
        );
        let args = [
            "fork",
            from,
            "--at",
            at,
            "--out",
            to,
            "--headless",
            "--ticks",
            at,
        ];
        let done = output(&args);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(
            words.contains(
                "does not have: workspace/node_modules (folders named node_modules are not kept)"
            ),
            "{words}"
        );
        verified(&out);
        // No tick was made: the files are those that the agent had when it was shown the tick.
        let diary = fs::read_to_string(own(&out).join("workspace/diary.txt")).expect("a diary");
        assert_eq!(diary.lines().count(), lines, "at {at}");
        let page = fs::read_to_string(own(&out).join("home/page.json")).expect("a page");
        assert_eq!(
            page,
            format!("{{\"tick\": {}, \"lines\": {lines}}}", lines - 1)
        );
        let is_later = at == "15";
        assert_eq!(own(&out).join("workspace/bin/run").exists(), is_later);
        assert_eq!(own(&out).join("home/first").exists(), !is_later);
        if is_later {
            let target = fs::read_link(own(&out).join("workspace/go")).expect("a link");
            assert_eq!(target, Path::new("bin/run"));
        }
        // And then it goes on.
        let done = output(&["resume", to, "--headless", "--ticks", "20"]);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let diary = fs::read_to_string(own(&out).join("workspace/diary.txt")).expect("a diary");
        assert_eq!(
            diary,
            fs::read_to_string(own(&parent).join("workspace/diary.txt")).expect("a diary")
        );
        verified(&out);
    }
}

#[test]
fn a_resumed_run_keeps_its_files_as_found_and_gets_missing_ones_back() {
    let folder = Folder::new("workspaces-resume");
    let parent = recorded(&folder, "5");
    let run = parent.to_str().expect("UTF-8");
    let resume = |ticks: &str| {
        let done = output(&["resume", run, "--headless", "--ticks", ticks]);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let diary = || fs::read_to_string(own(&parent).join("workspace/diary.txt")).expect("a diary");
    // Somebody has changed it meanwhile: that is how it goes on, and how it is recorded.
    fs::write(own(&parent).join("workspace/diary.txt"), "torn out\n").expect("writable");
    resume("7");
    assert!(diary().starts_with("torn out\ntick 5"), "{}", diary());
    fs::remove_dir_all(own(&parent)).expect("removable");
    resume("9");
    assert!(diary().starts_with("torn out\ntick 5"), "{}", diary());
    assert_eq!(diary().lines().count(), 1 + 4);
    verified(&parent);
}
