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
            if again {
                door.facts.push(InputBody::Back);
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
mod tests {
    use formicarium_engine::{ActionId, ActionSpec, Arg, ParamKind, ParamSpec};
    use serde_json::json;

    use super::*;

    fn door(seats: usize) -> Door {
        let dir = ParamSpec {
            name: "dir".into(),
            doc: "where".into(),
            kind: ParamKind::Choice(vec!["north".into(), "south".into()]),
            required: true,
        };
        let text = ParamSpec {
            name: "text".into(),
            doc: "what".into(),
            kind: ParamKind::Text { max_chars: 5 },
            required: true,
        };
        let action = |id, name: &str, params, speech| ActionSpec {
            id: ActionId(id),
            name: name.into(),
            description: String::new(),
            params,
            speech,
        };
        let specs = vec![
            action(0, "wait", vec![], false),
            action(1, "move", vec![dir], false),
            action(2, "say", vec![text], true),
        ];
        let names: Vec<String> = (0..seats).map(|seat| format!("s{seat}")).collect();
        let limits = Limits {
            actions: 1,
            speech: 1,
        };
        let mut door = Door::new(Arc::new(Catalogue::new(specs, &names)), limits, 3, seats);
        for seat in 0..seats {
            door.arrive(seat, false);
        }
        door
    }

    fn asked(tick: u64, actions: Value, say: Option<&str>) -> Asked {
        let actions = actions.as_array().expect("a list").iter();
        let pair = |action: &Value| {
            let args = action["args"].as_object().cloned().unwrap_or_default();
            (action["name"].as_str().expect("a name").to_owned(), args)
        };
        Asked {
            tick,
            actions: actions.map(pair).collect(),
            say: say.map(str::to_owned),
        }
    }

    fn codes(door: &mut Door, seat: usize) -> Vec<&'static str> {
        door.open_next()
            .swap_remove(seat)
            .into_iter()
            .map(|result| result.code)
            .collect()
    }

    #[test]
    fn what_closes_a_tick_and_what_is_said_of_the_rest() {
        let north = json!({"name": "move", "args": {"dir": "north"}});
        /// What is sent, whether it closes the tick, calls that reach the world, codes of the results.
        type Row<'a> = (Value, Option<&'a str>, bool, usize, &'a [&'a str]);
        let table: &[Row<'_>] = &[
            (json!([north]), None, true, 1, &[]),
            (json!([]), None, true, 0, &[]),
            (json!([]), Some("hi"), false, 1, &[]),
            (
                json!([{"name": "say", "args": {"text": "hi"}}]),
                None,
                false,
                1,
                &[],
            ),
            (json!([north]), Some("hi"), true, 2, &[]),
            (json!([north, north]), None, true, 1, &["over-limit"]),
            (
                json!([{"name": "say", "args": {"text": "a"}}]),
                Some("b"),
                false,
                1,
                &["over-limit"],
            ),
            (
                json!([]),
                Some("longer than five"),
                false,
                0,
                &["bad-argument"],
            ),
            (
                json!([{"name": "mvoe", "args": {"dir": "north"}}]),
                None,
                true,
                0,
                &["unknown-action"],
            ),
            (
                json!([{"name": "move", "args": {"dir": "up"}}]),
                None,
                true,
                0,
                &["bad-argument"],
            ),
            (
                json!([{"name": "move", "args": {"dir": 1}}]),
                None,
                true,
                0,
                &["bad-argument"],
            ),
            (
                json!([{"name": "move"}]),
                None,
                true,
                0,
                &["missing-argument"],
            ),
            (
                json!([{"name": "wait", "args": {"dir": "north"}}]),
                None,
                true,
                0,
                &["unknown-argument"],
            ),
        ];
        for (actions, say, closes, calls, wanted) in table {
            let mut door = door(2);
            door.act(0, asked(0, actions.clone(), *say));
            assert_eq!(
                door.open(),
                if *closes { 1 } else { 2 },
                "{actions} {say:?}"
            );
            let (input, _) = door.close();
            let got: usize = input
                .seats
                .iter()
                .map(|input| match &input.body {
                    InputBody::Act(calls) => calls.len(),
                    _ => 0,
                })
                .sum();
            assert_eq!(got, *calls, "{actions} {say:?}");
            assert_eq!(codes(&mut door, 0), *wanted, "{actions} {say:?}");
        }
    }

    #[test]
    fn answers_for_another_tick_do_not_count() {
        let mut door = door(1);
        door.close();
        door.open_next();
        door.act(0, asked(0, json!([{"name": "wait"}]), None));
        door.act(0, asked(2, json!([{"name": "wait"}]), None));
        assert_eq!(door.open(), 1);
        door.act(0, asked(1, json!([{"name": "wait"}]), None));
        door.act(0, asked(1, json!([{"name": "wait"}]), None));
        assert_eq!(door.open(), 0);
        assert_eq!(codes(&mut door, 0), ["stale", "future", "duplicate"]);
    }

    #[test]
    fn late_three_times_is_absent_until_it_speaks() {
        let mut door = door(1);
        for row in 1..=3 {
            let (input, changes) = door.close();
            assert!(
                input
                    .seats
                    .iter()
                    .any(|input| input.body == InputBody::Late)
            );
            assert_eq!(changes[0], Change::Late(0, row));
            assert_eq!(changes.contains(&Change::Absent(0)), row == 3);
            door.open_next();
        }
        assert_eq!((door.present(), door.open()), (0, 0));
        let (input, changes) = door.close();
        assert!(
            input.seats.is_empty() && changes.is_empty(),
            "an absent seat is late no more"
        );
        door.open_next();
        // Even a stale word brings it back, for the next tick.
        assert!(door.act(0, asked(1, json!([{"name": "wait"}]), None)));
        assert_eq!((door.present(), door.open()), (1, 0));
        let (input, _) = door.close();
        assert_eq!(input.seats[0].body, InputBody::Back);
        door.open_next();
        assert_eq!(door.open(), 1);
    }

    #[test]
    fn who_leaves_is_not_waited_for_and_who_returns_is_from_the_next_tick() {
        let mut door = door(2);
        door.leave(1, "exit status 7".into());
        assert_eq!((door.present(), door.open()), (1, 1));
        door.arrive(1, true);
        assert_eq!((door.present(), door.open()), (2, 1));
        let (input, _) = door.close();
        let facts: Vec<&InputBody> = input
            .seats
            .iter()
            .filter(|input| input.seat == SeatId(1))
            .map(|input| &input.body)
            .collect();
        assert_eq!(
            facts,
            [
                &InputBody::Exited {
                    reason: "exit status 7".into()
                },
                &InputBody::Back
            ]
        );
        door.open_next();
        assert_eq!(door.open(), 2);
    }

    #[test]
    fn the_input_is_sorted_and_numbered() {
        let mut door = door(3);
        for seat in [2, 0, 1] {
            door.act(
                seat,
                asked(0, json!([{"name": "move", "args": {"dir": "south"}}]), None),
            );
        }
        let (input, _) = door.close();
        assert_eq!(input.tick, 1);
        let order: Vec<(u32, u32)> = input
            .seats
            .iter()
            .map(|input| (input.seat.0, input.seq))
            .collect();
        assert_eq!(order, [(0, 0), (1, 0), (2, 0)]);
        let InputBody::Act(calls) = &input.seats[0].body else {
            panic!("an act")
        };
        assert_eq!(calls[0].args, [Arg::Choice(1)]);
    }
}
