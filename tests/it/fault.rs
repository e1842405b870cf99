//! `[[fault]]`: each kind strikes a real agent for as long as it says, hurts nobody else, stands in the recording, and
//! replays without anybody being struck.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::host::{
    Folder, Live, assert_replays, assert_verifies, copy, output, query_int, query_text, root, run,
    seat,
};

/// Answers everything at once, writes to a file before each answer, and tells as its thought what it saw and what came of
/// the file.
const AGENT: &str = r#"
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        print(json.dumps({"type": "ready"}), flush=True)
    elif m["type"] == "observe":
        try:
            with open("notes.txt", "a") as file:
                file.write("x" * 100)
            wrote = True
        except OSError:
            wrote = False
        seen = {"tick": m["tick"], "wrote": wrote, "codes": [r["code"] for r in m["results"]]}
        print(json.dumps({"type": "act", "tick": m["tick"], "actions": [{"name": "turn", "args": {"dir": "east"}}],
            "thought": json.dumps(seen)}), flush=True)
    elif m["type"] == "end":
        break
"#;

/// The commons with faults, and a cast of one agent of a process, which is started again after a crash; others wait.
fn commons(folder: &Folder, faults: &str) -> PathBuf {
    let scenario = folder.path("scenario");
    copy(&root().join("scenarios/commons"), &scenario);
    let file = scenario.join("scenario.toml");
    let text = std::fs::read_to_string(&file).expect("a scenario");
    let text = text.replacen("absent_after = 3", "absent_after = 1000", 1);
    std::fs::write(file, format!("{text}\n{faults}\n")).expect("a scenario");
    folder.write("scenario/casts/agent.py", AGENT);
    folder.write(
        "scenario/casts/struck.toml",
        "format = 1\nname = \"struck\"\n[[seat]]\nmatch = \"harvester-1\"\ncommand = \"python3\"\nargs = [\"agent.py\"]\n\
         files = [\"agent.py\"]\nrestart = { policy = \"on-failure\", max = 2, backoff = \"10ms\" }\n[[seat]]\n\
         match = \"*\"\nagent = \"builtin:random\"\n",
    );
    scenario
}

fn fault(kind: &str, when: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\nseats = \"harvester-1\"\n{when}\n")
}

/// A run of 20 ticks with a fault from tick 3 to 6; its folder.
fn struck(folder: &Folder, kind: &str, more: &[&str]) -> (PathBuf, Value) {
    let scenario = commons(folder, &fault(kind, "at = 3\nticks = 4"));
    let out = folder.path("run");
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--cast",
        "struck",
        "--set",
        "harvesters=2",
        "--ticks",
        "20",
        "--seed",
        "5",
    ];
    let summary = run(&out, &[&args[..], more].concat());
    // What is struck while a tick is shown enters the step after it.
    assert_eq!(
        events(&out),
        [
            format!("4 fault.struck {kind}"),
            format!("8 fault.over {kind}")
        ]
    );
    assert_replays(&out);
    assert_verifies(&out);
    (out, summary)
}

fn events(out: &Path) -> Vec<String> {
    query_text(
        out,
        "SELECT tick || ' ' || name || ' ' || text FROM events WHERE name LIKE 'fault.%' ORDER BY tick, n",
    )
}

/// The ticks whose input has a body of a kind for a seat.
fn ticks(out: &Path, seat: u64, kind: &str) -> Vec<u64> {
    let bodies = query_text(out, "SELECT body FROM inputs ORDER BY tick");
    let mut found = Vec::new();
    for body in bodies {
        let input: Value = serde_json::from_str(&body).expect("JSON");
        let entries = input["seats"].as_array().expect("a list");
        if entries
            .iter()
            .any(|entry| entry["seat"] == seat && entry["body"]["t"] == kind)
        {
            found.push(input["tick"].as_u64().expect("a tick"));
        }
    }
    found
}

/// What the agent saw.
fn seen(out: &Path) -> Vec<Value> {
    let texts = query_text(
        out,
        "SELECT text FROM notes WHERE kind = 'thought' AND seat = 0 ORDER BY id",
    );
    let read = |text: &String| serde_json::from_str(text).expect("JSON of the agent");
    texts.iter().map(read).collect()
}

const BEFORE_AND_AFTER: [u64; 16] = [1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];
const MEANWHILE: [u64; 4] = [4, 5, 6, 7];

