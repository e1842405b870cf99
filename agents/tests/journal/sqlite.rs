//! A journal on SQLite for tests and benches: real and durable, as the host's in `run.db`.
//!
//! Each commit is one transaction with synchronous=FULL. Must not know what the facts mean beyond what it is asked for.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use formicarium_agents::broker::{
    Batch, ContentHash, Fact, Journal, JournalError, LeaseChange, LeaseFact, Marks, TreePath,
    Version,
};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS contents (hash BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, path TEXT, token INTEGER, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS facts_of_path ON facts (path, sequence) WHERE path IS NOT NULL;
CREATE TABLE IF NOT EXISTS tokens (one INTEGER PRIMARY KEY CHECK (one = 1), below INTEGER NOT NULL);
";

pub struct Sqlite {
    connection: Connection,
}

fn failed(error: rusqlite::Error) -> JournalError {
    JournalError(format!("journal: {error}"))
}

fn fact(text: &str) -> Result<Fact, JournalError> {
    serde_json::from_str(text).map_err(|error| JournalError(format!("journal: {error}: {text}")))
}

impl Sqlite {
    pub fn open(path: &Path) -> Result<Sqlite, JournalError> {
        let connection = Connection::open(path).map_err(failed)?;
        let set = |connection: &Connection| -> rusqlite::Result<()> {
            let _: String =
                connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(TABLES)
        };
        set(&connection).map_err(failed)?;
        Ok(Sqlite { connection })
    }

    fn facts(&self, sql: &str, of: impl rusqlite::Params) -> Result<Vec<Fact>, JournalError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(of, |row| row.get::<_, String>(0));
        let rows = rows.map_err(failed)?;
        rows.map(|row| fact(&row.map_err(failed)?)).collect()
    }
}

fn versions(facts: Vec<Fact>) -> Vec<Version> {
    let version = |fact| match fact {
        Fact::Version(version) => Some(version),
        Fact::Refusal(_) | Fact::Lease(_) => None,
    };
    facts.into_iter().filter_map(version).collect()
}

impl Journal for Sqlite {
    fn commit(&mut self, batch: Batch) -> Result<(), JournalError> {
        let write = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for (hash, body) in &batch.contents {
                transaction
                    .prepare_cached("INSERT INTO contents VALUES (?1, ?2)")?
                    .execute(params![hash.0, &body[..]])?;
            }
            for fact in &batch.facts {
                let (kind, path, token) = match fact {
                    Fact::Version(v) => ("version", Some(v.path.as_str()), None),
                    Fact::Refusal(_) => ("refusal", None, None),
                    Fact::Lease(lease) => ("lease", None, Some(lease.token as i64)),
                };
                let body = serde_json::to_string(fact).expect("facts have string keys only");
                transaction
                    .prepare_cached("INSERT INTO facts VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![fact.sequence() as i64, kind, path, token, body])?;
            }
            if let Some(below) = batch.tokens_below {
                transaction.execute(
                    "INSERT OR REPLACE INTO tokens VALUES (1, ?1)",
                    [below as i64],
                )?;
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(failed)
    }

    fn has_content(&self, hash: &ContentHash) -> Result<bool, JournalError> {
        self.connection
            .prepare_cached("SELECT 1 FROM contents WHERE hash = ?1")
            .and_then(|mut s| s.exists([hash.0]))
            .map_err(failed)
    }

    fn content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, JournalError> {
        self.connection
            .prepare_cached("SELECT body FROM contents WHERE hash = ?1")
            .and_then(|mut s| s.query_row([hash.0], |row| row.get(0)).optional())
            .map_err(failed)
    }

    fn newest(&self) -> Result<Vec<Version>, JournalError> {
        let sql = "SELECT body FROM facts WHERE sequence IN (SELECT max(sequence) FROM facts WHERE path IS NOT NULL GROUP BY path)";
        self.facts(sql, []).map(versions)
    }

    fn log(&self, path: &TreePath) -> Result<Vec<Version>, JournalError> {
        let sql = "SELECT body FROM facts WHERE path = ?1 ORDER BY sequence";
        self.facts(sql, [path.as_str()]).map(versions)
    }

    fn facts_after(&self, sequence: u64) -> Result<Vec<Fact>, JournalError> {
        let sql = "SELECT body FROM facts WHERE sequence > ?1 ORDER BY sequence";
        self.facts(sql, [sequence as i64])
    }

    fn open_leases(&self) -> Result<Vec<LeaseFact>, JournalError> {
        let sql = "SELECT body FROM facts WHERE sequence IN (SELECT max(sequence) FROM facts WHERE kind = 'lease' GROUP BY token) ORDER BY sequence";
        let open = |fact| match fact {
            Fact::Lease(lease) if !matches!(lease.change, LeaseChange::Ended { .. }) => Some(lease),
            _ => None,
        };
        Ok(self.facts(sql, [])?.into_iter().filter_map(open).collect())
    }

    fn marks(&self) -> Result<Marks, JournalError> {
        let number = |sql| {
            let found = self
                .connection
                .query_row(sql, [], |row| row.get::<_, i64>(0));
            found.map(|n| n as u64).map_err(failed)
        };
        Ok(Marks {
            sequence: number("SELECT coalesce(max(sequence), 0) FROM facts")?,
            tokens_below: number("SELECT coalesce(max(below), 0) FROM tokens")?,
        })
    }
}
