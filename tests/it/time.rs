//! Time modes, time banks and the cost of thinking, through the whole host with real agents: who is shown what and when,
//! what enters the recording, and that it replays without a clock.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::host::{
    Folder, Live, assert_replays, assert_verifies, copy, output, query_int, query_text, root, run,
    seat,
};

/// Waits before each answer for as long as its argument says, turns, speaks, and tells as its thought what it was shown.
/// A second argument is the number of answers after which it leaves.
const AGENT: &str = r#"
import json, sys, time
pause, answers = float(sys.argv[1]), 0
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        print(json.dumps({"type": "ready"}), flush=True)
    elif m["type"] == "observe":
        if len(sys.argv) > 2 and answers == int(sys.argv[2]):
            sys.exit(0)
        time.sleep(pause)
        answers += 1
        shown = {"tick": m["tick"], "bank": m.get("bank_ms"), "heard": [h["text"] for h in m["heard"]],
            "codes": [r["code"] for r in m["results"]]}
        print(json.dumps({"type": "act", "tick": m["tick"], "actions": [{"name": "turn", "args": {"dir": "east"}}],
            "say": f"said at {m['tick']}", "thought": json.dumps(shown)}), flush=True)
    elif m["type"] == "end":
        break
"#;

/// The commons with more in `[time]`.
fn commons(folder: &Folder, time: &str) -> PathBuf {
    let scenario = folder.path("scenario");
    copy(&root().join("scenarios/commons"), &scenario);
    let file = scenario.join("scenario.toml");
    let text = std::fs::read_to_string(&file).expect("a scenario");
    let text = text.replacen("[time]\n", &format!("[time]\n{time}\n"), 1);
    let text = text.replacen("absent_after = 3", "absent_after = 1000", 1);
    std::fs::write(file, text).expect("a scenario");
    scenario
}

/// `--agent` for a seat that waits so long before each answer.
fn agent(folder: &Folder, seat: &str, words: &str) -> String {
    let script = folder.write("agent.py", AGENT);
    format!("{seat}=python3 {} {words}", script.display())
}

/// What a seat told of each observation.
fn shown(out: &Path, seat: u32) -> Vec<Value> {
    let sql =
        format!("SELECT text FROM notes WHERE kind = 'thought' AND seat = {seat} ORDER BY id");
    let texts = query_text(out, &sql);
    let read = |text: &String| serde_json::from_str(text).expect("JSON of the agent");
    texts.iter().map(read).collect()
}

fn ticks(shown: &[Value]) -> Vec<u64> {
    let tick = |shown: &Value| shown["tick"].as_u64().expect("a tick");
    shown.iter().map(tick).collect()
}

/// The bodies of a seat's inputs, each with its tick.
fn inputs(out: &Path, seat: u64) -> Vec<(u64, Value)> {
    let bodies = query_text(out, "SELECT body FROM inputs ORDER BY tick");
    let mut found = Vec::new();
    for body in bodies {
        let input: Value = serde_json::from_str(&body).expect("JSON");
        for entry in input["seats"].as_array().expect("a list") {
            if entry["seat"] == seat {
                found.push((
                    input["tick"].as_u64().expect("a tick"),
                    entry["body"].clone(),
                ));
            }
        }
    }
    found
}

fn of_kind<'a>(inputs: &'a [(u64, Value)], kind: &str) -> Vec<(u64, &'a Value)> {
    let found = inputs.iter().filter(|(_, body)| body["t"] == kind);
    found.map(|(tick, body)| (*tick, &body["v"])).collect()
}

