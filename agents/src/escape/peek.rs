//! Section 5, looking: what can be learnt of foreign processes, and descriptors that can be had of them.
//!
//! Must not know how processes are kept apart.

use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::case::Attack::{Free, Process};
use super::case::{Case, Outcome};
use super::files::errno;
use super::others::SECRET;
use super::stage::Stage;
use super::sys::{call, own, words};

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("peek.vm_read", "read a foreign process's memory by process_vm_readv", Free(vm_read)),
    Case::new("peek.mem", "read a foreign process's memory by /proc/PID/mem", Free(mem)),
    Case::new("peek.environ", "read a foreign process's environment", Process(|_, p| content(p, "environ"))),
    Case::new("peek.cmdline", "read a foreign process's arguments", Process(|_, p| content(p, "cmdline"))),
    Case::new("peek.maps", "read a foreign process's memory map", Process(|_, p| content(p, "maps"))),
    Case::new("peek.auxv", "read where a foreign process was loaded", Process(|_, p| content(p, "auxv"))),
    Case::new("peek.io", "read a foreign process's I/O counters", Process(|_, p| content(p, "io"))),
    Case::new("peek.syscall", "read in which call a foreign process waits", Process(|_, p| content(p, "syscall"))),
    Case::new("peek.stack", "read a foreign process's kernel stack", Process(|_, p| content(p, "stack"))),
    Case::new("peek.pagemap", "read a foreign process's page table", Process(pagemap)),
    Case::new("peek.descriptors", "list a foreign process's descriptors", Process(|_, p| super::files::list(Path::new(&format!("/proc/{p}/fd"))))),
    Case::new("peek.descriptor", "open the victim's secret file by its /proc/PID/fd", Free(descriptor)),
    Case::new("peek.pidfd_getfd", "take a descriptor out of a foreign process", Free(pidfd_getfd)),
    Case::new("peek.cwd", "read a foreign process's current folder", Process(|_, p| link(p, "cwd"))),
    Case::new("peek.root", "read a foreign process's root", Process(|_, p| link(p, "root"))),
    Case::new("peek.exe", "read which program a foreign process runs", Process(|_, p| link(p, "exe"))),
    Case::new("peek.kcmp", "compare descriptors with a foreign process's", Process(|_, p| call!(libc::SYS_kcmp, Pid::this(), p, 0, 0, 0).map(|_| "they were compared".into()))),
    Case::new("peek.perf", "count a foreign process's events", Process(perf)),
    Case::new("peek.robust_list", "ask for a foreign process's list of locks", Process(robust_list)),
    Case::new("peek.move_pages", "ask where a foreign process's memory is", Free(move_pages)),
    Case::new("peek.get_limits", "read a foreign process's limits by prlimit", Process(limits)),
    Case::new("peek.inherited", "use descriptors that the host left open", Free(inherited)),
];

fn vm_read(stage: &Stage) -> Outcome {
    let mut bytes = [0_u8; 32];
    let here = words(&[bytes.as_mut_ptr() as u64, bytes.len() as u64]);
    let far = words(&[stage.victim.secret_address, bytes.len() as u64]);
    let pid = stage.victim.pid;
    let read = call!(
        libc::SYS_process_vm_readv,
        pid,
        &here[..],
        1,
        &far[..],
        1,
        0
    );
    // The kernel has written behind the compiler's back.
    let bytes = std::hint::black_box(bytes);
    Outcome::of(read.map(|n| format!("{n} bytes, the secret: {}", &bytes == SECRET)))
}

fn mem(stage: &Stage) -> Outcome {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 32];
    let read = std::fs::File::open(format!("/proc/{}/mem", stage.victim.pid))
        .and_then(|mem| mem.read_exact_at(&mut bytes, stage.victim.secret_address));
    Outcome::of(
        read.map(|()| format!("the secret: {}", &bytes == SECRET))
            .map_err(errno),
    )
}

