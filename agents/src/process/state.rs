//! The life of one seat's process as a pure function: (state, event) -> (state, effects).
//!
//! Must not know pipes, clocks, signals or tokio: the driver turns the world into [`Event`]s and does the [`Effect`]s.

use crate::event::{Blame, Fault, FaultKind, ProcessStatus};
use crate::plan::{Restart, RestartPolicy};

/// Where a seat's process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Asked for; `hello` not yet answered.
    Starting,
    /// Has said `ready`.
    Ready,
    /// Has acted.
    Running,
    /// Being ended, or ended with something of its tree left.
    Terminating {
        /// Becomes the reason of the exit.
        why: End,
    },
    /// Nothing of it is left. `again` while a restart waits for its time.
    Exited {
        /// Whether a restart waits.
        again: bool,
    },
}

/// Why a process ended or is being ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: String,
    /// None: it ended as it should.
    pub(super) blame: Option<Blame>,
    /// The host asked for it: no restart, whatever the policy.
    pub(super) asked: bool,
    /// Counts as a failure for [`RestartPolicy::OnFailure`].
    pub(super) failed: bool,
}

/// How the main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExitStatus {
    Code(i32),
    Signal(i32),
}

/// What happened to a seat's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The keeper runs the program.
    Spawned,
    /// The program could not be started; nothing of it runs.
    SpawnFailed { blame: Blame, detail: String },
    /// It answered `hello`.
    SaidReady,
    /// It acted.
    Acted,
    /// Its output ended.
    OutputEnded,
    /// Its main process ended; the keeper ends what is left.
    MainExited(ExitStatus),
    /// Its keeper is gone without having said that the tree is; the nursery ends the tree.
    KeeperLost,
    /// Nothing of it is left.
    TreeGone,
    /// The host told it that the run is over: it may end now.
    RunEnded,
    /// Its adapter cannot bring it back to reason.
    GaveUp { reason: String },
    /// The host wants it ended.
    StopAsked { reason: String },
    /// The time of [`Timer::Ready`] is over.
    ReadyTimeout,
    /// The time of [`Timer::Grace`] is over.
    GraceOver,
    /// The time of [`Timer::Backoff`] is over.
    BackoffOver,
}

/// The one timer that a process has at a time; setting another replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Until `ready` is due.
    Ready,
    /// Until it is killed.
    Grace,
    /// Until it is started again.
    Backoff,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Ask the nursery for a keeper.
    Spawn,
    /// SIGTERM to the tree.
    Term,
    /// SIGKILL to the tree.
    Kill,
    /// Wait, in milliseconds.
    Set(Timer, u64),
    /// Forget the timer.
    Clear,
    /// Tell the host that a process waits for `hello`.
    Started { attempt: u32 },
    /// Tell the host.
    Status(ProcessStatus),
    /// Tell the host.
    Fault(Fault),
}

/// What does not change in a seat's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) restart: Restart,
    pub(super) ready_ms: u64,
    pub(super) grace_ms: u64,
}

/// The process of a seat, over all its restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) state: State,
    pub(super) terms: Terms,
    /// Counted from 1.
    pub(super) attempt: u32,
    /// The host has said that the run is over.
    pub(super) run_ended: bool,
    /// The host wants no process at this seat any more.
    pub(super) stopped: bool,
}

