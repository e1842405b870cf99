//! Starts the runs of a sweep, some at once, each a process of this binary, and waits for them.
//!
//! What has been done is known from the recordings alone: a sweep that is killed at any moment goes on by the same command.
//! Must not know what is in a run, nor how results are shown.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::state::{self, State};
use super::{Cell, Sweep, SweepError};
use crate::run::lock::{LockError, RunLock};

/// This program, whatever became of its file.
pub const SELF: &str = "/proc/self/exe";
/// How long the host of a sweep that was killed may take to end its run.
const GOING: Duration = Duration::from_secs(60);
/// Bytes at the end of a run's log in which its last words are looked for.
const LOG_TAIL: u64 = 8 << 10;
/// Lines that are last words.
const LAST_LINES: usize = 4;
/// Characters of last words at most.
const WORDS_MOST: usize = 1000;

/// How a sweep stands before it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Start {
    /// All runs.
    pub total: usize,
    /// Runs that have ended.
    pub ended: usize,
    /// Runs that ended because all their agents were gone; they are not tried again.
    pub deserted: usize,
    /// Runs to go on with.
    pub open: usize,
    /// Runs at once.
    pub jobs: usize,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end.
    Ended,
    /// It did not; its last words.
    Failed(String),
    /// The sweep was stopped before it could.
    Stopped,
}

/// What became of a sweep.
#[derive(Debug, Default)]
pub struct Done {
    /// Runs that came to their end now.
    pub ended: usize,
    /// Runs that failed, by their place in the sweep, with their last words.
    pub failures: Vec<(usize, String)>,
    /// Whether it was stopped.
    pub stopped: bool,
}

/// Who is told how it goes.
pub trait Watcher {
    /// Before the first run.
    fn begins(&mut self, start: Start);
    /// A run is over.
    fn over(&mut self, outcome: &Outcome);
    /// Some time has passed.
    fn beat(&mut self);
    /// The sweep is being stopped.
    fn stops(&mut self);
}

/// The folder of a sweep's results, held so that no other sweep comes in.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub out: PathBuf,
    _lock: RunLock,
}

impl Place {
    /// Makes and locks the folder.
    ///
    /// # Errors
    /// Another sweep has it, or it cannot be made.
    pub fn take(out: &Path) -> Result<Place, SweepError> {
        let out = std::path::absolute(out).map_err(SweepError::io(out))?;
        let runs = out.join("runs");
        fs::create_dir_all(&runs).map_err(SweepError::io(&runs))?;
        let lock = RunLock::take(&out)?;
        Ok(Place { out, _lock: lock })
    }

    fn dir(&self, cell: &Cell) -> PathBuf {
        self.out.join("runs").join(&cell.name)
    }

    fn log(&self, cell: &Cell) -> PathBuf {
        self.out.join("runs").join(format!("{}.log", cell.name))
    }
}

/// What the threads that start runs share.
struct Shared {
    todo: VecDeque<usize>,
    /// Processes that are running and not waited for, so that their numbers are theirs.
    running: BTreeMap<usize, Pid>,
    stopping: bool,
}

/// Runs what has not ended yet.
///
/// # Errors
/// A folder holds a run of another sweep, or cannot be read; nothing was started then.
pub fn drive(
    sweep: &Sweep,
    place: &Place,
    jobs: usize,
    watcher: &mut impl Watcher,
) -> Result<Done, SweepError> {
    let mut start = Start {
        total: sweep.cells.len(),
        ..Start::default()
    };
    let mut todo = VecDeque::new();
    let mut done = Done::default();
    for (index, cell) in sweep.cells.iter().enumerate() {
        match state::look(sweep, cell, &place.dir(cell))? {
            State::Ended(_) => start.ended += 1,
            State::Deserted(words) => {
                start.deserted += 1;
                done.failures.push((index, words));
            }
            State::Open => {
                start.open += 1;
                todo.push_back(index);
            }
            State::New | State::Unbegun => todo.push_back(index),
        }
    }
    start.jobs = jobs.clamp(1, todo.len().max(1));
    watcher.begins(start);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SweepError::io(&place.out))?;
    let shared = Mutex::new(Shared {
        todo,
        running: BTreeMap::new(),
        stopping: false,
    });
    Ok(thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel(start.jobs);
        for _ in 0..start.jobs {
            let (sender, shared) = (sender.clone(), &shared);
            scope.spawn(move || work(sweep, place, shared, &sender));
        }
        drop(sender);
        runtime.block_on(watch(&shared, receiver, watcher, done))
    }))
}

