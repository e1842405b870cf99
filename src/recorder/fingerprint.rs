//! One digest that stands for a whole run: what went into its world and what came out, and nothing of when, where and by
//! whom it was recorded. Two runs of the same inputs have the same, whichever hosts made them. Must not know the chain of a
//! recording, nor who asks.

use std::collections::BTreeMap;

use formicarium_agents::broker::{Fact, State};
use formicarium_engine::TickInput;
use rusqlite::ToSql;
use serde::Serialize;
use serde_json::Value;

use super::RecorderError;
use super::chain::encode;
use super::reader::Recording;
use super::replay::setting;

/// What stands for a run, and the parts that it is made of. Digests are BLAKE3, 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fingerprint {
    /// Of all parts but `cast`.
    pub fingerprint: String,
    /// Of the scenario's files.
    pub scenario: String,
    /// Of the cast's text and each `--agent`; none in recordings of early hosts. Who played is no part of the fingerprint:
    /// what they did is.
    pub cast: Option<String>,
    /// Of the parameters with their values, those at their defaults too.
    pub parameters: String,
    /// The seed.
    pub seed: u64,
    /// The semantics version.
    pub semantics: u32,
    /// Number of inputs.
    pub ticks: u64,
    /// Of all inputs.
    pub inputs: String,
    /// Of the hashes of all ticks and of the world's parts.
    pub hashes: String,
    /// Of the versions of shared files that entered the world, with their contents' hashes.
    pub files: String,
}

/// A digest over values, each of which knows its end.
#[derive(Default)]
struct Digest {
    hasher: blake3::Hasher,
    bytes: Vec<u8>,
}

impl Digest {
    fn add(&mut self, values: &[&dyn ToSql]) {
        self.bytes.clear();
        for value in values {
            encode(*value, &mut self.bytes);
        }
        self.hasher.update(&self.bytes);
    }

    fn text(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

/// The fingerprint of a run, which may still go on: up to what is recorded of it.
///
/// # Errors
/// The recording cannot be read, or a row of it is damaged.
pub fn fingerprint(recording: &Recording) -> Result<Fingerprint, RecorderError> {
    // One moment of a run that goes on.
    let moment = recording.connection.unchecked_transaction();
    let _moment = moment.map_err(|error| recording.sql(error))?;
    let meta = &recording.meta;
    let scenario = blake3::Hash::from(recording.bundle()?.digest());
    let mut inputs = Digest::default();
    let mut ticks = 0;
    recording.inputs(|input: TickInput| -> Result<(), RecorderError> {
        ticks = input.tick;
        let body = serde_json::to_string(&input).expect("inputs have string keys only");
        inputs.add(&[&(ticks as i64), &body]);
        Ok(())
    })?;
    let mut hashes = Digest::default();
    let last = recording.last_hashed()?;
    for tick in 0..=last.unwrap_or(0) {
        if let Some(row) = recording.tick(tick)? {
            let parts: Vec<u8> = row
                .parts
                .iter()
                .flat_map(|part| part.to_le_bytes())
                .collect();
            hashes.add(&[&(tick as i64), &row.hash, &parts]);
        }
    }
    let mut fingerprint = Fingerprint {
        fingerprint: String::new(),
        scenario: scenario.to_hex().to_string(),
        cast: meta.provenance.as_ref().map(|of| of.cast_digest.clone()),
        parameters: parameters(recording)?,
        seed: meta.seed,
        semantics: meta.semantics,
        ticks,
        inputs: inputs.text(),
        hashes: hashes.text(),
        files: files(recording)?,
    };
    let mut all = Digest::default();
    all.hasher.update(b"formicarium fingerprint 1\n");
    all.add(&[
        &fingerprint.scenario,
        &fingerprint.parameters,
        &fingerprint.seed.to_string(),
        &fingerprint.semantics,
        &fingerprint.inputs,
        &fingerprint.hashes,
        &fingerprint.files,
    ]);
    fingerprint.fingerprint = all.text();
    Ok(fingerprint)
}

fn parameters(recording: &Recording) -> Result<String, RecorderError> {
    let recorded = recording.meta.provenance.as_ref();
    let values = match recorded.map(|of| of.params.clone()) {
        Some(values) => values,
        None => {
            let (_, params) = setting(recording).map_err(|error| {
                recording.damaged(0, format!("its parameters cannot be told: {error}"))
            })?;
            serde_json::to_value(params).unwrap_or_default()
        }
    };
    let values: BTreeMap<String, Value> = serde_json::from_value(values)
        .map_err(|error| recording.damaged(0, format!("the parameters in table meta: {error}")))?;
    let mut digest = Digest::default();
    for (name, value) in values {
        digest.add(&[&name, &value.to_string()]);
    }
    Ok(digest.text())
}

fn files(recording: &Recording) -> Result<String, RecorderError> {
    let mut digest = Digest::default();
    let history = recording.facts()?;
    for told in history.facts() {
        let (Fact::Version(version), Some(entered)) = (&told.fact, told.entered) else {
            continue;
        };
        let (kind, executable) = match version.state {
            State::Absent => ("absent", false),
            State::Dir => ("dir", false),
            State::File { executable, .. } => ("file", executable),
        };
        digest.add(&[
            &(entered as i64),
            &version.path.as_str(),
            &(version.number as i64),
            &version.seat,
            &kind,
            &version.state.hash().map(|hash| hash.to_string()),
            &executable,
        ]);
    }
    Ok(digest.text())
}
