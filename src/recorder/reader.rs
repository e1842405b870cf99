//! Opens a recording read-only and checks what it reads.

use std::path::{Path, PathBuf};

use formicarium_engine::{Bundle, TickInput};
use rusqlite::{Connection, OptionalExtension};

use super::ancestry::{self, Ancestor};
use super::pace::Pace;
use super::{RecorderError, RunEnd, RunMeta, input_check, schema, sealed};

/// An open recording.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    pub(super) connection: Connection,
    /// What the run is made of.
    pub meta: RunMeta,
    /// How it ended; none for a run that was cut off or still goes on.
    pub end: Option<RunEnd>,
    ancestors: Vec<Ancestor>,
}

/// One recorded tick: the hash and its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickRow {
    /// The tick.
    pub tick: u64,
    /// World hash, 32 hexadecimal digits.
    pub hash: String,
    /// First 64 bits of each part's hash.
    pub parts: Vec<u64>,
}

/// What a seat has used with one model.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct CostSum {
    /// The seat's name.
    pub seat: String,
    /// The model's; empty for calls that no model answered.
    pub model: String,
    /// Requests at the model door.
    pub calls: u64,
    /// Of them, those that failed or were cut.
    pub failed: u64,
    /// Tokens read, without cached ones.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// US dollars, by the program's own price list.
    pub usd: f64,
}

impl Recording {
    /// Opens a recording by its folder or by its file, with what a fork has from the runs before it.
    pub fn open(run: &Path) -> Result<Recording, RecorderError> {
        let (path, connection) = Recording::connect(run)?;
        let mut recording = Recording::of(path, connection)?;
        recording.ancestors = ancestry::attach(
            &recording.connection,
            &recording.path,
            recording.meta.parent.as_ref(),
        )?;
        Ok(recording)
    }

