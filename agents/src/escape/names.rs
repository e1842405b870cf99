//! Section 2: names in foreign folders, and ways round to a foreign name.
//!
//! Must not know where the folders are or whom they belong to.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;

use super::case::Attack::{File, Folder, Free};
use super::case::{Case, Needs, Outcome};
use super::files::{errno, mine, rename2};
use super::stage::Stage;
use super::sys::{call, open, open_at, text, write};

const CREATE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("name.create", "create a file in a foreign folder", Folder(|_, d| open(&d.join("new"), libc::O_WRONLY | libc::O_CREAT).map(drop))),
    Case::new("name.create_exclusive", "create a file with O_EXCL in a foreign folder", Folder(|_, d| open(&d.join("new"), CREATE).map(drop))),
    Case::new("name.mkdir", "make a folder in a foreign folder", Folder(|_, d| std::fs::create_dir(d.join("new")).map_err(errno))),
    Case::new("name.symlink", "make a symbolic link in a foreign folder", Folder(|s, d| symlink(&s.own, d.join("new")).map_err(errno))),
    Case::new("name.fifo", "make a FIFO in a foreign folder, on which a reader would hang", Folder(|_, d| node(d, libc::S_IFIFO, 0))),
    Case::new("name.socket", "bind a socket in a foreign folder", Folder(|_, d| std::os::unix::net::UnixListener::bind(d.join("new")).map(drop).map_err(errno))),
    Case::new("name.mknod_file", "make a regular file by mknod in a foreign folder", Folder(|_, d| node(d, libc::S_IFREG, 0))),
    Case::new("name.mknod_device", "make a device in a foreign folder", Folder(|_, d| node(d, libc::S_IFCHR, 0x103))),
    Case::new("name.whiteout", "make a whiteout (device 0:0), which needs no privilege, in a foreign folder", Folder(|_, d| node(d, libc::S_IFCHR, 0))),
    Case::new("name.own_device", "make the machine's memory device in the own workspace", Free(own_device)),
    Case::new("name.hard_link_in", "link an own file into a foreign folder", Folder(|s, d| std::fs::hard_link(mine(s)?, d.join("new")).map_err(errno))),
    Case::new("name.hard_link_out", "link a foreign file into the own workspace", File(|s, f| std::fs::hard_link(f, s.own.join("link")).map_err(errno))),
    Case::new("name.hard_link_descriptor", "link a foreign file by its descriptor in /proc", File(link_descriptor)),
    Case::new("name.hard_link_empty_path", "link a foreign file by AT_EMPTY_PATH", File(link_empty)),
    Case::new("name.rename_folder", "rename a foreign folder away", Folder(|s, d| std::fs::rename(d, s.own.join("taken")).map_err(errno))),
    Case::new("name.rename_folder_there", "rename a foreign folder in its place", Folder(|_, d| std::fs::rename(d, d.with_extension("old")).map_err(errno))),
    Case::new("name.exchange_folder", "exchange an own and a foreign folder", Folder(|s, d| rename2(&s.own.join("heap"), d, 2))),
    Case::new("name.rename_into", "rename an own folder into a foreign one", Folder(|s, d| std::fs::rename(s.own.join("heap"), d.join("heap")).map_err(errno))),
    Case::new("name.remove_folder", "remove a foreign folder with all in it", Folder(|_, d| std::fs::remove_dir_all(d).map_err(errno))),
    Case::new("name.unlink_inside", "unlink what is in a foreign folder", Folder(|_, d| std::fs::remove_file(d.join("one.txt")).map_err(errno))),
    Case::new("name.gap", "take a file's name between the host's unlink and create", Free(gap)).with(Needs::Churn),
    Case::new("name.reserved", "squat names that the host or git will want", Folder(|_, d| each(d, &[b".git", b".tmp", b".formicarium", b"run.db", b"run.db-wal"]))),
    Case::new("name.case", "create names that differ from foreign ones in case only", Folder(|_, d| each(d, &[b"ONE.TXT", b"Book.txt", b"SECRET.txt"]))),
    Case::new("name.newline", "create names with newline, escape and colon", Folder(|_, d| each(d, &[b"a\nb", b"\x1b[2J", b"a:b"]))),
    Case::new("name.not_utf8", "create a name that is not UTF-8", Folder(|_, d| each(d, &[b"\xff\xfe"]))),
    Case::new("name.longest", "create a name of 255 bytes", Folder(|_, d| each(d, &[&[b'n'; 255]]))),
    Case::new("name.dots", "create `...`, a blank name and a trailing dot", Folder(|_, d| each(d, &[b"...", b" ", b"dot."]))),
    Case::new("name.deep", "make 70 folders, one in the other, in a foreign folder", Folder(deep)),
    Case::new("name.dotdot", "reach a foreign folder by `..` from the own workspace", Folder(dotdot)),
    Case::new("name.dotdot_descriptor", "reach a foreign folder by `..` from an open folder", Folder(dotdot_descriptor)),
    Case::new("name.own_symlink", "write by an own symbolic link to a foreign file", File(own_symlink)),
    Case::new("name.own_symlink_folder", "create by an own symbolic link to a foreign folder", Folder(own_symlink_folder)),
    Case::new("name.symlink_swap", "swap an own folder for a link while its path is walked", Folder(symlink_swap)),
    Case::new("name.proc_root", "reach a foreign folder by /proc/self/root", Folder(|_, d| under(Path::new("/proc/self/root"), d))),
    Case::new("name.proc_cwd", "reach a foreign folder by /proc/self/cwd and `..`", Folder(proc_cwd)),
    Case::new("name.victim_root", "reach a foreign folder by the victim's /proc/PID/root", Folder(|s, d| under(&PathBuf::from(format!("/proc/{}/root", s.victim.pid)), d))),
    Case::new("name.victim_cwd", "create by the victim's /proc/PID/cwd", Folder(|s, _| open(&PathBuf::from(format!("/proc/{}/cwd/new", s.victim.pid)), CREATE).map(drop))),
    Case::new("name.gate", "create beside the other seat's workspace", Folder(|s, _| open(&s.other.with_file_name("new"), CREATE).map(drop))),
    Case::new("name.gate_swap", "rename the other seat's workspace in its gate", Folder(|s, _| std::fs::rename(&s.other, s.other.with_file_name("old")).map_err(errno))),
    Case::new("name.own_gate", "replace the own workspace by a link to the other seat's", Free(own_gate)),
    Case::new("name.new_seat", "create a folder beside the seats' folders", Free(|s| Outcome::of(std::fs::create_dir(s.folder.join("agents/c")).map(|()| "a seat's folder was made".into()).map_err(errno)))),
    Case::new("name.chroot", "chroot below the current folder and climb out by it", Folder(chroot)),
    Case::new("name.tmp", "leave a file in /tmp", Free(|s| outside(s, "/tmp"))),
    Case::new("name.var_tmp", "leave a file in /var/tmp", Free(|s| outside(s, "/var/tmp"))),
    Case::new("name.dev_shm", "leave a file in /dev/shm", Free(|s| outside(s, "/dev/shm"))),
];

