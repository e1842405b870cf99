//! What became of the shared tree of a run, read from its recording: any version of any path, at the end or at a tick.
//!
//! Which tick a fact belongs to is what the inputs say: it is the first tick whose input holds the fact's number. The
//! facts of the host, which have no seat and enter no input, are the tree that the run began with: tick 0. Reads only;
//! must not know the broker beyond its data, nor who asks.

use std::collections::BTreeMap;

use formicarium_agents::broker::{
    ContentHash, Fact, LeaseChange, LeaseFact, Scope, State, TreePath, Version,
};
use formicarium_engine::{InputBody, Scenario, TickInput};
use rusqlite::OptionalExtension;

use super::reader::Recording;
use super::{RecorderError, input_check};

/// Paths that an error names at most.
const NAMED: usize = 8;

/// A fact and the tick that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The fact.
    pub fact: Fact,
    /// The tick whose input it is in; 0 for the tree that the run began with. None for what entered no input: it came
    /// after the last tick, or is nothing that the world is told (a lease that was renewed).
    pub entered: Option<u64>,
}

/// All facts of a run's shared tree, as they stood at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    facts: Vec<Told>,
}

/// Why there is no such version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nothing ever stood there.
    #[error("nothing was ever published at {path:?}; {known}")]
    NoPath {
        /// The path.
        path: String,
        /// What there is.
        known: String,
    },
    /// The path has other versions.
    #[error("{path} has no version {number}; it has {have}")]
    NoVersion {
        /// The path.
        path: String,
        /// The number that was asked for.
        number: u64,
        /// Those there are.
        have: String,
    },
    /// A version that has no content.
    #[error("{path}@{number} is {what}; {instead}")]
    NoFile {
        /// The path.
        path: String,
        /// The version.
        number: u64,
        /// What it is instead.
        what: &'static str,
        /// What to ask for.
        instead: String,
    },
}

impl Recording {
    /// What became of the shared tree; none for a run that shares no files.
    ///
    /// # Errors
    /// The recording cannot be read, or a row of it is damaged.
    pub fn history(&self) -> Result<Option<History>, RecorderError> {
        // One transaction: of a run that goes on, facts and inputs are those of one moment.
        let _moment = self.moment()?;
        let history = self.facts()?;
        if history.facts.is_empty() && !(self.has_facts()? && self.shares_files()?) {
            return Ok(None);
        }
        Ok(Some(history))
    }