#[test]
fn a_muted_agent_is_told_and_nobody_waits_for_it() {
    let folder = Folder::new("mute");
    let (out, summary) = struck(&folder, "mute", &[]);
    assert_eq!(ticks(&out, 0, "act"), BEFORE_AND_AFTER);
    assert_eq!(ticks(&out, 0, "late"), [0; 0]);
    assert_eq!(ticks(&out, 1, "act").len(), 20, "the other plays on");
    assert_eq!(seat(&summary, "harvester-1")["status"], "playing");
    // What it said while it was muted arrives nowhere, its thoughts included; it is told with the next observation.
    let told: Vec<bool> = seen(&out)
        .iter()
        .map(|seen| {
            seen["codes"]
                .as_array()
                .expect("a list")
                .contains(&"muted".into())
        })
        .collect();
    assert_eq!(
        told.iter().filter(|told| **told).count(),
        1,
        "{:?}",
        seen(&out)
    );
    let rejected = "SELECT count(*) FROM notes WHERE kind = 'rejected' AND json_extract(data, '$.code') = 'muted'";
    assert_eq!(query_int(&out, rejected), 4);
}

#[test]
fn an_agent_that_is_cut_off_sees_nothing_and_is_late_at_once() {
    let folder = Folder::new("cut-off");
    let (out, _) = struck(&folder, "cut_off", &[]);
    assert_eq!(ticks(&out, 0, "act"), BEFORE_AND_AFTER);
    assert_eq!(ticks(&out, 0, "late"), MEANWHILE);
    assert_eq!(ticks(&out, 0, "unseen"), MEANWHILE);
    let shown: Vec<Value> = seen(&out).iter().map(|seen| seen["tick"].clone()).collect();
    let expected: Vec<Value> = BEFORE_AND_AFTER.map(|tick| (tick - 1).into()).to_vec();
    assert_eq!(shown, expected);
}

#[test]
fn a_frozen_agent_is_late_and_goes_on_afterwards() {
    let folder = Folder::new("freeze");
    // The deadline is long enough for who runs, on a loaded machine too, and waited for in full by who does not.
    let (out, _) = struck(&folder, "freeze", &["--deadline", "1500ms"]);
    let (acts, late) = (ticks(&out, 0, "act"), ticks(&out, 0, "late"));
    assert!(
        acts.iter().all(|tick| !MEANWHILE.contains(tick)),
        "{acts:?}"
    );
    assert!(MEANWHILE.iter().all(|tick| late.contains(tick)), "{late:?}");
    assert!(acts.iter().any(|tick| *tick > 7), "it goes on: {acts:?}");
    assert_eq!(ticks(&out, 1, "late"), [0; 0], "the other is never late");
}

#[test]
fn an_agent_whose_disk_is_full_can_write_nothing() {
    let folder = Folder::new("fill-disk");
    let (out, _) = struck(&folder, "fill_disk", &[]);
    assert_eq!(ticks(&out, 0, "act").len(), 20, "it plays all the same");
    let failed: Vec<u64> = seen(&out)
        .iter()
        .filter(|seen| seen["wrote"] == false)
        .map(|seen| seen["tick"].as_u64().expect("a tick"))
        .collect();
    assert_eq!(failed, [3, 4, 5, 6]);
}

#[test]
fn a_killed_agent_is_started_again_as_its_cast_says() {
    let folder = Folder::new("kill");
    let scenario = commons(&folder, &fault("kill", "at = 3"));
    let out = folder.path("run");
    // Realtime: the world goes on while the agent is started again.
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--cast",
        "struck",
        "--set",
        "harvesters=2",
        "--mode",
        "realtime",
        "--hz",
        "20",
        "--ticks",
        "80",
    ];
    let summary = run(&out, &args);
    assert_eq!(events(&out), ["4 fault.struck kill"]);
    let entry = seat(&summary, "harvester-1");
    assert_eq!(entry["status"], "playing", "{summary}");
    assert!(
        entry["trouble"].as_str().is_some(),
        "its end is named: {summary}"
    );
    assert_eq!(ticks(&out, 0, "exited").len(), 1);
    assert_eq!(ticks(&out, 0, "back").len(), 1);
    assert_replays(&out);
    assert_verifies(&out);
}

