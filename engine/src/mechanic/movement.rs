//! Bodies turn and move, all at once and fairly. It must not know why anyone moves.
//!
//! How moves that get in each other's way are resolved, in this order:
//! 1. A move out of a bounded grid (`outside`) or into something solid (`blocked`) is refused.
//! 2. Two bodies that would change places are both refused (`swap`).
//! 3. Of all that want to enter one cell, one is drawn, each with the same chance, from the stream (seed, tick,
//!    movement, cell); the others are refused (`contested`).
//! 4. Whoever wants to enter the cell of a body that stays, stays too (`blocked`), and so on backwards along the
//!    chain. What is left moves: chains into a free cell, and circles of three or more.
//!
//! Whether a move succeeds or not, the body then looks where it wanted to go.

use super::order::{Clock, Orders, Outbox, Rules, by};
use crate::action::{ActionSpec, ParamKind, ParamSpec};
use crate::component::{Bodies, Cells, Facing, Position};
use crate::event::Code;
use crate::id::{ActionId, SeatId};
use crate::rng::{Stream, System};
use crate::scenario::Spec;
use crate::space::{Dir, Grid};
use bevy_ecs::prelude::*;

/// `[mechanic.movement]`; it has no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// 4 or 8, as `[space]` says.
    pub(crate) neighbours: u8,
}

impl Config {
    pub(crate) fn actions(&self) -> [ActionSpec; 2] {
        let dir = || {
            let names = Dir::allowed(self.neighbours)
                .iter()
                .map(|dir| dir.name().to_owned())
                .collect();
            vec![ParamSpec {
                name: "dir".into(),
                doc: "Which way. North is up the map, towards smaller y.".into(),
                kind: ParamKind::Choice(names),
                required: true,
            }]
        };
        let spec = |name: &str, description: &str| ActionSpec {
            id: ActionId(0),
            name: name.into(),
            description: description.into(),
            params: dir(),
            speech: false,
        };
        [
            spec("move", "Go one cell that way, and look that way."),
            spec("turn", "Look that way without moving."),
        ]
    }

    pub(crate) fn rules(&self, spec: &Spec) -> String {
        let edge = match spec.space.as_ref().map(|space| space.grid.torus) {
            Some(true) => {
                "The edges of the map are joined: who leaves on one side enters on the other."
            }
            _ => "The map ends at its edges.",
        };
        format!(
            "Everyone moves at once, one cell a tick ({} directions). Two bodies never share a cell: if several want \
             the same cell one of them gets it by chance, bodies cannot change places, and nobody enters the cell of a \
             body that stays. {edge}",
            self.neighbours
        )
    }
}

/// Who changed cells in this step, sorted by seat. Empty between steps.
#[derive(Resource, Default)]
pub(crate) struct Moved(pub(crate) Vec<SeatId>);

/// Turns bodies.
pub(crate) fn turn(
    rules: Res<Rules>,
    orders: Res<Orders>,
    bodies: Res<Bodies>,
    mut facings: Query<&mut Facing>,
) {
    for (_, order) in orders.of(rules.ids.turn) {
        let dir = order.choice(0).and_then(Dir::from_index);
        if let (Some(dir), Ok(mut facing)) = (dir, facings.get_mut(bodies.0[order.seat.index()])) {
            facing.0 = dir;
        }
    }
}

/// Moves bodies.
pub(crate) fn walk(
    rules: Res<Rules>,
    clock: Res<Clock>,
    orders: Res<Orders>,
    bodies: Res<Bodies>,
    mut cells: ResMut<Cells>,
    mut moved: ResMut<Moved>,
    mut out: ResMut<Outbox<by::Movement>>,
    mut places: Query<(&mut Position, &mut Facing)>,
) {
    moved.0.clear();
    let Some(space) = &rules.spec.space else {
        return;
    };
    let mut wishes = Vec::new();
    for (index, order) in orders.of(rules.ids.walk) {
        let Some(dir) = order.choice(0).and_then(Dir::from_index) else {
            continue;
        };
        let Ok((position, mut facing)) = places.get_mut(bodies.0[order.seat.index()]) else {
            continue;
        };
        facing.0 = dir;
        wishes.push(Wish {
            order: index,
            seat: order.seat,
            from: position.0,
            dir,
        });
    }
    let draw =
        |cell: u32, n: u32| Stream::new(rules.seed, clock.0, System::Movement, cell).below(n);
    for (wish, verdict) in wishes
        .iter()
        .zip(resolve(&space.grid, &cells, &wishes, draw))
    {
        match verdict {
            Ok(to) => {
                if let Ok((mut position, _)) = places.get_mut(bodies.0[wish.seat.index()]) {
                    position.0 = to;
                }
                moved.0.push(wish.seat);
            }
            Err((code, reason)) => out.refuse(wish.order, code, reason),
        }
    }
    for wish in &wishes {
        // A cell may already hold who came in after this body left.
        if moved.0.binary_search(&wish.seat).is_ok() {
            cells.body[wish.from as usize] = 0;
        }
    }
    for seat in &moved.0 {
        if let Ok((position, _)) = places.get(bodies.0[seat.index()]) {
            cells.body[position.0 as usize] = seat.0 + 1;
        }
    }
}

