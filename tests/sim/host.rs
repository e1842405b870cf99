//! Runs one case: a real plan, a real recording in a folder of its own, the real loop, on the clock of `quiet`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use formicarium::cast::{Agent, Seated};
use formicarium::control;
use formicarium::library;
use formicarium::recorder::RunOptions;
use formicarium::recorder::fingerprint::{Fingerprint, fingerprint};
use formicarium::recorder::reader::Recording;
use formicarium::run::budget::Budget;
use formicarium::run::lock::RunLock;
use formicarium::run::progress::Progress;
use formicarium::run::prompt::Prompts;
use formicarium::run::seclusion::Seclusion;
use formicarium::run::{self, Plan, Summary, Timing, Upstream};
use formicarium_agents::isolation::Level;
use formicarium_agents::isolation::uid::UidRange;
use formicarium_agents::{Program, Restart, sim};
use formicarium_engine::{Scenario, TickInput, World};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::case::{Case, Chance};
use crate::{child, quiet};

/// Longest time from the start of a process to `ready`, in milliseconds.
pub const READY_MS: u64 = 500;
/// Time that a process has to end, in milliseconds.
pub const GRACE_MS: u64 = 200;
/// Longest pause before a process is started again, in milliseconds.
pub const BACKOFF_MS: u64 = 400;

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// What the host says of it.
    pub summary: Summary,
    /// How long it took on its clock.
    pub took: Duration,
    /// What went in, in order.
    pub inputs: Vec<TickInput>,
    /// When each tick was done, in microseconds since the first observation.
    pub at_us: Vec<u64>,
    /// The digests of it.
    pub fingerprint: Fingerprint,
    /// Its folder; gone when this is dropped.
    pub folder: Folder,
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    fn new(seed: u64) -> std::io::Result<Folder> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sim-{}-{seed}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The longest time that a case may take on its clock.
pub fn longest(case: &Case) -> Duration {
    let lives = case
        .seats
        .iter()
        .map(|seat| u64::from(seat.restarts) + 1)
        .max();
    let start = lives.unwrap_or(1) * (READY_MS + GRACE_MS + BACKOFF_MS);
    let questions = if case.interview { 120_000 } else { 0 };
    Duration::from_millis(start + (case.ticks + 1) * (case.window_ms() + 1) + questions + 5_000)
}

/// Runs a case.
pub fn play(case: &Case) -> Result<Outcome, String> {
    let folder = Folder::new(case.seed).map_err(|error| format!("no folder: {error}"))?;
    let runtime = quiet::runtime().map_err(|error| format!("no runtime: {error}"))?;
    let (summary, took) = runtime.block_on(drive(case, folder.path()))?;
    drop(runtime);
    let recording = Recording::open(folder.path()).map_err(|error| error.to_string())?;
    let mut inputs = Vec::new();
    recording
        .inputs(|input| {
            inputs.push(input);
            Ok::<_, formicarium::recorder::RecorderError>(())
        })
        .map_err(|error| error.to_string())?;
    let times = || -> rusqlite::Result<Vec<u64>> {
        let mut rows = recording
            .connection()
            .prepare("SELECT at_us FROM ticks WHERE tick > 0 ORDER BY tick")?;
        rows.query_map([], |row| Ok(row.get::<_, i64>(0)? as u64))?
            .collect()
    };
    let at_us = times().map_err(|error| error.to_string())?;
    let fingerprint = fingerprint(&recording).map_err(|error| error.to_string())?;
    Ok(Outcome {
        summary,
        took,
        inputs,
        at_us,
        fingerprint,
        folder,
    })
}

