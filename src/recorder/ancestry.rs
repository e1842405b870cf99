//! What a fork has from the runs that it branched off, by reference: their files, attached beside its own, and views that
//! put the rows of all together under the names of the tables.
//!
//! Writes nothing but the word that a parent keeps of its forks. Must not know why somebody branches there, nor what a row
//! means.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::chain::{Chain, encode};
use super::schema::{APPLICATION_ID, FORMAT};
use super::tables::{Kind, TABLES, Table};
use super::{Inherited, Parent, RecorderError, RunMeta, sealed};

/// Ancestors that a fork refers to at most, the nearest and those before it: SQLite attaches ten files. A fork of the last
/// one has its rows copied.
pub const MOST: usize = 8;
/// The folder beside `run.db` in which a run keeps the word of its forks: a file each, by the fork's id.
pub const FORKS: &str = "forks";

/// In place of a block's number: the parent keeps no chain, as those of early hosts.
pub(super) const NO_CHAIN: i64 = -1;

/// A run whose rows are a fork's history, attached to the fork's connection.
#[derive(Debug, Clone)]
pub struct Ancestor {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name among the attached files.
    schema: String,
    /// What the fork has of its rows: nothing of this tick's notes, nor of later ones.
    tick: u64,
    /// By table, the key of the last row that the fork has.
    to: BTreeMap<String, i64>,
}

