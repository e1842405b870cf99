//! How much slower is a lockstep round of the host than a bare loop over the same pipes?
//!
//! The limit: one thread writes a 1 KB line to each agent and reads a line back from each; nothing
//! else. The host: world step, 1 KB observations, recording on. Both with the same trivial Rust
//! agent, in turns, in this run; medians and their ratio are printed. Also: how long the agents
//! take to start, and what host and keepers hold in memory.
//!
//! `cargo bench --bench lockstep [-- AGENTS...]`; binaries from FORMICARIUM_BIN's folder.

mod field;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Times that limit and host take turns.
const PAIRS: usize = 5;

fn main() {
    let asked: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let counts = if asked.is_empty() {
        vec![1, 10, 100, 1000]
    } else {
        asked
    };
    let host = host();
    let player = host.with_file_name("formicarium-player");
    let scenario = field::field();
    for binary in [&host, &player] {
        assert!(
            binary.is_file(),
            "{} is missing: cargo build --release",
            binary.display()
        );
    }
    println!(
        "agents  line B  limit us  host us  ratio  step us | ready ms  host peak MB  KB/agent  keeper PSS KB"
    );
    // What the host needs by itself: its peak with the fewest agents.
    let mut base = None;
    for agents in counts {
        let rounds = (40_000 / agents).clamp(60, 4000);
        let mut limits = Vec::new();
        let mut hosts = Vec::new();
        let mut last = None;
        let line_bytes = observation_bytes(&host, &scenario, agents);
        for _ in 0..PAIRS {
            let run = run_host(&host, &scenario, agents, rounds);
            limits.push(bare(&player, agents, rounds, line_bytes));
            hosts.push(run.round);
            last = Some(run);
        }
        let last = last.expect("at least one pair");
        let (limit, host) = (median(&mut limits), median(&mut hosts));
        let (base_agents, base_kb) = *base.get_or_insert((agents, last.peak_kb));
        let each = (agents > base_agents)
            .then(|| last.peak_kb.saturating_sub(base_kb) / (agents - base_agents) as u64);
        println!(
            "{agents:>6}  {line_bytes:>6}  {:>8.1}  {:>7.1}  {:>5.2}  {:>7.1} | {:>8}  {:>12.1}  {:>8}  {:>13}",
            limit.as_secs_f64() * 1e6,
            host.as_secs_f64() * 1e6,
            host.as_secs_f64() / limit.as_secs_f64(),
            last.step_us,
            last.ready_ms,
            last.peak_kb as f64 / 1024.0,
            each.map_or("-".into(), |kb| kb.to_string()),
            last.keeper_pss_kb.map_or("-".into(), |kb| kb.to_string()),
        );
    }
    let _ = std::fs::remove_dir_all(&scenario);
}

fn host() -> PathBuf {
    std::env::var_os("FORMICARIUM_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/formicarium"),
        PathBuf::from,
    )
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

