//! Section 1: operations on foreign files, by system calls.
//!
//! Must not know where the files are or whom they belong to.

use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use super::case::Attack::{File, Folder, Free, Gain};
use super::case::{Case, Outcome};
use super::stage::Stage;
use super::sys::{call, open, own, text, write, write_by_mapping};

const RENAME_EXCHANGE: u32 = 1 << 1;
const RENAME_WHITEOUT: u32 = 1 << 2;
const FICLONE: u64 = 0x4004_9409;
const FS_IOC_SETFLAGS: u64 = 0x4008_6602;
const FS_APPEND_FL: u32 = 0x20;

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("file.read", "read the other seat's file", Free(read)),
    Case::new("file.list", "list the other seat's workspace", Free(|s| Outcome::of(list(&s.other)))),
    Case::new("file.stat", "learn size and times of the other seat's file", Free(stat)),
    Case::new("file.chdir", "make the other seat's workspace the current folder and read from there", Free(chdir)),
    Case::new("file.inotify", "watch the other seat's file for changes", Free(inotify)),
    Case::new("file.fanotify", "watch the other seat's file by fanotify", Free(fanotify)),
    Case::new("file.write", "open a foreign file for writing and write", File(|_, f| write(&open(f, libc::O_WRONLY)?, b"X"))),
    Case::new("file.append", "open a foreign file for appending and append", File(|_, f| write(&open(f, libc::O_WRONLY | libc::O_APPEND)?, b"X"))),
    Case::new("file.open_truncate", "open a foreign file with O_TRUNC", File(|_, f| open(f, libc::O_WRONLY | libc::O_TRUNC).map(drop))),
    Case::new("file.read_truncate", "open a foreign file for reading with O_TRUNC, which truncates too", File(|_, f| open(f, libc::O_RDONLY | libc::O_TRUNC).map(drop))),
    Case::new("file.truncate", "truncate a foreign file by its name", File(|_, f| call!(libc::SYS_truncate, &text(f), 1).map(drop))),
    Case::new("file.ftruncate", "truncate a foreign file by whatever descriptor can be had", File(|_, f| call!(libc::SYS_ftruncate, &any(f)?, 1).map(drop))),
    Case::new("file.fallocate", "grow a foreign file by fallocate", File(|_, f| call!(libc::SYS_fallocate, &any(f)?, 0, 0, 8192).map(drop))),
    Case::new("file.punch_hole", "punch a hole into a foreign file", File(punch)),
    Case::new("file.mmap", "write into a foreign file by a shared mapping", File(|_, f| write_by_mapping(&any(f)?, false))),
    Case::new("file.copy_file_range", "copy_file_range into a foreign file", File(copy_range)),
    Case::new("file.sendfile", "sendfile into a foreign file", File(sendfile)),
    Case::new("file.splice", "splice a pipe into a foreign file", File(splice)),
    Case::new("file.dirty_pipe", "write into a pipe that holds a foreign file's page", File(dirty_pipe)),
    Case::new("file.reflink", "FICLONE an own file over a foreign one", File(reflink)),
    Case::new("file.rename_over", "rename an own file over a foreign one", File(|s, f| std::fs::rename(mine(s)?, f).map_err(errno))),
    Case::new("file.rename_exchange", "exchange an own and a foreign file", File(|s, f| rename2(&mine(s)?, f, RENAME_EXCHANGE))),
    Case::new("file.rename_whiteout", "rename a foreign file away and leave a whiteout", File(|s, f| rename2(f, &s.own.join("taken"), RENAME_WHITEOUT))),
    Case::new("file.rename_away", "rename a foreign file into the own workspace", File(|s, f| std::fs::rename(f, s.own.join("taken")).map_err(errno))),
    Case::new("file.temp_rename", "write a file beside a foreign one and rename it over", File(temp_rename)),
    Case::new("file.unlink", "unlink a foreign file", File(|_, f| std::fs::remove_file(f).map_err(errno))),
    Case::new("file.tmpfile_there", "O_TMPFILE in a foreign folder, then link it", Folder(|_, d| tmpfile(d, d))),
    Case::new("file.tmpfile_own", "O_TMPFILE in the own workspace, then link it into a foreign folder", Folder(|s, d| tmpfile(&s.own, d))),
    Case::new("file.chmod", "change a foreign file's mode", File(|_, f| chmod(libc::AT_FDCWD, f))),
    Case::new("file.fchmod", "change a foreign file's mode by a descriptor", File(|_, f| call!(libc::SYS_fchmod, &any(f)?, 0o642).map(drop))),
    Case::new("file.chmod_o_path", "change a foreign file's mode by an O_PATH descriptor in /proc/self/fd", File(chmod_o_path)),
    Case::new("file.chmod_folder", "change a foreign folder's mode", Folder(|_, d| chmod(libc::AT_FDCWD, d))),
    Case::new("file.chown", "make a foreign file the own user's", File(chown)),
    Case::new("file.setxattr", "set an extended attribute of a foreign file", File(|_, f| setxattr(f, c"user.escape", b"X"))),
    Case::new("file.acl", "give a foreign file an access list", File(|_, f| setxattr(f, c"system.posix_acl_access", &acl()))),
    Case::new("file.utimes", "set a foreign file's times", File(|_, f| utimes(f, &[1, 0, 1, 0]))),
    Case::new("file.touch", "set a foreign file's times to now, which needs less", File(|_, f| call!(libc::SYS_utimensat, libc::AT_FDCWD, &text(f), 0, 0).map(drop))),
    Case::new("file.attributes", "make a foreign file append-only", File(attributes)),
    Case::new("file.flock", "hold an exclusive flock on a foreign file", Gain(|_, f| call!(libc::SYS_flock, &open(f, libc::O_RDONLY)?, libc::LOCK_EX | libc::LOCK_NB).map(|_| "an exclusive flock was had".into()))),
    Case::new("file.write_lock", "hold a record lock for writing on a foreign file", Gain(write_lock)),
    Case::new("file.lease", "hold a file lease (F_SETLEASE), on which openers wait", Gain(|_, f| call!(libc::SYS_fcntl, &open(f, libc::O_RDONLY)?, libc::F_SETLEASE, libc::F_RDLCK).map(|_| "a file lease was had".into()))),
    Case::new("file.handle", "open a foreign file by its handle, past all folders", File(handle)),
    Case::new("file.system", "write into files of the system", Free(system)),
    Case::new("file.shadow", "read the passwords of the system", Free(|_| Outcome::of(std::fs::read("/etc/shadow").map(|b| format!("read {} bytes of /etc/shadow", b.len())).map_err(errno)))),
    Case::new("file.binary", "write into the program that runs", Free(|_| Outcome::of(open(Path::new("/proc/self/exe"), libc::O_WRONLY).map(|_| "/proc/self/exe can be written".into())))),
];

