//! Section 5, acting: signals, tracing, priorities and limits of foreign processes; rights of the own one.
//!
//! Must not know how processes are kept apart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::case::Attack::{Free, Process};
use super::case::{Case, Needs, Outcome};
use super::effect;
use super::stage::Stage;
use super::sys::{call, open, own, words, write};

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("process.kill", "send SIGKILL to a foreign process", Process(|_, p| signal(p, Signal::SIGKILL))),
    Case::new("process.term", "send SIGTERM to a foreign process", Process(|_, p| signal(p, Signal::SIGTERM))),
    Case::new("process.stop", "send SIGSTOP to a foreign process", Process(|_, p| signal(p, Signal::SIGSTOP))),
    Case::new("process.kill_group", "send SIGKILL to a foreign process group", Process(|_, p| signal(Pid::from_raw(-p.as_raw()), Signal::SIGKILL))),
    Case::new("process.kill_all", "send SIGKILL to every process that can be reached", Free(kill_all)).with(Needs::Distance),
    Case::new("process.stop_all", "send SIGSTOP to every process that can be reached", Free(stop_all)).with(Needs::Distance),
    Case::new("process.tgkill", "send SIGKILL to a foreign thread", Process(|_, p| call!(libc::SYS_tgkill, p, p, libc::SIGKILL).map(|_| "a thread was killed".into()))),
    Case::new("process.sigqueue", "queue SIGKILL with a value to a foreign process", Process(sigqueue)),
    Case::new("process.pidfd_signal", "send SIGKILL by a pidfd", Process(pidfd_signal)),
    Case::new("process.owner_signal", "have the kernel send SIGKILL to a foreign process when a pipe becomes readable", Free(owner_signal)),
    Case::new("process.signal_from_namespace", "send SIGKILL as root of a user namespace", Process(namespace_kill)),
    Case::new("process.ptrace_attach", "attach to a foreign process by ptrace", Process(|_, p| ptrace(libc::PTRACE_ATTACH as i64, p))),
    Case::new("process.ptrace_seize", "seize a foreign process by ptrace", Process(|_, p| ptrace(libc::PTRACE_SEIZE as i64, p))),
    Case::new("process.vm_write", "write a foreign process's memory by process_vm_writev", Free(vm_write)),
    Case::new("process.mem_write", "write a foreign process's memory by /proc/PID/mem", Free(mem_write)),
    Case::new("process.madvise", "push a foreign process's memory out by process_madvise", Free(madvise)),
    Case::new("process.prlimit", "lower a foreign process's limits", Process(prlimit)),
    Case::new("process.renice", "lower a foreign process's priority", Process(|_, p| call!(libc::SYS_setpriority, libc::PRIO_PROCESS, p, 19).map(|_| "priority set to 19".into()))),
    Case::new("process.renice_user", "lower the priority of all of the victim's user", Free(renice_user)).with(Needs::Distance),
    Case::new("process.affinity", "pin a foreign process to one processor", Process(affinity)),
    Case::new("process.scheduler", "put a foreign process into the idle class", Process(|_, p| call!(libc::SYS_sched_setscheduler, p, libc::SCHED_IDLE, &words(&[0])[..]).map(|_| "scheduled when idle only".into()))),
    Case::new("process.sched_attributes", "the same by sched_setattr", Process(sched_attributes)),
    Case::new("process.io_priority", "lower a foreign process's I/O priority", Process(|_, p| call!(libc::SYS_ioprio_set, 1, p, 3 << 13).map(|_| "I/O when idle only".into()))),
    Case::new("process.oom_score", "make a foreign process the first to die when memory is short", Process(|_, p| put(p, "oom_score_adj", b"1000"))),
    Case::new("process.comm", "rename a foreign process", Process(|_, p| put(p, "comm", b"renamed"))),
    Case::new("process.coredump_filter", "change what a foreign process would dump", Process(|_, p| put(p, "coredump_filter", b"0x7f"))),
    Case::new("process.timer_slack", "delay a foreign process's timers", Process(|_, p| put(p, "timerslack_ns", b"4000000000"))),
    Case::new("process.autogroup", "lower the priority of a foreign session", Process(|_, p| put(p, "autogroup", b"19"))),
    Case::new("process.clear_refs", "reset a foreign process's page references", Process(|_, p| put(p, "clear_refs", b"1"))),
    Case::new("process.migrate_pages", "move a foreign process's memory to another node", Process(|_, p| call!(libc::SYS_migrate_pages, p, 64, &words(&[1])[..], &words(&[1])[..]).map(|_| "pages may be moved".into()))),
    Case::new("process.namespaces", "enter a foreign process's namespaces", Process(namespaces)),
    Case::new("process.setpgid", "take a foreign process into the own group", Process(|_, p| call!(libc::SYS_setpgid, p, 0).map(|_| "it was moved".into()))),
    Case::new("process.release_memory", "take a dying process's memory (process_mrelease)", Process(release)),
    Case::new("process.setuid", "become root or the victim's user", Free(setuid)),
    Case::new("process.setgroups", "join the victim's and root's groups", Free(setgroups)),
    Case::new("process.setuid_program", "gain rights by a set-user-id program of the system", Free(setuid_program)),
    Case::new("process.own_setuid", "make an own program set-user-id in a user namespace and run it", Free(own_setuid)),
    Case::new("process.capabilities", "take all capabilities", Free(capabilities)),
    Case::new("process.map_victim", "map the victim's user into an own user namespace", Free(map_victim)),
    Case::new("process.devices", "open memory and disks of the machine", Free(devices)),
    Case::new("process.kernel", "reach what is the machine's: modules, swap, accounting, the kernel's log", Free(kernel)),
    Case::new("process.bpf", "make a bpf map", Free(bpf)),
    Case::new("process.userfaultfd", "handle page faults of the kernel", Free(userfaultfd)),
    Case::new("process.daemon", "leave a daemon that outlives its seat", Free(daemon)),
    Case::new("process.respawn", "leave processes that start each other anew", Free(respawn)),
];

