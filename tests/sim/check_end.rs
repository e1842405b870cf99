//! The end: reached, in time, for a reason that the case can have, and with a word on each seat.

use formicarium::run::INTERRUPTED;

use crate::case::Case;
use crate::host::{Outcome, longest};

/// Finds what is wrong.
pub fn check(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let summary = &outcome.summary;
    let last = summary.ticks == case.ticks
        && summary.end == format!("tick {0} of {0} reached", case.ticks);
    let stopped = summary.end == INTERRUPTED && case.stop_ms.is_some();
    let left = summary.end == "every agent has left";
    if !(last || stopped || left) {
        return Err(format!(
            "it ended after {} ticks with: {}",
            summary.ticks, summary.end
        ));
    }
    if left && summary.seats.iter().any(|seat| seat.status != "exited") {
        return Err(format!(
            "it ended because all had left, and not all had: {:?}",
            summary.seats
        ));
    }
    if summary.seats.len() != case.seats.len() {
        return Err(format!(
            "{} seats, and a word on {}",
            case.seats.len(),
            summary.seats.len()
        ));
    }
    if outcome.took > longest(case) {
        return Err(format!("it took {:?} of its clock", outcome.took));
    }
    Ok(())
}
