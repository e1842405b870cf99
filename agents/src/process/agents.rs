//! All agents as the host holds them: start, send, stop, shut down.
//!
//! Sends go straight into the agent's pipe; everything else is an order to the driver. Must not wait for anything but the
//! start of folders and the end of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use super::driver::Driver;
use super::halt::{Halt, Stopper};
use super::io::{DESCRIPTORS_PER_SOCKET, Poller, Token, raise_descriptor_limit};
use super::link::{Link, Note, Outgoing};
use super::nursery::Nursery;
use super::quota::{self, Quota};
use super::seat::Seat;
use super::state::{Machine, Terms};
use super::stroke::Stroke;
use crate::adapter;
use crate::event::AgentEvent;
use crate::plan::SeatPlan;
use crate::sys;
use crate::workspace::{self, Workspace, WorkspaceError};

/// Descriptors that starting takes besides those kept for each process.
const DESCRIPTORS_IN_PASSING: u64 = 64;

/// Why the agents could not be started. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Seats whose folders could not be prepared, all of them.
    #[error("{}", list(.0))]
    Seats(Vec<(String, WorkspaceError)>),
    /// Two plans for one seat.
    #[error("seat {0} is planned twice; a seat takes one program")]
    Twice(usize),
    /// The hard limit of open files is too low.
    #[error(
        "{seats} agents need {needed} open files, and the hard limit of this process is {hard}; raise it (ulimit -Hn, or \
         --ulimit nofile={needed}:{needed} for a container) or run fewer agents"
    )]
    Descriptors {
        /// Seats planned.
        seats: usize,
        /// Descriptors needed.
        needed: u64,
        /// The limit.
        hard: u64,
    },
    /// The system refused.
    #[error("the system refused {what}: {error}")]
    System {
        /// What was refused.
        what: &'static str,
        /// Its reason.
        error: std::io::Error,
    },
}

fn list(seats: &[(String, WorkspaceError)]) -> String {
    seats
        .iter()
        .map(|(seat, error)| format!("seat {seat}: {error}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// All seats that are processes. Dropped without [`Agents::shutdown`], their processes are ended all the same, by their
/// keepers.
#[derive(Debug)]
pub struct Agents {
    shared: Arc<Shared>,
    /// Slot of each seat index; `u32::MAX` for a seat that is no process.
    slots: Vec<u32>,
    task: JoinHandle<Nursery>,
    /// Folders of seats with a user of their own.
    gates: Vec<PathBuf>,
}

/// Seats whose folders are prepared, and whose processes are not started yet.
pub struct Prepared {
    seats: Vec<Seat>,
    shared: Arc<Shared>,
    slots: Vec<u32>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("seats", &self.seats.len())
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// The seats: their index, their plan and their folders.
    pub fn seats(&self) -> impl Iterator<Item = (usize, &SeatPlan, &Workspace)> {
        let seats = self.seats.iter();
        seats.map(|seat| (seat.index, &seat.plan, &seat.at))
    }

    /// What stops the processes of a seat and lets them go on; none for a seat that is not among these.
    pub fn stopper(&self, seat: usize) -> Option<Stopper> {
        let slot = slot_of(&self.slots, seat)?;
        let shared = Arc::clone(&self.shared);
        Some(Stopper { shared, slot })
    }

    /// Starts the processes; all that happens from then on arrives in `inbox`, which may be as small as one event: while
    /// it is full, nothing is read from agents.
    ///
    /// # Errors
    /// The system refuses a place in an epoll set.
    pub fn start(self, nursery: Nursery, inbox: Sender<AgentEvent>) -> Result<Agents, StartError> {
        let system = |what| move |error: std::io::Error| StartError::System { what, error };
        let Prepared {
            seats,
            shared,
            slots,
        } = self;
        shared
            .poller
            .add_readable(nursery.socket(), Token::Nursery)
            .map_err(|e| system("a place in the epoll set")(e.into()))?;
        let ready = shared
            .poller
            .handle()
            .and_then(sys::watch)
            .map_err(system("a place in tokio"))?;
        let gates = seats
            .iter()
            .filter(|seat| seat.plan.isolation.owner.is_some())
            .map(|seat| seat.at.root.clone())
            .collect();
        let quotas = seats
            .iter()
            .enumerate()
            .filter_map(|(slot, seat)| Quota::of(slot, seat))
            .collect();
        tokio::spawn(quota::watch(Arc::downgrade(&shared), quotas));
        let driver = Driver::new(Arc::clone(&shared), nursery, seats, inbox);
        let task = tokio::spawn(driver.run(ready));
        Ok(Agents {
            shared,
            slots,
            task,
            gates,
        })
    }
}

fn slot_of(slots: &[u32], seat: usize) -> Option<usize> {
    let slot = slots.get(seat).filter(|slot| **slot != u32::MAX);
    slot.map(|slot| *slot as usize)
}

/// What senders and the driver have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) poller: Poller,
    links: Vec<Arc<Link>>,
    /// Slots whose adapters translate what the host says.
    translated: Vec<bool>,
    mail: Mutex<Mail>,
    pub(super) wake: Notify,
    abandoned: AtomicBool,
}

/// Orders and notes for the driver. Bounded: one entry a seat and kind, and of `halts` two for each desk that is worked on.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) stops: BTreeMap<usize, String>,
    pub(super) not_reading: BTreeSet<usize>,
    pub(super) resumed: BTreeSet<usize>,
    pub(super) ended: BTreeSet<usize>,
    /// Seats that keep more in their folders than they may.
    pub(super) over: BTreeMap<usize, String>,
    /// Lines for adapters that translate.
    pub(super) told: BTreeMap<usize, Told>,
    /// Orders to stop seats' processes and to let them go on, in this order.
    pub(super) halts: Vec<(usize, Halt)>,
    /// What is done to seats on purpose, in this order.
    pub(super) strokes: Vec<(usize, Stroke)>,
    pub(super) shutdown: Option<Duration>,
}

/// Lines of the host that wait for a seat's adapter: what must arrive, in order, and the newest observation.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// `hello` of the present process and `end`.
    pub(super) control: Vec<Arc<[u8]>>,
    pub(super) observation: Option<Arc<[u8]>>,
}

