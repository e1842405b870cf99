//! The host under seeded faults: the real tick loop, recorder, world and process driver, on a clock that a test holds, with
//! fake processes that are late, silent, broken, too loud or dead.
//!
//! A seed is a whole case (`case`); `host` runs it, `child` plays a process, `quiet` holds the clock, and each `check_*`
//! finds one kind of wrong. See docs/design/sim.md. `FORMICARIUM_SIM_SEEDS` says how many seeds, `FORMICARIUM_SIM_SEED`
//! the first of them.

mod case;
mod check_acts;
mod check_end;
mod check_replay;
mod check_ticks;
mod child;
mod host;
mod quiet;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use case::Case;

/// Seeds that are run unless the environment says otherwise.
const SEEDS: u64 = 200;
/// One seed in so many is run twice.
const TWICE: u64 = 10;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Runs one seed and all checks.
fn run(seed: u64) -> Result<host::Outcome, String> {
    let case = Case::new(seed);
    let played = catch_unwind(AssertUnwindSafe(|| host::play(&case)));
    let outcome = played.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        words
            .or_else(|| {
                panic
                    .downcast_ref::<&str>()
                    .map(|words| (*words).to_owned())
            })
            .unwrap_or_else(|| "it panicked".into())
    })??;
    check_end::check(&case, &outcome)?;
    check_ticks::check(&case, &outcome)?;
    check_acts::check(&case, &outcome)?;
    check_replay::check(&outcome)?;
    Ok(outcome)
}

/// What is wrong with a seed; none: nothing.
fn fault(seed: u64) -> Option<String> {
    let first = match run(seed) {
        Ok(outcome) => outcome,
        Err(why) => return Some(why),
    };
    if !seed.is_multiple_of(TWICE) {
        return None;
    }
    match run(seed) {
        Ok(again) if again.fingerprint == first.fingerprint => None,
        Ok(again) => Some(host::difference(&first, &again)),
        Err(why) => Some(format!("the second time only: {why}")),
    }
}

#[test]
fn no_seed_breaks_the_host() {
    let alone = number("FORMICARIUM_SIM_SEED");
    let count = number("FORMICARIUM_SIM_SEEDS").unwrap_or(if alone.is_some() { 1 } else { SEEDS });
    let first = alone.unwrap_or(0);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(4);
    let wrong: Vec<(u64, String)> = std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return wrong;
                }
                if let Some(why) = fault(seed) {
                    eprintln!("{:#?}", Case::new(seed));
                    eprintln!("seed {seed}: {why}\n  alone: make sim SEED={seed}");
                    wrong.push((seed, why));
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "{} of {count} seeds: {wrong:#?}",
        wrong.len()
    );
}
