//! Seats played by the real Claude Code against a stand-in of the model's API: its sessions, its tools, its costs, and
//! what becomes of the world when the model fails.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{
    Folder, Live, assert_replays, binary, copy, formicarium, processes_with, query_int, query_text,
    root, seat, wait_for,
};

/// The key that the host sends; no agent may ever see it.
pub const KEY: &str = "the-real-key-of-the-test";

/// Whether the agents' programs are installed. Where they cannot be, these tests say so and do nothing else.
pub fn installed() -> bool {
    let program = binary()
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("agents/bin/claude"));
    let there = program.as_ref().is_some_and(|program| program.is_file());
    if !there {
        eprintln!("NOT TESTED: Claude Code is not installed at {program:?}; run `make agents`");
    }
    there
}

/// The stand-in, ended with the test.
pub struct Standin {
    child: Child,
    pub url: String,
    log: PathBuf,
}

impl Standin {
    pub fn start(folder: &Folder, faults: &str) -> Standin {
        Standin::start_with(folder, faults, &[])
    }

    /// With more arguments.
    pub fn start_with(folder: &Folder, faults: &str, more: &[&str]) -> Standin {
        let log = folder.path("standin.log");
        let faults = folder.write("faults.json", faults);
        let mut child = Command::new("python3")
            .arg(root().join("tests/standin/standin.py"))
            .args(["--port", "0", "--play", "--faults"])
            .arg(&faults)
            .arg("--log")
            .arg(&log)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the stand-in starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("its address");
        let url = line
            .trim()
            .rsplit(' ')
            .next()
            .expect("an address")
            .to_owned();
        Standin { child, url, log }
    }

