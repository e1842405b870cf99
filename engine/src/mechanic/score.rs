//! What seats earn, and numbers about it. It must not know what they earn it for.

use super::order::{Outbox, by};
use crate::component::{Bodies, Score};
use crate::event::Event;
use crate::scenario::Spec;
use bevy_ecs::prelude::*;

/// The largest score; beyond it a score stays where it is, so that it is finite for ever.
pub(crate) const MAX_SCORE: f64 = 1e15;

pub(crate) fn rules(spec: &Spec) -> String {
    let mut text = format!(
        "Your score counts {}; the {} is best.",
        spec.score.unit, spec.score.best
    );
    for earn in &spec.earn {
        text += &format!(
            " Each of your events {} gives {}.",
            earn.filter.words(),
            earn.points
        );
    }
    text
}

/// Gains become scores: mechanic by mechanic in a fixed order, since sums of floating-point numbers depend on it.
pub(crate) fn gain(
    bodies: Res<Bodies>,
    mut sanction: ResMut<Outbox<by::Sanction>>,
    mut harvest: ResMut<Outbox<by::Harvest>>,
    mut matrix: ResMut<Outbox<by::Matrix>>,
    mut scores: Query<&mut Score>,
) {
    let gains = sanction
        .gains
        .drain(..)
        .chain(harvest.gains.drain(..))
        .chain(matrix.gains.drain(..));
    for (seat, points) in gains {
        if let Ok(mut score) = scores.get_mut(bodies.0[seat.index()]) {
            add(&mut score, points);
        }
    }
}

/// What events earn for their seats, once all of a step are told: event by event, in the order of `[[score.earn]]`.
pub(crate) fn earn(ecs: &mut World, spec: &Spec, events: &[Event]) {
    for event in events {
        for earn in spec.earn.iter().filter(|earn| earn.filter.takes(event)) {
            let body = event
                .seat
                .and_then(|seat| ecs.resource::<Bodies>().0.get(seat.index()).copied());
            if let Some(mut score) = body.and_then(|body| ecs.get_mut::<Score>(body)) {
                add(&mut score, earn.points);
            }
        }
    }
}

fn add(score: &mut Score, points: f64) {
    score.0 = (score.0 + points).clamp(-MAX_SCORE, MAX_SCORE);
}

/// The Gini coefficient: mean absolute difference of all pairs over twice the mean. 0 where the mean is not positive.
pub(crate) fn gini(scores: &[f64]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let sum: f64 = sorted.iter().sum();
    if sum <= 0.0 {
        return 0.0;
    }
    let weighted: f64 = sorted
        .iter()
        .enumerate()
        .map(|(rank, score)| (2.0 * (rank as f64 + 1.0) - n - 1.0) * score)
        .sum();
    weighted / (n * sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gini_of_known_cases() {
        assert_eq!(gini(&[]), 0.0);
        assert_eq!(gini(&[0.0, 0.0]), 0.0);
        assert_eq!(gini(&[3.0, 3.0, 3.0]), 0.0);
        assert!((gini(&[0.0, 0.0, 0.0, 8.0]) - 0.75).abs() < 1e-12);
        assert!((gini(&[1.0, 2.0, 3.0]) - 2.0 / 9.0).abs() < 1e-12);
    }
}