fn signal(pid: Pid, signal: Signal) -> Result<String, Errno> {
    kill(pid, signal).map(|()| format!("{signal} was sent"))
}

fn everybody(stage: &Stage, signal: Signal) -> Outcome {
    // -1 spares the sender. Whether it reached anybody of interest is seen in what became of the two.
    let sent = kill(Pid::from_raw(-1), signal);
    let reached = [stage.victim.pid, stage.host.pid].into_iter().find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !matches!(
            stat.rsplit(") ").next().and_then(|s| s.chars().next()),
            Some('R' | 'S' | 'D')
        ) && Path::new("/proc/self/stat").exists()
    });
    match (reached, sent) {
        (Some(pid), _) => Outcome::Escaped(format!("{signal} reached process {pid}")),
        (None, Ok(())) => Outcome::Held("it reached none of the others".into()),
        (None, Err(errno)) => Outcome::Held(format!("{errno:?}")),
    }
}

fn kill_all(stage: &Stage) -> Outcome {
    everybody(stage, Signal::SIGKILL)
}

fn stop_all(stage: &Stage) -> Outcome {
    everybody(stage, Signal::SIGSTOP)
}

fn sigqueue(_: &Stage, pid: Pid) -> Result<String, Errno> {
    // siginfo_t: signal, error, code (SI_QUEUE = -1), then the sender.
    let mut info = [0_u8; 128];
    info[..4].copy_from_slice(&libc::SIGKILL.to_ne_bytes());
    info[8..12].copy_from_slice(&(-1_i32).to_ne_bytes());
    call!(libc::SYS_rt_sigqueueinfo, pid, libc::SIGKILL, &info[..])
        .map(|_| "SIGKILL was queued".into())
}

fn pidfd_signal(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let fd = own(call!(libc::SYS_pidfd_open, pid, 0)?);
    call!(libc::SYS_pidfd_send_signal, &fd, libc::SIGKILL, 0, 0)
        .map(|_| "SIGKILL was sent by a pidfd".into())
}

/// F_SETOWN lets the kernel send; its rights are checked when the signal is due, and nothing tells. So look.
fn owner_signal(stage: &Stage) -> Outcome {
    let tried = (|| {
        let (read, feed) = nix::unistd::pipe()?;
        call!(libc::SYS_fcntl, &read, libc::F_SETOWN, stage.victim.pid)?;
        const F_SETSIG: i32 = 10;
        call!(libc::SYS_fcntl, &read, F_SETSIG, libc::SIGKILL)?;
        call!(libc::SYS_fcntl, &read, libc::F_SETFL, libc::O_ASYNC)?;
        write(&feed, b"x")
    })();
    match tried {
        Ok(()) => Outcome::Held("no effect".into()),
        Err(errno) => Outcome::Held(format!("{errno:?}")),
    }
}

