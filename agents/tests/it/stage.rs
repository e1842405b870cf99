//! A stage for tests: a small host that greets agents, plays rounds with them and writes down what it is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use formicarium_agents::isolation::Isolation;
use formicarium_agents::protocol::{
    self, FromAgent, Hello, Limits, Observe, ScenarioName, Time, TimeMode, ToAgent,
};
use formicarium_agents::{
    AgentEvent, AgentEventBody, Agents, Nursery, Outgoing, Phase, ProcessStatus, Program, SeatPlan,
};
use tokio::sync::mpsc::Receiver;

/// What a case gets: the nursery, forked before anything else.
pub struct Start {
    pub nursery: Nursery,
    pub folder: PathBuf,
    pub run: String,
}

impl Start {
    pub fn new(nursery: Nursery) -> Self {
        let run = format!("test-{}", std::process::id());
        let folder = folder_of(std::process::id());
        let _ = std::fs::remove_dir_all(&folder);
        Self {
            nursery,
            folder,
            run,
        }
    }

    pub fn plan(&self, seat: &str, program: Program) -> SeatPlan {
        self.isolated(seat, program, Isolation::ADVISORY)
    }

    pub fn isolated(&self, seat: &str, program: Program, isolation: Isolation) -> SeatPlan {
        SeatPlan {
            seat: seat.into(),
            run: self.run.clone(),
            program,
            folder: self.folder.join("agents").join(seat),
            isolation,
        }
    }
}

/// The folder of the case that this process runs.
pub fn folder_of(process: u32) -> PathBuf {
    std::env::temp_dir().join(format!("formicarium-test-{process}"))
}

/// A program with a habit, quick to be given up.
pub fn misbehaver(habit: &str) -> Program {
    let mut words = habit.split(' ').map(str::to_owned);
    let name = words.next().unwrap();
    let mut program = Program::new(env!("CARGO_BIN_EXE_formicarium-misbehaver"));
    program.args = std::iter::once(name).chain(words).collect();
    program.ready_ms = 3000;
    program.grace_ms = 300;
    program
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(100), future)
            .await
            .expect("in time")
    })
}

/// What one seat did.
#[derive(Default)]
pub struct Seen {
    pub faults: Vec<formicarium_agents::Fault>,
    pub statuses: Vec<ProcessStatus>,
    pub started: Vec<u32>,
    pub acts: Vec<u64>,
    pub other: usize,
    pub bytes_thought: usize,
}

impl Seen {
    pub fn phase(&self) -> Option<Phase> {
        self.statuses.last().map(ProcessStatus::phase)
    }
}

pub struct Stage {
    pub agents: Agents,
    pub inbox: Receiver<AgentEvent>,
    pub seen: BTreeMap<usize, Seen>,
    pub run: String,
    pub folder: PathBuf,
    pub count: usize,
}

impl Stage {
    pub async fn open(start: Start, programs: Vec<(String, Program)>) -> Self {
        let advisory = vec![Isolation::ADVISORY; programs.len()];
        Self::open_isolated(start, programs, advisory).await
    }

    pub async fn open_isolated(
        start: Start,
        programs: Vec<(String, Program)>,
        isolations: Vec<Isolation>,
    ) -> Self {
        let count = programs.len();
        let plans = programs
            .into_iter()
            .zip(isolations)
            .enumerate()
            .map(|(at, ((seat, program), isolation))| {
                (at, start.isolated(&seat, program, isolation))
            })
            .collect();
        let (sender, inbox) = tokio::sync::mpsc::channel(256);
        let agents = Agents::start(start.nursery, plans, sender).await.unwrap();
        let seen = (0..count).map(|seat| (seat, Seen::default())).collect();
        Self {
            agents,
            inbox,
            seen,
            run: start.run,
            folder: start.folder,
            count,
        }
    }

