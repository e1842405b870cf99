//! `formicarium ask`: agents of three kinds are asked at a past tick, and the run stays as it was.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::claude::{KEY, Standin, installed};
use crate::host::{Folder, copy, formicarium, output, processes_with, query_int, root, run};

/// Counts its ticks by `remember` alone, and says how far it has come.
const COUNTER: &str = r#"
import json, sys
def say(**message): print(json.dumps(message), flush=True)
count, seen = 0, None
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "hello":
        count = message.get("remembered") or 0
        say(type="ready", answers=True)
    elif message["type"] == "observe":
        count += 1
        say(type="remember", state=count)
        say(type="act", tick=message["tick"], actions=[])
    elif message["type"] == "question":
        wants = message["schema"]["properties"]
        value = {"acts": count} if "acts" in wants else {"answer": f"I have acted {count} times"}
        say(type="answer", question=message["name"], tick=message["tick"], value=value)
"#;

struct Run {
    folder: Folder,
    standin: Option<Standin>,
    out: std::path::PathBuf,
}

/// Ten ticks with a builtin, a Python program that answers, one that does not, and Claude Code where it is installed.
fn recorded(name: &str) -> Run {
    let folder = Folder::new(name);
    let counter = folder.write("counter.py", COUNTER);
    let mute = folder.write("mute.py", &COUNTER.replace(", answers=True", ""));
    let scenario = folder.path("commons");
    copy(&root().join("scenarios/commons"), &scenario);
    let claude = match installed() {
        true => "agent = \"claude\"\nmodel = \"claude-sonnet-4-5\"",
        false => "agent = \"builtin:random\"",
    };
    let cast = format!(
        "format = 1\n[[seat]]\nmatch = \"harvester-1\"\n{claude}\n[[seat]]\nmatch = \"*\"\nagent = \"builtin:random\"\n"
    );
    fs::write(scenario.join("casts/three.toml"), cast).expect("a cast");
    let standin = installed().then(|| Standin::start_with(&folder, "[]", &["--bodies"]));
    let out = folder.path("run");
    let args = [
        "run",
        scenario.to_str().expect("UTF-8"),
        "--cast",
        "three",
        "--set",
        "harvesters=4",
        "--agent",
        &format!("harvester-2=python3 {}", counter.display()),
        "--agent",
        &format!("harvester-3=python3 {}", mute.display()),
        "--ticks",
        "10",
        "--deadline",
        "60s",
        "--headless",
        "--out",
        out.to_str().expect("UTF-8"),
    ];
    let mut command = formicarium(&args);
    if let Some(standin) = &standin {
        command
            .env("ANTHROPIC_BASE_URL", &standin.url)
            .env("ANTHROPIC_API_KEY", KEY);
    }
    let done = command.output().expect("the host starts");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Run {
        folder,
        standin,
        out,
    }
}

