//! Tests of the runner itself: what it refuses, what it names, what it leaves.
//!
//! Must not know single attacks beyond their names.

use std::time::Duration;

use formicarium_agents::escape::{
    ByUid, Case, Confine, EXCEPTIONS, Exception, Isolated, Report, Role, Stage, Suite, SuiteError,
    Unconfined, Verdict, cases,
};
use nix::libc;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use super::{LIMIT, folder, known};

/// Each is given the first of a pair of users.
type Test = (&'static str, fn(u32));

pub const TESTS: &[Test] = &[
    ("one_report_for_several_cases", report),
    ("a_case_that_hangs_is_named", hangs),
    ("a_level_that_cannot_be_entered_fails", cannot_enter),
    ("an_exception_has_to_name_a_case", stray_exception),
    ("threads_are_refused", threads),
    ("no_attack_runs_as_root", root),
    ("no_attack_that_would_end_the_suite_is_run", distance),
    (
        "what_a_container_refuses_is_skipped",
        refused_by_a_container,
    ),
];

fn named(names: &[&str]) -> Vec<Case> {
    let found: Vec<_> = cases()
        .into_iter()
        .filter(|c| names.contains(&c.name))
        .collect();
    assert_eq!(found.len(), names.len());
    found
}

fn users(pair: u32) -> ByUid {
    ByUid {
        attacker: pair,
        victim: pair + 1,
    }
}

fn run(confine: &dyn Confine, exceptions: &[Exception], limit: Duration, names: &[&str]) -> Report {
    let folder = folder();
    let suite = Suite {
        confine,
        exceptions,
        folder: &folder,
        limit,
    };
    let mut told = 0;
    let report = suite
        .run(&named(names), |_| told += 1)
        .expect("the suite runs");
    assert_eq!(told, names.len());
    assert!(!folder.exists(), "{} is left", folder.display());
    report
}

fn report(pair: u32) {
    let mut exceptions = known::EXCEPTIONS.to_vec();
    exceptions.retain(|e| e.case != "net.udp");
    exceptions.push(Exception {
        level: "uid-only",
        case: "file.write",
        reason: "a document that is wrong",
    });
    exceptions.push(Exception {
        level: "another",
        case: "file.read",
        reason: "of no concern here",
    });
    let names = [
        "control.read_shared",
        "file.read",
        "file.write",
        "net.tcp",
        "net.udp",
    ];
    let report = run(&users(pair), &exceptions, LIMIT, &names);
    let text = report.to_string();
    let last = text.lines().last();
    assert_eq!(last, Some("cases 5 held 2 exceptions 1 failed 2"), "{text}");
    assert!(
        text.contains("although documented as an exception"),
        "{text}"
    );
    let json = serde_json::to_string(&report).expect("plain data");
    assert_eq!(
        serde_json::from_str::<Report>(&json).expect("its own form"),
        report
    );
}

/// Two seconds of work with a fifth of a second to do it in.
fn hangs(pair: u32) {
    let report = run(
        &users(pair),
        &[],
        Duration::from_millis(200),
        &["limit.cpu"],
    );
    let row = &report.rows[0];
    assert_eq!(row.verdict, Verdict::Failed, "{row:?}");
    assert!(row.how.contains("hangs") && !row.escaped, "{row:?}");
}

/// Attacker and victim are who the runner is; entering can be made to fail.
struct Same {
    fails_for: Option<Role>,
}

impl Confine for Same {
    fn level(&self) -> &str {
        "same"
    }
    fn owner(&self, _: Role) -> (Uid, Gid) {
        (Uid::current(), Gid::current())
    }
    fn enter(&self, role: Role, _: &Stage) -> Result<(), String> {
        if self.fails_for == Some(role) {
            return Err("the level is missing a right".into());
        }
        Ok(())
    }
}

/// Prints the table of a whole level: what `doctor --attack` does, on the levels of these tests. To be asked for by hand
/// with `FORMICARIUM_ESCAPE_CASE='LEVEL all 61000'`, LEVEL being `none`, `uid-only` or `same`.
pub fn whole_level(level: &str, pair: u32) -> i32 {
    let confine: &dyn Confine = match level {
        "none" => &Unconfined { everybody: pair },
        "uid-only" => &users(pair),
        _ => {
            drop_root(pair);
            &Same { fails_for: None }
        }
    };
    let folder = folder();
    let suite = Suite {
        confine,
        exceptions: known::EXCEPTIONS,
        folder: &folder,
        limit: LIMIT,
    };
    let report = suite.run(&cases(), |_| {}).expect("the suite runs");
    print!("{report}");
    i32::from(!report.is_clean())
}

/// Nothing of these tests may run as root beside the tests of others.
fn drop_root(pair: u32) {
    let (uid, gid) = (Uid::from_raw(pair), Gid::from_raw(pair));
    setgroups(&[])
        .and_then(|()| setresgid(gid, gid, gid))
        .expect("root");
    setresuid(uid, uid, uid).expect("root");
}

fn cannot_enter(pair: u32) {
    drop_root(pair);
    for role in [Role::Host, Role::Victim, Role::Attacker] {
        let confine = Same {
            fails_for: Some(role),
        };
        let report = run(&confine, &[], LIMIT, &["file.read"]);
        let row = &report.rows[0];
        assert_eq!(row.verdict, Verdict::Failed, "{row:?}");
        assert!(
            row.how.contains("missing a right") && !row.escaped,
            "{row:?}"
        );
    }
}

fn stray_exception(pair: u32) {
    let folder = folder();
    let suite = Suite {
        confine: &users(pair),
        exceptions: &[Exception {
            level: "uid-only",
            case: "file.raed",
            reason: "a slip of the pen",
        }],
        folder: &folder,
        limit: LIMIT,
    };
    let refused = suite.run(&[], |_| {});
    assert!(
        matches!(refused, Err(SuiteError::Exception("file.raed"))),
        "{refused:?}"
    );
    assert!(!folder.exists());
}

fn threads(pair: u32) {
    let folder = folder();
    let suite = Suite {
        confine: &users(pair),
        exceptions: &[],
        folder: &folder,
        limit: LIMIT,
    };
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let refused = suite.run(&[], |_| {});
    assert!(matches!(refused, Err(SuiteError::Threads)), "{refused:?}");
    drop(end);
    let _ = thread.join();
}

fn root(_: u32) {
    let report = run(
        &Same { fails_for: None },
        &[],
        LIMIT,
        &["control.read_shared"],
    );
    let row = &report.rows[0];
    assert_eq!(row.verdict, Verdict::Failed, "{row:?}");
    assert!(row.how.contains("left the attacker root"), "{row:?}");
}

/// As an ordinary user, so that a fault of the guard would end this test's own processes and nothing else.
fn distance(pair: u32) {
    drop_root(pair);
    let names = [
        "process.kill_all",
        "process.stop_all",
        "process.renice_user",
    ];
    let report = run(&Same { fails_for: None }, &[], LIMIT, &names);
    assert_eq!(report.count(Verdict::Skipped), 3, "{report}");
}

/// What a container refuses to everybody says nothing of a level that is documented to let it through.
fn refused_by_a_container(pair: u32) {
    drop_root(pair);
    let try_it = || {
        let report = run(
            &Isolated::by_landlock(),
            EXCEPTIONS,
            LIMIT,
            &["file.fanotify"],
        );
        report.rows[0].verdict
    };
    if !known::filtered() {
        assert_eq!(try_it(), Verdict::Exception);
    }
    // As the default profiles of containers do, for processes without CAP_SYS_ADMIN.
    let filter: BpfProgram = SeccompFilter::new(
        [(libc::SYS_fanotify_init, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH
            .try_into()
            .expect("a known processor"),
    )
    .and_then(TryInto::try_into)
    .expect("a filter");
    apply_filter(&filter).expect("an ordinary user may filter itself");
    assert_eq!(try_it(), Verdict::Skipped);
}
