//! The door of the world: what agents ask within one tick becomes one sorted `TickInput`.
//!
//! Pure and synchronous: no clock, no channel, no process. Who is waited for follows from here;
//! how long, the tick loop decides.

use std::sync::Arc;

use formicarium_engine::{ActionCall, InputBody, SeatId, SeatInput, TickInput};
use serde_json::{Map, Value};

use super::catalogue::{Catalogue, Refusal};

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
struct SeatDoor {
    standing: Standing,
    closed: bool,
    calls: Vec<ActionCall>,
    actions: u32,
    speech: u32,
    results: Vec<DoorResult>,
    /// Host facts that enter the next input before the seat's actions.
    facts: Vec<InputBody>,
    /// The world takes it for gone or absent, from before the run was resumed.
    missed: bool,
}

/// The door; one per run.
#[derive(Debug)]
pub struct Door {
    catalogue: Arc<Catalogue>,
    limits: Limits,
    absent_after: u32,
    tick: u64,
    open: usize,
    seats: Vec<SeatDoor>,
}

/// Refused calls that one seat is told of at most per tick; more would only feed a flood.
const RESULTS_MOST: usize = 16;

impl Door {
    /// A door before tick 0; every seat is away until `arrive`.
    pub fn new(catalogue: Arc<Catalogue>, limits: Limits, absent_after: u32, seats: usize) -> Door {
        let seats = (0..seats)
            .map(|_| SeatDoor {
                standing: Standing::Away,
                closed: false,
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
            tick: 0,
            open: 0,
            seats,
        }
    }

    /// The same for a run that goes on after `tick` steps; `missed`: whom the world takes for gone or absent.
    pub fn resume(&mut self, tick: u64, missed: impl Iterator<Item = bool>) {
        self.tick = tick;
        for (seat, missed) in self.seats.iter_mut().zip(missed) {
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
        door.facts.push(InputBody::Exited { reason });
    }

    /// Takes an `act`. Returns true if the seat spoke after being absent.
    pub fn act(&mut self, seat: usize, asked: Asked) -> bool {
        let back = self.seats[seat].standing == Standing::Absent;
        if back {
            self.seats[seat].standing = Standing::Present { late: 0 };
            self.seats[seat].facts.push(InputBody::Back);
            self.seats[seat].closed = asked.tick != self.tick;
            if !self.seats[seat].closed {
                self.open += 1;
            }
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
        for call in calls {
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

    /// What a seat is told with its next observation.
    pub fn tell(&mut self, seat: usize, action: &str, code: &'static str, reason: String) {
        self.refuse(seat, Some(action.to_owned()), Refusal { code, reason });
    }

    /// Closes the tick: the input of the step that makes `tick() + 1`, and who was late.
    pub fn close(&mut self) -> (TickInput, Vec<Change>) {
        let mut seats = Vec::with_capacity(self.seats.len());
        let mut changes = Vec::new();
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
            for fact in door.facts.drain(..) {
                push(fact);
            }
            let missed = matches!(door.standing, Standing::Present { .. }) && !door.closed;
            if !door.calls.is_empty() {
                push(InputBody::Act(std::mem::take(&mut door.calls)));
            }
            if missed {
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
                && std::mem::take(late) > 0
            {
                changes.push(Change::Prompt(index));
            }
        }
        (
            TickInput {
                set: Vec::new(),
                tick: self.tick + 1,
                seats,
            },
            changes,
        )
    }

    /// Opens the next tick; returns what each seat is told about the calls refused in the last one.
    pub fn open_next(&mut self) -> Vec<Vec<DoorResult>> {
        self.tick += 1;
        self.open = 0;
        let mut results = Vec::with_capacity(self.seats.len());
        for door in &mut self.seats {
            door.closed = false;
            door.actions = 0;
            door.speech = 0;
            if matches!(door.standing, Standing::Present { .. }) {
                self.open += 1;
            }
            results.push(std::mem::take(&mut door.results));
        }
        results
    }

    fn untimely(&self, seat: usize, asked: &Asked) -> Option<Refusal> {
        let now = self.tick;
        if asked.tick < now {
            let reason = format!(
                "your act is for tick {}, which is over; it is tick {now}",
                asked.tick
            );
            return Some(Refusal {
                code: "stale",
                reason,
            });
        }
        if asked.tick > now {
            let reason = format!(
                "your act is for tick {}, but it is tick {now}; answer the tick you were shown",
                asked.tick
            );
            return Some(Refusal {
                code: "future",
                reason,
            });
        }
        let door = &self.seats[seat];
        if door.standing == Standing::Away {
            let reason = "you have not said ready; answer hello first".into();
            return Some(Refusal {
                code: "not-ready",
                reason,
            });
        }
        if door.closed {
            let reason = format!("you have used your answer for tick {now}");
            return Some(Refusal {
                code: "duplicate",
                reason,
            });
        }
        None
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
        let door = &mut self.seats[seat];
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
