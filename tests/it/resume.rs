//! Runs whose host is killed at random moments and that go on: what they come to is what they would have come to.
//!
//! `FORMICARIUM_RESUME_KILLS` sets the kills of each scenario, `FORMICARIUM_RESUME_SEED` the seed, which is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use formicarium::recorder::writer::Recorder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::host::{
    Folder, Live, assert_replays, formicarium, output, query_int, query_text, root, run, wait_for,
};
use crate::storm::{check::Check, from_environment};

/// Kills of each scenario in the test suite.
const KILLS: u64 = 6;
/// A host that goes on for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn kills() -> u64 {
    from_environment("FORMICARIUM_RESUME_KILLS").unwrap_or(KILLS)
}

/// Plays anything that has actions with a choice, by a state that it keeps by `remember`: all that it has seen counts.
const AGENT: &str = r#"
import json, sys
state = {"n": 0, "sum": 0}
for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "hello":
        state = m["remembered"] or state
        resumed = m.get("resumed")
        assert not resumed or resumed["acts"] == state["n"], (resumed, state)
        assert not resumed or resumed["last_act"] == (resumed["tick"] - 1 if resumed["tick"] else None), resumed
        action = next(a for a in m["actions"] if a["name"] in ("move", "play"))
        name, words = next((k, v["enum"]) for k, v in action["parameters"]["properties"].items() if "enum" in v)
        print('{"type":"ready"}', flush=True)
    elif m["type"] == "observe":
        seen = sum(map(ord, m["text"])) + m["tick"]
        state = {"n": state["n"] + 1, "sum": (state["sum"] * 31 + seen) % 100003}
        print(json.dumps({"type": "remember", "state": state}))
        act = {"name": action["name"], "args": {name: words[state["sum"] % len(words)]}}
        print(json.dumps({"type": "act", "tick": m["tick"], "actions": [act]}), flush=True)
    elif m["type"] == "end":
        break
"#;

/// Watches the host whose log this is, as soon as it says where; the highest tick that it was shown until that was gone.
fn watch(log: PathBuf) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let began = Instant::now();
        let link = loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            if let Some((_, rest)) = text.split_once("http://")
                && let Some((link, _)) = rest.split_once('\n')
            {
                break link.to_owned();
            }
            // It was killed before it said so, or had nothing to show any more.
            if began.elapsed() > Duration::from_secs(2) {
                return 0;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (address, token) = link.split_once("/#token=").expect("a link");
        crate::feed::block(crate::feed::highest_tick(address, token))
    })
}

/// Ticks of a run that is killed so often that it lasts as long.
fn ticks(usual: u64, each: u64, kills: u64) -> String {
    usual.max(each * kills).to_string()
}

/// Starts a run and resumes it until it ends, killing its host so many times. Its last words, and how often it was killed
/// before the run was over.
fn killed(out: &Path, args: &[&str], kills: u64, longest_ms: u64) -> (Value, u64) {
    let seed = from_environment("FORMICARIUM_RESUME_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("after 1970").as_nanos() as u64
    });
    println!("resume: seed {seed}, {kills} kills");
    let mut random = crate::storm::random(seed);
    let mut shown = 0;
    let folder = out.to_str().expect("UTF-8");
    let first = [&["run"], args, &["--out", folder]].concat();
    let next = ["resume", folder];
    for done in 0..=kills {
        // A host that was killed before it had a recording has left nothing to go on with.
        let has_begun = output(&["replay", folder]).status.success();
        if !has_begun {
            let _ = fs::remove_dir_all(out);
        }
        let words: &[&str] = if has_begun { &next } else { &first };
        let log = out.with_extension("log");
        let mut host = formicarium(words)
            .args(["--port", "0", "--json"])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the host starts");
        let spectator = watch(log.clone());
        let began = Instant::now();
        let life = match done == kills {
            true => PATIENCE,
            false => Duration::from_micros(random(longest_ms * 1000)),
        };
        let ended = loop {
            if let Some(status) = host.try_wait().expect("our own child") {
                break Some(status);
            }
            if began.elapsed() >= life {
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let said = || {
            format!(
                "seed {seed}: {}",
                fs::read_to_string(&log).unwrap_or_default()
            )
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "{}", said());
                let done_by = host.wait_with_output().expect("its words");
                let summary = serde_json::from_slice(&done_by.stdout).expect("a summary");
                let seen = spectator.join().expect("a spectator");
                assert!(query_int(out, "SELECT max(tick) FROM inputs") >= seen as i64);
                println!("resume: {shown} of {done} killed hosts had shown ticks to a spectator");
                return (summary, done);
            }
            None => {
                assert!(done < kills, "it hangs: {}", said());
                host.kill().expect("our own child");
                host.wait().expect("our own child");
                // What a spectator was shown is never taken back.
                let seen = spectator.join().expect("a spectator");
                if seen > 0 {
                    shown += 1;
                    let there = query_int(out, "SELECT max(tick) FROM inputs");
                    assert!(
                        there >= seen as i64,
                        "tick {seen} was shown, {there} is recorded: {}",
                        said()
                    );
                }
            }
        }
    }
    unreachable!("the last host is not killed");
}

