//! The scenario's faults: which strike and which are over at a tick, and what that does to door, agents and model door.
//!
//! Which strike follows from scenario, seed and tick alone. Each enters the next input as a fact; replay strikes nobody.

use std::time::Duration;

use formicarium_agents::gateway::Bars;
use formicarium_agents::protocol::{self, FromAgent};
use formicarium_engine::{FaultKind, FaultSpec, InputBody};
use serde_json::json;

use super::board::Status;
use super::tick::TickLoop;

/// Longest wait for the keepers of those who are struck.
const PATIENCE: Duration = Duration::from_secs(4);

/// A fault that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// Whose agent it strikes.
    pub seat: usize,
    /// Its line in the scenario.
    pub line: u32,
    /// What goes wrong.
    pub kind: FaultKind,
    /// The tick at which it is over.
    pub until: u64,
}

/// Something that changes at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    seat: usize,
    line: u32,
    kind: FaultKind,
    /// It strikes, for so many ticks; none: it is over.
    strikes: Option<u64>,
}

/// All faults of a run.
#[derive(Debug)]
pub struct Faults {
    specs: Vec<FaultSpec>,
    seed: u64,
    active: Vec<Active>,
    pub(super) bars: Bars,
}

impl Faults {
    /// `active`: what a run that goes on is in the midst of; `bars` shut the model door.
    pub fn new(specs: Vec<FaultSpec>, seed: u64, active: Vec<Active>, bars: Bars) -> Faults {
        Faults {
            specs,
            seed,
            active,
            bars,
        }
    }

    /// What changes when a tick is shown. A fault that strikes a seat which has one of its kind changes nothing.
    pub fn due(&mut self, tick: u64) -> Vec<News> {
        let mut news = Vec::new();
        self.active.retain(|active| {
            let is_over = active.until <= tick;
            if is_over {
                news.push(News {
                    seat: active.seat,
                    line: active.line,
                    kind: active.kind,
                    strikes: None,
                });
            }
            !is_over
        });
        for spec in &self.specs {
            for seat in &spec.seats {
                let (seat, id) = (seat.index(), *seat);
                let has_it = |active: &Active| active.seat == seat && active.kind == spec.kind;
                if !spec.strikes(self.seed, tick, id) || self.active.iter().any(has_it) {
                    continue;
                }
                news.push(News {
                    seat,
                    line: spec.line,
                    kind: spec.kind,
                    strikes: Some(spec.ticks),
                });
                if spec.ticks > 0 {
                    self.active.push(Active {
                        seat,
                        line: spec.line,
                        kind: spec.kind,
                        until: tick.saturating_add(spec.ticks),
                    });
                }
            }
        }
        news
    }

    /// Why nothing of a seat arrives, as a word and a sentence; none if it does.
    pub fn silence(&self, seat: usize) -> Option<(&'static str, &'static str)> {
        let kinds = self.active.iter().filter(|active| active.seat == seat);
        kinds.into_iter().find_map(|active| match active.kind {
            FaultKind::Mute => Some(("muted", MUTED)),
            FaultKind::CutOff => Some(("cut-off", CUT_OFF)),
            FaultKind::Kill | FaultKind::Freeze | FaultKind::FillDisk => None,
        })
    }

    /// What lasts, as news of a run that goes on: none of it is an input again.
    fn standing(&self) -> Vec<News> {
        let news = |active: &Active| News {
            seat: active.seat,
            line: active.line,
            kind: active.kind,
            strikes: Some(0),
        };
        self.active.iter().map(news).collect()
    }
}

/// What a muted seat is told.
pub(super) const MUTED: &str =
    "you are muted by a fault of the scenario: nothing that you say arrives";
/// What a seat that was cut off is told.
pub(super) const CUT_OFF: &str =
    "you are cut off by a fault of the scenario: nothing that you say arrives";

/// The answer to a request of a seat of which nothing arrives.
pub(super) fn unheard(
    request: &FromAgent,
    (code, words): (&'static str, &'static str),
) -> protocol::Files {
    protocol::Files {
        id: request.request_id(),
        ok: false,
        text: words.to_owned(),
        data: json!({"code": code}),
    }
}

impl TickLoop {
    /// Before the first tick that this host shows: what lasts from before, and what strikes now.
    pub(super) async fn first_faults(&mut self) {
        let standing = self.faults.standing();
        self.tell_door(&standing);
        self.strike(&standing).await;
        let news = self.faults_due(self.door.tick());
        self.strike(&news).await;
    }

    /// What changes when a tick is shown, told to the door; `strike` does the rest.
    pub(super) fn faults_due(&mut self, tick: u64) -> Vec<News> {
        let news = self.faults.due(tick);
        for one in &news {
            let (line, kind) = (one.line, one.kind);
            let fact = match one.strikes {
                Some(ticks) => InputBody::Fault { line, kind, ticks },
                None => InputBody::FaultOver { line, kind },
            };
            self.door.fact(one.seat, fact);
            let name = self.board.name(one.seat);
            let word = if one.strikes.is_some() {
                "strikes"
            } else {
                "is over"
            };
            tracing::info!(
                seat = name,
                tick,
                fault = kind.word(),
                "a fault of the scenario {word}"
            );
        }
        self.tell_door(&news);
        news
    }