/// Attaches the ancestors of the recording at `path`, the nearest first, and makes the views. Nothing for a run of its own,
/// or one whose history stands in its own file.
///
/// # Errors
/// One is gone, or is not what it was.
pub fn attach(
    connection: &Connection,
    path: &Path,
    parent: Option<&Parent>,
) -> Result<Vec<Ancestor>, RecorderError> {
    let mut list: Vec<Ancestor> = Vec::new();
    let mut folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut next = parent.cloned();
    while let Some((parent, inherited)) = next.as_ref().and_then(referred) {
        let lost = |why: String| RecorderError::Parent {
            path: path.to_owned(),
            run: parent.run.clone(),
            tick: parent.tick,
            why,
        };
        // One more than refer to one another: that one is about to be copied from.
        if list.len() > MOST {
            return Err(lost(format!(
                "{MOST} runs lie between them, and no more can be opened"
            )));
        }
        let schema = format!("ancestor{}", list.len() + 1);
        let (found, before) =
            find(connection, &schema, &folder, parent, inherited).map_err(lost)?;
        let (mut tick, mut to) = (parent.tick, inherited.to.clone());
        if let Some(nearer) = list.last() {
            tick = tick.min(nearer.tick);
            to.retain(|table, _| nearer.to.contains_key(table));
            for (table, key) in &mut to {
                *key = (*key).min(nearer.to[table]);
            }
        }
        folder.clone_from(&found);
        list.push(Ancestor {
            folder: found,
            schema,
            tick,
            to,
        });
        next = before;
    }
    if !list.is_empty() {
        views(connection, &list).map_err(|source| RecorderError::Sql {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(list)
}

/// The parent whose rows are not in the fork's own file.
fn referred(parent: &Parent) -> Option<(&Parent, &Inherited)> {
    let inherited = parent.history.as_ref()?;
    (!inherited.copied).then_some((parent, inherited))
}

/// Attaches the parent of the run in `folder`: its folder, and its own parent. Or why not, and what to do.
fn find(
    connection: &Connection,
    schema: &str,
    folder: &Path,
    parent: &Parent,
    inherited: &Inherited,
) -> Result<(PathBuf, Option<Parent>), String> {
    // Both may have been moved, or copied, together.
    let candidates = [folder.join(&inherited.near), PathBuf::from(&inherited.path)];
    let mut others = Vec::new();
    for candidate in &candidates {
        let Some(file) = sealed::file_of(candidate) else {
            continue;
        };
        let opened = open(connection, schema, &file, parent, inherited);
        match opened {
            Ok(before) => {
                let found = fs::canonicalize(candidate).unwrap_or_else(|_| candidate.clone());
                return Ok((found, before));
            }
            Err(Wrong::Another(why)) => others.push(format!("{}: {why}", candidate.display())),
            Err(Wrong::Changed(why)) => {
                return Err(format!(
                    "the run in {} is not what it was when this one branched off: {why}. Put it back as it was",
                    candidate.display()
                ));
            }
        }
        let _ = connection.execute_batch(&format!("DETACH DATABASE {schema}"));
    }
    let there = match others.is_empty() {
        true => "that run is gone".to_owned(),
        false => format!("that run is gone ({})", others.join("; ")),
    };
    Err(format!(
        "{there}. Put its folder back at {}, or where it lay beside this one ({}); forks that are sealed need no parent",
        inherited.path, inherited.near
    ))
}

enum Wrong {
    /// It is another run, or none.
    Another(String),
    /// It is the run, but has other rows.
    Changed(String),
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Wrong::Another(error.to_string())
    }
}

fn open(
    connection: &Connection,
    schema: &str,
    file: &Path,
    parent: &Parent,
    inherited: &Inherited,
) -> Result<Option<Parent>, Wrong> {
    let another = |why: &str| Wrong::Another(why.to_owned());
    sealed::attach(connection, schema, file).map_err(|error| Wrong::Another(error.to_string()))?;
    let pragma = |name: &str| {
        connection.query_row(&format!("PRAGMA {schema}.{name}"), [], |row| {
            row.get::<_, i64>(0)
        })
    };
    if (pragma("application_id")?, pragma("user_version")?) != (APPLICATION_ID, FORMAT) {
        return Err(another("it is no recording of this format"));
    }
    let meta: String = connection.query_row(
        &format!("SELECT value FROM {schema}.meta WHERE key = 'run'"),
        [],
        |row| row.get(0),
    )?;
    let meta: RunMeta =
        serde_json::from_str(&meta).map_err(|error| Wrong::Another(error.to_string()))?;
    if meta.run != parent.run {
        return Err(Wrong::Another(format!("that is run {}", meta.run)));
    }
    if inherited.block == NO_CHAIN {
        return Ok(meta.parent);
    }
    let digest: Option<String> = connection
        .query_row(
            &format!("SELECT digest FROM {schema}.chain WHERE block = ?1"),
            [inherited.block],
            |row| row.get(0),
        )
        .optional()?;
    match digest {
        Some(digest) if digest == inherited.block_digest => Ok(meta.parent),
        Some(_) => Err(Wrong::Changed(format!(
            "block {} of its chain has another digest",
            inherited.block
        ))),
        None => Err(Wrong::Changed(format!(
            "block {} of its chain is missing",
            inherited.block
        ))),
    }
}

/// Tables whose rows a fork has from its ancestors.
pub(super) fn lent() -> impl Iterator<Item = &'static Table> {
    TABLES
        .into_iter()
        .filter(|table| table.kind != Kind::Replaced)
}

/// The rows of a table that an ancestor lends.
fn condition(table: &Table, to: i64, tick: u64) -> String {
    let key = table.columns[0];
    match table.kind == Kind::Numbered && table.columns.contains(&"tick") {
        // What came in that tick belongs to the time after.
        true => format!("{key} <= {to} AND tick < {tick}"),
        false => format!("{key} <= {to}"),
    }
}

/// What an attached ancestor lends of a table: a query's end, with `columns` before it.
fn piece(ancestor: &Ancestor, table: &Table) -> Option<(String, String)> {
    let to = *ancestor.to.get(table.name)?;
    let from = format!("{}.{}", ancestor.schema, table.name);
    Some((from, condition(table, to, ancestor.tick)))
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let statement = connection.prepare(&format!("SELECT * FROM {table} LIMIT 0"))?;
    Ok(statement.column_names().map(str::to_owned).collect())
}

/// What to select of an ancestor's table: the columns of ours; those of later hosts are empty in earlier recordings.
fn selection(connection: &Connection, from: &str, ours: &[String]) -> rusqlite::Result<String> {
    let theirs = columns(connection, from)?;
    let list: Vec<String> = ours
        .iter()
        .map(|column| match theirs.contains(column) {
            true => column.clone(),
            false => format!("NULL AS {column}"),
        })
        .collect();
    Ok(list.join(", "))
}

/// Views with the names of the tables, and those of the recording anew, upon them.
fn views(connection: &Connection, list: &[Ancestor]) -> rusqlite::Result<()> {
    for table in lent() {
        let name = table.name;
        if !list.iter().any(|ancestor| ancestor.to.contains_key(name)) {
            continue;
        }
        let ours = columns(connection, &format!("main.{name}"))?;
        let mut parts = Vec::new();
        // The oldest first: so rows come in order also where nobody asks for it.
        for ancestor in list.iter().rev() {
            if let Some((from, condition)) = piece(ancestor, table) {
                let selection = selection(connection, &from, &ours)?;
                parts.push(format!("SELECT {selection} FROM {from} WHERE {condition}"));
            }
        }
        parts.push(format!("SELECT {} FROM main.{name}", ours.join(", ")));
        connection.execute_batch(&format!(
            "CREATE TEMP VIEW {name} AS {}",
            parts.join(" UNION ALL ")
        ))?;
    }
    let mut statement = connection
        .prepare("SELECT sql FROM main.sqlite_master WHERE type = 'view' ORDER BY rowid")?;
    let made: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for view in made {
        connection.execute_batch(&view.replacen("CREATE VIEW", "CREATE TEMP VIEW", 1))?;
    }
    Ok(())
}

/// What names the contents that a run needs.
const NEEDED: &str = "SELECT json_extract(body, '$.state.hash') FROM file_facts UNION \
     SELECT json_extract(body, '$.merged') FROM file_facts UNION \
     SELECT json_extract(body, '$.wanted.hash') FROM file_facts";
/// The same of the seats' own files.
const NEEDED_OF_SEATS: &str = "SELECT rest FROM workspace_files";

/// Copies what the ancestors lend into the tables themselves, within a transaction of the caller's.
pub(super) fn copy(connection: &Connection, list: &[Ancestor]) -> rusqlite::Result<()> {
    for table in lent() {
        let name = table.name;
        let ours = columns(connection, &format!("main.{name}"))?;
        for ancestor in list.iter().rev() {
            let Some((from, condition)) = piece(ancestor, table) else {
                continue;
            };
            let selection = selection(connection, &from, &ours)?;
            let needed = match name {
                "contents" => format!(" AND hash IN ({NEEDED})"),
                "workspace_contents" => format!(" AND hash IN ({NEEDED_OF_SEATS})"),
                _ => String::new(),
            };
            connection.execute(
                &format!(
                    "INSERT INTO main.{name} ({}) SELECT {selection} FROM {from} WHERE {condition}{needed} ORDER BY {}",
                    ours.join(", "),
                    table.columns[0]
                ),
                [],
            )?;
        }
    }
    Ok(())
}

/// The digest over all rows that a fork has from before, contents apart, which are checked by their names: BLAKE3 over a
/// line, and by table its name, the last key and the rows. Of a run that is about to be a parent (`tick` says where), or of
/// a fork with its ancestors attached.
pub(super) fn digest(
    connection: &Connection,
    tick: Option<u64>,
    to: &BTreeMap<String, i64>,
) -> rusqlite::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"formicarium history 1\n");
    let mut bytes = Vec::new();
    for table in lent().filter(|table| !table.name.ends_with("contents")) {
        let Some(to) = to.get(table.name) else {
            continue;
        };
        encode(&table.name, &mut bytes);
        encode(to, &mut bytes);
        let rows = match tick {
            Some(tick) => condition(table, *to, tick),
            None => format!("{} <= {to}", table.columns[0]),
        };
        table.read_where(connection, table.name, &rows, |_, row| {
            bytes.extend_from_slice(row);
            if bytes.len() >= 1 << 16 {
                hasher.update(&bytes);
                bytes.clear();
            }
        })?;
    }
    hasher.update(&bytes);
    Ok(hasher.finalize().to_hex().to_string())
}

