//! What this machine can enforce, right by right, found by trying each in a forked child. Versions are never asked.
//!
//! For a process with one thread: before any runtime. Must not decide what a run needs; it only says which level can be had.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::signal::kill;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Uid, getppid, pipe2, setuid};
use serde::Serialize;

use super::plan::{Level, Owner, Plan};
use super::uid::{self, UidRange};
use super::{landlock, seccomp};
use crate::sys;

/// Something that isolation is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// To become another user for good, and to have no way back.
    Setuid,
    /// To claim users, so that no two runs have the same.
    Claims,
    /// To give up gaining rights by exec.
    NoNewPrivs,
    /// To restrict files.
    LandlockFiles,
    /// To restrict TCP ports.
    LandlockTcp,
    /// To restrict signals and abstract sockets.
    LandlockScopes,
    /// To filter system calls.
    Seccomp,
    /// To find all processes of a tree.
    ProcChildren,
    /// To make control groups. No level needs it.
    Cgroup,
}

impl Right {
    /// All, in the order in which they are shown.
    pub const ALL: [Right; 9] = [
        Right::Setuid,
        Right::Claims,
        Right::NoNewPrivs,
        Right::LandlockFiles,
        Right::LandlockTcp,
        Right::LandlockScopes,
        Right::Seccomp,
        Right::ProcChildren,
        Right::Cgroup,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Right::Setuid => "become another user",
            Right::Claims => "claim users for seats",
            Right::NoNewPrivs => "no new privileges",
            Right::LandlockFiles => "Landlock: files",
            Right::LandlockTcp => "Landlock: TCP ports",
            Right::LandlockScopes => "Landlock: signals, abstract sockets",
            Right::Seccomp => "seccomp filters",
            Right::ProcChildren => "list a process's children",
            Right::Cgroup => "writable cgroup v2 (not needed)",
        }
    }

    /// How a machine or container is given it.
    pub fn remedy(self) -> &'static str {
        match self {
            Right::Setuid => {
                "run the host as root with the capabilities SETUID and SETGID, which containers have by default: docker \
                 run --user 0 ..., without --cap-drop"
            }
            Right::Claims => "make /run writable for root: docker run --tmpfs /run ...",
            Right::NoNewPrivs | Right::ProcChildren => "use a newer kernel, with /proc mounted",
            Right::LandlockFiles | Right::LandlockTcp | Right::LandlockScopes => {
                "use a kernel of 6.12 or later with Landlock switched on (boot option lsm=landlock,...), and a container \
                 engine whose seccomp profile lets it through, as Docker 23 and Podman 4.2 do: docker run --security-opt \
                 seccomp=unconfined ... with older ones"
            }
            Right::Seccomp => "use a kernel with CONFIG_SECCOMP_FILTER",
            Right::Cgroup => {
                "docker run --cgroupns private with a cgroup that the container may write"
            }
        }
    }

    /// Whether a level needs it.
    pub fn is_needed(self, level: Level) -> bool {
        match (self, level) {
            (Right::Cgroup, _) => false,
            (Right::Setuid | Right::Claims, _) => level == Level::Uid,
            (Right::ProcChildren | Right::NoNewPrivs, _) => true,
            _ => level != Level::Advisory,
        }
    }
}

/// One right on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub right: Right,
    /// Whether it is there.
    pub held: bool,
    /// What was tried, and what came of it.
    pub reason: String,
}

/// All rights on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// In the order of [`Right::ALL`].
    pub findings: Vec<Finding>,
}

impl Probe {
    /// Tries everything. Takes some milliseconds.
    pub fn new(range: UidRange) -> Self {
        let findings = Right::ALL
            .into_iter()
            .map(|right| {
                let (held, reason) = match attempt(right, range) {
                    Ok(reason) => (true, reason),
                    Err(reason) => (false, reason),
                };
                Finding {
                    right,
                    held,
                    reason,
                }
            })
            .collect();
        Probe { findings }
    }

    /// What a level lacks here.
    pub fn missing(&self, level: Level) -> Vec<&Finding> {
        self.findings
            .iter()
            .filter(|finding| !finding.held && finding.right.is_needed(level))
            .collect()
    }

    /// The strongest level that can be had.
    pub fn best(&self) -> Level {
        Level::ALL
            .into_iter()
            .find(|level| self.missing(*level).is_empty())
            .unwrap_or(Level::Advisory)
    }
}

type Attempt = Result<String, String>;

fn attempt(right: Right, range: UidRange) -> Attempt {
    match right {
        Right::Setuid => in_child(move || become_another(range.first)),
        Right::Claims => claims(),
        Right::NoNewPrivs => in_child(no_new_privs),
        Right::LandlockFiles => in_child(files),
        Right::LandlockTcp => in_child(tcp),
        Right::LandlockScopes => in_child(scopes),
        Right::Seccomp => in_child(filters),
        Right::ProcChildren => {
            let list = format!("/proc/self/task/{}/children", nix::unistd::gettid());
            fs::read_to_string(&list)
                .map(|_| format!("read {list}"))
                .map_err(|error| format!("reading {list}: {error} (CONFIG_PROC_CHILDREN)"))
        }
        Right::Cgroup => cgroup(),
    }
}

