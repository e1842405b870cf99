//! `formicarium doctor`: which agent programs this machine has, what a seat of each needs, how many fit, and how seats
//! can be kept apart here.
//!
//! Looks and reports; changes nothing.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use formicarium_agents::isolation::Level;
use formicarium_agents::isolation::probe::{Finding, Probe, Right};
use formicarium_agents::isolation::reach::closed_to_others;
use formicarium_agents::isolation::uid::UidRange;
use formicarium_agents::workspace::command::search_folders;
use serde::Serialize;

use super::{Exit, attack};
use crate::run::seclusion::Wanted;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print one JSON object on standard output instead of a report.
    #[arg(long)]
    json: bool,
    /// Users that seats may have, at isolation level uid.
    #[arg(long, value_name = "FIRST-LAST", default_value_t = UidRange::DEFAULT)]
    uids: UidRange,
    /// Try the attacks of the escape suite on this machine (docs/escape-suite.md); exits 0 if all was as documented. A
    /// word chooses the cases that have it in their names.
    #[arg(long, value_name = "CASES", num_args = 0..=1, default_missing_value = "")]
    attack: Option<String>,
    /// The level that the attacks are tried against, instead of the one that a run would have.
    #[arg(long, value_enum, requires = "attack")]
    isolation: Option<Wanted>,
}

/// An agent program and what a seat of it needs.
struct Known {
    command: &'static str,
    title: &'static str,
    install: &'static str,
    /// Memory of its own that a seat was measured to take, in MB (BENCHMARKS.md); none where nothing was measured.
    measured_mb: Option<u64>,
    /// What its maker says to plan: memory in MB, disk in MB, cores.
    planned: Option<(u64, u64, f64)>,
}

/// Planned figures of Claude Code: the Claude Agent SDK's hosting guide (1 GiB, 5 GiB, 1 core an agent).
const KNOWN: [Known; 6] = [
    Known {
        command: "formicarium-player",
        title: "the shipped players",
        install: "cargo build --release",
        measured_mb: Some(1),
        planned: None,
    },
    Known {
        command: "claude",
        title: "Claude Code",
        install: "make agents",
        measured_mb: Some(125),
        planned: Some((1024, 5 * 1024, 1.0)),
    },
    Known {
        command: "claude-acp",
        title: "Claude over ACP",
        install: "make agents",
        measured_mb: None,
        planned: Some((1024, 5 * 1024, 1.0)),
    },
    Known {
        command: "gemini",
        title: "Gemini CLI (over ACP)",
        install: "its maker's instructions",
        measured_mb: None,
        planned: None,
    },
    Known {
        command: "python3",
        title: "Python",
        install: "your system's packages",
        measured_mb: Some(10),
        planned: None,
    },
    Known {
        command: "node",
        title: "Node",
        install: "your system's packages",
        measured_mb: Some(45),
        planned: None,
    },
];

#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    memory_mb: u64,
    available_mb: u64,
    disk_mb: u64,
    open_files: u64,
}

#[derive(Debug, Serialize)]
struct Found {
    command: &'static str,
    title: &'static str,
    path: Option<PathBuf>,
    version: Option<String>,
    install: &'static str,
    measured_mb: Option<u64>,
    planned_mb: Option<u64>,
    fits_as_measured: Option<u64>,
    fits_as_planned: Option<u64>,
}

/// How seats can be kept apart here.
#[derive(Debug, Serialize)]
struct Apart {
    /// What `run` takes by itself.
    level: &'static str,
    /// Whether it can be enforced.
    enforced: bool,
    /// The strongest that can be.
    best: &'static str,
    rights: Vec<Finding>,
    /// The folder that keeps seats' users from the host's own programs.
    programs_closed_by: Option<PathBuf>,
    /// The folder that keeps seats' users from runs made here, whose seats' folders then lie elsewhere.
    runs_closed_by: Option<PathBuf>,
}

fn isolation(uids: UidRange) -> Apart {
    let probe = Probe::new(uids);
    let level = match nix::unistd::geteuid().is_root() {
        true => Level::Uid,
        false => Level::Landlock,
    };
    let closed = |folder: Option<PathBuf>| match level {
        Level::Uid => folder.as_deref().and_then(closed_to_others),
        _ => None,
    };
    let own = std::env::current_exe().ok();
    Apart {
        level: level.word(),
        enforced: probe.missing(level).is_empty(),
        best: probe.best().word(),
        programs_closed_by: closed(own.and_then(|own| Some(own.parent()?.to_owned()))),
        runs_closed_by: closed(std::env::current_dir().ok()),
        rights: probe.findings,
    }
}

