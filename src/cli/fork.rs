//! `formicarium fork`: a new run with the history of another up to a tick, which goes on from there.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use formicarium_agents::Nursery;
use formicarium_agents::workspace::history::Change;
use formicarium_engine::scenario::nearest;
use formicarium_engine::{SeatId, World};

use super::assemble::SetUpError;
use super::live::{self, LiveArgs};
use super::pair;
use super::resume::{self, Changes, ResumeError};
use super::{Exit, LogFormat, fail};
use crate::cast;
use crate::recorder::reader::Recording;
use crate::recorder::seek::{SeekError, world_at};
use crate::recorder::{self, Given, Parent, RecorderError, SeatMeta, fork, hash_text};
use crate::run::Plan;
use crate::run::lock::RunLock;

#[derive(Debug, Args)]
pub(super) struct ForkArgs {
    /// The folder of the run to branch off.
    run: PathBuf,
    /// The last tick that both have in common.
    #[arg(long, value_name = "TICK")]
    at: u64,
    /// Folder of the fork; must be empty or not there. Default: runs/<id>.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave a seat without an agent from then on: its body waits. The pattern may have * and ?. May be given again.
    #[arg(long, value_name = "SEATS")]
    drop: Vec<String>,
    /// Another value of a parameter from then on: name=value. May be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Tell a seat's agent something, with its first observation: "SEAT: TEXT". May be given again.
    #[arg(long, value_name = "SEAT: TEXT", value_parser = said)]
    say: Vec<(String, String)>,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    live: LiveArgs,
}

pub(super) fn run(args: ForkArgs, logs: LogFormat) -> Exit {
    // Before any thread, and while the process is small: keepers share its pages.
    let nursery = match Nursery::start() {
        Ok(nursery) => nursery,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let live = args.live.clone();
    let branch = Branch {
        run: args.run,
        at: args.at,
        out: args.out,
        drop: args.drop,
        set: args.set,
        say: args.say,
        changes: args.changes,
    };
    match plan(branch) {
        Ok(plan) => live::drive(plan, &live, nursery, logs),
        Err(error) => error.tell(),
    }
}

/// What is branched off, where, and what is other from then on.
pub(super) struct Branch {
    pub(super) run: PathBuf,
    pub(super) at: u64,
    pub(super) out: Option<PathBuf>,
    pub(super) drop: Vec<String>,
    pub(super) set: Vec<(String, String)>,
    pub(super) say: Vec<(String, String)>,
    pub(super) changes: Changes,
}

impl Branch {
    /// With no change.
    pub(super) fn new(run: PathBuf, at: u64) -> Branch {
        Branch {
            run,
            at,
            out: None,
            drop: Vec::new(),
            set: Vec::new(),
            say: Vec::new(),
            changes: Changes::default(),
        }
    }
}

/// Makes the fork's folder and recording; the plan by which it goes on.
pub(super) fn plan(mut args: Branch) -> Result<Plan, ResumeError> {
    let parent = Recording::open(&args.run)?;
    let last = parent.last_tick()?;
    if args.at > last {
        let tick = args.at;
        return Err(SeekError::Beyond { tick, last }.into());
    }
    let level = resume::level(&args.changes, &parent.meta)?;
    // The hash of the tick that both share; made again, so that a damaged parent is found before it is copied.
    let (mut world, _) = world_at(&parent, args.at, args.at)?;
    if let Some(ticks) = parent.meta.options.ticks {
        world.set_ticks(ticks);
    }
    let mut meta = parent.meta.clone();
    let stamp = jiff::Timestamp::now();
    let word: u16 = rand::random();
    meta.run = format!(
        "{}-{}-{word:04x}",
        meta.scenario,
        stamp.strftime("%Y%m%d-%H%M%S")
    );
    meta.started_unix = stamp.as_second().max(0) as u64;
    meta.host_version = env!("CARGO_PKG_VERSION").into();
    meta.parent = Some(Parent {
        run: parent.meta.run.clone(),
        tick: args.at,
        hash: hash_text(world.hash()),
        // Of its rows the recorder knows.
        history: None,
        changes: recorder::Changes::default(),
    });
    // The fork's own recording says who plays from here on, also to whoever resumes it.
    let dropped = args
        .drop
        .iter()
        .map(|seats| format!("{seats}=builtin:noop"));
    let changed: Vec<Given> = Given::here(dropped.chain(args.changes.agent.drain(..))).collect();
    for given in changed.iter().rev() {
        let rule = cast::override_rule(&given.agent, &given.from).map_err(SetUpError::from)?;
        let (_, agent) = given.agent.split_once('=').unwrap_or_default();
        let fits = |seat: &&mut SeatMeta| cast::matches(&rule.pattern, &seat.seat);
        for seat in meta.seats.iter_mut().filter(fits) {
            seat.agent = agent.trim().to_owned();
            (seat.session, seat.session_from) = (None, None);
        }
    }
    let changes = recorder::Changes {
        seated: parent
            .meta
            .seats
            .iter()
            .zip(&meta.seats)
            .filter(|(before, now)| before.agent != now.agent)
            .map(|(_, now)| (now.seat.clone(), now.agent.clone()))
            .collect(),
        set: settable(&world, args.set)?,
        say: known(&meta.seats, args.say)?,
    };
    if let Some(parent) = &mut meta.parent {
        parent.changes = changes;
    }
    let sessions = sessions(&parent, &world, &mut meta.seats)?;
    meta.options.agents.splice(0..0, changed);
    meta.options.ticks = args.changes.ticks.or(meta.options.ticks);
    let dir = args.out.clone();
    let dir = dir.unwrap_or_else(|| Path::new("runs").join(&meta.run));
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(SetUpError::Occupied(dir).into());
    }
    fs::create_dir_all(&dir).map_err(|source| SetUpError::Io {
        what: format!("making the run's folder {}", dir.display()),
        source,
    })?;
    let lock = RunLock::take(&dir)?;
    fork::branch(&parent, &dir, meta, &sessions)?;
    let recording = Recording::open(&dir)?;
    resume::plan(&args.changes, level, &recording, dir, lock)
}

