//! A new recording that has the history of another up to a tick.
//!
//! It refers to the rows of its parent, which is told; where that cannot be, it copies them. The parent's recording is only
//! read. Must not know why somebody branches there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use formicarium_agents::workspace::history::Change;
use rusqlite::{OptionalExtension, params};

use super::ancestry::{self, MOST, NO_CHAIN, Told, way};
use super::reader::Recording;
use super::rows::Rows;
use super::tables::{Kind, Table};
use super::writer::create_file;
use super::{Inherited, RecorderError, RunMeta, chain, sealed};

/// Makes the recording `run.db` in `folder` with the history of `parent` up to the tick that `meta` names as the parent's.
/// It has not ended. `sessions` are files of seats in place of those that the parent saw until then: a program may write
/// down late what was said before.
///
/// # Errors
/// See [`RecorderError`]; the folder has a recording already.
pub fn branch(
    parent: &Recording,
    folder: &Path,
    mut meta: RunMeta,
    sessions: &[(u32, Change)],
) -> Result<(), RecorderError> {
    let path = folder.join(sealed::OPEN);
    let Some(of) = &mut meta.parent else {
        return Err(RecorderError::Foreign {
            path,
            why: "a fork without a parent".into(),
        });
    };
    {
        // One moment of a parent that may go on.
        let _moment = parent.moment()?;
        of.history = Some(inherited(parent, of.tick, folder)?);
    }
    if let Some(history) = &mut of.history {
        history.copied = !may_refer(parent, history) || !is_told(parent, folder, &meta.run);
    }
    if path.exists() {
        return Err(RecorderError::Foreign {
            path,
            why: "a file of that name is there already; choose another --out".into(),
        });
    }
    let made = write(parent, &path, &meta, sessions);
    if made.is_err() {
        // No recording is better than one without its past.
        let _ = fs::remove_file(&path);
    }
    made
}

fn write(
    parent: &Recording,
    path: &Path,
    meta: &RunMeta,
    sessions: &[(u32, Change)],
) -> Result<(), RecorderError> {
    // Tables, meta, seats and the scenario's files as for any run.
    let (mut connection, mut chain) = create_file(path, meta, &parent.bundle()?)?;
    let sql = |source| RecorderError::Sql {
        path: path.to_owned(),
        source,
    };
    let of = meta.parent.as_ref();
    let copied = of
        .and_then(|of| of.history.as_ref())
        .is_some_and(|history| history.copied);
    if copied {
        // To be found like any, and copied from there.
        let mut referring = of.cloned();
        if let Some(history) = referring.as_mut().and_then(|of| of.history.as_mut()) {
            history.copied = false;
        }
        let list = ancestry::attach(&connection, path, referring.as_ref())?;
        let transaction = connection.transaction().map_err(sql)?;
        ancestry::copy(&transaction, &list).map_err(sql)?;
        transaction.commit().map_err(sql)?;
    }
    if let Some(of) = of {
        // As if they had been seen just before the tick was shown.
        let tick = of.tick.saturating_sub(1);
        let transaction = connection.transaction().map_err(sql)?;
        let mut rows = Rows::new(&transaction, &mut chain);
        for (seat, change) in sessions {
            let files = std::slice::from_ref(change);
            rows.workspace(tick, *seat, files).map_err(sql)?;
        }
        transaction.commit().map_err(sql)?;
    }
    let tokens: Option<String> = parent
        .connection
        .query_row(
            "SELECT value FROM main.meta WHERE key = 'tokens_below'",
            [],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| parent.sql(error))?;
    if let Some(tokens) = tokens {
        connection
            .execute(
                "INSERT OR REPLACE INTO main.meta VALUES ('tokens_below', ?1)",
                [tokens],
            )
            .map_err(sql)?;
    }
    Ok(())
}