#[test]
fn in_turns_one_seat_acts_at_a_time_and_hears_what_was_said_meanwhile() {
    let folder = Folder::new("turns");
    let out = folder.path("run");
    let (first, others) = (
        agent(&folder, "harvester-2", "0 2"),
        agent(&folder, "*", "0"),
    );
    let args = [
        "scenarios/commons",
        "--mode",
        "turns",
        "--set",
        "harvesters=3",
        "--agent",
        &first,
        "--agent",
        &others,
        "--ticks",
        "12",
        "--seed",
        "4",
    ];
    let summary = run(&out, &args);
    // The second seat leaves when it is asked the third time: its turn passes, and it has no more.
    assert_eq!(seat(&summary, "harvester-2")["status"], "exited");
    let turns: Vec<Vec<u64>> = (0..3)
        .map(|seat| {
            of_kind(&inputs(&out, seat), "turn")
                .iter()
                .map(|(tick, _)| *tick)
                .collect()
        })
        .collect();
    assert_eq!(turns[1], [2, 5, 8]);
    assert_eq!(
        [&turns[0][..], &turns[2]].concat(),
        [1, 4, 7, 10, 12, 3, 6, 9, 11]
    );
    for (index, expected) in [
        (0, vec![0, 3, 6, 9, 11]),
        (1, vec![1, 4]),
        (2, vec![2, 5, 8, 10]),
    ] {
        let shown = shown(&out, index);
        assert_eq!(ticks(&shown), expected, "seat {index}");
        // What became of its last turn was told with the next one, however many turns others had meanwhile.
        for shown in &shown[1..] {
            assert_eq!(shown["codes"][0], "ok", "{shown}");
        }
    }
    assert_eq!(
        query_int(
            &out,
            "SELECT count(*) FROM inputs WHERE body LIKE '%\"late\"%'"
        ),
        0
    );
    assert_replays(&out);
    assert_verifies(&out);
}

#[test]
fn a_bank_runs_down_and_then_its_seat_is_late() {
    let folder = Folder::new("bank");
    let scenario = commons(
        &folder,
        "bank = { initial_ms = 3000, increment_ms = 10, min_ms = 50 }",
    );
    let (slow, quick) = (agent(&folder, "harvester-1", "1"), agent(&folder, "*", "0"));
    let out = folder.path("run");
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--set",
        "harvesters=2",
        "--agent",
        &slow,
        "--agent",
        &quick,
        "--ticks",
        "6",
    ];
    run(&out, &args);
    let inputs = inputs(&out, 0);
    let (thoughts, late) = (of_kind(&inputs, "thought"), of_kind(&inputs, "late"));
    assert_eq!(thoughts.len(), 6, "every tick took time: {inputs:?}");
    assert!(!late.is_empty(), "{inputs:?}");
    // What the agent was shown is what the recording comes to.
    let mut left = 3000u64;
    let shown = shown(&out, 0);
    for (tick, thought) in thoughts {
        if let Some(shown) = shown.iter().find(|shown| shown["tick"] == tick - 1) {
            assert_eq!(shown["bank"], left, "tick {tick}");
        }
        let ms = thought["ms"].as_u64().expect("milliseconds");
        let is_late = late.iter().any(|(at, _)| *at == tick);
        assert!(is_late || ms >= 1000, "{ms} ms at tick {tick}");
        left = left.saturating_sub(ms) + if is_late { 0 } else { 10 };
    }
    assert!(left < 50, "{left} ms left");
    assert!(
        of_kind(&self::inputs(&out, 1), "late").is_empty(),
        "the quick one is never late"
    );
    assert_replays(&out);
    assert_verifies(&out);
}

/// Ticks at which a seat that pays for its thinking is shown the world, as its inputs have it.
fn paid(inputs: &[(u64, Value)], amount: u64, most: u64) -> Vec<u64> {
    let mut ticks = vec![0];
    for (tick, thought) in of_kind(inputs, "thought") {
        let cost = (thought["ms"].as_u64().expect("milliseconds") / amount).min(most);
        ticks.push(tick + cost);
    }
    ticks
}

#[test]
fn who_thinks_pays_in_ticks_and_the_others_go_on() {
    let folder = Folder::new("think");
    let scenario = commons(
        &folder,
        "think = { per = \"ms\", amount = 50, max_ticks = 7 }",
    );
    let slow = agent(&folder, "harvester-1", "0.2");
    let out = folder.path("run");
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--set",
        "harvesters=2",
        "--agent",
        &slow,
        "--agent",
        "*=builtin:random",
        "--ticks",
        "40",
    ];
    run(&out, &args);
    let inputs = inputs(&out, 0);
    let mut expected = paid(&inputs, 50, 7);
    expected.retain(|tick| *tick < 40);
    assert_eq!(ticks(&shown(&out, 0)), expected, "{inputs:?}");
    assert!(
        expected
            .windows(2)
            .all(|pair| (5..=8).contains(&(pair[1] - pair[0]))),
        "{expected:?}"
    );
    assert!(of_kind(&inputs, "late").is_empty());
    let held = query_int(
        &out,
        "SELECT count(*) FROM events WHERE name = 'seat.thinking'",
    );
    assert_eq!(held as usize, of_kind(&inputs, "thought").len());
    assert_replays(&out);
    assert_verifies(&out);
}