fn show(apart: &Apart) {
    println!("\nisolation (docs/isolation.md):");
    for finding in &apart.rights {
        println!(
            "  {:36} {:4} {}",
            finding.right.words(),
            if finding.held { "yes" } else { "no" },
            finding.reason
        );
        if !finding.held && finding.right != Right::Cgroup {
            println!("  {:41} to have it: {}", "", finding.right.remedy());
        }
    }
    match apart.enforced {
        true => println!("  a run here has the level {}", apart.level),
        false => println!(
            "  a run here wants the level {} and ends, since it cannot be enforced; --isolation best gives {}",
            apart.level, apart.best
        ),
    }
    if let Some(folder) = &apart.programs_closed_by {
        println!(
            "  seats cannot run the programs beside this one: other users may not enter {}; install it elsewhere, or chmod o+x",
            folder.display()
        );
    }
    if let Some(folder) = &apart.runs_closed_by {
        println!(
            "  seats' folders of runs made here lie below /var/lib/formicarium: other users may not enter {}",
            folder.display()
        );
    }
}

pub(super) fn run(args: &DoctorArgs) -> Exit {
    if let Some(only) = &args.attack {
        return attack::run(args.isolation, args.uids, Some(only), args.json);
    }
    // First: it forks, which only a process with one thread may do.
    let isolation = isolation(args.uids);
    let machine = machine();
    let found: Vec<Found> = KNOWN.iter().map(|known| look(known, &machine)).collect();
    let key = std::env::var("ANTHROPIC_API_KEY").is_ok_and(|key| !key.is_empty());
    if args.json {
        println!(
            "{}",
            serde_json::json!({"machine": machine, "agents": found, "anthropic_api_key": key, "isolation": isolation})
        );
        return Exit::Good;
    }
    println!(
        "this machine: {} cores, {} MB of memory ({} MB free), {} MB of disk here, {} open files",
        machine.cores, machine.memory_mb, machine.available_mb, machine.disk_mb, machine.open_files
    );
    println!(
        "a key for Claude (ANTHROPIC_API_KEY): {}\n",
        if key {
            "set"
        } else {
            "not set; Claude seats need it"
        }
    );
    for found in &found {
        match (&found.path, &found.version) {
            (Some(path), version) => {
                let version = version
                    .as_ref()
                    .map_or(String::new(), |version| format!(" ({version})"));
                println!("  {:24} {}{version}", found.title, path.display());
            }
            (None, _) => println!("  {:24} not found; install: {}", found.title, found.install),
        }
        if let (Some(mb), Some(fits)) = (found.measured_mb, found.fits_as_measured) {
            println!(
                "  {:24}   measured {mb} MB a seat: {fits} fit in free memory",
                ""
            );
        }
        if let (Some(mb), Some(fits)) = (found.planned_mb, found.fits_as_planned) {
            println!(
                "  {:24}   planned  {mb} MB, disk and cores a seat as its maker says: {fits} fit",
                ""
            );
        }
    }
    show(&isolation);
    Exit::Good
}

fn look(known: &Known, machine: &Machine) -> Found {
    let path = search_folders()
        .into_iter()
        .map(|folder| folder.join(known.command))
        .find(|path| path.is_file());
    let version = path.as_ref().and_then(version);
    let planned = known.planned.map(|(memory, disk, cores)| {
        (machine.available_mb / memory)
            .min(machine.disk_mb / disk)
            .min((machine.cores as f64 / cores) as u64)
    });
    Found {
        command: known.command,
        title: known.title,
        path,
        version,
        install: known.install,
        measured_mb: known.measured_mb,
        planned_mb: known.planned.map(|(memory, _, _)| memory),
        fits_as_measured: known.measured_mb.map(|mb| machine.available_mb / mb),
        fits_as_planned: planned,
    }
}

/// The first line that `PROGRAM --version` prints; none if it takes longer than five seconds.
fn version(path: &PathBuf) -> Option<String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut child = Command::new(path)
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .ok()?;
    let begin = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.chars().take(80).collect())
}

fn machine() -> Machine {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = |key: &str| {
        let line = meminfo.lines().find(|line| line.starts_with(key));
        let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kb.unwrap_or(0) / 1024
    };
    let disk = nix::sys::statvfs::statvfs(".").map_or(0, |disk| {
        disk.blocks_available() * disk.fragment_size() / (1 << 20)
    });
    let files = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    Machine {
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_mb: memory("MemTotal:"),
        available_mb: memory("MemAvailable:"),
        disk_mb: disk,
        open_files: files.map_or(0, |(_, hard)| hard),
    }
}