/// Runs an attempt in a child, since what it tries cannot be undone.
fn in_child(attempt: impl FnOnce() -> Attempt) -> Attempt {
    let failed = |what: &str, errno: Errno| format!("could not be tried: {what}: {errno}");
    let (answer, answer_end) = pipe2(OFlag::O_CLOEXEC).map_err(|e| failed("a pipe", e))?;
    match sys::fork_single_threaded().map_err(|e| failed("a child process", e))? {
        ForkResult::Child => {
            let (mark, text) = match attempt() {
                Ok(text) => (b'+', text),
                Err(text) => (b'-', text),
            };
            let mut out = fs::File::from(answer_end);
            let _ = out.write_all(&[&[mark], text.as_bytes()].concat());
            sys::exit_now(0)
        }
        ForkResult::Parent { child } => {
            drop(answer_end);
            let text = hear(answer);
            while waitpid(child, None) == Err(Errno::EINTR) {}
            match text.split_at_checked(1) {
                Some(("+", text)) => Ok(text.to_owned()),
                Some(("-", text)) => Err(text.to_owned()),
                _ => Err("the child that tried it was killed".into()),
            }
        }
    }
}

fn hear(answer: OwnedFd) -> String {
    let mut text = String::new();
    let _ = fs::File::from(answer).read_to_string(&mut text);
    text
}

fn become_another(uid: u32) -> Attempt {
    super::become_owner(Owner { uid, gid: uid })
        .map_err(|errno| format!("becoming user {uid}: {errno}"))?;
    match setuid(Uid::from_raw(0)) {
        Err(_) => Ok(format!("became user {uid}, with no way back")),
        Ok(()) => Err(format!("became user {uid}, and could become root again")),
    }
}

fn claims() -> Attempt {
    if !nix::unistd::geteuid().is_root() {
        return Err("the host is not root".into());
    }
    uid::open_folder(Path::new(uid::CLAIMS))
        .map(|()| format!("{} is for root alone", uid::CLAIMS))
        .map_err(|error| error.to_string())
}

fn no_new_privs() -> Attempt {
    prctl::set_no_new_privs().map_err(|errno| errno.to_string())?;
    match prctl::get_no_new_privs() {
        Ok(true) => Ok("set".into()),
        _ => Err("it was set and is not".into()),
    }
}

/// Restricts this process as a seat of no folders would be.
fn restrict() -> Result<(), String> {
    let plan = Plan {
        level: Level::Landlock,
        ..Plan::ADVISORY
    };
    landlock::restrict(&plan).map_err(|errno| match errno {
        Errno::ENOSYS => "this kernel has no Landlock, or a seccomp profile hides it".to_owned(),
        Errno::EOPNOTSUPP => "Landlock is switched off (boot option lsm=)".to_owned(),
        Errno::EINVAL => "this kernel's Landlock knows less than seats need".to_owned(),
        errno => format!("Landlock: {errno}"),
    })
}

fn refused<T>(what: &str, tried: std::io::Result<T>, errno: Errno) -> Result<String, String> {
    match tried {
        Err(error) if error.raw_os_error() == Some(errno as i32) => {
            Ok(format!("{what} was refused"))
        }
        Err(error) => Err(format!("{what}: {error}, where {errno} was expected")),
        Ok(_) => Err(format!("{what} was not refused")),
    }
}

fn files() -> Attempt {
    fs::read_dir("/").map_err(|error| format!("reading the folder /: {error}"))?;
    restrict()?;
    refused("reading the folder /", fs::read_dir("/"), Errno::EACCES)
}

fn tcp() -> Attempt {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .map_err(|error| format!("no TCP port on loopback: {error}"))?;
    let address: SocketAddr = listener
        .local_addr()
        .map_err(|error| format!("no TCP port on loopback: {error}"))?;
    restrict()?;
    refused(
        "binding a TCP port",
        TcpListener::bind(("127.0.0.1", 0)),
        Errno::EACCES,
    )?;
    refused(
        "connecting to a TCP port",
        TcpStream::connect(address),
        Errno::EACCES,
    )
}

fn scopes() -> Attempt {
    let name = format!("formicarium-probe-{}", std::process::id());
    let address = UnixAddress::from_abstract_name(name).map_err(|error| error.to_string())?;
    let _listener = UnixListener::bind_addr(&address)
        .map_err(|error| format!("no abstract socket: {error}"))?;
    restrict()?;
    refused(
        "connecting to an abstract socket",
        UnixStream::connect_addr(&address),
        Errno::EPERM,
    )?;
    refused(
        "a signal to the parent",
        kill(getppid(), None).map_err(Into::into),
        Errno::EPERM,
    )
}

fn filters() -> Attempt {
    prctl::set_no_new_privs().map_err(|errno| errno.to_string())?;
    seccomp::restrict().map_err(|errno| format!("installing a filter: {errno}"))?;
    refused(
        "a UDP socket",
        UdpSocket::bind(("127.0.0.1", 0)),
        Errno::EPERM,
    )
}

fn cgroup() -> Attempt {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .ok_or("this process is in no cgroup of version 2")?;
    let folder: PathBuf = ["/sys/fs/cgroup", own].iter().collect();
    if !folder.join("cgroup.controllers").exists() {
        return Err(format!("{} is no cgroup of version 2", folder.display()));
    }
    let group = folder.join(format!("formicarium-probe-{}", std::process::id()));
    fs::create_dir(&group)
        .map_err(|error| format!("making a group in {}: {error}", folder.display()))?;
    let _ = fs::remove_dir(&group);
    Ok(format!("made a group in {}", folder.display()))
}
