//! What a scenario asks its agents: who is asked, what is taken for an answer, and that none of it touches the world.

use std::path::PathBuf;

use crate::host::{Folder, assert_replays, copy, query_text, root, run};

/// Answers as its first argument says.
const ASKED: &str = r#"
import sys
from formicarium import Seat

def answer(question):
    if sys.argv[1] == "declines":
        return None
    if question.name == "lesson":
        return {"answer": f"after {question.end.tick} ticks: {question.end.reason}"}
    return {"apples": 7 if question.refused else -7, "trust": 3}

for seen in Seat(answer=answer):
    pass
"#;

/// Says that it answers, and does not; one that hears nothing but observations.
const SILENT: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        print(json.dumps({"type": "ready", "answers": sys.argv[1] == "silent"}), flush=True)
    elif message["type"] == "observe":
        print(json.dumps({"type": "act", "tick": message["tick"]}), flush=True)
    elif message["type"] == "question" and message["tick"] == 0:
        print(json.dumps({"type": "answer", "question": "mood", "tick": 0, "value": None}), flush=True)
"#;

fn scenario(folder: &Folder) -> PathBuf {
    let to = folder.path("commons");
    copy(&root().join("scenarios/commons"), &to);
    let write = |path: &str, text: &str| std::fs::write(to.join(path), text).expect("a file");
    write("casts/asked.py", ASKED);
    write("casts/silent.py", SILENT);
    copy_file(
        "agents/examples/formicarium.py",
        &to.join("casts/formicarium.py"),
    );
    let mut cast = "format = 1\n".to_owned();
    let mut seats = 0;
    for (script, how) in [
        ("asked", "answers"),
        ("asked", "declines"),
        ("silent", "silent"),
        ("silent", "deaf"),
    ] {
        seats += 1;
        cast += &format!(
            "[[seat]]\nmatch = \"harvester-{seats}\"\nagent = \"process\"\ncommand = \"python3\"\n\
             args = [\"{script}.py\", \"{how}\"]\nfiles = [\"{script}.py\", \"formicarium.py\"]\n"
        );
    }
    cast += "[[seat]]\nmatch = \"*\"\nagent = \"builtin:noop\"\n";
    write("casts/test.toml", &cast);
    let path = to.join("scenario.toml");
    let text = std::fs::read_to_string(&path).expect("the scenario");
    // Nobody is to wait a minute for the silent one.
    let text = text.replace("at_end = true\n", "at_end = true\nwait_ms = 1500\n");
    std::fs::write(path, text).expect("the scenario");
    to
}

fn copy_file(from: &str, to: &std::path::Path) {
    std::fs::copy(root().join(from), to).expect("a copy");
}

#[test]
fn those_who_answer_are_asked_and_the_world_does_not_know() {
    let folder = Folder::new("questions");
    let scenario = scenario(&folder);
    let scenario = scenario.to_str().expect("UTF-8");
    let asked = folder.path("asked");
    let args = |interview: &'static str| {
        [
            scenario,
            "--cast",
            "test",
            "--set",
            "harvesters=5",
            "--ticks",
            "5",
            "--seed",
            "3",
            "--set",
            interview,
        ]
    };
    let summary = run(&asked, &args("interview=true"));
    let answers = query_text(
        &asked,
        "SELECT seat || ' ' || question || ' ' || asked || ' ' || status || ' ' || coalesce(value, '-') FROM answers \
         ORDER BY asked, seat",
    );
    assert_eq!(
        answers,
        [
            r#"harvester-1 forecast 0 answered {"apples":7,"trust":3}"#,
            "harvester-2 forecast 0 declined -",
            "harvester-3 forecast 0 unanswered -",
            r#"harvester-1 lesson 5 answered {"answer":"after 5 ticks: tick 5 of 5 reached"}"#,
            "harvester-2 lesson 5 declined -",
            "harvester-3 lesson 5 unanswered -",
        ]
    );
    let refused = query_text(
        &asked,
        "SELECT s.name || ': ' || json_extract(n.data, '$.code') || ': ' || n.text FROM notes n JOIN seats s USING (seat) \
         WHERE n.kind = 'rejected' ORDER BY s.name",
    );
    assert_eq!(
        refused,
        [
            "harvester-1: bad-answer: the answer does not fit: /apples: -7 is less than the minimum of 0",
            "harvester-3: not-asked: no question \"mood\" of tick 0 is open for you; repeat `name` and `tick` of the \
             question, once",
        ]
    );
    assert_replays(&asked);
    let quiet = folder.path("quiet");
    let same = run(&quiet, &args("interview=false"));
    assert_eq!(summary["hash"], same["hash"], "the world is the same");
    assert_eq!(query_text(&quiet, "SELECT seat FROM answers"), [""; 0]);
}
