//! The run's side of the shared files: which seats have a desk, what the broker tells the world, and what agents are told.
//!
//! Turns the broker's facts into inputs and requests into answers. Must not wait: all that takes time comes back by
//! [`Shared::next`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use formicarium_agents::broker::{Fact, LeaseChange, LeaseEnd, Limits, State};
use formicarium_agents::files::cost::Cost;
use formicarium_agents::files::door::{self, Door};
use formicarium_agents::files::{FilesError, News, Published, SeatPlan, SharedFiles, Terms};
use formicarium_agents::isolation::Owner;
use formicarium_agents::protocol::{self, FromAgent, PublishWhen};
use formicarium_agents::workspace::Workspace;
use formicarium_agents::{Prepared, ProcessLimits};
use formicarium_engine::{FileFact, FileNews, FilesSpec, PublishMode, SeatId};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::{RunError, shown, token};
use crate::feed::files::FilesDelta;
use crate::recorder::writer::Recorder;

/// Longest wait for desks to be brought up to date before observations go out.
const REFRESH: Duration = Duration::from_secs(10);

/// Something that took time is done.
pub(super) enum Done {
    /// What a seat changed is published, or not.
    Published(usize, Published),
    /// The answer to a request.
    Answered(usize, protocol::Files),
}

/// The shared files of a run.
pub(super) struct Shared {
    files: SharedFiles,
    names: BTreeMap<String, usize>,
    done: UnboundedSender<Done>,
    inbox: UnboundedReceiver<Done>,
    /// Publishes under way that the tick waits for.
    publishing: usize,
    doors: Vec<JoinHandle<()>>,
}

/// What the scenario says of its files, for agents and for the broker.
pub(super) fn terms(spec: &FilesSpec) -> Terms {
    Terms {
        publish: match spec.publish {
            PublishMode::OnAct => PublishWhen::OnAct,
            PublishMode::Explicit => PublishWhen::Explicit,
        },
        lease_ms: spec.lease_ms,
        limits: Limits {
            entries: spec.max_files as usize,
            tree_bytes: spec.max_bytes,
            file_bytes: spec.max_file_bytes,
            kept_bytes: spec.max_kept_bytes,
            ..Limits::default()
        },
    }
}

/// Seats with a desk.
pub(super) struct Desks<'a> {
    /// By seat.
    pub(super) wanted: &'a [bool],
    /// All seats' names.
    pub(super) names: &'a [String],
    /// Seats that are open to clients: they have no process of ours.
    pub(super) open: &'a [(usize, String)],
}

/// Opens the shared tree, makes the desks and their doors, and tells what stands there; before any process is started. Of
/// the facts up to `taken` the world has been told.
pub(super) async fn open(
    spec: &FilesSpec,
    dir: &Path,
    recorder: &Recorder,
    desks: Desks<'_>,
    prepared: &Prepared,
    (tick, taken): (u64, u64),
) -> Result<(Shared, News), RunError> {
    let terms = terms(spec);
    let limits: Vec<(&str, &ProcessLimits)> = prepared
        .seats()
        .filter(|(seat, _, _)| desks.wanted[*seat])
        .map(|(_, plan, _)| (plan.seat.as_str(), &plan.program.limits))
        .collect();
    let open = desks.open.iter().filter(|(seat, _)| desks.wanted[*seat]);
    let count = limits.len() + open.clone().count();
    let cost = Cost::of(count, &spec.tree, &terms.limits);
    cost.check(dir, limits.into_iter())?;
    let mut plans = Vec::new();
    let mut doors = Vec::new();
    let host = std::env::current_exe().map_err(|source| RunError::Io {
        what: "finding the host's own program".into(),
        source,
    })?;
    for (seat, plan, at) in prepared.seats().filter(|(seat, _, _)| desks.wanted[*seat]) {
        let owner = plan.isolation.owner;
        doors.push((seat, make_door(at, &plan.seat, owner, &host)?));
        let stopper = prepared
            .stopper(seat)
            .ok_or_else(|| RunError::Bug(format!("seat {seat} has no stopper")))?;
        plans.push(SeatPlan {
            seat,
            name: plan.seat.clone(),
            workspace: at.workspace.clone(),
            owner,
            stopper: Box::new(stopper),
        });
    }
    for (seat, name) in open {
        let workspace = dir.join("agents").join(name).join("workspace");
        std::fs::create_dir_all(&workspace).map_err(|source| RunError::Io {
            what: format!("making the folder {}", workspace.display()),
            source,
        })?;
        plans.push(SeatPlan {
            seat: *seat,
            name: name.clone(),
            workspace,
            owner: None,
            stopper: Box::new(()),
        });
    }
    let journal = Box::new(recorder.journal()?);
    let (folder, tree) = (dir.to_owned(), spec.tree.clone());
    let runtime = tokio::runtime::Handle::current();
    let making = tokio::task::spawn_blocking(move || {
        let _runtime = runtime.enter();
        let (mut files, repaired) = SharedFiles::open(&folder, journal, terms, &tree, taken)?;
        files.set_tick(tick);
        files.seat(plans)?;
        let standing = files.standing()?;
        Ok::<_, FilesError>((files, standing, repaired))
    });
    let (files, standing, repaired) = making
        .await
        .map_err(|error| RunError::Bug(error.to_string()))??;
    if !repaired.is_nothing() {
        tracing::info!("{repaired}");
    }
    let doors = doors
        .into_iter()
        .filter_map(|(seat, door)| Some((files.asker(seat)?.clone(), door)))
        .map(|(asker, door)| {
            tokio::spawn(async move {
                if let Err(error) = door.serve(asker).await {
                    tracing::error!(%error, "a seat's socket of desk cannot be listened to");
                }
            })
        })
        .collect();
    tracing::info!("shared files: {cost}");
    let (done, inbox) = unbounded_channel();
    let names = desks.names.iter().enumerate();
    let shared = Shared {
        files,
        names: names.map(|(seat, name)| (name.clone(), seat)).collect(),
        done,
        inbox,
        publishing: 0,
        doors,
    };
    Ok((shared, standing))
}

