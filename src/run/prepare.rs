//! The first half of a run: from a checked plan to a recording, an open feed, and a world on its thread.
//!
//! Nobody has been started yet. Must not know agents' processes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use formicarium_agents::AdapterPlan;
use formicarium_agents::protocol::ScenarioName;
use formicarium_engine::{Bundle, FaultSpec, FilesSpec, SEMANTICS, SeatId, World};

use super::board::Board;
use super::budget::Budget;
use super::catalogue::Catalogue;
use super::door::Limits;
use super::fault::Active;
use super::hello::Greeter;
use super::interview::Interview;
use super::lock::RunLock;
use super::past::{Past, SeatPast};
use super::prompt::Prompts;
use super::seclusion::Seclusion;
use super::world_thread::WorldThread;
use super::{Plan, RunError, Timing, Upstream, workspaces};
use crate::cast::{Agent, Seated};
use crate::feed;
use crate::feed::handover::Feed;
use crate::feed::statics;
use crate::recorder::pace::Pace;
use crate::recorder::replay::short;
use crate::recorder::writer::{Outcome, Recorder};
use crate::recorder::{Changes, Note, Provenance, RunMeta, SeatMeta};

/// A run ready to begin: recorded, with its feed open, agents not started yet.
#[derive(Debug)]
pub struct Ready {
    pub(super) plan: PlanRest,
    pub(super) board: Board,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) limits: Limits,
    pub(super) absent_after: u32,
    pub(super) greeter: Greeter,
    pub(super) interview: Interview,
    pub(super) recorder: Recorder,
    pub(super) feed: Option<Feed>,
    pub(super) world: WorldThread,
    pub(super) scores: Vec<f64>,
    pub(super) hash: u128,
    pub(super) meta: RunMeta,
    pub(super) since: Since,
}

/// What the seats and the clock go on from; all of it nothing where the run begins.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub(super) tick: u64,
    pub(super) seats: Vec<SeatPast>,
    pub(super) taken: u64,
    pub(super) last_turn: Option<usize>,
    /// Faults that last.
    pub(super) struck: Vec<Active>,
    /// By seat: ticks until what it thought about takes effect.
    pub(super) busy: Vec<u64>,
    pub(super) at_us: u64,
    pub(super) ended: Option<String>,
    pub(super) workspaces: workspaces::Past,
    pub(super) changes: Changes,
    /// What was recorded since the last keyframe.
    pub(super) pace: Pace,
}

/// What is left of a plan once the world has moved to its thread.
#[derive(Debug)]
pub(super) struct PlanRest {
    pub(super) run: String,
    pub(super) dir: PathBuf,
    pub(super) seed: u64,
    pub(super) seated: Vec<Seated>,
    pub(super) timing: Timing,
    pub(super) model: Upstream,
    pub(super) prompts: Prompts,
    pub(super) budget: Budget,
    /// What the scenario says of its shared files.
    pub(super) files: Option<FilesSpec>,
    /// Nothing is played; answers are waited for so long.
    pub(super) wait: Option<Duration>,
    /// What goes wrong for its seats.
    pub(super) faults: Vec<FaultSpec>,
    /// Holds the users of the seats until the run is over.
    pub(super) seclusion: Seclusion,
    /// Held until the run is over.
    pub(super) _lock: RunLock,
}

impl Ready {
    /// How the seats are kept apart.
    pub fn seclusion(&self) -> &Seclusion {
        &self.plan.seclusion
    }

    /// The feed, for the server.
    pub fn feed(&self) -> Option<&Feed> {
        self.feed.as_ref()
    }
}

