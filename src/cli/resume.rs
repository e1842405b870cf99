//! `formicarium resume`: goes on with a run whose host has ended, from its last committed tick.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use formicarium_agents::Nursery;
use formicarium_agents::isolation::Level;
use formicarium_agents::isolation::uid::UidRange;
use formicarium_engine::Mode;
use thiserror::Error;

use super::assemble::{self, Given, SetUpError};
use super::live::{self, LiveArgs};
use super::run::{Durability, duration};
use super::{Exit, LogFormat, fail};
use crate::library;
use crate::recorder::reader::Recording;
use crate::recorder::seek::SeekError;
use crate::recorder::{self, RecorderError, RunEnd, RunMeta, sealed};
use crate::run::lock::{LockError, RunLock, await_gone};
use crate::run::past::Past;
use crate::run::seclusion::{self, SeclusionError, Wanted};
use crate::run::{INTERRUPTED, Plan, RunError, SeatSummary, Summary};

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// A run's folder.
    run: PathBuf,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    live: LiveArgs,
}

/// What may be other than in the recording.
#[derive(Debug, Default, Args)]
pub(super) struct Changes {
    /// Seat another agent from now on, before the cast does; the pattern may have * and ?. May be given again.
    #[arg(long, value_name = "SEATS=COMMAND")]
    pub(super) agent: Vec<String>,
    /// Longest wait for answers in lockstep and turns, such as 200ms, 10s or 5m. Default: as the run had it.
    #[arg(long, value_parser = duration)]
    deadline: Option<Duration>,
    /// Last tick, counted from the run's beginning; 0 = no end. Default: as the run had it.
    #[arg(long)]
    pub(super) ticks: Option<u64>,
    /// How the kernel keeps agents apart. Default: as the run had it.
    #[arg(long, value_enum)]
    isolation: Option<Wanted>,
    /// Users that seats may have, at isolation level uid.
    #[arg(long, value_name = "FIRST-LAST", default_value_t = UidRange::DEFAULT)]
    uids: UidRange,
    /// What the recording survives from now on. Default: as the run had it.
    #[arg(long, value_enum)]
    durability: Option<Durability>,
}

#[derive(Debug, Error)]
pub(super) enum ResumeError {
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    #[error(transparent)]
    Seek(#[from] SeekError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Seclusion(#[from] SeclusionError),
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    #[error("the recording speaks of a time mode that this host does not know: {0}")]
    Mode(String),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("--set: {0}")]
    Set(String),
    #[error("there is no seat {0}; the run has: {1}{2}")]
    Seat(String, String, String),
    #[error("the recording speaks of an isolation level that this host does not know: {0}")]
    Level(String),
}

/// What there is to do.
enum Found {
    Ended(Summary),
    Open(Box<Plan>),
}

pub(super) fn run(args: &ResumeArgs, logs: LogFormat) -> Exit {
    // Before any thread, and while the process is small: keepers share its pages.
    let nursery = match Nursery::start() {
        Ok(nursery) => nursery,
        Err(error) => return fail(Exit::Failed, &error),
    };
    match find(args) {
        Ok(Found::Ended(summary)) => {
            live::report(&summary, args.live.json);
            Exit::Good
        }
        Ok(Found::Open(plan)) => live::drive(*plan, &args.live, nursery, logs),
        Err(error) => error.tell(),
    }
}

impl ResumeError {
    /// Prints it; the exit status that goes with it.
    pub(super) fn tell(self) -> Exit {
        match self {
            ResumeError::SetUp(error) => error.tell(),
            ResumeError::Seclusion(_)
            | ResumeError::Recorder(_)
            | ResumeError::Set(_)
            | ResumeError::Seat(..)
            | ResumeError::Seek(SeekError::Beyond { .. }) => fail(Exit::Usage, &self),
            _ => fail(Exit::Failed, &self),
        }
    }
}