    /// As [`Recording::history`], within a transaction of the caller's; nothing for a run that shares no files.
    pub(super) fn facts(&self) -> Result<History, RecorderError> {
        if !self.has_facts()? {
            return Ok(History::default());
        }
        let entered = self.entered()?;
        let mut statement = self
            .connection
            .prepare("SELECT sequence, tick, body FROM file_facts ORDER BY sequence")
            .map_err(|error| self.sql(error))?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)? as u64,
                row.get::<_, i64>(1)? as u64,
                row.get::<_, String>(2)?,
            ))
        });
        let mut facts = Vec::new();
        for row in rows.map_err(|error| self.sql(error))? {
            let (sequence, tick, body) = row.map_err(|error| self.sql(error))?;
            let fact: Fact = serde_json::from_str(&body).map_err(|error| {
                self.damaged(tick, format!("fact {sequence} of the shared tree: {error}"))
            })?;
            let entered = match seat(&fact) {
                None => Some(0),
                Some(_) => entered.get(&sequence).copied(),
            };
            facts.push(Told { fact, entered });
        }
        Ok(History { facts })
    }

    /// A content of the shared tree, of a version or of what was refused.
    ///
    /// # Errors
    /// The recording cannot be read, or the content is not what was written.
    pub fn file_content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, RecorderError> {
        if !self.has_facts()? {
            return Ok(None);
        }
        let found: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT body FROM contents WHERE hash = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([hash.to_string()], |row| row.get(0))
                    .optional()
            })
            .map_err(|error| self.sql(error))?;
        match found {
            Some(body) if ContentHash::of(&body) != *hash => Err(self.damaged(
                0,
                format!("the content {hash} does not fit its hash: its bytes were changed"),
            )),
            found => Ok(found),
        }
    }

    /// The contents of a version; nothing for what is no file.
    ///
    /// # Errors
    /// As [`Recording::file_content`]; a content that is missing is damage.
    pub fn version_content(&self, version: &Version) -> Result<Vec<u8>, RecorderError> {
        let Some(hash) = version.state.hash() else {
            return Ok(Vec::new());
        };
        self.file_content(&hash)?.ok_or_else(|| {
            let Version { path, number, .. } = version;
            self.damaged(
                version.tick,
                format!("the content {hash} of {path}@{number} is missing"),
            )
        })
    }

    /// Recordings of early hosts have no such table.
    pub(crate) fn has_facts(&self) -> Result<bool, RecorderError> {
        self.connection
            .prepare_cached("SELECT 1 FROM sqlite_master WHERE name = 'file_facts'")
            .and_then(|mut statement| statement.exists([]))
            .map_err(|error| self.sql(error))
    }

    fn shares_files(&self) -> Result<bool, RecorderError> {
        let Ok(scenario) = Scenario::load(&self.bundle()?) else {
            return Ok(false);
        };
        let params = scenario.params(&self.meta.set);
        Ok(params.is_ok_and(|params| scenario.files(&params).is_some()))
    }

    /// Numbers of facts with the ticks whose inputs they are in.
    pub(crate) fn entered(&self) -> Result<BTreeMap<u64, u64>, RecorderError> {
        // Inputs that hold no fact need not be parsed. In a text that an agent wrote the quotes are escaped.
        let mut statement = self
            .connection
            .prepare(
                "SELECT tick, CAST(body AS BLOB), CAST(digest AS BLOB) FROM inputs \
                 WHERE instr(body, '\"t\":\"file\"') ORDER BY tick",
            )
            .map_err(|error| self.sql(error))?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)? as u64,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, Vec<u8>>(2)?,
            ))
        });
        let mut entered = BTreeMap::new();
        for row in rows.map_err(|error| self.sql(error))? {
            let (tick, body, digest) = row.map_err(|error| self.sql(error))?;
            if digest != input_check(tick, &body).into_bytes() {
                let why = "the input row does not fit its check value: its bytes were changed";
                return Err(self.damaged(tick, why.to_owned()));
            }
            let input: TickInput = serde_json::from_slice(&body).map_err(|error| {
                self.damaged(tick, format!("the input row is no input: {error}"))
            })?;
            for seat in input.seats {
                if let InputBody::File(fact) = seat.body {
                    entered.entry(fact.number).or_insert(tick);
                }
            }
        }
        Ok(entered)
    }
}

/// Whose doing a fact was; none for the host's.
pub fn seat(fact: &Fact) -> Option<&str> {
    match fact {
        Fact::Version(version) => version.seat.as_deref(),
        Fact::Refusal(refusal) => refusal.seat.as_deref(),
        Fact::Lease(lease) => Some(&lease.seat),
    }
}

impl History {
    /// All facts in order.
    pub fn facts(&self) -> &[Told] {
        &self.facts
    }

    /// The facts about a path: its versions, what was refused there, the leases that covered it. `folder/**` is all that
    /// lies in a folder, and the folder.
    ///
    /// # Errors
    /// There is none.
    pub fn about(&self, name: &str) -> Result<Vec<&Told>, LookupError> {
        let scope = match name.strip_suffix("/**") {
            Some(folder) => TreePath::new(folder).map(Scope::Subtree),
            None if name == "**" => Ok(Scope::Tree),
            None => TreePath::new(name).map(Scope::Path),
        };
        let is_about = |told: &&Told| match (&told.fact, &scope) {
            (Fact::Version(version), Ok(scope)) => scope.covers(&version.path),
            (Fact::Lease(lease), Ok(scope)) => lease.scope.overlaps(scope),
            (Fact::Refusal(refusal), Ok(scope)) => match TreePath::new(&refusal.path) {
                Ok(path) => scope.covers(&path),
                Err(_) => refusal.path == name,
            },
            // A name that the tree does not take may have been refused.
            (Fact::Refusal(refusal), Err(_)) => refusal.path == name,
            (_, Err(_)) => false,
        };
        let found: Vec<&Told> = self.facts.iter().filter(is_about).collect();
        match found.iter().all(|told| matches!(told.fact, Fact::Lease(_))) {
            true => Err(self.no_path(name)),
            false => Ok(found),
        }
    }

