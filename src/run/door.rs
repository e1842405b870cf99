//! The door of the world: what agents ask within one tick becomes one sorted `TickInput`.
//!
//! Pure and synchronous: no clock, no channel, no process. Who is waited for follows from here;
//! how long, the tick loop decides.

use std::sync::Arc;

use formicarium_engine::{ActionCall, InputBody, Mode, SeatId, SeatInput, ThinkSpec, TickInput};
use serde_json::{Map, Value};

use super::catalogue::{Catalogue, Refusal};
use super::fault::{CUT_OFF, MUTED};
use super::pace::Shut;

/// Actions a seat may take in a tick, and how often it may speak.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Actions other than speech.
    pub actions: u32,
    /// Speech actions.
    pub speech: u32,
}

/// Where a seat stands in the eyes of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its process has not said `ready` yet (again).
    Away,
    /// It plays; `late` counts the ticks in a row that it missed.
    Present {
        /// Ticks missed in a row.
        late: u32,
    },
    /// It missed too many; nobody waits for it until it speaks.
    Absent,
}

/// One line of `results` in the next observation that does not come from the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorResult {
    /// The action's name; none for a message that names none.
    pub action: Option<String>,
    /// Stable word for programs.
    pub code: &'static str,
    /// The sentence.
    pub reason: String,
}

/// What an `act` asks for, as it came from the wire.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The tick that the agent saw.
    pub tick: u64,
    /// Names and arguments.
    pub actions: Vec<(String, Map<String, Value>)>,
    /// Shorthand for the say action.
    pub say: Option<String>,
}

/// What happened to a seat's standing, for the page, the log and the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It missed this tick, the `n`th in a row.
    Late(usize, u32),
    /// It is absent from now on.
    Absent(usize),
    /// It answered in time again after having been late.
    Prompt(usize),
}

#[derive(Debug)]
pub(super) struct SeatDoor {
    pub(super) standing: Standing,
    /// No answer is taken from it in this tick, and why.
    pub(super) closed: bool,
    pub(super) shut: Shut,
    /// It is shown the present tick.
    pub(super) seen: bool,
    /// The tick that it was shown last.
    pub(super) shown: u64,
    /// In `async`: it has not answered what it was shown last.
    pub(super) thinks: bool,
    /// It is asked again from this tick on: until then its body waits for what it thought about.
    pub(super) free_at: u64,
    /// Milliseconds and tokens of its answer.
    pub(super) thought: Option<(u64, u64)>,
    /// Nobody is shown anything there: a builtin agent.
    blind: bool,
    /// What it says is dropped.
    pub(super) muted: bool,
    /// It is shown nothing, and nothing of it arrives.
    pub(super) cut: bool,
    calls: Vec<ActionCall>,
    pub(super) actions: u32,
    pub(super) speech: u32,
    pub(super) results: Vec<DoorResult>,
    /// Host facts that enter the next input before the seat's actions.
    pub(super) facts: Vec<InputBody>,
    /// The world takes it for gone or absent, from before the run was resumed.
    missed: bool,
}

/// The door; one per run.
#[derive(Debug)]
pub struct Door {
    catalogue: Arc<Catalogue>,
    limits: Limits,
    absent_after: u32,
    pub(super) mode: Mode,
    think: Option<ThinkSpec>,
    pub(super) tick: u64,
    pub(super) open: usize,
    /// In `turns`: whose turn it is, and who had the last one.
    pub(super) turn: Option<usize>,
    /// Parameters that enter the next input.
    set: Vec<(String, String)>,
    pub(super) last_turn: Option<usize>,
    pub(super) seats: Vec<SeatDoor>,
}

/// The code of what whoever runs the host says: nothing was refused.
pub const TOLD: &str = "told";
/// Refused calls that one seat is told of at most per tick; more would only feed a flood.
const RESULTS_MOST: usize = 16;

