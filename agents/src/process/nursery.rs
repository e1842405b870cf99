//! The nursery: the small parent of all keepers, forked from `main` before the host has any thread.
//!
//! Forked and not executed: a keeper then shares nearly all its pages with the nursery, and forking a small process with
//! one thread is cheap and safe, where forking the grown host is neither. Must not know agents, only keepers.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    send, sendmsg, socketpair,
};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, getpid, setsid};

use super::keeper::{self, Ends};
use super::tree;
use super::wire::{NurseryReport, REQUEST_BYTES, REQUEST_DESCRIPTORS, SpawnRequest};
use crate::isolation::{Level, seccomp};
use crate::sys;

/// The small parent of all keepers, as the host holds it. It ends when this is dropped and its last keeper has ended.
#[derive(Debug)]
pub struct Nursery {
    socket: OwnedFd,
    /// None where a simulation stands in its place.
    pid: Option<Pid>,
}

/// Why there is no nursery.
#[derive(Debug, thiserror::Error)]
pub enum NurseryError {
    /// It was called too late.
    #[error(
        "the nursery has to be forked before any thread is started, and this process has {threads}; \
         call Nursery::start first in main"
    )]
    Threads {
        /// How many threads there are.
        threads: usize,
    },
    /// The kernel does not list children in /proc.
    #[error(
        "this kernel does not list the children of a process in /proc (CONFIG_PROC_CHILDREN), or /proc is not mounted"
    )]
    NoChildrenList,
    /// The system refused.
    #[error(
        "the system refused {what} for the nursery: {errno}; raise the limit of processes or descriptors"
    )]
    System {
        /// What was refused.
        what: &'static str,
        /// The system's reason.
        errno: Errno,
    },
}

impl Nursery {
    /// Forks the nursery. Call it first thing in `main`, before any thread and any runtime.
    ///
    /// # Errors
    /// When the process has more than one thread already, cannot fork, or the kernel lacks what keepers need.
    pub fn start() -> Result<Self, NurseryError> {
        let threads = sys::thread_count();
        if threads != 1 {
            return Err(NurseryError::Threads { threads });
        }
        if !tree::is_listed() {
            return Err(NurseryError::NoChildrenList);
        }
        let refused = |what| move |errno| NurseryError::System { what, errno };
        let (socket, far_end) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .map_err(refused("a socket pair"))?;
        match sys::fork_single_threaded().map_err(refused("a process"))? {
            ForkResult::Child => {
                let _ = catch_unwind(AssertUnwindSafe(|| live(&far_end)));
                sys::exit_now(70)
            }
            ForkResult::Parent { child } => {
                drop(far_end);
                nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                    .map_err(refused("a socket without blocking"))?;
                Ok(Self {
                    socket,
                    pid: Some(child),
                })
            }
        }
    }

    /// One whose far end is played by a simulation.
    #[cfg(feature = "sim")]
    pub(super) fn simulated(socket: OwnedFd) -> Self {
        Self { socket, pid: None }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Asks for a keeper. The descriptors are stdin, stdout, the stderr file and the control socket, and are copied.
    pub(super) fn ask(
        &self,
        request: &[u8],
        descriptors: &[&OwnedFd; REQUEST_DESCRIPTORS],
    ) -> nix::Result<()> {
        let numbers = descriptors.map(AsRawFd::as_raw_fd);
        sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(request)],
            &[ControlMessage::ScmRights(&numbers)],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        )
        .map(|_| ())
    }

    /// Lets the nursery end and waits for it. Blocks until the last keeper has ended.
    pub(super) fn finish(self) {
        let Self { socket, pid } = self;
        drop(socket);
        let Some(pid) = pid else { return };
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }
}

/// The whole life of the nursery.
fn live(socket: &OwnedFd) -> ! {
    let Some(socket) = settle(socket) else {
        sys::exit_now(71)
    };
    let Ok(children) = SignalFd::with_flags(
        &keeper::child_signal(),
        SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
    ) else {
        sys::exit_now(72)
    };
    let mut keepers: BTreeMap<Pid, u32> = BTreeMap::new();
    let mut open = true;
    let mut buffer = vec![0; REQUEST_BYTES];
    loop {
        reap(&socket, &mut keepers);
        if !open && keepers.is_empty() {
            sys::exit_now(0);
        }
        let mut fds = [
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        ];
        let watched = if open { &mut fds[..] } else { &mut fds[..1] };
        if poll(watched, PollTimeout::NONE).is_err() {
            continue;
        }
        let asked = open && fds[1].revents().is_some_and(|r| !r.is_empty());
        while matches!(children.read_signal(), Ok(Some(_))) {}
        if asked {
            open = receive(&socket, &mut buffer, &mut keepers);
        }
    }
}

