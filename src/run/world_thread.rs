//! The thread that owns the World. Requests and replies cross by bounded channels, in order.
//!
//! Observations are encoded here, in batches, so that the tick loop hands out the first ones while
//! the rest is still being made. Must not know agents, the recording or the clock.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use formicarium_engine::{Observation, Picture, SeatId, TickInput, TickOutput, World};
use tokio::sync::mpsc;

use super::catalogue::Catalogue;
use super::clock::Terms;
use super::door::DoorResult;
use super::line;
use crate::held::held;

/// Observation lines handed over at once.
const BATCH: usize = 32;
/// Replies that may wait for the tick loop.
const REPLIES: usize = 64;

enum Ask {
    Step(Arc<TickInput>),
    Observe {
        results: Vec<Vec<DoorResult>>,
        terms: Vec<Option<Terms>>,
    },
    Keyframe,
    Picture,
    CouldSet {
        name: String,
        value: String,
    },
    Parameters,
}

/// What the world answers.
#[derive(Debug)]
enum Reply {
    Stepped {
        output: Box<TickOutput>,
        step_us: u64,
    },
    Lines(Vec<(usize, Arc<[u8]>)>),
    Observed,
    Keyframe(Vec<u8>),
    Picture(Box<Picture>),
    CouldSet(Result<(), String>),
    Parameters(serde_json::Value),
}

/// Handle to the world's thread.
#[derive(Debug)]
pub struct WorldThread {
    asks: Option<SyncSender<Ask>>,
    replies: mpsc::Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
}

/// The world's thread has panicked: a bug of ours.
#[derive(Debug, thiserror::Error)]
#[error(
    "the world's thread ended unexpectedly; this is a bug in formicarium, the recording up to here is intact"
)]
pub struct WorldGone;

impl WorldThread {
    /// Moves the world to a thread of its own. `shown[seat]`: whether the seat wants observation lines.
    pub fn start(
        world: World,
        catalogue: Arc<Catalogue>,
        shown: Vec<bool>,
    ) -> std::io::Result<WorldThread> {
        let (asks, inbox) = sync_channel(4);
        let (outbox, replies) = mpsc::channel(REPLIES);
        let names = world.seats().iter().map(|seat| seat.name.clone()).collect();
        let mut keeper = Owner {
            world,
            catalogue,
            shown,
            names,
            outbox,
        };
        let thread = std::thread::Builder::new()
            .name("world".into())
            .spawn(move || {
                while let Ok(ask) = inbox.recv() {
                    if keeper.serve(ask).is_none() {
                        return;
                    }
                }
            })?;
        Ok(WorldThread {
            asks: Some(asks),
            replies,
            thread: Some(thread),
        })
    }

    /// Starts a step; `stepped` waits for it.
    pub fn step(&self, input: Arc<TickInput>) {
        self.ask(Ask::Step(input));
    }

    /// The output of the step and its duration in microseconds.
    pub async fn stepped(&mut self) -> Result<(Box<TickOutput>, u64), WorldGone> {
        match held(self.replies.recv()).await {
            Some(Reply::Stepped { output, step_us }) => Ok((output, step_us)),
            _ => Err(WorldGone),
        }
    }

    /// Starts the encoding of what the seats with terms are shown; take it with `lines` until that gives none.
    pub fn observe(&self, results: Vec<Vec<DoorResult>>, terms: Vec<Option<Terms>>) {
        self.ask(Ask::Observe { results, terms });
    }

    /// The next batch of observation lines; none when all are made.
    pub async fn lines(&mut self) -> Result<Option<Vec<(usize, Arc<[u8]>)>>, WorldGone> {
        match held(self.replies.recv()).await {
            Some(Reply::Lines(lines)) => Ok(Some(lines)),
            Some(Reply::Observed) => Ok(None),
            _ => Err(WorldGone),
        }
    }