struct Agent {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Mean time of a round of the bare loop.
fn bare(player: &Path, agents: usize, rounds: usize, line_bytes: usize) -> Duration {
    let mut agents: Vec<Agent> = (0..agents)
        .map(|_| {
            let mut child = Command::new(player)
                .arg("wait")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the player starts");
            let input = child.stdin.take().expect("piped");
            let output = BufReader::with_capacity(512, child.stdout.take().expect("piped"));
            Agent {
                child,
                input,
                output,
            }
        })
        .collect();
    let mut line = String::new();
    let hello = "{\"type\":\"hello\",\"protocol\":1,\"seat\":\"x\",\"remembered\":null}\n";
    round(&mut agents, hello.as_bytes(), &mut line);
    let mut total = Duration::ZERO;
    // A tenth more, for warming up.
    for number in 0..rounds + rounds / 10 {
        let head =
            format!("{{\"type\":\"observe\",\"tick\":{number},\"deadline_ms\":1000,\"text\":\"");
        let tail = "\",\"state\":{},\"heard\":[],\"results\":[]}\n";
        let filler = "x".repeat(line_bytes.saturating_sub(head.len() + tail.len()));
        let message = format!("{head}{filler}{tail}");
        let begin = Instant::now();
        round(&mut agents, message.as_bytes(), &mut line);
        if number >= rounds / 10 {
            total += begin.elapsed();
        }
    }
    for mut agent in agents {
        drop(agent.input);
        let _ = agent.child.wait();
    }
    total / rounds as u32
}

fn round(agents: &mut [Agent], message: &[u8], line: &mut String) {
    for agent in agents.iter_mut() {
        agent.input.write_all(message).expect("the agent reads");
    }
    for agent in agents.iter_mut() {
        line.clear();
        assert!(
            agent.output.read_line(line).expect("the agent answers") > 0,
            "an agent has left"
        );
    }
}

struct HostRun {
    round: Duration,
    step_us: f64,
    ready_ms: u64,
    peak_kb: u64,
    keeper_pss_kb: Option<u64>,
}

fn run_host(host: &Path, scenario: &Path, agents: usize, rounds: usize) -> HostRun {
    let out =
        std::env::temp_dir().join(format!("formicarium-bench-{}-{agents}", std::process::id()));
    let _ = std::fs::remove_dir_all(&out);
    let warm = rounds / 10;
    let mut child = Command::new(host)
        .args([
            "run",
            scenario.to_str().expect("UTF-8"),
            "--headless",
            "--json",
            "--log-format",
            "json",
        ])
        .args([
            "--agent",
            "*=formicarium-player wait",
            "--deadline",
            "60s",
            "--seed",
            "1",
        ])
        .args([
            "--set",
            &format!("agents={agents}"),
            "--ticks",
            &(rounds + warm).to_string(),
        ])
        .args(["--out", out.to_str().expect("UTF-8")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut ready_ms = 0;
    let mut keeper_pss_kb = None;
    let pid = child.id();
    let peak = std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(kb) = kb(&format!("/proc/{pid}/status"), "VmHWM:") {
            peak = kb;
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    for line in BufReader::new(child.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
    {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line) else {
            continue;
        };
        let fields = &entry["fields"];
        if fields["message"] == "agents are ready" {
            ready_ms = fields["ms"].as_u64().unwrap_or(0);
            keeper_pss_kb = keepers_pss_kb(pid);
        }
    }
    assert!(
        child.wait().expect("our own child").success(),
        "the run failed"
    );
    let peak_kb = peak.join().expect("a number");
    let database = rusqlite::Connection::open(out.join("run.db")).expect("the recording");
    let at = |tick: usize| -> f64 {
        database
            .query_row(
                "SELECT at_us FROM ticks WHERE tick = ?1",
                [tick as i64],
                |row| row.get(0),
            )
            .expect("a tick")
    };
    let round = Duration::from_secs_f64(
        (at(rounds + warm) - at(warm.max(1))) / 1e6 / (rounds + warm - warm.max(1)) as f64,
    );
    let step_us = database
        .query_row(
            "SELECT avg(step_us) FROM ticks WHERE tick > ?1",
            [warm as i64],
            |row| row.get(0),
        )
        .expect("steps");
    drop(database);
    let _ = std::fs::remove_dir_all(&out);
    HostRun {
        round,
        step_us,
        ready_ms,
        peak_kb,
        keeper_pss_kb,
    }
}

/// Mean length of an observation line among so many agents: nine of them are spies that write theirs down.
fn observation_bytes(host: &Path, scenario: &Path, agents: usize) -> usize {
    let out = std::env::temp_dir().join(format!("formicarium-bench-{}-line", std::process::id()));
    let _ = std::fs::remove_dir_all(&out);
    let spy = "agent-?=sh -c 'read a; echo {\\\"type\\\":\\\"ready\\\"}; read b; printf %s \"$b\" > \"$HOME/line\"; read c'";
    let status = Command::new(host)
        .args([
            "run",
            scenario.to_str().expect("UTF-8"),
            "--headless",
            "--json",
        ])
        .args(["--agent", spy, "--agent", "*=builtin:noop"])
        .args(["--set", &format!("agents={agents}"), "--ticks", "1"])
        .args(["--deadline", "500ms", "--seed", "1"])
        .args(["--out", out.to_str().expect("UTF-8")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the host starts");
    assert!(status.success(), "the spies' run failed");
    let lengths: Vec<u64> = std::fs::read_dir(out.join("agents"))
        .expect("seats")
        .flatten()
        .map(|seat| {
            std::fs::metadata(seat.path().join("home/line"))
                .expect("the line")
                .len()
                + 1
        })
        .collect();
    let _ = std::fs::remove_dir_all(&out);
    (lengths.iter().sum::<u64>() / lengths.len() as u64) as usize
}

/// The median proportional set size of the keepers, in KB.
fn keepers_pss_kb(host: u32) -> Option<u64> {
    let exe = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let wanted = exe(host);
    let mut keepers: Vec<u64> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != host && exe(*pid) == wanted)
        .filter_map(|pid| kb(&format!("/proc/{pid}/smaps_rollup"), "Pss:"))
        .collect();
    keepers.sort_unstable();
    keepers.get(keepers.len() / 2).copied()
}

fn kb(path: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
