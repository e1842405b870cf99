//! The product's own levels, as the suite tries them: the attacker is confined as a seat's process is, the other seat is
//! as careless as it can be. Must not know single attacks.

use nix::unistd::{Gid, Pid, Uid};

use super::confine::{Confine, Role, end_tree};
use super::report::Exception;
use super::stage::Stage;
use crate::isolation::{self, Level, Owner, Plan, Rlimits, uid};

const PORTS: &str =
    "Landlock filters ports, not addresses: the port of the model door is open on every address";
const ARGUMENTS: &str = "arguments are everybody's to read: no secret stands in one";
const LOCKS: &str = "a lock needs only what reading needs; the host waits for none";
const METADATA: &str =
    "one user for all: times, modes, owners and attributes of a file are its user's to set";
const PATH_SOCKETS: &str = "one user for all: a socket with a path answers whoever its user is";
const COUNTED: &str = "one user for all: a limit of processes would count the host's";

/// What the product's levels are documented not to hold (docs/isolation.md).
#[rustfmt::skip]
pub const EXCEPTIONS: &[Exception] = &[
    exception("uid", "net.tcp_port_elsewhere", PORTS),
    exception("uid", "peek.cmdline", ARGUMENTS),
    exception("uid", "file.flock", LOCKS),
    exception("landlock", "net.tcp_port_elsewhere", PORTS),
    exception("landlock", "peek.cmdline", ARGUMENTS),
    exception("landlock", "file.flock", LOCKS),
    landlock_does_not("file.lease", "one user for all: a lease on a file is its user's to take"),
    landlock_does_not("file.stat", "names and sizes behind a path that is known are not filtered"),
    landlock_does_not("file.inotify", "watching a file whose path is known is not filtered"),
    landlock_does_not("file.fanotify", "watching a file whose path is known is not filtered"),
    landlock_does_not("file.chmod", METADATA),
    landlock_does_not("file.fchmod", METADATA),
    landlock_does_not("file.chmod_o_path", METADATA),
    landlock_does_not("file.chmod_folder", METADATA),
    landlock_does_not("file.chown", METADATA),
    landlock_does_not("file.setxattr", METADATA),
    landlock_does_not("file.acl", METADATA),
    landlock_does_not("file.utimes", METADATA),
    landlock_does_not("file.touch", METADATA),
    landlock_does_not("tool.touch", METADATA),
    landlock_does_not("tool.chmod", METADATA),
    landlock_does_not("tool.chgrp", METADATA),
    landlock_does_not("peek.descriptors", "one user for all: how many files a process has open can be listed"),
    landlock_does_not("socket.path", PATH_SOCKETS),
    landlock_does_not("socket.path_datagram", PATH_SOCKETS),
    landlock_does_not("socket.path_link", PATH_SOCKETS),
    landlock_does_not("limit.processes", COUNTED),
    landlock_does_not("limit.fork_bomb", COUNTED),
];

/// A level of isolation with the users that it gives to the two seats.
pub struct Isolated {
    level: Level,
    /// Attacker and victim; none: both run as the host's user.
    owners: Option<(Owner, Owner)>,
}

impl Isolated {
    /// Level `uid`: a user for each of the two.
    pub fn by_user(attacker: Owner, victim: Owner) -> Self {
        Self {
            level: Level::Uid,
            owners: Some((attacker, victim)),
        }
    }

    /// Level `landlock`: both run as this process's user, which should not be root.
    pub fn by_landlock() -> Self {
        Self {
            level: Level::Landlock,
            owners: None,
        }
    }

    fn plan(&self, stage: &Stage) -> Plan {
        Plan {
            level: self.level,
            owner: self.owners.map(|(attacker, _)| attacker),
            read: vec![stage.shared.clone()],
            write: vec![stage.own.clone()],
            ports: vec![stage.host.allowed],
            limits: Rlimits {
                // As for seats: without a user of its own it would count the host's processes.
                processes: self.owners.map(|_| stage.limits.processes),
                ..stage.limits.rlimits()
            },
        }
    }
}

impl Confine for Isolated {
    fn level(&self) -> &str {
        self.level.word()
    }

    fn owner(&self, role: Role) -> (Uid, Gid) {
        let owner = match (role, self.owners) {
            (Role::Attacker, Some((attacker, _))) => attacker,
            (Role::Victim, Some((_, victim))) => victim,
            _ => return (Uid::current(), Gid::current()),
        };
        (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid))
    }

    fn enter(&self, role: Role, stage: &Stage) -> Result<(), String> {
        match (role, self.owners) {
            (Role::Host, _) | (Role::Victim, None) => Ok(()),
            (Role::Victim, Some((_, victim))) => isolation::become_owner(victim)
                .map_err(|errno| format!("cannot become user {}: {errno}", victim.uid)),
            (Role::Attacker, _) => {
                crate::sys::close_from(4);
                isolation::apply(&self.plan(stage))
                    .map_err(|(errno, step)| format!("the step {step:?} failed: {errno}"))
            }
        }
    }

    fn end(&self, attacker: Pid, others: &[Pid]) {
        if let Some((owner, _)) = self.owners {
            let _ = uid::signal_all(owner, nix::sys::signal::Signal::SIGKILL);
        }
        end_tree(attacker, others);
    }
}

const fn exception(level: &'static str, case: &'static str, reason: &'static str) -> Exception {
    Exception {
        level,
        case,
        reason,
    }
}

const fn landlock_does_not(case: &'static str, reason: &'static str) -> Exception {
    exception("landlock", case, reason)
}
