//! The seats' own files in a recording: how a change becomes a row, and what stood where at a tick.
//!
//! A file that has only grown is kept as what was added to it. Must not know when a seat's files are looked at, nor where
//! they are laid out again.

use std::collections::BTreeMap;

use blake3::Hasher;
use formicarium_agents::adapter::session;
use formicarium_agents::broker::ContentHash;
use formicarium_agents::workspace::history::restore::Kept;
use formicarium_agents::workspace::history::{Now, Seen};
use rusqlite::{OptionalExtension, Params, Row};

use super::RecorderError;
use super::reader::Recording;
use super::verify::Faults;

/// The columns of a change besides tick, seat and path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    /// `file`, `dir`, `link`, `gone`, `left-out`.
    pub(super) kind: String,
    /// BLAKE3 of a file.
    pub(super) hash: Option<String>,
    pub(super) bytes: Option<i64>,
    pub(super) executable: Option<bool>,
    /// The hash of the file before, where the file goes on from it.
    pub(super) base: Option<String>,
    /// The content that follows it, or all there is.
    pub(super) rest: Option<String>,
    /// Where a link leads; why something is left out.
    pub(super) text: Option<String>,
}

pub(super) fn row(now: &Now) -> Columns {
    let plain = |kind: &str| Columns {
        kind: kind.to_owned(),
        ..Columns::default()
    };
    match now {
        Now::Dir => plain("dir"),
        Now::Gone => plain("gone"),
        Now::Link(to) => Columns {
            text: Some(to.clone()),
            ..plain("link")
        },
        Now::LeftOut(why) => Columns {
            text: Some(why.clone()),
            ..plain("left-out")
        },
        Now::File {
            hash,
            bytes,
            executable,
            base,
            rest,
        } => Columns {
            hash: Some(hash.to_string()),
            bytes: Some(*bytes as i64),
            executable: Some(*executable),
            base: base.as_ref().map(ToString::to_string),
            rest: Some(ContentHash::of(rest).to_string()),
            ..plain("file")
        },
    }
}

/// One thing that became of a seat's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// The row's number.
    pub id: i64,
    /// The tick that the seat had been shown when it was seen.
    pub tick: u64,
    /// The seat's index.
    pub seat: usize,
    /// `workspace/...` or `home/...`.
    pub path: String,
    columns: Columns,
}

impl OwnFile {
    fn read(row: &Row<'_>) -> rusqlite::Result<OwnFile> {
        Ok(OwnFile {
            id: row.get(0)?,
            tick: row.get::<_, i64>(1)?.max(0) as u64,
            seat: row.get::<_, i64>(2)?.max(0) as usize,
            path: row.get(3)?,
            columns: Columns {
                kind: row.get(4)?,
                hash: row.get(5)?,
                bytes: row.get(6)?,
                executable: row.get(7)?,
                base: row.get(8)?,
                rest: row.get(9)?,
                text: row.get(10)?,
            },
        })
    }

    /// Why it is not kept, if it is not.
    pub fn left_out(&self) -> Option<&str> {
        let text = self.columns.text.as_deref().unwrap_or_default();
        (self.columns.kind == "left-out").then_some(text)
    }

    /// What was seen there; none for what is gone or not kept.
    fn seen(&self) -> Option<Seen> {
        match self.columns.kind.as_str() {
            "dir" => Some(Seen::Dir),
            "link" => self.columns.text.clone().map(Seen::Link),
            "file" => Some(Seen::File {
                hash: self.columns.hash.clone()?.try_into().ok()?,
                bytes: self.columns.bytes? as u64,
                executable: self.columns.executable?,
            }),
            _ => None,
        }
    }
}

/// What stood in a seat's folders, by path, and what of it is not kept.
pub type Standing = (Vec<(String, Kept)>, Vec<OwnFile>);

const COLUMNS: &str = "id, tick, seat, path, kind, hash, bytes, executable, base, rest, text";

impl Recording {
    /// Whether the recording has the seats' own files at all: early hosts did not look.
    fn has_workspaces(&self) -> rusqlite::Result<bool> {
        self.connection
            .table_exists(Some("main"), "workspace_files")
    }

