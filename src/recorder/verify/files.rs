//! Follows the shared tree of a run: facts in order, versions that follow one another, contents that fit their hashes, each
//! fact in one input, and the folder on disk as the newest versions have it. Must not know the world.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use formicarium_agents::broker::{
    ContentHash, Fact, LeaseChange, LeaseEnd, Reason, State, TreePath, Version,
};
use formicarium_engine::{FileFact, FileNews, InputBody, TickInput};
use nix::fcntl::OFlag;

use super::super::reader::Recording;
use super::super::rows::fact_columns;
use super::super::versions::seat;
use super::{Faults, Report};

/// Checks the shared tree; nothing for a run without.
pub(super) fn check(recording: &Recording, report: &mut Report, faults: &mut Faults) {
    let exists = recording
        .connection
        .prepare("SELECT 1 FROM sqlite_master WHERE name = 'file_facts'")
        .and_then(|mut statement| statement.exists([]));
    if !exists.unwrap_or(true) {
        // A recording of an early host.
        return;
    }
    let facts = match facts(recording, faults) {
        Ok(facts) => facts,
        Err(error) => return faults.add("file_facts", None, None, error.to_string()),
    };
    report.facts = facts.len() as u64;
    let newest = versions(&facts, faults);
    if let Err(error) = contents(recording, &facts, faults) {
        faults.add("contents", None, None, error.to_string());
    }
    if let Err(error) = entered(recording, &facts, faults) {
        faults.add("inputs", None, None, error.to_string());
    }
    let shared = recording.path().with_file_name("shared");
    if facts.is_empty() || !shared.is_dir() {
        return;
    }
    match recording.end {
        Some(_) => on_disk(&shared, &newest, faults),
        None => report.unchecked.push(
            "the folder of the shared tree: the run has no end, so it may be about to be written"
                .into(),
        ),
    }
}

fn row_of(sequence: u64) -> Option<String> {
    Some(format!("sequence {sequence}"))
}

/// All facts by their numbers, each row checked with its body.
fn facts(recording: &Recording, faults: &mut Faults) -> rusqlite::Result<BTreeMap<u64, Fact>> {
    let mut statement = recording.connection.prepare(
        "SELECT sequence, tick, kind, path, seat, token, body FROM file_facts ORDER BY sequence",
    )?;
    let mut rows = statement.query([])?;
    let mut facts = BTreeMap::new();
    let mut expected = 1;
    while let Some(row) = rows.next()? {
        let sequence = row.get::<_, i64>(0)? as u64;
        if sequence != expected {
            let why = format!("fact {expected} is missing (the next one found is {sequence})");
            faults.add("file_facts", None, row_of(expected), why);
        }
        expected = sequence.wrapping_add(1);
        let read = || -> Result<Fact, String> {
            let text = |error: rusqlite::Error| error.to_string();
            let body: String = row.get(6).map_err(text)?;
            let fact: Fact =
                serde_json::from_str(&body).map_err(|error| format!("it is no fact: {error}"))?;
            let (kind, path, seat, tick, token) = fact_columns(&fact);
            let columns = (
                row.get::<_, i64>(1).map_err(text)?,
                row.get::<_, String>(2).map_err(text)?,
                row.get::<_, String>(3).map_err(text)?,
                row.get::<_, Option<String>>(4).map_err(text)?,
                row.get::<_, Option<i64>>(5).map_err(text)?,
            );
            let of_body = (
                tick as i64,
                kind.to_owned(),
                path,
                seat.map(str::to_owned),
                token.map(|token| token as i64),
            );
            match columns == of_body && fact.sequence() == sequence {
                true => Ok(fact),
                false => Err("its columns and its body say different things".into()),
            }
        };
        match read() {
            Ok(fact) => drop(facts.insert(sequence, fact)),
            Err(why) => faults.add("file_facts", None, row_of(sequence), why),
        }
    }
    Ok(facts)
}

