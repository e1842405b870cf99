//! The hash chain over everything that a recording holds: BLAKE3, in blocks.
//!
//! A block covers what the writer has written since the one before, and is closed in the same transaction as the last of
//! those rows. Of tables that only grow it holds a digest over the rows up to a key; of tables whose rows are replaced it
//! holds a digest for each row that was written, and the newest word on a row is what counts. Since a block is closed with
//! each replacement, no row of those is ever outside of the chain. Must not know why a row is written, nor who verifies.

use std::collections::BTreeMap;

use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, ToSql, params};
use serde::{Deserialize, Serialize};

use super::tables::{Kind, TABLES, Table};

/// Inputs in a block at most.
pub const BLOCK_TICKS: u64 = 32;
/// Bytes of rows after which a block is closed.
pub const BLOCK_BYTES: u64 = 1 << 20;
/// What the first block has in place of a digest before it.
pub const NO_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Rows of a table that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The key of the last row; the first is the next after the last of the block before.
    pub to: i64,
    /// How many.
    pub rows: u64,
    /// BLAKE3 over the rows in their order.
    pub digest: String,
}

/// What a block covers, by table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Tables that only grow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grown: BTreeMap<String, Span>,
    /// Tables whose rows are replaced: the digest of each row that was written, by its key; none for one that is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

/// A row of table `chain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its number, from 0.
    pub number: i64,
    /// The last tick whose input was written.
    pub tick: i64,
    /// The digest of the block before.
    pub previous: String,
    /// [`Covered`] as JSON text.
    pub tables: String,
    /// [`Block::sum`] as it was written.
    pub digest: String,
}

impl Block {
    /// BLAKE3 over number, tick, previous digest and tables.
    pub fn sum(&self) -> String {
        let mut bytes = b"formicarium chain 1\n".to_vec();
        let parts: [&dyn ToSql; 4] = [&self.number, &self.tick, &self.previous, &self.tables];
        parts.iter().for_each(|part| encode(*part, &mut bytes));
        blake3::hash(&bytes).to_hex().to_string()
    }

    /// What it covers.
    ///
    /// # Errors
    /// The text is none of ours.
    pub fn covered(&self) -> Result<Covered, serde_json::Error> {
        serde_json::from_str(&self.tables)
    }
}

/// The blocks of a recording in order; one that is no block is said with its row's number.
pub fn blocks(connection: &Connection) -> rusqlite::Result<Vec<Result<Block, rusqlite::Error>>> {
    let mut statement = connection
        .prepare("SELECT block, tick, previous, tables, digest FROM chain ORDER BY block")?;
    let rows = statement.query_map([], |row| {
        Ok(Block {
            number: row.get(0)?,
            tick: row.get(1)?,
            previous: row.get(2)?,
            tables: row.get(3)?,
            digest: row.get(4)?,
        })
    })?;
    Ok(rows.collect())
}

/// Whether this recording has a chain: those of early hosts have none.
pub fn exists(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'chain'")?
        .exists([])
}

/// Calls `then` with a value that is about to be written.
pub(super) fn look<T>(value: &dyn ToSql, then: impl FnOnce(ValueRef<'_>) -> T) -> T {
    match value.to_sql() {
        Ok(ToSqlOutput::Borrowed(value)) => then(value),
        Ok(ToSqlOutput::Owned(value)) => then(ValueRef::from(&value)),
        // No value of ours is of another kind, and the insert of one would have failed.
        _ => then(ValueRef::Null),
    }
}

/// Appends a value in a form that no other value has: its type, its length, its bytes. What SQLite stores alike is alike.
pub fn encode(value: &dyn ToSql, bytes: &mut Vec<u8>) {
    look(value, |value| encode_ref(value, bytes));
}

/// As [`encode`], of a value that was read.
pub fn encode_ref(value: ValueRef<'_>, bytes: &mut Vec<u8>) {
    let mut long = |kind: u8, text: &[u8]| {
        bytes.push(kind);
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text);
    };
    match value {
        ValueRef::Text(text) => long(3, text),
        ValueRef::Blob(blob) => long(4, blob),
        ValueRef::Integer(number) => {
            bytes.push(1);
            bytes.extend(number.to_le_bytes());
        }
        // SQLite keeps no NaN, and no sign of zero.
        ValueRef::Real(number) if number.is_nan() => bytes.push(0),
        ValueRef::Real(number) => {
            let number = if number == 0.0 { 0.0 } else { number };
            bytes.push(2);
            bytes.extend(number.to_bits().to_le_bytes());
        }
        ValueRef::Null => bytes.push(0),
    }
}