    pub fn requests(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.log).expect("its log");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        lines
            .filter(|entry: &serde_json::Value| entry["nth"].is_number())
            .collect()
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A copy of `commons` whose cast `test` seats Claude Code with these keys on every `harvester-*` but the last, which
/// is builtin.
pub fn scenario(folder: &Folder, seats: usize, keys: &str) -> PathBuf {
    let to = folder.path("commons");
    copy(&root().join("scenarios/commons"), &to);
    let cast = format!(
        "format = 1\n[[seat]]\nmatch = \"harvester-{}\"\nagent = \"builtin:random\"\n\
         [[seat]]\nmatch = \"*\"\nagent = \"claude\"\nmodel = \"claude-sonnet-4-5\"\n{keys}\n",
        seats + 1
    );
    std::fs::write(to.join("casts/test.toml"), cast).expect("a cast");
    to
}

pub fn arguments(scenario: &Path, seats: usize, ticks: u64, deadline: &str) -> Vec<String> {
    [
        "run",
        scenario.to_str().expect("UTF-8"),
        "--cast",
        "test",
        "--set",
        &format!("harvesters={}", seats + 1),
        "--ticks",
        &ticks.to_string(),
        "--deadline",
        deadline,
        "--seed",
        "1",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Runs to the end; the summary.
pub fn play(folder: &Folder, standin: &Standin, args: &[String]) -> serde_json::Value {
    let out = folder.path("run");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = formicarium(&args)
        .args([
            "--headless",
            "--json",
            "--out",
            out.to_str().expect("UTF-8"),
        ])
        .env("ANTHROPIC_BASE_URL", &standin.url)
        .env("ANTHROPIC_API_KEY", KEY)
        .output()
        .expect("the host starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("a summary")
}

#[test]
fn four_real_ones_play_with_one_call_a_tick() {
    if !installed() {
        return;
    }
    let folder = Folder::new("claude");
    let standin = Standin::start(&folder, "[]");
    let scenario = scenario(&folder, 4, "");
    let summary = play(&folder, &standin, &arguments(&scenario, 4, 50, "60s"));
    let out = folder.path("run");
    for number in 1..=4 {
        let entry = seat(&summary, &format!("harvester-{number}"));
        assert_eq!(entry["status"], "playing", "{entry}");
        assert!(entry["score"].as_f64() > Some(0.0), "{entry}");
    }
    // One call for each seat and tick, counted at the door and by the stand-in alike.
    let calls = "SELECT count(*) FROM (SELECT seat, tick FROM costs WHERE source = 'call' GROUP BY seat, tick HAVING count(*) = 1)";
    assert_eq!(query_int(&out, calls), 4 * 50);
    let all = query_int(&out, "SELECT count(*) FROM costs WHERE source = 'call'");
    assert_eq!(all, 4 * 50);
    let requests = standin.requests();
    assert_eq!(requests.len(), 4 * 50);
    assert!(requests.iter().all(|request| request["token"] == KEY));
    // Both count the same tokens.
    let sum = |column: &str| {
        query_int(
            &out,
            &format!("SELECT sum({column}) FROM costs WHERE source = 'call'"),
        )
    };
    let theirs = |key: &str| -> i64 {
        let usage = |request: &serde_json::Value| request["answered"]["usage"][key].as_i64();
        requests.iter().filter_map(usage).sum()
    };
    for (column, key) in [
        ("input_tokens", "input_tokens"),
        ("output_tokens", "output_tokens"),
        ("cache_read_tokens", "cache_read_input_tokens"),
        ("cache_write_tokens", "cache_creation_input_tokens"),
    ] {
        assert_eq!(sum(column), theirs(key), "{column}");
    }
    assert!(query_int(&out, "SELECT count(*) FROM messages") > 0);
    assert!(query_int(&out, "SELECT count(*) FROM thoughts") > 0);
    for kind in ["tool-call", "tool-result", "text"] {
        let found = format!("SELECT count(DISTINCT seat) FROM transcripts WHERE kind = '{kind}'");
        assert_eq!(query_int(&out, &found), 4, "{kind}");
    }
    assert_replays(&out);
    let out = out.to_str().expect("UTF-8");
    assert_eq!(processes_with(out), Vec::<i32>::new(), "no process is left");
    let database = std::fs::read(folder.path("run/run.db")).expect("the recording");
    let holds = |needle: &[u8]| {
        database
            .windows(needle.len())
            .any(|window| window == needle)
    };
    assert!(!holds(KEY.as_bytes()), "the key stands in the recording");
}

#[test]
fn questions_are_answered_by_tools_with_their_schema() {
    if !installed() {
        return;
    }
    for turn in ["continuous", "per-tick"] {
        let folder = Folder::new(&format!("claude-asked-{turn}"));
        let standin = Standin::start(&folder, "[]");
        let scenario = scenario(&folder, 2, &format!("turn = \"{turn}\""));
        let mut args = arguments(&scenario, 2, 3, "60s");
        args.extend(["--set", "interview=true"].map(str::to_owned));
        play(&folder, &standin, &args);
        let out = folder.path("run");
        let answers = query_text(
            &out,
            "SELECT seat || ' ' || question || ' ' || asked || ' ' || tick || ' ' || status || ' ' || coalesce(value, '-') \
             FROM answers ORDER BY asked, seat",
        );
        assert_eq!(
            answers,
            [
                r#"harvester-1 forecast 0 0 answered {"apples":0,"trust":0}"#,
                r#"harvester-2 forecast 0 0 answered {"apples":0,"trust":0}"#,
                r#"harvester-1 lesson 3 3 answered {"answer":"hm"}"#,
                r#"harvester-2 lesson 3 3 answered {"answer":"hm"}"#,
            ],
            "{turn}"
        );
        let calls = query_int(
            &out,
            "SELECT count(*) FROM costs WHERE source = 'call' AND seat = 0",
        );
        match turn {
            // The question of a tick costs no call of its own where it is answered beside the action; the last one does.
            "continuous" => assert_eq!(calls, 3 + 1),
            _ => assert!(calls <= 2 * 3 + 2, "{calls}"),
        }
        assert_replays(&out);
    }
}

/// The command line program of a seat.
fn program_of(out: &Path, seat: &str) -> Option<i32> {
    let home = format!(
        "HOME={}",
        out.join("agents").join(seat).join("home").display()
    );
    processes_with(&home).into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("stream-json")
    })
}

#[test]
fn one_that_is_killed_in_its_turn_resumes_its_session() {
    if !installed() {
        return;
    }
    let folder = Folder::new("claude-killed");
    // The twelfth and thirteenth request stall: both seats are in the middle of a turn.
    let faults = r#"[{"match": {"nth": [12, 13]}, "do": {"stall": 4}}]"#;
    let standin = Standin::start(&folder, faults);
    let scenario = scenario(
        &folder,
        2,
        "restart = { policy = \"on-failure\", backoff = \"50ms\" }",
    );
    let out = folder.path("run");
    let args = arguments(&scenario, 2, 0, "30s");
    let args: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    let mut live = Live::start_with(
        &out,
        &args,
        &[
            ("ANTHROPIC_BASE_URL", &standin.url),
            ("ANTHROPIC_API_KEY", KEY),
        ],
    );
    wait_for("the stalled requests", || {
        standin.log.is_file() && standin.requests().len() >= 13
    });
    let pid = program_of(&out, "harvester-1").expect("it runs");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("our own child");
    assert!(!String::from_utf8_lossy(&environment).contains(KEY));
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("our own child");
    live.until(
        "SELECT count(*) FROM inputs WHERE body LIKE '%\"seat\":0%\"act\"%' AND tick > 12",
        5,
    );
    let tick = query_int(&out, "SELECT max(tick) FROM inputs");
    live.until("SELECT max(tick) FROM inputs", tick + 5);
    live.signal(Signal::SIGINT);
    assert_eq!(live.wait(), Some(0));
    let sessions = |seat: u32| {
        query_text(
            &out,
            &format!(
                "SELECT DISTINCT json_extract(line, '$.session_id') FROM transcripts WHERE seat = {seat} AND json_extract(line, '$.session_id') IS NOT NULL"
            ),
        )
    };
    assert_eq!(sessions(0).len(), 1, "the session goes on");
    let inits =
        "SELECT count(*) FROM transcripts WHERE seat = 0 AND line LIKE '%\"subtype\":\"init\"%'";
    assert!(
        query_int(&out, inits) >= 2,
        "a second process has begun a turn"
    );
    let faults = query_text(
        &out,
        "SELECT text FROM notes WHERE seat = 0 AND kind = 'fault'",
    );
    assert!(
        faults.iter().any(|fault| fault.contains("SIGKILL")),
        "{faults:?}"
    );
    let others = query_int(
        &out,
        "SELECT count(*) FROM notes WHERE seat = 1 AND kind = 'fault'",
    );
    assert_eq!(others, 0, "the others play on");
    let last = standin.requests();
    let longest = last
        .iter()
        .filter_map(|request| request["messages"].as_u64())
        .max();
    assert!(
        longest > Some(20),
        "the conversation went on: {longest:?} messages"
    );
    assert_replays(&out);
    assert_eq!(
        processes_with(out.to_str().expect("UTF-8")),
        Vec::<i32>::new()
    );
}

/// What the model does, keys of the cast, and words that the seat's faults must hold.
const FAILURES: [(&str, &str, &str, &str); 8] = [
    ("401", r#"{"status": 401}"#, "", "ANTHROPIC_API_KEY"),
    (
        "429",
        r#"{"status": 429, "retry_after": 1}"#,
        "",
        "rate limit",
    ),
    ("529", r#"{"status": 529}"#, "", "overloaded"),
    (
        "hang",
        r#"{"hang": 30}"#,
        "stall = \"700ms\"",
        "silent for 700 ms",
    ),
    (
        "stall",
        r#"{"stall": 30}"#,
        "stall = \"700ms\"",
        "silent for 700 ms",
    ),
    ("cut", r#"{"cut": true}"#, "", ""),
    ("garbage", r#"{"garbage": true}"#, "", ""),
    ("large", r#"{"large": 10000000}"#, "", ""),
];

#[test]
fn whatever_the_model_does_the_world_goes_on_and_the_seat_says_what_is_wrong() {
    if !installed() {
        return;
    }
    std::thread::scope(|scope| {
        for half in FAILURES.chunks(FAILURES.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(check_failure));
        }
    });
}

fn check_failure((name, fault, keys, words): &(&str, &str, &str, &str)) {
    let folder = Folder::new(&format!("claude-{name}"));
    // Well for three ticks, then the fault for ever.
    let nth: Vec<String> = (4..200).map(|n| n.to_string()).collect();
    let faults = format!(
        r#"[{{"match": {{"nth": [{}]}}, "do": {fault}}}]"#,
        nth.join(",")
    );
    let standin = Standin::start(&folder, &faults);
    let scenario = scenario(&folder, 1, keys);
    let summary = play(&folder, &standin, &arguments(&scenario, 1, 14, "2s"));
    let out = folder.path("run");
    assert_eq!(summary["ticks"], 14, "{name}");
    assert_eq!(seat(&summary, "harvester-2")["status"], "playing", "{name}");
    let entry = seat(&summary, "harvester-1");
    assert!(entry["trouble"].is_string(), "{name}: {entry}");
    let notes = query_text(
        &out,
        "SELECT text FROM notes WHERE seat = 0 AND kind IN ('fault', 'status') ORDER BY id",
    );
    assert!(
        notes.iter().any(|note| note.contains(words)),
        "{name}: {words:?} is not in {notes:#?}"
    );
    // Costs stay right: what the door counted is what the stand-in gave, for all answers that came to their end.
    let ours = query_int(
        &out,
        "SELECT count(*) FROM costs WHERE source = 'call' AND tick < 3 AND output_tokens > 0",
    );
    assert_eq!(ours, 3, "{name}");
    assert_replays(&out);
    assert_eq!(
        processes_with(out.to_str().expect("UTF-8")),
        Vec::<i32>::new(),
        "{name}"
    );
}

#[test]
fn a_budget_of_tokens_is_kept_but_for_the_call_in_flight() {
    if !installed() {
        return;
    }
    let folder = Folder::new("claude-budget");
    let standin = Standin::start(&folder, "[]");
    let scenario = scenario(&folder, 8, "budget = { tokens = 40000 }");
    let summary = play(&folder, &standin, &arguments(&scenario, 8, 60, "60s"));
    let out = folder.path("run");
    for number in 0..8 {
        let total = "SELECT sum(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens) FROM costs WHERE source = 'call'";
        let spent = query_int(&out, &format!("{total} AND seat = {number}"));
        let last = query_int(
            &out,
            &format!(
                "SELECT max(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens) FROM costs WHERE source = 'call' AND seat = {number}"
            ),
        );
        assert!(spent >= 40_000, "seat {number} spent {spent}");
        assert!(
            spent < 40_000 + last,
            "seat {number} spent {spent}, a call has at most {last}"
        );
        let entry = seat(&summary, &format!("harvester-{}", number + 1));
        assert_eq!(entry["status"], "exited", "{entry}");
        let trouble = entry["trouble"].to_string();
        assert!(trouble.contains("budget is used up"), "{entry}");
    }
    let warned =
        "SELECT count(DISTINCT seat) FROM notes WHERE kind = 'budget' AND text LIKE '%runs low%'";
    assert_eq!(query_int(&out, warned), 8);
    assert_eq!(summary["ticks"], 60, "their bodies stay, the world goes on");
    assert_replays(&out);
}

/// In full mode the model's shell runs: what it leaves must be gone with the program, also when that is killed.
#[test]
fn shell_children_of_a_killed_one_are_gone() {
    if !installed() {
        return;
    }
    let folder = Folder::new("claude-shell");
    let mark = format!("{}", 100_000 + std::process::id());
    let command = format!("setsid sleep {mark} & sleep {mark}");
    let answer = serde_json::json!([{"match": {"nth": 3},
        "do": {"answer": {"tool": "Bash", "input": {"command": command}}}}]);
    let standin = Standin::start(&folder, &answer.to_string());
    let scenario = scenario(&folder, 1, "full = true\nallow = [\"Bash\"]");
    let out = folder.path("run");
    let args = arguments(&scenario, 1, 0, "60s");
    let args: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    let env = [
        ("ANTHROPIC_BASE_URL", standin.url.as_str()),
        ("ANTHROPIC_API_KEY", KEY),
    ];
    let mut live = Live::start_with(&out, &args, &env);
    let sleeper = format!("sleep\0{mark}");
    wait_for("both of the shell's children", || {
        processes_with(&sleeper).len() >= 2
    });
    let pid = program_of(&out, "harvester-1").expect("it runs");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("our own child");
    wait_for("the end of the shell's children", || {
        processes_with(&sleeper).is_empty()
    });
    live.signal(Signal::SIGINT);
    assert_eq!(live.wait(), Some(0));
    let environments =
        "SELECT count(*) FROM transcripts WHERE kind = 'tool-call' AND text LIKE 'Bash%'";
    assert_eq!(query_int(&out, environments), 1);
}

#[test]
fn the_casts_budget_is_for_all_its_models_together() {
    if !installed() {
        return;
    }
    let folder = Folder::new("claude-run-budget");
    let standin = Standin::start(&folder, "[]");
    let scenario = scenario(&folder, 2, "");
    let cast = scenario.join("casts/test.toml");
    let text = std::fs::read_to_string(&cast).expect("the cast");
    let text = text.replace("format = 1\n", "format = 1\nbudget = { calls = 20 }\n");
    std::fs::write(&cast, text).expect("the cast");
    let summary = play(&folder, &standin, &arguments(&scenario, 2, 40, "60s"));
    for name in ["harvester-1", "harvester-2"] {
        let entry = seat(&summary, name);
        let trouble = entry["trouble"].to_string();
        assert!(trouble.contains("the run's budget is used up"), "{entry}");
    }
    assert_eq!(seat(&summary, "harvester-3")["status"], "playing");
    // Each seat may have one call in flight when the last one is counted.
    let calls = standin.requests().len();
    assert!((20..=22).contains(&calls), "{calls} calls");
    assert_replays(&folder.path("run"));
}
