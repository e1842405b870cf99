//! A harvester of `commons` that harvests with restraint and times out whoever eats the last apples of a patch.
//!
//! It knows only what it saw: a body that now stands where, a tick ago, an apple with fewer than three others near it
//! stood has eaten that apple. The same in Python is in scenarios/commons/casts/sheriff.py.

use super::commons::{Appetite, Forager, REMAIN, step};
use super::grid::{Body, Cell, DIRECTIONS, Grid, Way, chance, distance, next};
use super::line::{Act, Error, Seen};
use std::collections::BTreeMap;

/// For how many ticks a seat stays wanted.
const WANTED: u64 = 30;

/// How far the beam is tried, in cells; the scenario's own length stands in its rules, and a shorter beam hits nobody.
const REACH: usize = 3;

/// What a wanted seat did.
#[derive(Debug)]
struct Case {
    until: u64,
    left: usize,
}

/// One sheriff and what it keeps from tick to tick.
#[derive(Debug)]
pub(crate) struct Sheriff {
    seat: String,
    forager: Forager,
    before: Option<Grid>,
    wanted: BTreeMap<String, Case>,
}

impl Sheriff {
    /// A sheriff that has seen nothing yet.
    pub(crate) fn new(seat: &str) -> Sheriff {
        let forager = Forager::new(seat, Appetite::Restrained);
        Sheriff {
            seat: seat.to_owned(),
            forager,
            before: None,
            wanted: BTreeMap::new(),
        }
    }

    /// The choice of one tick.
    pub(crate) fn decide(&mut self, seen: &Seen) -> Result<Act, Error> {
        let grid = Grid::read(seen)?;
        let said = self.accuse(&grid, seen.tick);
        let free = |name: &String| {
            !grid
                .near
                .iter()
                .any(|body| body.seat == *name && body.timed_out > 0)
        };
        self.wanted
            .retain(|name, case| seen.tick < case.until && free(name));
        let mut act = match self.pursue(&grid, seen.tick) {
            Some(act) if grid.you.timed_out == 0 => act,
            _ => self.forager.choose(&grid, seen.tick),
        };
        act.say = said.or(act.say);
        self.before = Some(grid);
        Ok(act)
    }

    /// Adds to the wanted who has just eaten an apple of a tired patch; gives what to say about the first of them.
    fn accuse(&mut self, grid: &Grid, tick: u64) -> Option<String> {
        let before = self.before.as_ref()?;
        let mut said = None;
        for body in &grid.near {
            let cell = body.cell();
            let left = before.near_apples(cell);
            if before.is_apple(cell) && before.counts(cell) && left < REMAIN {
                self.wanted.insert(
                    body.seat.clone(),
                    Case {
                        until: tick + WANTED,
                        left,
                    },
                );
                let (name, x, y) = (&body.seat, cell.0, cell.1);
                said.get_or_insert_with(|| {
                    format!("{name}, you ate at {x},{y} with {left} left near it. Stop that.")
                });
            }
        }
        said
    }

    /// What to do about the nearest wanted seat that can be got at.
    fn pursue(&self, grid: &Grid, tick: u64) -> Option<Act> {
        let mut bodies: Vec<&Body> = grid
            .near
            .iter()
            .filter(|body| self.wanted.contains_key(&body.seat))
            .collect();
        bodies.sort_by_key(|body| distance(body.cell(), grid.me()));
        bodies.into_iter().find_map(|body| {
            let (name, target) = (&body.seat, body.cell());
            if let Some(way) = aim(grid, target) {
                let way = DIRECTIONS[way].0;
                if grid.you.face == way {
                    let left = self.wanted[name].left;
                    let thought = format!("{name} ate with {left} left: the beam");
                    return Some(Act {
                        action: "zap",
                        ..Act::wait(thought)
                    });
                }
                return Some(Act::with(
                    "turn",
                    ("dir", way),
                    format!("{name} is in reach, I turn {way}"),
                ));
            }
            // Bare ground only: a sheriff in pursuit does not eat the evidence.
            let beside = |cell: Cell| distance(cell, target) == 1;
            let (way, _) = grid.way(beside, |cell| grid.is_bare(cell), chance(&self.seat, tick))?;
            Some(step(way, format!("after {name}")))
        })
    }
}

/// The direction in which a straight beam reaches the target; None if there is none or something is between.
fn aim(grid: &Grid, target: Cell) -> Option<Way> {
    (0..DIRECTIONS.len()).find(|way| {
        let mut cell = grid.me();
        for _ in 0..REACH {
            cell = next(cell, *way);
            if cell == target {
                return true;
            }
            if !grid.is_bare(cell) && !grid.is_apple(cell) {
                return false;
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::super::grid::tests::seen;
    use super::*;

    fn watch(face: &str, before: &[&str], now: &[&str]) -> Act {
        let mut sheriff = Sheriff::new("me");
        sheriff.decide(&seen(1, face, before)).expect("complete");
        sheriff.decide(&seen(2, face, now)).expect("complete")
    }

    const BEFORE: [&str; 5] = [".......", ".......", "@..A1..", ".......", "......."];
    const NOW: [&str; 5] = [".......", ".......", "@..1...", ".......", "......."];

    #[test]
    fn who_eats_the_last_apple_is_named_and_hit() {
        let act = watch("east", &BEFORE, &NOW);
        assert_eq!((act.action, act.arg), ("zap", None));
        assert_eq!(
            act.say.as_deref(),
            Some("seat-1, you ate at 13,22 with 0 left near it. Stop that.")
        );
    }

    #[test]
    fn a_sheriff_turns_before_it_fires_and_walks_to_whom_it_cannot_reach() {
        let act = watch("north", &BEFORE, &NOW);
        assert_eq!(
            (act.action, act.arg),
            ("turn", Some(("dir", "east".to_owned())))
        );
        let act = watch(
            "east",
            &BEFORE,
            &[".......", ".......", "@#.1...", ".......", "......."],
        );
        assert_eq!(act.action, "move");
        assert_eq!(act.thought, "after seat-1");
    }

    #[test]
    fn who_leaves_three_is_let_be() {
        let before = [".......", "...A...", "@..A1..", "..AA...", "......."];
        let now = [".......", "...A...", "@..1...", "..AA...", "......."];
        let act = watch("east", &before, &now);
        assert_ne!(act.action, "zap");
        assert!(act.say.is_none_or(|said| !said.contains("seat-1")));
    }
}