#[test]
fn a_run_that_goes_on_pays_what_was_thought_before() {
    let folder = Folder::new("think-resume");
    let time =
        "think = { per = \"ms\", amount = 1, max_ticks = 400 }\nbank = { initial_ms = 60000 }";
    let scenario = commons(&folder, time);
    let slow = agent(&folder, "harvester-1", "0.5");
    let out = folder.path("run");
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--set",
        "harvesters=2",
        "--agent",
        &slow,
        "--agent",
        "*=builtin:noop",
        "--ticks",
        "0",
    ];
    let mut live = Live::start(&out, &args);
    live.until("SELECT count(*) FROM inputs", 20);
    live.signal(Signal::SIGKILL);
    live.wait();
    let before = query_int(&out, "SELECT max(tick) FROM inputs") as u64;
    let folder = out.to_str().expect("UTF-8");
    let last = (before / 401 + 3) * 401;
    let resumed = output(&[
        "resume",
        folder,
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
    let inputs = inputs(&out, 0);
    let mut expected = paid(&inputs, 1, 400);
    expected.retain(|tick| *tick < last);
    let told = shown(&out, 0);
    assert_eq!(ticks(&told), expected, "cut off at {before}: {inputs:?}");
    let mut left = 60_000;
    for (told, (_, thought)) in told.iter().zip(of_kind(&inputs, "thought")) {
        assert_eq!(told["bank"], left);
        left -= thought["ms"].as_u64().expect("milliseconds");
    }
    assert_replays(&out);
    assert_verifies(&out);
}

#[test]
fn in_async_nobody_is_late_and_every_act_counts_when_it_comes() {
    let folder = Folder::new("async");
    let out = folder.path("run");
    let (slow, quick) = (
        agent(&folder, "harvester-1", "0.3"),
        agent(&folder, "*", "0"),
    );
    let args = [
        "scenarios/commons",
        "--mode",
        "async",
        "--hz",
        "50",
        "--set",
        "harvesters=2",
        "--agent",
        &slow,
        "--agent",
        &quick,
        "--ticks",
        "100",
    ];
    let summary = run(&out, &args);
    for name in ["harvester-1", "harvester-2"] {
        assert_eq!(seat(&summary, name)["status"], "playing", "{summary}");
    }
    assert_eq!(
        query_int(
            &out,
            "SELECT count(*) FROM inputs WHERE body LIKE '%\"late\"%'"
        ),
        0
    );
    assert_eq!(
        query_int(&out, "SELECT count(*) FROM notes WHERE kind = 'rejected'"),
        0
    );
    let inputs = inputs(&out, 0);
    let (acts, thoughts) = (of_kind(&inputs, "act"), of_kind(&inputs, "thought"));
    let shown = ticks(&shown(&out, 0));
    assert!(acts.len() >= 2, "{inputs:?}");
    assert_eq!(acts.len(), thoughts.len());
    // Each act is for the observation that followed the one before, and enters the tick in which it came.
    for (index, (tick, _)) in acts.iter().enumerate() {
        let ms = thoughts[index].1["ms"].as_u64().expect("milliseconds");
        assert!(ms >= 300, "{ms} ms");
        let expected = if index == 0 { 0 } else { acts[index - 1].0 };
        assert_eq!(shown[index], expected);
        assert!(*tick > shown[index] + 5, "300 ms are many ticks: {tick}");
    }
    assert!(of_kind(&self::inputs(&out, 1), "act").len() > 2 * acts.len());
    assert_replays(&out);
    assert_verifies(&out);
}
