//! When ticks are closed: the scenario's time with the command line's overrides. Must not know who is waited for.

use std::time::Duration;

use formicarium_agents::protocol::{Time, TimeMode};
use formicarium_engine::{Mode, TimeSpec};
use tokio::time::Instant;

/// When ticks are closed.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// When all present seats have answered, or at the deadline.
    Lockstep {
        /// Longest wait.
        deadline: Duration,
        /// Last tick; 0 = no end.
        ticks: u64,
    },
    /// At a fixed rate.
    Realtime {
        /// Time between two ticks.
        interval: Duration,
        /// Last tick; 0 = no end.
        ticks: u64,
    },
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
        let ticks = ticks.unwrap_or(spec.ticks);
        match mode.unwrap_or(spec.mode) {
            Mode::Lockstep => Timing::Lockstep {
                deadline: deadline.unwrap_or(Duration::from_millis(spec.deadline_ms)),
                ticks,
            },
            Mode::Realtime => Timing::Realtime {
                interval: Duration::from_secs_f64(1.0 / hz.unwrap_or(spec.hz)),
                ticks,
            },
        }
    }

    /// The last tick; 0 = no end.
    pub fn last(&self) -> u64 {
        match self {
            Timing::Lockstep { ticks, .. } | Timing::Realtime { ticks, .. } => *ticks,
        }
    }

    pub(super) fn words(&self) -> (&'static str, f64, u64) {
        match self {
            Timing::Lockstep { ticks, .. } => ("lockstep", 0.0, *ticks),
            Timing::Realtime { interval, ticks } => {
                ("realtime", 1.0 / interval.as_secs_f64(), *ticks)
            }
        }
    }

    pub(super) fn hello(&self) -> Time {
        let (_, hz, ticks) = self.words();
        let mode = match self {
            Timing::Lockstep { .. } => TimeMode::Lockstep,
            Timing::Realtime { .. } => TimeMode::Realtime,
        };
        Time {
            mode,
            deadline_ms: self.deadline_ms(),
            hz: (hz > 0.0).then_some(hz),
            ticks,
        }
    }

    /// True if a tick waits for all seats that are present.
    pub(super) fn lockstep(&self) -> bool {
        matches!(self, Timing::Lockstep { .. })
    }

    /// The longest time between an observation and the close of its tick.
    pub(super) fn window(&self) -> Duration {
        match self {
            Timing::Lockstep { deadline, .. } => *deadline,
            Timing::Realtime { interval, .. } => *interval,
        }
    }

    /// `window` in whole milliseconds.
    pub(super) fn deadline_ms(&self) -> u64 {
        self.window().as_millis() as u64
    }

    /// When the next tick closes. Realtime keeps its beat; a host that fell behind drops beats
    /// instead of running after them.
    pub(super) fn next(&self, due: Instant) -> Instant {
        match self {
            Timing::Lockstep { deadline, .. } => Instant::now() + *deadline,
            Timing::Realtime { interval, .. } => (due + *interval).max(Instant::now()),
        }
    }
}