/// What a fork has of the rows of `parent`, its ancestors' among them.
fn inherited(parent: &Recording, tick: u64, folder: &Path) -> Result<Inherited, RecorderError> {
    let sql = |source| parent.sql(source);
    let facts = last_fact(parent, tick)?;
    let mut to = BTreeMap::new();
    for table in ancestry::lent() {
        let last = match table.name {
            "file_facts" => facts,
            _ => last_key(parent, table, tick).map_err(sql)?,
        };
        if let Some(last) = last {
            to.insert(table.name.to_owned(), last);
        }
    }
    let (block, block_digest) = block(parent, tick).map_err(sql)?;
    let digest = ancestry::digest(&parent.connection, Some(tick), &to).map_err(sql)?;
    let real = |folder: &Path| {
        fs::canonicalize(folder).map_err(|source| RecorderError::Io {
            path: folder.to_owned(),
            source,
        })
    };
    let (own, theirs) = (real(folder)?, real(parent.folder())?);
    Ok(Inherited {
        path: theirs.to_string_lossy().into_owned(),
        near: way(&own, &theirs).unwrap_or_default(),
        block,
        block_digest,
        to,
        digest,
        copied: false,
    })
}

/// The last row of a table that a fork at a tick has; none if it has none, or the recording has no such table.
fn last_key(parent: &Recording, table: &Table, tick: u64) -> rusqlite::Result<Option<i64>> {
    let known = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?1";
    if !parent
        .connection
        .prepare_cached(known)?
        .exists([table.name])?
    {
        return Ok(None);
    }
    let (name, key) = (table.name, table.columns[0]);
    let condition = match table.kind {
        Kind::Ticked => format!("{key} <= {tick}"),
        // What came in that tick belongs to the time after.
        _ if table.columns.contains(&"tick") => format!("tick < {tick}"),
        _ => "TRUE".to_owned(),
    };
    let sql = format!("SELECT {key} FROM {name} WHERE {condition} ORDER BY {key} DESC LIMIT 1");
    parent
        .connection
        .query_row(&sql, [], |row| row.get(0))
        .optional()
}

/// The last fact of the shared tree that the inputs up to a tick hold, or that the run began with.
fn last_fact(parent: &Recording, tick: u64) -> Result<Option<i64>, RecorderError> {
    if !parent.has_facts()? {
        return Ok(None);
    }
    let taken = parent.taken(tick)? as i64;
    parent
        .connection
        .query_row(
            "SELECT max(sequence) FROM file_facts WHERE sequence <= ?1 OR (seat IS NULL AND sequence < \
             coalesce((SELECT min(sequence) FROM file_facts WHERE seat IS NOT NULL), sequence + 1))",
            params![taken],
            |row| row.get(0),
        )
        .map_err(|error| parent.sql(error))
}

/// The last block of the parent's chain up to a tick, or its first.
fn block(parent: &Recording, tick: u64) -> rusqlite::Result<(i64, String)> {
    if !chain::exists(&parent.connection)? {
        return Ok((NO_CHAIN, String::new()));
    }
    parent.connection.query_row(
        "SELECT block, digest FROM chain ORDER BY tick <= ?1 DESC, CASE WHEN tick <= ?1 THEN -block ELSE block END LIMIT 1",
        [tick as i64],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Whether rows can be had from where they are.
fn may_refer(parent: &Recording, history: &Inherited) -> bool {
    parent.ancestors().len() < MOST
        && !sealed::is_sealed(parent.path())
        && parent
            .path()
            .file_name()
            .is_some_and(|name| name == sealed::OPEN)
        && history.block != NO_CHAIN
        && !history.near.is_empty()
        && fs::canonicalize(parent.folder()).is_ok_and(|folder| folder.to_str().is_some())
}

/// Tells the parent, so that nobody deletes it unawares. One that cannot be told is not referred to.
fn is_told(parent: &Recording, folder: &Path, run: &str) -> bool {
    let tell = || -> Option<()> {
        let (own, theirs) = (
            fs::canonicalize(folder).ok()?,
            fs::canonicalize(parent.folder()).ok()?,
        );
        let told = Told {
            run: run.to_owned(),
            path: own.to_str()?.to_owned(),
            near: way(&theirs, &own)?,
        };
        ancestry::tell(&theirs, &told).ok()
    };
    tell().is_some()
}
