//! From what was asked for to a plan: scenario, cast, seats, users, time. The same for a run that begins and one that goes
//! on.
//!
//! Must not know the command line, nor start anything.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formicarium_agents::isolation::Level;
use formicarium_agents::isolation::uid::UidRange;
use formicarium_agents::{AdapterPlan, StartError, raise_descriptor_limit};
use formicarium_engine::{Bundle, Diagnostic, Mode, Params, Scenario, World};
use thiserror::Error;

use super::{Exit, diagnose, fail, live};
use crate::cast::{self, Agent, Cast, CastError, Rule};
use crate::library::LibraryError;
use crate::recorder::{RunOptions, SeatMeta};
use crate::run::budget::Budget;
use crate::run::lock::{LockError, RunLock};
use crate::run::prompt::{PromptError, Prompts};
use crate::run::seclusion::{Seclusion, SeclusionError};
use crate::run::{self, Plan, Timing};

#[derive(Debug, Error)]
pub(super) enum SetUpError {
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("the scenario is broken")]
    Broken(Vec<Diagnostic>, Bundle),
    #[error(transparent)]
    Cast(#[from] CastError),
    #[error(
        "the scenario names no cast; choose one with --cast (it has: {0}), or seat agents with --agent '*=COMMAND'"
    )]
    NoCast(String),
    #[error("{path}: is there and not empty; --out wants a folder of its own", path = .0.display())]
    Occupied(PathBuf),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error(transparent)]
    Agents(#[from] StartError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Seclusion(#[from] SeclusionError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the cast is broken")]
    BrokenCast(Vec<Diagnostic>, Bundle),
}

impl SetUpError {
    /// Prints it; the exit status that goes with it.
    pub(super) fn tell(self) -> Exit {
        match self {
            SetUpError::Broken(list, bundle) | SetUpError::BrokenCast(list, bundle) => {
                diagnose::print(&list, &bundle);
                Exit::Usage
            }
            SetUpError::Io { .. }
            | SetUpError::Agents(_)
            | SetUpError::Seclusion(_)
            | SetUpError::Lock(_) => fail(Exit::Failed, &self),
            _ => fail(Exit::Usage, &self),
        }
    }
}

/// Open files of the host besides its agents': recording, page, spectators.
const DESCRIPTORS: u64 = 512;
/// Open files of a desk: its folders, its socket, and some who ask.
const DESCRIPTORS_PER_DESK: u64 = 8;

/// What was asked for.
pub(super) struct Given {
    pub(super) run: String,
    /// The run's folder, absolute.
    pub(super) dir: PathBuf,
    pub(super) bundle: Bundle,
    pub(super) scenario: Scenario,
    pub(super) set: Vec<(String, String)>,
    pub(super) seed: u64,
    pub(super) mode: Option<Mode>,
    pub(super) hz: Option<f64>,
    pub(super) level: Level,
    pub(super) uids: UidRange,
    pub(super) durability: String,
    pub(super) command: String,
    pub(super) options: RunOptions,
}

/// The same, found to be without fault; nobody is seated yet.
pub(super) struct Checked {
    given: Given,
    params: Params,
    world: World,
    cast: Cast,
    casts: Vec<String>,
    overrides: Vec<Rule>,
    prompts: Prompts,
    timing: Timing,
}

/// A bundle's scenario.
pub(super) fn load(bundle: &Bundle) -> Result<Scenario, SetUpError> {
    Scenario::load(bundle).map_err(|list| SetUpError::Broken(list, bundle.clone()))
}