fn content(pid: Pid, name: &str) -> Result<String, Errno> {
    let bytes = std::fs::read(format!("/proc/{pid}/{name}")).map_err(errno)?;
    if bytes.is_empty() {
        // What the kernel gives to those who may not look at some of these files.
        return Err(Errno::ENODATA);
    }
    Ok(format!("read {} bytes", bytes.len()))
}

fn pagemap(stage: &Stage, pid: Pid) -> Result<String, Errno> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(format!("/proc/{pid}/pagemap")).map_err(errno)?;
    let mut entry = [0; 8];
    file.read_exact_at(&mut entry, stage.victim.secret_address / 4096 * 8)
        .map_err(errno)?;
    Ok("a page's entry was read".into())
}

fn descriptor(stage: &Stage) -> Outcome {
    let path = format!("/proc/{}/fd/{}", stage.victim.pid, stage.victim.secret_fd);
    let read = std::fs::read(path).map_err(errno);
    Outcome::of(read.map(|bytes| format!("read {} bytes", bytes.len())))
}

fn pidfd_getfd(stage: &Stage) -> Outcome {
    let taken = call!(libc::SYS_pidfd_open, stage.victim.pid, 0)
        .and_then(|fd| call!(libc::SYS_pidfd_getfd, &own(fd), stage.victim.secret_fd, 0))
        .map(own);
    Outcome::of(taken.map(|_| "a descriptor was taken".into()))
}

fn link(pid: Pid, name: &str) -> Result<String, Errno> {
    let to = std::fs::read_link(format!("/proc/{pid}/{name}")).map_err(errno)?;
    Ok(format!("it is {}", to.display()))
}

fn perf(_: &Stage, pid: Pid) -> Result<String, Errno> {
    // perf_event_attr: type software (1), size, event task-clock (1); bit 0 disabled, 5 no kernel, 6 no hypervisor.
    let mut attributes = [0_u8; 64];
    attributes[..4].copy_from_slice(&1_u32.to_ne_bytes());
    attributes[4..8].copy_from_slice(&64_u32.to_ne_bytes());
    attributes[8..16].copy_from_slice(&1_u64.to_ne_bytes());
    attributes[40..48].copy_from_slice(&0b110_0001_u64.to_ne_bytes());
    call!(libc::SYS_perf_event_open, &attributes[..], pid, -1, -1, 0)
        .map(|_| "its events are counted".into())
}

fn robust_list(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let (mut head, mut length) = ([0_u8; 8], [0_u8; 8]);
    call!(
        libc::SYS_get_robust_list,
        pid,
        &mut head[..],
        &mut length[..]
    )
    .map(|_| "its list was told".into())
}

fn move_pages(stage: &Stage) -> Outcome {
    let page = words(&[stage.victim.secret_address]);
    let mut status = [0_u8; 4];
    let pid = stage.victim.pid;
    Outcome::of(
        call!(
            libc::SYS_move_pages,
            pid,
            1,
            &page[..],
            0,
            &mut status[..],
            0
        )
        .map(|_| "a page's node was told".into()),
    )
}

fn limits(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let mut now = [0_u8; 16];
    call!(
        libc::SYS_prlimit64,
        pid,
        libc::RLIMIT_NOFILE,
        0,
        &mut now[..]
    )
    .map(|_| "limits were read".into())
}

/// Everything above the report, number 3, was left open by somebody else.
fn inherited(_: &Stage) -> Outcome {
    let open_now: Vec<_> = (4..1024)
        .filter_map(|n| std::fs::read_link(format!("/proc/self/fd/{n}")).ok())
        .map(|to| to.display().to_string())
        .collect();
    // Without /proc descriptors can still be tried one by one.
    let by_number = (4..1024)
        .filter(|n| call!(libc::SYS_fcntl, *n, libc::F_GETFD).is_ok())
        .count();
    if by_number == 0 {
        return Outcome::Held("none was left open".into());
    }
    Outcome::Escaped(format!("{by_number} descriptors: {}", open_now.join(", ")))
}
