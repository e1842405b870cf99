//! The escape suite's other half: attacks that need the broker, by real processes of two seats of a real run, at levels `uid`
//! and `landlock`. What the kernel alone has to hold is tried by agents/tests/escape and `formicarium doctor --attack`.
//!
//! Bob attacks; ada is the other seat; both are shell scripts, called once a tick in their working folders. Whatever a case
//! looks at itself, all of [`Done::check`] must hold after each.

mod publish;
mod stale;
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use formicarium::recorder::writer::Recorder;
use serde_json::Value;

use crate::desk::{logs, nix_is_root, scenario};
use crate::host::{Folder, assert_replays, query, query_text, run};
use crate::storm::check::Check;

/// What is in the host's secret and in ada's.
const SECRET: &str = "for no eyes";

/// A case: what the two do, and what must have come of it.
struct Case {
    /// Of `[files]`, more than the initial tree.
    files: &'static str,
    ada: &'static str,
    bob: &'static str,
    check: fn(&Done),
}

/// What a case left.
struct Done {
    _folder: Folder,
    out: PathBuf,
    summary: Value,
    logs: String,
}

impl Done {
    fn texts(&self, sql: &str) -> Vec<String> {
        query_text(&self.out, sql)
    }

    /// `seat path@number`, in order, without the scenario's own.
    fn versions(&self) -> Vec<String> {
        self.texts("SELECT seat || ' ' || path || '@' || version FROM versions WHERE seat IS NOT NULL ORDER BY sequence")
    }

    /// `seat path reason`, in order.
    fn refusals(&self) -> Vec<String> {
        self.texts("SELECT seat || ' ' || path || ' ' || reason FROM refusals ORDER BY sequence")
    }

    fn refused(&self, what: &str) {
        let refusals = self.refusals();
        assert!(
            refusals.iter().any(|refusal| refusal == what),
            "{what:?} is not in {refusals:?}\n{}",
            self.logs
        );
    }

    fn shared(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.out.join("shared").join(path)).ok()
    }

    /// Tree as journal, inputs as journal, no secret anywhere, the other seat untouched, the host well.
    fn check(&self, level: &str) {
        assert_replays(&self.out);
        assert_eq!(self.summary["end"], "tick 4 of 4 reached", "{}", self.logs);
        let (recorder, meta) = Recorder::reopen(&self.out).expect("a recording");
        assert_eq!(meta.isolation, level);
        let journal = recorder.journal().expect("a journal");
        Check::new(&self.out).round(level, &journal);
        for table in ["contents", "notes", "file_facts"] {
            let column = if table == "notes" { "text" } else { "body" };
            let sql =
                format!("SELECT 1 FROM {table} WHERE instr(CAST({column} AS TEXT), '{SECRET}')");
            assert!(
                query(&self.out, &sql).is_empty(),
                "the secret is in {table}"
            );
        }
        let own = self.out.join("agents/ada/workspace/secret.txt");
        assert_eq!(fs::read_to_string(own).expect("ada's own"), SECRET);
    }
}

/// Plays a case at a level; not at `uid` where that cannot be had.
fn play(name: &str, level: &str, case: &Case) {
    if level == "uid" && !nix_is_root() {
        eprintln!("NOT TESTED: level uid (needs root)");
        return;
    }
    let folder = Folder::new(name);
    let secret = folder.write("secrets/secret.txt", SECRET);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the test's own");
    // Ada is careless: what she has is open to whoever comes as far as it.
    let ada = format!(
        "umask 0\n[ $1 != 0 ] || {{ printf \"%s\" \"{SECRET}\" > secret.txt; }}\n{}",
        case.ada
    );
    let secrets = secret.parent().expect("its folder").display().to_string();
    let bob = case.bob.replace("@SECRETS@", &secrets);
    let path = scenario(&folder, case.files, "", [("ada", &ada), ("bob", &bob)]);
    let out = folder.path("run");
    let summary = run(
        &out,
        &[path.to_str().expect("a path"), "--isolation", level],
    );
    let done = Done {
        logs: logs(&out),
        out,
        summary,
        _folder: folder,
    };
    done.check(level);
    (case.check)(&done);
}

/// Each case as two tests, named for the level.
macro_rules! cases {
    ($($name:ident: $case:expr;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn uid() {
                super::super::play(stringify!($name), "uid", &$case);
            }

            #[test]
            fn landlock() {
                super::super::play(stringify!($name), "landlock", &$case);
            }
        }
    )* };
}
use cases;
