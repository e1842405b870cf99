//! What the operator asks of a run while it runs: status, words to seats, parameters, agents, pause and step.
//!
//! What changes the world enters the next input, by the door; pause and step are none. Part of the tick loop: nothing here
//! waits, but for the world's thread between two ticks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::RunError;
use super::board::Status;
use super::tick::TickLoop;
use crate::cast::{self, Agent, Cast};
use crate::control::{Answer, Command, Refusal, Request, Say, Set, Swap};
use crate::recorder::{Given, RunMeta};
use crate::run::budget::Budget;
use formicarium_engine::InputBody;

/// Ticks that a step may have at most; whoever wants more resumes.
const STEP_MOST: u64 = 1_000_000;
/// Longest text that a seat can be told, in characters.
const SAY_MOST: usize = 16_384;

/// Whether ticks are made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Halt {
    /// Yes.
    No,
    /// Until that tick.
    At(u64),
    /// No, since then.
    Since(Instant),
}

/// The operator's side of a run.
#[derive(Debug)]
pub(super) struct Operator {
    requests: mpsc::Receiver<Request>,
    /// What the recording says of the run; who sits where by now.
    meta: RunMeta,
    /// Seats whose process has been replaced by a builtin agent.
    replaced: Vec<bool>,
    /// What the recording says of the run is to be written again, after the tick that holds why.
    is_news: bool,
    halt: Halt,
    /// For how long time stood still, until somebody has asked.
    stood: Duration,
    /// The last tick has been made.
    is_over: bool,
}

impl Operator {
    pub(super) fn new(requests: mpsc::Receiver<Request>, meta: RunMeta) -> Operator {
        Operator {
            requests,
            replaced: vec![false; meta.seats.len()],
            meta,
            is_news: false,
            halt: Halt::No,
            stood: Duration::ZERO,
            is_over: false,
        }
    }

    /// The next request; never where nobody can ask.
    pub(super) async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    /// A request that is there already.
    pub(super) fn waiting(&mut self) -> Option<Request> {
        self.requests.try_recv().ok()
    }

    /// Whether a seat's process has been replaced: what it still does is nobody's.
    pub(super) fn has_replaced(&self, seat: usize) -> bool {
        self.replaced[seat]
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.halt, Halt::Since(_))
    }

    /// The run begins: a pause until now has held nothing up.
    pub(super) fn begin(&mut self) {
        if self.is_paused() {
            self.halt = Halt::Since(Instant::now());
        }
        self.stood = Duration::ZERO;
    }

    /// From now on there is nothing left to change.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// For how long time has stood still since this was asked last.
    pub(super) fn take_stood(&mut self) -> Duration {
        std::mem::take(&mut self.stood)
    }
}