fn node(folder: &Path, kind: u32, device: u64) -> Result<(), Errno> {
    let path = text(&folder.join("new"));
    call!(
        libc::SYS_mknodat,
        libc::AT_FDCWD,
        &path,
        kind | 0o666,
        device
    )
    .map(drop)
}

fn own_device(stage: &Stage) -> Outcome {
    let path = stage.own.join("memory");
    let made = call!(
        libc::SYS_mknodat,
        libc::AT_FDCWD,
        &text(&path),
        libc::S_IFCHR | 0o600,
        // Device 1:1.
        0x101
    );
    Outcome::of(made.map(|_| "a device was made".into()))
}

fn link_descriptor(stage: &Stage, file: &Path) -> Result<(), Errno> {
    let fd = open(file, libc::O_PATH)?;
    let (from, to) = (super::stale::by_descriptor(&fd), stage.own.join("link"));
    let (at, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    call!(libc::SYS_linkat, at, &text(&from), at, &text(&to), follow).map(drop)
}

fn link_empty(stage: &Stage, file: &Path) -> Result<(), Errno> {
    let fd = open(file, libc::O_RDONLY)?;
    let (at, to) = (libc::AT_FDCWD, text(&stage.own.join("link")));
    call!(libc::SYS_linkat, &fd, c"", at, &to, libc::AT_EMPTY_PATH).map(drop)
}

/// The host unlinks and creates all the time; whoever gets the name between owns what everybody reads.
fn gap(stage: &Stage) -> Outcome {
    let page = stage.churned();
    let end = Instant::now() + Duration::from_millis(300);
    let (mut tries, mut last) = (0_u32, Errno::UnknownErrno);
    while Instant::now() < end {
        tries += 1;
        match open(&page, CREATE) {
            Ok(fd) => {
                let _ = write(&fd, b"forged\n");
                return Outcome::Escaped(format!("the name was taken at try {tries}"));
            }
            Err(errno) if errno != Errno::EEXIST => last = errno,
            Err(_) => {}
        }
    }
    Outcome::Held(format!("{last:?} in {tries} tries"))
}

fn each(folder: &Path, names: &[&[u8]]) -> Result<(), Errno> {
    let mut result = Ok(());
    for name in names {
        let made = open(&folder.join(OsStr::from_bytes(name)), CREATE).map(drop);
        result = result.and(made);
    }
    result
}

fn deep(_: &Stage, folder: &Path) -> Result<(), Errno> {
    let mut path = folder.to_owned();
    for _ in 0..70 {
        path.push("d");
        std::fs::create_dir(&path).map_err(errno)?;
    }
    Ok(())
}

/// `folder` as seen from the own workspace.
fn climbing(stage: &Stage, folder: &Path) -> PathBuf {
    let below = folder.strip_prefix(&stage.folder).unwrap_or(folder);
    Path::new("../../..").join(below)
}

fn dotdot(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    let path = stage.own.join(climbing(stage, folder)).join("new");
    open(&path, CREATE).map(drop)
}

fn dotdot_descriptor(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    let own = open(&stage.own, libc::O_PATH | libc::O_DIRECTORY)?;
    let path = text(&climbing(stage, folder).join("new"));
    open_at(&own, &path, CREATE).map(drop)
}

fn own_symlink(stage: &Stage, file: &Path) -> Result<(), Errno> {
    let link = stage.own.join("link");
    let _ = std::fs::remove_file(&link);
    symlink(file, &link).map_err(errno)?;
    write(&open(&link, libc::O_WRONLY)?, b"X")
}

fn own_symlink_folder(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    let link = stage.own.join("link");
    let _ = std::fs::remove_file(&link);
    symlink(folder, &link).map_err(errno)?;
    open(&link.join("new"), CREATE).map(drop)
}

/// A child swaps folder and link while this process creates: a check of the path's text would be outrun.
fn symlink_swap(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    let (place, link) = (stage.own.join("heap"), stage.own.join("link"));
    let _ = std::fs::remove_file(&link);
    symlink(folder, &link).map_err(errno)?;
    let child = super::sys::fork(|| {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let _ = rename2(&place, &link, 2);
        }
        0
    })?;
    let mut result = Ok(());
    let end = Instant::now() + Duration::from_millis(120);
    while Instant::now() < end && !folder.join("new").exists() {
        let _ = std::fs::remove_file(place.join("old"));
        match open(&place.join("new"), CREATE).map(drop) {
            Err(Errno::EEXIST | Errno::ENOENT) => {}
            Err(errno) => result = Err(errno),
            // Made in the own folder or in the foreign one.
            Ok(()) => {
                let _ = std::fs::rename(place.join("new"), place.join("old"));
            }
        }
    }
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, None);
    // Back to a folder, for the next target.
    if place.is_symlink() {
        let _ = rename2(&place, &link, 2);
    }
    result
}

