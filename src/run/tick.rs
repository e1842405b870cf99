//! The tick loop: the only place that selects on the outside and puts it in order.
//!
//! One tick in a straight line: gather, close the door, step and commit at once, and only when both
//! are done hand out observations, append the outcome, feed the spectators.

use std::sync::Arc;
use std::time::Duration;

use formicarium_agents::gateway::ModelCall;
use formicarium_agents::protocol::{Act, FromAgent};
use formicarium_agents::{AgentEvent, AgentEventBody, FaultKind, Outgoing, ProcessStatus};
use formicarium_engine::TickOutput;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::board::{Board, Listeners, Status};
use super::builtin::{Builtin, Move};
use super::catalogue::Catalogue;
use super::door::{Asked, Change, Door, DoorResult};
use super::hello::Greeter;
use super::ledger::Ledger;
use super::players::Players;
use super::progress::{Progress, Standings};
use super::world_thread::WorldThread;
use super::{RunError, Timing};
use crate::feed::hub::Feed;
use crate::feed::wire::Phase;
use crate::recorder::writer::{Outcome, Recorder};

/// Ticks between two keyframes.
const KEYFRAME_EVERY: u64 = 256;
/// Agent events handled at once.
const EVENTS: usize = 256;

/// Everything a run consists of while it runs.
pub(super) struct TickLoop {
    pub(super) timing: Timing,
    pub(super) seed: u64,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) door: Door,
    pub(super) board: Board,
    pub(super) world: WorldThread,
    pub(super) recorder: Recorder,
    pub(super) feed: Option<Feed>,
    pub(super) agents: Players,
    pub(super) inbox: mpsc::Receiver<AgentEvent>,
    /// Keeps the inbox open when no seat has a process.
    pub(super) _sender: mpsc::Sender<AgentEvent>,
    pub(super) builtins: Vec<(usize, Builtin)>,
    pub(super) greeter: Greeter,
    pub(super) progress: Progress,
    pub(super) stop: watch::Receiver<bool>,
    /// Per seat: its process may still come back.
    pub(super) hopeful: Vec<bool>,
    /// Per seat: waited for before the first tick.
    pub(super) awaited: Vec<Awaited>,
    pub(super) ledger: Ledger,
    /// Reports of the model door.
    pub(super) calls: mpsc::Receiver<ModelCall>,
    pub(super) scores: Vec<f64>,
    pub(super) hash: u128,
}

/// Whether the first tick waits for a seat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Awaited {
    /// No: it is ready, has had its time, or is beyond hope.
    No,
    /// Yes, for as long as its process may take to say `ready`; the process's own timer ends that.
    Process(Duration),
    /// Yes, until then: its process ended and is started again, or it is open to clients.
    Until(Instant),
}

/// Why a tick was closed.
enum Closed {
    /// All have answered, or the time is over.
    Tick,
    /// The run ends before it.
    End(String),
}

impl TickLoop {
    /// Runs until the end; returns its reason.
    pub(super) async fn run(&mut self) -> Result<String, RunError> {
        let begin = Instant::now();
        self.await_agents().await;
        tracing::info!(
            ready = self.board.count(Status::Ready),
            away = self.hopeful.len() - self.board.count(Status::Ready),
            ms = begin.elapsed().as_millis() as u64,
            "agents are ready"
        );
        if *self.stop.borrow() {
            return Ok("interrupted".into());
        }
        for seat in 0..self.hopeful.len() {
            if self.board.status(seat) == Status::Ready {
                self.set(seat, Status::Playing, None);
            }
        }
        if let Some(feed) = &self.feed {
            feed.phase(Phase::Running);
        }
        let begin = Instant::now();
        self.world.observe(Vec::new(), self.timing.deadline_ms());
        self.hand_out(true).await?;
        let mut due = Instant::now() + self.timing.window();
        loop {
            self.play_builtins();
            if let Closed::End(reason) = self.gather(due).await {
                return Ok(reason);
            }
            if let Some(reason) = self.tick(begin).await? {
                return Ok(reason);
            }
            due = self.timing.next(due);
        }
    }

