//! `formicarium replay`: re-executes a recording and says whether it is what happened.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail};
use crate::recorder::replay::{Verdict, replay};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A run's folder or its run.db.
    run: PathBuf,
    /// Print one JSON object on standard output instead of a sentence.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Exit {
    let verdict = match replay(&args.run, |_| {}) {
        Ok(verdict) => verdict,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let (exit, words, json) = match verdict {
        Verdict::Equal { ticks, hash } => (
            Exit::Good,
            format!("equal: {ticks} ticks, hash {hash}"),
            serde_json::json!({"verdict": "equal", "ticks": ticks, "hash": hash}),
        ),
        Verdict::Different {
            tick,
            part,
            recorded,
            replayed,
        } => (
            Exit::Different,
            format!("different at tick {tick}: {part} (recorded {recorded}, replayed {replayed})"),
            serde_json::json!({"verdict": "different", "tick": tick, "part": part, "recorded": recorded, "replayed": replayed}),
        ),
        Verdict::Damaged { tick, why } => (
            Exit::Different,
            format!("damaged at tick {tick}: {why}"),
            serde_json::json!({"verdict": "damaged", "tick": tick, "why": why}),
        ),
    };
    match args.json {
        true => println!("{json}"),
        false => println!("{words}"),
    }
    exit
}
