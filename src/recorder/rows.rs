//! How rows get into `run.db`: one statement a table, and each row into the hash chain as it is written. Must not know when
//! rows are written, or why.

use formicarium_agents::broker::{Batch, Fact};
use formicarium_agents::workspace::history::{Change, Now};
use formicarium_engine::{Bundle, Event};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::chain::{Chain, encode, key_text, look};
use super::tables::{
    BUNDLE, CONTENTS, COSTS, EVENTS, FILE_FACTS, INPUTS, KEYFRAMES, Kind, META, METRICS, NOTES,
    REMEMBERED, SCORES, SEATS, TICKS, TRANSCRIPTS, Table, WORKSPACE_CONTENTS, WORKSPACE_FILES,
};
use super::writer::{Command, Outcome, fields_json};
use super::{RunEnd, RunMeta, hash_text, input_check, workspaces};

/// Writes rows within a transaction.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    chain: &'a mut Chain,
    bytes: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection, chain: &'a mut Chain) -> Rows<'a> {
        Rows {
            connection,
            chain,
            bytes: Vec::new(),
        }
    }

    fn put(&mut self, table: &'static Table, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(table.insert)?;
        let written = match table.kind {
            Kind::Numbered => {
                let number = self.chain.next(table.name);
                let number: [&dyn ToSql; 1] = [&number];
                statement.execute(params_from_iter(values.iter().chain(&number)))?
            }
            Kind::Ticked | Kind::Replaced => statement.execute(values)?,
        };
        if written == 0 {
            // A content that is there already.
            return Ok(());
        }
        self.bytes.clear();
        let (mut covered, mut number) = (values, 0);
        if table.kind == Kind::Numbered {
            number = self.connection.last_insert_rowid();
            encode(&number, &mut self.bytes);
            covered = &values[..table.columns.len() - 1];
        }
        for value in covered {
            encode(*value, &mut self.bytes);
        }
        let chain = &mut *self.chain;
        let row = &self.bytes;
        match table.kind {
            Kind::Numbered => chain.append(table, number, row),
            Kind::Ticked => look(values[0], |key| match key {
                ValueRef::Integer(key) => chain.append(table, key, row),
                other => unreachable!("the key of {} is a number, not {other:?}", table.name),
            }),
            Kind::Replaced => look(values[0], |key| {
                chain.replace(table.name, key_text(key), Some(row));
            }),
        }
        Ok(())
    }

    /// What a run starts from, and its block.
    pub(super) fn prepare(&mut self, meta: &RunMeta, bundle: &Bundle) -> rusqlite::Result<()> {
        self.begin(meta)?;
        for (path, body) in bundle.iter() {
            self.put(&BUNDLE, params![path, &body[..]])?;
        }
        self.settle()
    }

    /// Closes a block of the chain if it is time to.
    pub(super) fn settle(&mut self) -> rusqlite::Result<()> {
        self.chain.settle(self.connection)
    }

    /// Writes what a command brings. `metrics` are the names of a step's numbers.
    pub(super) fn command(
        &mut self,
        command: &Command,
        metrics: &[String],
    ) -> rusqlite::Result<()> {
        match command {
            Command::Input { tick, body, .. } => {
                let text = std::str::from_utf8(body).expect("JSON is UTF-8");
                self.put(
                    &INPUTS,
                    params![*tick as i64, text, input_check(*tick, body)],
                )
            }
            Command::Start {
                hash,
                parts,
                keyframe,
            } => {
                self.hashes(0, *hash, parts, (0, 0))?;
                self.put(&KEYFRAMES, params![0_i64, keyframe])
            }
            Command::Outcome(outcome) => self.outcome(outcome, metrics),
            Command::Keyframe { tick, body } => self.put(&KEYFRAMES, params![*tick as i64, body]),
            Command::Note(note) => {
                let data = (!note.data.is_empty()).then_some(&note.data);
                self.put(
                    &NOTES,
                    params![note.tick as i64, note.seat, note.kind, note.text, data],
                )
            }
            Command::Remember { tick, seat, state } => {
                self.put(&REMEMBERED, params![*tick as i64, seat, state])
            }
            Command::Transcript(row) => self.put(
                &TRANSCRIPTS,
                params![row.tick as i64, row.seat, row.kind, row.text, row.line],
            ),
            Command::Cost(row) => self.put(
                &COSTS,
                params![
                    row.tick as i64,
                    row.seat,
                    row.source,
                    row.model,
                    row.outcome,
                    row.status,
                    row.input_tokens as i64,
                    row.output_tokens as i64,
                    row.cache_read_tokens as i64,
                    row.cache_write_tokens as i64,
                    row.usd,
                    row.ms.map(|ms| ms as i64)
                ],
            ),
            Command::Files { batch, .. } => self.files(batch),
            Command::Workspace { tick, seat, files } => self.workspace(*tick, *seat, files),
            Command::GoOn(meta) => self.go_on(meta),
            Command::Finish { end, .. } => self.end(end),
        }
    }

    /// The end that stands there, if any, was none. Closes a block in any case: of all that the last host left open.
    fn go_on(&mut self, meta: &RunMeta) -> rusqlite::Result<()> {
        self.connection
            .execute("DELETE FROM meta WHERE key = 'end'", [])?;
        self.chain.replace(META.name, "end".to_owned(), None);
        self.begin(meta)
    }

    /// What the run is made of, and its seats.
    fn begin(&mut self, meta: &RunMeta) -> rusqlite::Result<()> {
        let json = serde_json::to_string(meta).expect("RunMeta has string keys only");
        self.put(&META, params!["run", json])?;
        for (index, seat) in meta.seats.iter().enumerate() {
            let (name, team) = (&seat.seat, &seat.group);
            self.put(&SEATS, params![index as i64, name, team, seat.agent])?;
        }
        Ok(())
    }

    /// What stands in other files has been copied into this one. Closes a block, also of what a killed host left open.
    pub(super) fn stands_alone(&mut self, meta: &RunMeta) -> rusqlite::Result<()> {
        let json = serde_json::to_string(meta).expect("RunMeta has string keys only");
        self.put(&META, params!["run", json])?;
        self.settle()
    }

    fn end(&mut self, end: &RunEnd) -> rusqlite::Result<()> {
        let json = serde_json::to_string(end).expect("RunEnd has string keys only");
        self.put(&META, params!["end", json])?;
        for (seat, (score, status)) in end.scores.iter().zip(&end.status).enumerate() {
            self.put(&SCORES, params![seat as i64, score, status])?;
        }
        Ok(())
    }

    fn files(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        for (hash, body) in &batch.contents {
            self.put(&CONTENTS, params![hash.to_string(), &body[..]])?;
        }
        for fact in &batch.facts {
            let (kind, path, seat, tick, token) = fact_columns(fact);
            let body = serde_json::to_string(fact).expect("facts have string keys only");
            self.put(
                &FILE_FACTS,
                params![
                    fact.sequence() as i64,
                    tick as i64,
                    kind,
                    path,
                    seat,
                    token.map(|token| token as i64),
                    body
                ],
            )?;
        }
        match batch.tokens_below {
            Some(below) => self.put(&META, params!["tokens_below", below.to_string()]),
            None => Ok(()),
        }
    }

    pub(super) fn workspace(
        &mut self,
        tick: u64,
        seat: u32,
        files: &[Change],
    ) -> rusqlite::Result<()> {
        for change in files {
            let row = workspaces::row(&change.now);
            if let (Some(rest), Now::File { rest: body, .. }) = (&row.rest, &change.now) {
                self.put(&WORKSPACE_CONTENTS, params![rest, body])?;
            }
            self.put(
                &WORKSPACE_FILES,
                params![
                    tick as i64,
                    seat,
                    change.path,
                    row.kind,
                    row.hash,
                    row.bytes,
                    row.executable,
                    row.base,
                    row.rest,
                    row.text
                ],
            )?;
        }
        Ok(())
    }

    fn hashes(
        &mut self,
        tick: i64,
        hash: u128,
        parts: &[u64],
        (at_us, step_us): (u64, u64),
    ) -> rusqlite::Result<()> {
        let parts: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
        self.put(
            &TICKS,
            params![tick, hash_text(hash), parts, at_us as i64, step_us as i64],
        )
    }

    fn outcome(&mut self, outcome: &Outcome, metrics: &[String]) -> rusqlite::Result<()> {
        let output = &outcome.output;
        let tick = output.tick as i64;
        let times = (outcome.at_us, outcome.step_us);
        self.hashes(tick, output.hash, &output.parts, times)?;
        for (n, event) in output.events.iter().enumerate() {
            with_event(tick, n, event, |values| self.put(&EVENTS, values))?;
        }
        for (name, value) in by_name(metrics, &output.metrics) {
            self.put(&METRICS, params![tick, name, value])?;
        }
        Ok(())
    }
}

