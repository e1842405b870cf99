//! The tick loop's side of the feed: hands over ticks, events and statuses, and never waits.
//!
//! A full queue loses ticks for spectators only; the next one then brings the whole picture, and the newest status of
//! each seat. Must not know what a spectator is sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use formicarium_engine::{Picture as WorldPicture, TickOutput};

use super::files::FilesDelta;
use super::hub::{Hub, Message};
use super::picture::Past;
use super::wire::{CostTotals, Event, Phase, SeatStatus, Static};

/// Values that may wait for the hub.
const QUEUE: usize = 256;

/// The tick loop's side of the feed.
#[derive(Debug)]
pub struct Feed {
    line: Line,
    lost: AtomicBool,
    hub: Arc<Hub>,
}

/// The bounded queue to the hub, with what must not be lost.
#[derive(Debug)]
struct Line {
    queue: SyncSender<Message>,
    late: Mutex<Late>,
}

/// What did not fit into the queue: the newest of each seat, the phase, and what became of the shared files, which holds
/// the newest of each path.
#[derive(Debug, Default)]
struct Late {
    status: BTreeMap<u32, SeatStatus>,
    cost: BTreeMap<u32, CostTotals>,
    phase: Option<Phase>,
    files: Option<Box<FilesDelta>>,
}

impl Feed {
    /// Starts the hub's thread, after `past`. `total` is the last tick (0 = no end).
    pub fn start(
        statics: &Static,
        world: &WorldPicture,
        scores: Vec<f64>,
        epoch: String,
        (past, total): (Past, u64),
    ) -> std::io::Result<Feed> {
        let (queue, inbox) = sync_channel(QUEUE);
        let hub = Arc::new(Hub::new(statics, world, scores, epoch, (past, total)));
        let shared = hub.clone();
        std::thread::Builder::new()
            .name("feed".into())
            .spawn(move || shared.serve(&inbox))?;
        Ok(Feed {
            line: Line::new(queue),
            lost: AtomicBool::new(false),
            hub,
        })
    }

    /// The clients' side.
    pub fn hub(&self) -> Arc<Hub> {
        self.hub.clone()
    }

    /// True if ticks were lost since the last one sent: the next one must bring the whole picture.
    pub fn wants_whole(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Hands over a tick, with what its input says of the shared files. Never waits.
    pub fn tick(
        &self,
        output: Arc<TickOutput>,
        whole: Option<WorldPicture>,
        files: Option<FilesDelta>,
    ) {
        self.line.catch_up();
        let healed = whole.is_some();
        if !self.line.tick(output, whole, files) {
            self.lost.store(true, Ordering::Relaxed);
        } else if healed {
            self.lost.store(false, Ordering::Relaxed);
        }
    }

    /// Hands over the shared files as they stand before the first tick. Never waits.
    pub fn files(&self, delta: FilesDelta) {
        self.line.files(delta);
    }

    /// Hands over something around an agent. Never waits; a full queue drops it.
    pub fn event(&self, event: Event) {
        let _ = self.line.queue.try_send(Message::Event(event));
    }

    /// Shows at once what was handed over since the last tick, for when the next may be long in coming. Never waits.
    pub fn flush(&self) {
        let _ = self.line.queue.try_send(Message::Flush);
    }

    /// Hands over a seat's status, now or with the next tick. Never waits.
    pub fn status(&self, status: SeatStatus) {
        self.line.status(status);
    }

    /// Hands over what a seat has used, now or with the next tick. Never waits.
    pub fn cost(&self, seat: u32, cost: CostTotals) {
        self.line.cost(seat, cost);
    }

    /// The run entered a phase; told now or with the next tick. Never waits.
    pub fn phase(&self, phase: Phase) {
        self.line.phase(phase);
    }

    /// The run is over; waits for room, since nothing comes after it.
    pub fn end(&self, tick: u64, reason: String, scores: Vec<f64>) {
        self.line.catch_up();
        let _ = self.line.queue.send(Message::End {
            tick,
            reason,
            scores,
        });
    }
}

impl Line {
    fn new(queue: SyncSender<Message>) -> Line {
        Line {
            queue,
            late: Mutex::default(),
        }
    }

    /// Tries again with what did not fit.
    fn catch_up(&self) {
        let Late {
            status,
            cost,
            phase,
            files,
        } = std::mem::take(&mut *self.late());
        // They go with the tick that follows.
        self.late().files = files;
        phase.into_iter().for_each(|phase| self.phase(phase));
        status.into_values().for_each(|status| self.status(status));
        cost.into_iter()
            .for_each(|(seat, cost)| self.cost(seat, cost));
    }

