//! The few calls into the system that Rust cannot check, each behind a safe function.
//!
//! Must not know what they are used for.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::libc;

/// Forks. Only for a process with one thread: the child may then do whatever its parent could.
///
/// # Errors
/// `EAGAIN` at a limit of processes, `ENOMEM`; `EBUSY` when the process has several threads.
#[expect(unsafe_code, reason = "fork")]
pub(crate) fn fork_single_threaded() -> nix::Result<nix::unistd::ForkResult> {
    if thread_count() != 1 {
        return Err(nix::errno::Errno::EBUSY);
    }
    // SAFETY: there is no other thread that could hold a lock (of the allocator, say) which the child would miss.
    unsafe { nix::unistd::fork() }
}

/// How many threads this process has.
pub(crate) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Takes over a descriptor that the kernel has just made for us.
#[expect(unsafe_code, reason = "a received descriptor is a number")]
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass only what recvmsg has just returned; nobody else knows the number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Closes every descriptor from `first` on.
#[expect(unsafe_code, reason = "close_range")]
pub(crate) fn close_from(first: libc::c_uint) {
    // SAFETY: called right after fork, before the child has made anything that owns one of those descriptors;
    // what it inherited from its parent is never used or dropped in the child (it leaves by _exit or exec).
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}

/// Marks every descriptor from `first` on to be closed by exec.
#[expect(unsafe_code, reason = "close_range")]
pub(crate) fn close_on_exec_from(first: libc::c_uint) {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: only sets a flag on descriptors.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// Gives every signal its default disposition, as a program expects after exec.
#[expect(unsafe_code, reason = "rt_sigaction")]
pub(crate) fn default_signals() {
    // The kernel's `struct sigaction`, all zero: SIG_DFL, no flags, no mask. Not by the C library, which refuses the two
    // signals that it keeps for itself; a program that was started with those ignored would hand that on.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the pointer is to memory of the size that the kernel reads, and the default disposition runs no code.
        // SIGKILL and SIGSTOP are refused, which is as it should be.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                8_usize,
            );
        }
    }
}

/// Ignores a signal.
#[expect(unsafe_code, reason = "signal")]
pub(crate) fn ignore_signal(signal: libc::c_int) {
    // SAFETY: ignoring runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Leaves at once: no destructors, no buffers of the parent's flushed twice.
#[expect(unsafe_code, reason = "_exit")]
pub(crate) fn exit_now(status: libc::c_int) -> ! {
    // SAFETY: _exit is always allowed.
    unsafe { libc::_exit(status) }
}

/// Moves a descriptor to number 3, so that all others can be closed. The old number must not be used any more.
#[expect(unsafe_code, reason = "dup3")]
pub(crate) fn move_to_three(fd: &OwnedFd) -> Option<OwnedFd> {
    use std::os::fd::AsRawFd;
    if fd.as_raw_fd() != 3 {
        // SAFETY: in a freshly forked child that leaves by _exit; whatever was number 3 is not used there.
        if unsafe { libc::dup3(fd.as_raw_fd(), 3, libc::O_CLOEXEC) } != 3 {
            return None;
        }
    }
    Some(adopt(3))
}

/// Closes a parent's descriptor in a forked child that leaves by _exit, so that its owner never closes it again there.
#[expect(unsafe_code, reason = "close")]
pub(crate) fn close_inherited(fd: &OwnedFd) {
    use std::os::fd::AsRawFd;
    // SAFETY: the owner is the parent's and is not used or dropped in this process any more.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Lets tokio wait until a descriptor can be read. In the context of a runtime only.
#[expect(unsafe_code, reason = "tokio takes a descriptor on trust")]
pub(crate) fn watch(fd: OwnedFd) -> std::io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what is returned, and so open and the same for as long as that lives.
    unsafe { tokio::io::unix::AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }
        .map_err(Into::into)
}

/// Sets the size that a process's files may grow to: to nothing, or to what its hard limit allows. One that has ended
/// meanwhile is left alone.
#[expect(unsafe_code, reason = "prlimit")]
pub(crate) fn set_files_full(pid: nix::unistd::Pid, are_full: bool) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both pointers are null or to a struct of the size that the kernel reads and writes.
    unsafe {
        if libc::prlimit(
            pid.as_raw(),
            libc::RLIMIT_FSIZE,
            std::ptr::null(),
            &mut limit,
        ) == 0
        {
            limit.rlim_cur = if are_full { 0 } else { limit.rlim_max };
            libc::prlimit(
                pid.as_raw(),
                libc::RLIMIT_FSIZE,
                &limit,
                std::ptr::null_mut(),
            );
        }
    }
}

/// Gives up all capabilities of this thread.
#[expect(unsafe_code, reason = "capset")]
pub(crate) fn drop_capabilities() -> nix::Result<()> {
    // The kernel's header (version 3, this thread) and two sets of three masks, all empty.
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: both pointers are to memory of the sizes that version 3 reads.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    nix::errno::Errno::result(result).map(drop)
}