/// The chain of a fork: it goes on from the digest of what the fork has from before.
pub(super) fn chain(parent: Option<&Parent>) -> Chain {
    match parent.and_then(|parent| Some((parent, parent.history.as_ref()?))) {
        Some((parent, inherited)) => Chain::behind(&inherited.digest, parent.tick, &inherited.to),
        None => Chain::new(),
    }
}

/// A fork that a run keeps the word of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Told {
    /// The fork's id.
    pub run: String,
    /// Its folder, absolute.
    pub path: String,
    /// Its folder from the parent's.
    pub near: String,
}

/// Tells a run of a fork.
///
/// # Errors
/// Its folder cannot be written.
pub(super) fn tell(parent: &Path, told: &Told) -> std::io::Result<()> {
    if !is_name(&told.run) {
        return Err(std::io::Error::other("its id is no name of a file"));
    }
    let folder = parent.join(FORKS);
    fs::create_dir_all(&folder)?;
    let text = serde_json::to_string(told).expect("Told has string keys only");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(folder.join(&told.run))?;
    writeln!(file, "{text}")
}

/// What a recording says of itself may be anything.
fn is_name(run: &str) -> bool {
    let mut parts = Path::new(run).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(name)), None) if name == run)
}

/// A run need not know of a fork any more that is gone. It would find out by itself.
pub fn forget(folder: &Path, meta: &RunMeta) {
    let parent = meta.parent.as_ref();
    let Some(history) = parent.and_then(|parent| parent.history.as_ref()) else {
        return;
    };
    for place in [folder.join(&history.near), PathBuf::from(&history.path)] {
        let word = place.join(FORKS).join(&meta.run);
        let text = is_name(&meta.run)
            .then(|| fs::read_to_string(&word).ok())
            .flatten();
        let told = text.and_then(|text| serde_json::from_str::<Told>(&text).ok());
        if told.is_some_and(|told| told.run == meta.run) {
            let _ = fs::remove_file(word);
            return;
        }
    }
}

