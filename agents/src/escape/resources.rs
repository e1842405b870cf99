//! Limits of a seat: attacks that go beyond what [`Stage::limits`] says. Each is bounded in itself.
//!
//! Must not know how limits are set.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};

use super::case::Attack::Free;
use super::case::{Case, Outcome};
use super::stage::Stage;
use super::sys::{call, fork, open, reserve, words, write};

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("limit.processes", "start more processes than the limit", Free(processes)),
    Case::new("limit.fork_bomb", "start processes that start processes", Free(fork_bomb)),
    Case::new("limit.open_files", "open more files than the limit", Free(open_files)),
    Case::new("limit.file_size", "make a file larger than the limit", Free(file_size)),
    Case::new("limit.sparse", "make a sparse file of 1 TB", Free(sparse)),
    Case::new("limit.memory", "reserve more memory than the limit", Free(memory)),
    Case::new("limit.cpu", "burn more processor time than the limit", Free(cpu)),
    Case::new("limit.raise", "raise the own limits", Free(raise)),
    Case::new("limit.lock_memory", "lock 64 MB of memory", Free(lock_memory)),
    Case::new("limit.real_time", "take a real-time priority", Free(real_time)),
    Case::new("limit.nice", "take a better priority", Free(|_| Outcome::of(call!(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, -5).map(|_| "priority -5".into())))),
    Case::new("limit.oom", "be the last to die when memory is short", Free(oom)),
    Case::new("limit.core", "leave a core dump in the workspace", Free(core)),
    Case::new("limit.cgroup", "move the own process to another control group", Free(cgroup)),
];

/// Above every limit of the suite, far below what a machine has.
const FORKS: u64 = 200;

fn processes(stage: &Stage) -> Outcome {
    let mut children = Vec::new();
    let mut stopped = None;
    for _ in 0..FORKS {
        match fork(|| {
            std::thread::sleep(Duration::from_secs(5));
            0
        }) {
            Ok(child) => children.push(child),
            Err(errno) => {
                stopped = Some(errno);
                break;
            }
        }
    }
    for &child in &children {
        let _ = kill(child, Signal::SIGKILL);
    }
    for &child in &children {
        let _ = waitpid(child, None);
    }
    match stopped {
        Some(errno) => Outcome::Held(format!("{errno:?} after {} forks", children.len())),
        None => Outcome::Escaped(format!(
            "{FORKS} processes, where {} are allowed",
            stage.limits.processes
        )),
    }
}

/// Eight generations, each process forking twice, at most 510 processes in all; each stays for a moment.
fn fork_bomb(stage: &Stage) -> Outcome {
    fn generation(left: u32, refused: &std::fs::File) {
        use std::io::Write as _;
        for _ in 0..2 {
            if left == 0 {
                break;
            }
            let born = fork(|| {
                generation(left - 1, refused);
                0
            });
            if born.is_err() {
                let _ = (&*refused).write_all(b"x");
            }
        }
        std::thread::sleep(Duration::from_millis(400));
        while waitpid(None, None).is_ok() {}
    }
    let path = stage.own.join("refused");
    let Ok(refused) = std::fs::File::create(&path) else {
        return Outcome::Skipped("the own workspace cannot be written".into());
    };
    generation(8, &refused);
    let count = path.metadata().map_or(0, |m| m.len());
    if count == 0 {
        return Outcome::Escaped("510 processes in eight generations".into());
    }
    Outcome::Held(format!("{count} forks were refused"))
}

fn open_files(stage: &Stage) -> Outcome {
    let most = stage.limits.open_files + 64;
    let mut files = Vec::new();
    for _ in 0..most {
        match open(Path::new("/dev/null"), libc::O_RDONLY) {
            Ok(file) => files.push(file),
            Err(errno) => return Outcome::Held(format!("{errno:?} after {}", files.len())),
        }
    }
    Outcome::Escaped(format!(
        "{most} files, where {} are allowed",
        stage.limits.open_files
    ))
}

/// Ignoring the signal makes the refusal an error that can be told.
fn grow(stage: &Stage, at: u64) -> Outcome {
    crate::sys::ignore_signal(libc::SIGXFSZ);
    let path = stage.own.join("large");
    let tried = open(&path, libc::O_WRONLY | libc::O_CREAT).and_then(|file| {
        call!(libc::SYS_lseek, &file, at, libc::SEEK_SET)?;
        write(&file, b"X")
    });
    let _ = std::fs::remove_file(&path);
    Outcome::of(tried.map(|()| format!("a file of {} bytes", at + 1)))
}

