//! Calls into the system by number, for attacks that no library wants to make. The only unsafe code of the suite.
//!
//! Must not know what an attack is for. Every call here runs in a forked process of one attack, so a wrong length harms
//! that attack alone.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

/// One argument of a call.
pub(super) enum Arg<'a> {
    Int(i64),
    Text(&'a CStr),
    In(&'a [u8]),
    Out(&'a mut [u8]),
}

macro_rules! from_number {
    ($($t:ty),*) => {$(
        impl From<$t> for Arg<'_> {
            #[allow(clippy::cast_possible_wrap, clippy::cast_lossless, trivial_numeric_casts, reason = "registers")]
            fn from(n: $t) -> Self { Arg::Int(n as i64) }
        }
    )*};
}
from_number!(i32, u32, i64, u64, usize);

impl<'a> From<&'a CString> for Arg<'a> {
    fn from(text: &'a CString) -> Self {
        Arg::Text(text)
    }
}
impl<'a> From<&'a CStr> for Arg<'a> {
    fn from(text: &'a CStr) -> Self {
        Arg::Text(text)
    }
}
impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Arg::In(bytes)
    }
}
impl<'a> From<&'a mut [u8]> for Arg<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Arg::Out(bytes)
    }
}
impl From<&OwnedFd> for Arg<'_> {
    fn from(fd: &OwnedFd) -> Self {
        Arg::from(fd.as_raw_fd())
    }
}
impl From<BorrowedFd<'_>> for Arg<'_> {
    fn from(fd: BorrowedFd<'_>) -> Self {
        Arg::from(fd.as_raw_fd())
    }
}
impl From<Pid> for Arg<'_> {
    fn from(pid: Pid) -> Self {
        Arg::from(pid.as_raw())
    }
}

/// `call!(libc::SYS_truncate, &path, 0)`: numbers, paths, buffers to read from and to fill, descriptors.
macro_rules! call {
    ($number:expr $(, $arg:expr)* $(,)?) => {
        $crate::escape::sys::by_number($number, [$($crate::escape::sys::Arg::from($arg)),*])
    };
}
pub(super) use call;

/// Makes one call. Of the arguments only buffers that live are pointers.
#[expect(unsafe_code, reason = "syscall")]
pub(super) fn by_number<const N: usize>(
    number: libc::c_long,
    args: [Arg<'_>; N],
) -> Result<i64, Errno> {
    let mut registers = [0_i64; 6];
    for (register, arg) in registers.iter_mut().zip(args) {
        *register = match arg {
            Arg::Int(n) => n,
            Arg::Text(text) => text.as_ptr() as i64,
            Arg::In(bytes) => bytes.as_ptr() as i64,
            Arg::Out(bytes) => bytes.as_mut_ptr() as i64,
        };
    }
    let [a, b, c, d, e, f] = registers;
    // SAFETY: pointers are to buffers that outlive the call; their lengths are the attack's to state, in a process that
    // holds nothing but this attack. Calls that change this process's own memory have functions of their own below.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// Takes over a descriptor that a call has just returned.
#[expect(unsafe_code, reason = "a returned descriptor is a number")]
pub(super) fn own(fd: i64) -> OwnedFd {
    // SAFETY: callers pass only what a call has just returned; nobody else knows the number.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// A path as the system takes it.
pub(super) fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("paths of the stage have no NUL")
}

/// Opens a path.
pub(super) fn open(path: &Path, flags: i32) -> Result<OwnedFd, Errno> {
    let flags = flags | libc::O_CLOEXEC;
    call!(libc::SYS_openat, libc::AT_FDCWD, &text(path), flags, 0o666).map(own)
}

/// Opens a path below an open folder.
pub(super) fn open_at(folder: &OwnedFd, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    call!(
        libc::SYS_openat,
        folder,
        path,
        flags | libc::O_CLOEXEC,
        0o666
    )
    .map(own)
}

/// Writes.
pub(super) fn write(fd: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    call!(libc::SYS_write, fd, bytes, bytes.len()).map(drop)
}

/// Maps the first page of a file, shared with everybody, and writes into it. With `later` the mapping is made for
/// reading only and opened for writing afterwards.
#[expect(unsafe_code, reason = "mmap")]
pub(super) fn write_by_mapping(fd: &OwnedFd, later: bool) -> Result<(), Errno> {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let first = if later { libc::PROT_READ } else { both };
    // SAFETY: a new mapping of which nobody holds a reference; it is unmapped before return. The file is not empty.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            4096,
            first,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        );
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let allowed = if later {
            Errno::result(libc::mprotect(at, 4096, both)).map(drop)
        } else {
            Ok(())
        };
        if allowed.is_ok() {
            std::ptr::write_volatile(at.cast::<u8>(), b'X');
        }
        libc::munmap(at, 4096);
        allowed
    }
}

