//! Metrics, and when a run is over. It must not change anything but its own tallies.

use crate::component::Cells;
use crate::event::Event;
use crate::mechanic::report;
use crate::mechanic::score::gini;
use crate::scenario::{Source, Spec};
use bevy_ecs::prelude::{Resource, World as EcsWorld};
use serde::{Deserialize, Serialize};

/// How many events each metric of events has counted: in the last tick, or in the run.
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tallies(pub(crate) Vec<u64>);

impl Tallies {
    pub(crate) fn new(metrics: usize) -> Self {
        Self(vec![0; metrics])
    }
}

/// Counts the events of a tick.
pub(super) fn count(ecs: &mut EcsWorld, spec: &Spec, events: &[Event]) {
    let mut tallies = ecs.resource_mut::<Tallies>();
    for (tally, metric) in tallies.0.iter_mut().zip(&spec.metrics) {
        if let Source::Events { filter, run } = &metric.source {
            let now = events.iter().filter(|event| filter.takes(event)).count() as u64;
            *tally = if *run { tally.saturating_add(now) } else { now };
        }
    }
}

/// One number for each metric.
pub(super) fn metrics(ecs: &EcsWorld, spec: &Spec, scores: &[f64]) -> Vec<f64> {
    let tallies = ecs.resource::<Tallies>();
    let sum = scores.iter().sum::<f64>();
    let measure = |(metric, tally): (&crate::scenario::MetricSpec, &u64)| match &metric.source {
        Source::Count(kind) => {
            let bodies: u32 = spec
                .seats
                .iter()
                .filter(|group| group.kind == *kind)
                .map(|group| group.count)
                .sum();
            let standing = ecs
                .resource::<Cells>()
                .kind
                .iter()
                .filter(|cell| **cell == kind + 1)
                .count();
            let bodies = if spec.space.is_some() {
                f64::from(bodies)
            } else {
                0.0
            };
            bodies + standing as f64
        }
        Source::Events { .. } => *tally as f64,
        Source::Report { report, field, of } => report::measure(ecs, *report, *field, *of),
        Source::Sum => sum,
        Source::Mean => sum / scores.len().max(1) as f64,
        Source::Gini => gini(scores),
    };
    spec.metrics.iter().zip(&tallies.0).map(measure).collect()
}

/// Why the run is over after this tick, if it is. `[time] ticks` is not asked: that end is the host's, which may have
/// been told another one.
pub(super) fn ended(spec: &Spec, tick: u64, metrics: &[f64]) -> Option<String> {
    for when in &spec.end {
        let (value, name) = (metrics[when.metric], &spec.metrics[when.metric].name);
        if let Some(limit) = when.below.filter(|limit| value < *limit) {
            return Some(format!("{name} is {value}, below {limit}"));
        }
        if let Some(limit) = when.above.filter(|limit| value > *limit) {
            return Some(format!("{name} is {value}, above {limit}"));
        }
    }
    let matrix = spec.mechanics.matrix.as_ref()?;
    (tick >= matrix.ticks(spec.seat_count())).then(|| "all rounds are played".into())
}
