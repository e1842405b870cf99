//! One host at a time in a run's folder, and none before the agents of the last one are gone.
//!
//! Must not know what the run is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

/// The file that is locked; it says who holds it.
const NAME: &str = "run.lock";
/// How long the processes of an earlier host may take to end: their keepers give them two seconds before they kill.
const GOING: Duration = Duration::from_secs(10);

/// The lock on a run's folder. The kernel gives it back with the process, however that ends.
#[derive(Debug)]
pub struct RunLock {
    _file: Flock<File>,
}

/// Why a run's folder cannot be had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another host has it.
    #[error("{}: another host is at it ({who}); wait for its end, or stop it", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
        /// Who, in the words that it wrote.
        who: String,
    },
    /// Agents of an earlier host live on.
    #[error("{}: processes of an earlier host are still in it ({}); end them first", path.display(), list(.pids))]
    Peopled {
        /// The folder.
        path: PathBuf,
        /// Their numbers.
        pids: Vec<u32>,
    },
    /// The system refused.
    #[error("locking {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn list(pids: &[u32]) -> String {
    let words: Vec<String> = pids.iter().take(8).map(|pid| format!("{pid}")).collect();
    format!("pid {}", words.join(", "))
}

impl RunLock {
    /// Locks a folder that is there.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(folder: &Path) -> Result<RunLock, LockError> {
        let path = folder.join(NAME);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut who = String::new();
                let _ = (&mut file).take(200).read_to_string(&mut who);
                let who = match who.trim() {
                    "" => "it has not said who".to_owned(),
                    who => who.to_owned(),
                };
                let path = folder.to_owned();
                return Err(LockError::Held { path, who });
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        };
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "pid {} since {now} UTC", std::process::id()));
        written.map_err(failed)?;
        Ok(RunLock { _file: file })
    }
}

/// Waits until no process lives in the seats' folders of a run.
///
/// # Errors
/// Some do not end; see [`LockError::Peopled`].
pub fn await_gone(folder: &Path) -> Result<(), LockError> {
    // Where other users may not pass, the seats' folders lie elsewhere, with a link here.
    let Ok(seats) = std::fs::canonicalize(folder.join("agents")) else {
        return Ok(());
    };
    let began = Instant::now();
    loop {
        let pids = living(&seats);
        if pids.is_empty() {
            return Ok(());
        }
        if began.elapsed() > GOING {
            let path = folder.to_owned();
            return Err(LockError::Peopled { path, pids });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes whose working folder lies in `seats`. Those of other users can be seen by root alone.
fn living(seats: &Path) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let is_there = |pid: &u32| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(seats))
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_there)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_at_a_time_and_the_other_is_told_who() {
        let folder = std::env::temp_dir().join(format!("formicarium-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let held = RunLock::take(&folder).expect("free");
        let error = RunLock::take(&folder).expect_err("held").to_string();
        let who = format!("pid {} since ", std::process::id());
        assert!(error.contains(&who), "{error}");
        drop(held);
        RunLock::take(&folder).expect("free again");
        await_gone(&folder).expect("nobody is there");
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
