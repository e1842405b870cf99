//! Agents of all kinds, through the whole host: any language, restarts, memory, lateness.

use crate::host::{Folder, assert_replays, copy, query_int, query_text, root, run, seat};

#[test]
fn ten_lines_in_any_language_play() {
    let folder = Folder::new("languages");
    for (name, command) in [
        ("sh", "sh agents/examples/walker.sh"),
        ("py", "python3 agents/examples/walker.py"),
        ("js", "node agents/examples/walker.js"),
    ] {
        let out = folder.path(name);
        let agent = format!("harvester-1={command}");
        let args = [
            "scenarios/commons",
            "--agent",
            &agent,
            "--agent",
            "*=builtin:noop",
            "--set",
            "harvesters=2",
            "--ticks",
            "10",
            "--seed",
            "1",
        ];
        let summary = run(&out, &args);
        assert_eq!(
            seat(&summary, "harvester-1")["status"],
            "playing",
            "{name}: {summary}"
        );
        let acts = query_int(
            &out,
            "SELECT count(*) FROM inputs WHERE body LIKE '%\"act\"%'",
        );
        assert_eq!(acts, 10, "{name} acted in every tick");
        // What an agent needs is in its own folder.
        assert!(
            out.join("agents/harvester-1/program")
                .read_dir()
                .expect("a program folder")
                .next()
                .is_some(),
            "{name}"
        );
        assert_replays(&out);
    }
}

#[test]
fn the_shell_cast_plays() {
    let folder = Folder::new("shell");
    let out = folder.path("run");
    let summary = run(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "shell",
            "--seed",
            "1",
            "--ticks",
            "30",
        ],
    );
    for seat in summary["seats"].as_array().expect("seats") {
        assert_eq!(seat["status"], "playing", "{seat}");
    }
    assert!(
        query_int(
            &out,
            "SELECT count(*) FROM events WHERE name = 'harvest.ate'"
        ) > 0
    );
}

/// Remembers how often it was started, and leaves at tick 5 of its first life.
const FORGETFUL: &str = r#"
import json, sys
lives = 0
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        lives = (m["remembered"] or {}).get("lives", 0) + 1
        print(json.dumps({"type": "ready"}), flush=True)
        print(json.dumps({"type": "remember", "state": {"lives": lives}}), flush=True)
    elif m["type"] == "observe":
        if m["tick"] == 5 and lives == 1:
            sys.exit(7)
        print(json.dumps({"type": "act", "tick": m["tick"], "actions": [{"name": "wait"}], "thought": f"life {lives}"}), flush=True)
"#;

#[test]
fn a_restarted_agent_gets_back_what_it_remembered() {
    let folder = Folder::new("remember");
    let scenario = folder.path("scenario");
    copy(&root().join("scenarios/commons"), &scenario);
    folder.write("scenario/casts/forgetful.py", FORGETFUL);
    folder.write(
        "scenario/casts/forgetful.toml",
        "format = 1\nname = \"forgetful\"\n[[seat]]\nmatch = \"harvester-1\"\ncommand = \"python3\"\nargs = [\"forgetful.py\"]\nfiles = [\"forgetful.py\"]\n\
         restart = { policy = \"on-failure\", max = 2, backoff = \"10ms\" }\n[[seat]]\nmatch = \"*\"\nagent = \"builtin:noop\"\n",
    );
    let out = folder.path("run");
    // Realtime: the world goes on while the agent is started again.
    let args = [
        scenario.to_str().expect("UTF-8"),
        "--cast",
        "forgetful",
        "--set",
        "harvesters=2",
        "--mode",
        "realtime",
        "--hz",
        "20",
        "--ticks",
        "60",
    ];
    let summary = run(&out, &args);
    assert_eq!(
        seat(&summary, "harvester-1")["status"],
        "playing",
        "{summary}"
    );
    assert!(
        seat(&summary, "harvester-1")["trouble"].as_str().is_some(),
        "its fault is named: {summary}"
    );
    let thoughts = query_text(&out, "SELECT DISTINCT text FROM thoughts ORDER BY text");
    assert_eq!(thoughts, ["life 1", "life 2"]);
    let exits = query_text(
        &out,
        "SELECT text FROM notes WHERE kind = 'status' AND text LIKE 'exited%'",
    );
    assert!(
        exits.iter().any(|text| text.contains('7')),
        "the exit status is named: {exits:?}"
    );
    assert_replays(&out);
}

