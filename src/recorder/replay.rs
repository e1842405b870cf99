//! Re-executes a recording and compares every hash. Starts no process and writes nothing.

use std::path::Path;

use formicarium_engine::{Diagnostic, Params, SEMANTICS, Scenario, TickInput, World};

use super::reader::Recording;
use super::seek::{SeekError, nearest};
use super::{RecorderError, hash_text};

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every tick was made again with the same hash.
    Equal {
        /// The first tick that was compared.
        first: u64,
        /// The last one: from the beginning, the number of steps.
        ticks: u64,
        /// Hash after the last one.
        hash: String,
    },
    /// The first tick whose hash differs.
    Different {
        /// The tick.
        tick: u64,
        /// Name of the first part of the world that differs.
        part: String,
        /// Hash in the recording.
        recorded: String,
        /// Hash of the re-execution.
        replayed: String,
    },
    /// A row that is not what was written, or is missing.
    Damaged {
        /// Its tick.
        tick: u64,
        /// How it was seen.
        why: String,
    },
}

/// Why a replay could not be done at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// It was made under other world rules.
    #[error(
        "this recording needs semantics version {needs}; this host has version {has}. Its tables open with any SQLite; to replay it use formicarium {host}."
    )]
    Semantics {
        /// Version of the recording.
        needs: u32,
        /// Version of this host.
        has: u32,
        /// Host that recorded it.
        host: String,
    },
    /// There are no such ticks.
    #[error("there are no ticks {from} to {}: this recording has ticks 0 to {last}", .to.map_or("the end".to_owned(), |to| to.to_string()))]
    Range {
        /// The first tick that was asked for.
        from: u64,
        /// The last one.
        to: Option<u64>,
        /// The last one there is.
        last: u64,
    },
    /// The embedded scenario does not load.
    #[error("the scenario inside the recording does not load: {0}")]
    Scenario(String),
}

/// Builds the world that a recording starts from.
pub fn initial_world(recording: &Recording) -> Result<World, ReplayError> {
    executable(recording)?;
    let (scenario, params) = setting(recording)?;
    World::new(&scenario, &params, recording.meta.seed).map_err(broken)
}

/// Whether this host has the rules that the recording was made under.
pub(super) fn executable(recording: &Recording) -> Result<(), ReplayError> {
    let meta = &recording.meta;
    match meta.semantics == SEMANTICS {
        true => Ok(()),
        false => Err(ReplayError::Semantics {
            needs: meta.semantics,
            has: SEMANTICS,
            host: meta.host_version.clone(),
        }),
    }
}

/// The scenario inside a recording, and the parameters that its run began with.
pub fn setting(recording: &Recording) -> Result<(Scenario, Params), ReplayError> {
    setting_at(recording, 0)
}

/// The same with the parameters after a tick: some may have been set since.
pub(super) fn setting_at(
    recording: &Recording,
    tick: u64,
) -> Result<(Scenario, Params), ReplayError> {
    let scenario = Scenario::load(&recording.bundle()?).map_err(broken)?;
    let mut set = recording.meta.set.clone();
    for (name, value) in recording.set_until(tick)? {
        set.retain(|(known, _)| *known != name);
        set.push((name, value));
    }
    let params = scenario.params(&set).map_err(broken)?;
    Ok((scenario, params))
}

fn broken(list: Vec<Diagnostic>) -> ReplayError {
    let words: Vec<String> = list.iter().map(ToString::to_string).collect();
    ReplayError::Scenario(words.join("; "))
}

/// Re-executes the run at `path` and compares. `progress` is called with each tick done.
pub fn replay(path: &Path, progress: impl FnMut(u64)) -> Result<Verdict, ReplayError> {
    replay_part(path, 0, None, progress)
}

