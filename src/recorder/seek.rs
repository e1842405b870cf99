//! The world of a recording at a tick: the nearest keyframe before it, and the inputs since.
//!
//! Starts no process and writes nothing. Must not know what the world is wanted for.

use formicarium_engine::{TickInput, TickOutput, World};

use super::RecorderError;
use super::reader::Recording;
use super::replay::{ReplayError, executable, initial_world, setting_at};

/// Why a tick cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SeekError {
    /// The recording cannot be read, or not be re-executed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A keyframe.
    #[error(
        "the keyframe of tick {tick} cannot be restored: {why}; formicarium verify says what is damaged"
    )]
    Keyframe {
        /// Its tick.
        tick: u64,
        /// Why not.
        why: String,
    },
    /// There is no such tick.
    #[error("the recording ends at tick {last}; tick {tick} was never made")]
    Beyond {
        /// Asked for.
        tick: u64,
        /// The last one.
        last: u64,
    },
}

impl From<RecorderError> for SeekError {
    fn from(error: RecorderError) -> Self {
        SeekError::Replay(error.into())
    }
}

/// The world from which a tick can be made: that of the newest keyframe at or before it, or the initial one.
///
/// # Errors
/// See [`SeekError`]; never that it is beyond.
pub(super) fn nearest(recording: &Recording, tick: u64) -> Result<World, SeekError> {
    let Some((at, body)) = recording.keyframe_before(tick)?.filter(|(at, _)| *at > 0) else {
        return Ok(initial_world(recording)?);
    };
    executable(recording)?;
    let (scenario, params) = setting_at(recording, at)?;
    let broken = |why: String| SeekError::Keyframe { tick: at, why };
    match World::restore(&scenario, &params, recording.meta.seed, &body) {
        Ok(world) if world.tick() == at => Ok(world),
        Ok(world) => Err(broken(format!("it is of tick {}", world.tick()))),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// The world after `tick` steps, made from the newest keyframe at or before `from`, and what the steps after `from` put out.
/// `from` is at most `tick`; what is put out costs memory.
///
/// # Errors
/// See [`SeekError`].
pub fn world_at(
    recording: &Recording,
    from: u64,
    tick: u64,
) -> Result<(World, Vec<TickOutput>), SeekError> {
    let last = recording.last_tick()?;
    if tick > last {
        return Err(SeekError::Beyond { tick, last });
    }
    let mut world = nearest(recording, from)?;
    let mut outputs = Vec::new();
    let first = world.tick() + 1;
    recording.inputs_between(
        first,
        tick,
        |input: TickInput| -> Result<(), RecorderError> {
            let output = world.step(&input);
            if input.tick > from {
                outputs.push(output);
            }
            Ok(())
        },
    )?;
    Ok((world, outputs))
}
