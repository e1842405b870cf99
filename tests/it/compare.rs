//! `formicarium fingerprint` and `formicarium diff`: what makes two runs the same, and where they part.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::host::{Folder, output, run};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn fingerprint(run: &Path) -> Value {
    let output = output(&["fingerprint", text(run), "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const RANDOM: [&str; 3] = ["scenarios/commons", "--agent", "*=builtin:random"];

#[test]
fn a_fingerprint_is_of_what_happened_and_not_of_who_recorded_it() {
    let folder = Folder::new("fingerprint");
    let play = |name: &str, more: &[&str]| {
        let out = folder.path(name);
        let ticks: &[&str] = if more.contains(&"--ticks") {
            &[]
        } else {
            &["--ticks", "40"]
        };
        run(&out, &[&RANDOM, ticks, more].concat());
        fingerprint(&out)
    };
    let one = play("one", &["--seed", "5"]);
    // Another folder, run, time, durability and cast text; the same inputs.
    let same = play(
        "same",
        &[
            "--seed",
            "5",
            "--durability",
            "power",
            "--agent",
            "harvester-1=builtin:random",
        ],
    );
    assert_eq!(one["fingerprint"], same["fingerprint"]);
    assert_ne!(one["cast"], same["cast"]);
    let line = output(&["fingerprint", text(&folder.path("one"))]);
    assert_eq!(
        String::from_utf8(line.stdout).expect("UTF-8"),
        format!("{}\n", one["fingerprint"].as_str().expect("text"))
    );
    let differs = |other: &Value, parts: &[&str]| {
        for (name, value) in one.as_object().expect("parts") {
            let is_same = *value == other[name];
            assert_eq!(!is_same, parts.contains(&name.as_str()), "{name}: {other}");
        }
    };
    differs(&same, &["cast"]);
    let seed = play("seed", &["--seed", "6"]);
    differs(&seed, &["fingerprint", "seed", "inputs", "hashes"]);
    let long = play("long", &["--seed", "5", "--ticks", "41"]);
    assert_ne!(one["fingerprint"], long["fingerprint"]);

    let database = Connection::open(folder.path("one").join("run.db")).expect("the recording");
    let change =
        "UPDATE inputs SET body = replace(body, '\"tick\":9', '\"tick\":8') WHERE tick = 9";
    assert_eq!(database.execute(change, []), Ok(1));
    drop(database);
    let damaged = output(&["fingerprint", text(&folder.path("one"))]);
    assert_eq!(damaged.status.code(), Some(3), "damage has no fingerprint");
}

#[test]
fn files_are_part_of_a_fingerprint() {
    let folder = Folder::new("fingerprint-files");
    let out = folder.path("run");
    run(&out, &["scenarios/workshop", "--ticks", "6", "--seed", "1"]);
    let before = fingerprint(&out);
    let database = Connection::open(out.join("run.db")).expect("the recording");
    let change = "UPDATE file_facts SET body = json_set(body, '$.state.hash', printf('%064d', 0)) \
                  WHERE sequence = (SELECT max(sequence) FROM versions WHERE tick < 4 AND hash IS NOT NULL)";
    assert_eq!(database.execute(change, []), Ok(1));
    drop(database);
    let after = fingerprint(&out);
    assert_ne!(before["files"], after["files"]);
    assert_ne!(before["fingerprint"], after["fingerprint"]);
    assert_eq!(before["inputs"], after["inputs"]);
}

fn diff(a: &Path, b: &Path) -> (Option<i32>, Value) {
    let output = output(&["diff", text(a), text(b), "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let json =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (output.status.code(), json)
}

#[test]
fn equal_runs_are_equal_wherever_they_come_from() {
    let folder = Folder::new("diff-equal");
    let (a, b) = (folder.path("a"), folder.path("b"));
    let args = [&RANDOM[..], &["--ticks", "30", "--seed", "5"]].concat();
    run(&a, &args);
    run(&b, &[&args[..], &["--durability", "power"]].concat());
    let (status, found) = diff(&a, &b);
    assert_eq!(
        (status, &found["equal"]),
        (Some(0), &true.into()),
        "{found}"
    );
    let told = |name: &str| {
        let list = found["provenance"].as_array().expect("a list");
        list.iter().any(|pair| pair["name"] == name)
    };
    assert!(
        told("run") && told("durability") && !told("cast"),
        "{found}"
    );
    let words = output(&["diff", text(&a), text(&b)]);
    let words = String::from_utf8(words.stdout).expect("UTF-8");
    assert!(
        words.starts_with("equal\nA: ") && words.contains("where they come from"),
        "{words}"
    );
}

#[test]
fn the_first_input_that_differs_is_found_with_its_seat_and_action() {
    let folder = Folder::new("diff-input");
    let (a, b, longer) = (folder.path("a"), folder.path("b"), folder.path("longer"));
    let bot = |at: u32| {
        format!(
            "import sys, json\nprint(json.dumps({{'type': 'ready'}}), flush=True)\nfor line in sys.stdin:\n    \
             m = json.loads(line)\n    if m['type'] == 'observe':\n        \
             act = {{'type': 'act', 'tick': m['tick'], 'actions': [{{'name': 'wait'}}]}}\n        \
             if m['tick'] == {at}: act['say'] = 'hello'\n        print(json.dumps(act), flush=True)\n"
        )
    };
    // Both say the same thing once, at different ticks.
    let play = |out: &Path, at: u32, ticks: &str| {
        let file = folder.write(&format!("bot{at}.py"), &bot(at));
        let agent = format!("harvester-2=python3 {}", text(&file));
        run(
            out,
            &[
                "scenarios/commons",
                "--agent",
                &agent,
                "--agent",
                "*=builtin:noop",
                "--seed",
                "5",
                "--ticks",
                ticks,
            ],
        );
    };
    play(&a, 5, "12");
    play(&b, 8, "12");
    play(&longer, 5, "13");
    let (status, found) = diff(&a, &b);
    assert_eq!(status, Some(3), "{found}");
    // Seen at tick 5, done in the step to tick 6.
    assert_eq!(found["first"]["tick"], 6, "{found}");
    assert_eq!(found["inputs"]["tick"], 6, "{found}");
    let seats = found["inputs"]["seats"].as_array().expect("seats");
    assert_eq!(seats.len(), 1, "{found}");
    assert_eq!(seats[0]["name"], "harvester-2");
    let (ours, theirs) = (seats[0]["a"].as_str(), seats[0]["b"].as_str());
    assert_eq!(ours, Some("wait; say text=\"hello\""), "{found}");
    assert_eq!(theirs, Some("wait"), "{found}");
    assert!(
        !found["first"]["parts"]
            .as_array()
            .expect("parts")
            .is_empty(),
        "{found}"
    );
    assert_eq!(
        (&found["messages"]["a"], &found["messages"]["b"]),
        (&1.into(), &1.into())
    );
    let said = found["messages"]["first"]["a"].as_str().expect("text");
    assert!(
        said.starts_with("tick 6: harvester-2 (") && said.ends_with("): hello"),
        "{said}"
    );

    let (status, found) = diff(&a, &longer);
    assert_eq!(
        (status, &found["first"]["tick"]),
        (Some(3), &13.into()),
        "{found}"
    );
    assert_eq!(found["inputs"]["tick"], 13);
    assert_eq!(found["messages"], Value::Null, "{found}");
    let words = output(&["diff", text(&a), text(&longer)]);
    let words = String::from_utf8(words.stdout).expect("UTF-8");
    assert!(
        words.starts_with("different at tick 13: only B goes on"),
        "{words}"
    );
}

#[test]
fn other_worlds_differ_in_what_they_are_made_of_in_metrics_and_scores() {
    let folder = Folder::new("diff-seed");
    let (a, b) = (folder.path("a"), folder.path("b"));
    run(
        &a,
        &[&RANDOM[..], &["--ticks", "60", "--seed", "5"]].concat(),
    );
    run(
        &b,
        &[
            &RANDOM[..],
            &["--ticks", "60", "--seed", "6", "--set", "interview=true"],
        ]
        .concat(),
    );
    let (status, found) = diff(&a, &b);
    assert_eq!(
        (status, &found["first"]["tick"]),
        (Some(3), &0.into()),
        "{found}"
    );
    let made: Vec<&str> = found["setting"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|pair| pair["name"].as_str())
        .collect();
    assert_eq!(made, ["seed", "parameter interview"], "{found}");
    assert!(
        !found["metrics"].as_array().expect("metrics").is_empty(),
        "{found}"
    );
    assert!(
        !found["scores"].as_array().expect("scores").is_empty(),
        "{found}"
    );
    let words = output(&["diff", text(&a), text(&b)]);
    let words = String::from_utf8(words.stdout).expect("UTF-8");
    for expected in ["made of:", "inputs of tick 1:", "METRIC", "scores:"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    let none = output(&["diff", text(&a), "/nowhere/run"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn files_that_differ_are_told_by_their_first_version() {
    let folder = Folder::new("diff-files");
    let (a, b) = (folder.path("a"), folder.path("b"));
    for (out, seed) in [(&a, "1"), (&b, "1")] {
        run(out, &["scenarios/workshop", "--ticks", "8", "--seed", seed]);
    }
    let database = Connection::open(b.join("run.db")).expect("the recording");
    let version = "UPDATE file_facts SET body = json_set(body, '$.state.bytes', 1) \
                   WHERE kind = 'version' AND path = 'chapters/writer-1.md' AND json_extract(body, '$.number') = 1";
    assert_eq!(database.execute(version, []), Ok(1));
    drop(database);
    let (status, found) = diff(&a, &b);
    assert_eq!(status, Some(3), "{found}");
    let files = found["files"].as_array().expect("files");
    let chapter = files
        .iter()
        .find(|file| file["path"] == "chapters/writer-1.md");
    let chapter = chapter.unwrap_or_else(|| panic!("{found}"));
    assert_eq!(
        (&chapter["version"], &chapter["b"]),
        (&1.into(), &"1 bytes by writer-1".into()),
        "{found}"
    );
    let words = output(&["diff", text(&a), text(&b)]);
    let words = String::from_utf8(words.stdout).expect("UTF-8");
    assert!(
        words.contains("chapters/writer-1.md@1") && words.contains("formicarium files "),
        "{words}"
    );
}
