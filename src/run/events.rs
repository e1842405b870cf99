//! What agents do to a run: each of their events, told to the door, the board, the recording and the feed.
//!
//! The other half of the tick loop. Must not wait for anything.

use formicarium_agents::gateway::ModelCall;
use formicarium_agents::protocol::{self, Act, Answer, FromAgent, Question, ToAgent};
use formicarium_agents::{AgentEvent, AgentEventBody, FaultKind, Outgoing, ProcessStatus};
use serde_json::json;
use tokio::time::Instant;

use super::board::Status;
use super::door::{Asked, Change};
use super::fault::unheard;
use super::interview::{Outcome as Answered, Put, Refused};
use super::shared::{Done, no_desk};
use super::tick::{Awaited, TickLoop, listeners};

impl TickLoop {
    pub(super) fn on_event(&mut self, event: AgentEvent, running: bool) {
        let seat = event.seat;
        if self.operator.has_replaced(seat) {
            return self.on_leftover(seat, event.body);
        }
        match event.body {
            AgentEventBody::Started { attempt } => {
                tracing::debug!(seat = self.board.name(seat), attempt, "started");
                let hello = self.greeter.line(seat, self.interview.specs(seat));
                self.agents.send(seat, Outgoing::Control(hello));
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
                self.workspaces.acted(seat);
                self.interview.leave(seat);
                if let Some(files) = &self.files {
                    files.left(seat);
                }
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

    /// Something of a process that had its seat until it was replaced: only what it cost, what it left, and its end count.
    fn on_leftover(&mut self, seat: usize, body: AgentEventBody) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        match body {
            AgentEventBody::Transcript(line) => self.ledger.transcript(seat, line, to),
            AgentEventBody::Cost(cost) => self.ledger.turn(seat, &cost, to),
            AgentEventBody::Status(ProcessStatus::Exited { .. }) => {
                self.workspaces.acted(seat);
                if let Some(files) = &self.files {
                    files.left(seat);
                }
            }
            _ => {}
        }
    }

    fn on_message(&mut self, seat: usize, message: FromAgent, running: bool) {
        if let Some(why) = self.faults.silence(seat) {
            return self.on_unheard(seat, message, running, why);
        }
        match message {
            FromAgent::Ready(ready) => self.on_ready(seat, ready.answers, running),
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
                self.workspaces.acted(seat);
                let awaited = self.door.awaits(seat);
                if awaited == Some(tick)
                    && let Some(files) = &mut self.files
                {
                    files.acted(seat);
                }
                if self.door.act(seat, Asked { tick, actions, say }) {
                    self.set(seat, Status::Playing, None);
                }
                if awaited.is_some() && self.door.awaits(seat).is_none() {
                    self.measure(seat);
                }
                self.retire(seat);
            }
            FromAgent::Answer(answer) => self.answered(seat, &answer),
            FromAgent::Remember(remember) => {
                self.recorder
                    .remember(self.door.tick(), seat as u32, remember.state.to_string());
                self.greeter.remember(seat, remember.state);
            }
            request @ (FromAgent::Lease(_) | FromAgent::Publish(_) | FromAgent::Files(_)) => {
                match &self.files {
                    Some(files) => files.ask(seat, request),
                    None => self.reply(seat, no_desk(&request)),
                }
            }
            FromAgent::Log(log) => self.note(seat, "log", "agent.log", &log.text),
        }
    }

    fn on_ready(&mut self, seat: usize, answers: bool, running: bool) {
        self.interview.ready(seat, answers);
        self.awaited[seat] = Awaited::No;
        self.door.arrive(seat, running);
        let status = if running {
            Status::Playing
        } else {
            Status::Ready
        };
        self.set(seat, status, None);
    }

    /// A message of a seat of which nothing arrives, by a fault. That its process is there is no message.
    fn on_unheard(
        &mut self,
        seat: usize,
        message: FromAgent,
        running: bool,
        why: (&'static str, &'static str),
    ) {
        match message {
            FromAgent::Ready(ready) => self.on_ready(seat, ready.answers, running),
            FromAgent::Act(act) => {
                let asked = Asked {
                    tick: act.tick,
                    ..Asked::default()
                };
                let awaited = self.door.awaits(seat);
                self.door.act(seat, asked);
                if awaited.is_some() {
                    self.measure(seat);
                }
            }
            request @ (FromAgent::Lease(_) | FromAgent::Publish(_) | FromAgent::Files(_)) => {
                self.reply(seat, unheard(&request, why));
            }
            FromAgent::Answer(_) | FromAgent::Remember(_) | FromAgent::Log(_) => {}
        }
    }

    /// A seat has answered: what it took is an input, where it changes what comes of it.
    fn measure(&mut self, seat: usize) {
        let Some(ms) = self.clock.stop(seat, true) else {
            return;
        };
        // A call that led to this answer has mostly been reported, and not been counted yet.
        while let Ok(call) = self.calls.try_recv() {
            self.on_call(&call);
        }
        let tokens = self.ledger.take_written(seat);
        self.door.thought(seat, ms, tokens);
    }

    /// Something that the shared files had to do is done.
    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Answered(seat, answer) => self.reply(seat, answer),
            Done::Published(seat, published) => {
                for (code, reason) in published.told {
                    self.door.tell(seat, "publish", code, reason);
                }
            }
        }
    }

    fn reply(&self, seat: usize, answer: protocol::Files) {
        let line = protocol::encode(&ToAgent::Files(answer));
        self.agents.send(seat, Outgoing::Control(line.into()));
    }

    pub(super) fn on_call(&mut self, call: &ModelCall) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        self.ledger.call(call, to);
    }

    /// Counts all calls that are over, and retires whose budget is used up.
    pub(super) fn settle(&mut self) {
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

    pub(super) fn tell_changes(&mut self, changes: &[Change]) {
        for change in changes {
            match *change {
                Change::Late(seat, row) => {
                    let again = if row > 1 {
                        format!(", {row} in a row")
                    } else {
                        String::new()
                    };
                    let limit = self.timing.deadline_ms();
                    let words = match self.timing.bank() {
                        Some(_) => format!(
                            "no answer within what its bank had left, {limit} ms at most{again}"
                        ),
                        None => format!(
                            "no answer within {limit} ms{again}: its agent is slow or hangs"
                        ),
                    };
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

    pub(super) fn set(&mut self, seat: usize, status: Status, reason: Option<String>) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        self.board.set(seat, status, reason, to);
    }

    pub(super) fn note(&self, seat: usize, kind: &'static str, event: &str, text: &str) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        to.note(seat, kind, event, text, serde_json::Value::Null);
    }

    pub(super) fn put(&self, put: Put) {
        for (seat, outcome) in put.outcomes {
            self.tell_answer(seat, outcome);
        }
        for (seat, question) in put.questions {
            // As with observations: nobody is made to call a model once more than it may.
            if self.ledger.over(seat).is_none() {
                self.ask(seat, question);
            }
        }
    }

    fn ask(&self, seat: usize, question: Question) {
        let line = protocol::encode(&ToAgent::Question(Box::new(question)));
        self.agents.send(seat, Outgoing::Control(line.into()));
    }

    fn answered(&mut self, seat: usize, answer: &Answer) {
        match self.interview.answer(seat, answer) {
            Ok(outcome) => self.tell_answer(seat, outcome),
            Err(Refused::NotAsked(why)) => self.door.garbled(seat, "not-asked", why),
            Err(Refused::DoesNotFit(why, again)) => {
                let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
                let data = json!({"action": null, "code": "bad-answer"});
                to.note(seat, "rejected", "action.rejected", &why, data);
                self.ask(seat, *again);
            }
        }
    }

    pub(super) fn tell_answer(&self, seat: usize, outcome: Answered) {
        let to = listeners(&self.recorder, self.feed.as_ref(), &self.door);
        to.note(seat, "answer", "agent.answer", &outcome.words, outcome.data);
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
