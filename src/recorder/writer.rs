//! The one thread that writes `run.db`.
//!
//! A tick's input is committed at once and acknowledged: the tick loop lets nothing of that tick
//! leave the host before. Everything else rides along with the next input (group commit) or is
//! flushed when the thread has been idle for `IDLE_FLUSH`. Must not know why something is recorded.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use formicarium_agents::broker::Batch;
use formicarium_agents::workspace::history::Change;
use formicarium_engine::{Bundle, TickOutput};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::chain::Chain;
use super::files::FileJournal;
use super::reader::Recording;
use super::rows::Rows;
use super::{
    CostRow, Note, RecorderError, RunEnd, RunMeta, TranscriptRow, ancestry, schema, sealed,
};
use crate::held::held;

/// Commands that may wait for the writer before the tick loop blocks on it.
const QUEUE: usize = 1024;
/// The durability that survives a power cut.
const POWER: &str = "power";
/// How long a row that nobody waits for may stay in memory.
const IDLE_FLUSH: Duration = Duration::from_millis(50);

/// Set by a benchmark in a process of its own: nothing more is committed, to measure what commits cost.
static IDLE: AtomicBool = AtomicBool::new(false);

/// From now on every recorder of this process acknowledges and writes nothing. No command line reaches this; it is what
/// `benches/recording.rs` holds the cost of recording against.
pub fn write_nothing() {
    IDLE.store(true, Ordering::Relaxed);
}

/// What a step left, to be appended behind its input.
#[derive(Debug)]
pub struct Outcome {
    /// The step's output; shared with the feed.
    pub output: Arc<TickOutput>,
    /// Microseconds since the run's first tick, for people; no input of the world.
    pub at_us: u64,
    /// Duration of the step in microseconds.
    pub step_us: u64,
}

pub(super) enum Command {
    Input {
        tick: u64,
        body: Vec<u8>,
        done: oneshot::Sender<Result<(), String>>,
    },
    Start {
        hash: u128,
        parts: Vec<u64>,
        keyframe: Vec<u8>,
    },
    Outcome(Box<Outcome>),
    Keyframe {
        tick: u64,
        body: Vec<u8>,
    },
    Note(Note),
    Remember {
        tick: u64,
        seat: u32,
        state: String,
    },
    Transcript(TranscriptRow),
    Cost(CostRow),
    /// What has become of a seat's own files.
    Workspace {
        tick: u64,
        seat: u32,
        files: Vec<Change>,
    },
    /// Facts of the shared tree; durable over a power cut when acknowledged, whatever the run's durability.
    Files {
        batch: Box<Batch>,
        done: SyncSender<Result<(), String>>,
    },
    /// A host goes on with the recording: it has not ended, and what was asked of it may be other than before.
    GoOn(Box<RunMeta>),
    Finish {
        end: Box<RunEnd>,
        done: oneshot::Sender<Result<(), String>>,
    },
}

