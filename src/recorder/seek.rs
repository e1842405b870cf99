//! The world of a recording at a tick: the nearest keyframe before it, and the inputs since.
//!
//! Starts no process and writes nothing. Must not know what the world is wanted for.

use formicarium_engine::{TickInput, TickOutput, World};

use super::RecorderError;
use super::reader::Recording;
use super::replay::{ReplayError, executable, initial_world, setting};

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
    executable(recording)?;
    let mut world = match recording.keyframe_before(from)? {
        Some((at, body)) => {
            let (scenario, params) = setting(recording)?;
            World::restore(&scenario, &params, recording.meta.seed, &body).map_err(|error| {
                SeekError::Keyframe {
                    tick: at,
                    why: error.to_string(),
                }
            })?
        }
        None => initial_world(recording)?,
    };
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