impl Door {
    /// A door before tick 0; every seat is away until `arrive`.
    pub fn new(catalogue: Arc<Catalogue>, limits: Limits, absent_after: u32, seats: usize) -> Door {
        let seats = (0..seats)
            .map(|_| SeatDoor {
                standing: Standing::Away,
                closed: false,
                shut: Shut::Answered,
                seen: true,
                shown: 0,
                thinks: false,
                free_at: 0,
                thought: None,
                blind: false,
                muted: false,
                cut: false,
                calls: Vec::new(),
                actions: 0,
                speech: 0,
                results: Vec::new(),
                facts: Vec::new(),
                missed: false,
            })
            .collect();
        Door {
            catalogue,
            limits,
            absent_after: absent_after.max(1),
            mode: Mode::Lockstep,
            think: None,
            tick: 0,
            open: 0,
            turn: None,
            set: Vec::new(),
            last_turn: None,
            seats,
        }
    }

    /// Whom a tick asks, and what thinking costs; all at every tick, and nothing, unless this is called.
    pub fn set_pace(&mut self, mode: Mode, think: Option<ThinkSpec>) {
        (self.mode, self.think) = (mode, think);
    }

    /// A builtin agent plays the seat: it is there from the start, and is shown nothing.
    pub fn seat_builtin(&mut self, seat: usize) {
        self.seats[seat].blind = true;
        self.arrive(seat, false);
    }

    /// The same for a run that goes on after `tick` steps; `missed`: whom the world takes for gone or absent.
    pub fn resume(&mut self, tick: u64, missed: impl Iterator<Item = bool>) {
        self.tick = tick;
        for (seat, missed) in self.seats.iter_mut().zip(missed) {
            seat.shown = tick;
            seat.missed = missed;
        }
    }

    /// The tick that agents see now.
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// Number of present seats that have not answered this tick.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Number of seats that are waited for at all.
    pub fn present(&self) -> usize {
        self.seats
            .iter()
            .filter(|seat| matches!(seat.standing, Standing::Present { .. }))
            .count()
    }

    /// Where a seat stands.
    pub fn standing(&self, seat: usize) -> Standing {
        self.seats[seat].standing
    }

    /// The seat's agent is ready. `again` after the run's start: the world is told that it is back.
    /// It is waited for from the next tick on, since it has not been shown this one.
    pub fn arrive(&mut self, seat: usize, again: bool) {
        let door = &mut self.seats[seat];
        // An agent that takes the place of one that was late too often is not absent.
        if door.standing == Standing::Away || (again && door.standing == Standing::Absent) {
            door.standing = Standing::Present { late: 0 };
            door.thinks = false;
            if std::mem::take(&mut door.missed) || again {
                door.facts.push(InputBody::Back);
            }
            if again {
                door.closed = true;
            } else if !door.closed {
                self.open += 1;
            }
        }
    }

    /// The seat's agent is gone.
    pub fn leave(&mut self, seat: usize, reason: String) {
        let door = &mut self.seats[seat];
        if door.standing == Standing::Away {
            return;
        }
        if matches!(door.standing, Standing::Present { .. }) && !door.closed {
            self.open -= 1;
        }
        door.standing = Standing::Away;
        door.closed = true;
        door.thinks = false;
        door.facts.push(InputBody::Exited { reason });
    }

    /// A builtin agent takes the place of whoever sat there, or had left.
    pub fn replace(&mut self, seat: usize) {
        let is_gone = !matches!(self.seats[seat].standing, Standing::Present { .. });
        let door = &mut self.seats[seat];
        door.blind = true;
        door.thinks = false;
        match is_gone {
            true => self.arrive(seat, true),
            false => door.standing = Standing::Present { late: 0 },
        }
    }

    /// Whether the seat is shown nothing: a builtin agent plays it.
    pub fn is_blind(&self, seat: usize) -> bool {
        self.seats[seat].blind
    }

