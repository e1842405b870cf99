//! Inputs: sorted, at most one answer a seat and tick, late or not, no more ends of a process than it has lives, and nobody
//! waited for whose last process has ended.

use std::collections::{BTreeMap, BTreeSet};

use formicarium_agents::RestartPolicy;
use formicarium_engine::{InputBody, Mode, SeatId};

use crate::case::Case;
use crate::host::Outcome;

/// Finds what is wrong.
pub fn check(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let mut ends: BTreeMap<SeatId, u32> = BTreeMap::new();
    for input in &outcome.inputs {
        let tick = input.tick;
        let order: Vec<_> = input
            .seats
            .iter()
            .map(|seat| (seat.seat, seat.seq))
            .collect();
        if !order.is_sorted_by(|one, next| one < next) {
            return Err(format!(
                "the input of tick {tick} is not sorted, or has one number twice: {order:?}"
            ));
        }
        let (mut answered, mut late, mut turns) = (BTreeSet::new(), BTreeSet::new(), 0);
        for one in &input.seats {
            if one.seat.index() >= case.seats.len() {
                return Err(format!(
                    "tick {tick} has an input of seat {}, which is not there",
                    one.seat.index()
                ));
            }
            let seat = &case.seats[one.seat.index()];
            let lives = match seat.restart {
                RestartPolicy::Never => 1,
                RestartPolicy::OnFailure | RestartPolicy::Always => seat.restarts + 1,
            };
            let twice = match &one.body {
                InputBody::Act(_) => !answered.insert(one.seat),
                InputBody::Late => !late.insert(one.seat),
                InputBody::Turn => {
                    turns += 1;
                    false
                }
                InputBody::Exited { .. } => {
                    *ends.entry(one.seat).or_default() += 1;
                    ends[&one.seat] > lives
                }
                _ => false,
            };
            if twice {
                return Err(format!(
                    "tick {tick} has one {:?} too many of seat {}",
                    one.body,
                    one.seat.index()
                ));
            }
            if ends.get(&one.seat) == Some(&lives)
                && matches!(one.body, InputBody::Late | InputBody::Absent)
            {
                return Err(format!(
                    "tick {tick} waits for seat {}, which has gone",
                    one.seat.index()
                ));
            }
        }
        if let Some(seat) = answered.intersection(&late).next() {
            return Err(format!(
                "tick {tick}: seat {} has answered, and is late",
                seat.index()
            ));
        }
        if turns > usize::from(case.mode == Mode::Turns) {
            return Err(format!("tick {tick} is the turn of {turns} seats"));
        }
    }
    Ok(())
}
