//! The clock of each seat: how long it has thought, what its bank has left, and when its time is over.
//!
//! Measures only where the run's timing wants it; what was measured enters the world by the door. Must not know what a
//! seat does with its time, nor who is waited for.

use std::time::Duration;

use formicarium_engine::BankSpec;
use tokio::time::Instant;

use super::Timing;

/// What a seat is told of its time with an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long its answer is waited for, in milliseconds.
    pub deadline_ms: u64,
    /// What its bank has left, in milliseconds; none without banks.
    pub bank_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct SeatClock {
    /// When the observation that it has not answered yet went out.
    since: Option<Instant>,
    /// What its bank has left, in milliseconds.
    left: u64,
}

/// The clocks of all seats.
#[derive(Debug)]
pub(super) struct Clock {
    measures: bool,
    deadline_ms: u64,
    bank: Option<BankSpec>,
    seats: Vec<SeatClock>,
    /// Time stands still since then.
    halted: Option<Instant>,
}

impl Clock {
    /// Full banks.
    pub(super) fn new(timing: &Timing, seats: usize) -> Clock {
        let bank = timing.bank();
        let seat = SeatClock {
            since: None,
            left: bank.map_or(0, |bank| bank.initial_ms),
        };
        Clock {
            measures: timing.measures(),
            deadline_ms: timing.deadline_ms(),
            bank,
            seats: vec![seat; seats],
            halted: None,
        }
    }

    /// A run goes on: the answers that a seat has given until now, each with its milliseconds and whether it was one.
    pub(super) fn restore(&mut self, seat: usize, thoughts: &[(u64, bool)]) {
        for (ms, answered) in thoughts {
            self.spend(seat, *ms, *answered);
        }
    }

    /// What a seat is told with an observation that goes out now.
    pub(super) fn terms(&self, seat: usize) -> Terms {
        let left = self.seats[seat].left;
        Terms {
            deadline_ms: match &self.bank {
                Some(bank) => left.max(bank.min_ms).min(self.deadline_ms),
                None => self.deadline_ms,
            },
            bank_ms: self.bank.map(|_| left),
        }
    }

    /// An observation has gone out to a seat.
    pub(super) fn shown(&mut self, seat: usize) {
        if self.measures {
            self.seats[seat].since = Some(self.now());
        }
    }

    /// When a seat's own time is over; none where it has as much as all.
    pub(super) fn due(&self, seat: usize) -> Option<Instant> {
        self.bank?;
        let since = self.seats[seat].since?;
        Some(since + Duration::from_millis(self.terms(seat).deadline_ms))
    }

    /// Stops a seat's clock, by its answer or without one: the milliseconds, where they are measured. A seat that was shown
    /// nothing, as builtin agents are not, has none.
    pub(super) fn stop(&mut self, seat: usize, answered: bool) -> Option<u64> {
        let since = self.seats[seat].since.take()?;
        let ms = (self.now() - since).as_millis() as u64;
        self.spend(seat, ms, answered);
        Some(ms)
    }

    /// A seat's clock stops, and nothing was measured: its agent is another.
    pub(super) fn forget(&mut self, seat: usize) {
        self.seats[seat].since = None;
    }

    /// Time stands still, for all.
    pub(super) fn halt(&mut self, now: Instant) {
        self.halted = Some(now);
    }

    /// Time goes on, as if it had not stood still.
    pub(super) fn go_on(&mut self, now: Instant) {
        if let Some(halted) = self.halted.take() {
            for since in self.seats.iter_mut().filter_map(|seat| seat.since.as_mut()) {
                *since += now - halted;
            }
        }
    }

    fn now(&self) -> Instant {
        self.halted.unwrap_or_else(Instant::now)
    }

    fn spend(&mut self, seat: usize, ms: u64, answered: bool) {
        if let Some(bank) = &self.bank {
            let left = &mut self.seats[seat].left;
            *left = bank.after(*left, ms, answered);
        }
    }
}