/// A key as blocks name it.
pub fn key_text(key: ValueRef<'_>) -> String {
    match key {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Bytes of rows that are digested at once: many small rows one by one take several times as long.
const AT_ONCE: usize = 1 << 16;

/// A digest that grows with a table.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    hasher: blake3::Hasher,
    /// Rows that are not digested yet.
    waiting: Vec<u8>,
    rows: u64,
    /// The key of the last row, also of one that an earlier span has.
    last: Option<i64>,
}

impl Sum {
    /// Adds an encoded row.
    pub fn add(&mut self, key: i64, row: &[u8]) {
        self.waiting.extend_from_slice(row);
        if self.waiting.len() >= AT_ONCE {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        self.rows += 1;
        self.last = Some(key);
    }

    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What a block says of them; begins anew behind them.
    pub fn span(&mut self) -> Span {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
        let span = Span {
            to: self.last.unwrap_or_default(),
            rows: std::mem::take(&mut self.rows),
            digest: self.hasher.finalize().to_hex().to_string(),
        };
        self.hasher.reset();
        span
    }
}

/// The end of the chain, held by the writer: what is written and in no block yet.
#[derive(Debug)]
pub(super) struct Chain {
    /// A recording of an early host has none, and gets none.
    is_kept: bool,
    next: i64,
    previous: String,
    tick: i64,
    bytes: u64,
    grown: BTreeMap<&'static str, Sum>,
    replaced: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

impl Chain {
    /// Of a new recording.
    pub(super) fn new() -> Chain {
        Chain {
            is_kept: true,
            next: 0,
            previous: NO_PREVIOUS.to_owned(),
            tick: 0,
            bytes: 0,
            grown: BTreeMap::new(),
            replaced: BTreeMap::new(),
        }
    }

    /// Of a new fork: behind the digest of what it has from before, up to a tick and by table up to a key.
    pub(super) fn behind(digest: &str, tick: u64, to: &BTreeMap<String, i64>) -> Chain {
        let mut chain = Chain::new();
        digest.clone_into(&mut chain.previous);
        chain.tick = tick as i64;
        for table in TABLES {
            if let Some(to) = to.get(table.name) {
                chain.grown.entry(table.name).or_default().last = Some(*to);
            }
        }
        chain
    }

    /// The number of the next row of a table that is numbered; none where SQLite is to find it.
    pub(super) fn next(&self, table: &str) -> Option<i64> {
        let last = self.grown.get(table)?.last?;
        Some(last + 1)
    }

    /// Of a recording that goes on: behind its last block, or at its `begin`. What its host wrote after that, and what has
    /// been done to it since, becomes part of the next one.
    pub(super) fn resume(connection: &Connection, begin: Chain) -> rusqlite::Result<Chain> {
        let mut chain = begin;
        chain.is_kept = exists(connection)?;
        if !chain.is_kept {
            return Ok(chain);
        }
        let mut standing: BTreeMap<String, BTreeMap<String, Option<String>>> = BTreeMap::new();
        for block in blocks(connection)? {
            let block = block?;
            let covered = block.covered().map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error))
            })?;
            for table in TABLES {
                if let Some(span) = covered.grown.get(table.name) {
                    chain.grown.entry(table.name).or_default().last = Some(span.to);
                }
            }
            for (table, rows) in covered.replaced {
                standing.entry(table).or_default().extend(rows);
            }
            chain.next = block.number + 1;
            chain.previous = block.digest;
            chain.tick = block.tick;
        }
        for table in TABLES {
            let mut known = standing.remove(table.name).unwrap_or_default();
            let after = chain.grown.get(table.name).and_then(|sum| sum.last);
            table.read(connection, after, |key, row| match table.kind {
                Kind::Replaced => {
                    let digest = blake3::hash(row).to_hex().to_string();
                    let key = key_text(key);
                    if known.remove(&key) != Some(Some(digest)) {
                        chain.replace(table.name, key, Some(row));
                    }
                }
                Kind::Ticked | Kind::Numbered => {
                    if let ValueRef::Integer(key) = key {
                        chain.append(table, key, row);
                    }
                }
            })?;
            for (key, digest) in known {
                if digest.is_some() {
                    chain.replace(table.name, key, None);
                }
            }
        }
        Ok(chain)
    }

    /// A row was added to a table that only grows.
    pub(super) fn append(&mut self, table: &'static Table, key: i64, row: &[u8]) {
        let sum = self.grown.entry(table.name).or_default();
        if table.is_unique() && sum.last.is_some_and(|last| key <= last) {
            // A keyframe that is made again, after a resume: of the same tick it has the same bytes.
            return;
        }
        sum.add(key, row);
        if table.name == "inputs" {
            self.tick = key;
        }
        self.bytes += row.len() as u64;
    }

    /// A row was written in place of the one of that key, or is gone.
    pub(super) fn replace(&mut self, table: &str, key: String, row: Option<&[u8]>) {
        let digest = row.map(|row| blake3::hash(row).to_hex().to_string());
        self.replaced
            .entry(table.to_owned())
            .or_default()
            .insert(key, digest);
    }

    /// Closes a block if it is time to; within the transaction of the rows that it covers.
    pub(super) fn settle(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let ticks = self.grown.get("inputs").map_or(0, Sum::rows);
        let is_due = ticks >= BLOCK_TICKS || self.bytes >= BLOCK_BYTES || !self.replaced.is_empty();
        if !is_due || !self.is_kept {
            return Ok(());
        }
        let grown = self.grown.iter_mut().filter(|(_, sum)| sum.rows > 0);
        let covered = Covered {
            grown: grown
                .map(|(name, sum)| ((*name).to_owned(), sum.span()))
                .collect(),
            replaced: std::mem::take(&mut self.replaced),
        };
        let mut block = Block {
            number: self.next,
            tick: self.tick,
            previous: std::mem::take(&mut self.previous),
            tables: serde_json::to_string(&covered).expect("Covered has string keys only"),
            digest: String::new(),
        };
        block.digest = block.sum();
        connection
            .prepare_cached("INSERT INTO chain VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                block.number,
                block.tick,
                block.previous,
                block.tables,
                block.digest
            ])?;
        self.next += 1;
        self.previous = block.digest;
        self.bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_encoded_as_another_nor_runs_into_its_neighbour() {
        let rows: [&[&dyn ToSql]; 9] = [
            &[&"ab", &"c"],
            &[&"a", &"bc"],
            &[&1_i64, &""],
            &[&1.0_f64, &""],
            &[&"1", &""],
            &[&b"1"[..].to_vec(), &""],
            &[&None::<i64>, &""],
            &[&"", &None::<i64>],
            &[&0_i64, &""],
        ];
        let encoded: std::collections::BTreeSet<Vec<u8>> = rows
            .iter()
            .map(|row| {
                let mut bytes = Vec::new();
                row.iter().for_each(|value| encode(*value, &mut bytes));
                bytes
            })
            .collect();
        assert_eq!(encoded.len(), rows.len());
        let (mut plus, mut minus) = (Vec::new(), Vec::new());
        encode(&0.0_f64, &mut plus);
        encode(&-0.0_f64, &mut minus);
        assert_eq!(plus, minus, "SQLite keeps no sign of zero");
    }
}
