//! The tick loop: the only place that selects on the outside and puts it in order.
//!
//! One tick in a straight line: gather, close the door, step and commit at once, and only when both
//! are done hand out observations, append the outcome, feed the spectators.

use std::sync::Arc;
use std::time::Duration;

use formicarium_agents::gateway::ModelCall;
use formicarium_agents::protocol::End;
use formicarium_agents::{AgentEvent, Outgoing};
use formicarium_engine::{InputBody, TickOutput};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::board::{Board, Listeners, Status};
use super::builtin::{Builtin, Move};
use super::catalogue::Catalogue;
use super::clock::{Clock, Terms};
use super::door::{Door, DoorResult, TOLD};
use super::fault::Faults;
use super::hello::Greeter;
use super::interview::Interview;
use super::ledger::Ledger;
use super::operator::Operator;
use super::players::Players;
use super::progress::{Progress, Standings};
use super::shared::{Done, Shared};
use super::workspaces::Workspaces;
use super::world_thread::WorldThread;
use super::{DESERTED, INTERRUPTED, RunError, Timing};
use crate::feed::handover::Feed;
use crate::feed::wire::Phase;
use crate::held::held;
use crate::recorder::pace::Pace;
use crate::recorder::writer::{Outcome, Recorder};

/// Agent events handled at once.
const EVENTS: usize = 256;
/// A time that nobody waits for.
const NEVER: Duration = Duration::from_secs(86_400);