    /// Opens the file for reading, if it is a recording of this format; reads no table of it.
    pub fn connect(run: &Path) -> Result<(PathBuf, Connection), RecorderError> {
        let Some(path) = sealed::file_of(run) else {
            let path = match run.is_dir() {
                true => run.join(sealed::OPEN),
                false => run.to_owned(),
            };
            return Err(RecorderError::Foreign {
                path,
                why: "there is no such file; name a run's folder (`formicarium runs` lists them)"
                    .into(),
            });
        };
        let foreign = |why: String| RecorderError::Foreign {
            path: path.clone(),
            why,
        };
        let connection = sealed::connect(&path).map_err(|error| foreign(error.to_string()))?;
        let id: i64 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(|error| foreign(error.to_string()))?;
        if id != schema::APPLICATION_ID {
            return Err(foreign("its application_id is not ours".into()));
        }
        let found: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| foreign(error.to_string()))?;
        if found != schema::FORMAT {
            return Err(RecorderError::Format {
                path,
                found,
                known: schema::FORMAT,
            });
        }
        Ok((path, connection))
    }

    /// A recording whose file is open; of a fork its own rows, unless its ancestors are attached.
    pub fn of(path: PathBuf, connection: Connection) -> Result<Recording, RecorderError> {
        let foreign = |why: String| RecorderError::Foreign {
            path: path.clone(),
            why,
        };
        let meta = meta_value(&connection, &path, "run")?
            .ok_or_else(|| foreign("table meta has no row 'run'".into()))?;
        let meta =
            serde_json::from_str(&meta).map_err(|error| foreign(format!("meta 'run': {error}")))?;
        let end = match meta_value(&connection, &path, "end")? {
            None => None,
            Some(text) => Some(
                serde_json::from_str(&text)
                    .map_err(|error| foreign(format!("meta 'end': {error}")))?,
            ),
        };
        Ok(Recording {
            path,
            connection,
            meta,
            end,
            ancestors: Vec::new(),
        })
    }

    /// The runs before it whose rows it has by reference, the nearest first.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The scenario's files as the run saw them.
    pub fn bundle(&self) -> Result<Bundle, RecorderError> {
        let mut bundle = Bundle::new();
        let mut statement = self
            .connection
            .prepare("SELECT path, body FROM bundle")
            .map_err(|error| self.sql(error))?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .map_err(|error| self.sql(error))?;
        for row in rows {
            let (path, body) = row.map_err(|error| self.sql(error))?;
            bundle.insert(path, body);
        }
        Ok(bundle)
    }

    /// Calls `each` with the inputs in order; stops at the first damage or at its first error.
    pub fn inputs<E: From<RecorderError>>(
        &self,
        each: impl FnMut(TickInput) -> Result<(), E>,
    ) -> Result<(), E> {
        self.inputs_between(1, u64::MAX, each)
    }

    /// As [`Recording::inputs`], from the one of tick `first` up to that of `last`, as far as they are recorded.
    pub fn inputs_between<E: From<RecorderError>>(
        &self,
        first: u64,
        last: u64,
        mut each: impl FnMut(TickInput) -> Result<(), E>,
    ) -> Result<(), E> {
        // As wide as SQLite's numbers.
        let last = i64::try_from(last).unwrap_or(i64::MAX);
        let mut statement = self
            .connection
            .prepare(
                "SELECT tick, CAST(body AS BLOB), CAST(digest AS BLOB) FROM inputs \
                 WHERE tick BETWEEN ?1 AND ?2 ORDER BY tick",
            )
            .map_err(|error| self.sql(error))?;
        let mut rows = statement
            .query([first as i64, last])
            .map_err(|error| self.sql(error))?;
        let mut expected = first;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.damaged(expected, error.to_string()).into()),
            };
            let read = || -> rusqlite::Result<(i64, Vec<u8>, Vec<u8>)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            };
            let (tick, body, digest) =
                read().map_err(|error| self.damaged(expected, error.to_string()))?;
            if tick != expected as i64 {
                let why =
                    format!("its input row is missing (the next one found is of tick {tick})");
                return Err(self.damaged(expected, why).into());
            }
            if digest != input_check(expected, &body).into_bytes() {
                let why =
                    "the input row does not fit its check value: its bytes were changed".to_owned();
                return Err(self.damaged(expected, why).into());
            }
            let input: TickInput = serde_json::from_slice(&body).map_err(|error| {
                self.damaged(expected, format!("the input row is no input: {error}"))
            })?;
            each(input)?;
            expected += 1;
        }
    }

    /// What each seat had asked to remember when it was shown a tick: nothing that it asked then or later. By seat, JSON.
    pub fn remembered(&self, tick: u64) -> Result<Vec<(u32, String)>, RecorderError> {
        let read = || -> rusqlite::Result<Vec<(u32, String)>> {
            let mut statement = self.connection.prepare(
                "SELECT seat, state FROM remembered WHERE id IN \
                 (SELECT max(id) FROM remembered WHERE tick < ?1 GROUP BY seat) ORDER BY seat",
            )?;
            statement
                .query_map([tick as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().map_err(|error| self.sql(error))
    }

    /// The last fact of the shared tree that the inputs up to a tick hold; 0 for none.
    pub fn taken(&self, tick: u64) -> Result<u64, RecorderError> {
        self.connection
            .query_row(
                "SELECT coalesce(max(json_extract(e.value, '$.body.v.number')), 0) FROM inputs, json_each(inputs.body, '$.seats') e \
                 WHERE tick <= ?1 AND json_extract(e.value, '$.body.t') = 'file'",
                [tick as i64],
                |row| row.get::<_, i64>(0),
            )
            .map(|number| number.max(0) as u64)
            .map_err(|error| self.sql(error))
    }

    /// Status and value of what a seat last answered to a question; none if it was not asked.
    pub fn last_answer(
        &self,
        seat: &str,
        question: &str,
    ) -> Result<Option<(String, Option<serde_json::Value>)>, RecorderError> {
        let sql = "SELECT status, value FROM answers WHERE seat = ?1 AND question = ?2 ORDER BY tick DESC LIMIT 1";
        let row = self
            .connection
            .query_row(sql, [seat, question], |row| {
                Ok((row.get(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional()
            .map_err(|error| self.sql(error))?;
        Ok(row.map(|(status, value)| {
            (
                status,
                value.and_then(|text| serde_json::from_str(&text).ok()),
            )
        }))
    }

    /// Parameters that were set while the run went on, up to a tick: name and value, in order.
    pub(super) fn set_until(&self, tick: u64) -> Result<Vec<(String, String)>, RecorderError> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let mut statement = self.connection.prepare(
                "SELECT json_extract(data, '$.name'), json_extract(data, '$.value') FROM events \
                 WHERE name = 'world.set' AND tick <= ?1 ORDER BY tick, n",
            )?;
            statement
                .query_map([tick as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        read().map_err(|error| self.sql(error))
    }

    /// The seats whose agent's program has told of a session: a new process may go on with it.
    pub fn seats_with_sessions(&self) -> Result<Vec<u32>, RecorderError> {
        let read = || -> rusqlite::Result<Vec<u32>> {
            let mut statement = self
                .connection
                .prepare("SELECT DISTINCT seat FROM transcripts WHERE tick >= ?1 ORDER BY seat")?;
            // What a fork has from its parent was said in another session.
            let from = self.meta.parent.as_ref().map_or(0, |parent| parent.tick);
            statement
                .query_map([from as i64], |row| row.get(0))?
                .collect()
        };
        read().map_err(|error| self.sql(error))
    }

    /// Values of all metrics, by tick, in the order of [`RunMeta::metrics`]; NaN where there is none.
    pub fn metrics(&self) -> Result<Vec<(u64, Vec<f64>)>, RecorderError> {
        let names = &self.meta.metrics;
        let read = || -> rusqlite::Result<Vec<(u64, Vec<f64>)>> {
            let mut statement = self
                .connection
                .prepare("SELECT tick, name, value FROM metrics ORDER BY tick")?;
            let mut rows = statement.query([])?;
            let mut found: Vec<(u64, Vec<f64>)> = Vec::new();
            while let Some(row) = rows.next()? {
                let tick = row.get::<_, i64>(0)? as u64;
                if found.last().is_none_or(|(last, _)| *last != tick) {
                    found.push((tick, vec![f64::NAN; names.len()]));
                }
                let name: String = row.get(1)?;
                if let Some((_, values)) = found.last_mut()
                    && let Some(at) = names.iter().position(|known| *known == name)
                {
                    values[at] = row.get::<_, Option<f64>>(2)?.unwrap_or(f64::NAN);
                }
            }
            Ok(found)
        };
        read().map_err(|error| self.sql(error))
    }

    /// Microseconds from the start of the run to its last tick, as recorded.
    pub fn last_at_us(&self) -> Result<u64, RecorderError> {
        let last = self.last(
            "SELECT tick, at_us FROM ticks ORDER BY tick DESC LIMIT 1",
            1,
        )?;
        Ok(last.unwrap_or(0))
    }

    /// Microseconds from the start of the run to a tick, as recorded; none if the host ended before it wrote that.
    pub fn at_us(&self, tick: u64) -> Result<Option<u64>, RecorderError> {
        let at = self
            .connection
            .prepare_cached("SELECT at_us FROM ticks WHERE tick = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([tick as i64], |row| row.get::<_, i64>(0))
                    .optional()
            })
            .map_err(|error| self.sql(error))?;
        Ok(at.map(|at| at.max(0) as u64))
    }

    /// A number of the last row; none if there is no row. By the order of the key and not by `max`: so the key's index is
    /// used through the views of a fork too.
    fn last(&self, sql: &str, column: usize) -> Result<Option<u64>, RecorderError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement
                .query_row([], |row| row.get::<_, i64>(column))
                .optional()
        };
        let last = read().map_err(|error| self.sql(error))?;
        Ok(last.map(|number| number.max(0) as u64))
    }

    /// The recorded hashes of one tick; none if the host ended before it wrote them.
    pub fn tick(&self, tick: u64) -> Result<Option<TickRow>, RecorderError> {
        let row = self
            .connection
            .prepare_cached("SELECT hash, parts FROM ticks WHERE tick = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([tick as i64], |row| {
                        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
                    })
                    .optional()
            })
            .map_err(|error| self.damaged(tick, error.to_string()))?;
        let Some((hash, parts)) = row else {
            return Ok(None);
        };
        if parts.len() != self.meta.parts.len() * 8 {
            return Err(self.damaged(tick, "its list of part hashes has the wrong length".into()));
        }
        let parts = parts
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("chunks of 8")))
            .collect();
        Ok(Some(TickRow { tick, hash, parts }))
    }

    /// The newest keyframe of a tick or of one before it, with its tick.
    pub fn keyframe_before(&self, tick: u64) -> Result<Option<(u64, Vec<u8>)>, RecorderError> {
        let tick = i64::try_from(tick).unwrap_or(i64::MAX);
        let sql = "SELECT tick, body FROM keyframes WHERE tick <= ?1 ORDER BY tick DESC LIMIT 1";
        self.connection
            .query_row(sql, [tick], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
            })
            .optional()
            .map_err(|error| self.damaged(tick as u64, format!("the keyframe before it: {error}")))
    }

    /// What was recorded since the newest keyframe up to tick `last`: of the inputs all, of the events those that are there.
    pub fn pace(&self, last: u64) -> Result<Pace, RecorderError> {
        let (at, body) = self.keyframe_before(last)?.unwrap_or_default();
        let count = |sql: &str| -> Result<(u64, u64), RecorderError> {
            let found = self
                .connection
                .query_row(sql, [at as i64, last as i64], |row| {
                    Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
                });
            found.map_err(|error| self.sql(error))
        };
        let (ticks, bytes) = count(
            "SELECT count(*), coalesce(sum(length(CAST(body AS BLOB))), 0) FROM inputs WHERE tick > ?1 AND tick <= ?2",
        )?;
        let (events, _) = count("SELECT count(*), 0 FROM events WHERE tick > ?1 AND tick <= ?2")?;
        let mut pace = Pace::since(body.len(), ticks, bytes);
        pace.add_events(events as usize);
        Ok(pace)
    }

    /// Number of the last tick with an input; 0 for none.
    pub fn last_tick(&self) -> Result<u64, RecorderError> {
        let last = self.last("SELECT tick FROM inputs ORDER BY tick DESC LIMIT 1", 0)?;
        Ok(last.unwrap_or(0))
    }

    /// Last tick for which hashes stand; none for a run that was cut off before it began.
    pub fn last_hashed(&self) -> Result<Option<u64>, RecorderError> {
        self.last("SELECT tick FROM ticks ORDER BY tick DESC LIMIT 1", 0)
    }

    /// What each seat has used, by model. Tokens are those of the model door, or where a seat had none, of its program's
    /// own count.
    pub fn costs(&self) -> Result<Vec<CostSum>, RecorderError> {
        let mut statement = self
            .connection
            .prepare(
                "SELECT s.name, c.model, sum(c.source = 'call'), sum(c.source = 'call' AND c.outcome != 'complete' OR c.status >= 400), \
                 sum(c.input_tokens * (c.source = d.source)), sum(c.output_tokens * (c.source = d.source)), \
                 sum(c.cache_read_tokens * (c.source = d.source)), sum(c.cache_write_tokens * (c.source = d.source)), \
                 total(c.usd) \
                 FROM costs c JOIN seats s USING (seat) \
                 JOIN (SELECT seat, min(source) AS source FROM costs GROUP BY seat) d USING (seat) \
                 GROUP BY seat, c.model ORDER BY seat, c.model",
            )
            .map_err(|error| self.sql(error))?;
        let rows = statement.query_map([], |row| {
            let number = |index| {
                row.get::<_, Option<i64>>(index)
                    .map(|n| n.unwrap_or(0).max(0) as u64)
            };
            Ok(CostSum {
                seat: row.get(0)?,
                model: row.get(1)?,
                calls: number(2)?,
                failed: number(3)?,
                input_tokens: number(4)?,
                output_tokens: number(5)?,
                cache_read_tokens: number(6)?,
                cache_write_tokens: number(7)?,
                usd: row.get(8)?,
            })
        });
        rows.and_then(Iterator::collect)
            .map_err(|error| self.sql(error))
    }

    /// Until what is returned is dropped, all that is read is of one moment, also while the run goes on. Within such a
    /// moment there is no other, and none is returned.
    pub(crate) fn moment(&self) -> Result<Option<rusqlite::Transaction<'_>>, RecorderError> {
        if !self.connection.is_autocommit() {
            return Ok(None);
        }
        let moment = self.connection.unchecked_transaction();
        moment.map(Some).map_err(|error| self.sql(error))
    }

    /// The open file, with what a fork has from before under the tables' own names; it can only be read.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the run has ended by now.
    pub(crate) fn has_end(&self) -> Result<bool, RecorderError> {
        Ok(meta_value(&self.connection, &self.path, "end")?.is_some())
    }

    pub(super) fn sql(&self, source: rusqlite::Error) -> RecorderError {
        RecorderError::Sql {
            path: self.path.clone(),
            source,
        }
    }

    pub(crate) fn damaged(&self, tick: u64, why: String) -> RecorderError {
        RecorderError::Damaged {
            path: self.path.clone(),
            tick,
            why,
        }
    }
}

fn meta_value(
    connection: &Connection,
    path: &Path,
    key: &str,
) -> Result<Option<String>, RecorderError> {
    connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|source| RecorderError::Sql {
            path: path.to_owned(),
            source,
        })
}
