//! A keeper: the small process that starts one agent, owns its whole process tree, and ends it.
//!
//! It is not on the data path: the agent's stdin and stdout end in the host. It must not know the protocol, the seat or
//! the world, allocates next to nothing, and has one thread. When the host dies, by whatever signal, the control socket
//! ends, and the tree with it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fchown, getpid,
    getppid, pipe2, setsid,
};

use super::tree;
use super::wire::{Command, Report, SpawnRequest, Stage};
use crate::isolation::{self, Owner, uid};
use crate::sys;

/// How long a tree has between SIGTERM and SIGKILL when the host is gone.
const ORPHAN_GRACE: Duration = Duration::from_millis(300);

/// The descriptors that a keeper works with.
pub(super) struct Ends {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr_file: OwnedFd,
    pub(super) control: OwnedFd,
}

/// The whole life of a keeper, in the child that the nursery forked. Signals are as the nursery has set them.
pub(super) fn live(request: &SpawnRequest, ends: Ends) -> ! {
    let _ = setsid();
    let _ = prctl::set_child_subreaper(true);
    let _ = prctl::set_name(c"formi-keeper");
    let Ends {
        stdin,
        stdout,
        stderr_file,
        control,
    } = ends;
    match start_agent(request, stdin, stdout) {
        Ok((main, stderr)) => {
            let keeper = getpid().as_raw();
            report(&control, Report::Spawned { keeper });
            Keeper {
                main: Some(main),
                control: Some(control),
                stderr: Some(stderr),
                log: StderrLog {
                    file: File::from(stderr_file),
                    left: request.stderr_bytes,
                    limit: request.stderr_bytes,
                },
                owner: request.isolation.owner,
                killing: false,
                kill_at: None,
            }
            .watch()
        }
        Err((errno, stage)) => {
            report(
                &control,
                Report::SpawnFailed {
                    errno: errno as i32,
                    stage,
                },
            );
            report(&control, Report::TreeGone);
            sys::exit_now(0)
        }
    }
}

fn report(control: &OwnedFd, report: Report) {
    // The host may be gone: then nobody needs to know.
    let _ = send(
        control.as_raw_fd(),
        &report.encode(),
        MsgFlags::MSG_NOSIGNAL,
    );
}

type Failure = (Errno, Stage);

/// Forks and execs the agent. Returns once exec has happened (or failed), with the pipe of its stderr.
fn start_agent(
    request: &SpawnRequest,
    stdin: OwnedFd,
    stdout: OwnedFd,
) -> Result<(Pid, OwnedFd), Failure> {
    let at = |stage| move |errno| (errno, stage);
    let (stderr, stderr_end) = pipe2(OFlag::O_CLOEXEC).map_err(at(Stage::Descriptors))?;
    if let Some(owner) = request.isolation.owner {
        // What opens /dev/stdout opens the pipe anew, by the rights of its owner.
        for pipe in [&stdin, &stdout, &stderr_end] {
            give(pipe, owner).map_err(at(Stage::User))?;
        }
    }
    let (failure, failure_end) = pipe2(OFlag::O_CLOEXEC).map_err(at(Stage::Descriptors))?;
    match sys::fork_single_threaded().map_err(at(Stage::Fork))? {
        ForkResult::Child => {
            let (errno, stage) = become_agent(request, &stdin, &stdout, &stderr_end);
            let mut told = [0; 8];
            told[..4].copy_from_slice(&(errno as i32).to_le_bytes());
            told[4..].copy_from_slice(&(stage as i32).to_le_bytes());
            let _ = nix::unistd::write(&failure_end, &told);
            sys::exit_now(127)
        }
        ForkResult::Parent { child } => {
            drop((stdin, stdout, stderr_end, failure_end));
            let mut told = [0; 8];
            let length = loop {
                match nix::unistd::read(&failure, &mut told) {
                    Ok(length) => break length,
                    Err(Errno::EINTR) => {}
                    Err(_) => break 0,
                }
            };
            if length < told.len() {
                let _ =
                    nix::fcntl::fcntl(&stderr, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
                return Ok((child, stderr));
            }
            let _ = waitpid(child, None);
            let number = |at: usize| {
                i32::from_le_bytes([told[at], told[at + 1], told[at + 2], told[at + 3]])
            };
            Err((
                Errno::from_raw(number(0)),
                Stage::decode(number(4)).unwrap_or(Stage::Exec),
            ))
        }
    }
}

/// Gives a pipe to a user.
fn give(pipe: &OwnedFd, owner: Owner) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    fchown(pipe, Some(uid), Some(gid))
}

