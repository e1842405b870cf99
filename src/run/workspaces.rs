//! The seats' own files on their way into the recording: looked at when a seat has acted, on a thread that may wait.
//!
//! Also the way back: a seat of a run that goes on gets its files laid out again where they are missing. Must not know how
//! changes are found, nor how they are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use formicarium_agents::adapter::session;
use formicarium_agents::workspace::history::restore::{Kept, RestoreError, is_missing, restore};
use formicarium_agents::workspace::history::{Change, Histories, History, Now, Seen};
use formicarium_agents::{AdapterPlan, Prepared};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::cast;
use crate::recorder::writer::WorkspaceSink;

/// Bytes of the seats' own files that a run keeps in all.
pub const RUN_BYTES: u64 = 4 << 30;

/// Files that are named one by one when they are missing.
const TOLD: usize = 10;

/// What a recording says of the seats' own files, for whoever goes on with it.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// As they were last seen, by seat.
    pub seen: Vec<Vec<(String, Seen)>>,
    /// To be laid out where a seat has none, by seat.
    pub kept: Vec<Vec<(String, Kept)>>,
    /// What of them is not kept, and why, by seat.
    pub left_out: Vec<Vec<String>>,
    /// Bytes that are kept already.
    pub bytes: u64,
}

/// Why the seats' own files cannot be recorded, or not be laid out again.
#[derive(Debug, Error)]
pub enum WorkspacesError {
    /// The folder of a seat.
    #[error("the files of seat {seat}: {error}")]
    Restore {
        /// The seat.
        seat: String,
        /// What went wrong.
        error: RestoreError,
    },
    /// The system gives no thread.
    #[error("no thread for the seats' own files: {0}")]
    Thread(std::io::Error),
}

impl Past {
    /// Lays out the files of a seat, if it has none. Before its folders are prepared.
    ///
    /// # Errors
    /// See [`WorkspacesError`].
    pub(super) fn lay_out(
        &mut self,
        seat: usize,
        name: &str,
        folder: &Path,
        adapter: &mut AdapterPlan,
    ) -> Result<(), WorkspacesError> {
        let failed = |error| WorkspacesError::Restore {
            seat: name.to_owned(),
            error,
        };
        let Some(mut kept) = self.kept.get_mut(seat).map(std::mem::take) else {
            return Ok(());
        };
        if !is_missing(folder) {
            return Ok(());
        }
        if let AdapterPlan::Claude(claude) = adapter {
            let system = |error| {
                let path = folder.to_owned();
                failed(RestoreError::System { path, error })
            };
            fs::create_dir_all(folder).map_err(system)?;
            // Its program names a session's place by the folder without links.
            let at = folder.canonicalize().map_err(system)?.join("workspace");
            let session = match (&claude.fork_of, claude.has_session) {
                (Some(from), false) => Some(from),
                (_, true) => Some(&claude.session),
                (None, false) => None,
            };
            if let Some(session) = session
                && !session::carry(&mut kept, session, &at)
            {
                tracing::warn!(
                    seat = name,
                    session,
                    "the recording does not have its session; it begins a new one, with what it asked to remember"
                );
                (claude.fork_of, claude.has_session) = (None, false);
                claude.session = cast::claude::new_session();
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let laid = restore(folder, kept).map_err(failed)?;
        tracing::info!(seat = name, files = laid, "its own files were restored");
        if let Some(left_out) = self.left_out.get(seat).filter(|list| !list.is_empty()) {
            let told = left_out[..left_out.len().min(TOLD)].join(", ");
            let more = left_out.len().saturating_sub(TOLD);
            let more = if more > 0 {
                format!(", and {more} more")
            } else {
                String::new()
            };
            tracing::warn!(seat = name, "the recording does not have: {told}{more}");
        }
        Ok(())
    }
}

/// Seats to be looked at, the tick that they had been shown, and who waits for it.
type Look = (u64, BTreeSet<usize>, oneshot::Sender<()>);

/// The seats' own files.
#[derive(Debug)]
pub(super) struct Workspaces {
    looks: Sender<Look>,
    thread: JoinHandle<()>,
    /// Seats that have acted since the last look.
    acted: BTreeSet<usize>,
}

impl Workspaces {
    /// Of all seats that are processes.
    pub(super) fn start(
        prepared: &Prepared,
        mut past: Past,
        sink: WorkspaceSink,
    ) -> Result<Workspaces, WorkspacesError> {
        let seats: BTreeMap<usize, History> = prepared
            .seats()
            .map(|(seat, plan, at)| {
                let seen = past.seen.get_mut(seat).map(std::mem::take);
                let history = History::new(at, plan.isolation.owner, seen.unwrap_or_default());
                (seat, history)
            })
            .collect();
        let (looks, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("workspaces".into())
            .spawn(move || serve(seats, &inbox, &sink, past.bytes))
            .map_err(WorkspacesError::Thread)?;
        Ok(Workspaces {
            looks,
            thread,
            acted: BTreeSet::new(),
        })
    }

    /// A seat has acted, or its process has ended.
    pub(super) fn acted(&mut self, seat: usize) {
        self.acted.insert(seat);
    }

    /// Looks at the files of all that have acted, who had been shown this tick; what is returned is done when they were read.
    pub(super) fn look(&mut self, tick: u64) -> Option<oneshot::Receiver<()>> {
        if self.acted.is_empty() {
            return None;
        }
        let (done, looked) = oneshot::channel();
        let seats = std::mem::take(&mut self.acted);
        self.looks.send((tick, seats, done)).ok()?;
        Some(looked)
    }

    /// The last look has been recorded when this returns.
    pub(super) async fn close(self) {
        drop(self.looks);
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

fn serve(
    seats: BTreeMap<usize, History>,
    inbox: &Receiver<Look>,
    sink: &WorkspaceSink,
    mut bytes: u64,
) {
    let mut histories = Histories::new(seats);
    while let Ok((tick, seats, done)) = inbox.recv() {
        for seat in seats {
            let mut changes = histories.look(seat);
            changes
                .iter_mut()
                .for_each(|change| count(change, &mut bytes));
            if !changes.is_empty() {
                sink.put(tick, seat, changes);
            }
        }
        // Nobody waits in realtime.
        let _ = done.send(());
    }
}

/// Leaves out what the run has no room for.
fn count(change: &mut Change, bytes: &mut u64) {
    if let Now::File { rest, .. } = &change.now {
        let more = *bytes + rest.len() as u64;
        match more > RUN_BYTES {
            true => {
                let why = format!("the run has kept {RUN_BYTES} bytes of the seats' own files");
                change.now = Now::LeftOut(why);
            }
            false => *bytes = more,
        }
    }
}
