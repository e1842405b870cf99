//! `formicarium run`: a scenario, a cast, a recording and a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use formicarium_agents::Nursery;
use formicarium_agents::isolation::Level;
use formicarium_agents::isolation::uid::UidRange;
use formicarium_engine::Mode;

use super::assemble::{self, Given, SetUpError};
use super::live::{self, LiveArgs};
use super::{Exit, LogFormat, fail, pair};
use crate::cast;
use crate::library;
use crate::recorder::{self, RunOptions};
use crate::run::Plan;
use crate::run::lock::RunLock;
use crate::run::seclusion::{self, Wanted};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A scenario's folder, or the name of a shipped one.
    scenario: String,
    /// Who sits where: the name of one of the scenario's casts. Default: the one that the scenario names.
    #[arg(long)]
    cast: Option<String>,
    /// Seat an agent, before the cast does; the pattern may have * and ?. May be given again.
    #[arg(long, value_name = "SEATS=COMMAND")]
    agent: Vec<String>,
    /// Seed of the world's chance. Default: a random one, which is printed and recorded.
    #[arg(long)]
    seed: Option<u64>,
    /// When ticks are closed. Default: as the scenario says.
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Ticks a second in realtime and async, 0.01 to 1000.
    #[arg(long, value_parser = hz)]
    hz: Option<f64>,
    /// Longest wait for answers in lockstep and turns, such as 200ms, 10s or 5m. Default: as the scenario says.
    #[arg(long, value_parser = duration)]
    deadline: Option<Duration>,
    /// Change a parameter of the scenario; may be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Last tick; 0 = no end. Default: as the scenario says.
    #[arg(long)]
    ticks: Option<u64>,
    /// Folder of the recording; must be empty or not there. Default: runs/<id>.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    live: LiveArgs,
    /// How the kernel keeps agents apart. Default: uid as root, landlock otherwise; what cannot be enforced ends the run
    /// before it begins.
    #[arg(long, value_enum)]
    isolation: Option<Wanted>,
    /// Users that seats may have, at isolation level uid.
    #[arg(long, value_name = "FIRST-LAST", default_value_t = UidRange::DEFAULT)]
    uids: UidRange,
    /// What a recording survives.
    #[arg(long, value_enum, default_value_t = Durability::Process)]
    durability: Durability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeArg {
    /// Wait for all seats, up to the deadline.
    Lockstep,
    /// A fixed rate; nobody is waited for.
    Realtime,
    /// A fixed rate; a seat is shown the world when it has answered, and is never late.
    Async,
    /// One seat a tick, one after the other, each up to the deadline.
    Turns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Durability {
    /// A kill of the host.
    Process,
    /// A power cut too; each tick then waits for the disk.
    Power,
}

impl Durability {
    /// Its word in recordings.
    pub(super) fn word(self) -> &'static str {
        match self {
            Durability::Process => "process",
            Durability::Power => "power",
        }
    }
}

pub(super) fn run(args: RunArgs, logs: LogFormat) -> Exit {
    // Before any thread, and while the process is small: keepers share its pages.
    let nursery = match Nursery::start() {
        Ok(nursery) => nursery,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let level = match seclusion::level(args.isolation, args.uids) {
        Ok(level) => level,
        Err(error) => return fail(Exit::Usage, &error),
    };
    let plan = match plan(&args, level) {
        Ok(plan) => plan,
        Err(error) => return error.tell(),
    };
    live::drive(plan, &args.live, nursery, logs)
}

/// Checks everything and makes the run's folder; starts nothing.
fn plan(args: &RunArgs, level: Level) -> Result<Plan, SetUpError> {
    let source = library::find(&args.scenario)?;
    let scenario = assemble::load(&source.bundle)?;
    let seed = args
        .seed
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let word: u16 = rand::random();
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let run = format!("{}-{stamp}-{word:04x}", scenario.name());
    let dir = args
        .out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(&run));
    // Agents are started elsewhere: their folders must not depend on the current one.
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let io = |what: String| move |source| SetUpError::Io { what, source };
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(SetUpError::Occupied(dir));
    }
    let options = RunOptions {
        cast: args.cast.clone(),
        agents: recorder::Given::here(args.agent.clone()).collect(),
        deadline_ms: args.deadline.map(|deadline| deadline.as_millis() as u64),
        ticks: args.ticks,
        folder: source
            .folder
            .as_ref()
            .and_then(|folder| std::path::absolute(folder).ok()),
    };
    let given = Given {
        run,
        dir: dir.clone(),
        bundle: source.bundle,
        scenario,
        set: args.set.clone(),
        seed,
        mode: args.mode.map(|mode| match mode {
            ModeArg::Lockstep => Mode::Lockstep,
            ModeArg::Realtime => Mode::Realtime,
            ModeArg::Async => Mode::Async,
            ModeArg::Turns => Mode::Turns,
        }),
        hz: args.hz,
        level,
        uids: args.uids,
        durability: args.durability.word().to_owned(),
        command: command(args),
        options,
    };
    // A fault of scenario or cast leaves no folder behind.
    let checked = given.check()?;
    fs::create_dir_all(&dir).map_err(io(format!("making the run's folder {}", dir.display())))?;
    let lock = RunLock::take(&dir)?;
    let folder = match source.folder {
        Some(folder) => folder,
        None => library::unpack(&source.name, &dir.join("source"))?,
    };
    checked.seat(&folder, lock).inspect_err(|_| {
        // Ours and useless now; a folder that holds anything else stays.
        let _ = fs::remove_file(dir.join("run.lock"));
        let _ = fs::remove_dir(&dir);
    })
}

/// This run's command line without its cast, for the page: how to start another one like it.
fn command(args: &RunArgs) -> String {
    let program = std::env::args().next().unwrap_or_default();
    // An absolute path is nobody's business but its owner's.
    let program = match Path::new(&program)
        .file_name()
        .and_then(|name| name.to_str())
    {
        Some(name) if program.starts_with('/') => name.to_owned(),
        _ => program,
    };
    let mut words = vec![program, "run".to_owned(), args.scenario.clone()];
    let mut option = |name: &str, value: Option<String>| {
        words.extend(
            value
                .map(|value| [format!("--{name}"), value])
                .into_iter()
                .flatten(),
        );
    };
    option(
        "mode",
        args.mode
            .and_then(|mode| Some(mode.to_possible_value()?.get_name().to_owned())),
    );
    option("hz", args.hz.map(|hz| hz.to_string()));
    option("ticks", args.ticks.map(|ticks| ticks.to_string()));
    for (name, value) in &args.set {
        option("set", Some(format!("{name}={value}")));
    }
    // Only a zero byte cannot be quoted, and no argument holds one.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default()
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    cast::read::duration_ms(text)
        .filter(|ms| (1..=86_400_000).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| "a duration such as 200ms, 10s or 5m, up to 24 hours".to_owned())
}

fn hz(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|hz| (0.01..=1000.0).contains(hz))
        .ok_or_else(|| "a number from 0.01 to 1000".to_owned())
}