async fn drive(case: &Case, folder: &Path) -> Result<(Summary, Duration), String> {
    let plan = plan(case, folder)?;
    let names: Vec<String> = plan
        .world
        .seats()
        .iter()
        .map(|seat| seat.name.clone())
        .collect();
    let (nursery, far) = sim::nursery().map_err(|error| error.to_string())?;
    let (seats, seed, window_ms) = (case.seats.clone(), case.seed, case.window_ms());
    let children = tokio::spawn(async move {
        let mut lives = vec![0; seats.len()];
        while let Some(process) = far.next().await.expect("pipes that can be waited for") {
            let seat = names
                .iter()
                .position(|name| *name == process.seat)
                .expect("a seat of the scenario");
            lives[seat] += 1;
            let chance = Chance::new(seed, 1000 * (seat as u64 + 1) + lives[seat]);
            tokio::spawn(child::play(process, seats[seat].clone(), window_ms, chance));
        }
    });
    let ready = run::prepare(plan, case.watched).map_err(|error| error.to_string())?;
    let (stopper, stop) = watch::channel(false);
    if let Some(ms) = case.stop_ms {
        let stopper = stopper.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let _ = stopper.send(true);
        });
    }
    let begin = Instant::now();
    // Nobody steers.
    let (_, requests) = control::channel();
    let run = run::execute(ready, nursery, Progress::new(case.ticks), stop, requests);
    let summary = tokio::time::timeout(longest(case), run)
        .await
        .map_err(|_| format!("it has not ended after {:?} of its clock", longest(case)))?
        .map_err(|error| format!("the run failed: {error}"))?;
    children.abort();
    drop(stopper);
    Ok((summary, begin.elapsed()))
}

fn plan(case: &Case, dir: &Path) -> Result<Plan, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let source = library::find("commons").map_err(|error| words(&error))?;
    let broken = |list| format!("{list:?}");
    let scenario = Scenario::load(&source.bundle).map_err(broken)?;
    let set = vec![
        ("harvesters".to_owned(), case.seats.len().to_string()),
        ("interview".to_owned(), case.interview.to_string()),
    ];
    let params = scenario.params(&set).map_err(broken)?;
    let mut world = World::new(&scenario, &params, case.seed).map_err(broken)?;
    world.set_ticks(case.ticks);
    let deadline = Duration::from_millis(case.deadline_ms);
    let timing = Timing::new(
        world.time(),
        Some(case.mode),
        Some(case.hz),
        Some(deadline),
        Some(case.ticks),
    );
    let run = format!("sim-{}", case.seed);
    let seated = case.seats.iter().map(|seat| {
        let mut program = Program::new("/bin/true");
        program.ready_ms = READY_MS;
        program.grace_ms = GRACE_MS;
        program.restart = Restart {
            policy: seat.restart,
            max: seat.restarts,
            backoff_ms: BACKOFF_MS / 4,
            backoff_cap_ms: BACKOFF_MS,
        };
        Seated {
            label: "a fake".into(),
            agent: Agent::Process(Box::new(program)),
            prompt: None,
            budget: Budget::default(),
            desk: false,
        }
    });
    let seclusion = Seclusion::new(
        Level::Advisory,
        UidRange::DEFAULT,
        case.seats.len(),
        &run,
        dir,
    );
    Ok(Plan {
        seated: seated.collect(),
        seclusion: seclusion.map_err(|error| words(&error))?,
        lock: RunLock::take(dir).map_err(|error| words(&error))?,
        prompts: Prompts::new(&source.bundle).map_err(|error| words(&error))?,
        run,
        dir: dir.to_owned(),
        bundle: source.bundle,
        scenario,
        params,
        set,
        seed: case.seed,
        world,
        cast: "fakes".into(),
        cast_digest: String::new(),
        casts: Vec::new(),
        command: String::new(),
        timing,
        budget: Budget::default(),
        model: Upstream {
            url: "http://127.0.0.1:9".into(),
            key: None,
        },
        durability: "process".into(),
        epoch: "sim".into(),
        options: RunOptions {
            deadline_ms: Some(case.deadline_ms),
            ticks: Some(case.ticks),
            ..RunOptions::default()
        },
        asking: None,
        past: None,
    })
}

/// Where two runs of one seed part, in words.
pub fn difference(first: &Outcome, second: &Outcome) -> String {
    let pairs = first.inputs.iter().zip(&second.inputs);
    match pairs.into_iter().find(|(one, other)| one != other) {
        Some((one, other)) => format!(
            "two runs of it differ at tick {}: {one:?} and {other:?}",
            one.tick
        ),
        None => format!(
            "two runs of it differ: {:?} and {:?}",
            first.fingerprint, second.fingerprint
        ),
    }
}