impl TickLoop {
    /// Does what is asked, and answers.
    pub(super) async fn on_request(&mut self, request: Request) -> Result<(), RunError> {
        let answer = self.obey(request.command).await?;
        // Who asked may have gone.
        let _ = request.answer.send(answer);
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Result<Answer, RunError> {
        if self.operator.is_over && command != Command::Status {
            let why = "the run is over; `formicarium resume --ticks` or `fork` goes on with it";
            return Ok(Err(Refusal::Conflict(why.into())));
        }
        Ok(match command {
            Command::Status => Ok(self.status().await?),
            Command::Say(say) => self.say(say),
            Command::Set(set) => self.set_parameter(set).await?,
            Command::Swap(swap) => self.swap(swap),
            Command::Pause => {
                if !self.operator.is_paused() {
                    self.pause();
                }
                Ok(json!({"paused": true, "tick": self.door.tick()}))
            }
            Command::Resume => {
                self.go_on(Halt::No);
                Ok(json!({"paused": false, "tick": self.door.tick()}))
            }
            Command::Step(step) => {
                let ticks = step.ticks;
                if !self.operator.is_paused() {
                    let why = "only a paused run makes steps; POST /control/pause first";
                    Err(Refusal::Conflict(why.into()))
                } else if !(1..=STEP_MOST).contains(&ticks) {
                    let why = format!("ticks is {ticks}; it can be 1 to {STEP_MOST}");
                    Err(Refusal::Invalid(why))
                } else {
                    let until = self.door.tick() + ticks;
                    self.go_on(Halt::At(until));
                    Ok(json!({"until": until}))
                }
            }
        })
    }

    async fn status(&mut self) -> Result<Value, RunError> {
        let parameters = self.world.parameters().await?;
        let seats: Vec<Value> = self
            .operator
            .meta
            .seats
            .iter()
            .enumerate()
            .map(|(seat, meta)| {
                let (status, trouble) = self.board.words(seat);
                json!({
                    "seat": meta.seat,
                    "agent": meta.agent,
                    "status": status,
                    "trouble": trouble,
                    "awaited": self.door.awaits(seat).is_some(),
                    "score": self.scores[seat],
                })
            })
            .collect();
        let meta = &self.operator.meta;
        Ok(json!({
            "run": meta.run,
            "scenario": meta.scenario,
            "tick": self.door.tick(),
            "ticks": meta.ticks,
            "mode": meta.mode,
            "paused": self.operator.is_paused(),
            "parameters": parameters,
            "seats": seats,
        }))
    }

    fn seat_named(&self, name: &str) -> Result<usize, Refusal> {
        let seats = &self.operator.meta.seats;
        seats
            .iter()
            .position(|seat| seat.seat == name)
            .ok_or_else(|| {
                let known: Vec<&str> = seats.iter().map(|seat| &*seat.seat).collect();
                let why = format!(
                    "there is no seat {name:?}; the run has: {}",
                    known.join(", ")
                );
                Refusal::Unknown(why)
            })
    }

    fn say(&mut self, say: Say) -> Answer {
        let seat = self.seat_named(&say.seat)?;
        let length = say.text.chars().count();
        if !(1..=SAY_MOST).contains(&length) {
            let why = format!("text has {length} characters; it can have 1 to {SAY_MOST}");
            return Err(Refusal::Invalid(why));
        }
        self.door.told(seat, say.text);
        Ok(json!({"tick": self.door.tick() + 1}))
    }

    async fn set_parameter(&mut self, set: Set) -> Result<Answer, RunError> {
        let Set { name, value } = set;
        if let Err(why) = self.world.could_set(name.clone(), value.clone()).await? {
            return Ok(Err(Refusal::Invalid(why)));
        }
        self.door.set(name, value);
        Ok(Ok(json!({"tick": self.door.tick() + 1})))
    }

    /// Gives a seat a builtin agent. Its body, its files and what was remembered stay.
    fn swap(&mut self, swap: Swap) -> Answer {
        let seat = self.seat_named(&swap.seat)?;
        let by_resume = |why: &str| {
            let why = format!(
                "{why}; stop the run and seat it with `formicarium resume RUN --agent '{}=...'`",
                swap.seat
            );
            Err(Refusal::Conflict(why))
        };
        if self.agents.is_open_to_clients(seat) {
            return by_resume("the seat is open to an MCP client, which the host cannot end");
        }
        let given = Given::here([format!("{}={}", swap.seat, swap.agent)]).next();
        let Some(given) = given else {
            return Err(Refusal::Invalid("no agent is given".into()));
        };
        let invalid = |error: cast::CastError| Refusal::Invalid(error.to_string());
        let rule = cast::override_rule(&given.agent, &given.from).map_err(invalid)?;
        let nobody = Cast {
            name: "swap".into(),
            summary: String::new(),
            deadline: None,
            budget: Budget::default(),
            rules: Vec::new(),
        };
        let name = [swap.seat.clone()];
        let seated = cast::seat(&nobody, &given.from, &[rule], &name).map_err(invalid)?;
        let Some(seated) = seated.into_iter().next() else {
            return Err(Refusal::Invalid("no agent is given".into()));
        };
        let Agent::Builtin(builtin) = seated.agent else {
            return by_resume("a running host starts no other program");
        };
        match self.builtins.iter_mut().find(|(known, _)| *known == seat) {
            Some((_, old)) => *old = builtin,
            None => {
                self.operator.replaced[seat] = true;
                self.agents
                    .stop(seat, "its seat has another agent from now on");
                self.interview.leave(seat);
                self.clock.forget(seat);
                self.awaited[seat] = super::tick::Awaited::No;
                self.hopeful[seat] = true;
                self.door.replace(seat);
                self.builtins.push((seat, builtin));
                let status = match self.is_running {
                    true => Status::Playing,
                    false => Status::Ready,
                };
                self.set(seat, status, None);
            }
        }
        let agent = seated.label;
        self.door.fact(
            seat,
            InputBody::Seated {
                agent: agent.clone(),
            },
        );
        let meta = &mut self.operator.meta;
        let entry = &mut meta.seats[seat];
        entry.agent.clone_from(&agent);
        (entry.session, entry.session_from) = (None, None);
        meta.options.agents.insert(0, given);
        self.operator.is_news = true;
        self.note(seat, "seated", "agent.seated", &agent);
        if self.is_running {
            self.play_builtins();
        }
        Ok(json!({"tick": self.door.tick() + 1, "agent": agent}))
    }

    /// A tick is committed: what the recording says of the run follows it, and a step may be over.
    pub(super) fn after_commit(&mut self) {
        if std::mem::take(&mut self.operator.is_news) {
            self.recorder.go_on(self.operator.meta.clone());
        }
        if matches!(self.operator.halt, Halt::At(tick) if tick <= self.door.tick()) {
            self.pause();
        }
    }

    fn pause(&mut self) {
        let now = Instant::now();
        self.operator.halt = Halt::Since(now);
        self.clock.halt(now);
    }

    fn go_on(&mut self, halt: Halt) {
        if let Halt::Since(since) = self.operator.halt {
            let now = Instant::now();
            self.operator.stood += now - since;
            self.clock.go_on(now);
        }
        self.operator.halt = halt;
    }
}
