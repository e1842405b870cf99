//! Processes for a simulation: the far ends of all that the host gives to nursery, keepers and agents.
//!
//! Pipes and sockets are real, and so are the driver, its state machines and the adapters before them; nothing is forked.
//! Must not know what agents say, nor when.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use tokio::io::unix::AsyncFd;

use super::nursery::{Nursery, Taken, take_request};
use super::wire::{Command, NurseryReport, REQUEST_BYTES, Report, Stage};
use crate::sys;

/// The far end of a nursery: takes the host's requests.
#[derive(Debug)]
pub struct FakeNursery {
    socket: Arc<AsyncFd<OwnedFd>>,
}

/// A process that was asked for: its pipes and its keeper's socket.
#[derive(Debug)]
pub struct FakeProcess {
    /// The seat's name, as the process finds it in its environment.
    pub seat: String,
    serial: u32,
    stdin: AsyncFd<OwnedFd>,
    stdout: Option<OwnedFd>,
    control: AsyncFd<OwnedFd>,
    nursery: Arc<AsyncFd<OwnedFd>>,
    _stderr: OwnedFd,
}

/// What the host tells a keeper, as far as a process notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
    /// The host has let go of it.
    Closed,
}

/// A nursery for the host, and who plays it. Call it in the runtime that does.
///
/// # Errors
/// The system gives no sockets.
pub fn nursery() -> io::Result<(Nursery, FakeNursery)> {
    let (near, far) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )?;
    let socket = Arc::new(sys::watch(far)?);
    Ok((Nursery::simulated(near), FakeNursery { socket }))
}

impl FakeNursery {
    /// The next process that the host wants; none when it is done.
    ///
    /// # Errors
    /// The system refuses to wait for one of the descriptors.
    pub async fn next(&self) -> io::Result<Option<FakeProcess>> {
        let mut buffer = vec![0; REQUEST_BYTES];
        loop {
            let mut ready = self.socket.readable().await?;
            let (request, descriptors) = match take_request(self.socket.get_ref(), &mut buffer) {
                Taken::Request(request, descriptors) => (request, descriptors),
                Taken::Gone => return Ok(None),
                Taken::Nothing => {
                    ready.clear_ready();
                    continue;
                }
            };
            let Ok([stdin, stdout, stderr, control]) = <[OwnedFd; 4]>::try_from(descriptors) else {
                return Err(io::Error::other("a request came without its descriptors"));
            };
            for fd in [&stdin, &stdout, &control] {
                fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            }
            let seat = request
                .env
                .iter()
                .find_map(|pair| pair.to_str().ok()?.strip_prefix("FORMICARIUM_SEAT="))
                .unwrap_or_default();
            return Ok(Some(FakeProcess {
                seat: seat.to_owned(),
                serial: request.serial,
                stdin: sys::watch(stdin)?,
                stdout: Some(stdout),
                control: sys::watch(control)?,
                nursery: Arc::clone(&self.socket),
                _stderr: stderr,
            }));
        }
    }
}

impl FakeProcess {
    /// Its keeper runs it.
    pub fn spawned(&self) {
        self.report(Report::Spawned { keeper: 0 });
    }

    /// It cannot be run: no such program.
    pub fn fail(self) {
        let errno = Errno::ENOENT as i32;
        let stage = Stage::Exec;
        self.report(Report::SpawnFailed { errno, stage });
        self.clear();
    }

    /// Appends what the host has written; false at the end of its input.
    ///
    /// # Errors
    /// The pipe is broken.
    pub async fn read(&self, into: &mut Vec<u8>) -> io::Result<bool> {
        let mut buffer = [0; 65536];
        loop {
            let mut ready = self.stdin.readable().await?;
            match nix::unistd::read(self.stdin.get_ref(), &mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    into.extend_from_slice(&buffer[..length]);
                    return Ok(true);
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes as much as the pipe takes: `WouldBlock` for nothing, `BrokenPipe` when nobody reads any more.
    ///
    /// # Errors
    /// As said.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.stdout {
            Some(stdout) => Ok(nix::unistd::write(stdout, bytes)?),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The next order that it notices. Those that it does not notice are carried out as a keeper does.
    ///
    /// # Errors
    /// The socket is broken.
    pub async fn order(&self) -> io::Result<Order> {
        let mut byte = [0; 1];
        loop {
            let mut ready = self.control.readable().await?;
            match recv(self.control.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(Order::Closed),
                Ok(_) => match Command::decode(byte[0]) {
                    Some(Command::Term) => return Ok(Order::Term),
                    Some(Command::Kill) => return Ok(Order::Kill),
                    Some(Command::Stop) => self.report(Report::Stopped),
                    Some(Command::Fill) => self.report(Report::Filled),
                    Some(Command::Continue | Command::Empty) | None => {}
                },
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Closes its standard output, and lives on.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// It ends with a status.
    pub fn exit(mut self, code: i32) {
        self.stdout = None;
        self.report(Report::ExitedCode(code));
        self.report(Report::TreeGone);
        self.clear();
    }

    /// A signal ends it.
    pub fn killed(mut self, signal: i32) {
        self.stdout = None;
        self.report(Report::ExitedSignal(signal));
        self.report(Report::TreeGone);
        self.clear();
    }

    /// Its keeper is killed, and it with its keeper.
    pub fn lose_keeper(mut self) {
        self.stdout = None;
        self.clear();
    }

    /// The nursery notices that the keeper is gone.
    fn clear(self) {
        let Self {
            serial,
            control,
            nursery,
            ..
        } = self;
        drop(control);
        let report = NurseryReport::Cleared { serial }.encode();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        // A host that is gone needs no report.
        let _ = send(nursery.as_raw_fd(), &report, flags);
    }

    fn report(&self, report: Report) {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let _ = send(self.control.as_raw_fd(), &report.encode(), flags);
    }
}