/// A step's numbers in the order of their names, as the table has them.
pub(super) fn by_name<'a>(names: &'a [String], values: &'a [f64]) -> Vec<(&'a String, &'a f64)> {
    let mut pairs: Vec<_> = names.iter().zip(values).collect();
    pairs.sort_unstable_by_key(|(name, _)| *name);
    pairs
}

/// Calls `then` with the columns of an event's row.
pub(super) fn with_event<T>(
    tick: i64,
    n: usize,
    event: &Event,
    then: impl FnOnce(&[&dyn ToSql]) -> T,
) -> T {
    let data = (!event.fields.is_empty()).then(|| fields_json(&event.fields));
    then(params![
        tick,
        n as i64,
        event.name,
        event.seat.map(|seat| seat.0),
        event.other.map(|seat| seat.0),
        event.at.map(|at| at.0),
        event.at.map(|at| at.1),
        event.text,
        data
    ])
}

/// What a fact has in columns of its own: kind, path, seat, tick, token.
pub(super) fn fact_columns(fact: &Fact) -> (&'static str, String, Option<&str>, u64, Option<u64>) {
    match fact {
        Fact::Version(version) => (
            "version",
            version.path.to_string(),
            version.seat.as_deref(),
            version.tick,
            version.token,
        ),
        Fact::Refusal(refusal) => (
            "refusal",
            refusal.path.clone(),
            refusal.seat.as_deref(),
            refusal.tick,
            None,
        ),
        Fact::Lease(lease) => (
            "lease",
            lease.scope.to_string(),
            Some(lease.seat.as_str()),
            lease.tick,
            Some(lease.token),
        ),
    }
}
