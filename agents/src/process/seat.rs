//! One seat as the driver holds it: what to start, what is open, and how an end is put into words.
//!
//! Must not decide anything: that is the state machine's.

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use nix::errno::Errno;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::io::{Ends, Poller, Token, make_ends};
use super::link::Link;
use super::state::{Machine, Timer};
use super::wire::{REQUEST_BYTES, SpawnRequest, Stage, c_path, c_text};
use crate::adapter::Adapter;
use crate::event::Blame;
use crate::mcp::socket::Socket;
use crate::plan::SeatPlan;
use crate::protocol::excerpt;
use crate::workspace::{Workspace, command, confine};

/// One seat that a process fills.
pub(super) struct Seat {
    /// The host's number for it.
    pub(super) index: usize,
    pub(super) plan: SeatPlan,
    pub(super) at: Workspace,
    pub(super) machine: Machine,
    pub(super) timer: Option<(Instant, Timer)>,
    pub(super) link: Arc<Link>,
    pub(super) adapter: Box<dyn Adapter>,
    /// When the adapter's alarm is due.
    pub(super) wake: Option<Instant>,
    /// Where its tools are reached, if it reaches them over a socket.
    pub(super) tools: Option<Socket>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) control: Option<OwnedFd>,
    /// Who waits for the tree to be stopped.
    pub(super) stopping: Option<SyncSender<()>>,
    /// Its tree is stopped while its desk is read.
    pub(super) halted: bool,
    /// Its tree is stopped by a stroke, and who waits for that.
    pub(super) frozen: bool,
    pub(super) freezing: Option<oneshot::Sender<()>>,
    /// Its processes can write to no file.
    pub(super) full: bool,
    /// Who waits until that is so, or is not any more.
    pub(super) filling: Option<oneshot::Sender<()>>,
    /// Of the keeper that is or was last asked for.
    pub(super) serial: u32,
    /// Process of the keeper that last started something.
    pub(super) keeper: i32,
    pub(super) paused: bool,
    pub(super) flooded: bool,
    /// Length of the stderr log when the present process was asked for.
    pub(super) log_start: u64,
}

/// A request that waits for the nursery, with the descriptors that go with it.
pub(super) struct Asking {
    pub(super) slot: usize,
    pub(super) request: Vec<u8>,
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) control: OwnedFd,
}

/// Why a process could not even be asked for.
pub(super) type Refusal = (Blame, String);

impl Seat {
    /// Opens what a new process needs and words the request for its keeper.
    pub(super) fn ask(
        &mut self,
        slot: usize,
        serial: u32,
        poller: &Poller,
    ) -> Result<Asking, Refusal> {
        let program = &self.plan.program;
        let launch = self.adapter.start(&self.at);
        let isolation = confine::plan(&self.plan.isolation, program, &self.at);
        let (seat, run) = (&self.plan.seat, &self.plan.run);
        let resolved = command::resolve(program, &launch, seat, run, &self.at, &isolation)
            .map_err(|error| (Blame::Cast, error.to_string()))?;
        let zero = || {
            (
                Blame::Cast,
                "the command, its arguments or environment hold a zero byte; remove it".to_owned(),
            )
        };
        let mut env = Vec::with_capacity(resolved.env.len());
        for (name, value) in &resolved.env {
            if name.is_empty() || name.contains('=') {
                return Err((
                    Blame::Cast,
                    format!("{name:?} is no name of an environment variable; correct the cast"),
                ));
            }
            let mut pair = std::ffi::OsString::from(name);
            pair.push("=");
            pair.push(value);
            env.push(c_text(pair).ok_or_else(zero)?);
        }
        let request = SpawnRequest {
            serial,
            stderr_bytes: program.limits.stderr_bytes,
            executable: c_path(&resolved.executable).ok_or_else(zero)?,
            folder: c_path(&self.at.workspace).ok_or_else(zero)?,
            args: resolved
                .args
                .iter()
                .map(c_text)
                .collect::<Option<_>>()
                .ok_or_else(zero)?,
            env,
            isolation,
        }
        .encode();
        if request.len() > REQUEST_BYTES {
            let detail = format!(
                "arguments and environment have {} bytes together, and {REQUEST_BYTES} is the most; put long texts into a \
                 file of the program",
                request.len()
            );
            return Err((Blame::Cast, detail));
        }
        let machine_refused = |errno: Errno| {
            (
                Blame::Machine,
                format!("no pipes for the process: {errno}; {}", advice(errno)),
            )
        };
        let stderr = open_log(&self.at.stderr, self.machine.attempt).map_err(|error| {
            (
                Blame::Machine,
                format!(
                    "cannot write {}: {error}; check rights and space",
                    self.at.stderr.display()
                ),
            )
        })?;
        if program.adapter.has_socket() {
            let socket = Socket::open(&self.at.root, self.plan.isolation.owner).map_err(|error| {
                let folder = self.at.root.display();
                let detail = format!(
                    "cannot make the socket of the seat's tools in {folder}: {error}; check rights and space"
                );
                (Blame::Machine, detail)
            })?;
            poller
                .add_readable(socket.listener(), Token::Door(slot))
                .map_err(machine_refused)?;
            self.tools = Some(socket);
        }
        self.log_start = std::fs::metadata(&self.at.stderr).map_or(0, |log| log.len());
        let Ends {
            stdin_read,
            stdin_write,
            stdout_read,
            stdout_write,
            control,
            keeper_control,
        } = make_ends().map_err(machine_refused)?;
        poller
            .add_readable(&stdout_read, Token::Stdout(slot))
            .map_err(machine_refused)?;
        poller
            .add_readable(&control, Token::Control(slot))
            .map_err(machine_refused)?;
        self.link.open(stdin_write);
        (self.stdout, self.control) = (Some(stdout_read), Some(control));
        (self.serial, self.paused, self.flooded) = (serial, false, false);
        Ok(Asking {
            slot,
            request,
            stdin: stdin_read,
            stdout: stdout_write,
            stderr,
            control: keeper_control,
        })
    }

