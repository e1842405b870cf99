//! Many runs of one scenario on this machine: casts, a grid of parameters and seeds, each run a process of its own.
//!
//! `read` reads SWEEP.toml and checks all of it, `grid` makes its cells, `state` tells how far a cell's run is, `drive`
//! starts the runs, `table` gathers them into one Parquet file, `plot` draws that. Knows runs by their command line and their
//! recordings only; must not know what happens inside of one. docs/sweep.md is for its users.

pub mod drive;
pub mod grid;
pub mod plot;
pub mod read;
pub mod state;
pub mod table;

use std::io;
use std::path::PathBuf;

use formicarium_engine::{Bundle, Diagnostic, Params, Scenario};
use thiserror::Error;

use crate::cast::CastError;
use crate::library::LibraryError;
use crate::recorder::RecorderError;
use crate::run::lock::LockError;
use crate::run::prompt::PromptError;

/// A sweep, checked.
#[derive(Debug)]
pub struct Sweep {
    /// Its name: that of its file without the ending.
    pub name: String,
    /// The scenario as `run` is told of it: an absolute folder, or the name of a shipped one.
    pub scenario_argument: String,
    /// Its files.
    pub bundle: Bundle,
    /// The scenario.
    pub scenario: Scenario,
    /// Its digest, hexadecimal.
    pub digest: String,
    /// Last tick; none: as the scenario says.
    pub ticks: Option<u64>,
    /// Longest wait for answers, in milliseconds; none: as cast or scenario say.
    pub deadline_ms: Option<u64>,
    /// Isolation level, as `run --isolation` has it.
    pub isolation: Option<String>,
    /// Runs at once; none: one for each core.
    pub jobs: Option<usize>,
    /// Folder of the results as the file names it.
    pub out: Option<PathBuf>,
    /// Its runs, in their order.
    pub cells: Vec<Cell>,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its name, and that of its folder: cast, varied parameters, seed.
    pub name: String,
    /// The cast.
    pub cast: String,
    /// BLAKE3 of the cast's text, hexadecimal.
    pub cast_digest: String,
    /// Parameters that are set, as text.
    pub set: Vec<(String, String)>,
    /// All parameters with their values.
    pub params: Params,
    /// Seed of the world.
    pub seed: u64,
    /// Last tick of the run; 0 = no end.
    pub ticks: u64,
}

/// Why a sweep cannot go on.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file is broken.
    #[error("the sweep is broken")]
    Broken(Vec<Diagnostic>, Bundle),
    /// Its scenario, or a cast of it, is broken.
    #[error("{what} is broken")]
    Scenario {
        /// Which, and with which parameters.
        what: String,
        /// The faults.
        list: Vec<Diagnostic>,
        /// The scenario's files.
        bundle: Bundle,
    },
    /// Its scenario is not there.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A cast that cannot seat everybody.
    #[error("with {cell}: {source}")]
    Cast {
        /// Which parameters.
        cell: String,
        /// What is wrong.
        source: CastError,
    },
    /// A prompt of its scenario that cannot be made.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Another sweep, or another program, is at it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What stands in a run's folder was asked for otherwise.
    #[error(
        "{dir} holds a run of another sweep: {why}. Name another folder with --out, or remove this one", dir = .dir.display()
    )]
    Other {
        /// The run's folder.
        dir: PathBuf,
        /// The difference.
        why: String,
    },
    /// What stands in a run's folder cannot be read.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// A plot that cannot be drawn.
    #[error("{0}")]
    Plot(String),
}

impl SweepError {
    /// For `map_err` on a path.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> SweepError {
        let path = path.into();
        move |source| SweepError::Io { path, source }
    }
}