/// Opens the recording and the feed (if `watched`), and moves the world to its thread.
pub fn prepare(mut plan: Plan, watched: bool) -> Result<Ready, RunError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| RunError::Io { what, source }
    };
    let world = plan.world;
    let names: Vec<String> = world.seats().iter().map(|seat| seat.name.clone()).collect();
    let catalogue = Arc::new(Catalogue::new(world.catalogue().to_vec(), &names));
    let given = plan.scenario.limits(&plan.params);
    let limits = Limits {
        actions: given.actions,
        speech: given.speech,
    };
    let (mode, hz, ticks) = plan.timing.words();
    let meta = RunMeta {
        run: plan.run.clone(),
        scenario: plan.scenario.name().to_owned(),
        scenario_digest: blake3::Hash::from(plan.bundle.digest())
            .to_hex()
            .to_string(),
        seed: plan.seed,
        set: plan.set.clone(),
        mode: mode.into(),
        hz,
        ticks,
        cast: plan.cast.clone(),
        isolation: plan.seclusion.level().to_string(),
        durability: plan.durability.clone(),
        semantics: SEMANTICS,
        host_version: env!("CARGO_PKG_VERSION").into(),
        started_unix: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        seats: world
            .seats()
            .iter()
            .zip(&plan.seated)
            .map(|(seat, seated)| {
                let (session, session_from) = session(seated);
                SeatMeta {
                    seat: seat.name.clone(),
                    group: seat.group.clone(),
                    agent: seated.label.clone(),
                    session,
                    session_from,
                }
            })
            .collect(),
        parts: world
            .parts()
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        metrics: plan
            .scenario
            .metrics()
            .iter()
            .map(|metric| metric.name.clone())
            .collect(),
        parent: None,
        options: plan.options.clone(),
        provenance: Some(Provenance {
            cast_digest: plan.cast_digest,
            host_digest: host_digest().unwrap_or_default(),
            params: serde_json::to_value(&plan.params).unwrap_or_default(),
        }),
    };
    let hash = world.hash();
    let (recorder, pace, meta) = record(&plan.dir, meta, &plan.bundle, &world, plan.past.as_mut())?;

    let scores = world.scores();
    let picture = world.picture();
    let (mut since, shown) = match plan.past {
        Some(past) => split(past),
        None => <_>::default(),
    };
    since.pace = pace;
    let feed = if watched {
        let statics = statics::of(
            &plan.scenario,
            &plan.params,
            &meta,
            (&plan.casts, &plan.command),
            &picture,
            catalogue.specs(),
        );
        Some(
            Feed::start(
                &statics,
                &picture,
                scores.clone(),
                plan.epoch,
                (shown, ticks),
            )
            .map_err(io("starting the feed's thread"))?,
        )
    } else {
        None
    };
    let scenario = ScenarioName {
        name: plan.scenario.name().to_owned(),
        title: plan.scenario.title().to_owned(),
    };
    let files = plan.scenario.files(&plan.params);
    let rules = plan.scenario.rules_text(&plan.params);
    let wait = plan.asking.as_ref().map(|asking| asking.wait);
    let questions = match plan.asking {
        Some(asking) => vec![asking.question],
        None => plan.scenario.questions(&plan.params),
    };
    let interview = Interview::new(questions, world.seats());
    let mut greeter = Greeter::new(
        &plan.run,
        scenario,
        rules,
        &catalogue,
        limits,
        &plan.timing,
        world.seats().to_vec(),
    );
    if let Some(spec) = &files {
        let desks = plan.seated.iter().map(Seated::has_desk).collect();
        greeter.share(super::shared::terms(spec).info(), desks);
    }
    for (seat, past) in since.seats.iter().enumerate() {
        if let Some(state) = &past.remembered {
            greeter.remember(seat, state.clone());
        }
    }
    greeter.resume(since.seats.iter().map(|seat| seat.resumed).collect());
    let shown = plan
        .seated
        .iter()
        .map(|seated| !matches!(seated.agent, Agent::Builtin(_)))
        .collect();
    let absent_after = world.time().absent_after;
    since.busy = (0..names.len() as u32)
        .map(|seat| world.busy(SeatId(seat)))
        .collect();
    let world = WorldThread::start(world, catalogue.clone(), shown)
        .map_err(io("starting the world's thread"))?;
    Ok(Ready {
        plan: PlanRest {
            run: plan.run,
            dir: plan.dir,
            seed: plan.seed,
            seated: plan.seated,
            timing: plan.timing,
            model: plan.model,
            prompts: plan.prompts,
            budget: plan.budget,
            files,
            wait,
            faults: plan.scenario.faults(&plan.params),
            seclusion: plan.seclusion,
            _lock: plan.lock,
        },
        board: Board::new(&names),
        catalogue,
        limits,
        absent_after,
        greeter,
        interview,
        recorder,
        feed,
        world,
        scores,
        hash,
        meta,
        since,
    })
}

