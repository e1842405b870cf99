//! The table of faults, through the whole host: every bad habit has a named fault, whose fault it
//! was, and no effect on the other agents.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::host::{
    Folder, Live, assert_replays, misbehaver, processes_with, query_int, query_text, run, seat,
    wait_for,
};

/// A habit and what must come of it.
struct Habit {
    name: &'static str,
    /// The fault that must be noted, and whose it was; empty for none.
    fault: (&'static str, &'static str),
    /// Where the agent does answer or is gone at once, the deadline is out of reach: nobody else may be late on a
    /// loaded machine.
    deadline: &'static str,
    ticks: u64,
    /// Whether the summary must name trouble: an agent that only leaves processes behind plays well.
    trouble: bool,
}

const fn quick(name: &'static str, kind: &'static str, blame: &'static str) -> Habit {
    Habit {
        name,
        fault: (kind, blame),
        deadline: "60s",
        ticks: TICKS,
        trouble: true,
    }
}

/// One whose agent plays well; what it leaves behind must be gone with it.
const fn harmless(name: &'static str) -> Habit {
    Habit {
        trouble: false,
        ..quick(name, "", "")
    }
}

/// One that is waited for, tick after tick.
const fn slow(name: &'static str, kind: &'static str, blame: &'static str) -> Habit {
    Habit {
        name,
        fault: (kind, blame),
        deadline: "2s",
        ticks: 10,
        trouble: true,
    }
}

const TICKS: u64 = 40;

/// The slow ones first, so that the quick ones run while those wait.
const HABITS: [Habit; 31] = [
    slow("hang-at-start", "ready-timeout", "agent"),
    slow("hang", "", ""),
    slow("deaf", "", ""),
    slow("flood", "flood", "agent"),
    slow("endless-line", "flood", "agent"),
    slow("stale", "", ""),
    slow("future", "", ""),
    quick("crash-at-start", "exited", "agent"),
    quick("early-act", "out-of-order", "agent"),
    quick("second-ready", "out-of-order", "agent"),
    quick("garbage", "garbage", "agent"),
    quick("half-line", "half-line", "agent"),
    quick("long-line", "too-long", "agent"),
    quick("exit", "exited", "agent"),
    quick("exit-3", "exited", "agent"),
    quick("killed", "exited", "machine"),
    quick("grandchild-and-exit", "exited", "agent"),
    quick("close-stdout", "eof", "agent"),
    quick("nan", "garbage", "agent"),
    quick("string-tick", "bad-message", "agent"),
    quick("unknown-type", "bad-message", "agent"),
    quick("other-seat", "bad-message", "agent"),
    quick("not-utf8", "not-utf8", "agent"),
    quick("long-thought", "text-cut", "agent"),
    quick("big-remember", "remember-too-large", "agent"),
    quick("signal", "exited", "agent"),
    harmless("grandchild"),
    harmless("daemon"),
    harmless("fork-bomb 4"),
    harmless("stderr"),
    harmless("ignore-term"),
];

/// Hosts at once; the slow ones sleep most of the time.
const HOSTS: usize = 4;

/// Scores and doings of the seats that behave, up to a tick.
fn doings(out: &Path, last: u64) -> Vec<String> {
    query_text(
        out,
        &format!(
            "SELECT e.tick || ' ' || e.name || ' ' || s.name || ' ' || coalesce(x, '') || ',' || coalesce(y, '') \
             FROM events e JOIN seats s USING (seat) WHERE s.name != 'harvester-4' AND e.tick <= {last} ORDER BY e.tick, e.n"
        ),
    )
}

/// A run with `agent` on the last of four seats, greedy ones on the others.
fn play(out: &Path, agent: &str, deadline: &str, ticks: u64) -> serde_json::Value {
    let (agent, ticks) = (format!("harvester-4={agent}"), ticks.to_string());
    let args = [
        ["--set", "harvesters=4"],
        ["--seed", "11"],
        ["--ticks", &ticks],
        ["--deadline", deadline],
        ["--agent", &agent],
        ["--agent", "*=formicarium-player commons greedy"],
    ];
    run(out, &[&["scenarios/commons"], &args.concat()[..]].concat())
}

#[test]
fn every_bad_habit_is_named_and_hurts_nobody_else() {
    let folder = Folder::new("habits");
    let quiet = folder.path("quiet");
    play(&quiet, "builtin:noop", "60s", TICKS);
    assert!(
        doings(&quiet, 10).len() > 10,
        "the quiet run has little to compare"
    );
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..HOSTS {
            scope.spawn(|| {
                while let Some(habit) = HABITS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(&folder.path(habit.name), habit, &quiet);
                }
            });
        }
    });
    let left = processes_with(folder.0.to_str().expect("UTF-8"));
    assert!(left.is_empty(), "processes are left: {left:?}");
}

fn check(out: &Path, habit: &Habit, quiet: &Path) {
    let name = habit.name;
    let agent = format!("{} {name}", misbehaver().display());
    let summary = play(out, &agent, habit.deadline, habit.ticks);
    assert_eq!(
        doings(out, habit.ticks),
        doings(quiet, habit.ticks),
        "{name}: the others' results have changed"
    );
    assert_eq!(summary["ticks"], habit.ticks, "{name}");
    let (kind, blame) = habit.fault;
    if !kind.is_empty() {
        let found = query_int(
            out,
            &format!(
                "SELECT count(*) FROM notes WHERE seat = 3 AND kind = 'fault' AND json_extract(data, '$.kind') = '{kind}' \
                 AND json_extract(data, '$.blame') = '{blame}'"
            ),
        );
        let all = query_text(
            out,
            "SELECT kind || ': ' || text || coalesce(data, '') FROM notes ORDER BY id LIMIT 20",
        );
        assert!(
            found > 0,
            "{name}: no fault '{kind}' of the {blame} among {all:#?}"
        );
    }
    let entry = seat(&summary, "harvester-4");
    assert!(
        entry["trouble"].as_str().is_some() == habit.trouble,
        "{name}: the summary's trouble: {entry}"
    );
    assert_replays(out);
}

#[test]
fn no_agent_outlives_a_killed_host() {
    let folder = Folder::new("orphans");
    let mark = format!("mark-{}", std::process::id());
    let out = folder.path("run");
    // A shell whose child makes a session of its own and ignores SIGTERM.
    let agent = format!(
        "*=sh -c 'setsid sh -c \"trap : TERM; while :; do sleep 1; : {mark}; done\" & exec sleep 1000 # {mark}'"
    );
    let mut live = Live::start(
        &out,
        &[
            "scenarios/commons",
            "--set",
            "harvesters=3",
            "--agent",
            &agent,
            "--ticks",
            "0",
        ],
    );
    wait_for("the agents", || processes_with(&mark).len() >= 6);
    live.signal(nix::sys::signal::Signal::SIGKILL);
    live.wait();
    // The host's own command line holds the mark too; it is gone with it.
    wait_for("the end of every process of the seats", || {
        processes_with(&mark).is_empty()
    });
}