/// Parameters that the world takes at that tick.
fn settable(
    world: &World,
    set: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, ResumeError> {
    for (name, value) in &set {
        world.could_set(name, value).map_err(ResumeError::Set)?;
    }
    Ok(set)
}

/// Words for seats that there are.
fn known(
    seats: &[SeatMeta],
    say: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, ResumeError> {
    match say
        .iter()
        .find(|(name, _)| !seats.iter().any(|seat| seat.seat == *name))
    {
        None => Ok(say),
        Some((name, _)) => {
            let names: Vec<&str> = seats.iter().map(|seat| seat.seat.as_str()).collect();
            let near =
                nearest(name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
            Err(ResumeError::Seat(
                name.clone(),
                names.join(", "),
                near.unwrap_or_default(),
            ))
        }
    }
}

/// `SEAT: TEXT`.
fn said(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((seat, words)) if !seat.trim().is_empty() && !words.trim().is_empty() => {
            Ok((seat.trim().to_owned(), words.trim().to_owned()))
        }
        _ => Err("write it as \"SEAT: TEXT\"".into()),
    }
}

/// Gives each seat whose program keeps a session one of its own, which goes on from the parent's; the files of those,
/// without what was said later.
fn sessions(
    parent: &Recording,
    world: &World,
    seats: &mut [SeatMeta],
) -> Result<Vec<(u32, Change)>, RecorderError> {
    let mut files = Vec::new();
    for (index, seat) in seats.iter_mut().enumerate() {
        let Some(own) = seat.session.take() else {
            continue;
        };
        seat.session = Some(cast::claude::new_session());
        // A fork that was never started has its parent's session still.
        let known = [Some(own), seat.session_from.take()];
        // Its tick stands there; what follows may have been added to.
        let shown = world.observe(SeatId(index as u32)).text;
        let shown = shown.lines().next().unwrap_or_default();
        for session in known.into_iter().flatten() {
            if let Some((path, content)) =
                parent.session_at(index, &session, world.tick(), shown)?
            {
                files.push((index as u32, Change::file(path, content)));
                seat.session_from = Some(session);
                break;
            }
        }
    }
    Ok(files)
}
