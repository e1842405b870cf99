//! Seats are kept apart by the kernel: one tries everything against another, against the host and the machine, and does
//! its own work. At level `landlock` the whole case runs as a user that is not root.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use formicarium_agents::isolation::uid::{self, Claim, UidRange};
use formicarium_agents::isolation::{Isolation, Level};
use formicarium_agents::{Blame, FaultKind, Phase, Program};
use serde_json::Value;

use super::stage::{Stage, Start, block_on, folder_of, misbehaver, processes_of, run_mark};

/// A variable of the host that no agent may see.
pub const SECRET: (&str, &str) = ("FORMICARIUM_TEST_SECRET", "the-key-of-the-host");

/// What `landlock` does not hold, as docs/isolation.md says: rights and times of files that belong to the same user, and
/// the numbers (not the files) of descriptors.
const SAME_USER: [&str; 5] = [
    "chmod a file",
    "chmod the workspace",
    "descriptor numbers of the victim",
    "descriptor numbers of the keeper",
    "descriptor numbers of the host",
];

/// Isolations for seats, with the claims that hold their users.
pub fn isolations(level: Level, count: usize) -> (Vec<Isolation>, Vec<Claim>) {
    match level {
        Level::Uid => {
            let claims = uid::claim(UidRange::DEFAULT, count, uid::CLAIMS.as_ref()).unwrap();
            let isolations = claims
                .iter()
                .map(|claim| Isolation::uid(claim.owner()))
                .collect();
            (isolations, claims)
        }
        Level::Landlock => (vec![Isolation::LANDLOCK; count], Vec::new()),
        Level::Advisory => (vec![Isolation::ADVISORY; count], Vec::new()),
    }
}

fn intruder(words: &[String]) -> Program {
    let mut program = Program::new("python3");
    // Not from where it stands: other users may not come there.
    let folder = folder_of(std::process::id());
    let script = folder.join("intruder.py");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&script, include_str!("intruder.py")).unwrap();
    program.files = vec![(script, "intruder.py".into())];
    program.args = std::iter::once("intruder.py".to_owned())
        .chain(words.iter().cloned())
        .collect();
    program
}

pub fn uid_attack(start: Start) {
    attack(start, Level::Uid);
}

pub fn landlock_attack(start: Start) {
    attack(start, Level::Landlock);
}

fn attack(start: Start, level: Level) {
    let listener = || TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (open, shut) = (listener(), listener());
    let name = format!("formicarium-{}", std::process::id());
    let _abstract =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let shared = start.folder.join("shared");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::write(shared.join("text"), "shared").unwrap();
    let mut attacker = intruder(&[
        "attack".into(),
        port(&open).to_string(),
        port(&shut).to_string(),
        name.clone(),
        shared.to_str().unwrap().into(),
        std::process::id().to_string(),
    ]);
    attacker.connect = vec![port(&open)];
    let victim = intruder(&["victim".into(), name]);
    let (mut isolations, claims) = isolations(level, 2);
    for isolation in &mut isolations {
        isolation.shared = Some(shared.clone());
    }
    let folder = start.folder.join("agents/attacker/workspace");
    let mine = start.folder.join("agents/victim/workspace/mine");
    block_on(async {
        let programs = vec![("attacker".into(), attacker), ("victim".into(), victim)];
        let mut stage = Stage::open_isolated(start, programs, isolations).await;
        assert!(stage.all_ready(30_000).await, "{:?}", stage.troubles());
        stage.observe(1, 10);
        let acted = stage
            .until(60_000, |seen| {
                seen.values().all(|seen| seen.acts.last() == Some(&1))
            })
            .await;
        assert!(acted, "{:?}", stage.troubles());
        let report = std::fs::read_to_string(folder.join("report.json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        judge(&report, level);
        assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
        stage.agents.shutdown(Duration::from_secs(2)).await;
    });
    if let Some(claim) = claims.first() {
        assert_ne!(claim.owner().uid, 0);
    }
}

fn judge(report: &Value, level: Level) {
    let cases = |kind: &str| -> Vec<(String, String)> {
        report[kind]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, came)| (name.clone(), came.as_str().unwrap().to_owned()))
            .collect()
    };
    let (attacks, works) = (cases("attacks"), cases("works"));
    assert!(attacks.len() > 90 && works.len() > 10, "{report:#}");
    let refused = |came: &str| {
        matches!(
            came,
            "EACCES" | "EPERM" | "EXDEV" | "ENOSYS" | "EAFNOSUPPORT" | "EROFS" | "ESRCH" | "ENXIO"
        )
    };
    let failed: Vec<_> = attacks
        .iter()
        .filter(|(name, came)| {
            let excepted = level == Level::Landlock && SAME_USER.contains(&name.as_str());
            // An exception that has gone is one to be taken out of the documents.
            refused(came) == excepted
        })
        .chain(works.iter().filter(|(_, came)| came != "done"))
        .collect();
    assert!(failed.is_empty(), "{level}: {failed:#?}");
    let status = report["status"].as_str().unwrap();
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    if level == Level::Uid {
        assert_eq!(report["groups"], serde_json::json!([]));
    }
    println!(
        "{level}: {} attacks refused, {} works done",
        attacks.len(),
        works.len()
    );
}