    /// Rows that fit a condition, in order.
    fn own_files(&self, condition: &str, of: impl Params) -> Result<Vec<OwnFile>, RecorderError> {
        let read = || -> rusqlite::Result<Vec<OwnFile>> {
            if !self.has_workspaces()? {
                return Ok(Vec::new());
            }
            let sql =
                format!("SELECT {COLUMNS} FROM workspace_files WHERE {condition} ORDER BY id");
            let mut statement = self.connection.prepare(&sql)?;
            statement.query_map(of, OwnFile::read)?.collect()
        };
        read().map_err(|error| self.sql(error))
    }

    /// What stood in a seat's folders when it was shown a tick: the newest of each path from before.
    fn standing(&self, seat: usize, tick: u64) -> Result<Vec<OwnFile>, RecorderError> {
        self.own_files(
            "id IN (SELECT max(id) FROM workspace_files WHERE seat = ?1 AND tick < ?2 GROUP BY path)",
            [seat as i64, i64::try_from(tick).unwrap_or(i64::MAX)],
        )
    }

    /// The files of a seat as they were last seen, for whoever looks again.
    ///
    /// # Errors
    /// See [`RecorderError`].
    pub fn workspace_seen(&self, seat: usize) -> Result<Vec<(String, Seen)>, RecorderError> {
        let files = self.standing(seat, u64::MAX)?;
        let seen = files
            .into_iter()
            .filter_map(|file| Some((file.path.clone(), file.seen()?)));
        Ok(seen.collect())
    }

    /// The files of a seat when it was shown a tick, and what of them was left out.
    ///
    /// # Errors
    /// See [`RecorderError`]; a content is missing or damaged.
    pub fn workspace_at(&self, seat: usize, tick: u64) -> Result<Standing, RecorderError> {
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for file in self.standing(seat, tick)? {
            match file.seen() {
                Some(seen) => kept.push((file.path.clone(), self.kept(&file, seen)?)),
                None if file.left_out().is_some() => left_out.push(file),
                None => {}
            }
        }
        Ok((kept, left_out))
    }

    /// A session of a seat's program as far as it had come when the seat was shown a tick, and the path of its file. `shown`
    /// is what it was shown then. None if nothing is known of the session until then.
    ///
    /// # Errors
    /// As [`Recording::workspace_at`].
    pub fn session_at(
        &self,
        seat: usize,
        session: &str,
        tick: u64,
        shown: &str,
    ) -> Result<Option<(String, Vec<u8>)>, RecorderError> {
        let files = self.own_files("seat = ?1 AND kind = 'file'", [seat as i64])?;
        let Some(path) = session::find(files.iter().map(|file| file.path.as_str()), session) else {
            return Ok(None);
        };
        let of = |file: &&OwnFile| file.path == path;
        // What the program writes down of a tick may be seen much later.
        for file in files.iter().filter(of).filter(|file| file.tick >= tick) {
            if let Some(cut) = session::cut(&self.content(file)?, shown) {
                return Ok(session::is_begun(&cut).then(|| (path.to_owned(), cut)));
            }
        }
        let last = files.iter().filter(of).rfind(|file| file.tick < tick);
        last.map(|file| Ok((path.to_owned(), self.content(file)?)))
            .transpose()
    }

    fn kept(&self, file: &OwnFile, seen: Seen) -> Result<Kept, RecorderError> {
        Ok(match seen {
            Seen::Dir => Kept::Dir,
            Seen::Link(to) => Kept::Link(to),
            Seen::File { executable, .. } => Kept::File {
                content: self.content(file)?,
                executable,
            },
        })
    }

