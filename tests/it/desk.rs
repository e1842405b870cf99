//! Desks at their edges: who may not ask, who has none, when leases end, what does not fit. The usual course is `story`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{Folder, assert_replays, output, query_text, run};

/// A scenario with shared files and two seats, each played by a shell script (tests/it/story/player.py).
pub fn scenario(folder: &Folder, files: &str, rules: &str, scripts: [(&str, &str); 2]) -> PathBuf {
    let path = folder.path("scenario");
    fs::create_dir_all(path.join("casts")).expect("a folder");
    fs::create_dir_all(path.join("tree")).expect("a folder");
    let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("written");
    write(
        "scenario.toml",
        &format!(
            "format = 1\nname = \"edges\"\ntitle = \"Edges\"\nsummary = \"Two share files.\"\ncast = \"two\"\n[time]\nmode = \
             \"lockstep\"\ndeadline_ms = 20000\nticks = 4\n[space]\nkind = \"none\"\n[mechanic.report.lines]\nfields.count = {{ \
             min = 0, max = 9, doc = \"lines\" }}\n[files]\ntree = \"tree\"\n{files}\n[[seat]]\nname = \"ada\"\n[[seat]]\nname \
             = \"bob\"\n"
        ),
    );
    let mut cast = String::from("format = 1\n");
    for (name, script) in scripts {
        write(&format!("casts/{name}.sh"), script);
        cast += &format!(
            "[[seat]]\nmatch = \"{name}\"\ncommand = \"python3\"\nargs = [\"player.py\", \"{name}.sh\"]\nfiles = [\"player.py\", \
             \"{name}.sh\"]\n{}\n",
            if name == "bob" { rules } else { "" }
        );
    }
    write("casts/two.toml", &cast);
    write("casts/player.py", include_str!("story/player.py"));
    write("tree/plan.md", "one\n");
    path
}

pub fn logs(out: &Path) -> String {
    let sql = "SELECT s.name || ': ' || n.text FROM notes n JOIN seats s ON s.seat = n.seat WHERE n.kind = 'log' ORDER BY s.seat, n.id";
    query_text(out, sql).join("\n")
}

/// Bob has read where the socket of ada's desk is, and says to it what the command would.
const STRANGER: &str = r#"
case $1 in 1)
    python3 - "$(dirname "$PWD")/../ada" <<'P'
import os, socket, sys
try:
    place = os.open(sys.argv[1], os.O_PATH)
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(f"/proc/self/fd/{place}/desk.sock")
    asking.sendall(b'{"type":"lease","path":"plan.md"}\n')
    print("answered:", asking.recv(4096).decode())
    try:
        print("read:", open(sys.argv[1] + "/program/desk.token").read())
    except OSError as error:
        print("token:", error.strerror)
except OSError as error:
    print("refused:", error.strerror)
P
;; esac
"#;

#[test]
fn nobody_asks_over_the_desk_of_another() {
    for level in ["uid", "landlock"] {
        if level == "uid" && !nix_is_root() {
            eprintln!("NOT TESTED: level uid (needs root)");
            continue;
        }
        let folder = Folder::new(&format!("stranger-{level}"));
        let path = scenario(&folder, "", "", [("ada", ""), ("bob", STRANGER)]);
        let out = folder.path("run");
        run(
            &out,
            &[path.to_str().expect("a path"), "--isolation", level],
        );
        let logs = logs(&out);
        let held = match level {
            "uid" => logs.contains("bob: refused: Permission denied"),
            _ => {
                logs.contains("this socket is another seat's")
                    && logs.contains("token: Permission denied")
            }
        };
        assert!(held, "{level}: {logs}");
        let leases = query_text(&out, "SELECT seat FROM leases");
        assert!(leases.is_empty(), "{leases:?}");
    }
}

pub fn nix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

#[test]
fn what_is_published_when_asked_stays_on_the_desk_until_then() {
    let folder = Folder::new("explicit");
    let ada = "case $1 in\n0) echo two >> shared/plan.md; ln -s /etc/passwd shared/link ;;\n1) desk status; desk publish ;;\nesac";
    let bob =
        "case $1 in\n1|2) cat shared/plan.md ;;\n3) desk log plan.md; desk show plan.md@1 ;;\nesac";
    let path = scenario(
        &folder,
        "publish = \"explicit\"",
        "",
        [("ada", ada), ("bob", bob)],
    );
    let out = folder.path("run");
    run(&out, &[path.to_str().expect("a path")]);
    assert_replays(&out);
    let logs = logs(&out);
    for words in [
        "not published yet (published by `desk publish`):\nplan.md (changed)",
        "published:\nplan.md@2\nnot shared:\nlink: ",
        "bob: one\nbob: one\ntwo",
        "plan.md@2 by ada, tick 1: 8 bytes\nplan.md@1 by the scenario, tick 0: 4 bytes\none",
    ] {
        assert!(logs.contains(words), "{words:?} is not in:\n{logs}");
    }
    let refused = query_text(&out, "SELECT path || ' ' || reason FROM refusals");
    assert_eq!(refused, ["link special"], "once, however often it is seen");
}

#[test]
fn a_lease_ends_with_its_holder_and_a_seat_without_a_desk_has_none() {
    let folder = Folder::new("gone");
    let ada = "case $1 in\n0) desk lease '**' ;;\n1) kill -9 $PPID ;;\nesac";
    let bob = "case $1 in 0|3) ls; command -v desk || echo no desk; cat ../../../shared/plan.md 2>/dev/null || echo no tree ;; esac";
    let path = scenario(&folder, "", "desk = false", [("ada", ada), ("bob", bob)]);
    let out = folder.path("run");
    run(&out, &[path.to_str().expect("a path")]);
    assert_replays(&out);
    let leases = query_text(
        &out,
        "SELECT seat || ' ' || path || ' ' || what FROM leases",
    );
    assert_eq!(leases, ["ada ** granted", "ada ** holder_gone"]);
    let told = query_text(
        &out,
        "SELECT name FROM events WHERE name LIKE 'file.%' ORDER BY tick, n",
    );
    assert_eq!(told, ["file.leased", "file.expired"]);
    let logs = logs(&out);
    assert!(
        logs.contains("bob: results.json\nno desk\nno tree\nbob: results.json\nno desk\nno tree"),
        "{logs}"
    );
}

#[test]
fn desks_that_may_not_fit_are_refused_before_the_run_with_their_numbers() {
    let folder = Folder::new("costs");
    let rules = "limits = { workspace_bytes = 1000000 }";
    let path = scenario(&folder, "", rules, [("ada", ""), ("bob", "")]);
    let (path, out) = (path.to_str().expect("a path"), folder.path("run"));
    let out = out.to_str().expect("a path");
    let got = output(&["run", path, "--headless", "--out", out]);
    let words = String::from_utf8_lossy(&got.stderr).into_owned();
    assert_eq!(got.status.code(), Some(1), "{words}");
    assert!(
        words.contains("16.0 MiB in 1000 files") && words.contains("seat bob may keep 976.6 KiB"),
        "{words}"
    );
}
