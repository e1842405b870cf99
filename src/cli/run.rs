//! `formicarium run`: a scenario, a cast, a recording and a page.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use formicarium_agents::gateway::{DEFAULT_UPSTREAM, Secret};
use formicarium_agents::isolation::Level;
use formicarium_agents::isolation::uid::UidRange;
use formicarium_agents::{Nursery, StartError, raise_descriptor_limit};
use formicarium_engine::{Bundle, Diagnostic, Mode, Scenario, World};
use thiserror::Error;
use tokio::sync::watch;

use super::{Exit, LogFormat, diagnose, fail, pair};
use crate::cast::{self, Agent, CastError};
use crate::feed::server;
use crate::library::{self, LibraryError};
use crate::run::budget::Budget;
use crate::run::progress::Progress;
use crate::run::prompt::{PromptError, Prompts};
use crate::run::seclusion::{self, Seclusion, SeclusionError, Wanted};
use crate::run::{self, Plan, RunError, Summary, Timing, Upstream};

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
    /// Ticks a second in realtime, 0.01 to 1000.
    #[arg(long, value_parser = hz)]
    hz: Option<f64>,
    /// Longest wait for answers in lockstep, such as 200ms, 10s or 5m. Default: as the scenario says.
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
    /// Port of the page; the next free one if it is taken, 0 for any.
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// Address of the page.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Serve no page.
    #[arg(long)]
    headless: bool,
    /// Print one JSON object on standard output at the end, and nothing else there.
    #[arg(long)]
    json: bool,
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
enum ModeArg {
    /// Wait for all seats, up to the deadline.
    Lockstep,
    /// A fixed rate; nobody is waited for.
    Realtime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durability {
    /// A kill of the host.
    Process,
    /// A power cut too; each tick then waits for the disk.
    Power,
}

#[derive(Debug, Error)]
enum SetUpError {
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
}

/// Open files of the host besides its agents': recording, page, spectators.
const DESCRIPTORS: u64 = 512;
/// Open files of a desk: its folders, its socket, and some who ask.
const DESCRIPTORS_PER_DESK: u64 = 8;
/// Time that spectators get to be told of the end.
const FAREWELL: Duration = Duration::from_millis(300);

/// What is logged unless the environment says otherwise; the MCP library tells every message.
const LOGGED: &str = "info,rmcp=error";

pub(super) fn run(args: RunArgs, logs: LogFormat) -> Exit {
    // Before any thread, and while the process is small: keepers share its pages.
    let nursery = match Nursery::start() {
        Ok(nursery) => nursery,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let current = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let level = match seclusion::level(args.isolation, args.uids) {
        Ok(level) => level,
        Err(error) => return fail(Exit::Usage, &error),
    };
    let plan = match plan(&args, &current, level) {
        Ok(plan) => plan,
        Err(SetUpError::Broken(list, bundle)) => {
            diagnose::print(&list, &bundle);
            return Exit::Usage;
        }
        Err(SetUpError::Cast(CastError::Broken(list))) => {
            let bundle = library::find(&args.scenario)
                .map(|source| source.bundle)
                .unwrap_or_default();
            diagnose::print(&list, &bundle);
            return Exit::Usage;
        }
        Err(error @ (SetUpError::Io { .. } | SetUpError::Agents(_) | SetUpError::Seclusion(_))) => {
            return fail(Exit::Failed, &error);
        }
        Err(error) => return fail(Exit::Usage, &error),
    };
    let progress = Progress::new(plan.timing.last());
    start_logging(logs, &progress);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failed, &error),
    };
    match runtime.block_on(live(&args, plan, nursery, progress)) {
        Ok(summary) => {
            report(&summary, args.json);
            Exit::Good
        }
        Err(error) => fail(Exit::Failed, &error),
    }
}