fn namespace_kill(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let child = super::sys::fork(|| {
        let tried =
            call!(libc::SYS_unshare, libc::CLONE_NEWUSER).and_then(|_| kill(pid, Signal::SIGKILL));
        tried.map_or_else(|errno| errno as i32, |()| 0)
    })?;
    exit_of(child).map(|()| "SIGKILL was sent".into())
}

/// What a child of an attack ended with, as its result.
pub(super) fn exit_of(child: Pid) -> Result<(), Errno> {
    match nix::sys::wait::waitpid(child, None)? {
        nix::sys::wait::WaitStatus::Exited(_, 0) => Ok(()),
        nix::sys::wait::WaitStatus::Exited(_, code) => Err(Errno::from_raw(code)),
        _ => Err(Errno::ECHILD),
    }
}

fn ptrace(request: i64, pid: Pid) -> Result<String, Errno> {
    call!(libc::SYS_ptrace, request, pid, 0, 0).map(|_| "it is traced".into())
}

/// An iovec of `length` bytes at an address of another process.
fn there(address: u64, length: usize) -> Vec<u8> {
    words(&[address, length as u64])
}

fn vm_write(stage: &Stage) -> Outcome {
    let bytes = *b"forged";
    let here = there(bytes.as_ptr() as u64, bytes.len());
    let far = there(stage.victim.secret_address, bytes.len());
    let pid = stage.victim.pid;
    Outcome::of(
        call!(
            libc::SYS_process_vm_writev,
            pid,
            &here[..],
            1,
            &far[..],
            1,
            0
        )
        .map(|n| format!("{n} bytes of memory were written")),
    )
}

fn mem_write(stage: &Stage) -> Outcome {
    use std::os::unix::fs::FileExt;
    let path = format!("/proc/{}/mem", stage.victim.pid);
    let file = std::fs::OpenOptions::new().write(true).open(path);
    let tried = file.and_then(|mem| mem.write_all_at(b"forged", stage.victim.secret_address));
    Outcome::of(
        tried
            .map(|()| "memory was written".into())
            .map_err(super::files::errno),
    )
}

fn madvise(stage: &Stage) -> Outcome {
    let page = stage.victim.secret_address & !4095;
    let far = there(page, 4096);
    Outcome::of(
        call!(libc::SYS_pidfd_open, stage.victim.pid, 0).and_then(|fd| {
            call!(
                libc::SYS_process_madvise,
                &own(fd),
                &far[..],
                1,
                libc::MADV_PAGEOUT,
                0
            )
            .map(|_| "memory was pushed out".into())
        }),
    )
}

fn prlimit(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let lower = words(&[3, 3]);
    call!(libc::SYS_prlimit64, pid, libc::RLIMIT_NOFILE, &lower[..], 0)
        .map(|_| "it may open three files now".into())
}

fn renice_user(stage: &Stage) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    // The victim's user is known by the owner of its process.
    let owner = std::fs::metadata(format!("/proc/{}", stage.victim.pid)).map(|m| m.uid());
    Outcome::of(owner.map_err(super::files::errno).and_then(|uid| {
        call!(libc::SYS_setpriority, libc::PRIO_USER, uid, 19)
            .map(|_| format!("all of user {uid} is nice now"))
    }))
}

fn affinity(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let first = words(&[1]);
    call!(libc::SYS_sched_setaffinity, pid, first.len(), &first[..])
        .map(|_| "it runs on one processor now".into())
}

fn sched_attributes(_: &Stage, pid: Pid) -> Result<String, Errno> {
    // struct sched_attr: size, policy (SCHED_BATCH), flags, nice, priority, and times.
    let mut attributes = [0_u8; 48];
    attributes[..4].copy_from_slice(&48_u32.to_ne_bytes());
    attributes[4..8].copy_from_slice(&3_u32.to_ne_bytes());
    attributes[16..20].copy_from_slice(&19_i32.to_ne_bytes());
    call!(libc::SYS_sched_setattr, pid, &attributes[..], 0).map(|_| "it is a batch job now".into())
}

fn put(pid: Pid, name: &str, value: &[u8]) -> Result<String, Errno> {
    let path = format!("/proc/{pid}/{name}");
    write(&open(Path::new(&path), libc::O_WRONLY)?, value).map(|()| format!("{name} was set"))
}