/// The recording: a new one, or that of the past, with what its last host could not write any more. And what stands in it
/// since the last keyframe.
fn record(
    dir: &Path,
    meta: RunMeta,
    bundle: &Bundle,
    world: &World,
    past: Option<&mut Past>,
) -> Result<(Recorder, Pace, RunMeta), RunError> {
    let begin = |recorder: &Recorder, world: &World| {
        let parts = world.parts();
        let parts = parts.iter().map(|(_, part)| short(*part)).collect();
        let keyframe = world.keyframe();
        let size = keyframe.len();
        recorder.start(world.hash(), parts, keyframe);
        size
    };
    let Some(past) = past else {
        let recorder = Recorder::create(&dir.join("run.db"), &meta, bundle)?;
        let size = begin(&recorder, world);
        return Ok((recorder, Pace::behind(size), meta));
    };
    let (recorder, before) = Recorder::reopen(dir)?;
    // What may be other than it was; the rest says where the run comes from.
    let meta = RunMeta {
        ticks: meta.ticks,
        cast: meta.cast,
        isolation: meta.isolation,
        durability: meta.durability,
        seats: meta.seats,
        options: meta.options,
        ..before
    };
    recorder.go_on(meta.clone());
    let mut pace = past.pace;
    if let Some(first) = past.unstarted.take() {
        pace = pace.of_size(begin(&recorder, &first));
    }
    for output in past.unwritten.drain(..) {
        recorder.outcome(Outcome {
            output: Arc::new(output),
            at_us: past.at_us,
            step_us: 0,
        });
    }
    if past.tick > 0 && pace.is_due() {
        // The last host was killed between the tick and its keyframe.
        let keyframe = world.keyframe();
        pace = Pace::behind(keyframe.len());
        recorder.keyframe(past.tick, keyframe);
    }
    recorder.note(Note {
        tick: past.tick,
        seat: None,
        kind: "resumed",
        text: format!("the run goes on from tick {}", past.tick),
        data: String::new(),
    });
    Ok((recorder, pace, meta))
}

/// The session of a seat's program, where the host chooses it, and the one that it goes on from.
fn session(seated: &Seated) -> (Option<String>, Option<String>) {
    match &seated.agent {
        Agent::Process(program) => match &program.adapter {
            AdapterPlan::Claude(plan) => (Some(plan.session.clone()), plan.fork_of.clone()),
            AdapterPlan::Acp(_) | AdapterPlan::Stdio => (None, None),
        },
        Agent::Builtin(_) | Agent::Mcp { .. } => (None, None),
    }
}

fn split(past: Past) -> (Since, feed::picture::Past) {
    let shown = feed::picture::Past {
        tick: past.tick,
        metrics: past.metrics,
    };
    let since = Since {
        tick: past.tick,
        seats: past.seats,
        taken: past.taken,
        last_turn: past.last_turn,
        struck: past.struck,
        busy: Vec::new(),
        at_us: past.at_us,
        ended: past.ended,
        workspaces: past.workspaces,
        changes: past.changes,
        pace: past.pace,
    };
    (since, shown)
}

/// BLAKE3 of the program that runs, whatever stands at its path by now.
fn host_digest() -> std::io::Result<String> {
    let mut program = std::fs::File::open("/proc/self/exe")?;
    let mut hasher = blake3::Hasher::new();
    // Large pieces are digested several times as fast as small ones.
    let mut piece = vec![0; 1 << 20];
    loop {
        match program.read(&mut piece)? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            length => hasher.update(&piece[..length]),
        };
    }
}