pub(super) fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// The strongest descriptor that can be had.
fn any(path: &Path) -> Result<std::os::fd::OwnedFd, Errno> {
    open(path, libc::O_RDWR)
        .or_else(|_| open(path, libc::O_WRONLY))
        .or_else(|_| open(path, libc::O_RDONLY))
}

/// A file of the attacker's own.
pub(super) fn mine(stage: &Stage) -> Result<std::path::PathBuf, Errno> {
    let path = stage.own.join("forged");
    std::fs::write(&path, b"forged\n").map_err(errno)?;
    Ok(path)
}

fn read(stage: &Stage) -> Outcome {
    let read = std::fs::read(stage.other_file()).map_err(errno);
    Outcome::of(read.map(|bytes| format!("read {} bytes", bytes.len())))
}

pub(super) fn list(folder: &Path) -> Result<String, Errno> {
    let names = std::fs::read_dir(folder).map_err(errno)?.flatten().count();
    Ok(format!("listed {names} names"))
}

fn stat(stage: &Stage) -> Outcome {
    let seen = stage.other_file().symlink_metadata().map_err(errno);
    Outcome::of(seen.map(|m| format!("size {} and times seen", m.len())))
}

fn chdir(stage: &Stage) -> Outcome {
    Outcome::of(
        std::env::set_current_dir(&stage.other)
            .map_err(errno)
            .and_then(|()| {
                let bytes = std::fs::read("secret.txt").map_err(errno)?;
                Ok(format!("read {} bytes by a relative path", bytes.len()))
            }),
    )
}

