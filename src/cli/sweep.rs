//! `formicarium sweep`: many runs of one scenario on this machine, their table, and a plot of it.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::{Exit, diagnose, fail};
use crate::sweep::drive::{self, Done, Outcome, Place, SELF, Start, Watcher};
use crate::sweep::plot::{self, Wanted};
use crate::sweep::{Sweep, SweepError, read, table};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
pub(super) struct SweepArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// The sweep's file (docs/sweep.md).
    #[arg(value_name = "SWEEP.toml", required = true)]
    file: Option<PathBuf>,
    /// Folder of the results. Default: as the file says, else sweeps/<name of the file>.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Runs at once. Default: as the file says, else one for each core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Check all of it, list its runs and start none.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object on standard output at the end, and nothing else there.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Draw a measure against a parameter: mean and 95 % confidence over runs, as SVG.
    Plot(PlotArgs),
    /// A run of a sweep: ends when the sweep does.
    #[command(hide = true)]
    Child(ChildArgs),
}

#[derive(Debug, Args)]
struct PlotArgs {
    /// The folder of a sweep's results, or its sweep.parquet.
    out: PathBuf,
    /// Along the x axis: a parameter, or `cast`.
    #[arg(long, value_name = "PARAM")]
    x: String,
    /// Upwards: a metric at the end of runs, `score` (the mean over seats), `score:SEAT`, `ticks` or `seconds`.
    #[arg(long, value_name = "METRIC")]
    y: String,
    /// A line for each value of this: `cast`, or a parameter.
    #[arg(long, value_name = "cast|PARAM")]
    by: Option<String>,
    /// The picture's file. Default: <METRIC>-by-<PARAM>.svg in the sweep's folder.
    #[arg(long, value_name = "FILE.svg")]
    to: Option<PathBuf>,
    /// Print the means as one JSON object on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ChildArgs {
    /// Number of the sweep's process.
    parent: i32,
    /// What to do.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<OsString>,
}

pub(super) fn run(args: SweepArgs) -> Exit {
    let done = match &args.what {
        Some(What::Plot(args)) => plot(args),
        Some(What::Child(args)) => return child(args),
        None => sweep(&args),
    };
    done.unwrap_or_else(tell)
}

fn tell(error: SweepError) -> Exit {
    match &error {
        SweepError::Broken(list, bundle) => {
            diagnose::print(list, bundle);
            Exit::Usage
        }
        SweepError::Scenario { what, list, bundle } => {
            eprintln!("formicarium: {what} is broken:");
            diagnose::print(list, bundle);
            Exit::Usage
        }
        SweepError::Io { .. } | SweepError::Lock(_) | SweepError::Recorder(_) => {
            fail(Exit::Failed, &error)
        }
        _ => fail(Exit::Usage, &error),
    }
}

fn sweep(args: &SweepArgs) -> Result<Exit, SweepError> {
    let sweep = read::sweep(args.file.as_deref().unwrap_or(Path::new("")))?;
    let own = || Path::new("sweeps").join(&sweep.name);
    let out = args.out.clone().or(sweep.out.clone()).unwrap_or_else(own);
    if args.dry_run {
        list(&sweep, args.json);
        return Ok(Exit::Good);
    }
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args
        .jobs
        .map(usize::from)
        .or(sweep.jobs)
        .unwrap_or_else(cores);
    let place = Place::take(&out)?;
    let mut lines = Lines::new();
    let done = drive::drive(&sweep, &place, jobs, &mut lines)?;
    lines.finish();
    let table = table::write(&sweep, &place.out, &done.failures)?;
    let start = lines.start;
    let rest = start.total - start.ended - done.ended - done.failures.len();
    if args.json {
        let failures = done.failures.iter().map(
            |(index, words)| serde_json::json!({"cell": sweep.cells[*index].name, "error": words}),
        );
        let object = serde_json::json!({
            "out": place.out, "table": table.path, "rows": table.rows, "with_faults": table.with_faults, "runs": start.total, "ended": start.ended + done.ended,
            "ended_before": start.ended, "failed": failures.collect::<Vec<_>>(), "stopped": done.stopped, "left": rest,
        });
        println!("{object}");
    } else {
        println!(
            "{} of {} runs have ended ({} before), {} failed, {rest} left",
            start.ended + done.ended,
            start.total,
            start.ended,
            done.failures.len()
        );
        if table.with_faults > 0 {
            println!(
                "{} runs had faults of agents: see the column `faults`",
                table.with_faults
            );
        }
        println!("{} rows in {}", table.rows, table.path.display());
    }
    Ok(verdict(&sweep, &done, rest))
}

/// Failed runs that are listed at the end at most.
const FAILURES_SHOWN: usize = 20;

