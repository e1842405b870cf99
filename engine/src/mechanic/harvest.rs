//! Things that are eaten and grow back by how many of their kind are near. It must not know who eats, or why.
//!
//! The rule of growth is that of the commons of Perolat et al., "A multi-agent reinforcement learning model of
//! common-pool resource appropriation" (2017), with the numbers of Melting Pot's commons_harvest (Leibo et al. 2021)
//! in the shipped scenario: an empty site grows with a probability that depends on the live sites within a Euclidean
//! radius, counted after this tick's eating and before this tick's growth.

use super::movement::Moved;
use super::order::{Clock, Outbox, Rules, by};
use crate::component::{Bodies, Cells, Position};
use crate::event::Event;
use crate::rng::{Stream, System};
use crate::scenario::reader::Table;
use crate::scenario::{Kind, Space, Spec, kind_named};
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

/// `[mechanic.harvest]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Index of the kind.
    pub(crate) kind: u16,
    /// Points for one.
    pub(crate) reward: f64,
    /// Probability of growth a tick, by the number of live sites near; the last one stands for more.
    pub(crate) regrow: Vec<f64>,
    /// Euclidean radius in cells.
    pub(crate) radius: f64,
}

impl Config {
    pub(crate) fn read(table: &Table<'_>, kinds: &[Kind]) -> Option<Self> {
        let reward = table.float_or("reward", -1e9..=1e9, 1.0);
        let radius = table.float_or("regrow_radius", 0.0..=10.0, 2.0);
        let regrow = table
            .need(
                "regrow",
                "a list of probabilities, by the number of live neighbours from 0",
            )
            .and_then(|item| {
                let items = item.list()?;
                if items.is_empty() || items.len() > 400 {
                    item.fault(format!("`{}` has {} entries", item.path(), items.len()))
                        .expected("1 to 400");
                }
                Some(
                    items
                        .iter()
                        .filter_map(|item| item.float(0.0..=1.0))
                        .collect::<Vec<f64>>(),
                )
            })
            .unwrap_or_default();
        let item = table.need("kind", "the name of a kind that stands on the map")?;
        let kind = kind_named(&item, &item.text()?, kinds)?;
        if kinds[usize::from(kind)].solid {
            item.fault(format!(
                "kind `{}` is solid, so nobody can enter its cell",
                kinds[usize::from(kind)].name
            ))
            .help("set solid = false");
        }
        Some(Self {
            kind,
            reward,
            regrow,
            radius,
        })
    }

    pub(crate) fn rules(&self, spec: &Spec) -> String {
        let kind = &spec.kinds[usize::from(self.kind)].name;
        let chances: Vec<String> = self
            .regrow
            .iter()
            .map(|p| format!("{}%", p * 100.0))
            .collect();
        format!(
            "Enter the cell of one {kind} to eat it: {} {}. Where one was eaten another may grow back: each tick with \
             a chance of {} when 0, 1, 2, ... live ones are within {} cells (the last number also for more), and never \
             under a body.",
            self.reward,
            spec.score.unit,
            chances.join(", "),
            self.radius
        )
    }
}

/// The sites, in the map's order, and which of them are live.
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orchard {
    pub(crate) live: Vec<bool>,
}

/// Where the sites are and which are near each other. Follows from the scenario.
#[derive(Resource, Clone, Debug, Default)]
pub(crate) struct Sites {
    pub(crate) cells: Vec<u32>,
    /// For each site, the sites within the radius, sorted.
    near: Vec<Vec<u32>>,
    /// For each cell, site + 1, 0 for none.
    at: Vec<u32>,
}

impl Sites {
    pub(crate) fn new(config: &Config, space: &Space) -> Self {
        let cells: Vec<u32> = (0..space.kinds.len() as u32)
            .filter(|cell| space.kinds[*cell as usize] == config.kind + 1)
            .collect();
        let mut at = vec![0; space.kinds.len()];
        for (site, cell) in cells.iter().enumerate() {
            at[*cell as usize] = site as u32 + 1;
        }
        let reach = config.radius.floor() as i32;
        let near = cells
            .iter()
            .map(|cell| {
                let (x, y) = space.grid.place(*cell);
                let mut near: Vec<u32> = Vec::new();
                for dy in -reach..=reach {
                    for dx in -reach..=reach {
                        if f64::from(dx * dx + dy * dy) > config.radius * config.radius {
                            continue;
                        }
                        let other = space
                            .grid
                            .cell(x + dx, y + dy)
                            .filter(|other| other != cell);
                        near.extend(
                            other
                                .map(|other| at[other as usize])
                                .filter(|site| *site > 0)
                                .map(|site| site - 1),
                        );
                    }
                }
                // On a small torus two ways may lead to one cell.
                near.sort_unstable();
                near.dedup();
                near
            })
            .collect();
        Self { cells, near, at }
    }
}

/// Who entered a live site eats it.
pub(crate) fn eat(
    rules: Res<Rules>,
    bodies: Res<Bodies>,
    moved: Res<Moved>,
    sites: Res<Sites>,
    mut orchard: ResMut<Orchard>,
    mut cells: ResMut<Cells>,
    mut out: ResMut<Outbox<by::Harvest>>,
    places: Query<&Position>,
) {
    let (Some(config), Some(space)) = (&rules.spec.mechanics.harvest, &rules.spec.space) else {
        return;
    };
    for seat in &moved.0 {
        let Ok(position) = places.get(bodies.0[seat.index()]) else {
            continue;
        };
        let site = sites.at[position.0 as usize] as usize;
        if site == 0 || !orchard.live[site - 1] {
            continue;
        }
        orchard.live[site - 1] = false;
        cells.kind[position.0 as usize] = 0;
        let (x, y) = space.grid.place(position.0);
        out.events.push(
            Event::new("harvest.ate")
                .seat(*seat)
                .at(x, y)
                .field("reward", config.reward),
        );
        out.gains.push((*seat, config.reward));
    }
}

/// Empty sites may grow.
pub(crate) fn regrow(
    rules: Res<Rules>,
    clock: Res<Clock>,
    sites: Res<Sites>,
    mut orchard: ResMut<Orchard>,
    mut cells: ResMut<Cells>,
    mut out: ResMut<Outbox<by::Harvest>>,
) {
    let (Some(config), Some(space)) = (&rules.spec.mechanics.harvest, &rules.spec.space) else {
        return;
    };
    let mut grown = Vec::new();
    for (site, cell) in sites.cells.iter().enumerate() {
        if orchard.live[site] || cells.body[*cell as usize] != 0 {
            continue;
        }
        let near = sites.near[site]
            .iter()
            .filter(|other| orchard.live[**other as usize])
            .count();
        let chance = config.regrow[near.min(config.regrow.len() - 1)];
        if chance > 0.0 && Stream::new(rules.seed, clock.0, System::Regrow, *cell).unit() < chance {
            grown.push(site);
        }
    }
    for site in grown {
        let cell = sites.cells[site];
        orchard.live[site] = true;
        cells.kind[cell as usize] = config.kind + 1;
        let (x, y) = space.grid.place(cell);
        out.events.push(Event::new("harvest.grew").at(x, y));
    }
}
