//! Stopping a seat's processes while its desk is read: the caller waits on a thread of its own, the driver passes it on to
//! the keeper, and the keeper does it.
//!
//! Must not know what they are stopped for. Whatever the agent itself had stopped goes on with the others.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use super::agents::Shared;
use super::driver::Driver;
use super::wire::Command;
use crate::workspace::desk::Freeze;

/// Longest wait for a keeper to stop its tree.
const PATIENCE: Duration = Duration::from_secs(4);

/// An order for a keeper.
#[derive(Debug)]
pub(super) enum Halt {
    /// Stop the tree, and say when it has been told to.
    Stop(SyncSender<()>),
    /// Let it go on.
    Continue,
}

/// Stops one seat's processes and lets them go on.
#[derive(Debug, Clone)]
pub struct Stopper {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: usize,
}

impl Freeze for Stopper {
    fn freeze(&mut self) -> io::Result<()> {
        let (done, stopped) = sync_channel(1);
        self.shared.post_halt(self.slot, Halt::Stop(done));
        stopped.recv_timeout(PATIENCE).map_err(|_| {
            // It may be stopped yet: nothing may stay so.
            self.thaw();
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("their keeper could not stop them within {PATIENCE:?}"),
            )
        })
    }

    fn thaw(&mut self) {
        self.shared.post_halt(self.slot, Halt::Continue);
    }
}

impl Driver {
    /// Passes an order on to a seat's keeper. Where there is none, there is nobody to be stopped.
    pub(super) fn halt(&mut self, slot: usize, halt: Halt) {
        match halt {
            Halt::Stop(done) if self.seats[slot].control.is_some() => {
                self.seats[slot].stopping = Some(done);
                self.seats[slot].halted = true;
                self.command(slot, Command::Stop);
            }
            Halt::Stop(done) => drop(done.send(())),
            Halt::Continue => {
                self.seats[slot].halted = false;
                if !self.seats[slot].frozen {
                    self.command(slot, Command::Continue);
                }
            }
        }
    }

    /// A seat's tree has been stopped, or is gone.
    pub(super) fn stopped(&mut self, slot: usize) {
        if let Some(done) = self.seats[slot].stopping.take() {
            // Whoever has waited too long does not listen any more.
            let _ = done.send(());
        }
        if let Some(done) = self.seats[slot].freezing.take() {
            let _ = done.send(());
        }
    }
}