/// As [`replay`], but compares only the ticks from `from` up to `to`, and starts from the nearest keyframe before them. What
/// lies before is believed.
pub fn replay_part(
    path: &Path,
    from: u64,
    to: Option<u64>,
    mut progress: impl FnMut(u64),
) -> Result<Verdict, ReplayError> {
    let recording = Recording::open(path)?;
    let last_tick = recording.last_tick()?;
    if from > to.unwrap_or(last_tick) || to.is_some_and(|to| to > last_tick) {
        return Err(ReplayError::Range {
            from,
            to,
            last: last_tick,
        });
    }
    let mut world = match nearest(&recording, from) {
        Ok(world) => world,
        Err(SeekError::Keyframe { tick, why }) => {
            let why = format!("its keyframe: {why}");
            return Ok(Verdict::Damaged { tick, why });
        }
        Err(SeekError::Replay(error)) => return Err(error),
        Err(SeekError::Beyond { .. }) => unreachable!("the range was checked"),
    };
    let last_hashed = recording.last_hashed()?;
    let first = world.tick();

    let parts: Vec<u64> = world.parts().iter().map(|(_, part)| short(*part)).collect();
    if first == from
        && let Some(verdict) = compare(&recording, first, world.hash(), &parts, last_hashed)?
    {
        return Ok(verdict);
    }
    let mut hash = world.hash();
    let mut found = None;
    let last = to.unwrap_or(u64::MAX);
    let result =
        recording.inputs_between(first + 1, last, |input: TickInput| -> Result<(), Stop> {
            let tick = input.tick;
            if tick != world.tick() + 1 {
                found = Some(Verdict::Damaged {
                    tick: world.tick() + 1,
                    why: format!("its input says it is of tick {tick}"),
                });
                return Err(Stop::Found);
            }
            let output = world.step(&input);
            hash = output.hash;
            if tick >= from
                && let Some(verdict) = compare(&recording, tick, hash, &output.parts, last_hashed)?
            {
                found = Some(verdict);
                return Err(Stop::Found);
            }
            progress(tick);
            Ok(())
        });
    match result {
        Ok(()) => {}
        Err(Stop::Found) => {
            return Ok(found.expect("set before Stop::Found"));
        }
        Err(Stop::Recorder(RecorderError::Damaged { tick, why, .. })) => {
            return Ok(Verdict::Damaged { tick, why });
        }
        Err(Stop::Recorder(error)) => return Err(error.into()),
    }
    let ticks = world.tick();
    if let Some(to) = to.filter(|to| *to < last_tick) {
        if ticks < to {
            return Ok(Verdict::Damaged {
                tick: ticks + 1,
                why: "its input row is missing".into(),
            });
        }
        let hash = hash_text(hash);
        return Ok(Verdict::Equal {
            first: from,
            ticks,
            hash,
        });
    }
    let ended = recording.end.as_ref().map(|end| end.ticks);
    let promised = ended.max(last_hashed).unwrap_or(0);
    if promised > ticks {
        return Ok(Verdict::Damaged {
            tick: ticks + 1,
            why: format!("its input row is missing; the recording speaks of {promised} ticks"),
        });
    }
    let hash = hash_text(hash);
    if let Some(end) = &recording.end
        && end.hash != hash
    {
        return Ok(Verdict::Different {
            tick: ticks,
            part: "the final hash in table meta".into(),
            recorded: end.hash.clone(),
            replayed: hash,
        });
    }
    Ok(Verdict::Equal {
        first: from,
        ticks,
        hash,
    })
}

enum Stop {
    Found,
    Recorder(RecorderError),
}

impl From<RecorderError> for Stop {
    fn from(error: RecorderError) -> Self {
        Stop::Recorder(error)
    }
}

/// Compares one tick. The hashes of the very last ticks may be missing after a kill, that of tick 0 too: the input is
/// the commit point, and the outcome follows with the next commit.
fn compare(
    recording: &Recording,
    tick: u64,
    hash: u128,
    parts: &[u64],
    last_hashed: Option<u64>,
) -> Result<Option<Verdict>, RecorderError> {
    let row = match recording.tick(tick) {
        Ok(row) => row,
        Err(RecorderError::Damaged { tick, why, .. }) => {
            return Ok(Some(Verdict::Damaged { tick, why }));
        }
        Err(error) => return Err(error),
    };
    let Some(row) = row else {
        let ended = recording.end.is_some();
        if Some(tick) <= last_hashed || ended {
            return Ok(Some(Verdict::Damaged {
                tick,
                why: "its row of hashes is missing".into(),
            }));
        }
        return Ok(None);
    };
    let replayed = hash_text(hash);
    let differs = recording
        .meta
        .parts
        .iter()
        .zip(parts.iter().zip(&row.parts))
        .find(|(_, (now, then))| now != then)
        .map(|(name, _)| name.clone());
    if row.hash == replayed && differs.is_none() {
        return Ok(None);
    }
    let part = differs.unwrap_or_else(|| "the sum of all parts".into());
    Ok(Some(Verdict::Different {
        tick,
        part,
        recorded: row.hash,
        replayed,
    }))
}

/// The stored form of a part's hash: its low 64 bits.
pub fn short(part: u128) -> u64 {
    part as u64
}
