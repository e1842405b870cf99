//! A beam that times its target out. It must not know why anyone is hit.
//!
//! All beams of a tick fire together, from where everyone stands before moving, after all turns. A beam is `width`
//! rays side by side, each `length` cells long; a ray ends at the edge of a bounded map, before anything solid or
//! opaque, and at the first body, which it hits. A body that is timed out already stops the ray and is not hit again.
//! Who is hit still moves in this tick; then `timeout` ticks pass in which it can only wait and speak.

use super::order::{Orders, Outbox, Rules, by};
use crate::action::ActionSpec;
use crate::component::{Bodies, Cells, Facing, Position};
use crate::event::{Code, Event};
use crate::id::{ActionId, SeatId};
use crate::scenario::Spec;
use crate::scenario::reader::Table;
use crate::space::{Dir, Grid};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

/// `[mechanic.sanction]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) length: i32,
    /// Odd.
    pub(crate) width: i32,
    pub(crate) timeout: u32,
    pub(crate) cooldown: u32,
    /// What the target loses.
    pub(crate) penalty: f64,
    /// What the shooter pays.
    pub(crate) cost: f64,
}

impl Config {
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let width = table.get("width").and_then(|item| {
            let width = item.int(1..=21)?;
            if width % 2 == 0 {
                item.fault(format!("`{}` is {width}", item.path()))
                    .expected("an odd number, so that the beam is centred");
            }
            Some(width as i32)
        });
        Self {
            length: table.int_or("length", 1..=50, 3) as i32,
            width: width.unwrap_or(1),
            timeout: table.int_or("timeout", 0..=1_000_000, 25) as u32,
            cooldown: table.int_or("cooldown", 0..=1_000_000, 0) as u32,
            penalty: table.float_or("penalty", 0.0..=1e9, 0.0),
            cost: table.float_or("cost", 0.0..=1e9, 0.0),
        }
    }

    pub(crate) fn action(&self) -> ActionSpec {
        ActionSpec {
            id: ActionId(0),
            name: "zap".into(),
            description: format!(
                "Fire a beam where you look, {} cells long and {} wide. Whom it hits cannot act for {} ticks.",
                self.length, self.width, self.timeout
            ),
            params: Vec::new(),
            speech: false,
        }
    }

    pub(crate) fn rules(&self, spec: &Spec) -> String {
        let unit = &spec.score.unit;
        let mut text = format!(
            "You may zap: a beam where you look, {} cells long and {} wide, stopped by solid things and by the first \
             body, which cannot act for {} ticks (it may speak).",
            self.length, self.width, self.timeout
        );
        if self.cooldown > 0 {
            text += &format!(" After a zap {} ticks pass before the next.", self.cooldown);
        }
        if self.penalty > 0.0 {
            text += &format!(" Whoever is hit loses {} {unit}.", self.penalty);
        }
        if self.cost > 0.0 {
            text += &format!(" Each zap costs you {} {unit}.", self.cost);
        }
        text
    }
}

/// For how many more ticks a seat cannot act.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timeout {
    pub(crate) left: u32,
}

/// For how many more ticks a seat cannot zap.
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cooldown {
    pub(crate) left: u32,
}

/// Time passes for those who are timed out. Intake has refused their actions of this tick already.
pub(crate) fn wear(mut timeouts: Query<&mut Timeout>) {
    for mut timeout in &mut timeouts {
        if timeout.left > 0 {
            timeout.left -= 1;
        }
    }
}

/// Fires all beams.
pub(crate) fn zap(
    rules: Res<Rules>,
    orders: Res<Orders>,
    bodies: Res<Bodies>,
    cells: Res<Cells>,
    mut out: ResMut<Outbox<by::Sanction>>,
    places: Query<(&Position, &Facing)>,
    mut clocks: Query<(&mut Timeout, &mut Cooldown)>,
) {
    let (Some(config), Some(space)) = (&rules.spec.mechanics.sanction, &rules.spec.space) else {
        return;
    };
    let mut hits: Vec<(SeatId, SeatId)> = Vec::new();
    let mut fired: Vec<SeatId> = Vec::new();
    for (index, order) in orders.of(rules.ids.zap) {
        let entity = bodies.0[order.seat.index()];
        let (Ok((position, facing)), Ok((_, cooldown))) = (places.get(entity), clocks.get(entity))
        else {
            continue;
        };
        if cooldown.left > 0 {
            let reason = format!("the beam is ready in {} ticks", cooldown.left);
            out.refuse(index, Code::Cooldown, reason);
            continue;
        }
        fired.push(order.seat);
        let mut struck = beam(&space.grid, &cells, config, position.0, facing.0);
        struck.retain(|target| *target != order.seat);
        let (x, y) = space.grid.place(position.0);
        out.events.push(
            Event::new("sanction.zap")
                .seat(order.seat)
                .at(x, y)
                .field("dir", facing.0.name())
                .field("length", config.length)
                .field("width", config.width),
        );
        if config.cost > 0.0 {
            out.gains.push((order.seat, -config.cost));
        }
        hits.extend(struck.into_iter().map(|target| (order.seat, target)));
    }
    // Who was timed out before this tick's beams is not hit again; who is hit twice in one tick is timed out once.
    hits.retain(|(_, target)| {
        clocks
            .get(bodies.0[target.index()])
            .is_ok_and(|(timeout, _)| timeout.left == 0)
    });
    for (_, mut cooldown) in &mut clocks {
        if cooldown.left > 0 {
            cooldown.left -= 1;
        }
    }
    for seat in fired {
        if let Ok((_, mut cooldown)) = clocks.get_mut(bodies.0[seat.index()]) {
            cooldown.left = config.cooldown;
        }
    }
    for (seat, target) in hits {
        let entity = bodies.0[target.index()];
        if let (Ok((mut timeout, _)), Ok((position, _))) =
            (clocks.get_mut(entity), places.get(entity))
        {
            timeout.left = config.timeout;
            let (x, y) = space.grid.place(position.0);
            let event = Event::new("sanction.hit").seat(seat).other(target).at(x, y);
            out.events.push(
                event
                    .field("timeout", i64::from(config.timeout))
                    .field("penalty", config.penalty),
            );
            if config.penalty > 0.0 {
                out.gains.push((target, -config.penalty));
            }
        }
    }
}

/// Whom a beam strikes, sorted by seat.
fn beam(grid: &Grid, cells: &Cells, config: &Config, from: u32, dir: Dir) -> Vec<SeatId> {
    let (x, y) = grid.place(from);
    let (dx, dy) = dir.step();
    let clear = |cell: u32| !cells.solid[cell as usize] && !cells.opaque[cell as usize];
    let mut struck = Vec::new();
    for (side_x, side_y) in [(-dy, dx), (dy, -dx)] {
        for offset in 0..=config.width / 2 {
            let start = (x + side_x * offset, y + side_y * offset);
            // A ray beside the first one starts next to the body: what blocks that cell blocks it and all beyond.
            if offset > 0 && !grid.cell(start.0, start.1).is_some_and(clear) {
                break;
            }
            for step in 1..=config.length {
                let Some(cell) = grid.cell(start.0 + dx * step, start.1 + dy * step) else {
                    break;
                };
                if !clear(cell) {
                    break;
                }
                if let Some(seat) = cells.body[cell as usize].checked_sub(1) {
                    struck.push(SeatId(seat));
                    break;
                }
            }
        }
    }
    struck.sort_unstable();
    struck.dedup();
    struck
}
