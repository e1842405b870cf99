//! File access with an agent's rights, and copies that share their blocks.
//!
//! Must not know what is read or written.

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use crate::isolation::Owner;

/// While it lives, this thread opens, makes and renames files with the rights of the owner and no more: the kernel then
/// refuses whatever the agent could not have done itself (a hard link to a foreign file cannot be read). The rest of the
/// process is not touched. Without an owner (level `landlock`: one user for all) it does nothing.
#[derive(Debug)]
pub struct FsUser {
    before: Option<(Uid, Gid)>,
    /// Of this thread alone.
    not_send: PhantomData<*const ()>,
}

impl FsUser {
    /// Takes on the owner's rights.
    ///
    /// # Errors
    /// `EPERM` when this process may not: it is not root.
    pub fn enter(owner: Option<Owner>) -> nix::Result<FsUser> {
        let mut guard = FsUser {
            before: None,
            not_send: PhantomData,
        };
        let Some(owner) = owner else {
            return Ok(guard);
        };
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        let old_gid = setfsgid(gid);
        guard.before = Some((setfsuid(uid), old_gid));
        // These calls report no error; asking with an id that cannot be set tells what is in force.
        let in_force = (
            setfsuid(Uid::from_raw(u32::MAX)),
            setfsgid(Gid::from_raw(u32::MAX)),
        );
        if in_force == (uid, gid) {
            Ok(guard)
        } else {
            Err(Errno::EPERM)
        }
    }
}

impl Drop for FsUser {
    fn drop(&mut self) {
        if let Some((uid, gid)) = self.before {
            setfsuid(uid);
            setfsgid(gid);
        }
    }
}

/// Makes an empty file share the blocks of another, where the file system can.
#[expect(unsafe_code, reason = "ioctl")]
pub(super) fn reflink(from: &OwnedFd, to: &OwnedFd) -> nix::Result<()> {
    // SAFETY: FICLONE takes a descriptor as its argument and touches no memory of ours; both are open.
    let done = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE as _, from.as_raw_fd()) };
    Errno::result(done).map(drop)
}