/// How many processes these users have.
fn processes_as(users: &[u32]) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let owner = entry.metadata().map(|found| found.uid());
            owner.is_ok_and(|owner| users.contains(&owner))
        })
        .count()
}

pub fn uid_leftovers(start: Start) {
    leftovers(start, Level::Uid);
}

pub fn landlock_leftovers(start: Start) {
    leftovers(start, Level::Landlock);
}

/// Nothing that a seat leaves behind outlives it: daemons, big families, processes that are never there for long.
fn leftovers(start: Start, level: Level) {
    let (isolations, claims) = isolations(level, 4);
    block_on(async {
        let programs = vec![
            ("daemon".into(), misbehaver("daemon")),
            ("bomb".into(), misbehaver("fork-bomb 5")),
            ("hop".into(), intruder(&["hop".into()])),
            ("good".into(), misbehaver("good")),
        ];
        let mut stage = Stage::open_isolated(start, programs, isolations).await;
        assert!(stage.all_ready(30_000).await, "{:?}", stage.troubles());
        stage.observe(2, 10);
        let acted = stage
            .until(30_000, |seen| {
                seen.values().all(|seen| seen.acts.last() == Some(&2))
            })
            .await;
        assert!(acted, "{:?}", stage.troubles());
        for seat in 0..3 {
            stage.agents.stop(seat, "it is enough");
        }
        let ended = stage
            .until(30_000, |seen| {
                (0..3).all(|seat| seen[&seat].phase() == Some(Phase::Exited))
            })
            .await;
        assert!(ended, "{:?}", stage.troubles());
        let (mark, users): (_, Vec<u32>) = (
            run_mark(&stage.run),
            claims.iter().map(|claim| claim.owner().uid).collect(),
        );
        // A root without CAP_SYS_PTRACE, as in a container, reads no environment of another user.
        let left = || match level {
            Level::Uid => processes_as(&users),
            _ => processes_of(&mark).len(),
        };
        assert_eq!(left(), 1, "the good one alone is left");
        stage.agents.shutdown(Duration::from_secs(2)).await;
        assert_eq!(left(), 0);
    });
}

/// Limits end what they are for and nothing else: a seat over its files, one whose program wants too much memory, one that
/// writes too big a file.
pub fn limits(start: Start) {
    let level = match nix::unistd::geteuid().is_root() {
        true => Level::Uid,
        false => Level::Landlock,
    };
    let (isolations, _claims) = isolations(level, 4);
    block_on(async {
        let mut many = intruder(&["many".into()]);
        many.limits.workspace_files = Some(100);
        let mut memory = intruder(&["memory".into()]);
        memory.limits.memory_bytes = Some(256 << 20);
        let mut big = intruder(&["big".into()]);
        big.limits.file_bytes = Some(1 << 20);
        let programs = vec![
            ("many".into(), many),
            ("memory".into(), memory),
            ("big".into(), big),
            ("good".into(), misbehaver("good")),
        ];
        let workspaces = start.folder.join("agents");
        let mut stage = Stage::open_isolated(start, programs, isolations).await;
        assert!(stage.all_ready(30_000).await, "{:?}", stage.troubles());
        stage.observe(1, 10);
        let ended = stage
            .until(60_000, |seen| seen[&0].phase() == Some(Phase::Exited))
            .await;
        assert!(ended, "{:?}", stage.troubles());
        let fault = &stage.seen[&0].faults[0];
        assert_eq!(
            (fault.kind, fault.blame),
            (FaultKind::OverLimit, Blame::Agent)
        );
        assert!(fault.detail.contains("100 files"), "{}", fault.detail);
        let acted = stage
            .until(30_000, |seen| {
                (1..4).all(|seat| seen[&seat].acts.last() == Some(&1))
            })
            .await;
        assert!(acted, "{:?}", stage.troubles());
        for (seat, word) in [("memory", "MemoryError"), ("big", "EFBIG")] {
            let said = std::fs::read_to_string(workspaces.join(seat).join("workspace/said"));
            assert_eq!(said.unwrap(), word, "{seat}");
        }
        stage.agents.shutdown(Duration::from_secs(2)).await;
    });
}

pub fn uid_cost(start: Start) {
    cost(start, Level::Uid);
}

pub fn landlock_cost(start: Start) {
    cost(start, Level::Landlock);
}

pub fn advisory_cost(start: Start) {
    cost(start, Level::Advisory);
}

fn cost(start: Start, level: Level) {
    const AGENTS: usize = 100;
    let (isolations, _claims) = isolations(level, AGENTS);
    block_on(async {
        let programs = (0..AGENTS)
            .map(|at| (format!("seat-{at}"), misbehaver("good")))
            .collect();
        let from = Instant::now();
        let mut stage = Stage::open_isolated(start, programs, isolations).await;
        assert!(stage.all_ready(60_000).await, "{:?}", stage.troubles());
        println!("{level}: {AGENTS} agents started in {:?}", from.elapsed());
        stage.agents.shutdown(Duration::from_secs(5)).await;
    });
}
