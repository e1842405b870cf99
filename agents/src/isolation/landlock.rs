//! Landlock: which files, TCP ports, signals and abstract sockets a process reaches. All of it or an error, never less.
//!
//! Must not know seats, only paths and ports.

use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope,
};
use nix::errno::Errno;

use super::plan::Plan;

/// What is demanded of the kernel: files with truncation and device calls, TCP, and the two scopes.
const DEMANDED: ABI = ABI::V6;

/// Folders of the system that every seat may read and execute.
pub const SYSTEM_FOLDERS: [&str; 10] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/proc", "/sys",
];

/// Devices that every seat may use.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Restricts this thread, and what it starts, for good.
///
/// # Errors
/// `ENOSYS` or `EOPNOTSUPP` where the kernel has no Landlock, `EINVAL` where it knows less than is demanded, else what a
/// path said.
pub fn restrict(plan: &Plan) -> nix::Result<()> {
    let mut writable = Vec::with_capacity(plan.write.len());
    for path in &plan.write {
        writable.push(PathFd::new(path).map_err(|error| errno_of(&error))?);
    }
    let ruleset = build(plan, writable).map_err(|error| errno_of(&error))?;
    let status = ruleset.restrict_self().map_err(|error| errno_of(&error))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn build(plan: &Plan, writable: Vec<PathFd>) -> Result<RulesetCreated, RulesetError> {
    let all = AccessFs::from_all(DEMANDED);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)?
        .handle_access(AccessNet::ConnectTcp | AccessNet::BindTcp)?
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?
        .create()?
        .set_compatibility(CompatLevel::HardRequirement);
    let read = AccessFs::from_read(DEMANDED);
    for path in SYSTEM_FOLDERS
        .iter()
        .map(Path::new)
        .chain(plan.read.iter().map(PathBuf::as_path))
    {
        ruleset = add(ruleset, path, read)?;
    }
    let use_device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    for path in DEVICES.map(Path::new) {
        ruleset = add(ruleset, path, use_device)?;
    }
    // Device nodes are nothing that an agent makes.
    let write = all & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    for folder in writable {
        ruleset = ruleset.add_rule(PathBeneath::new(folder, write))?;
    }
    for &port in &plan.ports {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset)
}

/// Adds a rule for a path, if there is such a path that this process reaches.
fn add(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(fd) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let is_folder = nix::sys::stat::fstat(fd.as_fd())
        .is_ok_and(|stat| stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR);
    let access = match is_folder {
        true => access,
        false => access & AccessFs::from_file(DEMANDED),
    };
    ruleset.add_rule(PathBeneath::new(fd, access))
}

fn errno_of(error: &(dyn Error + 'static)) -> Errno {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Errno::from_raw(code);
        }
        cause = error.source();
    }
    Errno::EINVAL
}
