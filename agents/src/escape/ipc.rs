//! Section 5, objects between processes: System V and POSIX IPC, keys, terminals.
//!
//! Must not know how processes are kept apart.

use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use super::case::Attack::Free;
use super::case::{Case, Outcome};
use super::sys::{call, open, own, shared_segment, text, write};

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("ipc.shm", "attach the other seat's System V segment", Free(|s| on(s.victim.shm, |id| shared_segment(id, None).map(|_| "the segment was read".into())))),
    Case::new("ipc.shm_write", "write into the other seat's System V segment", Free(|s| on(s.victim.shm, |id| shared_segment(id, Some(b"forged")).map(|_| "the segment was written".into())))),
    Case::new("ipc.shm_remove", "remove the other seat's System V segment", Free(|s| on(s.victim.shm, |id| call!(libc::SYS_shmctl, id, libc::IPC_RMID, 0).map(|_| "the segment was removed".into())))),
    Case::new("ipc.shm_find", "find all System V segments of the machine by index and attach them", Free(|s| on(s.victim.shm, find_segment))),
    Case::new("ipc.sem", "change the other seat's System V semaphore", Free(|s| on(s.victim.sem, |id| call!(libc::SYS_semctl, id, 0, libc::SETVAL, 7).map(|_| "the semaphore was set".into())))),
    Case::new("ipc.msg_receive", "take a message from the other seat's System V queue", Free(|s| on(s.victim.msg, receive))),
    Case::new("ipc.msg_send", "put a message into the other seat's System V queue", Free(|s| on(s.victim.msg, send))),
    Case::new("ipc.posix_shm", "open the other seat's POSIX shared memory", Free(|s| on(s.victim.posix_shm.as_deref(), |path| open(path, libc::O_RDWR).map(|_| "it was opened".into())))),
    Case::new("ipc.posix_shm_unlink", "unlink the other seat's POSIX shared memory", Free(|s| on(s.victim.posix_shm.as_deref(), |path| std::fs::remove_file(path).map(|()| "it was unlinked".into()).map_err(super::files::errno)))),
    Case::new("ipc.mq", "open the other seat's POSIX queue", Free(|s| on(s.victim.mq.as_deref(), |name| call!(libc::SYS_mq_open, &text(Path::new(name)), libc::O_RDWR, 0, 0).map(own).map(|_| "it was opened".into())))),
    Case::new("ipc.mq_unlink", "unlink the other seat's POSIX queue", Free(|s| on(s.victim.mq.as_deref(), |name| call!(libc::SYS_mq_unlink, &text(Path::new(name))).map(|_| "it was unlinked".into())))),
    Case::new("ipc.key", "read the other seat's key", Free(|s| on(s.victim.key, key))),
    Case::new("ipc.key_revoke", "revoke the other seat's key", Free(|s| on(s.victim.key, |id| { adopt_keys(); call!(libc::SYS_keyctl, libc::KEYCTL_REVOKE, id).map(|_| "it was revoked".into()) }))),
    Case::new("ipc.terminal_write", "write to the other seat's terminal", Free(|s| on(s.victim.pty.as_deref(), |path| write(&open(path, libc::O_WRONLY | libc::O_NOCTTY)?, b"forged\n").map(|()| "it was written to".into())))),
    Case::new("ipc.terminal_input", "push input into the other seat's terminal (TIOCSTI)", Free(|s| on(s.victim.pty.as_deref(), push_input))),
    Case::new("ipc.terminal_steal", "make the other seat's terminal the own controlling one", Free(|s| on(s.victim.pty.as_deref(), steal_terminal))),
];

/// Skipped when the victim could not make the object.
pub(super) fn on<T>(object: Option<T>, attack: impl FnOnce(T) -> Result<String, Errno>) -> Outcome {
    match object {
        Some(object) => Outcome::of(attack(object)),
        None => Outcome::Skipped("the other seat cannot make one".into()),
    }
}

fn find_segment(id: i32) -> Result<String, Errno> {
    const SHM_STAT: i32 = 13;
    let mut last = Errno::ENOENT;
    for index in 0..64 {
        let mut about = [0_u8; 256];
        match call!(libc::SYS_shmctl, index, SHM_STAT, &mut about[..]) {
            Ok(found) if found == i64::from(id) => {
                shared_segment(id, None)?;
                return Ok(format!("found at index {index} and read"));
            }
            Ok(_) => {}
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

fn receive(id: i32) -> Result<String, Errno> {
    let mut message = [0_u8; 72];
    let flags = libc::IPC_NOWAIT;
    call!(libc::SYS_msgrcv, id, &mut message[..], 64, 0, flags)
        .map(|n| format!("{n} bytes were taken"))
}

fn send(id: i32) -> Result<String, Errno> {
    let mut message = 1_u64.to_ne_bytes().to_vec();
    message.extend_from_slice(b"forged");
    call!(libc::SYS_msgsnd, id, &message[..], 6, libc::IPC_NOWAIT)
        .map(|_| "a message was put in".into())
}

/// What a program of the same user does: its session has no keyring of its own yet, and a user's keys become readable
/// to those who have the user's keyring in theirs.
fn adopt_keys() {
    let _ = call!(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0);
    let (user, session) = (libc::KEY_SPEC_USER_KEYRING, libc::KEY_SPEC_SESSION_KEYRING);
    let _ = call!(libc::SYS_keyctl, libc::KEYCTL_LINK, user, session);
}

fn key(id: i32) -> Result<String, Errno> {
    adopt_keys();
    let mut secret = [0_u8; 64];
    call!(libc::SYS_keyctl, libc::KEYCTL_READ, id, &mut secret[..], 64)
        .map(|n| format!("{n} bytes were read"))
}

fn push_input(path: &Path) -> Result<String, Errno> {
    let terminal = open(path, libc::O_RDWR | libc::O_NOCTTY)?;
    call!(libc::SYS_ioctl, &terminal, libc::TIOCSTI, &b"x"[..])
        // Not a terminal of this session: taking it over first may help.
        .or_else(|_| {
            let _ = nix::unistd::setsid();
            call!(libc::SYS_ioctl, &terminal, libc::TIOCSCTTY, 0)?;
            call!(libc::SYS_ioctl, &terminal, libc::TIOCSTI, &b"x"[..])
        })
        .map(|_| "input was pushed".into())
}

fn steal_terminal(path: &Path) -> Result<String, Errno> {
    let terminal = open(path, libc::O_RDWR | libc::O_NOCTTY)?;
    let _ = nix::unistd::setsid();
    call!(libc::SYS_ioctl, &terminal, libc::TIOCSCTTY, 0).map(|_| "it was taken over".into())
}
