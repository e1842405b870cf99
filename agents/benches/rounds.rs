//! How much slower is a round with agents than a bare loop over pipes with the same agents?
//!
//! A round: 1 KB out to each agent, a short line back from each. Both loops run in this process, one after the other, with
//! the same trivial agent (this executable, asked to be one). Also: what a start takes and what agents cost in memory.
//! Run by `cargo bench -p formicarium-agents --bench rounds [-- AGENTS..]`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use formicarium_agents::isolation::Isolation;
use formicarium_agents::protocol::{self, FromAgent, Observe, ToAgent};
use formicarium_agents::{
    AgentEvent, AgentEventBody, Agents, Nursery, Outgoing, Phase, Program, SeatPlan,
};

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    match words.first().map(String::as_str) {
        Some("agent") => agent(),
        Some("one") => one(words[1].parse().expect("a number of agents")),
        _ => {
            let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
            if sizes.is_empty() {
                sizes = vec![1, 10, 100, 1000];
            }
            for size in sizes {
                // A process of its own for each, because a nursery is forked before any thread.
                let own = std::env::current_exe().expect("this executable");
                let status = Command::new(own)
                    .args(["one", &size.to_string()])
                    .status()
                    .expect("a process");
                assert!(status.success());
            }
        }
    }
}

/// Answers each line. It looks for the tick by hand: its own cost is no part of the question.
fn agent() {
    let mut stdin = BufReader::with_capacity(16_384, std::io::stdin());
    let mut stdout = std::io::stdout();
    let mut line = String::new();
    while stdin.read_line(&mut line).unwrap_or(0) > 0 {
        if let Some(rest) = line.strip_prefix("{\"type\":\"observe\",\"tick\":") {
            let tick: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let act = format!(
                "{{\"type\":\"act\",\"tick\":{tick},\"actions\":[{{\"name\":\"move\",\"args\":{{\"to\":\"n\"}}}}]}}\n"
            );
            let _ = stdout
                .write_all(act.as_bytes())
                .and_then(|()| stdout.flush());
        } else if line.starts_with("{\"type\":\"hello\"") {
            let _ = stdout
                .write_all(b"{\"type\":\"ready\"}\n")
                .and_then(|()| stdout.flush());
        }
        line.clear();
    }
}

fn observation(tick: u64) -> Vec<u8> {
    let empty = || Observe {
        tick,
        deadline_ms: 1000,
        bank_ms: None,
        text: String::new(),
        state: serde_json::Value::Null,
        heard: Vec::new(),
        results: Vec::new(),
    };
    let frame = protocol::encode(&ToAgent::Observe(empty())).len();
    protocol::encode(&ToAgent::Observe(Observe {
        text: "x".repeat(1024 - frame),
        ..empty()
    }))
}

/// Rounds until a second is over, at least 20; time of one.
fn time_rounds(mut round: impl FnMut(u64)) -> Duration {
    for tick in 0..5 {
        round(tick);
    }
    let from = Instant::now();
    let mut rounds = 0;
    while rounds < 20 || from.elapsed() < Duration::from_secs(1) {
        round(5 + u64::from(rounds));
        rounds += 1;
    }
    from.elapsed() / rounds
}

fn one(count: usize) {
    let nursery = Nursery::start().expect("no thread has been started");
    nix::sys::resource::setrlimit(
        nix::sys::resource::Resource::RLIMIT_NOFILE,
        (8 * count as u64 + 256).min(
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
                .unwrap()
                .1,
        ),
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .unwrap()
            .1,
    )
    .expect("room for the bare loop's pipes");
    let bare = bare(count);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let full = full(nursery, count, &runtime);
    println!(
        "{count:5} agents: bare {:8.3} ms a round, ours {:8.3} ms, ratio {:.2}; started in {:.2} s, host {:.1} KiB an agent, \
         keeper PSS {} KiB, ended in {:.2} s",
        bare.as_secs_f64() * 1e3,
        full.round.as_secs_f64() * 1e3,
        full.round.as_secs_f64() / bare.as_secs_f64(),
        full.start.as_secs_f64(),
        full.host_kib as f64 / count as f64,
        full.keeper_kib,
        full.end.as_secs_f64(),
    );
}

