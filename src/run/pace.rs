//! Whom a tick asks: all, those who are ready, or one after the other. The other half of the door.
//!
//! Pure like the door. Must not know how long anybody is waited for.

use formicarium_engine::{InputBody, Mode};

use super::door::{Door, DoorResult, Standing};

/// Why no answer is taken from a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// It has answered, or has come only now.
    Answered,
    /// Another is asked.
    NotItsTurn,
    /// What it thought about takes effect later.
    Busy,
    /// Its own time is over.
    TimeOver,
    /// Nothing of it arrives.
    CutOff,
}

impl Door {
    /// Asks for the present tick; before the first one, and by [`Door::open_next`].
    pub fn begin(&mut self) {
        let tick = self.tick;
        self.turn = match self.mode {
            Mode::Turns => self.next_turn(),
            Mode::Lockstep | Mode::Realtime | Mode::Async => None,
        };
        self.last_turn = self.turn.or(self.last_turn);
        self.open = 0;
        for (index, door) in self.seats.iter_mut().enumerate() {
            door.actions = 0;
            door.speech = 0;
            let is_present = matches!(door.standing, Standing::Present { .. });
            let shut = if tick < door.free_at {
                Some(Shut::Busy)
            } else if self.mode == Mode::Turns && self.turn != Some(index) {
                Some(Shut::NotItsTurn)
            } else if door.cut {
                // What it was shown before is not answered any more.
                door.thinks = false;
                Some(Shut::CutOff)
            } else {
                None
            };
            door.shut = shut.unwrap_or(Shut::Answered);
            door.closed = shut.is_some();
            door.seen = shut.is_none() && !door.thinks;
            if door.seen {
                door.shown = tick;
                door.thinks = self.mode == Mode::Async && is_present;
            }
            self.open += usize::from(is_present && !door.closed);
        }
    }

    /// The seat after the last one that can have its turn: present, and not waiting for what it thought about.
    fn next_turn(&self) -> Option<usize> {
        let count = self.seats.len();
        let first = self.last_turn.map_or(0, |last| last + 1);
        (first..first + count)
            .map(|seat| seat % count)
            .find(|seat| {
                let door = &self.seats[*seat];
                matches!(door.standing, Standing::Present { .. }) && self.tick >= door.free_at
            })
    }

    /// Opens the next tick; returns what each seat that is shown it is told about the calls that were refused.
    pub fn open_next(&mut self) -> Vec<Vec<DoorResult>> {
        self.tick += 1;
        self.begin();
        self.results()
    }

    /// What each seat that is shown the present tick is told with it.
    pub fn results(&mut self) -> Vec<Vec<DoorResult>> {
        let results = self.seats.iter_mut().map(|door| match door.seen {
            true => std::mem::take(&mut door.results),
            false => Vec::new(),
        });
        results.collect()
    }

    /// Whether a seat is shown the present tick.
    pub fn sees(&self, seat: usize) -> bool {
        self.seats[seat].seen
    }

    /// The tick whose answer is taken from a seat now; none if it has given it, or is not asked.
    pub fn awaits(&self, seat: usize) -> Option<u64> {
        let door = &self.seats[seat];
        (!door.closed && door.standing != Standing::Away).then_some(door.shown)
    }

    /// Whether a tick that ends now finds a seat late.
    pub fn is_late(&self, seat: usize) -> bool {
        let door = &self.seats[seat];
        let is_asked = !door.closed || matches!(door.shut, Shut::TimeOver | Shut::CutOff);
        self.mode != Mode::Async && is_asked && matches!(door.standing, Standing::Present { .. })
    }

    /// A seat's own time is over: it is late, and nobody waits for it any more in this tick.
    pub fn time_over(&mut self, seat: usize) {
        if self.awaits(seat).is_some() {
            self.shut(seat);
            self.seats[seat].shut = Shut::TimeOver;
        }
    }

    /// What a seat says is dropped, or arrives again.
    pub fn mute(&mut self, seat: usize, is_muted: bool) {
        self.seats[seat].muted = is_muted;
    }

    /// From the next tick on a seat is shown nothing and nothing of it arrives: it is late at once, and nobody waits. Or it
    /// is there again, as one that was away.
    pub fn cut(&mut self, seat: usize, is_cut: bool) {
        let door = &mut self.seats[seat];
        door.cut = is_cut;
        if !is_cut && door.standing == Standing::Absent {
            door.standing = Standing::Present { late: 0 };
            door.facts.push(InputBody::Back);
        }
    }

    /// What a seat's answer has taken, or its wait in vain; enters the next input.
    pub fn thought(&mut self, seat: usize, ms: u64, tokens: u64) {
        self.seats[seat].thought = Some((ms, tokens));
    }

    /// The same for a run that goes on: what each seat thought about takes effect after so many more ticks, and who had
    /// the last turn.
    pub fn resume_pace(&mut self, busy: impl Iterator<Item = u64>, last_turn: Option<usize>) {
        for (door, busy) in self.seats.iter_mut().zip(busy) {
            door.free_at = self.tick + busy;
        }
        self.last_turn = last_turn;
    }
}