/// In the forked child: becomes the agent, or says why not.
fn become_agent(
    request: &SpawnRequest,
    stdin: &OwnedFd,
    stdout: &OwnedFd,
    stderr: &OwnedFd,
) -> Failure {
    let steps = || -> Result<std::convert::Infallible, Failure> {
        let at = |stage| move |errno| (errno, stage);
        let keeper = getppid();
        setsid().map_err(at(Stage::Session))?;
        dup2_stdin(stdin).map_err(at(Stage::Descriptors))?;
        dup2_stdout(stdout).map_err(at(Stage::Descriptors))?;
        dup2_stderr(stderr).map_err(at(Stage::Descriptors))?;
        sys::close_on_exec_from(3);
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        chdir(request.folder.as_c_str()).map_err(at(Stage::Folder))?;
        isolation::apply(&request.isolation).map_err(|(errno, step)| (errno, step.into()))?;
        // After isolation: a change of user clears it. If the keeper died before this call, its signal never comes.
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(at(Stage::Session))?;
        if getppid() != keeper {
            sys::exit_now(127);
        }
        sys::default_signals();
        SigSet::empty()
            .thread_set_mask()
            .map_err(at(Stage::Session))?;
        execve(&request.executable, &request.args, &request.env).map_err(at(Stage::Exec))
    };
    match steps() {
        Err(failure) => failure,
    }
}

struct Keeper {
    /// None once it has ended.
    main: Option<Pid>,
    /// None once the host is gone.
    control: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    log: StderrLog,
    /// The user that nothing but this tree runs as.
    owner: Option<Owner>,
    killing: bool,
    kill_at: Option<Instant>,
}