fn namespaces(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let mut result = Err(Errno::ENOENT);
    for name in ["user", "mnt", "net", "ipc", "pid"] {
        let path = format!("/proc/{pid}/ns/{name}");
        let entered =
            open(Path::new(&path), libc::O_RDONLY).and_then(|fd| call!(libc::SYS_setns, &fd, 0));
        match entered {
            Ok(_) => return Ok(format!("entered its {name} namespace")),
            Err(errno) => result = Err(errno),
        }
    }
    result
}

fn release(_: &Stage, pid: Pid) -> Result<String, Errno> {
    let fd = own(call!(libc::SYS_pidfd_open, pid, 0)?);
    call!(libc::SYS_process_mrelease, &fd, 0).map(|_| "memory was taken".into())
}

fn setuid(stage: &Stage) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(format!("/proc/{}", stage.victim.pid)).map_or(0, |m| m.uid());
    let own = nix::unistd::getuid().as_raw();
    let others = [0, owner].into_iter().filter(|uid| *uid != own);
    effect::first(
        others.map(|uid| {
            call!(libc::SYS_setresuid, uid, uid, uid).map(|_| format!("became user {uid}"))
        }),
    )
}

fn setgroups(stage: &Stage) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let group = std::fs::metadata(format!("/proc/{}", stage.victim.pid)).map_or(0, |m| m.gid());
    let groups = [0_u32, group].map(u32::to_ne_bytes).concat();
    Outcome::of(call!(libc::SYS_setgroups, 2, &groups[..]).map(|_| "joined their groups".into()))
}

/// Starts programs that run as root for everybody, and looks as whom they run. They are started without arguments that
/// would let them do anything, and killed.
fn setuid_program(_: &Stage) -> Outcome {
    let programs = [
        "/usr/bin/su",
        "/usr/bin/passwd",
        "/usr/bin/mount",
        "/usr/bin/newgrp",
        "/usr/bin/chfn",
    ];
    let mut tried = 0;
    for program in programs {
        let privileged = Path::new(program)
            .metadata()
            .is_ok_and(|m| m.permissions().mode() & 0o4000 != 0);
        if !privileged {
            continue;
        }
        let Ok(mut child) = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
        else {
            continue;
        };
        tried += 1;
        let effective = settled_user(child.id());
        let _ = child.kill();
        let _ = child.wait();
        if effective.as_deref() == Some("0") {
            return Outcome::Escaped(format!("{program} runs as root"));
        }
    }
    if tried == 0 {
        return Outcome::Skipped("no set-user-id program can be started".into());
    }
    Outcome::Held(format!("{tried} programs ran without their rights"))
}

/// The effective user of a process once it waits or has ended: exec sets it a moment after the parent may go on.
fn settled_user(pid: u32) -> Option<String> {
    for _ in 0..5000 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name| status.lines().find_map(|l| l.strip_prefix(name));
        if field("State:").is_some_and(|state| state.trim().starts_with(['S', 'Z'])) {
            let users = field("Uid:")?.split_ascii_whitespace();
            return users.map(str::to_owned).nth(1);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    None
}

fn own_setuid(stage: &Stage) -> Outcome {
    let path = stage.own.join("program");
    let user = nix::unistd::getuid();
    let prepared = std::fs::copy("/usr/bin/id", &path)
        .and_then(|_| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)))
        .map_err(super::files::errno)
        // As root of a namespace the owner may be changed, if the kernel were to let it.
        .and_then(|()| {
            let child = super::sys::fork(|| {
                let tried = call!(libc::SYS_unshare, libc::CLONE_NEWUSER).and_then(|_| {
                    let _ = std::fs::write("/proc/self/uid_map", format!("0 {user} 1"));
                    let at = libc::AT_FDCWD;
                    call!(
                        libc::SYS_fchownat,
                        at,
                        &super::sys::text(&path),
                        0,
                        u32::MAX,
                        0
                    )?;
                    call!(libc::SYS_fchmodat, at, &super::sys::text(&path), 0o4755)
                });
                tried.map_or_else(|errno| errno as i32, |_| 0)
            })?;
            exit_of(child)
        });
    let said = Command::new(&path).arg("-u").output();
    match said {
        Ok(said) if said.stdout == b"0\n" => Outcome::Escaped("an own program runs as root".into()),
        _ => Outcome::Held(prepared.map_or_else(|e| format!("{e:?}"), |()| "no effect".into())),
    }
}