/// Each version of a path follows the one before. The newest versions.
fn versions<'a>(
    facts: &'a BTreeMap<u64, Fact>,
    faults: &mut Faults,
) -> BTreeMap<&'a TreePath, &'a Version> {
    let mut newest: BTreeMap<&TreePath, &Version> = BTreeMap::new();
    for fact in facts.values() {
        let Fact::Version(version) = fact else {
            continue;
        };
        let before = newest.insert(&version.path, version);
        let number = before.map_or(1, |before| before.number + 1);
        let parent = before.map(|before| before.sequence);
        if (version.number, version.parent) != (number, parent) {
            let Version {
                path, number: has, ..
            } = version;
            let parent = parent.map_or("nothing".to_owned(), |parent| format!("fact {parent}"));
            let why = format!("{path}@{has} should be {path}@{number} and follow {parent}");
            faults.add(
                "file_facts",
                Some(version.tick),
                row_of(version.sequence),
                why,
            );
        }
        let from = version.from.map(|from| facts.get(&from));
        if from.is_some_and(|from| !matches!(from, Some(Fact::Version(_)))) {
            let why = "what it was renamed from is no version";
            faults.add(
                "file_facts",
                Some(version.tick),
                row_of(version.sequence),
                why,
            );
        }
    }
    newest
}

/// Each content fits its hash, and what facts speak of is there.
fn contents(
    recording: &Recording,
    facts: &BTreeMap<u64, Fact>,
    faults: &mut Faults,
) -> rusqlite::Result<()> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut statement = recording
        .connection
        .prepare("SELECT hash, body FROM contents ORDER BY hash")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let hash: String = row.get(0)?;
        let name = Some(format!("hash {hash}"));
        match row.get::<_, Vec<u8>>(1) {
            Ok(body) if ContentHash::of(&body).to_string() == hash => {
                sizes.insert(hash, body.len() as u64);
            }
            Ok(_) => faults.add("contents", None, name, "the content does not fit its hash"),
            Err(error) => faults.add("contents", None, name, error.to_string()),
        }
    }
    let mut named = BTreeSet::new();
    for fact in facts.values() {
        let (tick, state, merged, may_lack) = match fact {
            Fact::Version(version) => (version.tick, Some(version.state), version.merged, false),
            // What was refused for its size is not kept.
            Fact::Refusal(refusal) => {
                let may_lack = matches!(refusal.reason, Reason::Limit | Reason::Together);
                (refusal.tick, refusal.wanted, None, may_lack)
            }
            Fact::Lease(_) => continue,
        };
        if let Some(State::File { hash, bytes, .. }) = state {
            let found = sizes.get(&hash.to_string());
            if found.is_none() && !may_lack && named.insert(hash) {
                let why = format!(
                    "fact {} speaks of it, but it is not there, or is damaged",
                    fact.sequence()
                );
                faults.add("contents", Some(tick), Some(format!("hash {hash}")), why);
            } else if found.is_some_and(|found| *found != bytes) {
                let why = format!("it speaks of {bytes} bytes, but its content has another length");
                faults.add("file_facts", Some(tick), row_of(fact.sequence()), why);
            }
        }
        if let Some(hash) = merged
            && !sizes.contains_key(&hash.to_string())
            && named.insert(hash)
        {
            let why = format!(
                "fact {} was merged from it, but it is not there",
                fact.sequence()
            );
            faults.add("contents", Some(tick), Some(format!("hash {hash}")), why);
        }
    }
    Ok(())
}