/// Lists what failed; the exit status.
fn verdict(sweep: &Sweep, done: &Done, rest: usize) -> Exit {
    for (index, words) in done.failures.iter().take(FAILURES_SHOWN) {
        eprintln!("failed: {}: {words}", sweep.cells[*index].name);
    }
    if let Some(more @ 1..) = done.failures.len().checked_sub(FAILURES_SHOWN) {
        eprintln!("... and {more} more: see the column `error` of the table");
    }
    if rest > 0 {
        eprintln!("stopped; the same command goes on");
    } else if !done.failures.is_empty() {
        eprintln!(
            "the same command tries again what failed on the way; the logs lie beside the runs"
        );
    }
    match rest == 0 && done.failures.is_empty() {
        true => Exit::Good,
        false => Exit::Failed,
    }
}

fn list(sweep: &Sweep, json: bool) {
    if json {
        let cells = sweep.cells.iter().map(|cell| {
            serde_json::json!({"cell": cell.name, "cast": cell.cast, "seed": cell.seed, "params": cell.params, "ticks": cell.ticks})
        });
        println!("{}", serde_json::Value::from_iter(cells));
        return;
    }
    for cell in &sweep.cells {
        println!("{}", cell.name);
    }
    println!("{} runs of {}", sweep.cells.len(), sweep.scenario.name());
}

/// How a sweep goes, on standard error: one line that is drawn anew on a terminal, else a line now and then.
struct Lines {
    start: Start,
    began: Instant,
    told: Instant,
    ended: usize,
    failed: usize,
    bar: Option<ProgressBar>,
}

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

impl Lines {
    fn new() -> Lines {
        Lines {
            start: Start::default(),
            began: Instant::now(),
            told: Instant::now(),
            ended: 0,
            failed: 0,
            bar: None,
        }
    }

    fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{words}")),
            None => eprintln!("{words}"),
        }
    }

    /// Where it stands, and how long the rest takes if it takes as long as what was done.
    fn words(&self) -> String {
        let done = self.start.ended + self.ended + self.failed;
        let mut words = format!("{done}/{} runs, {} failed", self.start.total, self.failed);
        let now = done - self.start.ended - self.start.deserted;
        if now > 0 && done < self.start.total {
            let each = self.began.elapsed().as_secs_f64() / now as f64;
            let left = (each * (self.start.total - done) as f64).ceil() as u64;
            words += &format!(", about {} left", span(left));
        }
        words
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

impl Watcher for Lines {
    fn begins(&mut self, start: Start) {
        self.start = start;
        let fresh = start.total - start.ended - start.open - start.deserted;
        let Start {
            total,
            ended,
            deserted,
            open,
            jobs,
        } = start;
        self.failed = deserted;
        eprintln!(
            "{total} runs: {ended} ended, {deserted} failed, {open} to go on with, {fresh} to start; {jobs} at once"
        );
        self.bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(4));
            let style = ProgressStyle::with_template("{msg}  {bar:24}");
            bar.set_style(style.expect("a constant template"));
            bar
        });
        self.began = Instant::now();
    }

    fn over(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ended => self.ended += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Stopped => {}
        }
    }

    fn beat(&mut self) {
        let words = self.words();
        if let Some(bar) = &self.bar {
            bar.set_position((self.start.ended + self.ended + self.failed) as u64);
            bar.set_message(words);
        } else if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            eprintln!("{words}");
        }
    }

    fn stops(&mut self) {
        self.say("stopping: the runs end with their present tick; once more to end them at once");
    }
}

fn plot(args: &PlotArgs) -> Result<Exit, SweepError> {
    let wanted = Wanted {
        x: args.x.clone(),
        y: args.y.clone(),
        by: args.by.clone(),
    };
    let plot = plot::plot(&args.out, &wanted)?;
    let to = args.to.clone().unwrap_or_else(|| {
        let folder = match args.out.is_dir() {
            true => args.out.clone(),
            false => args.out.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let plain = |text: &str| text.replace(['/', '\\', ':'], "-");
        folder.join(format!("{}-by-{}.svg", plain(&args.y), plain(&args.x)))
    });
    std::fs::write(&to, &plot.svg).map_err(|source| SweepError::Io {
        path: to.clone(),
        source,
    })?;
    if args.json {
        let object = serde_json::json!({"file": to, "note": plot.note, "means": plot.means});
        println!("{object}");
    } else {
        println!("{}: {}", to.display(), plot.note);
    }
    let _ = std::io::stdout().flush();
    Ok(Exit::Good)
}

/// Becomes a run that is told to end when the sweep's process is gone, however that ends.
fn child(args: &ChildArgs) -> Exit {
    if let Err(errno) = prctl::set_pdeathsig(Signal::SIGTERM) {
        return fail(Exit::Failed, &errno);
    }
    // It may have ended before this took hold.
    if getppid().as_raw() != args.parent {
        eprintln!("formicarium: the sweep is gone");
        return Exit::Failed;
    }
    let error = Command::new(SELF)
        .arg0("formicarium")
        .args(&args.arguments)
        .exec();
    fail(Exit::Failed, &error)
}