fn find(args: &ResumeArgs) -> Result<Found, ResumeError> {
    let dir = match args.run.is_file() {
        // Its run.db was named.
        true => args.run.parent().unwrap_or(&args.run).to_owned(),
        false => args.run.clone(),
    };
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    // Before anything is written there: a folder that is no run's is left alone.
    drop(Recording::open(&dir)?);
    let lock = RunLock::take(&dir)?;
    // Only now: the last host may have written until a moment ago.
    let recording = Recording::open(&dir)?;
    if let Some(end) = &recording.end
        && end.reason != INTERRUPTED
        && args
            .changes
            .ticks
            .is_none_or(|ticks| ticks != 0 && ticks <= end.ticks)
    {
        return Ok(Found::Ended(summary(&recording, end, dir)));
    }
    if sealed::is_sealed(recording.path()) {
        let path = recording.path().to_owned();
        return Err(RecorderError::Sealed { path }.into());
    }
    let level = level(&args.changes, &recording.meta)?;
    let plan = plan(&args.changes, level, &recording, dir, lock)?;
    Ok(Found::Open(Box::new(plan)))
}

/// How a recording's seats are kept apart from now on. For a process with one thread, so before any world: its engine may
/// start some.
pub(super) fn level(args: &Changes, meta: &RunMeta) -> Result<Level, ResumeError> {
    let wanted = match args.isolation {
        Some(wanted) => wanted,
        None => clap::ValueEnum::from_str(&meta.isolation, false)
            .map_err(|_| ResumeError::Level(meta.isolation.clone()))?,
    };
    Ok(seclusion::level(Some(wanted), args.uids)?)
}

/// The plan by which a recording goes on.
pub(super) fn plan(
    args: &Changes,
    level: Level,
    recording: &Recording,
    dir: PathBuf,
    lock: RunLock,
) -> Result<Plan, ResumeError> {
    let meta = recording.meta.clone();
    await_gone(&dir)?;

    let mut options = meta.options.clone();
    options
        .agents
        .splice(0..0, recorder::Given::here(args.agent.clone()));
    if let Some(deadline) = args.deadline {
        options.deadline_ms = Some(deadline.as_millis() as u64);
    }
    options.ticks = args.ticks.or(options.ticks).or(Some(meta.ticks));
    let bundle = recording.bundle()?;
    let folder = match options.folder.clone().filter(|folder| folder.is_dir()) {
        Some(folder) => folder,
        // As the recording has it: the original may be gone.
        None => library::lay_out(&bundle, &meta.scenario, &dir.join("source"))
            .map_err(SetUpError::from)?,
    };
    let given = Given {
        run: meta.run.clone(),
        dir: dir.clone(),
        scenario: assemble::load(&bundle)?,
        bundle,
        set: meta.set.clone(),
        seed: meta.seed,
        mode: Some(Mode::of(&meta.mode).ok_or_else(|| ResumeError::Mode(meta.mode.clone()))?),
        hz: (meta.hz > 0.0).then_some(meta.hz),
        level,
        uids: args.uids,
        durability: match args.durability {
            Some(durability) => durability.word().to_owned(),
            None => meta.durability.clone(),
        },
        command: format!("formicarium run {}", meta.scenario),
        options,
    };
    let mut plan = given.check()?.seat(&folder, lock)?;
    let (mut past, mut world) = Past::read(recording)?;
    if let Some(ticks) = plan.options.ticks {
        world.set_ticks(ticks);
    }
    plan.world = world;
    let begun: Vec<bool> = past.seats.iter().map(|seat| seat.has_session).collect();
    assemble::with_sessions(&mut plan, &meta.seats, &begun);
    if !args.agent.is_empty() {
        // Another agent on the same body: the recording says so.
        let others = meta.seats.iter().zip(&plan.seated);
        let others = others.filter(|(seat, seated)| seat.agent != seated.label);
        past.changes
            .seated
            .extend(others.map(|(seat, seated)| (seat.seat.clone(), seated.label.clone())));
    }
    plan.past = Some(past);
    Ok(plan)
}

/// What a run came to that has ended already.
fn summary(recording: &Recording, end: &RunEnd, dir: PathBuf) -> Summary {
    let seats = recording
        .meta
        .seats
        .iter()
        .zip(&end.scores)
        .zip(&end.status);
    Summary {
        run: recording.meta.run.clone(),
        dir,
        ticks: end.ticks,
        hash: end.hash.clone(),
        end: end.reason.clone(),
        seats: seats
            .map(|((seat, score), status)| SeatSummary {
                seat: seat.seat.clone(),
                score: *score,
                status: status.clone().into(),
                trouble: None,
            })
            .collect(),
    }
}