    /// Takes an `act`. Returns true if the seat spoke after being absent.
    pub fn act(&mut self, seat: usize, asked: Asked) -> bool {
        if self.seats[seat].muted || self.seats[seat].cut {
            let is_open = self.awaits(seat).is_some();
            let (code, reason) = match self.seats[seat].cut {
                true => ("cut-off", CUT_OFF.into()),
                false => ("muted", MUTED.into()),
            };
            self.refuse(seat, None, Refusal { code, reason });
            // As with all that is refused: nobody waits for an agent that does not know yet.
            if is_open {
                self.answered(seat);
            }
            return false;
        }
        let back = self.seats[seat].standing == Standing::Absent;
        if back {
            self.seats[seat].standing = Standing::Present { late: 0 };
            self.seats[seat].facts.push(InputBody::Back);
            // One that is not asked now stays shut.
            let is_asked = !self.seats[seat].closed && asked.tick == self.tick;
            self.seats[seat].closed = !is_asked;
            self.open += usize::from(is_asked);
        }
        if let Some(reason) = self.untimely(seat, &asked) {
            self.refuse(seat, None, reason);
            return back;
        }
        let mut closes = asked.actions.is_empty() && asked.say.is_none();
        for (name, args) in &asked.actions {
            match self.catalogue.parse(name, args) {
                Ok(call) => {
                    let speech = self.catalogue.is_speech(call.action);
                    closes |= !speech;
                    self.take(seat, call, speech);
                }
                Err(refusal) => {
                    closes = true;
                    self.refuse(seat, Some(name.clone()), refusal);
                }
            }
        }
        if let Some(text) = &asked.say {
            match self.catalogue.say(text) {
                Ok(call) => self.take(seat, call, true),
                Err(refusal) => self.refuse(seat, Some("say".into()), refusal),
            }
        }
        if closes {
            self.answered(seat);
        }
        back
    }

    /// Takes calls that are typed already (builtin agents) and closes the seat's tick.
    pub fn act_typed(&mut self, seat: usize, calls: Vec<ActionCall>) {
        for call in calls
            .into_iter()
            .filter(|_| !self.seats[seat].muted)
            .collect::<Vec<_>>()
        {
            let speech = self.catalogue.is_speech(call.action);
            self.take(seat, call, speech);
        }
        self.answered(seat);
    }

    /// A message that could not be read; the agent is told with its next observation.
    pub fn garbled(&mut self, seat: usize, code: &'static str, reason: String) {
        self.refuse(seat, None, Refusal { code, reason });
    }

    /// Something that a seat did, or that happened to it, outside the world: it enters the next input before the seat's
    /// actions.
    pub fn fact(&mut self, seat: usize, fact: InputBody) {
        self.seats[seat].facts.push(fact);
    }

    /// A parameter is another from the next tick on.
    pub fn set(&mut self, name: String, value: String) {
        self.set.push((name, value));
    }

    /// Whoever runs the host tells a seat something: an input, and a line of what it is shown next, however much that is.
    pub fn told(&mut self, seat: usize, text: String) {
        let door = &mut self.seats[seat];
        door.results.push(DoorResult {
            action: None,
            code: TOLD,
            reason: text.clone(),
        });
        door.facts.push(InputBody::Told { text });
    }

    /// What a seat is told with its next observation.
    pub fn tell(&mut self, seat: usize, action: &str, code: &'static str, reason: String) {
        self.refuse(seat, Some(action.to_owned()), Refusal { code, reason });
    }

    /// Closes the tick: the input of the step that makes `tick() + 1`, and who was late.
    pub fn close(&mut self) -> (TickInput, Vec<Change>) {
        let mut seats = Vec::with_capacity(self.seats.len());
        let mut changes = Vec::new();
        let asked = |door: &SeatDoor| {
            door.shut == Shut::Answered || door.shut == Shut::TimeOver || !door.closed
        };
        let asked: Vec<bool> = self.seats.iter().map(asked).collect();
        let late: Vec<bool> = (0..self.seats.len())
            .map(|seat| self.is_late(seat))
            .collect();
        for (index, door) in self.seats.iter_mut().enumerate() {
            let id = SeatId(index as u32);
            let mut seq = 0;
            let mut push = |body| {
                seats.push(SeatInput {
                    seat: id,
                    seq,
                    body,
                });
                seq += 1;
            };
            if self.turn == Some(index) {
                push(InputBody::Turn);
            }
            if !door.seen && !door.blind && door.standing != Standing::Away {
                push(InputBody::Unseen);
            }
            for fact in door.facts.drain(..) {
                push(fact);
            }
            let missed = late[index];
            let thought = door.thought.take();
            let mut cost = 0;
            if let Some((ms, tokens)) = thought.filter(|_| !missed) {
                push(InputBody::Thought { ms, tokens });
                cost = self.think.map_or(0, |think| think.cost(ms, tokens));
                door.free_at = self.tick + 1 + cost;
            }
            // An answer that does nothing has been thought about too.
            if !door.calls.is_empty() || cost > 0 {
                push(InputBody::Act(std::mem::take(&mut door.calls)));
            }
            if missed {
                if let Some((ms, tokens)) = thought {
                    push(InputBody::Thought { ms, tokens });
                }
                push(InputBody::Late);
                if let Standing::Present { late } = &mut door.standing {
                    *late += 1;
                    changes.push(Change::Late(index, *late));
                    if *late >= self.absent_after {
                        push(InputBody::Absent);
                        door.standing = Standing::Absent;
                        changes.push(Change::Absent(index));
                    }
                }
            } else if let Standing::Present { late } = &mut door.standing
                && asked[index]
                && std::mem::take(late) > 0
            {
                changes.push(Change::Prompt(index));
            }
        }
        (
            TickInput {
                set: std::mem::take(&mut self.set),
                tick: self.tick + 1,
                seats,
            },
            changes,
        )
    }