/// Each fact of a seat enters one input, in the order of their numbers; those after the last tick enter none.
fn entered(
    recording: &Recording,
    facts: &BTreeMap<u64, Fact>,
    faults: &mut Faults,
) -> rusqlite::Result<()> {
    let mut statement = recording.connection.prepare(
        "SELECT tick, CAST(body AS BLOB) FROM inputs \
         WHERE instr(CAST(body AS BLOB), CAST('\"t\":\"file\"' AS BLOB)) ORDER BY tick",
    )?;
    let mut rows = statement.query([])?;
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    let mut highest = 0;
    while let Some(row) = rows.next()? {
        let (tick, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let tick = tick as u64;
        // One that is no input is told of by whoever steps it.
        let Ok(input) = serde_json::from_slice::<TickInput>(&body) else {
            continue;
        };
        let before = highest;
        for entry in input.seats {
            let InputBody::File(news) = entry.body else {
                continue;
            };
            let mut wrong = |why: String| {
                faults.add("inputs", Some(tick), Some(format!("tick {tick}")), why);
            };
            let number = news.number;
            highest = highest.max(number);
            if let Some(earlier) = told.insert(number, tick) {
                wrong(format!(
                    "fact {number} is in it, and in the input of tick {earlier}"
                ));
            } else if number <= before {
                wrong(format!("fact {number} is in it, after later facts"));
            }
            let name = recording.meta.seats.get(entry.seat.index());
            match facts.get(&number) {
                None => wrong(format!("fact {number} is in it, but not in the recording")),
                Some(fact) if seat(fact) != name.map(|meta| meta.seat.as_str()) => {
                    wrong(format!(
                        "fact {number} is told to another seat than its own"
                    ));
                }
                Some(fact) if !is_told_by(fact, &news) => {
                    wrong(format!("fact {number} is told otherwise than it was"));
                }
                Some(_) => {}
            }
        }
    }
    for (number, fact) in facts {
        let is_renewal = matches!(fact, Fact::Lease(lease) if matches!(lease.change, LeaseChange::Renewed { .. }));
        let is_due = *number <= highest && seat(fact).is_some() && !is_renewal;
        if is_due && !told.contains_key(number) {
            let why = "it is in no input, though later facts are";
            faults.add("file_facts", None, row_of(*number), why);
        }
    }
    Ok(())
}

fn is_told_by(fact: &Fact, told: &FileFact) -> bool {
    let (_, path, ..) = fact_columns(fact);
    let same = match (fact, &told.news) {
        (
            Fact::Version(is),
            FileNews::Published {
                version, merged, ..
            },
        ) => (is.number, is.merged.is_some()) == (*version, *merged),
        (Fact::Refusal(is), FileNews::Refused { code, reason, .. }) => {
            (is.reason.as_str(), &is.why) == (code.as_str(), reason)
        }
        (Fact::Lease(is), news) => match (is.change, news) {
            (
                LeaseChange::Granted { .. } | LeaseChange::Renewed { .. },
                FileNews::Leased { token },
            ) => is.token == *token,
            (
                LeaseChange::Ended {
                    how: LeaseEnd::Released,
                },
                FileNews::Released { token },
            ) => is.token == *token,
            (LeaseChange::Ended { how }, FileNews::Expired { token }) => {
                how != LeaseEnd::Released && is.token == *token
            }
            _ => false,
        },
        _ => false,
    };
    same && path == told.path
}

/// The folder against the newest versions; follows no link.
fn on_disk(shared: &Path, newest: &BTreeMap<&TreePath, &Version>, faults: &mut Faults) {
    let mut wanted: BTreeMap<PathBuf, &Version> = newest
        .values()
        .filter(|version| version.state != State::Absent)
        .map(|version| (shared.join(version.path.as_str()), *version))
        .collect();
    let mut folders = vec![shared.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                faults.add(
                    "shared",
                    None,
                    Some(folder.display().to_string()),
                    error.to_string(),
                );
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = path
                .strip_prefix(shared)
                .unwrap_or(&path)
                .display()
                .to_string();
            let mut wrong = |why: String| faults.add("shared", None, Some(name.clone()), why);
            let Some(version) = wanted.remove(&path) else {
                wrong("it stands in the folder, but is no version".into());
                continue;
            };
            match standing(&path) {
                Ok(found) if found == version.state => {
                    if found == State::Dir {
                        folders.push(path);
                    }
                }
                Ok(found) => wrong(format!(
                    "{found} stands there, not that of @{}",
                    version.number
                )),
                Err(error) => wrong(error.to_string()),
            }
        }
    }
    for version in wanted.values() {
        let name = Some(version.path.to_string());
        let why = format!("@{} is missing in the folder", version.number);
        faults.add("shared", None, name, why);
    }
}

/// What stands at a path on disk.
fn standing(path: &Path) -> std::io::Result<State> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() {
        return Ok(State::Dir);
    }
    if !found.is_file() {
        return Err(std::io::Error::other("a link or a device stands there"));
    }
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    let mut body = Vec::new();
    file.read_to_end(&mut body)?;
    Ok(State::File {
        hash: ContentHash::of(&body),
        bytes: body.len() as u64,
        executable: found.permissions().mode() & 0o100 != 0,
    })
}