    /// A file's bytes: what was added last, behind what it was added to, and so on.
    fn content(&self, file: &OwnFile) -> Result<Vec<u8>, RecorderError> {
        let damaged = |why: &str| {
            let why = format!("the file {} of seat {}: {why}", file.path, file.seat);
            self.damaged(file.tick, why)
        };
        let mut pieces = Vec::new();
        let (mut base, mut rest) = (file.columns.base.clone(), file.columns.rest.clone());
        let mut id = file.id;
        loop {
            let hash = rest.ok_or_else(|| damaged("its content is not named"))?;
            let body = self.workspace_content(&hash)?;
            pieces.push(body.ok_or_else(|| damaged("its content is missing"))?);
            let Some(before) = base else { break };
            let sql = "SELECT id, base, rest FROM workspace_files WHERE seat = ?1 AND path = ?2 AND id < ?3 AND hash = ?4 \
                       ORDER BY id DESC LIMIT 1";
            let found = self
                .connection
                .prepare_cached(sql)
                .and_then(|mut statement| {
                    let of = (file.seat as i64, &file.path, id, before);
                    statement
                        .query_row(of, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                        .optional()
                })
                .map_err(|error| self.sql(error))?;
            (id, base, rest) =
                found.ok_or_else(|| damaged("the content that it goes on from is missing"))?;
        }
        pieces.reverse();
        let content = pieces.concat();
        match file.columns.hash == Some(ContentHash::of(&content).to_string()) {
            true => Ok(content),
            false => Err(damaged("its content does not fit its hash")),
        }
    }

    fn workspace_content(&self, hash: &str) -> Result<Option<Vec<u8>>, RecorderError> {
        self.connection
            .prepare_cached("SELECT body FROM workspace_contents WHERE hash = ?1")
            .and_then(|mut statement| statement.query_row([hash], |row| row.get(0)).optional())
            .map_err(|error| self.sql(error))
    }

    /// Bytes that are kept of the seats' own files.
    pub(crate) fn workspace_bytes(&self) -> Result<u64, RecorderError> {
        let read = || -> rusqlite::Result<i64> {
            if !self.has_workspaces()? {
                return Ok(0);
            }
            let sql = "SELECT coalesce(sum(length(body)), 0) FROM workspace_contents";
            self.connection.query_row(sql, [], |row| row.get(0))
        };
        Ok(read().map_err(|error| self.sql(error))?.max(0) as u64)
    }
}

/// Checks that each content fits its hash, and each version of a file what it is made of.
pub(super) fn verify(recording: &Recording, faults: &mut Faults) -> rusqlite::Result<()> {
    if !recording.has_workspaces()? {
        return Ok(());
    }
    /// The last version of a file: its hash, and the digest so far.
    type Last = (String, Hasher, i64);
    let mut last: BTreeMap<(usize, String), Last> = BTreeMap::new();
    let connection = &recording.connection;
    let mut body = connection.prepare("SELECT body FROM workspace_contents WHERE hash = ?1")?;
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM workspace_files ORDER BY id"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let file = match OwnFile::read(row) {
            Ok(file) => file,
            Err(error) => {
                faults.add("workspace_files", None, None, error.to_string());
                continue;
            }
        };
        let mut fault = |why: &str| {
            let (tick, row) = (Some(file.tick), Some(format!("id {}", file.id)));
            faults.add("workspace_files", tick, row, why);
        };
        let columns = &file.columns;
        if columns.kind != "file" {
            continue;
        }
        let (Some(hash), Some(bytes), Some(rest)) = (&columns.hash, columns.bytes, &columns.rest)
        else {
            fault("a file without its hash, its length or its content");
            continue;
        };
        let at = (file.seat, file.path.clone());
        let (mut hasher, before) = match (&columns.base, last.remove(&at)) {
            (None, _) => (Hasher::new(), 0),
            (Some(base), Some((hash, hasher, bytes))) if *base == hash => (hasher, bytes),
            (Some(_), _) => {
                fault("it goes on from a content that was not the last of this file");
                continue;
            }
        };
        match body
            .query_row([rest], |row| row.get::<_, Vec<u8>>(0))
            .optional()?
        {
            None => fault("its content is missing"),
            Some(body) => {
                hasher.update(&body);
                if hasher.finalize().to_hex().as_str() != hash {
                    fault("its content does not fit its hash");
                } else if before + body.len() as i64 != bytes {
                    fault("its content has another length");
                }
                last.insert(at, (hash.clone(), hasher, bytes));
            }
        }
    }
    drop(rows);
    let mut statement = connection.prepare("SELECT hash, body FROM workspace_contents")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (hash, body): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if ContentHash::of(&body).to_string() != hash {
            let row = Some(format!("hash {hash}"));
            faults.add(
                "workspace_contents",
                None,
                row,
                "the content does not fit its hash",
            );
        }
    }
    Ok(())
}
