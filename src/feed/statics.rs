//! What never changes in a run, as spectators are told it. Must not know where the run stands.

use formicarium_engine::{ActionSpec, Params, Picture, Scenario};

use super::wire::{self, Static};
use crate::recorder::RunMeta;

/// What spectators are told once. `casts` are all of the scenario, and the command line starts such a run.
pub fn of(
    scenario: &Scenario,
    params: &Params,
    meta: &RunMeta,
    (casts, command): (&[String], &str),
    picture: &Picture,
    actions: &[ActionSpec],
) -> Static {
    Static {
        scenario: wire::ScenarioInfo {
            name: scenario.name().to_owned(),
            title: scenario.title().to_owned(),
            summary: scenario.summary().to_owned(),
        },
        run: meta.run.clone(),
        seed: meta.seed.to_string(),
        params: serde_json::to_value(params).unwrap_or_default(),
        mode: meta.mode.clone(),
        hz: meta.hz,
        cast: meta.cast.clone(),
        casts: casts.to_vec(),
        command: command.to_owned(),
        isolation: meta.isolation.clone(),
        space: picture.space.map(|space| wire::Space {
            width: space.width,
            height: space.height,
            torus: space.torus,
        }),
        kinds: picture.kinds.clone(),
        terrain: picture.terrain.clone(),
        seats: meta
            .seats
            .iter()
            .map(|seat| wire::SeatInfo {
                name: seat.seat.clone(),
                group: seat.group.clone(),
                agent: seat.agent.clone(),
            })
            .collect(),
        metrics: scenario
            .metrics()
            .iter()
            .map(|metric| wire::MetricInfo {
                name: metric.name.clone(),
                title: metric.title.clone(),
                unit: metric.unit.clone(),
            })
            .collect(),
        score: wire::ScoreInfo {
            unit: scenario.score().unit.clone(),
            best: scenario.score().best.to_owned(),
        },
        actions: actions
            .iter()
            .map(|spec| wire::ActionInfo {
                name: spec.name.clone(),
                description: spec.description.clone(),
            })
            .collect(),
    }
}
