//! Keyframes: the whole state as bytes, and back. It must not know what the parts mean, but checks what they claim.
//!
//! Layout: `FMKF`, format 1 and the semantics version as 32-bit numbers, the number of parts, then each as name length,
//! name, length, bytes (numbers little-endian, 32 bits), and at the end XXH3-64 of all before it.

use super::World;
use crate::SEMANTICS;
use crate::component::{Bodies, Held, Mailbox, Position, Presence, Score, Seat};
use crate::mechanic::harvest::{Orchard, Sites};
use crate::mechanic::matrix::{MISSED, Matches};
use crate::mechanic::report::Reports;
use crate::mechanic::score::MAX_SCORE;
use crate::scenario::{Diagnostic, Params, Scenario};
use crate::world::measure::Tallies;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = b"FMKF";
const FORMAT: u32 = 1;

/// Why a keyframe cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The scenario itself does not work with these parameters.
    #[error("the scenario has faults, the first is {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Scenario(Vec<Diagnostic>),
    /// The bytes are no keyframe, or were changed.
    #[error("the keyframe is damaged: {0}")]
    Damaged(String),
    /// The keyframe is of another format or semantics version.
    #[error("the keyframe has {what} {found}, this engine has {have}")]
    Version {
        /// `format` or `semantics version`.
        what: &'static str,
        /// What the keyframe has.
        found: u32,
        /// What this engine has.
        have: u32,
    },
    /// The keyframe is whole, but not of this scenario with these parameters.
    #[error("the keyframe does not fit the scenario: {0}")]
    Mismatch(String),
}

impl World {
    /// The whole state as bytes.
    #[must_use]
    pub fn keyframe(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let number = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_le_bytes());
        number(&mut out, FORMAT);
        number(&mut out, SEMANTICS);
        number(&mut out, self.registry.parts.len() as u32);
        let mut bytes = Vec::new();
        for part in &self.registry.parts {
            bytes.clear();
            (part.encode)(&self.ecs, &mut bytes);
            number(&mut out, part.name.len() as u32);
            out.extend_from_slice(part.name.as_bytes());
            number(&mut out, bytes.len() as u32);
            out.extend_from_slice(&bytes);
        }
        let check = xxh3_64(&out);
        out.extend_from_slice(&check.to_le_bytes());
        out
    }

    /// Brings a world back: scenario, params and seed must be those it was made with.
    ///
    /// # Errors
    /// See [`RestoreError`]; any bytes will do, none make it panic.
    pub fn restore(
        scenario: &Scenario,
        params: &Params,
        seed: u64,
        bytes: &[u8],
    ) -> Result<Self, RestoreError> {
        let mut world = Self::new(scenario, params, seed).map_err(RestoreError::Scenario)?;
        let damaged = |what: &str| RestoreError::Damaged(what.to_owned());
        let (body, check) = bytes
            .split_last_chunk::<8>()
            .ok_or_else(|| damaged("it is too short"))?;
        if u64::from_le_bytes(*check) != xxh3_64(body) {
            return Err(damaged("its check value is wrong"));
        }
        let mut rest = body
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("it does not begin like a keyframe"))?;
        for (what, have) in [("format", FORMAT), ("semantics version", SEMANTICS)] {
            let found = number(&mut rest).ok_or_else(|| damaged("it ends early"))?;
            if found != have {
                return Err(RestoreError::Version { what, found, have });
            }
        }
        let count = number(&mut rest).ok_or_else(|| damaged("it ends early"))?;
        if count as usize != world.registry.parts.len() {
            return Err(RestoreError::Mismatch(format!("it has {count} parts")));
        }
        for part in &world.registry.parts {
            let name = piece(&mut rest).ok_or_else(|| damaged("it ends early"))?;
            let bytes = piece(&mut rest).ok_or_else(|| damaged("it ends early"))?;
            if name != part.name.as_bytes() {
                return Err(RestoreError::Mismatch(format!(
                    "part {} is missing",
                    part.name
                )));
            }
            (part.decode)(&mut world.ecs, bytes)
                .map_err(|what| RestoreError::Mismatch(format!("part {}: {what}", part.name)))?;
        }
        world
            .check_state()
            .map_err(|what| RestoreError::Mismatch(what.to_owned()))?;
        world.refresh();
        Ok(world)
    }

    /// What every step keeps true; a keyframe could say otherwise.
    pub(super) fn check_state(&self) -> Result<(), &'static str> {
        let spec = &self.rules.spec;
        let bodies = &self.ecs.resource::<Bodies>().0;
        let mut taken = vec![false; spec.space.as_ref().map_or(0, |space| space.kinds.len())];
        for (index, entity) in bodies.iter().enumerate() {
            let seat = self.ecs.get::<Seat>(*entity).ok_or("a seat is missing")?;
            if seat.0.index() != index {
                return Err("seats are out of order");
            }
            if let (Some(position), Some(space)) = (self.ecs.get::<Position>(*entity), &spec.space)
            {
                let cell = position.0 as usize;
                let kind = *space.kinds.get(cell).ok_or("a body is outside the map")?;
                if kind > 0 && spec.kinds[usize::from(kind) - 1].solid {
                    return Err("a body is in something solid");
                }
                if std::mem::replace(&mut taken[cell], true) {
                    return Err("two bodies share a cell");
                }
            }
            let score = self.ecs.get::<Score>(*entity).map_or(0.0, |score| score.0);
            if !score.is_finite() || score.abs() > MAX_SCORE {
                return Err("a score is out of range");
            }
            if let Some(config) = &spec.mechanics.report {
                let kept = self.ecs.get::<Reports>(*entity);
                if !kept.is_some_and(|kept| kept.holds(config, self.tick())) {
                    return Err("a report that the scenario does not have");
                }
            }
            if let Some(think) = &spec.time.think {
                let held = self.ecs.get::<Held>(*entity);
                if held.is_none_or(|held| held.left > think.max_ticks) {
                    return Err("an act that is held for longer than the scenario allows");
                }
            }
            let mailbox = self
                .ecs
                .get::<Mailbox>(*entity)
                .ok_or("a mailbox is missing")?;
            if mailbox
                .heard
                .iter()
                .any(|heard| heard.from.index() >= bodies.len())
            {
                return Err("words of a seat that does not exist");
            }
            let last = &self
                .ecs
                .get::<Presence>(*entity)
                .ok_or("a presence is missing")?
                .last;
            let valid = |call: &crate::ActionCall| {
                self.rules
                    .catalogue
                    .get(call.action.index())
                    .is_some_and(|s| s.check(&call.args, bodies.len()).is_ok())
            };
            if !last.iter().all(valid) {
                return Err("a last action that the scenario does not have");
            }
        }
        if self.ecs.resource::<Orchard>().live.len() != self.ecs.resource::<Sites>().cells.len() {
            return Err("another number of sites");
        }
        if self.ecs.resource::<Tallies>().0.len() != spec.metrics.len() {
            return Err("another number of metrics");
        }
        let matches = &self.ecs.resource::<Matches>().played;
        let players = if spec.mechanics.matrix.is_some() {
            bodies.len()
        } else {
            0
        };
        if matches.len() != Matches::new(players).played.len() {
            return Err("another number of pairs");
        }
        let letters = spec
            .mechanics
            .matrix
            .as_ref()
            .map_or(&[][..], |matrix| &matrix.letters);
        let known = |letter: &u8| *letter == MISSED || letters.contains(letter);
        if !matches.iter().flatten().flatten().all(known) {
            return Err("a move that the game does not have");
        }
        Ok(())
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(u32::from_le_bytes(*head))
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)? as usize;
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}