/// Checks everything and makes the run's folder; starts nothing.
fn plan(args: &RunArgs, current: &Path, level: Level) -> Result<Plan, SetUpError> {
    let source = library::find(&args.scenario)?;
    let broken = |list| SetUpError::Broken(list, source.bundle.clone());
    let scenario = Scenario::load(&source.bundle).map_err(broken)?;
    let params = scenario.params(&args.set).map_err(broken)?;
    let seed = args
        .seed
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut world = World::new(&scenario, &params, seed).map_err(broken)?;
    if let Some(ticks) = args.ticks {
        world.set_ticks(ticks);
    }
    let names: Vec<String> = world.seats().iter().map(|seat| seat.name.clone()).collect();

    let overrides = args
        .agent
        .iter()
        .map(|given| cast::override_rule(given))
        .collect::<Result<Vec<_>, _>>()?;
    let prompts = Prompts::new(&source.bundle)?;
    let casts = cast::names(&source.bundle);
    let cast = match args.cast.as_deref().or(scenario.default_cast()) {
        Some(name) => cast::load(&source.bundle, name)?,
        None if !overrides.is_empty() => cast::Cast {
            name: "none".into(),
            summary: String::new(),
            deadline: None,
            budget: Budget::default(),
            rules: Vec::new(),
        },
        None => return Err(SetUpError::NoCast(casts.join(", "))),
    };
    let timing = Timing::new(
        world.time(),
        args.mode.map(|mode| match mode {
            ModeArg::Lockstep => Mode::Lockstep,
            ModeArg::Realtime => Mode::Realtime,
        }),
        args.hz,
        args.deadline.or(cast.deadline),
        args.ticks,
    );
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
    fs::create_dir_all(&dir).map_err(io(format!("making the run's folder {}", dir.display())))?;
    let folder = match &source.folder {
        Some(folder) => folder.clone(),
        None => library::unpack(&source.name, &dir.join("source"))?,
    };
    let seated = cast::seat(&cast, &folder.join("casts"), &overrides, current, &names)
        .inspect_err(|_| {
            // Ours and useless now; a folder that holds anything else stays.
            let _ = fs::remove_dir(&dir);
        })?;
    let processes = seated
        .iter()
        .filter(|seated| matches!(seated.agent, Agent::Process(_) | Agent::Mcp { .. }))
        .count();
    let desks = match scenario.files(&params) {
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
    let seclusion = Seclusion::new(level, args.uids, processes, &run, &dir)?;
    let cast_name = match overrides.is_empty() {
        true => cast.name,
        false => format!("{} + --agent", cast.name),
    };
    Ok(Plan {
        run,
        dir,
        bundle: source.bundle,
        scenario,
        params,
        set: args.set.clone(),
        seed,
        world,
        seated,
        cast: cast_name,
        casts,
        command: command(args),
        budget: cast.budget,
        prompts,
        timing,
        model: upstream(),
        durability: match args.durability {
            Durability::Process => "process".into(),
            Durability::Power => "power".into(),
        },
        seclusion,
        epoch: run::token(),
    })
}

/// Serves the page and runs to the end.
async fn live(
    args: &RunArgs,
    plan: Plan,
    nursery: Nursery,
    progress: Progress,
) -> Result<Summary, RunError> {
    let (dir, seed, cast) = (plan.dir.clone(), plan.seed, plan.cast.clone());
    let ready = run::prepare(plan, !args.headless)?;
    let mut serving = None;
    let mut hub = None;
    if let Some(feed) = ready.feed() {
        let what = || format!("opening port {} on {}", args.port, args.bind);
        let listener = server::bind(args.bind, args.port)
            .await
            .map_err(|source| RunError::Io {
                what: what(),
                source,
            })?;
        let address = listener.local_addr().map_err(|source| RunError::Io {
            what: what(),
            source,
        })?;
        let token: Arc<str> = run::token().into();
        // A wildcard address is where to listen, not where to go.
        let host = match args.bind.is_unspecified() {
            true => "localhost".to_owned(),
            false if args.bind.is_ipv6() => format!("[{}]", args.bind),
            false => args.bind.to_string(),
        };
        let link = format!("watch it: http://{host}:{}/#token={token}", address.port());
        match args.json {
            true => eprintln!("{link}"),
            false => println!("{link}"),
        }
        hub = Some(feed.hub());
        serving = Some(tokio::spawn(server::serve(listener, feed.hub(), token)));
    }
    tracing::info!(dir = %dir.display(), seed, cast, "recording");
    ready.seclusion().tell();

    let (stopper, stop) = watch::channel(false);
    let signals = tokio::spawn(async move {
        for attempt in 0.. {
            if !signalled().await {
                return;
            }
            if attempt > 0 {
                // Keepers end their agents when the host is gone; the recording is whole up to its last tick.
                std::process::exit(130);
            }
            let _ = stopper.send(true);
        }
    });
    let drawing = tokio::spawn(progress.clone().draw());
    let summary = run::execute(ready, nursery, progress, stop).await;
    drawing.abort();
    signals.abort();
    if hub.is_some_and(|hub| hub.clients() > 0) {
        tokio::time::sleep(FAREWELL).await;
    }
    if let Some(serving) = serving {
        serving.abort();
    }
    summary
}

/// Waits for Ctrl-C or SIGTERM; false if signals cannot be had.
async fn signalled() -> bool {
    let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.is_ok(),
        got = terminate.recv() => got.is_some(),
    }
}

fn report(summary: &Summary, json: bool) {
    if json {
        println!("{}", serde_json::json!(summary));
        return;
    }
    println!(
        "{} after {} ticks, hash {}",
        summary.end, summary.ticks, summary.hash
    );
    let width = summary
        .seats
        .iter()
        .map(|seat| seat.seat.len())
        .max()
        .unwrap_or(0);
    for seat in &summary.seats {
        let trouble = seat
            .trouble
            .as_ref()
            .map_or(String::new(), |words| format!("  ({words})"));
        println!(
            "  {:width$}  {:>10}  {}{trouble}",
            seat.seat, seat.score, seat.status
        );
    }
    println!("recorded in {}", summary.dir.display());
}

fn start_logging(format: LogFormat, progress: &Progress) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("FORMICARIUM_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let progress = progress.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(move || progress.writer());
    // A second logger can only be a test's; the first one stays.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
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

/// The model's API, as the tools of its provider name it in the environment. No child inherits either.
fn upstream() -> Upstream {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Upstream {
        url: set("ANTHROPIC_BASE_URL").unwrap_or_else(|| DEFAULT_UPSTREAM.to_owned()),
        key: set("ANTHROPIC_API_KEY").map(Secret::new),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
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
