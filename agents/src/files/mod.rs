//! The shared files of a run as its seats have them: a desk each, and one broker behind all.
//!
//! Must not know the world, or over which door a seat asks. All that waits for a disk or a keeper runs on threads that may
//! wait; of each seat one thing at a time, in the order in which it was asked for.
//!
//! * [`SharedFiles`]: the run's side: news for the next tick, seats that act, are shown something, or are gone
//! * [`Asker`]: a seat's side, the same for every door
//! * `seat`: what becomes of a request
//! * `words`: how it is answered
//! * [`door`]: the socket and the command `desk` in a seat's folder
//! * [`cost`]: what desks may take, held against what there is

pub mod cost;
pub mod door;
mod seat;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::broker::tree::SHARED;
use crate::broker::{
    Base, Broker, BrokerError, BrokerThread, Change, Fact, Journal, Limits, Outcome, PathError,
    Publish, RecoverError, Repaired, TreePath, Wait, Wanted,
};
use crate::isolation::Owner;
use crate::protocol::{self, FromAgent, PublishWhen};
use crate::workspace::desk::{Desk, DeskError, DeskPlan, Freeze};
use seat::{Clock, SeatFiles};

/// Requests of one seat that may wait.
const QUEUE: usize = 128;
/// Places in the queue that only the host may use.
const HOST_ONLY: usize = 16;
/// How long the reading of one desk may take.
const READ_TIME: Duration = Duration::from_secs(5);

/// What a scenario says of its shared files.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// When what a seat changed is published.
    pub publish: PublishWhen,
    /// Longest time of a lease, in milliseconds.
    pub lease_ms: u64,
    /// What tree and publishes may measure.
    pub limits: Limits,
}

impl Terms {
    /// What an agent is told of them.
    pub fn info(&self) -> protocol::FilesInfo {
        protocol::FilesInfo {
            folder: SHARED.to_owned(),
            publish: self.publish,
            lease_ms: self.lease_ms,
            max_files: self.limits.entries as u64,
            max_bytes: self.limits.tree_bytes,
            max_file_bytes: self.limits.file_bytes,
        }
    }
}

/// Why a run cannot have shared files.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The tree cannot be opened.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A file of the initial tree has a name that no tree takes.
    #[error("the scenario's file {path:?} cannot stand in the shared tree: {error}")]
    Name {
        /// The path in the tree.
        path: String,
        /// Why not.
        error: PathError,
    },
    /// The initial tree was refused.
    #[error("the scenario's files cannot stand in the shared tree: {0}")]
    Initial(String),
    /// A seat's desk.
    #[error("the desk of seat {seat}: {error}")]
    Desk {
        /// The seat.
        seat: String,
        /// What went wrong.
        error: DeskError,
    },
    /// The socket of a seat's desk.
    #[error(
        "the socket of seat {seat}'s desk: {error}; check the rights and the space of the run's folder"
    )]
    Door {
        /// The seat.
        seat: String,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The system gives no thread.
    #[error("no thread for the broker: {0}")]
    Thread(std::io::Error),
}

/// A seat that is to have a desk.
pub struct SeatPlan {
    /// Its number, as the host counts.
    pub seat: usize,
    /// Its name.
    pub name: String,
    /// Its working folder.
    pub workspace: PathBuf,
    /// Whose the folder is, where seats have users of their own.
    pub owner: Option<Owner>,
    /// What stops its processes.
    pub stopper: Box<dyn Freeze + Send>,
}

/// What became of what a seat changed, when it acted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// What the broker says; none if the desk could not be read.
    pub outcome: Outcome,
    /// What the seat has to be told: a word, and a sentence for each path that was not published.
    pub told: Vec<(&'static str, String)>,
}

/// What became of the shared files in some time, and what has to be known besides to show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// What was committed, in order.
    pub facts: Vec<Fact>,
    /// How long each lease still holds that `facts` begin or put off, in milliseconds, by its token.
    pub left_ms: BTreeMap<u64, u64>,
    /// Who waits for a lease; none if that is as it was.
    pub waiting: Option<Vec<Wait>>,
    /// Files in the tree.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl News {
    fn of(broker: &mut Broker, facts: Vec<Fact>) -> News {
        let leases = broker.leases();
        let alive = facts.iter().filter_map(|fact| match fact {
            Fact::Lease(lease) => leases.get(lease.token),
            Fact::Version(_) | Fact::Refusal(_) => None,
        });
        let left_ms = alive
            .map(|lease| (lease.token, leases.left_ms(lease)))
            .collect();
        News {
            facts,
            left_ms,
            files: broker.index().files(),
            bytes: broker.index().bytes(),
            waiting: broker.take_waits(),
        }
    }
}

