//! What a host may do to a seat's processes on purpose, to see what comes of it: kill, freeze, let their files be full.
//!
//! Must not know why. A freeze ends with its process; full files outlive it.

use tokio::sync::oneshot;

use super::agents::Agents;
use super::driver::Driver;
use super::wire::Command;

/// One thing that is done to a seat's processes.
#[derive(Debug)]
pub(super) enum Stroke {
    /// SIGKILL to the whole tree, as by a crash: the restart policy says what follows.
    Kill,
    /// Stop the tree until `Thaw`; told when it has stopped, or is gone.
    Freeze(oneshot::Sender<()>),
    Thaw,
    /// From now on nothing can be written to a file, or again as before.
    Full(bool, oneshot::Sender<()>),
}

impl Agents {
    /// Kills a seat's processes, as a crash would end them.
    pub fn kill(&self, seat: usize) {
        self.strike(seat, Stroke::Kill);
    }

    /// Stops a seat's processes until [`Agents::thaw`]. What is returned comes when they have stopped or are
    /// gone, and fails when there are none; none where the seat is no process.
    pub fn freeze(&self, seat: usize) -> Option<oneshot::Receiver<()>> {
        let (done, stopped) = oneshot::channel();
        self.strike(seat, Stroke::Freeze(done)).then_some(stopped)
    }

    /// Lets a seat's processes go on.
    pub fn thaw(&self, seat: usize) {
        self.strike(seat, Stroke::Thaw);
    }

    /// Lets a seat's processes write nothing to files (`EFBIG`, and SIGXFSZ to who does not ignore it), or again. What is
    /// returned comes when that is so, as with [`Agents::freeze`].
    pub fn fill_disk(&self, seat: usize, is_full: bool) -> Option<oneshot::Receiver<()>> {
        let (done, filled) = oneshot::channel();
        self.strike(seat, Stroke::Full(is_full, done))
            .then_some(filled)
    }
}

impl Driver {
    /// Does it, by the seat's keeper.
    pub(super) fn strike(&mut self, slot: usize, stroke: Stroke) {
        let seat = &mut self.seats[slot];
        match stroke {
            Stroke::Kill => self.command(slot, Command::Kill),
            Stroke::Freeze(done) => {
                if seat.control.is_some() {
                    seat.frozen = true;
                    seat.freezing = Some(done);
                    self.command(slot, Command::Stop);
                }
            }
            Stroke::Thaw => {
                // Whoever reads its desk lets it go on afterwards.
                if std::mem::take(&mut seat.frozen) && !seat.halted {
                    self.command(slot, Command::Continue);
                }
            }
            Stroke::Full(is_full, done) => {
                seat.full = is_full;
                if seat.control.is_some() {
                    seat.filling = Some(done);
                    self.command(slot, Command::files(is_full));
                }
            }
        }
    }

    /// A seat's files are full, or not any more, or its processes are gone.
    pub(super) fn filled(&mut self, slot: usize) {
        if let Some(done) = self.seats[slot].filling.take() {
            // Whoever has waited too long does not listen any more.
            let _ = done.send(());
        }
    }
}
