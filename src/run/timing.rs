//! When ticks are closed: the scenario's time with the command line's overrides. Must not know who is waited for.

use std::time::Duration;

use formicarium_agents::protocol::{Bank, Think, ThinkPer, Time, TimeMode};
use formicarium_engine::{BankSpec, Mode, Per, ThinkSpec, TimeSpec};
use tokio::time::Instant;

/// When ticks are closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    mode: Mode,
    /// Longest wait, where a tick waits.
    deadline: Duration,
    /// Time between two ticks, where none does.
    interval: Duration,
    ticks: u64,
    bank: Option<BankSpec>,
    think: Option<ThinkSpec>,
}

impl Timing {
    /// The scenario's timing with the command line's overrides.
    pub fn new(
        spec: &TimeSpec,
        mode: Option<Mode>,
        hz: Option<f64>,
        deadline: Option<Duration>,
        ticks: Option<u64>,
    ) -> Timing {
        let mode = mode.unwrap_or(spec.mode);
        Timing {
            mode,
            deadline: deadline.unwrap_or(Duration::from_millis(spec.deadline_ms)),
            interval: Duration::from_secs_f64(1.0 / hz.unwrap_or(spec.hz)),
            ticks: ticks.unwrap_or(spec.ticks),
            // Where nobody is waited for, no time is used up.
            bank: spec.bank.filter(|_| mode.waits()),
            think: spec.think,
        }
    }

    /// Who is asked, and when.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The last tick; 0 = no end.
    pub fn last(&self) -> u64 {
        self.ticks
    }

    /// What each seat may think in all.
    pub fn bank(&self) -> Option<BankSpec> {
        self.bank
    }

    /// What thinking costs.
    pub fn think(&self) -> Option<ThinkSpec> {
        self.think
    }

    pub(super) fn words(&self) -> (&'static str, f64, u64) {
        let hz = match self.mode.waits() {
            true => 0.0,
            false => 1.0 / self.interval.as_secs_f64(),
        };
        (self.mode.word(), hz, self.ticks)
    }

    pub(super) fn hello(&self) -> Time {
        let (_, hz, ticks) = self.words();
        Time {
            mode: match self.mode {
                Mode::Lockstep => TimeMode::Lockstep,
                Mode::Realtime => TimeMode::Realtime,
                Mode::Async => TimeMode::Async,
                Mode::Turns => TimeMode::Turns,
            },
            deadline_ms: self.deadline_ms(),
            hz: (hz > 0.0).then_some(hz),
            ticks,
            bank: self.bank.map(|bank| Bank {
                initial_ms: bank.initial_ms,
                increment_ms: bank.increment_ms,
                min_ms: bank.min_ms,
            }),
            think: self.think.map(|think| Think {
                per: match think.per {
                    Per::Ms => ThinkPer::Ms,
                    Per::Tokens => ThinkPer::Tokens,
                },
                amount: think.amount,
                max_ticks: think.max_ticks,
            }),
        }
    }

    /// True if a tick waits for all seats that are asked.
    pub(super) fn waits(&self) -> bool {
        self.mode.waits()
    }

    /// Whether what answers take is an input: where it changes what comes of them.
    pub(super) fn measures(&self) -> bool {
        self.mode == Mode::Async || self.bank.is_some() || self.think.is_some()
    }

    /// The longest time between an observation and the close of its tick.
    pub(super) fn window(&self) -> Duration {
        match self.mode.waits() {
            true => self.deadline,
            false => self.interval,
        }
    }

    /// `window` in whole milliseconds.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.window().as_millis() as u64
    }

    /// When the next tick closes. A fixed rate keeps its beat; a host that fell behind drops beats instead of running after
    /// them.
    pub(super) fn next(&self, due: Instant) -> Instant {
        match self.mode.waits() {
            true => Instant::now() + self.deadline,
            false => (due + self.interval).max(Instant::now()),
        }
    }
}