    fn tell_door(&mut self, news: &[News]) {
        for one in news {
            let (seat, strikes) = (one.seat, one.strikes.is_some());
            match one.kind {
                FaultKind::Mute => self.door.mute(seat, strikes),
                FaultKind::CutOff => self.door.cut(seat, self.is_cut(seat)),
                // What has no process cannot be stopped: it gives no answer.
                FaultKind::Freeze if !self.has_process(seat) => {
                    self.door.cut(seat, self.is_cut(seat));
                }
                FaultKind::Kill if self.is_builtin(seat) => {
                    self.builtins.retain(|(other, _)| *other != seat);
                    self.hopeful[seat] = false;
                    let reason = "killed by a fault of the scenario";
                    self.door.leave(seat, reason.into());
                    self.set(seat, Status::Exited, Some(reason.into()));
                }
                FaultKind::Kill | FaultKind::Freeze | FaultKind::FillDisk => {}
            }
        }
    }

    fn has_process(&self, seat: usize) -> bool {
        !self.is_builtin(seat) && !self.agents.is_open_to_clients(seat)
    }

    /// Whether anything that lasts keeps a seat from seeing and answering.
    fn is_cut(&self, seat: usize) -> bool {
        let has_process = self.has_process(seat);
        self.faults.active.iter().any(|active| {
            active.seat == seat
                && match active.kind {
                    FaultKind::CutOff => true,
                    FaultKind::Freeze => !has_process,
                    FaultKind::Kill | FaultKind::Mute | FaultKind::FillDisk => false,
                }
        })
    }

    fn is_builtin(&self, seat: usize) -> bool {
        self.builtins.iter().any(|(other, _)| *other == seat)
    }

    /// Does to agents' processes what faults do, before they are shown anything more.
    pub(super) async fn strike(&mut self, news: &[News]) {
        let mut waits = Vec::new();
        let processes = &self.agents.processes;
        for one in news {
            match (one.kind, one.strikes.is_some()) {
                (FaultKind::Kill, true) => processes.kill(one.seat),
                (FaultKind::Freeze, true) => {
                    waits.extend(processes.freeze(one.seat).map(|done| (one.seat, done)));
                }
                (FaultKind::Freeze, false) => processes.thaw(one.seat),
                (FaultKind::FillDisk, is_full) => {
                    let done = processes.fill_disk(one.seat, is_full);
                    waits.extend(done.map(|done| (one.seat, done)));
                }
                (FaultKind::CutOff, is_cut) => self.faults.bars.set(one.seat, is_cut),
                (FaultKind::Kill | FaultKind::Mute, _) => {}
            }
        }
        let due = tokio::time::Instant::now() + PATIENCE;
        for (seat, done) in waits {
            // A seat that has no process now has nothing to wait for.
            if tokio::time::timeout_at(due, done).await.is_err() {
                let name = self.board.name(seat);
                tracing::warn!(
                    seat = name,
                    "its processes did not obey within {PATIENCE:?}"
                );
            }
        }
    }

    /// The run is over: agents hear of it, whatever struck them.
    pub(super) fn relieve(&mut self) {
        for active in std::mem::take(&mut self.faults.active) {
            match active.kind {
                FaultKind::Freeze => self.agents.processes.thaw(active.seat),
                FaultKind::FillDisk => {
                    // Nobody waits: what agents still say is not about files.
                    drop(self.agents.processes.fill_disk(active.seat, false));
                }
                FaultKind::CutOff => self.faults.bars.set(active.seat, false),
                FaultKind::Kill | FaultKind::Mute => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use formicarium_engine::SeatId;

    use super::*;

    fn faults(at: Vec<u64>, active: Vec<Active>) -> Faults {
        let spec = FaultSpec {
            kind: FaultKind::Mute,
            seats: vec![SeatId(0), SeatId(2)],
            at,
            chance: 0.0,
            ticks: 3,
            line: 1,
        };
        Faults::new(vec![spec], 1, active, Bars::default())
    }

    /// Seats and what changes for them.
    fn changes(news: &[News]) -> Vec<(usize, Option<u64>)> {
        news.iter().map(|news| (news.seat, news.strikes)).collect()
    }

    #[test]
    fn a_fault_lasts_and_is_over_and_does_not_strike_twice_meanwhile() {
        let mut faults = faults(vec![2, 4, 5], Vec::new());
        assert_eq!(changes(&faults.due(1)), []);
        assert_eq!(changes(&faults.due(2)), [(0, Some(3)), (2, Some(3))]);
        assert_eq!(faults.silence(2), Some(("muted", MUTED)));
        assert_eq!(faults.silence(1), None);
        assert_eq!(changes(&faults.due(3)), []);
        assert_eq!(changes(&faults.due(4)), []);
        // Over and struck again at one tick.
        let again = [(0, None), (2, None), (0, Some(3)), (2, Some(3))];
        assert_eq!(changes(&faults.due(5)), again);
    }

    #[test]
    fn a_run_that_goes_on_is_still_in_the_midst_of_it() {
        let active = Active {
            seat: 2,
            line: 1,
            kind: FaultKind::Mute,
            until: 6,
        };
        let mut faults = faults(vec![4], vec![active]);
        assert_eq!(changes(&faults.standing()), [(2, Some(0))]);
        assert_eq!(changes(&faults.due(5)), []);
        assert_eq!(changes(&faults.due(6)), [(2, None)]);
    }
}