    /// Waits until every seat is ready, has timed out or is beyond hope.
    async fn await_agents(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        let begin = Instant::now();
        while self.awaited.iter().any(|seat| *seat != Awaited::No) {
            let due = self.awaited.iter().filter_map(|seat| match seat {
                Awaited::Until(due) => Some(*due),
                _ => None,
            });
            let due = due.min();
            tokio::select! {
                _ = self.inbox.recv_many(&mut events, EVENTS) => {
                    for event in events.drain(..) {
                        self.on_event(event, false);
                    }
                    self.show_progress();
                }
                () = tokio::time::sleep_until(due.unwrap_or(begin)), if due.is_some() => {
                    let now = Instant::now();
                    for seat in 0..self.awaited.len() {
                        if matches!(self.awaited[seat], Awaited::Until(due) if due <= now) {
                            self.awaited[seat] = Awaited::No;
                            self.nobody_came(seat);
                        }
                    }
                }
                _ = self.stop.changed() => return,
            }
        }
    }

    /// The run begins without a client at a seat that is open to them.
    fn nobody_came(&mut self, seat: usize) {
        if self.agents.is_open_to_clients(seat) && self.board.status(seat) == Status::Starting {
            let words = "no client has come yet; one can take the seat at any time";
            tracing::warn!(
                seat = self.board.name(seat),
                "{words}; the run begins without it"
            );
            self.set(seat, Status::Starting, Some(words.into()));
        }
    }

