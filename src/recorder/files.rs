//! The broker's journal in `run.db`: contents, versions, refusals and leases of the shared tree.
//!
//! It writes through the recorder's one thread and waits for its commit; it reads over a connection of its own, which
//! cannot write. Must not know what a fact means beyond what it is asked for.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use formicarium_agents::broker::{
    Batch, ContentHash, Fact, Journal, JournalError, LeaseChange, LeaseFact, Marks, TreePath,
    Version,
};
use rusqlite::{Connection, OptionalExtension, Params};

use super::RecorderError;
use super::reader::Recording;
use super::writer::Command;

/// The journal of a run's shared tree.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    commands: SyncSender<Command>,
    connection: Connection,
}

impl FileJournal {
    pub(super) fn open(
        path: &Path,
        commands: SyncSender<Command>,
    ) -> Result<FileJournal, RecorderError> {
        // With what a fork has from before.
        let recording = Recording::open(path)?;
        Ok(FileJournal {
            path: path.to_owned(),
            commands,
            connection: recording.connection,
        })
    }

    fn failed(&self, error: impl std::fmt::Display) -> JournalError {
        JournalError(format!(
            "{}: {error}; is the disk full?",
            self.path.display()
        ))
    }

    fn facts(&self, sql: &str, of: impl Params) -> Result<Vec<Fact>, JournalError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map(of, |row| row.get(0))?.collect()
        };
        let texts = read().map_err(|error| self.failed(error))?;
        let fact = |text: String| {
            serde_json::from_str(&text).map_err(|error| self.failed(format!("{error} in {text}")))
        };
        texts.into_iter().map(fact).collect()
    }

    fn versions(&self, sql: &str, of: impl Params) -> Result<Vec<Version>, JournalError> {
        let version = |fact| match fact {
            Fact::Version(version) => Some(version),
            Fact::Refusal(_) | Fact::Lease(_) => None,
        };
        Ok(self
            .facts(sql, of)?
            .into_iter()
            .filter_map(version)
            .collect())
    }
}

impl Journal for FileJournal {
    fn commit(&mut self, batch: Batch) -> Result<(), JournalError> {
        let (done, answer) = sync_channel(1);
        let gone = || self.failed("the recording has ended");
        let command = Command::Files {
            batch: Box::new(batch),
            done,
        };
        self.commands.send(command).map_err(|_| gone())?;
        let result = answer.recv().map_err(|_| gone())?;
        result.map_err(|why| self.failed(why))
    }