/// Handle to the writer thread of one recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Creates `path` (which must not exist), writes what the run starts from and starts the thread.
    pub fn create(path: &Path, meta: &RunMeta, bundle: &Bundle) -> Result<Recorder, RecorderError> {
        let (connection, chain) = create_file(path, meta, bundle)?;
        Recorder::start_thread(path, connection, chain, meta)
    }

    /// Opens the recording of a run's folder whose host has ended, however it did, to go on with it. Says what it was
    /// started from.
    ///
    /// # Errors
    /// See [`Recording::open`]; and the file cannot be written.
    pub fn reopen(run: &Path) -> Result<(Recorder, RunMeta), RecorderError> {
        let recording = Recording::open(run)?;
        let (path, meta) = (recording.path().to_owned(), recording.meta.clone());
        if sealed::is_sealed(&path) {
            return Err(RecorderError::Sealed { path });
        }
        drop(recording);
        let sql = |source| RecorderError::Sql {
            path: path.clone(),
            source,
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(sql)?;
        set_durability(&connection, &meta).map_err(sql)?;
        schema::complete(&connection).map_err(sql)?;
        // Last: what stands in the tables by now is what the chain goes on from.
        let mut chain =
            Chain::resume(&connection, ancestry::chain(meta.parent.as_ref())).map_err(sql)?;
        chain.settle(&connection).map_err(sql)?;
        Ok((
            Recorder::start_thread(&path, connection, chain, &meta)?,
            meta,
        ))
    }

    /// Says that the run goes on, as `meta` has it: an end that stands there was none.
    pub fn go_on(&self, meta: RunMeta) {
        self.push(Command::GoOn(Box::new(meta)));
    }

    fn start_thread(
        path: &Path,
        connection: Connection,
        chain: Chain,
        meta: &RunMeta,
    ) -> Result<Recorder, RecorderError> {
        let (commands, inbox) = sync_channel(QUEUE);
        let writer = Writer {
            connection,
            chain,
            metrics: meta.metrics.clone(),
            is_full: meta.durability == POWER,
        };
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| RecorderError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Recorder {
            path: path.to_owned(),
            commands,
            thread: Some(thread),
        })
    }

    /// Starts the commit of a tick's input; the receiver answers when it is durable.
    pub fn input(&self, tick: u64, body: Vec<u8>) -> oneshot::Receiver<Result<(), String>> {
        let (done, answer) = oneshot::channel();
        self.push(Command::Input { tick, body, done });
        answer
    }

    /// Appends the state before the first step: tick 0 of the hashes and keyframes.
    pub fn start(&self, hash: u128, parts: Vec<u64>, keyframe: Vec<u8>) {
        self.push(Command::Start {
            hash,
            parts,
            keyframe,
        });
    }

    /// Appends what a step left.
    pub fn outcome(&self, outcome: Outcome) {
        self.push(Command::Outcome(Box::new(outcome)));
    }

    /// Appends a keyframe of the world after `tick` steps.
    pub fn keyframe(&self, tick: u64, body: Vec<u8>) {
        self.push(Command::Keyframe { tick, body });
    }

    /// Appends a note.
    pub fn note(&self, note: Note) {
        self.push(Command::Note(note));
    }

    /// Appends a line of a conversation.
    pub fn transcript(&self, row: TranscriptRow) {
        self.push(Command::Transcript(row));
    }

    /// Appends what a seat has used.
    pub fn cost(&self, row: CostRow) {
        self.push(Command::Cost(row));
    }

    /// Keeps what a seat asked to remember, in place of what it asked before in that tick. `state` is JSON text.
    pub fn remember(&self, tick: u64, seat: u32, state: String) {
        self.push(Command::Remember { tick, seat, state });
    }

    /// The journal of the run's shared tree.
    ///
    /// # Errors
    /// The recording cannot be opened a second time for reading.
    pub fn journal(&self) -> Result<FileJournal, RecorderError> {
        FileJournal::open(&self.path, self.commands.clone())
    }

    /// A way to record what becomes of the seats' own files, for a thread of its own.
    pub fn workspaces(&self) -> WorkspaceSink {
        WorkspaceSink(self.commands.clone())
    }

    /// Writes the end of the run, closes the file and ends the thread.
    pub async fn finish(mut self, end: RunEnd) -> Result<(), RecorderError> {
        let (done, answer) = oneshot::channel();
        self.push(Command::Finish {
            end: Box::new(end),
            done,
        });
        let result = self.acknowledged(answer).await;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        result
    }

    /// Waits for an acknowledgement of this recorder.
    pub async fn acknowledged(
        &self,
        answer: oneshot::Receiver<Result<(), String>>,
    ) -> Result<(), RecorderError> {
        match held(answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(RecorderError::Stopped(format!(
                "{}: {why}",
                self.path.display()
            ))),
            Err(_) => Err(RecorderError::Stopped(format!(
                "{}: its thread ended after an earlier fault",
                self.path.display()
            ))),
        }
    }

    /// A closed queue means the thread met a fault; the next acknowledgement reports it.
    fn push(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

/// See [`Recorder::workspaces`]. All of them have to be dropped before the run's end is written.
#[derive(Debug)]
pub struct WorkspaceSink(SyncSender<Command>);

impl WorkspaceSink {
    /// Appends what has become of a seat's files since a tick was shown to it.
    pub fn put(&self, tick: u64, seat: usize, files: Vec<Change>) {
        let seat = seat as u32;
        // A closed queue means that the recording has met a fault; the tick loop learns of it.
        let _ = self.0.send(Command::Workspace { tick, seat, files });
    }
}

/// Creates a recording with what a run starts from. For a process that must not have a second thread.
pub(super) fn create_file(
    path: &Path,
    meta: &RunMeta,
    bundle: &Bundle,
) -> Result<(Connection, Chain), RecorderError> {
    let sql = |source| RecorderError::Sql {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        return Err(RecorderError::Foreign {
            path: path.to_owned(),
            why: "a file of that name is there already; choose another --out".into(),
        });
    }
    let mut connection = Connection::open(path).map_err(sql)?;
    let mut chain = ancestry::chain(meta.parent.as_ref());
    prepare(&mut connection, &mut chain, meta, bundle).map_err(sql)?;
    Ok((connection, chain))
}

fn set_durability(connection: &Connection, meta: &RunMeta) -> rusqlite::Result<()> {
    let _: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    let synchronous = if meta.durability == POWER {
        "FULL"
    } else {
        "NORMAL"
    };
    connection.pragma_update(None, "synchronous", synchronous)
}

/// Pragmas, tables and the rows that a run starts from, in one transaction.
fn prepare(
    connection: &mut Connection,
    chain: &mut Chain,
    meta: &RunMeta,
    bundle: &Bundle,
) -> rusqlite::Result<()> {
    set_durability(connection, meta)?;
    let transaction = connection.transaction()?;
    schema::create(&transaction)?;
    Rows::new(&transaction, chain).prepare(meta, bundle)?;
    transaction.commit()
}

struct Writer {
    connection: Connection,
    chain: Chain,
    metrics: Vec<String>,
    /// Each commit survives a power cut, not only those of files.
    is_full: bool,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Command>) {
        let mut batch: Vec<Command> = Vec::new();
        loop {
            let hurried = match gather(inbox, &mut batch) {
                Gathered::Hurried => true,
                Gathered::Idle => false,
                Gathered::Closed => {
                    let _ = self.write(&batch);
                    return;
                }
            };
            if batch.is_empty() {
                continue;
            }
            let result = self.write(&batch).map_err(|error| error.to_string());
            let failed = result.is_err();
            let mut finished = false;
            for command in batch.drain(..) {
                match command {
                    Command::Input { done, .. } => {
                        let _ = done.send(result.clone());
                    }
                    Command::Files { done, .. } => {
                        // A broker that has ended waits for nothing.
                        let _ = done.send(result.clone());
                    }
                    Command::Finish { done, .. } => {
                        finished = true;
                        let closed = match &result {
                            Ok(()) => self.close(),
                            Err(why) => Err(why.clone()),
                        };
                        let _ = done.send(closed);
                    }
                    _ => {}
                }
            }
            if failed || finished {
                if failed && !hurried {
                    tracing::error!(why = ?result, "the recording cannot be written; the run ends at its next tick");
                }
                return;
            }
        }
    }

    /// Folds the write-ahead log into the file, so that a closed recording is one file.
    fn close(&mut self) -> Result<(), String> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| error.to_string())
    }

    fn write(&mut self, batch: &[Command]) -> rusqlite::Result<()> {
        if IDLE.load(Ordering::Relaxed) {
            return Ok(());
        }
        let files = batch
            .iter()
            .any(|command| matches!(command, Command::Files { .. }));
        let harder = files && !self.is_full;
        if harder {
            self.connection.pragma_update(None, "synchronous", "FULL")?;
        }
        let transaction = self.connection.transaction()?;
        let mut rows = Rows::new(&transaction, &mut self.chain);
        for command in batch {
            rows.command(command, &self.metrics)?;
        }
        rows.settle()?;
        transaction.commit()?;
        if harder {
            self.connection
                .pragma_update(None, "synchronous", "NORMAL")?;
        }
        Ok(())
    }
}

