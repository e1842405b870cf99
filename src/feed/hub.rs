//! Encodes each tick once and hands the bytes to every client; keeps what late joiners need.
//!
//! What it is handed comes from `handover`. Must not know sockets or the tick loop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use formicarium_engine::{Picture as WorldPicture, TickOutput};
use tokio::sync::broadcast;

use super::files::FilesDelta;
use super::picture::{Past, Picture};
use super::wire::{
    self, ClientLimits, Compress, CostTotals, Event, Kind, Phase, Resume, SeatStatus, Static,
    ToClient,
};

/// Frames that a client may lag behind before it gets a gap and a snapshot.
const DATA_QUEUE: usize = 64;
/// Control messages that a client may lag behind before it is closed.
const CONTROL_QUEUE: usize = 256;
/// Frames kept for resuming clients: at most this long and this many bytes.
const RING_AGE: Duration = Duration::from_secs(10);
const RING_BYTES: usize = 8 << 20;
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Events between two ticks that wait for the next frame; more are dropped from the feed (the
/// recording has them).
const PENDING_EVENTS: usize = 1000;
/// Clients at once.
const CLIENTS: usize = 10_000;

/// A binary frame, encoded once; compressed once, when the first client wants it so.
#[derive(Debug)]
pub struct Frame {
    /// Its number in the stream.
    pub seq: u64,
    kind: Kind,
    tick: u64,
    plain: Bytes,
    deflated: OnceLock<Bytes>,
}

impl Frame {
    fn new(kind: Kind, seq: u64, tick: u64, payload: &[u8]) -> Arc<Frame> {
        let plain = wire::frame(kind, seq, tick, payload, false);
        Arc::new(Frame {
            seq,
            kind,
            tick,
            plain,
            deflated: OnceLock::new(),
        })
    }

    /// The bytes in the form that a client asked for.
    pub fn bytes(&self, compress: Compress) -> Bytes {
        match compress {
            Compress::None => self.plain.clone(),
            Compress::Deflate => self
                .deflated
                .get_or_init(|| {
                    wire::frame(
                        self.kind,
                        self.seq,
                        self.tick,
                        &self.plain[wire::HEADER..],
                        true,
                    )
                })
                .clone(),
        }
    }
}

pub(super) enum Message {
    Tick {
        output: Arc<TickOutput>,
        whole: Option<Box<WorldPicture>>,
        files: Option<Box<FilesDelta>>,
    },
    Files(Box<FilesDelta>),
    Event(Event),
    Status(SeatStatus),
    Cost(u32, CostTotals),
    Phase(Phase),
    Flush,
    End {
        tick: u64,
        reason: String,
        scores: Vec<f64>,
    },
}

/// The clients' side of the feed.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    data: broadcast::Sender<Arc<Frame>>,
    control: broadcast::Sender<Said>,
    clients: AtomicUsize,
    run: RunFacts,
    static_frame: Arc<Frame>,
}

/// What `welcome` says of a run.
#[derive(Debug, Clone)]
struct RunFacts {
    run: String,
    epoch: String,
    mode: String,
    hz: f64,
    first_tick: u64,
    ticks: u64,
}

#[derive(Debug)]
struct State {
    picture: Picture,
    seq: u64,
    phase: Phase,
    tps: f64,
    ring: VecDeque<(Instant, Arc<Frame>)>,
    ring_bytes: usize,
    snapshot: Option<Arc<Frame>>,
    end: Option<ToClient>,
}

/// What a client starts with.
#[derive(Debug)]
pub struct Joined {
    /// The first message.
    pub welcome: ToClient,
    /// Status of all seats, and the end if the run is over.
    pub control: Vec<ToClient>,
    /// Frames to send first.
    pub frames: Vec<Arc<Frame>>,
    /// Number of the last of them.
    pub seq: u64,
    /// Frames from then on.
    pub data: broadcast::Receiver<Arc<Frame>>,
    /// Control messages from then on, as JSON text.
    pub messages: broadcast::Receiver<Said>,
}

/// A control message, as JSON text.
#[derive(Debug, Clone)]
pub struct Said {
    /// The text.
    pub json: Bytes,
    /// Nothing comes after it, and all frames before it.
    pub last: bool,
}