fn hold(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes run after run until none is left or the sweep is stopped.
fn work(
    sweep: &Sweep,
    place: &Place,
    shared: &Mutex<Shared>,
    told: &mpsc::Sender<(usize, Outcome)>,
) {
    loop {
        let next = {
            let mut shared = hold(shared);
            match shared.stopping {
                true => None,
                false => shared.todo.pop_front(),
            }
        };
        let Some(index) = next else { return };
        let outcome = match one(sweep, place, shared, index) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        if told.blocking_send((index, outcome)).is_err() {
            return;
        }
    }
}

/// Tells the watcher, and passes a wish to stop on to the runs.
async fn watch(
    shared: &Mutex<Shared>,
    mut news: mpsc::Receiver<(usize, Outcome)>,
    watcher: &mut impl Watcher,
    mut done: Done,
) -> Done {
    // Without these a signal ends this process, and with it its runs: nothing is lost.
    let mut wishes = (
        signal(SignalKind::interrupt()).ok(),
        signal(SignalKind::terminate()).ok(),
    );
    let mut clock = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            news = news.recv() => {
                let Some((index, outcome)) = news else { break };
                watcher.over(&outcome);
                match outcome {
                    Outcome::Ended => done.ended += 1,
                    Outcome::Failed(words) => done.failures.push((index, words)),
                    Outcome::Stopped => {}
                }
            }
            () = wish(&mut wishes) => {
                if !done.stopped {
                    watcher.stops();
                }
                done.stopped = true;
                let mut shared = hold(shared);
                shared.stopping = true;
                for pid in shared.running.values() {
                    // Its own end may have come first.
                    let _ = kill(*pid, Signal::SIGTERM);
                }
            }
            _ = clock.tick() => watcher.beat(),
        }
    }
    done.failures.sort();
    done
}

type Wishes = (
    Option<tokio::signal::unix::Signal>,
    Option<tokio::signal::unix::Signal>,
);

async fn wish((interrupt, terminate): &mut Wishes) {
    let one = async |signal: &mut Option<tokio::signal::unix::Signal>| match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    };
    tokio::select! {
        () = one(interrupt) => {}
        () = one(terminate) => {}
    }
}

/// Brings one run to its end, as far as it can be.
fn one(
    sweep: &Sweep,
    place: &Place,
    shared: &Mutex<Shared>,
    index: usize,
) -> Result<Outcome, SweepError> {
    let cell = &sweep.cells[index];
    let (dir, log) = (place.dir(cell), place.log(cell));
    if !is_free(shared, &dir)? {
        return Ok(Outcome::Stopped);
    }
    let arguments = match state::look(sweep, cell, &dir)? {
        State::Ended(_) => return Ok(Outcome::Ended),
        State::Deserted(words) => return Ok(Outcome::Failed(words)),
        State::Open => resume_arguments(&dir),
        State::New => run_arguments(sweep, cell, &dir),
        State::Unbegun => {
            fs::remove_dir_all(&dir).map_err(SweepError::io(&dir))?;
            run_arguments(sweep, cell, &dir)
        }
    };
    let Some(status) = spawn_and_wait(shared, index, &arguments, &log)? else {
        return Ok(Outcome::Stopped);
    };
    match state::look(sweep, cell, &dir)? {
        State::Ended(_) => {
            let _ = fs::remove_file(&log);
            return Ok(Outcome::Ended);
        }
        State::Deserted(words) => return Ok(Outcome::Failed(words)),
        _ => {}
    }
    if hold(shared).stopping {
        return Ok(Outcome::Stopped);
    }
    Ok(Outcome::Failed(last_words(status, &log)))
}