    /// The last line that the process wrote to stderr, fit for a message to people. Complete once its tree is gone.
    pub(super) fn last_words(&self) -> Option<String> {
        const TAIL_BYTES: u64 = 4096;
        const CHARS: usize = 200;
        let mut log = std::fs::File::open(&self.at.stderr).ok()?;
        let from = log.metadata().ok()?.len().saturating_sub(TAIL_BYTES);
        log.seek(SeekFrom::Start(from.max(self.log_start))).ok()?;
        let mut tail = Vec::new();
        log.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
        let tail = String::from_utf8_lossy(&tail);
        let line = tail
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())?;
        let clean: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Some(excerpt(&clean, CHARS).into_owned())
    }

    /// Closes all that is open.
    pub(super) fn release(&mut self) {
        self.link.close();
        (self.stdout, self.control, self.tools) = (None, None, None);
    }
}

/// The first process of a seat begins a new log; those after it carry on, each with a limit of its own.
fn open_log(path: &PathBuf, attempt: u32) -> std::io::Result<OwnedFd> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).mode(0o600);
    if attempt == 1 {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    options.open(path).map(OwnedFd::from)
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EMFILE | Errno::ENFILE => "raise the limit of open files (ulimit -n)",
        Errno::EAGAIN => "raise the limit of processes (ulimit -u, or the container's pids limit)",
        Errno::ENOMEM => "the machine is out of memory",
        _ => "the machine refused",
    }
}

/// Whose fault it was that a program could not be started, and what to do.
pub(super) fn explain_spawn(command: &str, errno: i32, stage: Stage) -> Refusal {
    let errno = Errno::from_raw(errno);
    match (stage, errno) {
        (Stage::Exec, Errno::ENOENT) => (
            Blame::Cast,
            format!(
                "cannot run {command:?}: the interpreter in its first line does not exist; install it"
            ),
        ),
        (Stage::Exec, Errno::ENOEXEC) => (
            Blame::Cast,
            format!(
                "cannot run {command:?}: neither a program of this machine nor a script with a `#!` line; add the line"
            ),
        ),
        (Stage::Exec, Errno::EACCES) => (
            Blame::Cast,
            format!("cannot run {command:?}: no right to execute it; set its executable bit"),
        ),
        (Stage::Exec, Errno::E2BIG) => (
            Blame::Cast,
            format!(
                "cannot run {command:?}: arguments and environment are too long for the system"
            ),
        ),
        (
            Stage::Exec | Stage::Fork,
            Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ENOSYS,
        ) => (
            Blame::Machine,
            format!("cannot run {command:?}: {errno}; {}", advice(errno)),
        ),
        (Stage::Exec, _) => (
            Blame::Cast,
            format!("cannot run {command:?}: {errno}; correct the command in the cast"),
        ),
        (stage, errno) => (
            Blame::Machine,
            format!(
                "cannot run {command:?}: the step {stage:?} failed: {errno}; {}",
                match stage {
                    Stage::User | Stage::Landlock | Stage::Seccomp =>
                        "see `formicarium doctor` for what this machine can enforce",
                    _ => advice(errno),
                }
            ),
        ),
    }
}
