//! The command line: one file a subcommand, and what they share about exits and diagnostics.

mod ask;
mod assemble;
mod attack;
mod bridge;
mod check;
mod control;
mod cost;
mod delete;
mod desk;
mod diagnose;
mod diff;
mod doctor;
mod export;
mod files;
mod fingerprint;
mod fork;
mod live;
mod replay;
mod replay_serve;
mod resume;
mod run;
mod runs;
mod seal;
mod sweep;
mod table;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Exit statuses, the same for every subcommand (README, "Exit statuses").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `replay`: equal.
    Good = 0,
    /// The machine or the recorder failed; what was recorded is intact.
    Failed = 1,
    /// The command line, a scenario or a cast is wrong.
    Usage = 2,
    /// A replay or another run differs, or a row of the recording is damaged.
    Different = 3,
}

/// Puts command-line agents into a world, records it and shows it.
#[derive(Debug, Parser)]
#[command(name = "formicarium", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How logs are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario with its agents.
    Run(Box<run::RunArgs>),
    /// Go on with a run whose host has ended, from its last committed tick.
    Resume(Box<resume::ResumeArgs>),
    /// Branch off a run at a tick: a new run with the same history until then, which goes on by itself.
    Fork(Box<fork::ForkArgs>),
    /// Ask a seat's agent something at a past tick, on a fork that is thrown away; the run stays as it was.
    Ask(Box<ask::AskArgs>),
    /// Steer a run while it runs: its status, words to seats, parameters, agents, pause and step.
    Control(control::ControlArgs),
    /// Check a scenario and its casts; exits 2 and shows every fault if it is broken.
    Check(check::CheckArgs),
    /// Re-execute a recording and compare every hash; exits 3 if it differs or is damaged.
    Replay(replay::ReplayArgs),
    /// Check that a recording is whole: chain, inputs, re-execution, keyframes, file versions; exits 3 and tells every fault
    /// if it is not.
    Verify(verify::VerifyArgs),
    /// Print one line that stands for a whole run: two runs of the same inputs have the same, whoever made them.
    Fingerprint(fingerprint::FingerprintArgs),
    /// Compare two runs: where they part, by which inputs, and what came of it; exits 3 if they differ.
    Diff(diff::DiffArgs),
    /// What an ACP agent starts as its tool server: copies between its standard streams and a seat's socket.
    #[command(hide = true)]
    Bridge(bridge::BridgeArgs),
    /// What the command `desk` on an agent's PATH starts: leases and publishes files of its folder `shared`.
    #[command(hide = true)]
    Desk(desk::DeskArgs),
    /// Make a recording that stands alone, compact and read-only: run.db.zst in place of run.db.
    Seal(seal::SealArgs),
    /// Remove a run's folder; refused while a host is at it, or forks have their history from it.
    Delete(delete::DeleteArgs),
    /// List the recordings under a folder.
    Runs(runs::RunsArgs),
    /// Show what the seats of a run have used: tokens, calls, money.
    Cost(cost::CostArgs),
    /// Read the files that the agents of a run shared: any version of any file.
    Files(files::FilesArgs),
    /// Run a scenario many times: casts, a grid of parameters, seeds; on all cores, into one table. Goes on where it was stopped.
    Sweep(sweep::SweepArgs),
    /// Write a recording as tables (Parquet, CSV, JSON Lines), or as a page that plays it.
    Export(export::ExportArgs),
    /// Show which agent programs this machine has, how many seats of each it can hold, and how they can be kept apart.
    Doctor(doctor::DoctorArgs),
}

/// Everything the binary does.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = match arguments.command {
        // Starts its own logging: the progress line and the log share a terminal, and keepers are
        // forked before any thread.
        Command::Run(args) => run::run(*args, arguments.log_format),
        Command::Resume(args) => resume::run(&args, arguments.log_format),
        Command::Fork(args) => fork::run(*args, arguments.log_format),
        Command::Ask(args) => ask::run(&args, arguments.log_format),
        Command::Control(args) => control::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Fingerprint(args) => fingerprint::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Bridge(args) => bridge::run(&args),
        Command::Desk(args) => desk::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Delete(args) => delete::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Cost(args) => cost::run(&args),
        Command::Files(args) => files::run(&args),
        Command::Sweep(args) => sweep::run(args),
        Command::Export(args) => export::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    ExitCode::from(exit as u8)
}

/// Prints an error with its causes.
fn fail(exit: Exit, error: &dyn std::error::Error) -> Exit {
    eprintln!("formicarium: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    exit
}

/// Parses `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as NAME=VALUE".to_owned())
}
