//! A new recording that has the history of another up to a tick.
//!
//! Copies rows, so that the fork stands alone; the parent is only read. Must not know why somebody branches there.

use std::path::Path;

use formicarium_agents::workspace::history::Change;
use rusqlite::{Connection, params};

use super::reader::Recording;
use super::rows::Rows;
use super::writer::create_file;
use super::{RecorderError, RunMeta};

/// What is copied up to the tick ?1; facts of the shared tree up to the number ?2, which are those that the tick's inputs
/// hold and, before the first, the files that the run began with.
const HISTORY: [&str; 13] = [
    "INSERT INTO inputs SELECT * FROM parent.inputs WHERE tick <= ?1 AND ?2 >= 0",
    "INSERT INTO ticks SELECT * FROM parent.ticks WHERE tick <= ?1 AND ?2 >= 0",
    "INSERT INTO keyframes SELECT * FROM parent.keyframes WHERE tick <= ?1 AND ?2 >= 0",
    "INSERT INTO events SELECT * FROM parent.events WHERE tick <= ?1 AND ?2 >= 0",
    "INSERT INTO metrics SELECT * FROM parent.metrics WHERE tick <= ?1 AND ?2 >= 0",
    "INSERT INTO notes (tick, seat, kind, text, data) SELECT tick, seat, kind, text, data FROM parent.notes WHERE tick < ?1 AND ?2 >= 0 ORDER BY id",
    "INSERT INTO transcripts (tick, seat, kind, text, line) SELECT tick, seat, kind, text, line FROM parent.transcripts WHERE tick < ?1 AND ?2 >= 0 ORDER BY id",
    "INSERT INTO costs (tick, seat, source, model, outcome, status, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usd, ms) \
     SELECT tick, seat, source, model, outcome, status, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usd, ms \
     FROM parent.costs WHERE tick < ?1 AND ?2 >= 0 ORDER BY id",
    "INSERT INTO remembered (tick, seat, state) SELECT tick, seat, state FROM parent.remembered WHERE tick < ?1 AND ?2 >= 0 ORDER BY id",
    "INSERT INTO file_facts SELECT * FROM parent.file_facts WHERE ?1 >= 0 AND (sequence <= ?2 OR (seat IS NULL AND sequence < \
     coalesce((SELECT min(sequence) FROM parent.file_facts WHERE seat IS NOT NULL), sequence + 1)))",
    "INSERT INTO contents (hash, body) SELECT hash, body FROM parent.contents WHERE ?1 >= 0 AND ?2 >= 0 AND hash IN (SELECT json_extract(body, '$.state.hash') \
     FROM file_facts UNION SELECT json_extract(body, '$.merged') FROM file_facts UNION SELECT json_extract(body, '$.wanted.hash') \
     FROM file_facts)",
    "INSERT INTO workspace_files (tick, seat, path, kind, hash, bytes, executable, base, rest, text) SELECT tick, seat, path, kind, hash, bytes, \
     executable, base, rest, text FROM parent.workspace_files WHERE tick < ?1 AND ?2 >= 0 ORDER BY id",
    "INSERT INTO workspace_contents (hash, body) SELECT hash, body FROM parent.workspace_contents WHERE ?1 >= 0 AND ?2 >= 0 AND hash IN \
     (SELECT rest FROM workspace_files)",
];

/// Makes the recording `run.db` in `folder` with the history of `parent` up to `tick`. It has not ended. `sessions` are files
/// of seats in place of those that the parent saw until then, since a program may write down late what was said before.
///
/// # Errors
/// See [`RecorderError`]; the folder has a recording already.
pub fn branch(
    parent: &Recording,
    tick: u64,
    folder: &Path,
    meta: &RunMeta,
    sessions: &[(u32, Change)],
) -> Result<(), RecorderError> {
    let path = folder.join("run.db");
    // Tables, meta, seats and the scenario's files as for any run.
    let (mut connection, mut chain) = create_file(&path, meta, &parent.bundle()?)?;
    let sql = |source| RecorderError::Sql {
        path: path.clone(),
        source,
    };
    let taken = parent.taken(tick)?;
    let from = parent.path().to_string_lossy().into_owned();
    connection
        .execute("ATTACH DATABASE ?1 AS parent", [from])
        .map_err(sql)?;
    let mut copy = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        for statement in HISTORY {
            transaction.execute(statement, params![tick as i64, taken as i64])?;
        }
        for (seat, change) in sessions {
            // As if it had been seen just before the tick was shown.
            let tick = tick.saturating_sub(1);
            let files = std::slice::from_ref(change);
            Rows::new(&transaction, &mut chain).workspace(tick, *seat, files)?;
        }
        transaction.execute(
            "INSERT OR REPLACE INTO meta SELECT key, value FROM parent.meta WHERE key = 'tokens_below'",
            [],
        )?;
        transaction.commit()
    };
    copy(&mut connection).map_err(sql)
}