#[test]
fn builtin_agents_are_struck_too() {
    let folder = Folder::new("builtin");
    let faults = ["mute", "freeze", "cut_off", "fill_disk"]
        .iter()
        .zip(1..)
        .map(|(kind, seat)| {
            format!(
                "[[fault]]\nkind = \"{kind}\"\nseats = \"harvester-{seat}\"\nat = 3\nticks = 4\n"
            )
        });
    let kill = "[[fault]]\nkind = \"kill\"\nseats = \"harvester-5\"\nat = [3, 5]\n";
    let scenario = commons(&folder, &(faults.collect::<String>() + kill));
    let out = folder.path("run");
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--agent",
        "*=builtin:random",
        "--set",
        "harvesters=6",
        "--ticks",
        "20",
        "--seed",
        "5",
    ];
    let summary = run(&out, &args);
    for index in 0..3 {
        assert_eq!(ticks(&out, index, "act"), BEFORE_AND_AFTER, "seat {index}");
    }
    assert_eq!(ticks(&out, 0, "late"), [0; 0]);
    assert_eq!(ticks(&out, 1, "late"), MEANWHILE);
    assert_eq!(ticks(&out, 2, "late"), MEANWHILE);
    assert_eq!(ticks(&out, 3, "act").len(), 20, "it has no disk");
    assert_eq!(ticks(&out, 4, "act"), [1, 2, 3]);
    assert_eq!(seat(&summary, "harvester-5")["status"], "exited");
    assert_eq!(ticks(&out, 5, "act").len(), 20);
    assert_replays(&out);
    assert_verifies(&out);
}

#[test]
fn chance_strikes_by_the_seed_whoever_plays() {
    let folder = Folder::new("chance");
    let line = "[[fault]]\nkind = \"mute\"\nseats = \"*\"\nchance = 0.1\nticks = 2\n";
    let scenario = commons(&folder, line);
    let play = |name: &str, agent: &str, seed: &str| {
        let out = folder.path(name);
        let args = [
            scenario.to_str().expect("UTF-8"),
            "--agent",
            agent,
            "--set",
            "harvesters=4",
            "--ticks",
            "60",
            "--seed",
            seed,
        ];
        run(&out, &args);
        assert_replays(&out);
        (
            events(&out),
            query_int(
                &out,
                "SELECT count(*) FROM events WHERE name = 'fault.struck'",
            ),
        )
    };
    let (first, count) = play("first", "*=builtin:random", "5");
    // 240 chances of a tenth, less those while one lasts.
    assert!((8..50).contains(&count), "{count}");
    assert_eq!(play("second", "*=builtin:noop", "5").0, first);
    assert_ne!(play("third", "*=builtin:random", "6").0, first);
}

#[test]
fn a_run_that_goes_on_is_still_in_the_midst_of_its_faults() {
    let folder = Folder::new("fault-resume");
    let faults = [
        fault("mute", "at = 3\nticks = 1000000"),
        fault("fill_disk", "at = 5\nticks = 1000000"),
    ];
    let scenario = commons(&folder, &faults.concat());
    let out = folder.path("run");
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--cast",
        "struck",
        "--set",
        "harvesters=2",
        "--ticks",
        "0",
        "--deadline",
        "60s",
    ];
    let mut live = Live::start(&out, &args);
    live.until("SELECT count(*) FROM inputs", 20);
    live.signal(Signal::SIGKILL);
    live.wait();
    let last = query_int(&out, "SELECT max(tick) FROM inputs") + 20;
    let name = out.to_str().expect("UTF-8");
    let resumed = output(&[
        "resume",
        name,
        "--headless",
        "--json",
        "--ticks",
        &last.to_string(),
    ]);
    assert!(
        resumed.status.success(),
        "{}",
        String::from_utf8_lossy(&resumed.stderr)
    );
    assert_eq!(
        events(&out),
        ["4 fault.struck mute", "6 fault.struck fill_disk"]
    );
    assert_eq!(ticks(&out, 0, "act"), [1, 2, 3]);
    assert_eq!(ticks(&out, 0, "late"), [0; 0]);
    let size = std::fs::metadata(out.join("agents/harvester-1/workspace/notes.txt"))
        .map(|file| file.len());
    assert_eq!(
        size.expect("the agent's file"),
        500,
        "nothing was written from tick 5 on"
    );
    assert_replays(&out);
    assert_verifies(&out);
}
