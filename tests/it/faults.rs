//! The table of faults, through the whole host: every bad habit has a named fault, whose fault it
//! was, and no effect on the other agents.

use crate::host::{
    Folder, Live, assert_replays, misbehaver, processes_with, query_int, query_text, run, seat,
    wait_for,
};

/// Habit, the fault that must be noted, whose it was, and the deadline. Where the agent does answer or
/// is gone at once, the deadline is out of reach: nobody else may be late on a loaded machine.
const HABITS: [(&str, &str, &str, &str); 22] = [
    ("crash-at-start", "exited", "agent", "60s"),
    ("early-act", "out-of-order", "agent", "60s"),
    ("second-ready", "out-of-order", "agent", "60s"),
    ("hang", "", "", "3s"),
    ("garbage", "garbage", "agent", "60s"),
    ("half-line", "half-line", "agent", "60s"),
    ("long-line", "too-long", "agent", "60s"),
    ("flood", "flood", "agent", "3s"),
    ("exit", "exited", "agent", "60s"),
    ("exit-3", "exited", "agent", "60s"),
    ("killed", "exited", "machine", "60s"),
    ("grandchild-and-exit", "exited", "agent", "60s"),
    ("close-stdout", "eof", "agent", "60s"),
    ("stale", "", "", "3s"),
    ("future", "", "", "3s"),
    ("nan", "garbage", "agent", "60s"),
    ("string-tick", "bad-message", "agent", "60s"),
    ("unknown-type", "bad-message", "agent", "60s"),
    ("other-seat", "bad-message", "agent", "60s"),
    ("not-utf8", "not-utf8", "agent", "60s"),
    ("long-thought", "text-cut", "agent", "60s"),
    ("big-remember", "remember-too-large", "agent", "60s"),
];

const COMMON: [&str; 8] = [
    "scenarios/commons",
    "--set",
    "harvesters=4",
    "--seed",
    "11",
    "--ticks",
    "40",
    "--deadline",
];

/// Scores and doings of the seats that behave.
fn doings(out: &std::path::Path) -> Vec<String> {
    query_text(
        out,
        "SELECT e.tick || ' ' || e.name || ' ' || s.name || ' ' || coalesce(x, '') || ',' || coalesce(y, '') \
         FROM events e JOIN seats s USING (seat) WHERE s.name != 'harvester-4' ORDER BY e.tick, e.n",
    )
}

#[test]
fn every_bad_habit_is_named_and_hurts_nobody_else() {
    let folder = Folder::new("habits");
    let quiet = folder.path("quiet");
    let rest = ["--agent", "*=formicarium-player commons greedy"];
    run(
        &quiet,
        &[
            &COMMON[..],
            &["60s", "--agent", "harvester-4=builtin:noop"],
            &rest,
        ]
        .concat(),
    );
    let wanted = doings(&quiet);
    assert!(
        wanted.len() > 20,
        "the quiet run has little to compare: {wanted:?}"
    );

    for (habit, kind, blame, deadline) in HABITS {
        let out = folder.path(habit);
        let agent = format!("harvester-4={} {habit}", misbehaver().display());
        let summary = run(
            &out,
            &[&COMMON[..], &[deadline, "--agent", &agent], &rest].concat(),
        );
        assert_eq!(
            doings(&out),
            wanted,
            "{habit}: the others' results have changed"
        );
        assert_eq!(summary["ticks"], 40, "{habit}");
        if !kind.is_empty() {
            let found = query_int(
                &out,
                &format!(
                    "SELECT count(*) FROM notes WHERE seat = 3 AND kind = 'fault' AND json_extract(data, '$.kind') = '{kind}' \
                     AND json_extract(data, '$.blame') = '{blame}'"
                ),
            );
            let all = query_text(
                &out,
                "SELECT kind || ': ' || text || coalesce(data, '') FROM notes ORDER BY id LIMIT 20",
            );
            assert!(
                found > 0,
                "{habit}: no fault '{kind}' of the {blame} among {all:#?}"
            );
        }
        let entry = seat(&summary, "harvester-4");
        assert!(
            entry["trouble"].as_str().is_some(),
            "{habit}: the summary names no trouble: {entry}"
        );
        assert_replays(&out);
    }
    let left = processes_with("formicarium-misbehaver");
    assert!(left.is_empty(), "processes are left: {left:?}");
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
