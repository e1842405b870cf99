//! What an attacker knows: paths, processes, ports, names. The runner sets all of it up anew for each case.
//!
//! Must not know how a seat is confined.

use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::isolation::Rlimits;

/// What the victim, a process of the other seat, has made and tells the runner. What it was not allowed to make is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Victim {
    /// Its process.
    pub pid: i32,
    /// A descriptor of its secret file.
    pub secret_fd: i32,
    /// Where its secret stands in its memory.
    pub secret_address: u64,
    /// A System V segment, semaphore set and queue, mode 0600.
    pub shm: Option<i32>,
    /// See `shm`.
    pub sem: Option<i32>,
    /// See `shm`.
    pub msg: Option<i32>,
    /// A key in its user keyring.
    pub key: Option<i32>,
    /// Whether it could watch its own file by fanotify, which containers refuse to those without CAP_SYS_ADMIN.
    pub fanotify: bool,
    /// The slave of its pseudo terminal.
    pub pty: Option<PathBuf>,
    /// A POSIX shared memory object, as a path.
    pub posix_shm: Option<PathBuf>,
    /// A POSIX message queue.
    pub mq: Option<String>,
    /// Abstract sockets (without the leading NUL) and path sockets; it answers on all of them.
    pub abstract_stream: Option<String>,
    /// See `abstract_stream`.
    pub abstract_datagram: Option<String>,
    /// See `abstract_stream`.
    pub path_stream: Option<PathBuf>,
    /// See `abstract_stream`.
    pub path_datagram: Option<PathBuf>,
}

/// The stand-in of the host: a process that answers on loopback.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Host {
    /// Its process.
    pub pid: i32,
    /// The TCP port that the seat may connect to, on 127.0.0.1.
    pub allowed: u16,
    /// Whether another service listens on the same port of 127.0.0.2.
    pub elsewhere: bool,
    /// A TCP port that the seat may not connect to, on 127.0.0.1.
    pub forbidden: u16,
    /// Whether the same port is open on ::1.
    pub six: bool,
    /// A UDP port on 127.0.0.1.
    pub udp: Option<u16>,
    /// A UDP port on ::1.
    pub udp6: Option<u16>,
    /// A UDP-Lite port on 127.0.0.1.
    pub udplite: Option<u16>,
    /// An SCTP port on 127.0.0.1.
    pub sctp: Option<u16>,
}

/// Limits that the confinement has to set for the attacker; attacks try to go beyond.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// RLIMIT_NPROC.
    pub processes: u64,
    /// RLIMIT_NOFILE.
    pub open_files: u64,
    /// RLIMIT_FSIZE, bytes.
    pub file_bytes: u64,
    /// RLIMIT_DATA, bytes.
    pub data_bytes: u64,
    /// RLIMIT_CPU, seconds.
    pub cpu_seconds: u64,
}

impl Limits {
    /// As the kernel takes them.
    pub(super) fn rlimits(self) -> Rlimits {
        Rlimits {
            memory_bytes: Some(self.data_bytes),
            processes: Some(self.processes),
            files: Some(self.open_files),
            file_bytes: Some(self.file_bytes),
            cpu_seconds: Some(self.cpu_seconds),
        }
    }
}

/// Small enough that going beyond hurts nobody, large enough for the tools of the suite.
pub const LIMITS: Limits = Limits {
    processes: 120,
    open_files: 256,
    file_bytes: 16 << 20,
    data_bytes: 1 << 30,
    cpu_seconds: 2,
};

/// Everything that an attack may use.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The folder of all that follows; short, because names of sockets are limited to 107 bytes.
    pub folder: PathBuf,
    /// The attacker's own workspace.
    pub own: PathBuf,
    /// The other seat's workspace.
    pub other: PathBuf,
    /// The tree that seats may read and only the host may write.
    pub shared: PathBuf,
    /// The other seat and its process.
    pub victim: Victim,
    /// The host's stand-in.
    pub host: Host,
    /// The suite's own runner; attacks only ask whether it could be reached.
    pub runner: i32,
    /// What the attacker must be limited to.
    pub limits: Limits,
}

impl Stage {
    /// Where everything stands below `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            own: folder.join("agents/a/workspace"),
            other: folder.join("agents/b/workspace"),
            shared: folder.join("shared"),
            victim: Victim::default(),
            host: Host::default(),
            runner: Pid::this().as_raw(),
            limits: LIMITS,
        }
    }

    /// A file of the other seat.
    pub fn other_file(&self) -> PathBuf {
        self.other.join("secret.txt")
    }
    /// A folder of the other seat, with a file in it.
    pub fn other_folder(&self) -> PathBuf {
        self.other.join("notes")
    }
    /// A file of the shared tree.
    pub fn shared_file(&self) -> PathBuf {
        self.shared.join("book.txt")
    }
    /// A folder of the shared tree, with a file in it.
    pub fn shared_folder(&self) -> PathBuf {
        self.shared.join("chapters")
    }
    /// The file that the host replaces over and over in some cases.
    pub fn churned(&self) -> PathBuf {
        self.shared.join("churn/page.txt")
    }
    /// Files that the attacker must not change.
    pub(super) fn foreign_files(&self) -> Vec<PathBuf> {
        vec![self.other_file(), self.shared_file()]
    }
    /// Folders in which the attacker must not change a name.
    pub(super) fn foreign_folders(&self) -> Vec<PathBuf> {
        vec![
            self.other_folder(),
            self.other.clone(),
            self.shared_folder(),
            self.shared.clone(),
        ]
    }
    /// A path as reports show it.
    pub(super) fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}
