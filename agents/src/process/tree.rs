//! A process tree as /proc shows it: list it, signal all of it.
//!
//! Works for whatever descends from a process, own sessions and daemons included, as long as an ancestor is a subreaper.
//! Must not know why a tree is ended. Between listing and signalling a number could in theory be given to another
//! process; the whole range of numbers would have to be used up in those microseconds.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Adds the children of all threads of `pid` to `into`.
fn children(pid: Pid, into: &mut Vec<Pid>) {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for thread in threads.flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        into.extend(
            list.split_ascii_whitespace()
                .filter_map(|p| p.parse().ok())
                .map(Pid::from_raw),
        );
    }
}

/// All that descends from `root`, without `root` itself; parents stand before their children.
pub(super) fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    children(root, &mut found);
    let mut next = 0;
    while next < found.len() {
        children(found[next], &mut found);
        next += 1;
    }
    found
}

/// Sends a signal to all that descends from `root`.
pub(super) fn signal_all(root: Pid, signal: Signal) {
    for pid in descendants(root) {
        let _ = kill(pid, signal);
    }
}

/// Kills all of `roots` and what descends from them: stops them first, until a pass finds nobody new, so that a fork
/// bomb cannot outrun the list; then SIGKILL. Whoever is missed is found by the caller's next call: this one is bounded.
pub(crate) fn kill_all(roots: &[Pid]) {
    for pid in stop_all(roots) {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Stops all of `roots` and what descends from them, and returns them.
pub(super) fn stop_all(roots: &[Pid]) -> Vec<Pid> {
    const PASSES: usize = 20;
    let mut stopped: Vec<Pid> = Vec::new();
    for _ in 0..PASSES {
        let mut all: Vec<Pid> = roots.to_vec();
        for &root in roots {
            all.extend(descendants(root));
        }
        let before = stopped.len();
        for pid in all {
            if !stopped.contains(&pid) {
                let _ = kill(pid, Signal::SIGSTOP);
                stopped.push(pid);
            }
        }
        if stopped.len() == before {
            break;
        }
    }
    stopped
}

/// The direct children of `pid`.
pub(crate) fn children_of(pid: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    children(pid, &mut found);
    found
}

/// Whether a living process descends from another.
pub(super) fn descends(pid: Pid, root: Pid) -> bool {
    let parent = |pid: Pid| -> Option<Pid> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the program's name, which may hold anything, in brackets: state, parent.
        let (_, rest) = stat.rsplit_once(')')?;
        let parent = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(Pid::from_raw(parent))
    };
    const DEEPEST: usize = 100_000;
    std::iter::successors(parent(pid), |pid| parent(*pid))
        .take(DEEPEST)
        .any(|above| above == root)
}

/// Whether this kernel lists children in /proc (CONFIG_PROC_CHILDREN); without it trees cannot be ended.
pub(crate) fn is_listed() -> bool {
    std::path::Path::new(&format!(
        "/proc/self/task/{}/children",
        nix::unistd::gettid()
    ))
    .exists()
}
