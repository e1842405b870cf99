//! One case's scene: folders, victim, host, attacker; and what is left of them afterwards.
//!
//! Must not know single attacks. Runs in a process of its own, which is the subreaper of all the others.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::Serialize;

use super::case::{Attack, Case, Needs, Outcome};
use super::confine::Role;
use super::others::{self, SECRET};
use super::outside::{self, Outside};
use super::run::Suite;
use super::stage::{Stage, Victim};
use super::sys::{self, call};
use crate::process::tree;

/// How long victim and host may take to get ready or to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the killed may take to go.
const GOING: Duration = Duration::from_secs(5);

/// Reads lines of JSON from a pipe, with a deadline.
pub(super) struct Lines(OwnedFd);

impl Lines {
    pub(super) fn pipe() -> Result<(Self, OwnedFd), String> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
            .map_err(|e| format!("cannot make a pipe: {e}"))?;
        Ok((Self(read), write))
    }

    /// The same, for both directions.
    fn pair() -> Result<(Self, OwnedFd), String> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
        socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .map(|(near, far)| (Self(near), far))
        .map_err(|e| format!("cannot make a pair of sockets: {e}"))
    }

    /// Whether nobody can write any more.
    fn is_ended(&self) -> bool {
        let mut set = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let _ = poll(&mut set, PollTimeout::ZERO);
        set[0]
            .revents()
            .is_some_and(|r| r.contains(PollFlags::POLLHUP))
    }

    /// Whether whoever is at the other end still answers.
    fn is_well(&mut self) -> bool {
        sys::write(&self.0, b"?").is_ok() && self.next(PATIENCE).is_ok_and(|said| said == "well")
    }

    /// The next line. Not to its end of file: the attacker's children may hold the pipe.
    pub(super) fn next(&mut self, wait: Duration) -> Result<String, String> {
        const LONGEST: usize = 1 << 16;
        let deadline = Instant::now() + wait;
        let mut line = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut set = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut set, timeout) {
                Ok(0) => return Err(format!("nothing within {} s", wait.as_secs_f32())),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e.to_string()),
            }
            let mut bytes = [0; 4096];
            match nix::unistd::read(&self.0, &mut bytes) {
                Ok(0) => return Err("it ended without a word".to_owned()),
                Ok(n) => line.extend_from_slice(&bytes[..n]),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.to_string()),
            }
            if let Some(end) = line.iter().position(|b| *b == b'\n') {
                line.truncate(end);
                return String::from_utf8(line).map_err(|e| e.to_string());
            }
            if line.len() > LONGEST {
                return Err("a line without an end".to_owned());
            }
        }
    }
}

pub(super) fn tell(report: &OwnedFd, what: &impl Serialize) {
    let mut line = serde_json::to_vec(what).expect("outcomes are plain data");
    line.push(b'\n');
    let _ = sys::write(report, &line);
}

/// Plays one case and leaves nothing behind.
pub(super) fn play(suite: &Suite, case: &Case) -> Result<Outcome, String> {
    let mut stage = Stage::new(&suite.folder.join("s"));
    let outcome = sys::become_subreaper()
        .map_err(|e| format!("cannot become a subreaper: {e}"))
        .and_then(|()| attack(suite, case, &mut stage));
    end_everybody();
    forget_key(suite, &stage);
    clean_up(&stage.victim);
    remove(&stage.folder);
    outcome
}