fn under(root: &Path, folder: &Path) -> Result<(), Errno> {
    let below = folder.strip_prefix("/").unwrap_or(folder);
    open(&root.join(below).join("new"), CREATE).map(drop)
}

fn proc_cwd(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    let path = Path::new("/proc/self/cwd").join(climbing(stage, folder));
    open(&path.join("new"), CREATE).map(drop)
}

fn own_gate(stage: &Stage) -> Outcome {
    let tried = std::fs::rename(&stage.own, stage.own.with_file_name("old"))
        .and_then(|()| symlink(&stage.other, &stage.own));
    Outcome::of(
        tried
            .map(|()| "the workspace is a link now".into())
            .map_err(errno),
    )
}

fn chroot(stage: &Stage, folder: &Path) -> Result<(), Errno> {
    // In a user namespace of its own a process may chroot; in a child, which keeps this one as it is.
    let child = super::sys::fork(|| {
        let _ = call!(libc::SYS_unshare, libc::CLONE_NEWUSER);
        // The current folder stays outside the new root, so that `..` does not stop at it.
        let inside = call!(libc::SYS_chroot, &text(&stage.own.join("heap")));
        let up = climbing(stage, folder);
        let made = inside.and_then(|_| open(&up.join("new"), CREATE));
        made.map_or_else(|errno| errno as i32, |_| 0)
    })?;
    super::processes::exit_of(child)
}

/// A place that all users of the machine share.
fn outside(stage: &Stage, folder: &str) -> Outcome {
    let path = Path::new(folder).join(format!("formicarium-stray-{}", stage.victim.pid));
    let made = open(&path, CREATE).map(drop);
    if made.is_ok() {
        let _ = std::fs::remove_file(&path);
    }
    Outcome::of(made.map(|()| format!("a file was made in {folder}")))
}