    /// False if it did not fit: then the tick is lost, and what became of the files waits for the next.
    fn tick(
        &self,
        output: Arc<TickOutput>,
        whole: Option<WorldPicture>,
        files: Option<FilesDelta>,
    ) -> bool {
        let mut late = self.late();
        let files = match (late.files.take(), files) {
            (Some(mut before), Some(files)) => {
                before.then(files);
                Some(before)
            }
            (before, files) => before.or(files.map(Box::new)),
        };
        let message = Message::Tick {
            output,
            whole: whole.map(Box::new),
            files,
        };
        match self.queue.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Tick { files, .. } = message {
                    late.files = files;
                }
                false
            }
        }
    }

    fn files(&self, delta: FilesDelta) {
        let mut late = self.late();
        if let Err(TrySendError::Full(Message::Files(delta))) =
            self.queue.try_send(Message::Files(Box::new(delta)))
        {
            late.files = Some(delta);
        }
    }

    fn status(&self, status: SeatStatus) {
        let mut late = self.late();
        late.status.remove(&status.seat);
        if let Err(TrySendError::Full(Message::Status(status))) =
            self.queue.try_send(Message::Status(status))
        {
            late.status.insert(status.seat, status);
        }
    }

    fn cost(&self, seat: u32, cost: CostTotals) {
        let mut late = self.late();
        late.cost.remove(&seat);
        if let Err(TrySendError::Full(Message::Cost(seat, cost))) =
            self.queue.try_send(Message::Cost(seat, cost))
        {
            late.cost.insert(seat, cost);
        }
    }

    fn phase(&self, phase: Phase) {
        let full = self.queue.try_send(Message::Phase(phase)).is_err();
        self.late().phase = full.then_some(phase);
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        // Whole between any two statements.
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(seat: u32, word: &'static str) -> SeatStatus {
        SeatStatus {
            seat,
            status: word,
            reason: None,
            cost: None,
        }
    }

    #[test]
    fn the_newest_status_of_a_seat_outlives_a_full_queue() {
        let (queue, inbox) = sync_channel(2);
        let line = Line::new(queue);
        line.phase(Phase::Running);
        line.status(status(0, "playing"));
        // The queue is full.
        line.status(status(1, "late"));
        line.status(status(0, "late"));
        line.status(status(1, "absent"));
        let cost = CostTotals {
            tokens: 1,
            calls: 1,
            usd: 0.0,
        };
        line.cost(1, cost);
        line.phase(Phase::Ended);
        assert_eq!(inbox.try_iter().count(), 2);
        line.status(status(0, "exited"));
        line.catch_up();
        line.catch_up();
        let told: Vec<String> = inbox
            .try_iter()
            .map(|message| match message {
                Message::Status(status) => format!("{} {}", status.seat, status.status),
                Message::Cost(seat, _) => format!("{seat} cost"),
                Message::Phase(phase) => format!("{phase:?}"),
                _ => panic!("nothing else was handed over"),
            })
            .collect();
        assert_eq!(told, ["0 exited", "Ended"], "what fits, the rest later");
        line.catch_up();
        assert_eq!(
            inbox.try_iter().count(),
            2,
            "of seat 1: absent, and its cost"
        );
        line.catch_up();
        assert_eq!(inbox.try_iter().count(), 0, "each is told once");
    }

    #[test]
    fn what_became_of_the_files_outlives_a_full_queue_in_one_piece() {
        use crate::feed::files::{PathState, Waiting};
        use crate::feed::files_wire::Standing;

        let output = Arc::new(TickOutput {
            tick: 1,
            events: Vec::new(),
            rejections: Vec::new(),
            delta: formicarium_engine::Delta::default(),
            metrics: Vec::new(),
            scores: Vec::new(),
            hash: 0,
            parts: Vec::new(),
            ended: None,
        });
        let delta = |sequence, path: &str, refused| {
            let state = PathState {
                sequence,
                version: sequence,
                standing: Standing::File,
                bytes: 1,
                seat: None,
                tick: sequence,
            };
            FilesDelta {
                paths: [(path.to_owned(), state)].into(),
                waiting: (sequence == 3).then(Vec::<Waiting>::new),
                count: sequence,
                refused,
                ..FilesDelta::default()
            }
        };
        let (queue, inbox) = sync_channel(1);
        let line = Line::new(queue);
        line.phase(Phase::Running);
        line.files(delta(1, "a", 0));
        assert!(!line.tick(output.clone(), None, Some(delta(2, "b", 1))));
        assert!(!line.tick(output.clone(), None, None));
        assert!(!line.tick(output.clone(), None, Some(delta(3, "a", 1))));
        line.catch_up();
        assert_eq!(inbox.try_iter().count(), 1, "the phase alone");
        assert!(line.tick(output.clone(), None, Some(delta(4, "c", 0))));
        let Ok(Message::Tick {
            files: Some(files), ..
        }) = inbox.try_recv()
        else {
            panic!("a tick with files")
        };
        let told: Vec<_> = files.paths.iter().map(|(p, s)| (&**p, s.version)).collect();
        assert_eq!(told, [("a", 3), ("b", 2), ("c", 4)]);
        assert_eq!(
            (files.count, files.refused, files.waiting),
            (4, 2, Some(vec![]))
        );
        assert!(line.tick(output, None, None));
        let Ok(Message::Tick { files, .. }) = inbox.try_recv() else {
            panic!("a tick")
        };
        assert_eq!(files, None, "each is told once");
    }
}
