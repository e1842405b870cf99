//! Ticks: no gap, each with an input and a hash, and none longer than it may be. An absent seat is not waited for, since
//! nobody is waited for beyond a tick's window.

use crate::case::Case;
use crate::host::Outcome;

/// What rounding to whole milliseconds may add, in microseconds.
const ROUNDED_US: u64 = 2_000;

/// Finds what is wrong.
pub fn check(case: &Case, outcome: &Outcome) -> Result<(), String> {
    for (place, input) in outcome.inputs.iter().enumerate() {
        if input.tick != place as u64 + 1 {
            return Err(format!(
                "the input of tick {} stands where that of {} should",
                input.tick,
                place + 1
            ));
        }
    }
    let ticks = outcome.inputs.len() as u64;
    if outcome.summary.ticks != ticks || outcome.at_us.len() as u64 != ticks {
        let (told, hashed) = (outcome.summary.ticks, outcome.at_us.len());
        return Err(format!(
            "{ticks} inputs, {hashed} hashes, and the host tells of {told} ticks"
        ));
    }
    let mut before = 0;
    for (place, at) in outcome.at_us.iter().enumerate() {
        let took = at
            .checked_sub(before)
            .ok_or_else(|| format!("tick {} ends before it begins", place + 1))?;
        if took > case.window_ms() * 1000 + ROUNDED_US {
            return Err(format!(
                "tick {} took {took} us, and its window is {} ms",
                place + 1,
                case.window_ms()
            ));
        }
        before = *at;
    }
    Ok(())
}