    /// Collects answers until the tick can be closed.
    async fn gather(&mut self, due: Instant) -> Closed {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            if *self.stop.borrow() {
                return Closed::End("interrupted".into());
            }
            let nobody = self.door.present() == 0;
            if nobody && self.nobody_may_come() {
                return Closed::End("every agent has left".into());
            }
            if self.timing.lockstep() && !nobody && self.door.open() == 0 {
                // What has come already belongs to this tick: a seat that floods must not wait in the queue.
                while let Ok(event) = self.inbox.try_recv() {
                    self.on_event(event, true);
                }
                return Closed::Tick;
            }
            tokio::select! {
                got = timeout_at(due, self.inbox.recv_many(&mut events, EVENTS)) => match got {
                    Err(_) => return Closed::Tick,
                    Ok(_) => {
                        for event in events.drain(..) {
                            self.on_event(event, true);
                        }
                    }
                },
                Some(call) = self.calls.recv() => self.on_call(&call),
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Closes the door, steps, commits, and lets the result out. Returns the reason if it was the last.
    async fn tick(&mut self, begin: Instant) -> Result<Option<String>, RunError> {
        let (input, changes) = self.door.close();
        let tick = input.tick;
        let input = Arc::new(input);
        let results = self.door.open_next();
        let refused: Vec<(usize, DoorResult)> = results
            .iter()
            .enumerate()
            .flat_map(|(seat, results)| results.iter().map(move |result| (seat, result.clone())))
            .collect();
        self.world.step(input.clone());
        self.world.observe(results, self.timing.deadline_ms());
        let body = serde_json::to_vec(&*input).map_err(|error| RunError::Bug(error.to_string()))?;
        let committed = self.recorder.input(tick, body);
        let (output, step_us) = self.world.stepped().await?;
        self.recorder.acknowledged(committed).await?;

        let output: Arc<TickOutput> = Arc::from(output);
        let ended = output.ended.clone().or_else(|| {
            (self.timing.last() == tick).then(|| format!("tick {tick} of {tick} reached"))
        });
        self.hand_out(ended.is_none()).await?;
        self.scores.clone_from(&output.scores);
        self.hash = output.hash;
        self.recorder.outcome(Outcome {
            output: output.clone(),
            at_us: begin.elapsed().as_micros() as u64,
            step_us,
        });
        if tick.is_multiple_of(KEYFRAME_EVERY) {
            self.recorder.keyframe(tick, self.world.keyframe().await?);
        }
        self.tell_changes(&changes);
        let to = Listeners {
            recorder: &self.recorder,
            feed: self.feed.as_ref(),
            tick,
        };
        for (seat, result) in &refused {
            let data = json!({"action": result.action, "code": result.code});
            to.note(*seat, "rejected", "action.rejected", &result.reason, data);
        }
        for rejection in &output.rejections {
            let data =
                json!({"action": self.catalogue.name(rejection.action), "code": rejection.code});
            to.note(
                rejection.seat.index(),
                "rejected",
                "action.rejected",
                &rejection.reason,
                data,
            );
        }
        if let Some(feed) = &self.feed {
            let whole = if feed.wants_whole() {
                Some(self.world.picture().await?)
            } else {
                None
            };
            feed.tick(output, whole);
        }
        self.show_progress();
        Ok(ended)
    }

    /// Passes the observations on, batch by batch as they are made; drops them when `wanted` is false.
    async fn hand_out(&mut self, wanted: bool) -> Result<(), RunError> {
        self.ledger.shows(self.door.tick());
        self.settle();
        while let Some(batch) = self.world.lines().await? {
            if wanted {
                for (seat, line) in batch {
                    // An observation would be answered with another call of the model.
                    if self.ledger.over(seat).is_none() {
                        self.agents.send(seat, Outgoing::Observation(line));
                    }
                }
            }
        }
        Ok(())
    }

    fn play_builtins(&mut self) {
        let tick = self.door.tick();
        for (seat, builtin) in &self.builtins {
            match builtin.answer(self.seed, *seat, tick, &self.catalogue, self.hopeful.len()) {
                Move::Calls(calls) => self.door.act_typed(*seat, calls),
                Move::Asked(asked) => {
                    self.door.act(*seat, asked);
                    self.door.act_typed(*seat, Vec::new());
                }
            }
        }
    }

    fn on_event(&mut self, event: AgentEvent, running: bool) {
        let seat = event.seat;
        match event.body {
            AgentEventBody::Started { attempt } => {
                tracing::debug!(seat = self.board.name(seat), attempt, "started");
                self.agents
                    .send(seat, Outgoing::Control(self.greeter.line(seat)));
            }
            AgentEventBody::Message(message) => self.on_message(seat, message, running),
            AgentEventBody::Fault(fault) => {
                let (kind, blame) = (fault.kind.as_str(), fault.blame.as_str());
                if about_a_message(fault.kind) {
                    self.door.garbled(seat, kind, fault.detail.clone());
                }
                if fault.kind == FaultKind::ReadyTimeout {
                    self.awaited[seat] = Awaited::No;
                }
                let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
                self.board.fault(seat, kind, blame, &fault.detail, to);
            }
            AgentEventBody::Status(ProcessStatus::Exited {
                reason,
                blame,
                will_restart,
            }) => {
                self.hopeful[seat] = will_restart;
                self.awaited[seat] = match self.awaited[seat] {
                    Awaited::Process(time) if will_restart => Awaited::Until(Instant::now() + time),
                    Awaited::Until(due) if will_restart => Awaited::Until(due),
                    _ => Awaited::No,
                };
                self.door.leave(seat, reason.clone());
                let next = self.agents.what_next(seat, will_restart);
                let fault = blame.map_or(String::new(), |blame| {
                    format!("fault of the {}; ", blame.as_str())
                });
                let words = format!("{reason} ({fault}{next})");
                self.set(seat, Status::Exited, Some(words));
            }
            AgentEventBody::Status(ProcessStatus::Starting) => {
                if self.board.status(seat) != Status::Exited {
                    self.set(seat, Status::Starting, None);
                }
            }
            AgentEventBody::Status(_) => {}
            AgentEventBody::Transcript(line) => {
                let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
                self.ledger.transcript(seat, line, to);
            }
            AgentEventBody::Cost(cost) => {
                let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
                self.ledger.turn(seat, &cost, to);
            }
        }
    }

    fn on_message(&mut self, seat: usize, message: FromAgent, running: bool) {
        match message {
            FromAgent::Ready(_) => {
                self.awaited[seat] = Awaited::No;
                self.door.arrive(seat, running);
                self.set(
                    seat,
                    if running {
                        Status::Playing
                    } else {
                        Status::Ready
                    },
                    None,
                );
            }
            FromAgent::Act(Act {
                tick,
                actions,
                say,
                thought,
            }) => {
                if let Some(thought) = thought {
                    self.note(seat, "thought", "agent.thought", &thought);
                }
                let actions = actions
                    .into_iter()
                    .map(|action| (action.name, action.args))
                    .collect();
                if self.door.act(seat, Asked { tick, actions, say }) {
                    self.set(seat, Status::Playing, None);
                }
                self.retire(seat);
            }
            FromAgent::Remember(remember) => {
                self.recorder
                    .remember(self.door.tick(), seat as u32, remember.state.to_string());
                self.greeter.remember(seat, remember.state);
            }
            FromAgent::Log(log) => self.note(seat, "log", "agent.log", &log.text),
        }
    }

    fn on_call(&mut self, call: &ModelCall) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        self.ledger.call(call, to);
    }

    /// Counts all calls that are over, and retires whose budget is used up.
    fn settle(&mut self) {
        while let Ok(call) = self.calls.try_recv() {
            self.on_call(&call);
        }
        if self.ledger.is_anybody_over() {
            (0..self.hopeful.len()).for_each(|seat| self.retire(seat));
        }
    }

    /// Ends the agent of a seat whose budget is used up. Its turn is over: it has answered, or is late.
    fn retire(&self, seat: usize) {
        if !self.hopeful[seat] {
            return;
        }
        if let Some(reason) = self.ledger.over(seat) {
            self.agents.stop(seat, reason);
        }
    }

    fn tell_changes(&mut self, changes: &[Change]) {
        let limit = self.timing.deadline_ms();
        for change in changes {
            match *change {
                Change::Late(seat, row) => {
                    let again = if row > 1 {
                        format!(", {row} in a row")
                    } else {
                        String::new()
                    };
                    let words =
                        format!("no answer within {limit} ms{again}: its agent is slow or hangs");
                    self.set(seat, Status::Late, Some(words));
                    self.retire(seat);
                }
                Change::Absent(seat) => {
                    let words =
                        "nobody waits for it until it answers: its agent is slow or hangs".into();
                    self.set(seat, Status::Absent, Some(words));
                }
                Change::Prompt(seat) => self.set(seat, Status::Playing, None),
            }
        }
    }

    fn set(&mut self, seat: usize, status: Status, reason: Option<String>) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        self.board.set(seat, status, reason, to);
    }

    fn note(&self, seat: usize, kind: &'static str, event: &str, text: &str) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        to.note(seat, kind, event, text, serde_json::Value::Null);
    }

    fn nobody_may_come(&self) -> bool {
        !self.hopeful.contains(&true)
    }

    fn show_progress(&self) {
        self.progress.set(Standings {
            tick: self.door.tick(),
            ready: self.board.count(Status::Playing) + self.board.count(Status::Ready),
            late: self.board.count(Status::Late),
            absent: self.board.count(Status::Absent),
            away: self.board.count(Status::Starting) + self.board.count(Status::Exited),
        });
    }
}

/// Where everything is told, at the present tick.
fn listeners<'a>(recorder: &'a Recorder, feed: Option<&'a Feed>, door: &Door) -> Listeners<'a> {
    Listeners {
        recorder,
        feed,
        tick: door.tick(),
    }
}

/// Faults that the agent itself is told of, in the results of its next observation.
fn about_a_message(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Garbage
            | FaultKind::NotUtf8
            | FaultKind::BadMessage
            | FaultKind::TooLong
            | FaultKind::Flood
            | FaultKind::OutOfOrder
            | FaultKind::TextCut
            | FaultKind::RememberTooLarge
    )
}
