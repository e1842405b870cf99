//! `formicarium replay`: re-executes a recording and says whether it is what happened.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail};
use crate::recorder::replay::{ReplayError, Verdict, replay_part};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A run's folder or its run.db.
    run: PathBuf,
    /// First tick to compare; what lies before it is believed, from the nearest keyframe on.
    #[arg(long, value_name = "TICK", default_value_t = 0)]
    from: u64,
    /// Last tick to compare. Default: the last one.
    #[arg(long, value_name = "TICK")]
    to: Option<u64>,
    /// Print one JSON object on standard output instead of a sentence.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Exit {
    let verdict = match replay_part(&args.run, args.from, args.to, |_| {}) {
        Ok(verdict) => verdict,
        Err(error @ ReplayError::Range { .. }) => return fail(Exit::Usage, &error),
        Err(error) => return fail(Exit::Failed, &error),
    };
    let (exit, words, json) = match verdict {
        Verdict::Equal { first, ticks, hash } => (
            Exit::Good,
            match first == 0 && args.to.is_none() {
                true => format!("equal: {ticks} ticks, hash {hash}"),
                false => format!("equal: ticks {first} to {ticks}, hash {hash}"),
            },
            serde_json::json!({"verdict": "equal", "from": first, "ticks": ticks, "hash": hash}),
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