/// Answers the first two ticks, then sleeps through everything.
const SLEEPER: &str = r#"
import json, sys, time
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        print(json.dumps({"type": "ready"}), flush=True)
    elif m["type"] == "observe":
        if m["tick"] >= 2:
            time.sleep(3600)
        print(json.dumps({"type": "act", "tick": m["tick"], "actions": [{"name": "wait"}]}), flush=True)
"#;

#[test]
fn nobody_waits_for_an_absent_agent() {
    let folder = Folder::new("absent");
    let script = folder.write("sleeper.py", SLEEPER);
    let out = folder.path("run");
    let agent = format!("harvester-1=python3 {}", script.display());
    let args = [
        "scenarios/commons",
        "--agent",
        &agent,
        "--agent",
        "*=builtin:noop",
        "--set",
        "harvesters=2",
        "--ticks",
        "300",
        "--deadline",
        "400ms",
    ];
    let summary = run(&out, &args);
    assert_eq!(summary["ticks"], 300);
    assert_eq!(
        seat(&summary, "harvester-1")["status"],
        "absent",
        "{summary}"
    );
    let late = query_int(
        &out,
        "SELECT count(*) FROM inputs WHERE body LIKE '%\"late\"%'",
    );
    assert_eq!(late, 3, "it was waited for three times and no more");
    assert_replays(&out);
}

#[test]
fn a_program_that_is_not_there_is_the_casts_fault() {
    let folder = Folder::new("missing");
    let out = folder.path("run");
    let args = [
        "scenarios/commons",
        "--agent",
        "harvester-1=no-such-program",
        "--agent",
        "*=builtin:noop",
        "--set",
        "harvesters=2",
        "--ticks",
        "5",
    ];
    let summary = run(&out, &args);
    let entry = seat(&summary, "harvester-1");
    assert_eq!(entry["status"], "exited", "{summary}");
    assert!(
        entry["trouble"]
            .as_str()
            .is_some_and(|words| words.contains("no-such-program") && words.contains("cast")),
        "{entry}"
    );
    assert_eq!(summary["ticks"], 5, "the world goes on without it");
}

#[test]
fn an_agent_that_fails_is_quoted() {
    let folder = Folder::new("quoted");
    let out = folder.path("run");
    let args = [
        "scenarios/commons",
        "--agent",
        "harvester-1=python3 no-such-file.py",
        "--agent",
        "*=builtin:noop",
        "--set",
        "harvesters=2",
        "--ticks",
        "5",
    ];
    let summary = run(&out, &args);
    let trouble = seat(&summary, "harvester-1")["trouble"].to_string();
    assert!(
        trouble.contains("status 2") && trouble.contains("no-such-file.py"),
        "{trouble}"
    );
}

#[test]
fn a_scripted_builtin_does_what_its_file_says() {
    let folder = Folder::new("script");
    folder.write("acts.jsonl", "{\"actions\":[{\"name\":\"move\",\"args\":{\"dir\":\"north\"}}],\"say\":\"going north\"}\n\n{\"actions\":[{\"name\":\"fly\"}]}\n");
    let out = folder.path("run");
    let agent = format!(
        "harvester-1=builtin:script:{}",
        folder.path("acts.jsonl").display()
    );
    let args = [
        "scenarios/commons",
        "--agent",
        &agent,
        "--agent",
        "*=builtin:noop",
        "--set",
        "harvesters=2",
        "--ticks",
        "4",
    ];
    run(&out, &args);
    assert_eq!(
        query_text(&out, "SELECT text FROM messages"),
        ["going north"]
    );
}