impl Run {
    /// Status, words on standard output and error.
    fn ask(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command =
            formicarium(&[&["ask", self.out.to_str().expect("UTF-8")], args].concat());
        if let Some(standin) = &self.standin {
            command
                .env("ANTHROPIC_BASE_URL", &standin.url)
                .env("ANTHROPIC_API_KEY", KEY);
        }
        let done = command.output().expect("the host starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    }

    fn state(&self) -> (String, Vec<u8>) {
        let done = output(&["fingerprint", self.out.to_str().expect("UTF-8")]);
        assert!(done.status.success());
        let print = String::from_utf8_lossy(&done.stdout).into_owned();
        (
            print,
            fs::read(self.out.join("run.db")).expect("the recording"),
        )
    }
}

#[test]
fn three_kinds_of_agents_are_asked_and_the_run_stays_as_it_was() {
    let run = recorded("ask");
    let before = run.state();
    // What it knew when it was shown tick 6, before it acted upon it.
    let (status, answer, errors) = run.ask(&["harvester-2@6", "How many times?"]);
    assert_eq!(
        (status, answer.as_str()),
        (Some(0), "I have acted 6 times\n"),
        "{errors}"
    );
    let (status, answer, _) = run.ask(&["harvester-4@6", "Why?"]);
    assert_eq!(status, Some(0));
    assert!(
        answer.starts_with("builtin:random has no words; at tick 6 it does: "),
        "{answer}"
    );
    let (status, answer, _) = run.ask(&["harvester-3@6", "Why?"]);
    assert_eq!(status, Some(1));
    assert!(answer.contains("does not answer questions"), "{answer}");
    if let Some(standin) = &run.standin {
        let requests = standin.requests().len();
        let (status, answer, errors) = run.ask(&["harvester-1@6", "Why did you go there?"]);
        assert_eq!((status, answer.as_str()), (Some(0), "hm\n"), "{errors}");
        let asked = standin.requests().split_off(requests);
        // It was asked with the conversation until then, and nothing after it.
        let first = asked[0]["conversation"].to_string();
        assert!(first.contains("Why did you go there?"), "{first}");
        assert!(first.contains("Tick 5 of 10") && !first.contains("Tick 7 of 10"));
        let by_claude = query_int(
            &run.out,
            "SELECT count(*) FROM transcripts WHERE seat = 0 AND line LIKE '%go there%'",
        );
        assert_eq!(by_claude, 0);
    }
    assert_eq!(run.state(), before);
    let asked = if run.standin.is_some() { 4 } else { 3 };
    let kept = fs::read_to_string(run.out.join("annotations.jsonl")).expect("annotations");
    let kept: Vec<Value> = kept
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(kept.len(), asked);
    assert_eq!(
        (&kept[0]["seat"], &kept[0]["tick"]),
        (&"harvester-2".into(), &6.into())
    );
    assert_eq!(kept[0]["value"]["answer"], "I have acted 6 times");
    // Nothing is left of the forks: neither for the run, nor in their folder.
    assert!(
        !run.out.join("forks").exists()
            || fs::read_dir(run.out.join("forks"))
                .expect("a folder")
                .next()
                .is_none()
    );
    assert_eq!(processes_with("formicarium-ask-"), Vec::<i32>::new());
    let verified = output(&["verify", run.out.to_str().expect("UTF-8")]);
    assert!(verified.status.success());
    let gone = output(&["delete", run.out.to_str().expect("UTF-8")]);
    assert!(
        gone.status.success(),
        "{}",
        String::from_utf8_lossy(&gone.stderr)
    );
    drop(run.folder);
}

#[test]
fn a_survey_is_a_table() {
    let folder = Folder::new("ask-all");
    let counter = folder.write("counter.py", COUNTER);
    let out = folder.path("run");
    let agent = format!("harvester-[12]=python3 {}", counter.display());
    let agents = [agent.replace("[12]", "1"), agent.replace("[12]", "2")];
    let args = [
        "commons",
        "--set",
        "harvesters=3",
        "--agent",
        &agents[0],
        "--agent",
        &agents[1],
        "--agent",
        "*=builtin:noop",
        "--ticks",
        "5",
    ];
    run(&out, &args);
    let schema = folder.write(
        "schema.json",
        r#"{"type": "object", "properties": {"acts": {"type": "integer", "minimum": 0}}, "required": ["acts"]}"#,
    );
    let (out, schema) = (
        out.to_str().expect("UTF-8"),
        schema.to_str().expect("UTF-8").to_owned(),
    );
    let csv = folder.path("survey.csv");
    let to = csv.to_str().expect("UTF-8");
    let done = output(&[
        "ask",
        "--all",
        out,
        "@5",
        "How often?",
        "--schema",
        &schema,
        "--to",
        to,
    ]);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(
        fs::read_to_string(&csv).expect("a table"),
        format!(
            "seat,agent,tick,status,acts\r\nharvester-1,{0},5,answered,5\r\nharvester-2,{0},5,answered,5\r\nharvester-3,builtin:noop,5,builtin,\r\n",
            agents[0].split_once('=').expect("an agent").1
        )
    );
    let done = output(&[
        "ask",
        "--all",
        out,
        "@0",
        "How often?",
        "--schema",
        &schema,
        "--json",
    ]);
    let answers: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(answers[1]["value"]["acts"], 0, "before its first act");
    for (args, why) in [
        (vec!["@5", "Who?"], "--all asks every one"),
        (vec!["nobody@5", "Who?"], "no seat nobody"),
        (vec!["harvester-1@6", "Who?"], "ends at tick 5"),
        (vec!["harvester-1", "Who?"], "SEAT@TICK"),
        (
            vec![
                "harvester-1@1",
                "Who?",
                "--schema",
                "{\"type\": \"string\"}",
            ],
            "an answer is an object",
        ),
        (
            vec![
                "harvester-1@1",
                "Who?",
                "--schema",
                "{\"type\": \"object\", \"required\": 3}",
            ],
            "no JSON Schema",
        ),
        (
            vec!["harvester-1@1", "Who?", "--schema", "/nowhere.json"],
            "/nowhere.json",
        ),
    ] {
        let done = output(&[vec!["ask", out], args.clone()].concat());
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{args:?}: {words}");
        assert!(words.contains(why), "{args:?}: {words}");
    }
    assert!(Path::new(out).join("annotations.jsonl").exists());
}