/// Waits until no host is in a folder: one whose sweep was killed ends by itself. False if the sweep is being stopped.
fn is_free(shared: &Mutex<Shared>, dir: &Path) -> Result<bool, SweepError> {
    let began = Instant::now();
    while dir.exists() {
        if hold(shared).stopping {
            return Ok(false);
        }
        match RunLock::take(dir) {
            Ok(_) => break,
            Err(LockError::Held { .. }) if began.elapsed() < GOING => {
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run_arguments(sweep: &Sweep, cell: &Cell, dir: &Path) -> Vec<String> {
    let mut all = words(&["run", &sweep.scenario_argument, "--cast", &cell.cast]);
    let mut option = |name: &str, value: String| all.push(format!("--{name}={value}"));
    option("seed", cell.seed.to_string());
    for (name, value) in &cell.set {
        option("set", format!("{name}={value}"));
    }
    if let Some(ticks) = sweep.ticks {
        option("ticks", ticks.to_string());
    }
    if let Some(ms) = sweep.deadline_ms {
        option("deadline", format!("{ms}ms"));
    }
    if let Some(isolation) = &sweep.isolation {
        option("isolation", isolation.clone());
    }
    option("out", dir.to_string_lossy().into_owned());
    all.extend(words(&["--headless", "--json"]));
    all
}

fn resume_arguments(dir: &Path) -> Vec<String> {
    words(&["resume", &dir.to_string_lossy(), "--headless", "--json"])
}

/// Starts a run and waits for its end; none if the sweep is being stopped.
fn spawn_and_wait(
    shared: &Mutex<Shared>,
    index: usize,
    arguments: &[String],
    log: &Path,
) -> Result<Option<ExitStatus>, SweepError> {
    // Never through a link that somebody put there.
    let _ = fs::remove_file(log);
    let file = File::create_new(log).map_err(SweepError::io(log))?;
    let mut command = Command::new(SELF);
    command
        .arg0("formicarium")
        .args(["sweep", "child", &std::process::id().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        // Ctrl-C at a terminal is for the sweep, which passes it on once: a host takes a second one as haste.
        .process_group(0);
    let (mut child, pid) = {
        let mut shared = hold(shared);
        if shared.stopping {
            return Ok(None);
        }
        let child = command.spawn().map_err(SweepError::io(SELF))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        shared.running.insert(index, pid);
        (child, pid)
    };
    // Not yet taken away: until it is out of `running` its number must be its own.
    let end = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), end) == Err(Errno::EINTR) {}
    hold(shared).running.remove(&index);
    child.wait().map(Some).map_err(SweepError::io(SELF))
}

/// How a process ended, and the end of its log.
fn last_words(status: ExitStatus, log: &Path) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(0), _) => "it was stopped before its end".to_owned(),
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    };
    let lines = tail(log);
    let text = match lines.is_empty() {
        true => how,
        false => format!("{how}: {}", lines.join(" / ")),
    };
    text.chars().take(WORDS_MOST).collect()
}

fn tail(log: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines[from..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_end_of_the_log_and_say_how() {
        let log = std::env::temp_dir().join(format!("formicarium-words-{}", std::process::id()));
        let text: String = (0..9000).map(|n| format!("line {n}\n\n")).collect();
        fs::write(&log, text).expect("a file");
        assert_eq!(
            last_words(ExitStatus::from_raw(2 << 8), &log),
            "exit status 2: line 8996 / line 8997 / line 8998 / line 8999"
        );
        assert!(last_words(ExitStatus::from_raw(9), &log).starts_with("killed by signal 9: "));
        fs::remove_file(&log).expect("removed");
        assert_eq!(
            last_words(ExitStatus::from_raw(0), &log),
            "it was stopped before its end"
        );
    }
}
