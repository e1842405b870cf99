//! The poller of all pipes and sockets of this crate, and the making of them.
//!
//! One epoll set for all agents, itself waited for by tokio: a whole round of answers costs one wake-up, and one read
//! each, instead of a task a pipe. Must not know what is read.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use nix::unistd::pipe2;

use super::agents::StartError;
use super::wire::REPORT_BYTES;

/// Whose descriptor something happened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Stdout(usize),
    Stdin(usize),
    Control(usize),
    /// Those who want to connect to a seat's tool socket.
    Door(usize),
    /// A connection to it, by its place.
    Tools(usize, usize),
    Nursery,
}

impl Token {
    fn number(self) -> u64 {
        match self {
            Token::Stdout(slot) => (slot as u64) << 4,
            Token::Stdin(slot) => (slot as u64) << 4 | 1,
            Token::Control(slot) => (slot as u64) << 4 | 2,
            Token::Nursery => 3,
            Token::Door(slot) => (slot as u64) << 4 | 4,
            Token::Tools(slot, place) => (slot as u64) << 4 | (8 + place as u64),
        }
    }

    fn of(number: u64) -> Self {
        let slot = (number >> 4) as usize;
        match number & 15 {
            0 => Token::Stdout(slot),
            1 => Token::Stdin(slot),
            2 => Token::Control(slot),
            4 => Token::Door(slot),
            place @ 8.. => Token::Tools(slot, (place - 8) as usize),
            _ => Token::Nursery,
        }
    }
}

/// The set of descriptors that are waited for.
#[derive(Debug)]
pub(super) struct Poller(Epoll);

impl Poller {
    pub(super) fn new() -> nix::Result<Self> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Self)
    }

    pub(super) fn add_readable(&self, fd: impl AsFd, token: Token) -> nix::Result<()> {
        self.0
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token.number()))
    }

    pub(super) fn add_writable(&self, fd: impl AsFd, token: Token) -> nix::Result<()> {
        self.0
            .add(fd, EpollEvent::new(EpollFlags::EPOLLOUT, token.number()))
    }

    /// Also waits for room to write, or not any more.
    pub(super) fn watch_writable(&self, fd: impl AsFd, token: Token, writable: bool) {
        let flags = if writable {
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT
        } else {
            EpollFlags::EPOLLIN
        };
        let _ = self
            .0
            .modify(fd, &mut EpollEvent::new(flags, token.number()));
    }

    /// Does nothing if it is not there.
    pub(super) fn remove(&self, fd: impl AsFd) {
        let _ = self.0.delete(fd);
    }

    /// A descriptor of the set, readable when there is something to take.
    pub(super) fn handle(&self) -> std::io::Result<OwnedFd> {
        self.0.0.try_clone()
    }

    /// What has happened so far, without waiting; at most as many as `events` has room for.
    pub(super) fn take(&self, events: &mut [EpollEvent]) -> usize {
        self.0.wait(events, EpollTimeout::ZERO).unwrap_or(0)
    }
}

pub(super) fn token_of(event: &EpollEvent) -> Token {
    Token::of(event.data())
}

/// What a keeper's or the nursery's socket holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Report([u8; REPORT_BYTES]),
    /// Nothing for now.
    None,
    /// The other end is closed, and all that it sent has been taken.
    Ended,
}

/// Takes one packet, without waiting.
pub(super) fn take_packet(socket: &OwnedFd) -> Packet {
    let mut bytes = [0; REPORT_BYTES];
    loop {
        match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(REPORT_BYTES) => return Packet::Report(bytes),
            Err(Errno::EAGAIN) => return Packet::None,
            // A peer that ends with a command of ours unread resets the connection. The kernel says so once, before it
            // hands out what that peer had sent: its last report is still to come.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            Ok(_) | Err(_) => return Packet::Ended,
        }
    }
}

/// The descriptors of a process that is being started.
pub(super) struct Ends {
    pub(super) stdin_read: OwnedFd,
    pub(super) stdin_write: OwnedFd,
    pub(super) stdout_read: OwnedFd,
    pub(super) stdout_write: OwnedFd,
    pub(super) control: OwnedFd,
    pub(super) keeper_control: OwnedFd,
}

/// Makes them. The host's ends do not block; all are closed by exec.
pub(super) fn make_ends() -> nix::Result<Ends> {
    let (stdin_read, stdin_write) = pipe2(OFlag::O_CLOEXEC)?;
    let (stdout_read, stdout_write) = pipe2(OFlag::O_CLOEXEC)?;
    let (control, keeper_control) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    for fd in [&stdin_write, &stdout_read, &control] {
        fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok(Ends {
        stdin_read,
        stdin_write,
        stdout_read,
        stdout_write,
        control,
        keeper_control,
    })
}

/// Descriptors that the host keeps for each process.
pub(super) const DESCRIPTORS_PER_PROCESS: u64 = 3;

/// Descriptors that the host keeps for each tool socket.
pub(super) const DESCRIPTORS_PER_SOCKET: u64 = 1 + crate::mcp::socket::CONNECTIONS as u64;

/// Raises the soft limit of descriptors so that `processes` fit beside what this process has open and `others` more.
/// Children are not affected: keepers descend from the nursery, which was forked before.
///
/// # Errors
/// [`StartError::Descriptors`] when the hard limit is lower.
pub fn raise_descriptor_limit(processes: usize, others: u64) -> Result<(), StartError> {
    let open = std::fs::read_dir("/proc/self/fd").map_or(64, Iterator::count) as u64;
    let needed = open + others + DESCRIPTORS_PER_PROCESS * processes as u64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Ok(());
    };
    if soft >= needed {
        return Ok(());
    }
    if hard < needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_err() {
        return Err(StartError::Descriptors {
            seats: processes,
            needed,
            hard,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::socket::CONNECTIONS;
    use crate::process::wire::{Command, Report};
    use nix::sys::socket::send;

    #[test]
    fn the_last_report_of_a_keeper_that_left_a_command_unread_is_taken() {
        let ends = make_ends().unwrap();
        let say = |socket: &OwnedFd, bytes: &[u8]| {
            send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).unwrap();
        };
        say(&ends.keeper_control, &Report::ExitedCode(0).encode());
        say(&ends.keeper_control, &Report::TreeGone.encode());
        say(&ends.control, &Command::Term.encode());
        drop(ends.keeper_control);
        let taken: Vec<_> = (0..4).map(|_| take_packet(&ends.control)).collect();
        let report = |report: Report| Packet::Report(report.encode());
        assert_eq!(
            taken,
            [
                report(Report::ExitedCode(0)),
                report(Report::TreeGone),
                Packet::Ended,
                Packet::Ended
            ]
        );
    }

    #[test]
    fn tokens_come_back() {
        for token in [
            Token::Stdout(0),
            Token::Stdin(7),
            Token::Control(100_000),
            Token::Door(12),
            Token::Tools(0, 0),
            Token::Tools(100_000, CONNECTIONS - 1),
            Token::Nursery,
        ] {
            assert_eq!(Token::of(token.number()), token);
        }
    }
}