    /// What went wrong with the seats, for messages.
    pub fn troubles(&self) -> Vec<(usize, Option<Phase>, Vec<String>)> {
        self.seen
            .iter()
            .map(|(seat, seen)| {
                let faults = seen.faults.iter().map(|fault| fault.detail.clone());
                (*seat, seen.phase(), faults.collect())
            })
            .collect()
    }

    /// Takes events until the test is true or the time is over; says which.
    pub async fn until(
        &mut self,
        ms: u64,
        mut done: impl FnMut(&BTreeMap<usize, Seen>) -> bool,
    ) -> bool {
        let end = Instant::now() + Duration::from_millis(ms);
        while !done(&self.seen) {
            let left = end.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.inbox.recv()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) => return false,
                Err(_) => return done(&self.seen),
            }
        }
        true
    }

    fn take(&mut self, event: AgentEvent) {
        if std::env::var_os("FORMICARIUM_TEST_TRACE").is_some() {
            eprintln!("{event:?}");
        }
        let seen = self.seen.get_mut(&event.seat).unwrap();
        match event.body {
            AgentEventBody::Started { attempt } => {
                seen.started.push(attempt);
                self.agents.send(
                    event.seat,
                    Outgoing::Control(hello(&format!("seat-{}", event.seat)).into()),
                );
            }
            AgentEventBody::Message(FromAgent::Act(act)) => {
                seen.bytes_thought = seen.bytes_thought.max(act.thought.map_or(0, |t| t.len()));
                seen.acts.push(act.tick);
            }
            AgentEventBody::Transcript(_) | AgentEventBody::Cost(_) => {}
            AgentEventBody::Message(_) => seen.other += 1,
            AgentEventBody::Fault(fault) => seen.faults.push(fault),
            AgentEventBody::Status(status) => seen.statuses.push(status),
            // Only adapters that translate tell these.
        }
    }

    /// All have said `ready` or are gone.
    pub async fn all_ready(&mut self, ms: u64) -> bool {
        self.until(ms, |seen| {
            seen.values().all(|s| {
                matches!(
                    s.phase(),
                    Some(Phase::Ready | Phase::Running | Phase::Exited)
                )
            })
        })
        .await
    }

    pub fn observe(&self, tick: u64, bytes: usize) {
        let line: Arc<[u8]> = observation(tick, bytes).into();
        for seat in 0..self.count {
            self.agents
                .send(seat, Outgoing::Observation(Arc::clone(&line)));
        }
    }
}

pub fn hello(seat: &str) -> Vec<u8> {
    protocol::encode(&ToAgent::Hello(Box::new(Hello {
        protocol: protocol::PROTOCOL,
        run: "test".into(),
        scenario: ScenarioName {
            name: "test".into(),
            title: "A test".into(),
        },
        seat: seat.into(),
        role: "You are tested.".into(),
        rules: "None.".into(),
        actions: Vec::new(),
        limits: Limits::default(),
        questions: Vec::new(),
        files: None,
        time: Time {
            mode: TimeMode::Lockstep,
            deadline_ms: 1000,
            hz: None,
            ticks: 0,
            bank: None,
            think: None,
        },
        remembered: None,
        resumed: None,
    })))
}

pub fn observation(tick: u64, bytes: usize) -> Vec<u8> {
    protocol::encode(&ToAgent::Observe(Observe {
        tick,
        deadline_ms: 1000,
        bank_ms: None,
        text: "x".repeat(bytes),
        state: serde_json::Value::Null,
        heard: Vec::new(),
        results: Vec::new(),
    }))
}

/// The parent of a living process.
pub fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')')
        .next()
        .unwrap()
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// The living processes that carry this mark in their environment.
pub fn processes_of(mark: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment
            .split(|&b| b == 0)
            .any(|pair| pair == mark.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

/// Waits until no such process lives; says how many are left.
pub fn left_of(mark: &str, ms: u64) -> usize {
    let end = Instant::now() + Duration::from_millis(ms);
    loop {
        let left = processes_of(mark).len();
        if left == 0 || Instant::now() > end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn run_mark(run: &str) -> String {
    format!("FORMICARIUM_RUN={run}")
}