/// Everything a run consists of while it runs.
pub(super) struct TickLoop {
    pub(super) timing: Timing,
    pub(super) seed: u64,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) door: Door,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
    pub(super) board: Board,
    pub(super) world: WorldThread,
    pub(super) recorder: Recorder,
    pub(super) feed: Option<Feed>,
    pub(super) agents: Players,
    /// The shared files, in a scenario that has some.
    pub(super) files: Option<Shared>,
    /// The seats' own files.
    pub(super) workspaces: Workspaces,
    pub(super) inbox: mpsc::Receiver<AgentEvent>,
    /// Keeps the inbox open when no seat has a process.
    pub(super) _sender: mpsc::Sender<AgentEvent>,
    pub(super) builtins: Vec<(usize, Builtin)>,
    pub(super) greeter: Greeter,
    pub(super) interview: Interview,
    pub(super) progress: Progress,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) operator: Operator,
    /// The first tick has been shown.
    pub(super) is_running: bool,
    /// Per seat: its process may still come back.
    pub(super) hopeful: Vec<bool>,
    /// Per seat: waited for before the first tick.
    pub(super) awaited: Vec<Awaited>,
    pub(super) ledger: Ledger,
    /// Reports of the model door.
    pub(super) calls: mpsc::Receiver<ModelCall>,
    pub(super) scores: Vec<f64>,
    pub(super) hash: u128,
    /// How long the run had gone on before this host.
    pub(super) since: Duration,
    /// Nothing is played: answers to the one question are waited for so long.
    pub(super) wait: Option<Duration>,
    /// Why the world had ended before this host, if it had.
    pub(super) ended: Option<String>,
    /// When the next keyframe is due.
    pub(super) pace: Pace,
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
        // Cut off between its last tick and its end.
        let (tick, last) = (self.door.tick(), self.timing.last());
        let reached = (last != 0 && tick >= last).then(|| reached(tick));
        if let Some(reason) = self.ended.take().or(reached)
            && self.wait.is_none()
        {
            return Ok(reason);
        }
        self.await_agents().await?;
        tracing::info!(
            ready = self.board.count(Status::Ready),
            away = self.hopeful.len() - self.board.count(Status::Ready),
            ms = begin.elapsed().as_millis() as u64,
            "agents are ready"
        );
        if *self.stop.borrow() {
            return Ok(INTERRUPTED.into());
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
        if self.wait.is_none() {
            self.first_faults().await;
        }
        self.door.begin();
        let results = self.door.results();
        self.world.observe(results, self.terms());
        self.hand_out(true).await?;
        if let Some(wait) = self.wait {
            self.await_answers(Instant::now() + wait).await;
            return Ok("asked".into());
        }
        let mut due = Instant::now() + self.timing.window();
        self.is_running = true;
        self.operator.begin();
        loop {
            self.play_builtins();
            if let Closed::End(reason) = self.gather(&mut due).await? {
                return Ok(reason);
            }
            if let Some(reason) = self.tick(begin).await? {
                return Ok(reason);
            }
            due = self.timing.next(due);
        }
    }

    /// Waits until every seat is ready, has timed out or is beyond hope.
    async fn await_agents(&mut self) -> Result<(), RunError> {
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
                done = done(&mut self.files) => self.on_done(done),
                request = self.operator.next() => self.on_request(request).await?,
                _ = self.stop.changed() => return Ok(()),
            }
        }
        Ok(())
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
    async fn gather(&mut self, due: &mut Instant) -> Result<Closed, RunError> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            if *self.stop.borrow() {
                return Ok(Closed::End(INTERRUPTED.into()));
            }
            // A tick that waits for nobody must not put off who asks.
            while let Some(request) = self.operator.waiting() {
                self.on_request(request).await?;
            }
            *due += self.operator.take_stood();
            let is_paused = self.operator.is_paused();
            let nobody = self.door.present() == 0;
            // An operator who has paused the run may still seat somebody.
            if nobody && self.nobody_may_come() && !is_paused {
                return Ok(Closed::End(DESERTED.into()));
            }
            let publishing = self.files.as_ref().is_some_and(Shared::is_publishing);
            if self.timing.waits() && !nobody && self.door.open() == 0 && !publishing && !is_paused
            {
                // What has come already belongs to this tick: a seat that floods must not wait in the queue.
                while let Ok(event) = self.inbox.try_recv() {
                    self.on_event(event, true);
                }
                return Ok(Closed::Tick);
            }
            let wake = match is_paused {
                true => Instant::now() + NEVER,
                false => self.first_due(*due),
            };
            tokio::select! {
                got = timeout_at(wake, self.inbox.recv_many(&mut events, EVENTS)) => match got {
                    Err(_) if is_paused => {}
                    Err(_) if Instant::now() >= *due => return Ok(Closed::Tick),
                    Err(_) => self.end_times(),
                    Ok(_) => {
                        for event in events.drain(..) {
                            self.on_event(event, true);
                        }
                    }
                },
                Some(call) = self.calls.recv() => self.on_call(&call),
                done = done(&mut self.files) => self.on_done(done),
                request = self.operator.next() => self.on_request(request).await?,
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Closes the door, steps, commits, and lets the result out. Returns the reason if it was the last.
    async fn tick(&mut self, begin: Instant) -> Result<Option<String>, RunError> {
        let mut shown = None;
        if let Some(files) = &self.files {
            let news = files.news().await?;
            for (seat, fact) in files.inputs(&news) {
                self.door.fact(seat, InputBody::File(fact));
            }
            shown = self.feed.is_some().then(|| files.shown(news));
        }
        let looked = self.workspaces.look(self.door.tick());
        self.stop_clocks();
        let (input, changes) = self.door.close();
        let tick = input.tick;
        let input = Arc::new(input);
        // After the last tick nobody is shown anything.
        let faults = match self.timing.last() == tick {
            true => Vec::new(),
            false => self.faults_due(tick),
        };
        let results = self.door.open_next();
        let refused: Vec<(usize, DoorResult)> = results
            .iter()
            .enumerate()
            .flat_map(|(seat, results)| results.iter().map(move |result| (seat, result.clone())))
            .filter(|(_, result)| result.code != TOLD)
            .collect();
        self.world.step(input.clone());
        self.world.observe(results, self.terms());
        let body = serde_json::to_vec(&*input).map_err(|error| RunError::Bug(error.to_string()))?;
        let input_bytes = body.len();
        let committed = self.recorder.input(tick, body);
        let (output, step_us) = self.world.stepped().await?;
        self.recorder.acknowledged(committed).await?;
        self.after_commit();
        if self.timing.waits()
            && let Some(looked) = looked
        {
            // What a seat does after its next observation belongs to the next tick.
            let _ = held(looked).await;
        }

        let output: Arc<TickOutput> = Arc::from(output);
        let ended = output
            .ended
            .clone()
            .or_else(|| (self.timing.last() == tick).then(|| reached(tick)));
        if let Some(files) = &self.files {
            files.set_tick(tick);
            if ended.is_none() {
                files.refresh().await;
            }
        }
        self.strike(&faults).await;
        self.hand_out(ended.is_none()).await?;
        self.scores.clone_from(&output.scores);
        self.hash = output.hash;
        self.recorder.outcome(Outcome {
            output: output.clone(),
            at_us: (self.since + begin.elapsed()).as_micros() as u64,
            step_us,
        });
        self.pace.add(input_bytes, output.events.len());
        if self.pace.is_due() {
            let keyframe = self.world.keyframe().await?;
            self.pace = Pace::behind(keyframe.len());
            self.recorder.keyframe(tick, keyframe);
        }
        self.tell_changes(&changes);
        let to = Listeners {
            recorder: &self.recorder,
            feed: self.feed.as_ref(),
            tick,
        };
        for (seat, result) in &refused {
            let data = json!({"action": result.action, "code": result.code, "by": "door"});
            to.note(*seat, "rejected", "action.rejected", &result.reason, data);
        }
        for rejection in &output.rejections {
            let data = json!({"action": self.catalogue.name(rejection.action), "code": rejection.code, "by": "world"});
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
            feed.tick(output, whole, shown);
        }
        self.show_progress();
        Ok(ended)
    }

    /// Passes the observations on, batch by batch as they are made; drops them when `wanted` is false.
    async fn hand_out(&mut self, wanted: bool) -> Result<(), RunError> {
        self.ledger.shows(self.door.tick());
        self.settle();
        if wanted {
            let put = self.interview.due(self.door.tick());
            self.put(put);
        }
        while let Some(batch) = self.world.lines().await? {
            if wanted {
                for (seat, line) in batch {
                    // An observation would be answered with another call of the model.
                    if self.ledger.over(seat).is_none() {
                        self.agents.send(seat, Outgoing::Observation(line));
                        self.clock.shown(seat);
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the questions of the run's end, and waits for the answers of those who are there.
    pub(super) async fn ask_at_end(&mut self, reason: &str) {
        self.relieve();
        self.operator.end();
        if *self.stop.borrow() {
            return;
        }
        let tick = self.door.tick();
        let scores = &self.scores;
        let put = self.interview.at_end(tick, |seat| End {
            reason: reason.to_owned(),
            score: scores[seat],
            tick,
        });
        self.put(put);
        let due = Instant::now() + Duration::from_millis(self.interview.wait_ms());
        self.await_answers(due).await;
    }

    /// Waits until nobody who is there has a question open, and then closes what is.
    async fn await_answers(&mut self, due: Instant) {
        let mut events = Vec::with_capacity(EVENTS);
        while self.interview.is_open() && !*self.stop.borrow() {
            tokio::select! {
                got = timeout_at(due, self.inbox.recv_many(&mut events, EVENTS)) => match got {
                    Err(_) => break,
                    Ok(_) => {
                        for event in events.drain(..) {
                            self.on_event(event, true);
                        }
                        self.settle();
                        if let Some(feed) = &self.feed {
                            feed.flush();
                        }
                    }
                },
                Some(call) = self.calls.recv() => self.on_call(&call),
                done = done(&mut self.files) => self.on_done(done),
                request = self.operator.next() => {
                    // Without its world a run has nothing left to ask for.
                    if self.on_request(request).await.is_err() {
                        break;
                    }
                }
                _ = self.stop.changed() => {}
            }
        }
        for seat in 0..self.hopeful.len() {
            for (seat, outcome) in self.interview.close(seat) {
                self.tell_answer(seat, outcome);
            }
        }
    }

    /// What each seat that is shown the present tick is told of its time.
    fn terms(&self) -> Vec<Option<Terms>> {
        let seats = 0..self.hopeful.len();
        seats
            .map(|seat| {
                (self.door.sees(seat) && !self.door.is_blind(seat)).then(|| self.clock.terms(seat))
            })
            .collect()
    }

    /// When the next seat's own time is over, or that of all.
    fn first_due(&self, due: Instant) -> Instant {
        if self.timing.bank().is_none() {
            return due;
        }
        let seats = 0..self.hopeful.len();
        let own = seats
            .filter(|seat| self.door.awaits(*seat).is_some())
            .filter_map(|seat| self.clock.due(seat));
        own.fold(due, Instant::min)
    }

    /// Ends the time of those who have used up their own.
    fn end_times(&mut self) {
        let now = Instant::now();
        for seat in 0..self.hopeful.len() {
            if self.clock.due(seat).is_some_and(|due| due <= now) {
                self.door.time_over(seat);
            }
        }
    }

    /// A wait in vain uses up a bank too.
    fn stop_clocks(&mut self) {
        if self.timing.bank().is_none() {
            return;
        }
        for seat in 0..self.hopeful.len() {
            if self.door.is_late(seat)
                && let Some(ms) = self.clock.stop(seat, false)
            {
                self.door.thought(seat, ms, 0);
            }
        }
    }

    pub(super) fn play_builtins(&mut self) {
        let tick = self.door.tick();
        for (seat, builtin) in &self.builtins {
            if self.door.awaits(*seat) != Some(tick) {
                continue;
            }
            match builtin.answer(self.seed, *seat, tick, &self.catalogue, self.hopeful.len()) {
                Move::Calls(calls) => self.door.act_typed(*seat, calls),
                Move::Asked(asked) => {
                    self.door.act(*seat, asked);
                    self.door.act_typed(*seat, Vec::new());
                }
            }
        }
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

/// The end of a run that made all its ticks.
fn reached(tick: u64) -> String {
    format!("tick {tick} of {tick} reached")
}

/// The next thing that the shared files have done; never where there are none.
async fn done(files: &mut Option<Shared>) -> Done {
    match files {
        Some(files) => files.next().await,
        None => std::future::pending().await,
    }
}

/// Where everything is told, at the present tick.
pub(super) fn listeners<'a>(
    recorder: &'a Recorder,
    feed: Option<&'a Feed>,
    door: &Door,
) -> Listeners<'a> {
    Listeners {
        recorder,
        feed,
        tick: door.tick(),
    }
}