    /// The versions that stand after the input of `tick`, or at the end: by path, without what was removed.
    pub fn tree(&self, tick: Option<u64>) -> Vec<&Version> {
        let mut newest: BTreeMap<&TreePath, &Version> = BTreeMap::new();
        for told in &self.facts {
            let is_in = tick.is_none_or(|tick| told.entered.is_some_and(|at| at <= tick));
            if let (Fact::Version(version), true) = (&told.fact, is_in) {
                newest.insert(&version.path, version);
            }
        }
        newest
            .into_values()
            .filter(|version| version.state != State::Absent)
            .collect()
    }

    /// The leases that have no end, the oldest first, as of when they were granted or last renewed.
    pub fn open_leases(&self) -> Vec<&LeaseFact> {
        let mut last: BTreeMap<u64, &LeaseFact> = BTreeMap::new();
        for told in &self.facts {
            if let Fact::Lease(lease) = &told.fact {
                last.insert(lease.token, lease);
            }
        }
        let is_open = |lease: &&LeaseFact| !matches!(lease.change, LeaseChange::Ended { .. });
        last.into_values().filter(is_open).collect()
    }

    /// The version that `chapter.md@3` means, or `chapter.md`: its newest. A name that itself ends like a version is
    /// taken as a path where nothing else fits.
    ///
    /// # Errors
    /// There is none; the error says which there are.
    pub fn find(&self, name: &str) -> Result<&Version, LookupError> {
        let split = name
            .rsplit_once('@')
            .and_then(|(path, number)| Some((path, number.parse::<u64>().ok()?)))
            .filter(|(path, _)| !self.versions(path).is_empty());
        let Some((path, number)) = split else {
            let newest = self.versions(name).last().copied();
            return newest.ok_or_else(|| {
                // Of `none.md@2` the path is what is wrong.
                let path = name.rsplit_once('@').filter(|(_, n)| is_number(n));
                self.no_path(path.map_or(name, |(path, _)| path))
            });
        };
        let versions = self.versions(path);
        let wanted = versions.iter().find(|version| version.number == number);
        wanted.copied().ok_or_else(|| LookupError::NoVersion {
            path: path.to_owned(),
            number,
            have: match versions.len() {
                1 => "one, @1".to_owned(),
                count => format!("@1 to @{count}"),
            },
        })
    }

    /// The version that a name means, which has to be a file.
    ///
    /// # Errors
    /// There is none, or it is a folder, or a removal.
    pub fn find_file(&self, name: &str) -> Result<&Version, LookupError> {
        let version = self.find(name)?;
        let Version { path, number, .. } = version;
        let (what, instead) = match version.state {
            State::File { .. } => return Ok(version),
            State::Dir => ("a folder", "name a file in it".to_owned()),
            State::Absent => {
                let versions = self.versions(path.as_str());
                let file = versions
                    .iter()
                    .rfind(|v| v.number < *number && v.state.hash().is_some());
                let instead = match file {
                    Some(file) => format!("the last content before it is {path}@{}", file.number),
                    None => "no file stood there before".to_owned(),
                };
                ("where it was removed", instead)
            }
        };
        Err(LookupError::NoFile {
            path: path.to_string(),
            number: *number,
            what,
            instead,
        })
    }

    /// All versions of a path, the oldest first.
    pub fn versions(&self, path: &str) -> Vec<&Version> {
        self.facts
            .iter()
            .filter_map(|told| match &told.fact {
                Fact::Version(version) if version.path.as_str() == path => Some(version),
                _ => None,
            })
            .collect()
    }

    /// The version with a sequence number.
    pub fn of_sequence(&self, sequence: u64) -> Option<&Version> {
        let at = self
            .facts
            .binary_search_by_key(&sequence, |told| told.fact.sequence());
        match &self.facts[at.ok()?].fact {
            Fact::Version(version) => Some(version),
            _ => None,
        }
    }

    fn no_path(&self, path: &str) -> LookupError {
        let mut paths: Vec<&str> = self
            .facts
            .iter()
            .filter_map(|told| match &told.fact {
                Fact::Version(version) => Some(version.path.as_str()),
                _ => None,
            })
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let rest = paths.len().saturating_sub(NAMED);
        paths.truncate(NAMED);
        let known = match (paths.is_empty(), rest) {
            (true, _) => "nothing was published in this run".to_owned(),
            (false, 0) => format!("there are {}", paths.join(", ")),
            (false, rest) => format!("there are {} and {rest} more", paths.join(", ")),
        };
        LookupError::NoPath {
            path: path.to_owned(),
            known,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