/// The same run, undisturbed and with kills: equal, tick for tick.
fn goes_on_alike(name: &str, args: &[&str], longest_ms: u64) {
    let folder = Folder::new(name);
    let agent = folder.write("agent.py", AGENT);
    let agent = format!("*=python3 {}", agent.display());
    let args = [
        args,
        &["--agent", &agent, "--seed", "7", "--deadline", "60s"],
    ]
    .concat();
    let whole = folder.path("whole");
    let summary = run(&whole, &args);
    // A run may be over before all its kills have come: the others come to another one.
    let mut left = kills();
    for round in 1.. {
        let out = folder.path(&format!("killed-{round}"));
        let (after, times) = killed(&out, &args, left, longest_ms);
        assert_eq!(after["hash"], summary["hash"], "after {times} kills");
        assert_eq!(after["end"], summary["end"]);
        assert_replays(&out);
        let sql = "SELECT tick || ' ' || hash FROM ticks ORDER BY tick";
        assert_eq!(query_text(&out, sql), query_text(&whole, sql));
        for table in ["events", "metrics"] {
            let sql = format!("SELECT count(*) FROM {table}");
            assert_eq!(query_int(&out, &sql), query_int(&whole, &sql), "{table}");
        }
        let sql = "SELECT tick || ' ' || hex(body) FROM keyframes ORDER BY tick";
        assert_eq!(query_text(&out, sql), query_text(&whole, sql), "keyframes");
        println!("resume: {name} ended as undisturbed after {times} kills");
        left -= times;
        if left == 0 {
            return;
        }
    }
}

#[test]
fn commons_comes_to_the_same() {
    goes_on_alike(
        "resume-commons",
        &["commons", "--ticks", &ticks(600, 150, kills())],
        700,
    );
}

#[test]
fn axelrod_comes_to_the_same() {
    goes_on_alike(
        "resume-axelrod",
        &["axelrod", "--ticks", &ticks(600, 150, kills())],
        700,
    );
}

/// Who is first is chance here, and leases end with their host: what holds is that nothing acknowledged is lost, and that
/// the recording replays.
#[test]
fn the_workshop_loses_nothing() {
    let folder = Folder::new("resume-workshop");
    let out = folder.path("run");
    let last = ticks(40, 8, kills());
    let set = format!("ticks={last}");
    let args = ["workshop", "--set", &set, "--deadline", "60s"];
    let (summary, times) = killed(&out, &args, kills(), 700);
    assert_eq!(
        summary["end"],
        format!("tick {last} of {last} reached"),
        "{summary}"
    );
    assert_replays(&out);
    let (recorder, _) = Recorder::reopen(&out).expect("a recording");
    let journal = recorder.journal().expect("a journal");
    Check::new(&out).round("after the end", &journal);
    // Each fact stands in one input, in order.
    let told = query_text(
        &out,
        "SELECT group_concat(json_extract(e.value, '$.body.v.number')) FROM inputs, json_each(inputs.body, '$.seats') e \
         WHERE json_extract(e.value, '$.body.t') = 'file'",
    );
    let mut numbers: Vec<u64> = told[0]
        .split(',')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "a fact was told twice");
    let facts = "SELECT count(*) FROM file_facts WHERE seat IS NOT NULL AND sequence <= (SELECT max(json_extract(e.value, \
                 '$.body.v.number')) FROM inputs, json_each(inputs.body, '$.seats') e)";
    assert_eq!(query_int(&out, facts) as usize, count);
    println!("resume: the workshop after {times} kills: {count} facts");
}

