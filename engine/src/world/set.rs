//! Parameters that change while the world goes on: the same state under other rules.
//!
//! As a keyframe would be restored with other parameters; so whoever restores one has to know them. It must not know which
//! parameters there are.

use super::{RestoreError, World};
use crate::event::Event;
use crate::mechanic::{NOT_SET, SET};
use crate::scenario::{Diagnostic, Params, Scenario};
use std::sync::Arc;

/// What a world was made from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    scenario: Arc<Scenario>,
    pub(super) params: Params,
    pub(super) seed: u64,
}

impl Source {
    pub(super) fn new(scenario: &Scenario, params: &Params, seed: u64) -> Self {
        Self {
            scenario: Arc::new(scenario.clone()),
            params: params.clone(),
            seed,
        }
    }
}

impl World {
    /// Whether a parameter could be set now.
    ///
    /// # Errors
    /// Why not, in a sentence.
    pub fn could_set(&self, name: &str, value: &str) -> Result<(), String> {
        self.with(name, value).map(drop)
    }

    /// Another world from a keyframe of this one, with the parameters that it has now.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn restored(&self, keyframe: &[u8]) -> Result<Self, RestoreError> {
        let source = &self.source;
        let mut world = Self::restore(&source.scenario, &source.params, source.seed, keyframe)?;
        world.source.scenario = Arc::clone(&source.scenario);
        Ok(world)
    }

    /// Sets parameters one after the other; tells of each.
    pub(super) fn set(&mut self, set: &[(String, String)]) -> Vec<Event> {
        let mut events = Vec::with_capacity(set.len());
        for (name, value) in set {
            let mut event = match self.with(name, value) {
                Ok(world) => {
                    *self = world;
                    Event::new(SET)
                }
                Err(why) => {
                    let mut event = Event::new(NOT_SET);
                    event.text = Some(why);
                    event
                }
            };
            event = event.field("name", name.clone());
            events.push(event.field("value", value.clone()));
        }
        events
    }

    /// Whether both have the same seats and the same actions, whatever words describe them.
    fn is_like(&self, other: &Self) -> bool {
        let seats = self.seats.iter().map(|seat| (&seat.name, &seat.group));
        let actions = self.catalogue().iter();
        let actions = actions.map(|spec| (&spec.name, &spec.params, spec.speech));
        seats.eq(other.seats.iter().map(|seat| (&seat.name, &seat.group)))
            && actions.eq(other
                .catalogue()
                .iter()
                .map(|spec| (&spec.name, &spec.params, spec.speech)))
    }

    /// This world with another value of one parameter.
    fn with(&self, name: &str, value: &str) -> Result<Self, String> {
        let source = &self.source;
        let now = source.params.iter();
        let mut overrides: Vec<(String, String)> = now
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect();
        match overrides.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            // The scenario says what it has instead.
            None => overrides.push((name.to_owned(), value.to_owned())),
        }
        let params = source
            .scenario
            .params(&overrides)
            .map_err(|list| words(&list))?;
        let fresh =
            Self::new(&source.scenario, &params, source.seed).map_err(|list| words(&list))?;
        if !fresh.is_like(self) {
            return Err(format!(
                "{name} = {value} would make other seats or other actions"
            ));
        }
        let mut world = Self::restore(&source.scenario, &params, source.seed, &self.keyframe())
            .map_err(|error| format!("{name} = {value} would make another world of it: {error}"))?;
        world.source.scenario = Arc::clone(&source.scenario);
        // The host may have said when the run ends.
        world.set_ticks(self.rules.spec.time.ticks);
        Ok(world)
    }
}

fn words(list: &[Diagnostic]) -> String {
    let Some(first) = list.first() else {
        return String::new();
    };
    // Its place is none of a file's.
    match &first.expected {
        Some(expected) => format!("{} (expected {expected})", first.message),
        None => first.message.clone(),
    }
}