fn inotify(stage: &Stage) -> Outcome {
    const IN_ALL_EVENTS: u32 = 0xfff;
    let path = text(&stage.other_file());
    Outcome::of(
        call!(libc::SYS_inotify_init1, 0)
            .and_then(|fd| call!(libc::SYS_inotify_add_watch, &own(fd), &path, IN_ALL_EVENTS))
            .map(|_| "the file is watched".into()),
    )
}

fn fanotify(stage: &Stage) -> Outcome {
    if !stage.victim.fanotify {
        return Outcome::Skipped("the other seat cannot watch its own file either".into());
    }
    Outcome::of(watch(&stage.other_file()).map(|()| "the file is watched".into()))
}

/// Watches a file by fanotify, for a moment.
pub(super) fn watch(file: &Path) -> Result<(), Errno> {
    // Without privileges only with FAN_REPORT_FID.
    const FAN_REPORT_FID: u32 = 0x200;
    const FAN_MARK_ADD: u32 = 1;
    const FAN_MODIFY: u64 = 2;
    let group = own(call!(libc::SYS_fanotify_init, FAN_REPORT_FID, 0)?);
    call!(
        libc::SYS_fanotify_mark,
        &group,
        FAN_MARK_ADD,
        FAN_MODIFY,
        libc::AT_FDCWD,
        &text(file)
    )
    .map(drop)
}

fn punch(_: &Stage, file: &Path) -> Result<(), Errno> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    call!(libc::SYS_fallocate, &any(file)?, mode, 0, 4).map(drop)
}

fn copy_range(stage: &Stage, file: &Path) -> Result<(), Errno> {
    let from = open(&mine(stage)?, libc::O_RDONLY)?;
    call!(libc::SYS_copy_file_range, &from, 0, &any(file)?, 0, 7, 0).map(drop)
}

fn sendfile(stage: &Stage, file: &Path) -> Result<(), Errno> {
    let from = open(&mine(stage)?, libc::O_RDONLY)?;
    call!(libc::SYS_sendfile, &any(file)?, &from, 0, 7).map(drop)
}

fn splice(_: &Stage, file: &Path) -> Result<(), Errno> {
    let (read, feed) = nix::unistd::pipe()?;
    write(&feed, b"forged\n")?;
    call!(libc::SYS_splice, &read, 0, &any(file)?, 0, 7, 0).map(drop)
}

fn dirty_pipe(_: &Stage, file: &Path) -> Result<(), Errno> {
    let (read, feed) = nix::unistd::pipe()?;
    // Used once and emptied, so that its buffers carry the flag that allows merging.
    write(&feed, &[0; 4096])?;
    let mut sink = [0; 4096];
    call!(libc::SYS_read, &read, &mut sink[..], 4096)?;
    let from = open(file, libc::O_RDONLY)?;
    call!(libc::SYS_splice, &from, 0, &feed, 0, 1, 0)?;
    write(&feed, b"forged\n")
}

fn reflink(stage: &Stage, file: &Path) -> Result<(), Errno> {
    let from = open(&mine(stage)?, libc::O_RDONLY)?;
    call!(libc::SYS_ioctl, &any(file)?, FICLONE, &from).map(drop)
}

pub(super) fn rename2(from: &Path, to: &Path, flags: u32) -> Result<(), Errno> {
    let at = libc::AT_FDCWD;
    call!(libc::SYS_renameat2, at, &text(from), at, &text(to), flags).map(drop)
}

fn temp_rename(_: &Stage, file: &Path) -> Result<(), Errno> {
    let temp = file.with_extension("tmp");
    std::fs::write(&temp, b"forged\n").map_err(errno)?;
    std::fs::rename(&temp, file).map_err(errno)
}

