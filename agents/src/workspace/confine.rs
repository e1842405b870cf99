//! What a seat's process may reach: made of its folders, its program, and what the host decided.
//!
//! Must not apply anything, nor know how it is enforced.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Workspace;
use crate::isolation::{Isolation, Level, Plan, Rlimits};
use crate::plan::Program;

/// The confinement of a seat's process.
pub fn plan(isolation: &Isolation, program: &Program, at: &Workspace) -> Plan {
    let limits = &program.limits;
    let rlimits = Rlimits {
        memory_bytes: limits.memory_bytes,
        // Counted for each user: without one of the seat's own it would count the host and all other seats.
        processes: limits.processes.filter(|_| isolation.owner.is_some()),
        files: limits.files,
        file_bytes: limits.file_bytes,
        cpu_seconds: limits.cpu_seconds,
    };
    if isolation.level == Level::Advisory {
        return Plan {
            limits: rlimits,
            ..Plan::ADVISORY
        };
    }
    // A program that the cast names by its path is meant to be run; its folder is not thereby meant to be read.
    let named = Some(PathBuf::from(&program.command)).filter(|path| path.is_absolute());
    Plan {
        level: isolation.level,
        owner: isolation.owner,
        read: [at.program.clone()]
            .into_iter()
            .chain(isolation.shared.clone())
            .chain(host_programs().iter().cloned())
            .chain(named)
            .chain(program.read.iter().cloned())
            .collect(),
        write: vec![at.workspace.clone(), at.home.clone(), at.tmp.clone()],
        ports: program
            .connect
            .iter()
            .copied()
            .chain(program.adapter.model_port())
            .collect(),
        limits: rlimits,
    }
}

/// Programs that come with the host: itself (it is the bridge to a seat's tools), the players, what `make agents`
/// installs. Not its whole folder: that may be somebody's home.
fn host_programs() -> &'static [PathBuf] {
    static PROGRAMS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let Ok(own) = std::env::current_exe() else {
            return Vec::new();
        };
        let beside = own.parent().unwrap_or(Path::new("/"));
        let agents = beside.parent().unwrap_or(beside).join("agents");
        [beside.join("formicarium-player"), agents, own.clone()]
            .into_iter()
            .filter(|path| path.exists())
            .collect()
    })
}
