//! What a seat's process may reach, as data, and how it is applied between fork and exec.
//!
//! A table of contents and the order of the steps. Must not know who asks, or what runs there.
//!
//! * [`plan`]: a seat's confinement as data, and its form on the wire
//! * [`landlock`]: files, TCP ports, signals and abstract sockets
//! * [`seccomp`]: system calls that lead around those
//! * [`uid`]: a user for each seat, and the end of all that runs as one
//! * [`reach`]: whether a seat could execute a file, found out before it is started
//! * [`probe`]: what this machine can enforce, found by trying

pub mod landlock;
pub mod plan;
pub mod probe;
pub mod reach;
pub mod seccomp;
pub mod uid;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

pub use plan::{Isolation, Level, Owner, Plan, Rlimits};

use crate::sys;

/// At which step a confinement could not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// User, groups, capabilities, no gain of rights by exec.
    User,
    /// Limits of the process.
    Limits,
    /// Landlock.
    Landlock,
    /// The filter of system calls.
    Seccomp,
}

/// Why a confinement could not be applied.
pub type Failure = (Errno, Step);

/// Confines this process for good. For a forked child with one thread, just before exec.
///
/// # Errors
/// The step that failed. The process must not go on then: it may be confined in part.
pub fn apply(plan: &Plan) -> Result<(), Failure> {
    let at = |step| move |errno| (errno, step);
    if let Some(owner) = plan.owner {
        become_owner(owner).map_err(at(Step::User))?;
    }
    if plan.level != Level::Advisory {
        sys::drop_capabilities().map_err(at(Step::User))?;
    }
    prctl::set_no_new_privs().map_err(at(Step::User))?;
    limit(&plan.limits).map_err(at(Step::Limits))?;
    if plan.level == Level::Advisory {
        return Ok(());
    }
    landlock::restrict(plan).map_err(at(Step::Landlock))?;
    seccomp::restrict().map_err(at(Step::Seccomp))
}

/// Becomes a user without groups but its own, for good.
///
/// # Errors
/// `EPERM` for who is not root.
pub fn become_owner(owner: Owner) -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// Sets the limits, none higher than what this process has itself. No core dumps in any case.
pub(crate) fn limit(limits: &Rlimits) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    for (resource, value) in [
        (Resource::RLIMIT_DATA, limits.memory_bytes),
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_NOFILE, limits.files),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
    ] {
        if let Some(value) = value {
            let (_, hard) = getrlimit(resource)?;
            let value = value.min(hard);
            setrlimit(resource, value, value)?;
        }
    }
    Ok(())
}
