//! `formicarium replay`: re-executes a recording and says whether it is what happened.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail, replay_serve};
use crate::recorder::replay::{ReplayError, Verdict, replay_part};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A run's folder or its run.db.
    pub(super) run: PathBuf,
    /// First tick to compare; what lies before it is believed, from the nearest keyframe on.
    #[arg(long, value_name = "TICK", default_value_t = 0)]
    pub(super) from: u64,
    /// Last tick to compare. Default: the last one.
    #[arg(long, value_name = "TICK")]
    pub(super) to: Option<u64>,
    /// Show it on the page as if it were live, from tick `--from`; begins with the first spectator, stays until Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    serve: bool,
    /// With --serve: so many times as fast as it was recorded, 0.01 to 10000. Without, a replay takes no time to wait for.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed, requires = "serve")]
    pub(super) speed: f64,
    /// With --serve: port of the page; the next free one if it is taken, 0 for any.
    #[arg(long, default_value_t = 7878, requires = "serve")]
    pub(super) port: u16,
    /// With --serve: address of the page.
    #[arg(long, default_value = "127.0.0.1", requires = "serve")]
    pub(super) bind: IpAddr,
    /// Print one JSON object on standard output instead of a sentence.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReplayArgs) -> Exit {
    if args.serve {
        return replay_serve::run(args);
    }
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

fn speed(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|speed| (0.01..=10_000.0).contains(speed))
        .ok_or_else(|| "a number from 0.01 to 10000".to_owned())
}