fn attack(suite: &Suite, case: &Case, stage: &mut Stage) -> Result<Outcome, String> {
    if let Attack::Tool(program, _) | Attack::Loot(program, _) = case.attack
        && super::tools::find(program).is_none()
    {
        return Ok(Outcome::Skipped(format!("there is no {program}")));
    }
    build(suite, stage).map_err(|e| format!("cannot build the scene: {e}"))?;
    let churn = case.needs == Needs::Churn;
    let (host, mut host_line) = start(suite, stage, Role::Host, |stage, report| {
        others::play_host(stage, report, churn)
    })?;
    stage.host = host;
    let (victim, mut victim_line) = start(suite, stage, Role::Victim, |stage, report| {
        others::play_victim(stage, report)
    })?;
    stage.victim = victim;
    let mut known = vec![stage.victim.pid, stage.host.pid]
        .into_iter()
        .map(Pid::from_raw)
        .collect::<Vec<_>>();
    let before = Outside::look(stage);

    let bait = sys::open(&stage.shared_file(), libc::O_RDONLY).ok();
    // Not closed by exec: a level has to close what its parent left open.
    if let Some(bait) = &bait {
        let _ = call!(libc::SYS_fcntl, bait, libc::F_SETFD, 0);
    }
    let (mut lines, report) = Lines::pipe()?;
    let attacker = sys::fork(|| {
        let outcome = become_role(suite, stage, Role::Attacker, &report)
            .and_then(not_root)
            .map(|report| (guarded(case, stage), report));
        match outcome {
            Ok((outcome, report)) => tell(&report, &Ok::<_, String>(outcome)),
            Err(why) => tell(&report, &Err::<Outcome, _>(why)),
        }
        0
    })
    .map_err(|e| format!("cannot fork: {e}"))?;
    drop((report, bait));
    let line = lines.next(suite.limit);
    let status = if line.is_err() {
        last_status(attacker)
    } else {
        None
    };
    suite.confine.end(attacker, &known);
    let survivor = survivor(&mut known, &lines);
    let inside = match (line, status) {
        (Ok(line), _) => serde_json::from_str::<Result<Outcome, String>>(&line)
            .map_err(|e| format!("the attacker told {line:?}: {e}"))??,
        (Err(_), Some(WaitStatus::Signaled(_, signal, _))) => {
            Outcome::Held(format!("killed by {signal}"))
        }
        (Err(why), _) => return Err(format!("the attacker hangs or is lost: {why}")),
    };
    let after = Outside::look(stage);
    // What is seen from outside weighs more than what the attacker believes.
    let outside = before
        .changed(&after, stage)
        // A process that has been killed may still look alive for a moment, but does not answer.
        .or_else(|| (!victim_line.is_well()).then(|| "the victim answers no more".to_owned()))
        .or_else(|| (!host_line.is_well()).then(|| "the host answers no more".to_owned()))
        .or_else(|| {
            (!others::host_answers(&stage.host)).then(|| "the host's port is dead".to_owned())
        })
        .or_else(|| outside::stolen(stage))
        .or(survivor);
    Ok(outside.map_or(inside, Outcome::Escaped))
}

