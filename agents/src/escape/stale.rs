//! Section 3: descriptors, mappings and folders that were had for reading, used for more.
//!
//! Must not know leases: what needs the broker is tried where the broker is.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use super::case::Attack::{File, Folder};
use super::case::Case;
use super::files::errno;
use super::stage::Stage;
use super::sys::{call, open, open_at, own, text, write, write_by_mapping};

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("stale.reopen", "open a foreign file for reading and reopen it for writing by /proc/self/fd", File(|_, f| reopen(&open(f, libc::O_RDONLY)?))),
    Case::new("stale.reopen_o_path", "reopen an O_PATH descriptor of a foreign file for writing", File(|_, f| reopen(&open(f, libc::O_PATH)?))),
    Case::new("stale.reopen_truncate", "truncate a foreign file by its name in /proc/self/fd", File(|_, f| call!(libc::SYS_truncate, &text(&by_descriptor(&open(f, libc::O_RDONLY)?)), 1).map(drop))),
    Case::new("stale.mapping", "map a foreign file for reading and make the mapping writable", File(|_, f| write_by_mapping(&open(f, libc::O_RDONLY)?, true))),
    Case::new("stale.access_mode", "turn a descriptor for reading into one for writing by F_SETFL", File(access_mode)),
    Case::new("stale.folder_descriptor", "create in a foreign folder by an O_PATH descriptor of it", Folder(folder_descriptor)),
    Case::new("stale.folder_unlink", "unlink in a foreign folder by a descriptor of it", Folder(folder_unlink)),
    Case::new("stale.current_folder", "make a foreign folder the current one and create there", Folder(current_folder)),
    Case::new("stale.passed_descriptor", "have a descriptor passed by SCM_RIGHTS and write by it", File(passed)),
    Case::new("stale.namespace_root", "write to a foreign file as root of an own user namespace, by system calls", File(accomplice)),
    Case::new("stale.own_descriptor_moved", "keep a descriptor of an own file and have the file moved into a foreign folder", Folder(moved)),
];

/// A descriptor as a path.
pub(super) fn by_descriptor(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn reopen(fd: &OwnedFd) -> Result<(), Errno> {
    write(&open(&by_descriptor(fd), libc::O_WRONLY)?, b"X")
}

fn access_mode(_: &Stage, file: &Path) -> Result<(), Errno> {
    let fd = open(file, libc::O_RDONLY)?;
    call!(libc::SYS_fcntl, &fd, libc::F_SETFL, libc::O_RDWR)?;
    write(&fd, b"X")
}

fn folder_descriptor(_: &Stage, folder: &Path) -> Result<(), Errno> {
    let fd = open(folder, libc::O_PATH | libc::O_DIRECTORY)?;
    open_at(&fd, c"new", libc::O_WRONLY | libc::O_CREAT).map(drop)
}

fn folder_unlink(_: &Stage, folder: &Path) -> Result<(), Errno> {
    let fd = open(folder, libc::O_PATH | libc::O_DIRECTORY)?;
    ["one.txt", "book.txt", "secret.txt"]
        .into_iter()
        .map(|name| call!(libc::SYS_unlinkat, &fd, &text(Path::new(name)), 0).map(drop))
        .reduce(Result::and)
        .unwrap_or(Ok(()))
}

fn current_folder(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    std::env::set_current_dir(folder).map_err(errno)?;
    let made = open(Path::new("new"), libc::O_WRONLY | libc::O_CREAT).map(drop);
    std::env::set_current_dir(&stage.own).map_err(errno)?;
    made
}

/// A second process of the seat opens the file as well as it can and passes the descriptor.
fn passed(_: &Stage, file: &Path) -> Result<(), Errno> {
    let (near, far) = socketpair(
        AddressFamily::Unix,
        SockType::Datagram,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let child = super::sys::fork(|| {
        let fd = open(file, libc::O_RDWR).or_else(|_| open(file, libc::O_RDONLY));
        let sent = fd.and_then(|fd| {
            let fds = [fd.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&fds)];
            sendmsg::<()>(
                far.as_raw_fd(),
                &[IoSlice::new(b"x")],
                &rights,
                MsgFlags::empty(),
                None,
            )
        });
        sent.map_or_else(|errno| errno as i32, |_| 0)
    })?;
    super::processes::exit_of(child)?;
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let message = recvmsg::<()>(
        near.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT,
    )?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            let fd = own(i64::from(fds[0]));
            return write(&fd, b"X").or_else(|_| reopen(&fd));
        }
    }
    Err(Errno::ENOMSG)
}

/// Becomes root of a user namespace in a child and tries all ways of writing there.
fn accomplice(_: &Stage, file: &Path) -> Result<(), Errno> {
    let user = nix::unistd::getuid();
    let child = super::sys::fork(|| {
        let tried = call!(libc::SYS_unshare, libc::CLONE_NEWUSER).and_then(|_| {
            let _ = std::fs::write("/proc/self/uid_map", format!("0 {user} 1"));
            let _ = call!(libc::SYS_fchmodat, libc::AT_FDCWD, &text(file), 0o777);
            let _ = call!(libc::SYS_fchownat, libc::AT_FDCWD, &text(file), 0, 0, 0);
            write(&open(file, libc::O_WRONLY)?, b"X")
        });
        tried.map_or_else(|errno| errno as i32, |()| 0)
    })?;
    super::processes::exit_of(child)
}

/// The file keeps its owner when it moves: whoever lets it in has a foreign writer in the folder.
fn moved(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    let path = super::files::mine(stage)?;
    let fd = open(&path, libc::O_WRONLY)?;
    std::fs::rename(&path, folder.join("moved")).map_err(errno)?;
    write(&fd, b"late\n")
}