/// A fork and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// Its id.
    pub run: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// The forks that need a run's rows: those that are there and not sealed. One that cannot be read counts: it may.
pub fn dependents(folder: &Path) -> Vec<Dependent> {
    let entries = fs::read_dir(folder.join(FORKS))
        .into_iter()
        .flatten()
        .flatten();
    let mut list: Vec<Dependent> = entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            let told: Told = serde_json::from_str(&text).ok()?;
            let places = [folder.join(&told.near), PathBuf::from(&told.path)];
            places.into_iter().find_map(|place| {
                // What is sealed stands alone.
                let file = place.join("run.db");
                let needs = file.is_file() && is_needy(&file, &told.run);
                needs.then(|| Dependent {
                    run: told.run.clone(),
                    folder: fs::canonicalize(&place).unwrap_or(place),
                })
            })
        })
        .collect();
    list.sort_by(|a, b| a.run.cmp(&b.run));
    list
}

fn is_needy(file: &Path, run: &str) -> bool {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let read = || -> rusqlite::Result<String> {
        Connection::open_with_flags(file, flags)?.query_row(
            "SELECT value FROM meta WHERE key = 'run'",
            [],
            |row| row.get(0),
        )
    };
    match read().map(|text| serde_json::from_str::<RunMeta>(&text)) {
        Ok(Ok(meta)) => meta.run == run && meta.parent.as_ref().and_then(referred).is_some(),
        // It is there, and may need it.
        _ => true,
    }
}

/// The way from one folder to another, both without links; none where a name is no UTF-8.
pub(super) fn way(from: &Path, to: &Path) -> Option<String> {
    let same = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(same).map(|_| Path::new(".."));
    let down = to.components().skip(same);
    let way: PathBuf = up
        .chain(down.map(|part| Path::new(part.as_os_str())))
        .collect();
    match way.to_str()? {
        "" => Some(".".to_owned()),
        way => Some(way.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_leads_elsewhere_is_no_name() {
        for (id, is) in [
            ("commons-1", true),
            ("a/b", false),
            ("../a", false),
            ("..", false),
            ("/a", false),
            ("", false),
            ("a/", false),
        ] {
            assert_eq!(is_name(id), is, "{id}");
        }
    }

    #[test]
    fn the_way_between_folders() {
        for (from, to, expected) in [
            ("/a/fork", "/a/parent", "../parent"),
            ("/a/b/fork", "/c", "../../../c"),
            ("/a", "/a/b", "b"),
            ("/a", "/a", "."),
        ] {
            assert_eq!(
                way(Path::new(from), Path::new(to)).as_deref(),
                Some(expected)
            );
        }
    }
}