/// Folders as the product lays them out: gates of the host's, workspaces of the seats', a tree of the host's.
fn build(suite: &Suite, stage: &Stage) -> std::io::Result<()> {
    let [attacker, victim, host] =
        [Role::Attacker, Role::Victim, Role::Host].map(|role| suite.confine.owner(role));
    let give = |path: &Path, (uid, gid): (nix::unistd::Uid, nix::unistd::Gid), mode: u32| {
        chown(path, Some(uid.as_raw()), Some(gid.as_raw()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    let folder = |path: &Path, owner, mode| {
        std::fs::create_dir_all(path)?;
        give(path, owner, mode)
    };
    let file = |path: &Path, content: &[u8], owner, mode| {
        std::fs::write(path, content)?;
        give(path, owner, mode)
    };
    std::fs::set_permissions(suite.folder, std::fs::Permissions::from_mode(0o755))?;
    folder(&stage.folder, host, 0o755)?;
    folder(&stage.folder.join("agents"), host, 0o755)?;
    for (workspace, owner) in [(&stage.own, attacker), (&stage.other, victim)] {
        let gate = workspace.parent().expect("a workspace has a gate");
        folder(gate, (host.0, owner.1), 0o710)?;
        folder(workspace, owner, 0o700)?;
    }
    // The victim has been careless, as after `chmod -R 777`: its gate has to protect it all the same.
    let mut secret = SECRET.to_vec();
    secret.extend_from_slice(b"\nsecond line\n");
    file(&stage.other_file(), &secret, victim, 0o666)?;
    folder(&stage.other_folder(), victim, 0o777)?;
    file(
        &stage.other_folder().join("one.txt"),
        b"one\n",
        victim,
        0o666,
    )?;
    std::fs::set_permissions(&stage.other, std::fs::Permissions::from_mode(0o777))?;
    file(&stage.own.join("mine.txt"), b"mine\n", attacker, 0o600)?;
    folder(&stage.own.join("heap"), attacker, 0o700)?;

    folder(&stage.shared, host, 0o755)?;
    file(&stage.shared_file(), b"shared line\n", host, 0o644)?;
    folder(&stage.shared_folder(), host, 0o755)?;
    file(
        &stage.shared_folder().join("one.txt"),
        b"one\n",
        host,
        0o644,
    )?;
    let churned = stage.churned();
    folder(churned.parent().expect("it has a folder"), host, 0o755)?;
    file(&churned, b"page 0\n", host, 0o644)
}

/// Starts victim or host and waits until it is ready.
fn start<Facts: serde::de::DeserializeOwned>(
    suite: &Suite,
    stage: &Stage,
    role: Role,
    play: impl FnOnce(&Stage, OwnedFd) -> i32,
) -> Result<(Facts, Lines), String> {
    let (mut lines, report) = Lines::pair()?;
    sys::fork(|| match become_role(suite, stage, role, &report) {
        Ok(report) => play(stage, report),
        Err(why) => {
            tell(&report, &why);
            1
        }
    })
    .map_err(|e| format!("cannot fork: {e}"))?;
    drop(report);
    let line = lines
        .next(PATIENCE)
        .map_err(|e| format!("no {role:?}: {e}"))?;
    let facts = serde_json::from_str(&line).map_err(|_| format!("no {role:?}: {line}"))?;
    Ok((facts, lines))
}

/// What all roles have in common: a session of its own, no foreign descriptors, a place to stand.
fn become_role(
    suite: &Suite,
    stage: &Stage,
    role: Role,
    report: &OwnedFd,
) -> Result<OwnedFd, String> {
    let _ = nix::unistd::setsid();
    let report = sys::arrange_descriptors(report).map_err(|e| format!("descriptors: {e}"))?;
    let place = match role {
        Role::Attacker => &stage.own,
        Role::Victim => &stage.other,
        Role::Host => &stage.shared,
    };
    std::env::set_current_dir(place)
        .map_err(|e| format!("cannot enter {}: {e}", place.display()))?;
    suite
        .confine
        .enter(role, stage)
        .map_err(|e| format!("{role:?}: {e}"))?;
    sys::dumpable();
    sys::die_with_parent();
    Ok(report)
}

/// Attacks are harmless for users without privileges only.
fn not_root(report: OwnedFd) -> Result<OwnedFd, String> {
    if nix::unistd::geteuid().is_root() {
        return Err("the level left the attacker root; nothing was tried".to_owned());
    }
    Ok(report)
}

/// Refuses an attack that ends whatever it reaches, where it would reach the suite itself.
fn guarded(case: &Case, stage: &Stage) -> Outcome {
    if case.needs == Needs::Distance {
        // Signal 0 has no effect.
        if kill(Pid::from_raw(stage.runner), None) != Err(Errno::EPERM) {
            return Outcome::Skipped(
                "not confined: the attack would end the suite's own processes".to_owned(),
            );
        }
    }
    case.run(stage)
}

/// How an attacker that said nothing ended. Its pipe closes a moment before it can be waited for.
fn last_status(pid: Pid) -> Option<WaitStatus> {
    for _ in 0..1000 {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(status) => return Some(status),
            Err(_) => break,
        }
    }
    None
}

/// Whoever of the attacker's tree is alive after its end. Everybody else is reaped.
/// Forked processes hold the report as well, which shows those that are between two parents just now.
fn survivor(known: &mut Vec<Pid>, report: &Lines) -> Option<String> {
    let deadline = Instant::now() + GOING;
    loop {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            match status.pid() {
                Some(pid) => known.retain(|k| *k != pid),
                None => break,
            }
        }
        let left = tree::children_of(Pid::this())
            .into_iter()
            .find(|pid| !known.contains(pid));
        if left.is_none() && report.is_ended() {
            return None;
        }
        if Instant::now() > deadline {
            return Some("a process outlives its seat".to_owned());
        }
        // A killed process needs a moment to go; there is nothing to wait on for a process that is not a child yet.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills and reaps all that is left of the scene.
fn end_everybody() {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let children = tree::children_of(Pid::this());
        if children.is_empty() {
            break;
        }
        tree::kill_all(&children);
        for child in children {
            let _ = kill(child, Signal::SIGCONT);
            let _ = waitpid(child, None);
        }
    }
}

/// A key can only be taken out of a user's keyring by that user.
fn forget_key(suite: &Suite, stage: &Stage) {
    let Some(key) = stage.victim.key else { return };
    let child = sys::fork(|| {
        let _ = suite.confine.enter(Role::Victim, stage);
        let ring = libc::KEY_SPEC_USER_KEYRING;
        let _ = call!(libc::SYS_keyctl, libc::KEYCTL_UNLINK, key, ring);
        0
    });
    if let Ok(child) = child {
        let _ = waitpid(child, None);
    }
}

/// Removes what outlives a process: System V and POSIX objects.
fn clean_up(victim: &Victim) {
    if let Some(id) = victim.shm {
        let _ = call!(libc::SYS_shmctl, id, libc::IPC_RMID, 0);
    }
    if let Some(id) = victim.sem {
        let _ = call!(libc::SYS_semctl, id, 0, libc::IPC_RMID, 0);
    }
    if let Some(id) = victim.msg {
        let _ = call!(libc::SYS_msgctl, id, libc::IPC_RMID, 0);
    }
    if let Some(path) = &victim.posix_shm {
        let _ = std::fs::remove_file(path);
    }
    if let Some(name) = &victim.mq {
        let _ = call!(libc::SYS_mq_unlink, &sys::text(Path::new(name)));
    }
}

/// Removes a folder, also one whose modes an attack has changed.
pub(super) fn remove(folder: &Path) {
    if std::fs::remove_dir_all(folder).is_ok() {
        return;
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let _ = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700));
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    let _ = std::fs::remove_dir_all(folder);
}