    /// The whole state, encoded.
    pub async fn keyframe(&mut self) -> Result<Vec<u8>, WorldGone> {
        self.ask(Ask::Keyframe);
        match held(self.replies.recv()).await {
            Some(Reply::Keyframe(body)) => Ok(body),
            _ => Err(WorldGone),
        }
    }

    /// What spectators see.
    pub async fn picture(&mut self) -> Result<Picture, WorldGone> {
        self.ask(Ask::Picture);
        match held(self.replies.recv()).await {
            Some(Reply::Picture(picture)) => Ok(*picture),
            _ => Err(WorldGone),
        }
    }

    /// Whether a parameter could be set now; why not, in a sentence.
    pub async fn could_set(
        &mut self,
        name: String,
        value: String,
    ) -> Result<Result<(), String>, WorldGone> {
        self.ask(Ask::CouldSet { name, value });
        match self.replies.recv().await {
            Some(Reply::CouldSet(verdict)) => Ok(verdict),
            _ => Err(WorldGone),
        }
    }

    /// The parameters as they are now, by name.
    pub async fn parameters(&mut self) -> Result<serde_json::Value, WorldGone> {
        self.ask(Ask::Parameters);
        match self.replies.recv().await {
            Some(Reply::Parameters(values)) => Ok(values),
            _ => Err(WorldGone),
        }
    }

    /// A failed send means that the thread is gone; the reply that follows reports it.
    fn ask(&self, ask: Ask) {
        if let Some(asks) = &self.asks {
            let _ = asks.send(ask);
        }
    }
}

impl Drop for WorldThread {
    fn drop(&mut self) {
        self.asks = None;
        self.replies.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Owner {
    world: World,
    catalogue: Arc<Catalogue>,
    shown: Vec<bool>,
    names: Vec<String>,
    outbox: mpsc::Sender<Reply>,
}

impl Owner {
    /// None when nobody listens any more.
    fn serve(&mut self, ask: Ask) -> Option<()> {
        match ask {
            Ask::Step(input) => {
                let begin = Instant::now();
                let output = Box::new(self.world.step(&input));
                let step_us = begin.elapsed().as_micros() as u64;
                self.reply(Reply::Stepped { output, step_us })
            }
            Ask::Observe { results, terms } => self.observe(&results, &terms),
            Ask::Keyframe => {
                let body = self.world.keyframe();
                self.reply(Reply::Keyframe(body))
            }
            Ask::Picture => {
                let picture = Box::new(self.world.picture());
                self.reply(Reply::Picture(picture))
            }
            Ask::CouldSet { name, value } => {
                let verdict = self.world.could_set(&name, &value);
                self.reply(Reply::CouldSet(verdict))
            }
            Ask::Parameters => {
                let values = serde_json::to_value(self.world.params()).unwrap_or_default();
                self.reply(Reply::Parameters(values))
            }
        }
    }

    fn observe(&mut self, results: &[Vec<DoorResult>], terms: &[Option<Terms>]) -> Option<()> {
        let mut batch = Vec::with_capacity(BATCH);
        for seat in 0..self.shown.len() {
            let Some(terms) = terms.get(seat).copied().flatten() else {
                continue;
            };
            if !self.shown[seat] {
                continue;
            }
            let observation: Observation = self.world.observe(SeatId(seat as u32));
            let door = results.get(seat).map_or(&[][..], Vec::as_slice);
            let line = line::observe(&observation, terms, &self.names, &self.catalogue, door);
            batch.push((seat, line.into()));
            if batch.len() == BATCH {
                self.reply(Reply::Lines(std::mem::replace(
                    &mut batch,
                    Vec::with_capacity(BATCH),
                )))?;
            }
        }
        if !batch.is_empty() {
            self.reply(Reply::Lines(batch))?;
        }
        self.reply(Reply::Observed)
    }

    fn reply(&self, reply: Reply) -> Option<()> {
        self.outbox.blocking_send(reply).ok()
    }
}
