//! One run: from a checked plan to its summary.
//!
//! Here everything is wired: world thread, recording, agents, feed, door. `tick` drives it; `door`
//! makes inputs of what agents say; `board` knows who plays. Must not parse arguments or print.

pub mod board;
pub mod budget;
pub mod builtin;
pub mod catalogue;
mod clock;
pub mod door;
mod events;
pub mod fault;
mod hello;
mod interview;
pub mod ledger;
mod line;
pub mod lock;
mod model_door;
mod operator;
mod pace;
pub mod past;
mod players;
mod prepare;
pub mod progress;
pub mod prompt;
pub mod seclusion;
mod shared;
mod shown;
mod tick;
mod timing;
pub mod workspaces;
mod world_thread;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use formicarium_agents::broker::BrokerError;
use formicarium_agents::files::FilesError;
use formicarium_agents::files::cost::TooDear;
use formicarium_agents::gateway::{Bars, Gateway, GatewayError};
use formicarium_agents::mcp::server::McpError;
use formicarium_agents::protocol::{self, End, ToAgent};
use formicarium_agents::{AgentEventBody, Agents, Nursery, Outgoing, SeatPlan};
use formicarium_engine::{Bundle, InputBody, Params, QuestionSpec, Scenario, World};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::cast::{Agent, Seated};
use crate::control::Request;
use crate::recorder::{RecorderError, RunEnd, RunOptions, hash_text};
use board::Listeners;
use budget::Budget;
use clock::Clock;
use door::Door;
use fault::Faults;
use ledger::Ledger;
use lock::RunLock;
pub use model_door::Upstream;
use operator::Operator;
use past::Past;
use players::Players;
pub use prepare::{Ready, prepare};
use progress::Progress;
use prompt::{PromptError, Prompts};
use seclusion::Seclusion;
use tick::{Awaited, TickLoop};
pub use timing::Timing;
use workspaces::{Workspaces, WorkspacesError};
use world_thread::WorldGone;

/// The end of a run that was stopped by hand, and can be resumed.
pub const INTERRUPTED: &str = "interrupted";

/// The end of a run that nobody is left to play.
pub const DESERTED: &str = "every agent has left";

/// Agent events that may wait for the tick loop; readers pause beyond that.
const INBOX: usize = 8192;
/// Time that agents get to leave after `end` before they are killed.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a run is made of.
pub struct Plan {
    /// The run's id.
    pub run: String,
    /// Its folder; exists and is empty but for what the caller put there.
    pub dir: PathBuf,
    /// The scenario's files.
    pub bundle: Bundle,
    /// The scenario, checked.
    pub scenario: Scenario,
    /// Parameters, with the overrides applied.
    pub params: Params,
    /// The overrides.
    pub set: Vec<(String, String)>,
    /// Seed of the world.
    pub seed: u64,
    /// The world at tick 0.
    pub world: World,
    /// Who sits where, in the scenario's order.
    pub seated: Vec<Seated>,
    /// The cast's name.
    pub cast: String,
    /// What [`crate::cast::digest`] says of it.
    pub cast_digest: String,
    /// All casts of the scenario.
    pub casts: Vec<String>,
    /// Command line that starts such a run, without its cast; shown on the page.
    pub command: String,
    /// When ticks are closed.
    pub timing: Timing,
    /// What all seats together may spend.
    pub budget: Budget,
    /// The scenario's prompts.
    pub prompts: Prompts,
    /// Where agents' requests to a model go.
    pub model: Upstream,
    /// `process` or `power`.
    pub durability: String,
    /// How the seats are kept apart.
    pub seclusion: Seclusion,
    /// Random word that names this host process on the feed.
    pub epoch: String,
    /// What was asked for, for a host that goes on with the run.
    pub options: RunOptions,
    /// Instead of playing: what is asked.
    pub asking: Option<Asking>,
    /// What the run goes on from; none where it begins.
    pub past: Option<Past>,
    /// Keeps other hosts out of the run's folder.
    pub lock: RunLock,
}

/// A question that is put in place of a run: agents are shown the present tick with it, and no other tick is made.
#[derive(Debug, Clone)]
pub struct Asking {
    /// What is asked, at that tick.
    pub question: QuestionSpec,
    /// How long answers are waited for.
    pub wait: Duration,
}