impl Keeper {
    fn watch(mut self) -> ! {
        let children = SignalFd::with_flags(
            &child_signal(),
            SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
        )
        .ok();
        let me = getpid();
        let mut patience_ms: u16 = 1;
        loop {
            if self.reap() {
                self.finish();
            }
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.killing = true;
                self.kill_at = None;
            }
            let timeout = if self.killing {
                if let Some(owner) = self.owner {
                    // Without room for a child, the next round tries again.
                    let _ = uid::signal_all(owner, Signal::SIGKILL);
                }
                tree::kill_all(&tree::children_of(me));
                // Not on the death of every process of a big tree, and not in a tight loop for one that hangs in the
                // kernel.
                patience_ms = (patience_ms * 2).min(50);
                PollTimeout::from(patience_ms)
            } else {
                match self.kill_at {
                    Some(at) => PollTimeout::from(
                        at.saturating_duration_since(Instant::now()).as_millis() as u16 + 1,
                    ),
                    // Without a signal descriptor (out of descriptors) the children are asked for now and then.
                    None if children.is_none() => PollTimeout::from(20u16),
                    None => PollTimeout::NONE,
                }
            };
            self.wait(children.as_ref(), timeout);
        }
    }

    fn wait(&mut self, children: Option<&SignalFd>, timeout: PollTimeout) {
        let (mut control_ready, mut stderr_ready) = (false, false);
        {
            let mut fds = Vec::with_capacity(3);
            for fd in [
                self.control.as_ref().map(AsFd::as_fd),
                self.stderr.as_ref().map(AsFd::as_fd),
            ] {
                fds.extend(fd.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            }
            fds.extend(children.map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
            if poll(&mut fds, timeout).is_ok() {
                let mut ready = fds
                    .iter()
                    .map(|fd| fd.revents().is_some_and(|r| !r.is_empty()));
                control_ready = self.control.is_some() && ready.next().unwrap_or(false);
                stderr_ready = self.stderr.is_some() && ready.next().unwrap_or(false);
            }
        }
        if let Some(children) = children {
            while matches!(children.read_signal(), Ok(Some(_))) {}
        }
        if control_ready {
            self.obey();
        }
        if stderr_ready {
            self.take_stderr();
        }
    }

    /// Collects what has ended. True when nothing of the tree is left.
    fn reap(&mut self) -> bool {
        loop {
            let (pid, report) = match waitpid(
                None::<Pid>,
                Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL),
            ) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Report::ExitedCode(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, Report::ExitedSignal(signal as i32))
                }
                Ok(WaitStatus::StillAlive) => return false,
                Err(Errno::ECHILD) => return true,
                Ok(_) | Err(_) => continue,
            };
            if self.main == Some(pid) {
                self.main = None;
                // What an ended agent leaves behind has nobody to answer to.
                self.killing = true;
                if let Some(control) = &self.control {
                    self::report(control, report);
                }
            }
        }
    }

    fn obey(&mut self) {
        let Some(control) = &self.control else { return };
        let mut byte = [0];
        match recv(control.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT) {
            Ok(1) => match Command::decode(byte[0]) {
                Some(Command::Term) => terminate(),
                Some(Command::Kill) => self.killing = true,
                Some(Command::Stop) => self.stop(),
                Some(Command::Continue) => self.signal(Signal::SIGCONT),
                Some(command @ (Command::Fill | Command::Empty)) => {
                    self.set_files_full(command == Command::Fill);
                    report(control, Report::Filled);
                }
                None => {}
            },
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(_) | Err(_) => {
                self.control = None;
                terminate();
                self.kill_at = Some(Instant::now() + ORPHAN_GRACE);
            }
        }
    }

    /// Stops the whole tree and says so. Its user's processes in one call, so that none outruns the list.
    fn stop(&self) {
        let told = match self.owner {
            Some(_) => {
                self.signal(Signal::SIGSTOP);
                tree::descendants(getpid())
            }
            None => tree::stop_all(&tree::children_of(getpid())),
        };
        // Without a report the host waits no longer, and reads nothing of it.
        if tree::await_stopped(&told)
            && let Some(control) = &self.control
        {
            report(control, Report::Stopped);
        }
    }

    /// Lets the whole tree write nothing to files, or again; who is forked later has it from its parent.
    fn set_files_full(&self, are_full: bool) {
        // Twice: who was forked meanwhile by one that had not been reached.
        for _ in 0..2 {
            let pids = tree::descendants(getpid());
            match self
                .owner
                .map(|owner| uid::set_files_full(owner, &pids, are_full))
            {
                Some(Ok(child)) => drop(waitpid(child, None)),
                // Without room for a child the tree keeps its room in files.
                Some(Err(_)) => {}
                None => pids
                    .iter()
                    .for_each(|pid| sys::set_files_full(*pid, are_full)),
            }
        }
    }

    /// Sends a signal to the whole tree; returns when it has been sent.
    fn signal(&self, signal: Signal) {
        match self.owner.map(|owner| uid::signal_all(owner, signal)) {
            // Waited for by its number: what else has ended is for `reap`.
            Some(Ok(child)) => drop(waitpid(child, None)),
            Some(Err(_)) | None => tree::signal_all(getpid(), signal),
        }
    }

    /// Takes one piece of the agent's stderr. False when there is nothing to take now.
    fn take_stderr(&mut self) -> bool {
        let Some(stderr) = &self.stderr else {
            return false;
        };
        let mut buffer = [0; 2048];
        match nix::unistd::read(stderr, &mut buffer) {
            Ok(0) => self.stderr = None,
            Ok(length) => {
                self.log.take(&buffer[..length]);
                return true;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.stderr = None,
        }
        false
    }

    fn finish(mut self) -> ! {
        while self.take_stderr() {}
        if let Some(control) = &self.control {
            report(control, Report::TreeGone);
        }
        sys::exit_now(0)
    }
}

/// SIGTERM to the whole tree: a shell does not hand it on to its children. Stopped ones have to be woken to take it.
fn terminate() {
    tree::signal_all(getpid(), Signal::SIGTERM);
    tree::signal_all(getpid(), Signal::SIGCONT);
}

pub(super) fn child_signal() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set
}

/// The size-limited file of an agent's stderr.
struct StderrLog {
    file: File,
    left: u64,
    limit: u64,
}

impl StderrLog {
    fn take(&mut self, bytes: &[u8]) {
        if self.left == 0 {
            return;
        }
        let note = format!(
            "\n[stderr reached its limit of {} bytes; the rest was dropped]\n",
            self.limit
        );
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        if bytes.len() + note.len() <= room {
            // A full disk loses a log; it must not lose the agent.
            let _ = self.file.write_all(bytes);
            self.left -= bytes.len() as u64;
        } else {
            let _ = self
                .file
                .write_all(&bytes[..room.saturating_sub(note.len()).min(bytes.len())]);
            let _ = self.file.write_all(note.as_bytes());
            self.left = 0;
        }
    }
}