impl Shared {
    /// All that has been posted since the last time.
    pub(super) fn collect(&self) -> Mail {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nobody holds the agents any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Says that a seat keeps more in its folders than it may.
    pub(super) fn post_over(&self, slot: usize, why: String) {
        self.post(|mail| mail.over.insert(slot, why));
    }

    /// Asks a seat's keeper to stop its tree or to let it go on.
    pub(super) fn post_halt(&self, slot: usize, halt: Halt) {
        self.post(|mail| mail.halts.push((slot, halt)));
    }

    fn post<R>(&self, write: impl FnOnce(&mut Mail) -> R) {
        write(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }
}

impl Agents {
    /// Prepares the folders of the seats (seat index, plan) and starts nothing.
    ///
    /// # Errors
    /// Unusable seat names and folders, missing program files, too few descriptors. A command that does not exist is a
    /// fault of its seat instead, once it is started.
    pub async fn prepare(plans: Vec<(usize, SeatPlan)>) -> Result<Prepared, StartError> {
        let system = |what| move |error: std::io::Error| StartError::System { what, error };
        let sockets = plans
            .iter()
            .filter(|(_, plan)| plan.program.adapter.has_socket())
            .count() as u64;
        let others = DESCRIPTORS_IN_PASSING + DESCRIPTORS_PER_SOCKET * sockets;
        raise_descriptor_limit(plans.len(), others)?;
        let mut slots = vec![u32::MAX; plans.iter().map(|(index, _)| index + 1).max().unwrap_or(0)];
        for (slot, (index, _)) in plans.iter().enumerate() {
            if std::mem::replace(&mut slots[*index], slot as u32) != u32::MAX {
                return Err(StartError::Twice(*index));
            }
        }
        let seats = tokio::task::spawn_blocking(move || prepare(plans))
            .await
            .map_err(|error| StartError::System {
                what: "a thread",
                error: std::io::Error::other(error),
            })?
            .map_err(StartError::Seats)?;
        let poller = Poller::new().map_err(|e| system("an epoll set")(e.into()))?;
        let shared = Arc::new(Shared {
            poller,
            links: seats.iter().map(|seat| Arc::clone(&seat.link)).collect(),
            translated: seats
                .iter()
                .map(|seat| seat.plan.program.adapter.translates())
                .collect(),
            mail: Mutex::default(),
            wake: Notify::new(),
            abandoned: AtomicBool::new(false),
        });
        Ok(Prepared {
            seats,
            shared,
            slots,
        })
    }

    /// Prepares the folders, then starts a process for each plan: see [`Agents::prepare`] and [`Prepared::start`].
    ///
    /// # Errors
    /// Before any process is started; see [`StartError`].
    pub async fn start(
        nursery: Nursery,
        plans: Vec<(usize, SeatPlan)>,
        inbox: Sender<AgentEvent>,
    ) -> Result<Agents, StartError> {
        Agents::prepare(plans).await?.start(nursery, inbox)
    }

    /// Sends a line to a seat. Never blocks: it is written at once when the agent's pipe has room, and waits otherwise.
    /// Lines to a seat without a process are dropped.
    pub fn send(&self, seat: usize, message: Outgoing) {
        let Some(slot) = self.slot(seat) else { return };
        if matches!(message, Outgoing::End(_)) {
            // Before the line: the agent's exit must find it noted.
            self.shared.post(|mail| mail.ended.insert(slot));
        }
        if self.shared.translated[slot] {
            self.shared.post(|mail| {
                let told = mail.told.entry(slot).or_default();
                match message {
                    Outgoing::Control(line) | Outgoing::End(line) => told.control.push(line),
                    Outgoing::Observation(line) => told.observation = Some(line),
                }
            });
            return;
        }
        match self.shared.links[slot].send(message, &self.shared.poller) {
            None => {}
            Some(Note::NotReading) => self.shared.post(|mail| mail.not_reading.insert(slot)),
            Some(Note::Resume) => self.shared.post(|mail| mail.resumed.insert(slot)),
        }
    }

    /// Ends a seat's process: SIGTERM, its grace time, SIGKILL; no restart. The reason comes back in its status.
    pub fn stop(&self, seat: usize, why: &str) {
        if let Some(slot) = self.slot(seat) {
            self.shared.post(|mail| {
                mail.stops.entry(slot).or_insert_with(|| why.to_owned());
            });
        }
    }

    /// Ends all processes at once: their input is closed after what still waits to be sent; SIGTERM after half of the
    /// grace time to those that live on, SIGKILL after all of it. Returns when every process tree is gone. Events that do
    /// not fit into the inbox meanwhile are dropped.
    pub async fn shutdown(mut self, grace: Duration) {
        self.shared.post(|mail| mail.shutdown = Some(grace));
        if let Ok(nursery) = (&mut self.task).await {
            let gates = std::mem::take(&mut self.gates);
            let _ = tokio::task::spawn_blocking(move || {
                nursery.finish();
                for gate in gates {
                    if let Err(error) = workspace::close_gate(&gate) {
                        tracing::warn!(folder = %gate.display(), %error, "a seat's folder could not be closed");
                    }
                }
            })
            .await;
        }
    }

    /// Posts a stroke; false for a seat that is no process.
    pub(super) fn strike(&self, seat: usize, stroke: Stroke) -> bool {
        let slot = self.slot(seat);
        if let Some(slot) = slot {
            self.shared.post(|mail| mail.strokes.push((slot, stroke)));
        }
        slot.is_some()
    }

    fn slot(&self, seat: usize) -> Option<usize> {
        slot_of(&self.slots, seat)
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
    }
}

fn prepare(plans: Vec<(usize, SeatPlan)>) -> Result<Vec<Seat>, Vec<(String, WorkspaceError)>> {
    let mut seats = Vec::with_capacity(plans.len());
    let mut errors = Vec::new();
    for (slot, (index, plan)) in plans.into_iter().enumerate() {
        match workspace::prepare(
            &plan.folder,
            &plan.seat,
            &plan.program.files,
            plan.isolation.owner,
        ) {
            Err(error) => errors.push((plan.seat, error)),
            Ok(at) => {
                let program = &plan.program;
                let terms = Terms {
                    restart: program.restart,
                    ready_ms: program.ready_ms.max(1),
                    grace_ms: program.grace_ms,
                };
                let adapter = adapter::of(&plan.program.adapter);
                seats.push(Seat {
                    index,
                    plan,
                    at,
                    machine: Machine::new(terms),
                    timer: None,
                    link: Arc::new(Link::new(slot)),
                    adapter,
                    wake: None,
                    tools: None,
                    stdout: None,
                    control: None,
                    stopping: None,
                    halted: false,
                    frozen: false,
                    freezing: None,
                    full: false,
                    filling: None,
                    serial: 0,
                    keeper: 0,
                    paused: false,
                    flooded: false,
                    log_start: 0,
                });
            }
        }
    }
    if errors.is_empty() {
        Ok(seats)
    } else {
        Err(errors)
    }
}
