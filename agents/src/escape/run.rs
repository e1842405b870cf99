//! Runs cases: each in a fresh scene, by a fresh process, with a time limit.
//!
//! Must not know single attacks, nor how a level confines.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;

use super::case::{Case, Outcome};
use super::confine::Confine;
use super::report::{Exception, Report, Row};
use super::scene::{self, Lines};
use super::sys;
use crate::process::tree;

/// A level to be tried, and what it is documented not to hold.
pub struct Suite<'a> {
    /// The level.
    pub confine: &'a dyn Confine,
    /// What is documented; entries of other levels are ignored.
    pub exceptions: &'a [Exception],
    /// Where scenes are made: an absolute path, short, whose parents every user may pass. It is made and removed again.
    pub folder: &'a Path,
    /// After which an attack counts as hanging.
    pub limit: Duration,
}

/// Why the suite could not run at all.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Forked processes would miss the locks of other threads.
    #[error("the escape suite has to start before the first thread of this process")]
    Threads,
    /// Without the list of children no tree can be ended.
    #[error(
        "this kernel does not list children in /proc (CONFIG_PROC_CHILDREN); the suite could leave processes behind"
    )]
    Children,
    /// Names of path sockets in it would be too long, or it is relative.
    #[error("{0}: the suite's folder must be an absolute path of at most 60 bytes")]
    Folder(String),
    /// The folder.
    #[error("cannot make {0}: {1}")]
    Make(String, std::io::Error),
    /// An entry of the table of exceptions.
    #[error("the exception {0} names no case of the suite")]
    Exception(&'static str),
}

impl Suite<'_> {
    /// Runs cases one after another, and tells `told` of each.
    ///
    /// # Errors
    /// See [`SuiteError`]. What goes wrong in a case is a row of the report.
    pub fn run(&self, cases: &[Case], mut told: impl FnMut(&Row)) -> Result<Report, SuiteError> {
        let path = self.folder.display().to_string();
        if std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count) != 1 {
            return Err(SuiteError::Threads);
        }
        if !tree::is_listed() {
            return Err(SuiteError::Children);
        }
        if !self.folder.is_absolute() || path.len() > 60 {
            return Err(SuiteError::Folder(path));
        }
        let known = super::cases();
        if let Some(stray) = self
            .exceptions
            .iter()
            .find(|e| known.iter().all(|c| c.name != e.case))
        {
            return Err(SuiteError::Exception(stray.case));
        }
        std::fs::create_dir(self.folder).map_err(|e| SuiteError::Make(path, e))?;
        let mut rows = Vec::with_capacity(cases.len());
        for case in cases {
            let began = Instant::now();
            let exception = self
                .exceptions
                .iter()
                .find(|e| e.level == self.confine.level() && e.case == case.name);
            let mut row = Row::judge(case.name, self.run_in_manager(case), exception);
            row.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            told(&row);
            rows.push(row);
        }
        scene::remove(self.folder);
        Ok(Report {
            level: self.confine.level().to_owned(),
            rows,
        })
    }

    /// A process for each case stands between: it is the subreaper of all that the case starts, and takes with it
    /// whatever state the case leaves in the runner.
    fn run_in_manager(&self, case: &Case) -> Result<Outcome, String> {
        let (mut lines, report) = Lines::pipe()?;
        let manager = sys::fork(|| {
            sys::die_with_parent();
            let outcome = scene::play(self, case);
            scene::tell(&report, &outcome);
            0
        })
        .map_err(|e| format!("cannot fork: {e}"))?;
        drop(report);
        // The scene has limits of its own for each of its steps; this one is for a fault of the suite.
        let line = lines.next(self.limit + Duration::from_secs(45));
        if line.is_err() {
            tree::kill_all(&[manager]);
            let _ = kill(manager, Signal::SIGKILL);
        }
        let status = waitpid(manager, None);
        let line = line.map_err(|e| format!("the suite's own process failed: {e} ({status:?})"))?;
        serde_json::from_str::<Result<Outcome, String>>(&line)
            .map_err(|e| format!("the suite's own process told {line:?}: {e}"))?
    }
}