enum Gathered {
    /// Somebody waits for the commit.
    Hurried,
    /// Nobody waits, but rows have been idle long enough.
    Idle,
    /// The run dropped its handle.
    Closed,
}

/// Collects commands until one is there that somebody waits for, or the idle time is over.
fn gather(inbox: &Receiver<Command>, batch: &mut Vec<Command>) -> Gathered {
    loop {
        match inbox.recv_timeout(IDLE_FLUSH) {
            Ok(command) => {
                let hurried = matches!(
                    command,
                    Command::Input { .. } | Command::Files { .. } | Command::Finish { .. }
                );
                batch.push(command);
                if hurried {
                    return Gathered::Hurried;
                }
            }
            Err(RecvTimeoutError::Timeout) => return Gathered::Idle,
            Err(RecvTimeoutError::Disconnected) => return Gathered::Closed,
        }
        if batch.len() >= QUEUE {
            return Gathered::Idle;
        }
    }
}

/// An event's fields as a JSON object, in their own order.
pub fn fields_json(fields: &[(Cow<'static, str>, formicarium_engine::Value)]) -> String {
    serde_json::to_string(&FieldMap(fields)).expect("event fields have string keys")
}

/// Serialises named fields as a map.
pub struct FieldMap<'a>(pub &'a [(Cow<'static, str>, formicarium_engine::Value)]);

impl serde::Serialize for FieldMap<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
