//! The escape suite as tests: every case at every level that can be set up here, one named test each.
//!
//! Each case runs in a process of its own, because the suite forks and a test harness has threads. Needs root; without
//! it there is nothing to compare users by, and the program says so.

mod known;
mod runner;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use formicarium_agents::escape::{
    ByUid, Case, Confine, EXCEPTIONS, Exception, Isolated, Row, Suite, Unconfined, Verdict, cases,
};
use formicarium_agents::isolation::{Owner, become_owner};
use libtest_mimic::{Arguments, Failed, Trial};

/// Names the level and the case that a child of this program is to run, and the users it runs them as.
const CASE: &str = "FORMICARIUM_ESCAPE_CASE";
/// Users of the tests, in pairs: cases that run at once must not signal each other.
const PAIRS: [u32; 5] = [61_000, 61_002, 61_004, 61_006, 61_008];
/// After which an attack counts as hanging: far more than any takes on a machine with other work.
const LIMIT: Duration = Duration::from_secs(40);

fn main() {
    if let Ok(wanted) = std::env::var(CASE) {
        std::process::exit(child(&wanted));
    }
    let arguments = Arguments::from_args();
    let listing = arguments.list;
    if !listing && !nix::unistd::geteuid().is_root() {
        eprintln!("the escape suite's tests need root, to become several users; nothing was tried");
        std::process::exit(1);
    }
    let pairs = Arc::new((Mutex::new(PAIRS.to_vec()), Condvar::new()));
    let mut trials = Vec::new();
    let all = cases();
    let tests = ["none", "uid-only", "uid", "landlock"]
        .into_iter()
        .flat_map(|level| all.iter().map(move |case| (level, case.name)))
        .chain(runner::TESTS.iter().map(|(name, _)| ("runner", *name)));
    for (level, name) in tests {
        let pairs = pairs.clone();
        trials.push(Trial::test(format!("{level}::{name}"), move || {
            let pair = take(&pairs);
            let result = run(level, name, pair);
            pairs.0.lock().expect("no test panics with it").push(pair);
            pairs.1.notify_one();
            result
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn take(pairs: &(Mutex<Vec<u32>>, Condvar)) -> u32 {
    let free = pairs.0.lock().expect("no test panics with it");
    let mut free = pairs
        .1
        .wait_while(free, |free| free.is_empty())
        .expect("as above");
    free.pop().expect("one is free")
}

fn run(level: &str, name: &str, pair: u32) -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command
        .env(CASE, format!("{level} {name} {pair}"))
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{said}{}", output.status).into())
}

/// Runs one case at one level in this process, which has one thread.
fn child(wanted: &str) -> i32 {
    let mut words = wanted.split(' ');
    let (level, name, pair) = (words.next(), words.next(), words.next());
    let pair: u32 = pair.and_then(|p| p.parse().ok()).expect("a user");
    let _users = lock(pair);
    if level == Some("runner") {
        let test = runner::TESTS.iter().find(|(n, _)| Some(*n) == name);
        test.expect("a test of the runner").1(pair);
        return 0;
    }
    if name == Some("all") {
        return runner::whole_level(level.unwrap_or_default(), pair);
    }
    let case = cases()
        .into_iter()
        .find(|c| Some(c.name) == name)
        .expect("a case of the suite");
    match level {
        Some("none") => attack_works(&case, &Unconfined { everybody: pair }),
        Some("uid-only") => {
            let confine = ByUid {
                attacker: pair,
                victim: pair + 1,
            };
            holds(&case, &confine, known::EXCEPTIONS)
        }
        Some("uid") => {
            let confine = Isolated::by_user(owner(pair), owner(pair + 1));
            holds(&case, &confine, EXCEPTIONS)
        }
        Some("landlock") => {
            // The host of this level is no root.
            become_owner(owner(pair)).expect("this is root");
            holds(&case, &Isolated::by_landlock(), EXCEPTIONS)
        }
        other => panic!("no level {other:?}"),
    }
}

/// Other programs of tests on this machine may use the same users. The name is free again when its holder is gone.
fn lock(pair: u32) -> UnixListener {
    let name = format!("formicarium-escape-users-{pair}");
    let address = SocketAddr::from_abstract_name(name).expect("a short name");
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match UnixListener::bind_addr(&address) {
            Ok(lock) => return lock,
            Err(e) => assert!(Instant::now() < deadline, "users {pair} are in use: {e}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where this process makes its scenes.
fn folder() -> PathBuf {
    PathBuf::from(format!("/tmp/formicarium-esc-{}", std::process::id()))
}

fn verdict(case: &Case, confine: &dyn Confine, exceptions: &[Exception]) -> Row {
    let folder = folder();
    let suite = Suite {
        confine,
        exceptions,
        folder: &folder,
        limit: LIMIT,
    };
    let report = suite
        .run(std::slice::from_ref(case), |_| {})
        .expect("the suite runs");
    assert!(!folder.exists(), "{} is left", folder.display());
    eprintln!("{}\n{report}", case.tries);
    report.rows.into_iter().next().expect("a row for the case")
}

/// The mutation test of the attacks: where nothing confines them, they must have their effect. An attack that never
/// escapes anywhere proves nothing.
fn attack_works(case: &Case, confine: &dyn Confine) -> i32 {
    let row = verdict(case, confine, &[]);
    let among = |list: &'static [(&str, &str)]| list.iter().find(|(name, _)| *name == case.name);
    let control = case
        .name
        .starts_with("control.")
        .then_some(&("", "it is allowed"));
    let stopped = among(known::STOPPED_ANYHOW).or(control);
    match (row.verdict, stopped) {
        (Verdict::Skipped, _) => 0,
        (Verdict::Held, None) if may_be_stopped(case) => 0,
        (Verdict::Held, Some(_)) => 0,
        (Verdict::Failed, None) if row.escaped => 0,
        (_, Some((_, why))) => fail(&format!(
            "should be stopped even unconfined ({why}): {row:?}"
        )),
        (_, None) => fail(&format!(
            "has no effect though nothing confines it: {row:?}"
        )),
    }
}

fn may_be_stopped(case: &Case) -> bool {
    known::DEPENDS
        .iter()
        .any(|(name, by)| *name == case.name && by())
}

fn owner(id: u32) -> Owner {
    Owner { uid: id, gid: id }
}

fn holds(case: &Case, confine: &dyn Confine, exceptions: &[Exception]) -> i32 {
    let row = verdict(case, confine, exceptions);
    match row.verdict {
        Verdict::Held | Verdict::Exception | Verdict::Skipped => 0,
        Verdict::Failed => fail(&format!("{row:?}")),
    }
}

fn fail(why: &str) -> i32 {
    eprintln!("{why}");
    1
}
