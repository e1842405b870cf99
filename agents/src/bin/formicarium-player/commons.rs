//! Harvesters of `commons`: greedy ones take the nearest apple, restrained ones only where enough remain.
//!
//! It must not know the map, the number of seats or what the world does with a move. The same policies in Python are
//! in scenarios/commons/casts/forager.py.

use super::grid::{Cell, DIRECTIONS, Grid, Way, chance};
use super::line::{Act, Error, Seen};

/// How many apples must remain near one that is eaten with restraint.
pub(crate) const REMAIN: usize = 3;

/// A seat speaks of a tired patch at most once in this many ticks.
const QUIET: u64 = 40;

/// What a forager takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    /// Any apple.
    Greedy,
    /// An apple with at least [`REMAIN`] others near it; it walks round all others.
    Restrained,
}

impl Appetite {
    /// The policy that the command line names.
    pub(crate) fn named(name: &str) -> Option<Appetite> {
        match name {
            "greedy" => Some(Appetite::Greedy),
            "restrained" => Some(Appetite::Restrained),
            _ => None,
        }
    }
}

/// One harvester and what it keeps from tick to tick.
#[derive(Debug)]
pub(crate) struct Forager {
    seat: String,
    appetite: Appetite,
    heading: Option<Way>,
    quiet_until: u64,
}

impl Forager {
    /// A harvester that has seen nothing yet.
    pub(crate) fn new(seat: &str, appetite: Appetite) -> Forager {
        Forager {
            seat: seat.to_owned(),
            appetite,
            heading: None,
            quiet_until: 0,
        }
    }

    /// The choice of one tick.
    pub(crate) fn decide(&mut self, seen: &Seen) -> Result<Act, Error> {
        Ok(self.choose(&Grid::read(seen)?, seen.tick))
    }

    /// The choice of one tick for a grid already read.
    pub(crate) fn choose(&mut self, grid: &Grid, tick: u64) -> Act {
        if grid.you.timed_out > 0 {
            return Act::wait("timed out, I wait");
        }
        let dice = chance(&self.seat, tick);
        let heading = self.heading.unwrap_or(dice as usize % 4);
        let eatable = |cell: Cell| {
            grid.is_apple(cell)
                && (self.appetite == Appetite::Greedy || grid.near_apples(cell) >= REMAIN)
        };
        let enter = |cell: Cell| grid.is_bare(cell) || eatable(cell);
        if let Some((way, cell)) = grid.way(eatable, enter, dice) {
            self.heading = Some(way);
            let thought = format!(
                "apple at {},{} with {} near it: I take it",
                cell.0,
                cell.1,
                grid.near_apples(cell)
            );
            return step(way, thought);
        }
        let way = grid.wander(heading, dice, enter);
        self.heading = Some(way.unwrap_or(heading));
        let act = |thought: &str| way.map_or_else(|| Act::wait(thought), |way| step(way, thought));
        let Some((x, y)) = grid.nearest_apple() else {
            return act("no apple in sight, I look for some");
        };
        let mut act = act(&format!("too few apples near {x},{y}: I let it rest"));
        if self.appetite == Appetite::Restrained && tick >= self.quiet_until {
            self.quiet_until = tick + QUIET + u64::from(dice) % QUIET;
            act.say = Some(format!("the patch at {x},{y} needs rest"));
        }
        act
    }
}

/// A move.
pub(crate) fn step(way: Way, thought: impl Into<String>) -> Act {
    Act::with("move", ("dir", DIRECTIONS[way].0), thought)
}

#[cfg(test)]
mod tests {
    use super::super::grid::tests::seen;
    use super::*;

    fn choose(appetite: Appetite, rows: &[&str]) -> Act {
        Forager::new("harvester-1", appetite)
            .decide(&seen(5, "north", rows))
            .expect("complete")
    }

    fn way(name: &str) -> Option<(&'static str, String)> {
        Some(("dir", name.to_owned()))
    }

    #[test]
    fn greed_takes_the_last_apple_and_restraint_walks_round_it() {
        let last = [".....", ".@A..", "....."];
        assert_eq!(choose(Appetite::Greedy, &last).arg, way("east"));
        let act = choose(Appetite::Restrained, &last);
        assert_eq!(act.action, "move");
        assert_ne!(act.arg, way("east"));
        assert_eq!(act.say.as_deref(), Some("the patch at 12,21 needs rest"));
    }

    #[test]
    fn restraint_takes_an_apple_that_leaves_three() {
        assert_eq!(
            choose(Appetite::Restrained, &["...A.", ".@AA.", "...A."]).arg,
            way("east")
        );
    }

    #[test]
    fn who_is_shut_in_waits() {
        assert_eq!(
            choose(Appetite::Restrained, &["#A#", "A@#", "###"]).action,
            "wait"
        );
    }
}