impl Machine {
    /// A seat whose first process is about to be asked for.
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            state: State::Starting,
            terms,
            attempt: 1,
            run_ended: false,
            stopped: false,
        }
    }

    /// What begins it all; once.
    pub(super) fn begin(&mut self) -> Vec<Effect> {
        vec![Effect::Status(ProcessStatus::Starting), Effect::Spawn]
    }

    /// Takes one event. Events that mean nothing in the present state change nothing.
    pub(super) fn on(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::RunEnded => {
                self.run_ended = true;
                if self.state == (State::Exited { again: true }) {
                    self.state = State::Exited { again: false };
                    return vec![Effect::Clear];
                }
                return Vec::new();
            }
            Event::StopAsked { reason } => return self.stop(reason),
            _ => {}
        }
        match self.state.clone() {
            State::Starting | State::Ready | State::Running => self.while_alive(event),
            State::Terminating { why } => self.while_terminating(event, why),
            State::Exited { again } => match event {
                Event::BackoffOver if again => {
                    self.attempt += 1;
                    self.state = State::Starting;
                    vec![Effect::Status(ProcessStatus::Starting), Effect::Spawn]
                }
                _ => Vec::new(),
            },
        }
    }

    fn while_alive(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Spawned if self.state == State::Starting => {
                vec![
                    Effect::Set(Timer::Ready, self.terms.ready_ms),
                    Effect::Started {
                        attempt: self.attempt,
                    },
                ]
            }
            Event::SaidReady if self.state == State::Starting => {
                self.state = State::Ready;
                vec![Effect::Clear, Effect::Status(ProcessStatus::Ready)]
            }
            Event::Acted if self.state == State::Ready => {
                self.state = State::Running;
                vec![Effect::Status(ProcessStatus::Running)]
            }
            Event::SpawnFailed { blame, detail } => {
                let fault =
                    Effect::Fault(Fault::new(FaultKind::SpawnFailed, blame, detail.clone()));
                let end = End {
                    reason: detail,
                    blame: Some(blame),
                    asked: false,
                    failed: true,
                };
                let mut effects = vec![Effect::Clear, fault];
                effects.extend(self.gone(end));
                effects
            }
            Event::ReadyTimeout if self.state == State::Starting => {
                let detail = format!(
                    "no `ready` within {} ms; answer `hello` with one line {{\"type\":\"ready\"}} and flush it, or give the \
                     seat more time in the cast; see stderr.log in the seat's folder",
                    self.terms.ready_ms
                );
                let end = End {
                    reason: "no `ready` in time".into(),
                    blame: Some(Blame::Agent),
                    asked: false,
                    failed: true,
                };
                let mut effects = vec![Effect::Fault(Fault::new(
                    FaultKind::ReadyTimeout,
                    Blame::Agent,
                    detail,
                ))];
                effects.extend(self.terminate(end));
                effects.push(Effect::Term);
                effects
            }
            Event::OutputEnded => {
                // The exit that usually follows says more; only who lives on without output is told, by `GraceOver`.
                vec![Effect::Set(Timer::Grace, self.terms.grace_ms)]
            }
            Event::GraceOver => {
                let detail = "it closed its standard output and lives on, so it cannot act any more; keep stdout open";
                let end = End {
                    reason: "closed its output".into(),
                    blame: Some(Blame::Agent),
                    asked: false,
                    failed: true,
                };
                let mut effects = vec![Effect::Fault(Fault::new(
                    FaultKind::Eof,
                    Blame::Agent,
                    detail,
                ))];
                effects.extend(self.terminate(end));
                effects.push(Effect::Term);
                effects
            }
            Event::GaveUp { reason } => {
                let end = End {
                    reason,
                    blame: Some(Blame::Agent),
                    asked: false,
                    failed: true,
                };
                let mut effects = self.terminate(end);
                effects.push(Effect::Term);
                effects
            }
            Event::MainExited(status) => {
                let end = self.end_of(status);
                let mut effects = Vec::new();
                if let Some(blame) = end.blame {
                    let detail = format!("{}; see stderr.log in the seat's folder", end.reason);
                    effects.push(Effect::Fault(Fault::new(FaultKind::Exited, blame, detail)));
                }
                effects.push(Effect::Clear);
                self.state = State::Terminating { why: end };
                effects
            }
            Event::KeeperLost => {
                let detail = "its keeper was killed, and its process tree with it; someone outside sent the signal, or the \
                              machine ran out of memory";
                let end = End {
                    reason: "its keeper was killed".into(),
                    blame: Some(Blame::Machine),
                    asked: false,
                    failed: true,
                };
                self.state = State::Terminating { why: end };
                vec![
                    Effect::Clear,
                    Effect::Fault(Fault::new(FaultKind::KeeperLost, Blame::Machine, detail)),
                ]
            }
            Event::TreeGone => {
                let end = End {
                    reason: "its process tree ended".into(),
                    blame: Some(Blame::Machine),
                    asked: false,
                    failed: true,
                };
                let mut effects = vec![Effect::Clear];
                effects.extend(self.gone(end));
                effects
            }
            _ => Vec::new(),
        }
    }

    fn while_terminating(&mut self, event: Event, why: End) -> Vec<Effect> {
        match event {
            Event::GraceOver => vec![Effect::Kill],
            // Asked to end before it was there: the keeper that has come into being is told now.
            Event::Spawned => vec![Effect::Term, Effect::Set(Timer::Grace, self.terms.grace_ms)],
            Event::SpawnFailed { .. } | Event::TreeGone => {
                let mut effects = vec![Effect::Clear];
                effects.extend(self.gone(why));
                effects
            }
            _ => Vec::new(),
        }
    }

    fn stop(&mut self, reason: String) -> Vec<Effect> {
        self.stopped = true;
        match &mut self.state {
            State::Starting | State::Ready | State::Running => {
                let end = End {
                    reason,
                    blame: None,
                    asked: true,
                    failed: false,
                };
                let mut effects = self.terminate(end);
                effects.push(Effect::Term);
                effects
            }
            State::Terminating { why } => {
                why.asked = true;
                Vec::new()
            }
            State::Exited { again } => {
                if std::mem::take(again) {
                    vec![Effect::Clear]
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn terminate(&mut self, why: End) -> Vec<Effect> {
        let status = ProcessStatus::Terminating {
            reason: why.reason.clone(),
        };
        self.state = State::Terminating { why };
        vec![
            Effect::Set(Timer::Grace, self.terms.grace_ms),
            Effect::Status(status),
        ]
    }

    fn end_of(&self, status: ExitStatus) -> End {
        let over = self.run_ended || self.stopped;
        match status {
            ExitStatus::Code(code) => {
                let reason = if over {
                    format!("ended with status {code}")
                } else {
                    format!("exited with status {code} before the run ended")
                };
                End {
                    reason,
                    blame: (!over).then_some(Blame::Agent),
                    asked: over,
                    failed: code != 0,
                }
            }
            ExitStatus::Signal(signal) => {
                let name = nix::sys::signal::Signal::try_from(signal)
                    .map_or("an unknown signal", |s| s.as_str());
                // The host's own signals come while terminating. Who else sends one that cannot be the program's own
                // doing is outside: the kernel when memory runs out, or a person.
                let (blame, hint) = if matches!(name, "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGHUP") {
                    (
                        Blame::Machine,
                        "; it was not the host that sent it: the kernel out of memory, or someone outside",
                    )
                } else {
                    (Blame::Agent, "")
                };
                let reason = format!("was killed by {name}{}", if over { "" } else { hint });
                End {
                    reason,
                    blame: (!over).then_some(blame),
                    asked: over,
                    failed: true,
                }
            }
        }
    }

    fn gone(&mut self, end: End) -> Vec<Effect> {
        let Restart { policy, max, .. } = self.terms.restart;
        let wanted = match policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => end.failed,
            RestartPolicy::Always => true,
        };
        let again = wanted && !end.asked && !self.stopped && !self.run_ended && self.attempt <= max;
        self.state = State::Exited { again };
        let status = ProcessStatus::Exited {
            reason: end.reason,
            blame: end.blame,
            will_restart: again,
        };
        let mut effects = vec![Effect::Status(status)];
        if again {
            effects.push(Effect::Set(
                Timer::Backoff,
                backoff_ms(self.terms.restart, self.attempt),
            ));
        }
        effects
    }
}

/// The wait after the `attempt`-th process (from 1), in milliseconds: doubled each time, up to the cap.
pub(super) fn backoff_ms(restart: Restart, attempt: u32) -> u64 {
    let factor = 1u64
        .checked_shl(attempt.saturating_sub(1))
        .unwrap_or(u64::MAX);
    restart
        .backoff_ms
        .saturating_mul(factor)
        .min(restart.backoff_cap_ms)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