fn tmpfile(made_in: &Path, linked_in: &Path) -> Result<(), Errno> {
    let fd = open(made_in, libc::O_TMPFILE | libc::O_WRONLY)?;
    write(&fd, b"forged\n")?;
    let from = super::stale::by_descriptor(&fd);
    let to = text(&linked_in.join("linked"));
    let (at, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    call!(libc::SYS_linkat, at, &text(&from), at, &to, follow).map(drop)
}

fn chmod(at: i32, path: &Path) -> Result<(), Errno> {
    call!(libc::SYS_fchmodat, at, &text(path), 0o642).map(drop)
}

fn chmod_o_path(_: &Stage, file: &Path) -> Result<(), Errno> {
    let fd = open(file, libc::O_PATH)?;
    chmod(libc::AT_FDCWD, &super::stale::by_descriptor(&fd))
}

fn chown(_: &Stage, file: &Path) -> Result<(), Errno> {
    let (uid, gid) = (
        nix::unistd::getuid().as_raw(),
        nix::unistd::getgid().as_raw(),
    );
    call!(libc::SYS_fchownat, libc::AT_FDCWD, &text(file), uid, gid, 0).map(drop)
}

fn setxattr(file: &Path, name: &std::ffi::CStr, value: &[u8]) -> Result<(), Errno> {
    call!(libc::SYS_setxattr, &text(file), name, value, value.len(), 0).map(drop)
}

/// An access list in the kernel's form: version 2, then (tag, permissions, id) of owner, a named user, group, mask, others.
fn acl() -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    let nobody = u32::MAX;
    let named = nix::unistd::getuid().as_raw();
    for (tag, permissions, id) in [
        (0x01_u16, 6_u16, nobody),
        (0x02, 6, named),
        (0x04, 4, nobody),
        (0x10, 6, nobody),
        (0x20, 4, nobody),
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn utimes(file: &Path, times: &[u64]) -> Result<(), Errno> {
    let times = super::sys::words(times);
    call!(
        libc::SYS_utimensat,
        libc::AT_FDCWD,
        &text(file),
        &times[..],
        0
    )
    .map(drop)
}

fn attributes(_: &Stage, file: &Path) -> Result<(), Errno> {
    let flags = FS_APPEND_FL.to_ne_bytes();
    call!(libc::SYS_ioctl, &any(file)?, FS_IOC_SETFLAGS, &flags[..]).map(drop)
}

fn write_lock(_: &Stage, file: &Path) -> Result<String, Errno> {
    // struct flock: type and whence as 16 bits each, padding, start, length, process.
    let lock = super::sys::words(&[libc::F_WRLCK as u64, 0, 0, 0]);
    let fd = any(file)?;
    call!(libc::SYS_fcntl, &fd, libc::F_OFD_SETLK, &lock[..])?;
    Ok("a lock for writing was had".into())
}

fn handle(stage: &Stage, file: &Path) -> Result<(), Errno> {
    // struct file_handle: size of what follows, type, bytes.
    let mut handle = [0_u8; 8 + 128];
    handle[..4].copy_from_slice(&128_u32.to_ne_bytes());
    let mut mount = [0_u8; 4];
    let (at, path) = (libc::AT_FDCWD, text(file));
    call!(
        libc::SYS_name_to_handle_at,
        at,
        &path,
        &mut handle[..],
        &mut mount[..],
        0
    )?;
    let place = open(&stage.own, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let fd = call!(
        libc::SYS_open_by_handle_at,
        &place,
        &handle[..],
        libc::O_WRONLY
    )?;
    write(&own(fd), b"X")
}

fn system(_: &Stage) -> Outcome {
    let files = [
        "/etc/passwd",
        "/etc/ld.so.preload",
        "/usr/bin/env",
        "/proc/sys/kernel/core_pattern",
    ];
    super::effect::first(files.into_iter().map(|path| {
        // Opening is enough, and does no harm where it succeeds.
        open(Path::new(path), libc::O_WRONLY).map(|_| format!("{path} can be written"))
    }))
}