/// Why a run could not be done or went wrong.
#[derive(Debug, Error)]
pub enum RunError {
    /// The recording.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The agents could not be started at all.
    #[error(transparent)]
    Agents(#[from] formicarium_agents::StartError),
    /// The world's thread.
    #[error(transparent)]
    World(#[from] WorldGone),
    /// The machine.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// A prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The model door.
    #[error(transparent)]
    Door(#[from] GatewayError),
    /// The seats that are open to MCP clients.
    #[error(transparent)]
    Mcp(#[from] McpError),
    /// The shared files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Their broker.
    #[error("the shared files: {0}")]
    Broker(#[from] BrokerError),
    /// They may come to take more than there is.
    #[error(transparent)]
    TooDear(#[from] TooDear),
    /// The seats' own files.
    #[error(transparent)]
    Workspaces(#[from] WorkspacesError),
    /// A fault of ours.
    #[error("a bug in formicarium: {0}")]
    Bug(String),
}

/// What a run came to; printed by `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The run's id.
    pub run: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Steps done.
    pub ticks: u64,
    /// World hash after the last.
    pub hash: String,
    /// Why it ended.
    pub end: String,
    /// The seats in the scenario's order.
    pub seats: Vec<SeatSummary>,
}

/// What a seat came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeatSummary {
    /// Its name.
    pub seat: String,
    /// Its score.
    pub score: f64,
    /// `playing`, `late`, `absent`, `exited`...: how it stood at the end.
    pub status: Cow<'static, str>,
    /// What was wrong with it, and whose fault it was; none if nothing was.
    pub trouble: Option<String>,
}

/// Starts the agents, runs to the end, tells everybody, closes the recording.
pub async fn execute(
    ready: Ready,
    nursery: Nursery,
    progress: Progress,
    stop: watch::Receiver<bool>,
    requests: mpsc::Receiver<Request>,
) -> Result<Summary, RunError> {
    let Ready {
        plan,
        mut board,
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
        mut since,
    } = ready;
    let seats = plan.seated.len();
    let mut door = Door::new(catalogue.clone(), limits, absent_after, seats);
    door.resume(since.tick, since.seats.iter().map(|seat| seat.missed));
    door.set_pace(plan.timing.mode(), plan.timing.think());
    door.resume_pace(since.busy.into_iter(), since.last_turn);
    let mut clock = Clock::new(&plan.timing, seats);
    for (seat, past) in since.seats.iter().enumerate() {
        clock.restore(seat, &past.thoughts);
    }
    let (mut plans, mut builtins) = (Vec::new(), Vec::new());
    let mut awaited = vec![Awaited::No; seats];
    let has_model = |seated: &Seated| matches!(&seated.agent, Agent::Process(program) if program.adapter.translates());
    let mut ledger = Ledger::new(
        plan.seated
            .iter()
            .map(|seated| (seated.budget.clone(), has_model(seated)))
            .collect(),
        plan.budget.clone(),
    );
    for (seat, past) in since.seats.iter().enumerate() {
        let (tokens, calls, usd) = past.spent;
        ledger.restore(seat, tokens, calls, usd);
    }
    let (model_door, calls, tokens) = model_door::open(&plan.seated, &plan.model).await?;
    let bars = model_door
        .as_ref()
        .map_or_else(Bars::default, Gateway::bars);
    let faults = Faults::new(plan.faults, plan.seed, since.struck, bars);
    let names: Vec<String> = (0..seats).map(|seat| board.name(seat).to_owned()).collect();
    let desks: Vec<bool> = plan
        .seated
        .iter()
        .map(|seated| plan.files.is_some() && seated.has_desk())
        .collect();
    let mut open_seats = Vec::new();
    for (seat, mut seated) in plan.seated.into_iter().enumerate() {
        if let Agent::Process(program) = &mut seated.agent
            && program.adapter.translates()
        {
            let prompt = plan.prompts.render(
                seated.prompt.as_deref(),
                &greeter.hello(seat, interview.specs(seat)),
            )?;
            let door = model_door
                .as_ref()
                .zip(tokens[seat].clone())
                .map(|(door, token)| (door.base_url(), token));
            program.adapter.furnish(prompt, door);
        }
        match seated.agent {
            Agent::Builtin(builtin) => {
                door.seat_builtin(seat);
                board.seat_builtin(seat);
                builtins.push((seat, builtin));
            }
            Agent::Mcp { ready } => {
                awaited[seat] = Awaited::Until(tokio::time::Instant::now() + ready);
                open_seats.push((seat, board.name(seat).to_owned()));
            }
            Agent::Process(mut program) => {
                awaited[seat] = Awaited::Process(Duration::from_millis(program.ready_ms));
                let name = board.name(seat).to_owned();
                let folder = plan.seclusion.folder(&name);
                let mut isolation = plan.seclusion.of(plans.len());
                since
                    .workspaces
                    .lay_out(seat, &name, &folder, &mut program.adapter)?;
                isolation.shared = desks[seat].then(|| plan.dir.join("shared"));
                plans.push((
                    seat,
                    SeatPlan {
                        seat: name,
                        program: *program,
                        folder,
                        run: plan.run.clone(),
                        isolation,
                    },
                ));
            }
        }
    }
    let (sender, inbox) = mpsc::channel(INBOX);
    let prepared = Agents::prepare(plans).await?;
    let files = match &plan.files {
        Some(spec) => {
            let desks = shared::Desks {
                wanted: &desks,
                names: &names,
                open: &open_seats,
            };
            let at = (since.tick, since.taken);
            let (files, standing) =
                shared::open(spec, &plan.dir, &recorder, desks, &prepared, at).await?;
            if let Some(feed) = &feed {
                feed.files(files.shown(standing));
            }
            Some(files)
        }
        None => None,
    };
    let workspaces = Workspaces::start(&prepared, since.workspaces, recorder.workspaces())?;
    let agents = Players {
        clients: players::open(&open_seats, &plan.dir, sender.clone()).await?,
        processes: prepared.start(nursery, sender.clone())?,
    };
    let of = |name: &str| names.iter().position(|known| known == name);
    for (name, value) in since.changes.set {
        door.set(name, value);
    }
    for (name, agent) in since.changes.seated {
        if let Some(seat) = of(&name) {
            door.fact(seat, InputBody::Seated { agent });
        }
    }
    for (name, text) in since.changes.say {
        if let Some(seat) = of(&name) {
            door.told(seat, text);
        }
    }
    let hopeful = vec![true; seats];
    let mut run = TickLoop {
        timing: plan.timing,
        seed: plan.seed,
        catalogue,
        door,
        clock,
        faults,
        board,
        world,
        recorder,
        feed,
        agents,
        files,
        workspaces,
        inbox,
        _sender: sender,
        builtins,
        greeter,
        interview,
        progress,
        stop,
        operator: Operator::new(requests, meta),
        is_running: false,
        hopeful,
        awaited,
        ledger,
        calls,
        scores,
        hash,
        since: Duration::from_micros(since.at_us),
        ended: since.ended,
        wait: plan.wait,
        pace: since.pace,
    };
    let outcome = run.run().await;
    if let Ok(reason) = &outcome
        && plan.wait.is_none()
    {
        run.ask_at_end(reason).await;
    }
    let TickLoop {
        door,
        board,
        recorder,
        feed,
        agents,
        files,
        mut workspaces,
        mut inbox,
        mut ledger,
        mut calls,
        scores,
        hash,
        progress,
        _sender,
        ..
    } = run;
    drop(_sender);
    progress.finish();
    if let Some(files) = files {
        files.close().await;
    }
    let reason = match &outcome {
        Ok(reason) => reason.clone(),
        Err(error) => error.to_string(),
    };
    for (seat, score) in scores.iter().enumerate() {
        let end = ToAgent::End(End {
            reason: reason.clone(),
            score: *score,
            tick: door.tick(),
        });
        agents.send(seat, Outgoing::End(protocol::encode(&end).into()));
    }
    let to = Listeners {
        recorder: &recorder,
        feed: feed.as_ref(),
        tick: door.tick(),
    };
    // What a turn has cost is told at its end, and that may be now.
    let last_words = async {
        while let Some(event) = inbox.recv().await {
            match event.body {
                AgentEventBody::Cost(cost) => ledger.turn(event.seat, &cost, to),
                AgentEventBody::Transcript(line) => ledger.transcript(event.seat, line, to),
                _ => {}
            }
        }
    };
    tokio::join!(agents.shutdown(FAREWELL), last_words);
    // As they are left, now that nobody writes there any more.
    for seat in 0..seats {
        workspaces.acted(seat);
    }
    workspaces.look(door.tick());
    workspaces.close().await;
    if let Some(door) = model_door {
        door.stop().await;
        while let Some(call) = calls.recv().await {
            ledger.call(&call, to);
        }
    }
    let words: Vec<_> = (0..seats).map(|seat| board.words(seat)).collect();
    let end = RunEnd {
        reason: reason.clone(),
        ticks: door.tick(),
        hash: hash_text(hash),
        scores: scores.clone(),
        status: words
            .iter()
            .map(|(status, _)| (*status).to_owned())
            .collect(),
    };
    if let Some(feed) = &feed {
        feed.end(end.ticks, reason, scores.clone());
    }
    let finished = recorder.finish(end.clone()).await;
    outcome?;
    finished?;
    Ok(Summary {
        run: plan.run,
        dir: plan.dir,
        ticks: end.ticks,
        hash: end.hash,
        end: end.reason,
        seats: words
            .into_iter()
            .enumerate()
            .map(|(seat, (status, trouble))| SeatSummary {
                seat: board.name(seat).to_owned(),
                score: scores[seat],
                status: status.into(),
                trouble,
            })
            .collect(),
    })
}

/// 128 random bits, hexadecimal: for whoever may come in.
pub fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