impl Hub {
    /// A hub before the first tick.
    pub(super) fn new(
        statics: &Static,
        world: &WorldPicture,
        scores: Vec<f64>,
        epoch: String,
        (past, total): (Past, u64),
    ) -> Hub {
        let payload = serde_json::to_vec(statics).expect("feed payloads have string keys");
        let run = RunFacts {
            run: statics.run.clone(),
            epoch,
            mode: statics.mode.clone(),
            hz: statics.hz,
            first_tick: past.tick,
            ticks: total,
        };
        let mut picture = Picture::new(past.tick, world, scores, statics.seats.len());
        for (tick, metrics) in &past.metrics {
            picture.recall(*tick, metrics);
        }
        let state = State {
            picture,
            seq: 0,
            phase: Phase::Starting,
            tps: 0.0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            snapshot: None,
            end: None,
        };
        Hub {
            state: Mutex::new(state),
            data: broadcast::channel(DATA_QUEUE).0,
            control: broadcast::channel(CONTROL_QUEUE).0,
            clients: AtomicUsize::new(0),
            run,
            static_frame: Frame::new(Kind::Static, 0, 0, &payload),
        }
    }

    /// Number of clients that have been welcomed and not left.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Takes a place for a client; false if all are taken. Give it back with `leave`.
    pub fn enter(&self) -> bool {
        self.clients
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < CLIENTS).then_some(n + 1)
            })
            .is_ok()
    }

    /// Gives a client's place back.
    pub fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    /// What a client needs to start, or to go on after a gap.
    pub fn join(&self, resume: Option<&Resume>) -> Joined {
        let mut state = self.lock();
        let first_kept = state
            .ring
            .front()
            .map_or(state.seq + 1, |(_, frame)| frame.seq);
        let resumed = resume.is_some_and(|resume| {
            resume.epoch == self.run.epoch
                && resume.seq <= state.seq
                && resume.seq + 1 >= first_kept
        });
        let frames = match resume {
            Some(resume) if resumed => state
                .ring
                .iter()
                .map(|(_, frame)| frame.clone())
                .filter(|frame| frame.seq > resume.seq)
                .collect(),
            _ => vec![self.static_frame.clone(), state.snapshot()],
        };
        let welcome = ToClient::Welcome {
            proto: wire::PROTOCOL.into(),
            run: self.run.run.clone(),
            epoch: self.run.epoch.clone(),
            tick: state.picture.tick(),
            first_tick: self.run.first_tick,
            head_tick: state.picture.tick(),
            mode: self.run.mode.clone(),
            hz: self.run.hz,
            ticks: self.run.ticks,
            phase: state.phase,
            caps: vec!["deflate", "resume", "files"],
            limits: ClientLimits {
                frame_bytes: wire::CLIENT_FRAME_MOST,
                clients: CLIENTS,
            },
            resumed,
        };
        let mut control = vec![state.status(state.picture.status().to_vec())];
        control.extend(state.end.clone());
        // Subscribed under the lock under which frames are sent: nothing is missed or doubled.
        Joined {
            welcome,
            control,
            frames,
            seq: state.seq,
            data: self.data.subscribe(),
            messages: self.control.subscribe(),
        }
    }

    /// A fresh snapshot and its number, for a client that fell behind.
    pub fn snapshot(&self) -> (Arc<Frame>, broadcast::Receiver<Arc<Frame>>) {
        let mut state = self.lock();
        (state.snapshot(), self.data.subscribe())
    }

    /// Newest tick and frame.
    pub fn head(&self) -> (u64, u64) {
        let state = self.lock();
        (state.picture.tick(), state.seq)
    }

    /// A panic of another holder leaves the state readable: it is replaced whole by each tick.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the tick loop hands over, until it lets go. On a thread of its own.
    pub(super) fn serve(&self, inbox: &Receiver<Message>) {
        let mut pending: Vec<Event> = Vec::new();
        let mut beat = Instant::now();
        let mut beat_tick = 0;
        loop {
            let wait = HEARTBEAT.saturating_sub(beat.elapsed());
            match inbox.recv_timeout(wait) {
                Ok(message) => self.take(message, &mut pending),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if beat.elapsed() >= HEARTBEAT {
                let mut state = self.lock();
                let tick = state.picture.tick();
                state.tps = (tick - beat_tick) as f64 / beat.elapsed().as_secs_f64();
                (beat, beat_tick) = (Instant::now(), tick);
                let status = state.status(Vec::new());
                self.say(&status);
            }
        }
    }

    fn take(&self, message: Message, pending: &mut Vec<Event>) {
        match message {
            Message::Event(event) => {
                if pending.len() < PENDING_EVENTS {
                    pending.push(event);
                }
            }
            Message::Status(status) => {
                let mut state = self.lock();
                let changed = state.picture.set_status(status);
                self.tell_status(&mut state, changed);
            }
            Message::Cost(seat, cost) => {
                let mut state = self.lock();
                let changed = state.picture.set_cost(seat, cost);
                self.tell_status(&mut state, changed);
            }
            Message::Phase(phase) => {
                let mut state = self.lock();
                state.phase = phase;
                let message = state.status(Vec::new());
                self.say(&message);
            }
            Message::Flush => self.show(pending),
            Message::Files(delta) => {
                let mut state = self.lock();
                let json = state.picture.files(*delta);
                self.show_more(&mut state, json);
            }
            Message::End {
                tick,
                reason,
                scores,
            } => {
                self.show(pending);
                let mut state = self.lock();
                let json = state.picture.end();
                self.show_more(&mut state, json);
                state.phase = Phase::Ended;
                let end = ToClient::End {
                    tick,
                    reason,
                    scores,
                };
                self.say(&end);
                state.end = Some(end);
            }
            Message::Tick {
                output,
                whole,
                files,
            } => {
                let mut events = std::mem::take(pending);
                events.extend(
                    output
                        .events
                        .iter()
                        .map(|event| Event::of_world(output.tick, event)),
                );
                let mut state = self.lock();
                let lost = whole.is_some();
                if let Some(whole) = whole {
                    state.picture.replace(&whole);
                }
                let json = state.picture.apply(
                    output.tick,
                    &output.delta,
                    &output.scores,
                    &output.metrics,
                    events,
                    files.map(|delta| *delta),
                );
                // A number is left out where ticks were lost, so that clients see the gap.
                state.seq += if lost { 2 } else { 1 };
                state.snapshot = None;
                let frame = if lost {
                    state.ring.clear();
                    state.ring_bytes = 0;
                    state.snapshot()
                } else {
                    Frame::new(Kind::Tick, state.seq, output.tick, &json)
                };
                state.keep(frame.clone());
                // Nobody listening is no fault.
                let _ = self.data.send(frame);
            }
        }
    }

    /// Sends what waits for the next tick with a frame of the present one.
    fn show(&self, pending: &mut Vec<Event>) {
        if pending.is_empty() {
            return;
        }
        let mut state = self.lock();
        let json = state.picture.add(std::mem::take(pending));
        self.show_more(&mut state, Some(json));
    }

    /// Sends one more frame of the present tick, if there is something to tell.
    fn show_more(&self, state: &mut State, json: Option<Vec<u8>>) {
        let Some(json) = json else { return };
        state.seq += 1;
        state.snapshot = None;
        let frame = Frame::new(Kind::Tick, state.seq, state.picture.tick(), &json);
        state.keep(frame.clone());
        // Nobody listening is no fault.
        let _ = self.data.send(frame);
    }

    fn tell_status(&self, state: &mut State, changed: Option<SeatStatus>) {
        if let Some(status) = changed {
            state.snapshot = None;
            self.say(&state.status(vec![status]));
        }
    }

    fn say(&self, message: &ToClient) {
        let json = serde_json::to_vec(message).expect("feed messages have string keys");
        let _ = self.control.send(Said {
            json: json.into(),
            last: matches!(message, ToClient::End { .. }),
        });
    }
}

impl State {
    fn status(&self, seats: Vec<SeatStatus>) -> ToClient {
        ToClient::Status {
            phase: self.phase,
            head_tick: self.picture.tick(),
            head_seq: self.seq,
            tps: self.tps,
            seats,
        }
    }

    /// The snapshot of the present state, made once per state however many ask.
    fn snapshot(&mut self) -> Arc<Frame> {
        if let Some(frame) = &self.snapshot {
            return frame.clone();
        }
        let frame = Frame::new(
            Kind::Snapshot,
            self.seq,
            self.picture.tick(),
            &self.picture.snapshot(),
        );
        self.snapshot = Some(frame.clone());
        frame
    }

    fn keep(&mut self, frame: Arc<Frame>) {
        self.ring_bytes += frame.plain.len();
        self.ring.push_back((Instant::now(), frame));
        while let Some((since, oldest)) = self.ring.front() {
            if since.elapsed() <= RING_AGE && self.ring_bytes <= RING_BYTES {
                break;
            }
            self.ring_bytes -= oldest.plain.len();
            self.ring.pop_front();
        }
    }
}
