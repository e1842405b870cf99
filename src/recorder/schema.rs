//! Tables of `run.db`, recording format 1. docs/recording-format.md describes them for readers.

use rusqlite::Connection;

/// `PRAGMA application_id` of every recording: the ASCII letters "FRMC".
pub const APPLICATION_ID: i64 = 0x4652_4d43;
/// `PRAGMA user_version`: major version of the recording format.
pub const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bundle (path TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE seats (seat INTEGER PRIMARY KEY, name TEXT NOT NULL, team TEXT NOT NULL, agent TEXT NOT NULL);
CREATE TABLE inputs (tick INTEGER PRIMARY KEY, body TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE ticks (tick INTEGER PRIMARY KEY, hash TEXT NOT NULL, parts BLOB NOT NULL, at_us INTEGER NOT NULL, step_us INTEGER NOT NULL);
CREATE TABLE keyframes (tick INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE events (tick INTEGER NOT NULL, n INTEGER NOT NULL, name TEXT NOT NULL, seat INTEGER, other INTEGER,
                     x INTEGER, y INTEGER, text TEXT, data TEXT, PRIMARY KEY (tick, n)) WITHOUT ROWID;
CREATE TABLE metrics (tick INTEGER NOT NULL, name TEXT NOT NULL, value REAL, PRIMARY KEY (tick, name)) WITHOUT ROWID;
CREATE TABLE notes (id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, seat INTEGER, kind TEXT NOT NULL, text TEXT NOT NULL, data TEXT);
CREATE TABLE remembered (id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, seat INTEGER NOT NULL, state TEXT NOT NULL);
CREATE INDEX remembered_of_seat ON remembered (seat, tick);
CREATE TABLE scores (seat INTEGER PRIMARY KEY, score REAL NOT NULL, status TEXT NOT NULL);
CREATE TABLE transcripts (id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, seat INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, line TEXT NOT NULL);
CREATE TABLE costs (id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, seat INTEGER NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL,
                    outcome TEXT NOT NULL, status INTEGER, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
                    cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, usd REAL, ms INTEGER);
CREATE TABLE contents (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE file_facts (sequence INTEGER PRIMARY KEY, tick INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, seat TEXT,
                         token INTEGER, body TEXT NOT NULL);
CREATE TABLE chain (block INTEGER PRIMARY KEY, tick INTEGER NOT NULL, previous TEXT NOT NULL, tables TEXT NOT NULL, digest TEXT NOT NULL);
CREATE INDEX file_facts_of_path ON file_facts (path, sequence) WHERE kind = 'version';
CREATE VIEW versions AS
  SELECT tick, path, json_extract(body, '$.number') AS version, seat, json_extract(body, '$.state.kind') AS kind,
         json_extract(body, '$.state.hash') AS hash, json_extract(body, '$.state.bytes') AS bytes,
         json_extract(body, '$.merged') IS NOT NULL AS merged, token, sequence
  FROM file_facts WHERE kind = 'version';
CREATE VIEW refusals AS
  SELECT tick, path, seat, json_extract(body, '$.reason') AS reason, json_extract(body, '$.why') AS why,
         json_extract(body, '$.wanted.hash') AS kept, sequence
  FROM file_facts WHERE kind = 'refusal';
CREATE VIEW leases AS
  SELECT tick, path, seat, token, coalesce(json_extract(body, '$.change.how'), json_extract(body, '$.change.what')) AS what, sequence
  FROM file_facts WHERE kind = 'lease';
CREATE VIEW messages AS
  SELECT e.tick, s.name AS seat, json_extract(e.data, '$.how') AS how, o.name AS recipient, e.text
  FROM events e JOIN seats s ON s.seat = e.seat LEFT JOIN seats o ON o.seat = e.other
  WHERE e.name = 'speech.said';
CREATE VIEW thoughts AS
  SELECT n.tick, s.name AS seat, n.text FROM notes n JOIN seats s ON s.seat = n.seat WHERE n.kind = 'thought';
CREATE VIEW answers AS
  SELECT n.tick, s.name AS seat, json_extract(n.data, '$.question') AS question, json_extract(n.data, '$.asked') AS asked,
         json_extract(n.data, '$.status') AS status, json_extract(n.data, '$.value') AS value
  FROM notes n JOIN seats s ON s.seat = n.seat WHERE n.kind = 'answer';
";

/// What the first recordings of this format did not have.
const LATER: &str = "
CREATE TABLE IF NOT EXISTS main.workspace_contents (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS main.workspace_files (id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, seat INTEGER NOT NULL, path TEXT NOT NULL,
                                            kind TEXT NOT NULL, hash TEXT, bytes INTEGER, executable INTEGER, base TEXT, rest TEXT,
                                            text TEXT);
CREATE INDEX IF NOT EXISTS main.workspace_files_of_path ON workspace_files (seat, path, id);
CREATE INDEX IF NOT EXISTS main.events_world_set ON events (tick) WHERE name = 'world.set';
";

/// Adds the tables that an earlier host did not make, in a recording that is about to go on.
pub fn complete(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(LATER)
}

/// Makes the tables in an empty database and marks it as ours.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    complete(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)
}