/// Leaves everything of the host behind: its session, terminal, descriptors and signals.
fn settle(socket: &OwnedFd) -> Option<OwnedFd> {
    setsid().ok()?;
    prctl::set_child_subreaper(true).ok()?;
    let _ = prctl::set_name(c"formi-nursery");
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ] {
        sys::ignore_signal(signal as i32);
    }
    keeper::child_signal().thread_set_mask().ok()?;
    // Standard streams to nowhere: whoever reads the host's output must see its end when the host ends.
    let nowhere =
        nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    dup2_stdin(&nowhere).ok()?;
    dup2_stdout(&nowhere).ok()?;
    dup2_stderr(&nowhere).ok()?;
    drop(nowhere);
    let target = sys::move_to_three(socket)?;
    sys::close_from(4);
    // The folder the host was started in must not be kept busy.
    let _ = nix::unistd::chdir("/");
    Some(target)
}

/// What the host's socket held.
pub(super) enum Taken {
    /// A request, with as many descriptors as arrived.
    Request(Box<SpawnRequest>, Vec<OwnedFd>),
    /// Nothing that can be answered.
    Nothing,
    /// The host has closed it.
    Gone,
}

/// Takes one request, without waiting.
pub(super) fn take_request(socket: &OwnedFd, buffer: &mut [u8]) -> Taken {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; REQUEST_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let (length, descriptors) = match recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC,
    ) {
        Ok(message) => {
            let mut descriptors = Vec::with_capacity(REQUEST_DESCRIPTORS);
            for part in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::ScmRights(numbers) = part {
                    descriptors.extend(numbers.into_iter().map(sys::adopt));
                }
            }
            (message.bytes, descriptors)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => return Taken::Nothing,
        Err(_) => return Taken::Gone,
    };
    if length == 0 {
        return Taken::Gone;
    }
    match SpawnRequest::decode(&buffer[..length]) {
        Some(request) => Taken::Request(Box::new(request), descriptors),
        None => Taken::Nothing,
    }
}

/// Takes one request and forks its keeper. False when the host is gone.
fn receive(socket: &OwnedFd, buffer: &mut [u8], keepers: &mut BTreeMap<Pid, u32>) -> bool {
    let (request, mut descriptors) = match take_request(socket, buffer) {
        Taken::Request(request, descriptors) => (request, descriptors),
        Taken::Nothing => return true,
        Taken::Gone => return false,
    };
    let (Some(control), Some(stderr_file), Some(stdout), Some(stdin)) = (
        descriptors.pop(),
        descriptors.pop(),
        descriptors.pop(),
        descriptors.pop(),
    ) else {
        // The kernel drops descriptors when this process is at its limit of them.
        tell(
            socket,
            NurseryReport::ForkFailed {
                serial: request.serial,
                errno: Errno::EMFILE as i32,
            },
        );
        return true;
    };
    if request.isolation.level != Level::Advisory {
        // Here, once: keepers and agents share what it makes.
        seccomp::filters();
    }
    match sys::fork_single_threaded() {
        Ok(ForkResult::Child) => {
            let ends = Ends {
                stdin,
                stdout,
                stderr_file,
                control,
            };
            sys::close_inherited(socket);
            let _ = catch_unwind(AssertUnwindSafe(|| keeper::live(&request, ends)));
            sys::exit_now(70)
        }
        Ok(ForkResult::Parent { child }) => {
            keepers.insert(child, request.serial);
        }
        Err(errno) => tell(
            socket,
            NurseryReport::ForkFailed {
                serial: request.serial,
                errno: errno as i32,
            },
        ),
    }
    true
}

/// Collects keepers that have ended. One that did not end as it should leaves its tree to this process: it is killed.
fn reap(socket: &OwnedFd, keepers: &mut BTreeMap<Pid, u32>) {
    let mut lost = Vec::new();
    loop {
        match waitpid(
            None::<Pid>,
            Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL),
        ) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
            Ok(status) => {
                let Some(serial) = status.pid().and_then(|pid| keepers.remove(&pid)) else {
                    continue;
                };
                if !matches!(status, WaitStatus::Exited(_, 0)) {
                    lost.push(serial);
                }
            }
            Err(_) => {}
        }
    }
    if lost.is_empty() {
        return;
    }
    loop {
        let adopted: Vec<Pid> = tree::children_of(getpid())
            .into_iter()
            .filter(|pid| !keepers.contains_key(pid))
            .collect();
        if adopted.is_empty() {
            break;
        }
        tree::kill_all(&adopted);
        for pid in adopted {
            // Killed: it ends as soon as the kernel lets it.
            let _ = waitpid(pid, Some(WaitPidFlag::__WALL));
        }
    }
    for serial in lost {
        tell(socket, NurseryReport::Cleared { serial });
    }
}

fn tell(socket: &OwnedFd, report: NurseryReport) {
    let _ = send(socket.as_raw_fd(), &report.encode(), MsgFlags::MSG_NOSIGNAL);
}