fn make_door(
    at: &Workspace,
    seat: &str,
    owner: Option<Owner>,
    host: &Path,
) -> Result<Door, RunError> {
    let token = owner.is_none().then(token);
    door::install(at, host, token.as_deref())
        .map_err(|error| formicarium_agents::StartError::Seats(vec![(seat.to_owned(), error)]))?;
    Door::open(&at.root, owner, token.as_deref()).map_err(|error| {
        RunError::Files(FilesError::Door {
            seat: seat.to_owned(),
            error,
        })
    })
}

impl Shared {
    /// The next thing that is done.
    pub(super) async fn next(&mut self) -> Done {
        match self.inbox.recv().await {
            Some(done) => {
                if matches!(done, Done::Published(..)) {
                    self.publishing -= 1;
                }
                done
            }
            // Never: a sender is kept here.
            None => std::future::pending().await,
        }
    }

    /// Whether something is being published that belongs to the present tick.
    pub(super) fn is_publishing(&self) -> bool {
        self.publishing > 0
    }

    /// A seat acts: what it has changed is published, where the scenario says so.
    pub(super) fn acted(&mut self, seat: usize) {
        if self.files.terms().publish == PublishWhen::OnAct
            && let Some(published) = self.files.publish(seat)
        {
            self.publishing += 1;
            let done = self.done.clone();
            tokio::spawn(async move {
                // The run may be over.
                let _ = done.send(Done::Published(seat, published.await));
            });
        }
    }

    /// A seat asks something.
    pub(super) fn ask(&self, seat: usize, request: FromAgent) {
        let done = self.done.clone();
        match self.files.asker(seat) {
            Some(asker) => {
                let answer = asker.ask(request);
                tokio::spawn(async move {
                    let _ = done.send(Done::Answered(seat, answer.await));
                });
            }
            None => drop(done.send(Done::Answered(seat, no_desk(&request)))),
        }
    }

    /// What has become of the tree since the last time.
    pub(super) async fn news(&self) -> Result<News, RunError> {
        Ok(self.files.take_news().await?)
    }

    /// News by seat: input of the next tick.
    pub(super) fn inputs(&self, news: &News) -> impl Iterator<Item = (usize, FileFact)> {
        news.facts.iter().filter_map(|fact| self.input(fact))
    }

    /// News as spectators are told of them.
    pub(super) fn shown(&self, news: News) -> FilesDelta {
        shown::delta(news, &self.names, shown::now_ms())
    }

    fn input(&self, fact: &Fact) -> Option<(usize, FileFact)> {
        let seat_of = |name: &Option<String>| self.names.get(name.as_ref()?).copied();
        let (seat, path, news) = match fact {
            Fact::Version(version) => {
                let change = match (version.state, version.parent) {
                    (State::Absent, _) => "deleted",
                    (_, None) => "created",
                    _ => "changed",
                };
                let news = FileNews::Published {
                    version: version.number,
                    change: change.into(),
                    merged: version.merged.is_some(),
                };
                // The scenario's own files are nobody's doing.
                (seat_of(&version.seat)?, version.path.to_string(), news)
            }
            Fact::Refusal(refusal) => {
                let news = FileNews::Refused {
                    code: refusal.reason.as_str().into(),
                    reason: refusal.why.clone(),
                    holder: refusal
                        .holder
                        .as_ref()
                        .and_then(|holder| self.names.get(holder))
                        .map(|seat| SeatId(*seat as u32)),
                };
                (seat_of(&refusal.seat)?, refusal.path.clone(), news)
            }
            Fact::Lease(lease) => {
                let token = lease.token;
                let news = match lease.change {
                    LeaseChange::Granted { .. } | LeaseChange::Renewed { .. } => {
                        FileNews::Leased { token }
                    }
                    LeaseChange::Ended {
                        how: LeaseEnd::Released,
                    } => FileNews::Released { token },
                    LeaseChange::Ended { .. } => FileNews::Expired { token },
                };
                let seat = self.names.get(&lease.seat).copied()?;
                (seat, lease.scope.to_string(), news)
            }
        };
        let number = fact.sequence();
        Some((seat, FileFact { number, path, news }))
    }

    /// Agents see this tick from now on.
    pub(super) fn set_tick(&self, tick: u64) {
        self.files.set_tick(tick);
    }

    /// Brings all desks up to date, before observations go out.
    pub(super) async fn refresh(&self) {
        let all = self.files.refresh(self.names.values().copied());
        if tokio::time::timeout(REFRESH, all).await.is_err() {
            tracing::warn!("desks were not brought up to date within {REFRESH:?}; the run goes on");
        }
    }

    /// A seat's process is gone.
    pub(super) fn left(&self, seat: usize) {
        self.files.left(seat);
    }

    /// Ends it all.
    pub(super) async fn close(self) {
        for door in &self.doors {
            door.abort();
        }
        self.files.close().await;
    }
}

/// The answer for a seat without a desk.
pub(super) fn no_desk(request: &FromAgent) -> protocol::Files {
    protocol::Files {
        id: request.request_id(),
        ok: false,
        text: "this seat has no desk: the scenario shares no files, or the cast says desk = false"
            .into(),
        data: json!({"code": "no-desk"}),
    }
}