type Reply<T> = oneshot::Sender<T>;

enum Job {
    Ask(Box<FromAgent>, Reply<protocol::Files>),
    Publish(Reply<Published>),
    Refresh(Reply<()>),
    Leave(Reply<()>),
}

/// A seat's way to its desk and the broker. Clones are the same seat.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::Sender<Job>);

impl Asker {
    /// Puts a request: `lease`, `publish` or `files`. Answers come in the order of the requests; one that finds too many
    /// before it is refused at once.
    pub fn ask(&self, request: FromAgent) -> impl Future<Output = protocol::Files> + Send + use<> {
        let id = request.request_id();
        let (reply, answer) = oneshot::channel();
        let full = self.0.capacity() <= HOST_ONLY;
        let sent = !full && self.0.try_send(Job::Ask(Box::new(request), reply)).is_ok();
        async move {
            match (sent, answer.await) {
                (true, Ok(files)) => files,
                (true, Err(_)) => words::over(id),
                (false, _) => words::too_many(id),
            }
        }
    }

    async fn job<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(job(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// The shared files of a run.
#[derive(Debug)]
pub struct SharedFiles {
    broker: BrokerThread,
    clock: Arc<Clock>,
    terms: Terms,
    tree: PathBuf,
    seats: BTreeMap<usize, Asker>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl SharedFiles {
    /// Opens the shared tree of a run's folder. `taken` is the last fact that is in a tick's input; a tree that has no
    /// version yet begins with `initial`, its files by path. Waits for the disk.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn open(
        folder: &Path,
        journal: Box<dyn Journal>,
        terms: Terms,
        initial: &[(String, Arc<[u8]>)],
        taken: u64,
    ) -> Result<(SharedFiles, Repaired), FilesError> {
        let (mut broker, repaired) = Broker::open(folder, journal, terms.limits, taken)?;
        if broker.sequence() == 0 && !initial.is_empty() {
            begin(&mut broker, initial)?;
        }
        let (tree, sequence) = (broker.shared(), broker.sequence());
        let (broker, _) = BrokerThread::start(broker).map_err(FilesError::Thread)?;
        let files = SharedFiles {
            broker,
            clock: Arc::new(Clock {
                tick: AtomicU64::new(0),
                newest: AtomicU64::new(sequence),
            }),
            terms,
            tree,
            seats: BTreeMap::new(),
            tasks: Vec::new(),
        };
        Ok((files, repaired))
    }

    /// Makes the desks of seats, whose processes must not have been started. Waits for the disk; within a runtime.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn seat(&mut self, plans: Vec<SeatPlan>) -> Result<(), FilesError> {
        let (present, sequence) = self.broker.with(|broker, _| {
            let present: Vec<_> = broker.index().present().cloned().collect();
            (present, broker.sequence())
        })?;
        for plan in plans {
            let desk = Desk::make(
                DeskPlan {
                    workspace: plan.workspace,
                    shared: self.tree.clone(),
                    owner: plan.owner,
                    limits: self.terms.limits,
                    time: READ_TIME,
                },
                &present,
                sequence,
            )
            .map_err(|error| FilesError::Desk {
                seat: plan.name.clone(),
                error,
            })?;
            let seat = SeatFiles::new(
                plan.name,
                desk,
                plan.stopper,
                self.broker.clone(),
                Arc::clone(&self.clock),
                self.terms,
            );
            let (jobs, inbox) = mpsc::channel(QUEUE);
            self.tasks.push(tokio::spawn(serve(seat, inbox)));
            self.seats.insert(plan.seat, Asker(jobs));
        }
        Ok(())
    }

    /// A seat's way to its desk; none if it has none.
    pub fn asker(&self, seat: usize) -> Option<&Asker> {
        self.seats.get(&seat)
    }

    /// What the scenario says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The tick that agents see from now on.
    pub fn set_tick(&self, tick: u64) {
        self.clock.tick.store(tick, Ordering::Relaxed);
    }

    /// What became of the files since the last call. Its facts belong into the next tick's input.
    ///
    /// # Errors
    /// The journal failed.
    pub async fn take_news(&self) -> Result<News, BrokerError> {
        let (broker, tick) = (self.broker.clone(), self.clock.tick());
        let taken = tokio::task::spawn_blocking(move || {
            broker.with(move |broker, now| {
                let facts = broker.take_facts(tick, now)?;
                Ok(News::of(broker, facts))
            })
        });
        taken.await.map_err(|_| BrokerError::Ended)??
    }

    /// The tree as it stands, told like news: what is there, by its newest versions. Waits for the broker.
    ///
    /// # Errors
    /// The broker has ended.
    pub fn standing(&self) -> Result<News, BrokerError> {
        self.broker.with(|broker, _| {
            let present = broker.index().present().cloned().map(Fact::Version);
            let facts = present.collect();
            News::of(broker, facts)
        })
    }

    /// Publishes what a seat has changed; the future is done when that is durable. Nothing for a seat without a desk.
    pub fn publish(&self, seat: usize) -> Option<impl Future<Output = Published> + Send + use<>> {
        let asker = self.seats.get(&seat)?.clone();
        Some(async move { asker.job(Job::Publish).await.unwrap_or_default() })
    }

    /// Brings the desks of seats up to date: those that something new was published for.
    pub async fn refresh(&self, seats: impl Iterator<Item = usize>) {
        let waits: Vec<_> = seats
            .filter_map(|seat| self.seats.get(&seat).cloned())
            .map(|asker| async move { asker.job(Job::Refresh).await })
            .map(tokio::spawn)
            .collect();
        for wait in waits {
            // A seat whose desk cannot be refreshed finds that out with its next publish.
            let _ = wait.await;
        }
    }

    /// A seat's processes are gone: its leases end.
    pub fn left(&self, seat: usize) {
        if let Some(asker) = self.seats.get(&seat).cloned() {
            tokio::spawn(async move { asker.job(Job::Leave).await });
        }
    }

    /// Ends all seats' ways and waits for what they are at.
    pub async fn close(self) {
        let SharedFiles { seats, tasks, .. } = self;
        let leaving: Vec<_> = seats
            .into_values()
            .map(|asker| tokio::spawn(async move { asker.job(Job::Leave).await }))
            .collect();
        for leaving in leaving {
            let _ = leaving.await;
        }
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

/// Publishes the scenario's own files as the first versions.
fn begin(broker: &mut Broker, initial: &[(String, Arc<[u8]>)]) -> Result<(), FilesError> {
    let changes = initial
        .iter()
        .map(|(path, content)| {
            let tree_path = TreePath::new(path).map_err(|error| FilesError::Name {
                path: path.clone(),
                error,
            })?;
            Ok(Change {
                path: tree_path,
                // A bundle has no rights: a file that names its interpreter is meant to be run.
                wanted: Wanted::file(Arc::clone(content), content.starts_with(b"#!")),
                base: Base::NONE,
                from: None,
            })
        })
        .collect::<Result<Vec<_>, FilesError>>()?;
    let publish = Publish {
        changes,
        ..Publish::default()
    };
    let outcomes = broker.publish(&[publish], 0)?;
    match outcomes.iter().flat_map(|outcome| &outcome.refusals).next() {
        Some(refusal) => Err(FilesError::Initial(format!(
            "{}: {}",
            refusal.path, refusal.why
        ))),
        None => Ok(()),
    }
}

/// Does one seat's jobs, one after the other, on threads that may wait.
async fn serve(seat: SeatFiles, mut inbox: mpsc::Receiver<Job>) {
    let mut seat = Some(Box::new(seat));
    while let Some(job) = inbox.recv().await {
        let Some(mut own) = seat.take() else { return };
        // Whoever asked may have left.
        let done = tokio::task::spawn_blocking(move || {
            match job {
                Job::Ask(request, reply) => drop(reply.send(own.answer(&request))),
                Job::Publish(reply) => drop(reply.send(own.act())),
                Job::Refresh(reply) => {
                    own.catch_up();
                    let _ = reply.send(());
                }
                Job::Leave(reply) => {
                    own.leave();
                    let _ = reply.send(());
                }
            }
            own
        });
        seat = done.await.ok();
    }
}