#[test]
fn interrupted_runs_go_on_and_ended_ones_say_so() {
    let folder = Folder::new("resume-interrupted");
    let out = folder.path("run");
    let args = ["commons", "--agent", "*=builtin:random", "--seed", "3"];
    let usual = ["--mode", "realtime", "--hz", "200", "--ticks", "400"];
    let mut live = Live::start(&out, &[&args[..], &usual].concat());
    live.until("SELECT count(*) FROM ticks", 20);

    // A second host on the same run is told who has it.
    let second = output(&["resume", out.to_str().expect("UTF-8"), "--headless"]);
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{words}");
    let who = format!("another host is at it (pid {} since ", live.child.id());
    assert!(words.contains(&who), "{words}");

    live.signal(Signal::SIGINT);
    assert_eq!(live.wait(), Some(0));
    let ticks = query_int(&out, "SELECT max(tick) FROM ticks");
    assert!(ticks < 400);
    let resume = |more: &[&str]| {
        let folder = out.to_str().expect("UTF-8");
        let done = output(&[&["resume", folder, "--headless", "--json"], more].concat());
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{words}");
        serde_json::from_slice::<Value>(&done.stdout).expect("a summary")
    };
    let ended = resume(&[]);
    assert_eq!(ended["end"], "tick 400 of 400 reached");
    assert_replays(&out);
    // Builtin agents play by seed, seat and tick: a run that was never interrupted comes to the same.
    let whole = folder.path("whole");
    let undisturbed = run(&whole, &[&args[..], &["--ticks", "400"]].concat());
    assert_eq!(ended["hash"], undisturbed["hash"]);

    // What has ended is only told again, unless it is to go further.
    let again = resume(&[]);
    assert_eq!(
        (&again["hash"], &again["ticks"]),
        (&ended["hash"], &ended["ticks"])
    );
    let further = resume(&["--ticks", "450"]);
    assert_eq!(further["end"], "tick 450 of 450 reached");
    assert_replays(&out);
    let whole = folder.path("whole-450");
    let undisturbed = run(&whole, &[&args[..], &["--ticks", "450"]].concat());
    assert_eq!(further["hash"], undisturbed["hash"]);
}

#[test]
fn what_is_no_run_is_left_alone() {
    let folder = Folder::new("resume-foreign");
    let empty = folder.path("empty");
    fs::create_dir_all(&empty).expect("a folder");
    folder.write("foreign/run.db", "not a database");
    for (name, words) in [
        ("empty", "there is no such file"),
        ("nowhere", "there is no such file"),
        ("foreign", "file is not a database"),
    ] {
        let path = folder.path(name);
        let done = output(&["resume", path.to_str().expect("UTF-8"), "--headless"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(words), "{name}: {said}");
        let entries = fs::read_dir(&path).map_or(0, Iterator::count);
        assert_eq!(entries, usize::from(name == "foreign"), "{name}");
    }
}

/// What was given with relative paths means the folder where it was given, wherever one resumes from.
#[test]
fn a_run_is_resumed_from_anywhere() {
    let folder = Folder::new("resume-anywhere");
    folder.write("here/agent.py", AGENT);
    let out = folder.path("run");
    let host = |from: &Path, args: &[&str]| {
        let done = Command::new(crate::host::binary())
            .args(args)
            .args(["--headless", "--json"])
            .current_dir(from)
            .output()
            .expect("it runs");
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{words}");
        serde_json::from_slice::<Value>(&done.stdout).expect("a summary")
    };
    let to = out.to_str().expect("UTF-8");
    let agent = "*=python3 agent.py";
    host(
        &folder.path("here"),
        &[
            "run",
            "commons",
            "--agent",
            agent,
            "--ticks",
            "5",
            "--out",
            to,
            "--deadline",
            "60s",
        ],
    );
    let further = host(&folder.0, &["resume", to, "--ticks", "9"]);
    for seat in further["seats"].as_array().expect("seats") {
        assert_eq!(seat["trouble"], Value::Null, "{further}");
    }
    assert_replays(&out);
    let second = folder.path("fork");
    folder.write("there/other.py", AGENT);
    let other = [
        "fork",
        to,
        "--at",
        "7",
        "--agent",
        "harvester-1=python3 other.py",
        "--out",
    ];
    let forked = host(
        &folder.path("there"),
        &[&other[..], &[second.to_str().expect("UTF-8")]].concat(),
    );
    assert_eq!(forked["end"], "tick 9 of 9 reached", "{forked}");
    for seat in forked["seats"].as_array().expect("seats") {
        assert_eq!(seat["trouble"], Value::Null, "{forked}");
    }
    assert_replays(&second);
}

#[test]
fn agents_of_a_killed_host_end_before_the_next_one_begins() {
    let folder = Folder::new("resume-peopled");
    let agent = folder.write("agent.py", AGENT);
    let agent = format!("*=python3 {}", agent.display());
    let out = folder.path("run");
    let args = ["commons", "--agent", &agent, "--ticks", "0"];
    let mut live = Live::start(&out, &args);
    live.until("SELECT count(*) FROM ticks", 3);
    kill(Pid::from_raw(live.child.id() as i32), Signal::SIGKILL).expect("our own child");
    // It holds the run until it is gone; its agents may outlive it.
    live.wait();
    let resumed = Command::new(crate::host::binary())
        .args([
            "resume",
            out.to_str().expect("UTF-8"),
            "--headless",
            "--ticks",
        ])
        .arg((query_int(&out, "SELECT max(tick) FROM inputs") + 5).to_string())
        .current_dir(root())
        .output()
        .expect("it runs");
    let words = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{words}");
    assert_replays(&out);
    wait_for("the end of all agents", || {
        crate::host::processes_with(&folder.path("agent.py").display().to_string()).is_empty()
    });
}