    fn has_content(&self, hash: &ContentHash) -> Result<bool, JournalError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT 1 FROM contents WHERE hash = ?1")?
                .exists([hash.to_string()])
        };
        read().map_err(|error| self.failed(error))
    }

    fn content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, JournalError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT body FROM contents WHERE hash = ?1")?
                .query_row([hash.to_string()], |row| row.get(0))
                .optional()
        };
        read().map_err(|error| self.failed(error))
    }

    fn newest(&self) -> Result<Vec<Version>, JournalError> {
        self.versions(
            "SELECT body FROM file_facts WHERE sequence IN \
             (SELECT max(sequence) FROM file_facts WHERE kind = 'version' GROUP BY path)",
            [],
        )
    }

    fn log(&self, path: &TreePath) -> Result<Vec<Version>, JournalError> {
        self.versions(
            "SELECT body FROM file_facts WHERE kind = 'version' AND path = ?1 ORDER BY sequence",
            [path.as_str()],
        )
    }

    fn facts_after(&self, sequence: u64) -> Result<Vec<Fact>, JournalError> {
        let sql = "SELECT body FROM file_facts WHERE sequence > ?1 ORDER BY sequence";
        self.facts(sql, [sequence as i64])
    }

    fn open_leases(&self) -> Result<Vec<LeaseFact>, JournalError> {
        let last = self.facts(
            "SELECT body FROM file_facts WHERE sequence IN \
             (SELECT max(sequence) FROM file_facts WHERE kind = 'lease' GROUP BY token) ORDER BY sequence",
            [],
        )?;
        let open = |fact| match fact {
            Fact::Lease(lease) if !matches!(lease.change, LeaseChange::Ended { .. }) => Some(lease),
            _ => None,
        };
        Ok(last.into_iter().filter_map(open).collect())
    }

    fn marks(&self) -> Result<Marks, JournalError> {
        let number = |sql| {
            let found = self
                .connection
                .query_row(sql, [], |row| row.get::<_, i64>(0));
            found.map(|n| n as u64).map_err(|error| self.failed(error))
        };
        Ok(Marks {
            sequence: number("SELECT coalesce(max(sequence), 0) FROM file_facts")?,
            tokens_below: number(
                "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'tokens_below'",
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::writer::Recorder;
    use crate::recorder::{RunEnd, RunMeta};
    use formicarium_agents::broker::publish::Base;
    use formicarium_agents::broker::{Broker, Change, Limits, Publish, Scope, Wanted};
    use formicarium_engine::Bundle;
    use serde_json::json;

    fn recorder(folder: &Path) -> Recorder {
        let meta: RunMeta = serde_json::from_value(json!({
            "run": "r", "scenario": "s", "scenario_digest": "", "seed": 1, "set": [], "mode": "lockstep", "hz": 0.0,
            "ticks": 0, "cast": "", "isolation": "advisory", "durability": "process", "semantics": 1,
            "host_version": "", "started_unix": 0, "seats": [], "parts": [], "metrics": [],
        }))
        .expect("a meta");
        Recorder::create(&folder.join("run.db"), &meta, &Bundle::new()).expect("a recording")
    }

    fn write(seat: &str, path: &str, text: &str, base: Base) -> Publish {
        Publish {
            seat: Some(seat.into()),
            tick: 3,
            tokens: Vec::new(),
            changes: vec![Change {
                path: TreePath::new(path).expect("a path"),
                wanted: Wanted::file(text.as_bytes(), false),
                base,
                from: None,
            }],
            unshared: Vec::new(),
        }
    }

    #[test]
    fn a_broker_keeps_its_facts_in_the_recording_and_finds_them_again() {
        let folder =
            std::env::temp_dir().join(format!("formicarium-journal-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let recorder = recorder(&folder);
        let open = |taken| {
            let journal = recorder.journal().expect("a journal");
            Broker::open(&folder, Box::new(journal), Limits::default(), taken)
                .expect("a broker")
                .0
        };
        let mut broker = open(0);
        let toc = Scope::Path(TreePath::new("toc.md").expect("a path"));
        let lease = broker.grant(toc, "ada", 60_000, 2, 0).expect("granted");
        let refused = write("bob", "toc.md", "mine\n", Base::NONE);
        let held = write("ada", "one/text.md", "Once.\n", Base::NONE);
        let outcomes = broker.publish(&[refused, held], 1).expect("decided");
        assert_eq!(
            (outcomes[0].is_published(), outcomes[1].is_published()),
            (false, true)
        );
        let facts = broker.take_facts(3, 2).expect("committed");
        assert!(facts.len() >= 4, "{facts:?}");
        let last = broker.sequence();
        drop(broker);

        // The shared tree is lost; the next broker makes it anew from the recording.
        std::fs::remove_dir_all(folder.join("shared")).expect("removed");
        let mut broker = open(last);
        assert_eq!(
            std::fs::read_to_string(folder.join("shared/one/text.md")).expect("there"),
            "Once.\n"
        );
        let path = TreePath::new("one/text.md").expect("a path");
        assert_eq!(broker.log(&path).expect("a log").len(), 1);
        let ends = broker.take_facts(4, 0).expect("committed");
        assert!(
            matches!(&ends[..], [Fact::Lease(end)] if end.token == lease.token),
            "the lease ended with its host: {ends:?}"
        );
        let kept = ContentHash::of(b"mine\n");
        assert_eq!(
            broker.content(&kept).expect("readable").as_deref(),
            Some(&b"mine\n"[..]),
            "what was refused is kept"
        );
        let next = broker
            .grant(Scope::Tree, "bob", 1000, 5, 10)
            .expect("granted");
        assert!(next.token > lease.token, "no token comes twice");
        drop(broker);

        let end: RunEnd = serde_json::from_value(
            json!({"reason": "", "ticks": 0, "hash": "", "scores": [], "status": []}),
        )
        .expect("an end");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(recorder.finish(end)).expect("closed");
        let database = Connection::open(folder.join("run.db")).expect("the recording");
        let row = |sql: &str| -> String {
            database
                .query_row(sql, [], |row| row.get(0))
                .expect("a row")
        };
        assert_eq!(
            row(
                "SELECT group_concat(path || '@' || version || ' by ' || coalesce(seat, '-'), ', ') FROM (SELECT * FROM versions ORDER BY sequence)"
            ),
            "one@1 by ada, one/text.md@1 by ada"
        );
        assert_eq!(
            row("SELECT path || ' of ' || seat || ': ' || reason FROM refusals"),
            "toc.md of bob: leased"
        );
        assert_eq!(
            row(
                "SELECT group_concat(seat || ' ' || what, ', ') FROM (SELECT * FROM leases ORDER BY sequence)"
            ),
            "ada granted, ada restart"
        );
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