    fn untimely(&self, seat: usize, asked: &Asked) -> Option<Refusal> {
        let door = &self.seats[seat];
        // Who takes its time answers what it was shown, however old.
        let now = match self.mode {
            Mode::Async => door.shown,
            Mode::Lockstep | Mode::Realtime | Mode::Turns => self.tick,
        };
        let refusal = |code, reason| Some(Refusal { code, reason });
        if asked.tick < now {
            let reason = format!(
                "your act is for tick {}, which is over; it is tick {now}",
                asked.tick
            );
            return refusal("stale", reason);
        }
        if asked.tick > now {
            let reason = format!(
                "your act is for tick {}, but it is tick {now}; answer the tick you were shown",
                asked.tick
            );
            return refusal("future", reason);
        }
        if door.standing == Standing::Away {
            return refusal(
                "not-ready",
                "you have not said ready; answer hello first".into(),
            );
        }
        if !door.closed {
            return None;
        }
        match door.shut {
            Shut::Answered => refusal(
                "duplicate",
                format!("you have used your answer for tick {now}"),
            ),
            Shut::NotItsTurn => refusal(
                "not-your-turn",
                format!("tick {now} is the turn of another; wait until you are shown one"),
            ),
            Shut::Busy => refusal(
                "busy",
                format!(
                    "what you thought about takes effect with tick {}; wait until you are shown it",
                    door.free_at
                ),
            ),
            Shut::CutOff => refusal("cut-off", CUT_OFF.into()),
            Shut::TimeOver => refusal("stale", format!("your time for tick {now} is over")),
        }
    }

    fn take(&mut self, seat: usize, call: ActionCall, speech: bool) {
        let (used, most, what) = if speech {
            (&mut self.seats[seat].speech, self.limits.speech, "speech")
        } else {
            (
                &mut self.seats[seat].actions,
                self.limits.actions,
                "actions",
            )
        };
        if *used >= most {
            let name = self.catalogue.name(call.action).to_owned();
            let reason = format!("the limit of {what} in a tick is {most}");
            self.refuse(
                seat,
                Some(name),
                Refusal {
                    code: "over-limit",
                    reason,
                },
            );
            return;
        }
        *used += 1;
        self.seats[seat].calls.push(call);
    }

    fn refuse(&mut self, seat: usize, action: Option<String>, refusal: Refusal) {
        let results = &mut self.seats[seat].results;
        if results.len() < RESULTS_MOST {
            results.push(DoorResult {
                action,
                code: refusal.code,
                reason: refusal.reason,
            });
        }
    }

    fn answered(&mut self, seat: usize) {
        self.shut(seat);
        self.seats[seat].shut = Shut::Answered;
    }

    /// Takes no more from a seat in this tick.
    pub(super) fn shut(&mut self, seat: usize) {
        let door = &mut self.seats[seat];
        door.thinks = false;
        if !door.closed {
            door.closed = true;
            if matches!(door.standing, Standing::Present { .. }) {
                self.open -= 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