fn file_size(stage: &Stage) -> Outcome {
    grow(stage, stage.limits.file_bytes)
}

fn sparse(stage: &Stage) -> Outcome {
    grow(stage, 1 << 40)
}

fn memory(stage: &Stage) -> Outcome {
    let bytes = stage.limits.data_bytes + (64 << 20);
    // Not touched: what is limited is what could be.
    Outcome::of(reserve(bytes as usize).map(|()| format!("{} MB", bytes >> 20)))
}

fn cpu(stage: &Stage) -> Outcome {
    let most = Duration::from_secs(stage.limits.cpu_seconds) + Duration::from_millis(700);
    let child = fork(|| {
        use nix::time::{ClockId, clock_gettime};
        crate::sys::ignore_signal(libc::SIGXCPU);
        let give_up = Instant::now() + most * 8;
        while Instant::now() < give_up {
            let used = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
            if used.is_ok_and(|used| used > most) {
                return 0;
            }
        }
        1
    });
    match child.and_then(|child| waitpid(child, None)) {
        Ok(WaitStatus::Exited(_, 0)) => Outcome::Escaped(format!(
            "{} ms of processor time, where {} s are allowed",
            most.as_millis(),
            stage.limits.cpu_seconds
        )),
        Ok(WaitStatus::Signaled(_, signal, _)) => Outcome::Held(format!("{signal}")),
        Ok(_) => Outcome::Skipped("the machine is too busy to burn that much".into()),
        Err(errno) => Outcome::Held(format!("{errno:?}")),
    }
}

fn raise(_: &Stage) -> Outcome {
    let mut now = [0_u8; 16];
    let resource = libc::RLIMIT_NOFILE;
    let raised = call!(libc::SYS_prlimit64, 0, resource, 0, &mut now[..]).and_then(|_| {
        let hard = now[8..].try_into().map_or(0, u64::from_ne_bytes);
        let more = words(&[hard + 1, hard + 1]);
        call!(libc::SYS_prlimit64, 0, resource, &more[..], 0)
    });
    Outcome::of(raised.map(|_| "the hard limit was raised".into()))
}

fn lock_memory(_: &Stage) -> Outcome {
    let memory = vec![0_u8; 64 << 20];
    Outcome::of(
        call!(libc::SYS_mlock, &memory[..], memory.len()).map(|_| "64 MB were locked".into()),
    )
}

fn real_time(_: &Stage) -> Outcome {
    let priority = 1_i32.to_ne_bytes();
    Outcome::of(
        call!(
            libc::SYS_sched_setscheduler,
            0,
            libc::SCHED_FIFO,
            &priority[..]
        )
        .map(|_| "real-time priority".into()),
    )
}

fn oom(_: &Stage) -> Outcome {
    let tried = open(Path::new("/proc/self/oom_score_adj"), libc::O_WRONLY)
        .and_then(|file| write(&file, b"-1000"));
    Outcome::of(tried.map(|()| "it is never killed now".into()))
}

fn core(stage: &Stage) -> Outcome {
    let Ok(child) = fork(|| {
        super::sys::dumpable();
        // As far as the hard limit lets it.
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
            let _ = setrlimit(Resource::RLIMIT_CORE, hard, hard);
        }
        let _ = kill(nix::unistd::Pid::this(), Signal::SIGABRT);
        0
    }) else {
        return Outcome::Held("no process could be started".into());
    };
    let status = waitpid(child, None);
    let names = std::fs::read_dir(&stage.own)
        .into_iter()
        .flatten()
        .flatten();
    let dumped = names
        .map(|e| e.file_name())
        .any(|n| n.to_string_lossy().starts_with("core"));
    match (status, dumped) {
        (_, true) | (Ok(WaitStatus::Signaled(_, _, true)), _) => {
            Outcome::Escaped("a core was dumped".into())
        }
        _ => Outcome::Held("no core was dumped".into()),
    }
}

fn cgroup(_: &Stage) -> Outcome {
    let places = ["", "/unified", "/memory", "/pids", "/cpu"]
        .map(|c| format!("/sys/fs/cgroup{c}/cgroup.procs"));
    super::effect::first(places.iter().map(|path| {
        let file = open(Path::new(path), libc::O_WRONLY)?;
        write(&file, b"0").map(|()| format!("moved by {path}"))
    }))
}