impl Given {
    /// Checks all that can be checked without a folder.
    pub(super) fn check(self) -> Result<Checked, SetUpError> {
        let broken = |list| SetUpError::Broken(list, self.bundle.clone());
        let params = self.scenario.params(&self.set).map_err(broken)?;
        let mut world = World::new(&self.scenario, &params, self.seed).map_err(broken)?;
        if let Some(ticks) = self.options.ticks {
            world.set_ticks(ticks);
        }
        let agents = self.options.agents.iter();
        let overrides = agents
            .map(|given| cast::override_rule(&given.agent, &given.from))
            .collect::<Result<Vec<_>, _>>()?;
        let prompts = Prompts::new(&self.bundle)?;
        let casts = cast::names(&self.bundle);
        let name = self.options.cast.as_deref();
        let cast = match name.or(self.scenario.default_cast()) {
            Some(name) => cast::load(&self.bundle, name).map_err(|error| match error {
                CastError::Broken(list) => SetUpError::BrokenCast(list, self.bundle.clone()),
                error => error.into(),
            })?,
            None if !overrides.is_empty() => Cast {
                name: "none".into(),
                summary: String::new(),
                deadline: None,
                budget: Budget::default(),
                rules: Vec::new(),
            },
            None => return Err(SetUpError::NoCast(casts.join(", "))),
        };
        let deadline = self.options.deadline_ms.map(Duration::from_millis);
        let timing = Timing::new(
            world.time(),
            self.mode,
            self.hz,
            deadline.or(cast.deadline),
            self.options.ticks,
        );
        Ok(Checked {
            params,
            world,
            cast,
            casts,
            overrides,
            prompts,
            timing,
            given: self,
        })
    }
}

impl Checked {
    /// Seats the agents; `folder` is the scenario's, from which their programs are copied.
    pub(super) fn seat(self, folder: &Path, lock: RunLock) -> Result<Plan, SetUpError> {
        let Checked {
            given,
            params,
            world,
            cast,
            casts,
            overrides,
            prompts,
            timing,
        } = self;
        let names: Vec<String> = world.seats().iter().map(|seat| seat.name.clone()).collect();
        let seated = cast::seat(&cast, &folder.join("casts"), &overrides, &names)?;
        let processes = seated
            .iter()
            .filter(|seated| matches!(seated.agent, Agent::Process(_) | Agent::Mcp { .. }))
            .count();
        let desks = match given.scenario.files(&params) {
            Some(_) => {
                DESCRIPTORS_PER_DESK * seated.iter().filter(|seat| seat.has_desk()).count() as u64
            }
            None => 0,
        };
        raise_descriptor_limit(processes, DESCRIPTORS + desks)?;
        let processes = seated
            .iter()
            .filter(|seated| matches!(seated.agent, Agent::Process(_)))
            .count();
        let seclusion = Seclusion::new(given.level, given.uids, processes, &given.run, &given.dir)?;
        let cast_digest = cast::digest(
            &given.bundle,
            &cast.name,
            given
                .options
                .agents
                .iter()
                .map(|given| given.agent.as_str()),
        );
        let cast_name = match overrides.is_empty() {
            true => cast.name,
            false => format!("{} + --agent", cast.name),
        };
        Ok(Plan {
            run: given.run,
            dir: given.dir,
            bundle: given.bundle,
            scenario: given.scenario,
            params,
            set: given.set,
            seed: given.seed,
            world,
            seated,
            cast: cast_name,
            cast_digest,
            casts,
            command: given.command,
            budget: cast.budget,
            prompts,
            timing,
            model: live::upstream(),
            durability: given.durability,
            seclusion,
            epoch: run::token(),
            options: given.options,
            asking: None,
            past: None,
            lock,
        })
    }
}

/// Gives the agents of a plan the sessions that earlier processes of their seats had.
pub(super) fn with_sessions(plan: &mut Plan, seats: &[SeatMeta], begun: &[bool]) {
    for ((seated, seat), begun) in plan.seated.iter_mut().zip(seats).zip(begun) {
        if let Agent::Process(program) = &mut seated.agent
            && let AdapterPlan::Claude(claude) = &mut program.adapter
            && let Some(session) = &seat.session
        {
            claude.session.clone_from(session);
            claude.has_session = *begun;
            claude.fork_of.clone_from(&seat.session_from);
        }
    }
}