/// Reserves private memory that could be written, without touching it, and gives it back.
#[expect(unsafe_code, reason = "mmap")]
pub(super) fn reserve(bytes: usize) -> Result<(), Errno> {
    // SAFETY: a new anonymous mapping that is never touched.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        libc::munmap(at, bytes);
    }
    Ok(())
}

/// The start of a System V segment as another process wrote it.
#[expect(unsafe_code, reason = "shmat")]
pub(super) fn shared_segment(id: i32, write: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
    // SAFETY: the segment is at least a page; it is detached before return.
    unsafe {
        let at = libc::shmat(id, std::ptr::null(), 0);
        if at as isize == -1 {
            return Err(Errno::last());
        }
        if let Some(bytes) = write {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast::<u8>(), bytes.len().min(4096));
        }
        let bytes = std::slice::from_raw_parts(at.cast::<u8>(), 64).to_vec();
        libc::shmdt(at);
        Ok(bytes)
    }
}

/// Forks and runs `child`, whose number is its exit status. The process must have one thread.
#[expect(unsafe_code, reason = "fork")]
pub(super) fn fork(child: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: the suite runs in processes with one thread, which `run` has checked; the child leaves by _exit.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(child),
        nix::unistd::ForkResult::Child => {
            // A panic must not unwind into the parent's frames, where the child would go on as a second runner.
            let status =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            crate::sys::exit_now(status)
        }
    }
}

/// Moves the descriptor of the report to number 3 and standard input, output and error to /dev/null.
#[expect(unsafe_code, reason = "dup2, dup3")]
pub(super) fn arrange_descriptors(report: &OwnedFd) -> Result<OwnedFd, Errno> {
    let null = open(Path::new("/dev/null"), libc::O_RDWR)?;
    // SAFETY: in a freshly forked child that leaves by _exit: owners of the old numbers are never used or dropped in it.
    unsafe {
        let kept = Errno::result(libc::fcntl(report.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10))?;
        for standard in 0..3 {
            Errno::result(libc::dup2(null.as_raw_fd(), standard))?;
        }
        Errno::result(libc::dup3(kept, 3, libc::O_CLOEXEC))?;
        libc::close(kept);
        if null.as_raw_fd() == 3 {
            std::mem::forget(null);
        }
        Ok(OwnedFd::from_raw_fd(3))
    }
}

/// Lets this process be looked into by its own user again, as after exec: a change of user takes that away.
pub(super) fn dumpable() {
    let _ = call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/// Makes this process die with the one that forked it. To be called after a change of user, which resets it.
pub(super) fn die_with_parent() {
    let _ = call!(
        libc::SYS_prctl,
        libc::PR_SET_PDEATHSIG,
        libc::SIGKILL,
        0,
        0,
        0
    );
}

/// Makes orphans of this process's tree its children.
pub(super) fn become_subreaper() -> Result<(), Errno> {
    call!(libc::SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).map(drop)
}

/// The number of a plain structure's bytes, to be handed to the kernel.
pub(super) fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}