fn bare(count: usize) -> Duration {
    let own = std::env::current_exe().expect("this executable");
    let mut agents: Vec<(Child, ChildStdin, BufReader<ChildStdout>)> = (0..count)
        .map(|_| {
            let mut child = Command::new(&own)
                .arg("agent")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            (child, stdin, BufReader::with_capacity(256, stdout))
        })
        .collect();
    let mut line = String::new();
    let time = time_rounds(|tick| {
        let out = observation(tick);
        for (_, stdin, _) in &mut agents {
            stdin.write_all(&out).unwrap();
        }
        for (_, _, stdout) in &mut agents {
            line.clear();
            stdout.read_line(&mut line).unwrap();
        }
    });
    for (mut child, stdin, _) in agents {
        drop(stdin);
        let _ = child.wait();
    }
    time
}

struct Full {
    round: Duration,
    start: Duration,
    end: Duration,
    host_kib: u64,
    keeper_kib: u64,
}

fn full(nursery: Nursery, count: usize, runtime: &tokio::runtime::Runtime) -> Full {
    let folder = std::env::temp_dir().join(format!("formicarium-rounds-{}", std::process::id()));
    let mut program = Program::new(std::env::current_exe().unwrap().to_str().unwrap());
    program.args = vec!["agent".into()];
    let plans = (0..count)
        .map(|at| {
            let seat = format!("seat-{at}");
            (
                at,
                SeatPlan {
                    folder: folder.join(&seat),
                    seat,
                    run: "rounds".into(),
                    program: program.clone(),
                    isolation: Isolation::ADVISORY,
                },
            )
        })
        .collect();
    let (sender, mut inbox) = tokio::sync::mpsc::channel::<AgentEvent>(4096);
    let before = rollup("self", "Anonymous:");
    let from = Instant::now();
    let agents = runtime
        .block_on(Agents::start(nursery, plans, sender))
        .unwrap();
    let hello: Arc<[u8]> = b"{\"type\":\"hello\"}\n"[..].into();
    let mut ready = 0;
    while ready < count {
        match inbox.blocking_recv().unwrap() {
            AgentEvent {
                seat,
                body: AgentEventBody::Started { .. },
            } => {
                agents.send(seat, Outgoing::Control(Arc::clone(&hello)));
            }
            AgentEvent {
                body: AgentEventBody::Status(status),
                ..
            } if status.phase() == Phase::Ready => ready += 1,
            AgentEvent {
                body: AgentEventBody::Fault(fault),
                ..
            } => panic!("{fault}"),
            _ => {}
        }
    }
    let start = from.elapsed();
    let mut events = Vec::with_capacity(4096);
    // As the host does it: one thread that owns the world, the driver beside it.
    let round = time_rounds(|tick| {
        let line: Arc<[u8]> = observation(tick).into();
        for seat in 0..count {
            agents.send(seat, Outgoing::Observation(Arc::clone(&line)));
        }
        let mut answers = 0;
        while answers < count {
            events.push(inbox.blocking_recv().unwrap());
            while let Ok(event) = inbox.try_recv() {
                events.push(event);
            }
            for event in events.drain(..) {
                if let AgentEventBody::Message(FromAgent::Act(act)) = event.body {
                    answers += usize::from(act.tick == tick);
                }
            }
        }
    });
    let host_kib = rollup("self", "Anonymous:").saturating_sub(before);
    let keeper_kib = keeper_of_first(&folder).map_or(0, |pid| rollup(&pid, "Pss:"));
    let from = Instant::now();
    runtime.block_on(agents.shutdown(Duration::from_secs(2)));
    let end = from.elapsed();
    let _ = std::fs::remove_dir_all(&folder);
    Full {
        round,
        start,
        end,
        host_kib,
        keeper_kib,
    }
}

fn keeper_of_first(folder: &std::path::Path) -> Option<String> {
    let home = format!("HOME={}", folder.join("seat-0/home").display());
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment
            .split(|&b| b == 0)
            .any(|pair| pair == home.as_bytes())
        {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            return stat
                .rsplit(')')
                .next()?
                .split_ascii_whitespace()
                .nth(1)
                .map(str::to_owned);
        }
    }
    None
}

fn rollup(pid: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with(name))
        .and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}