/// Someone wants to go somewhere.
#[derive(Clone, Copy, Debug)]
struct Wish {
    order: usize,
    seat: SeatId,
    from: u32,
    dir: Dir,
}

type Verdict = Result<u32, (Code, &'static str)>;

/// Decides all wishes at once; see the head of this file. Wishes are sorted by seat, one a seat.
fn resolve(
    grid: &Grid,
    cells: &Cells,
    wishes: &[Wish],
    draw: impl Fn(u32, u32) -> u32,
) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = wishes
        .iter()
        .map(|wish| match grid.toward(wish.from, wish.dir) {
            None => Err((Code::Outside, "the map ends there")),
            Some(to) if cells.solid[to as usize] || to == wish.from => {
                Err((Code::Blocked, "something solid is there"))
            }
            Some(to) => Ok(to),
        })
        .collect();
    // The wish of each body that has one; bodies are found through the cell they stand on.
    let mut wish_of: Vec<u32> = vec![0; wishes.last().map_or(0, |wish| wish.seat.index() + 1)];
    for (index, wish) in wishes.iter().enumerate() {
        wish_of[wish.seat.index()] = index as u32 + 1;
    }
    let wish_at = |cell: u32| -> Option<usize> {
        let seat = cells.body[cell as usize].checked_sub(1)?;
        wish_of
            .get(seat as usize)?
            .checked_sub(1)
            .map(|index| index as usize)
    };
    for index in 0..wishes.len() {
        let Ok(to) = verdicts[index] else { continue };
        if let Some(other) = wish_at(to)
            && other > index
            && verdicts[other] == Ok(wishes[index].from)
        {
            verdicts[index] = Err((Code::Swap, "the body there wanted to come to your cell"));
            verdicts[other] = verdicts[index];
        }
    }
    let mut claims: Vec<(u32, usize)> = verdicts
        .iter()
        .enumerate()
        .filter_map(|(index, verdict)| Some(((*verdict).ok()?, index)))
        .collect();
    claims.sort_unstable();
    // (cell, who may enter it), sorted by cell.
    let mut winners: Vec<(u32, usize)> = Vec::with_capacity(claims.len());
    for claimants in claims.chunk_by(|a, b| a.0 == b.0) {
        let cell = claimants[0].0;
        let won = if claimants.len() == 1 {
            0
        } else {
            draw(cell, claimants.len() as u32) as usize
        };
        for (place, (_, index)) in claimants.iter().enumerate() {
            if place == won {
                winners.push((cell, *index));
            } else {
                verdicts[*index] = Err((Code::Contested, "someone else got that cell"));
            }
        }
    }
    // Cells whose body stays, whatever happens from here on.
    let stays = |cell: u32, verdicts: &[Verdict]| {
        cells.body[cell as usize] != 0 && wish_at(cell).is_none_or(|index| verdicts[index].is_err())
    };
    let mut stopped: Vec<usize> = winners
        .iter()
        .filter(|(cell, _)| stays(*cell, &verdicts))
        .map(|(_, index)| *index)
        .collect();
    while let Some(index) = stopped.pop() {
        verdicts[index] = Err((Code::Blocked, "a body that stays is there"));
        if let Ok(place) = winners.binary_search_by_key(&wishes[index].from, |(cell, _)| *cell)
            && verdicts[winners[place].1].is_ok()
        {
            stopped.push(winners[place].1);
        }
    }
    verdicts
}