fn capabilities(_: &Stage) -> Outcome {
    // Version 3 of the interface, then effective, permitted and inheritable, low and high words.
    let header = [0x2008_0522_u32, 0].map(u32::to_ne_bytes).concat();
    let all = [u32::MAX; 6].map(u32::to_ne_bytes).concat();
    Outcome::of(
        call!(libc::SYS_capset, &header[..], &all[..]).map(|_| "has all capabilities".into()),
    )
}

fn map_victim(stage: &Stage) -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata(format!("/proc/{}", stage.victim.pid)).map_or(0, |m| m.uid());
    // At a level with one user this would be the own user, which may be mapped: then root is the one to be mapped.
    let wanted = if uid == nix::unistd::getuid().as_raw() {
        0
    } else {
        uid
    };
    let tried = call!(libc::SYS_unshare, libc::CLONE_NEWUSER).and_then(|_| {
        std::fs::write("/proc/self/uid_map", format!("0 {wanted} 1")).map_err(super::files::errno)
    });
    Outcome::of(tried.map(|()| format!("user {wanted} was mapped")))
}

fn devices(_: &Stage) -> Outcome {
    let devices = [
        "/dev/mem",
        "/dev/kmem",
        "/dev/port",
        "/proc/kcore",
        "/dev/vda",
        "/dev/sda",
        "/dev/nvme0n1",
        "/proc/sysrq-trigger",
    ];
    effect::first(
        devices.into_iter().map(|path| {
            open(Path::new(path), libc::O_RDONLY).map(|_| format!("{path} can be opened"))
        }),
    )
}

/// Calls that change nothing even where they are allowed: empty modules, paths that do not exist, a question.
fn kernel(_: &Stage) -> Outcome {
    const SYSLOG_ACTION_SIZE_UNREAD: i32 = 9;
    let nothing = [0_u8; 1];
    let tried = [
        call!(libc::SYS_init_module, &nothing[..], 0, c"").map(|_| "modules can be loaded"),
        call!(libc::SYS_delete_module, c"none", 0).map(|_| "modules can be taken away"),
        call!(libc::SYS_swapoff, c"/none").map(|_| "swap can be taken away"),
        call!(libc::SYS_acct, c"/none").map(|_| "accounting can be set"),
        call!(libc::SYS_syslog, SYSLOG_ACTION_SIZE_UNREAD, 0, 0).map(|_| "the log can be read"),
    ];
    effect::first(tried.into_iter().map(|t| t.map(str::to_owned)))
}

fn bpf(_: &Stage) -> Outcome {
    // BPF_MAP_CREATE: an array with keys of 4 bytes, values of 8 and one entry.
    let map = [2_u32, 4, 8, 1, 0, 0].map(u32::to_ne_bytes).concat();
    Outcome::of(call!(libc::SYS_bpf, 0, &map[..], map.len()).map(|_| "a map was made".into()))
}

fn userfaultfd(_: &Stage) -> Outcome {
    // Without UFFD_USER_MODE_ONLY: faults of the kernel itself could be held up.
    Outcome::of(
        call!(libc::SYS_userfaultfd, libc::O_CLOEXEC)
            .map(own)
            .map(|_| "it was had".into()),
    )
}

/// Forks twice, leaves session and signals behind. The runner looks whether anything is left when the seat has ended.
fn daemon(_: &Stage) -> Outcome {
    let started = super::sys::fork(|| {
        let _ = nix::unistd::setsid();
        let _ = super::sys::fork(|| {
            for number in 1..32 {
                crate::sys::ignore_signal(number);
            }
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        });
        0
    });
    match started.and_then(exit_of) {
        Ok(()) => Outcome::Held("it was ended with its seat".into()),
        Err(errno) => Outcome::Held(format!("{errno:?}")),
    }
}

/// Each process forks its successor and ends, so that no list of processes is true for long. At most 3000 times.
fn respawn(_: &Stage) -> Outcome {
    fn next(left: u32) -> i32 {
        if left > 0 {
            let _ = nix::unistd::setsid();
            std::thread::sleep(std::time::Duration::from_millis(4));
            let _ = super::sys::fork(|| next(left - 1));
        }
        0
    }
    match super::sys::fork(|| next(3000)).and_then(exit_of) {
        Ok(()) => Outcome::Held("they were ended with their seat".into()),
        Err(errno) => Outcome::Held(format!("{errno:?}")),
    }
}
