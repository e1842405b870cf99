//! A process tree as /proc shows it: list it, signal all of it.
//!
//! Works for whatever descends from a process, own sessions and daemons included, as long as an ancestor is a subreaper.
//! Must not know why a tree is ended. Between listing and signalling a number could in theory be given to another
//! process; the whole range of numbers would have to be used up in those microseconds.

use std::time::{Duration, Instant};

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

/// Waits until every thread of `pids` has stopped or ended; bounded, false when one goes on.
///
/// The signal is sent at once and obeyed later: by a thread on another core after its system call, by one that the kernel
/// lets wait in the midst of a write (state D, when too much waits for the disk) after that write. A file read before
/// would be torn.
pub(super) fn await_stopped(pids: &[Pid]) -> bool {
    const PATIENCE: Duration = Duration::from_secs(3);
    /// Longer than the kernel holds up a writer at a time (200 ms).
    const HELD_UP: Duration = Duration::from_millis(400);
    let began = Instant::now();
    let mut pause = Duration::from_micros(20);
    loop {
        let waited = began.elapsed();
        let is_going = |pid: &Pid| {
            states(*pid).into_iter().any(|state| match state {
                'T' | 't' | 'Z' | 'X' => false,
                'D' => waited < HELD_UP || !waits_for_vfork(*pid),
                _ => true,
            })
        };
        if !pids.iter().any(is_going) {
            return true;
        }
        if waited > PATIENCE {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(1));
    }
}

/// The states of a process's threads, as letters; of one that is gone, none.
fn states(pid: Pid) -> Vec<char> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let state = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    threads.flatten().filter_map(state).collect()
}

/// Whether a process seems to wait for a child that is stopped on its way to another program: it cannot stop before. The
/// two have one memory, so its size is the same.
fn waits_for_vfork(pid: Pid) -> bool {
    let memory = |pid: Pid| -> Option<(bool, String)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let size = fields.get(20..22)?.join(" ");
        Some((fields[0] == "T", size))
    };
    let Some((_, own)) = memory(pid) else {
        return false;
    };
    let mut children = children_of(pid).into_iter().filter_map(memory);
    children.any(|(is_stopped, size)| is_stopped && size == own)
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
