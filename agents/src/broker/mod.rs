//! The broker: the only way into the shared tree. Leases, publishes, versions, recovery.
//!
//! Synchronous; the time in milliseconds is an argument and only ever moves on. Must not know processes, the protocol,
//! ticks beyond their number, or the world. docs/design/broker.md has the order of steps and what a crash leaves.
//!
//! * [`Broker`]: one owner of all of it; a batch of publishes is one commit
//! * [`thread`]: the thread that owns the broker and gathers batches
//! * [`lease`], [`publish`], `check`, `decide`, [`merge`], [`index`]: what may be, decided without files
//! * [`waits`]: who asks again for a lease that another holds
//! * [`journal`], [`version`]: what is kept, and by whom
//! * [`tree`], [`recover`]: the shared tree on disk

mod check;
mod decide;
mod granting;
pub mod index;
pub mod journal;
pub mod lease;
pub mod merge;
pub mod path;
pub mod publish;
pub mod recover;
pub mod thread;
pub mod tree;
pub mod version;
pub mod waits;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use index::Index;
pub use journal::{Batch, Journal, JournalError, Marks};
pub use lease::{Lease, LeaseError, Leases, Scope};
pub use path::{PathError, TreePath};
pub use publish::{Base, Change, Limits, Publish, Unshared, Wanted};
pub use recover::{RecoverError, Repaired, recover};
pub use thread::BrokerThread;
pub use tree::{Tree, TreeError};
pub use version::{
    ContentHash, Fact, LeaseChange, LeaseEnd, LeaseFact, Reason, Refusal, State, Version,
};
pub use waits::{Wait, Waits};

/// How many fencing tokens are reserved in the journal at a time.
const TOKEN_BLOCK: u64 = 1024;
/// How many refusals are remembered, so that the same one again is no new fact.
const REMEMBERED_REFUSALS: usize = 10_000;

/// Why the broker did nothing.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The journal failed, now or before: nothing more is taken.
    #[error("the broker takes nothing any more: {0}")]
    Journal(#[from] JournalError),
    /// The lease cannot be.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The broker's thread has ended.
    #[error("the broker has ended with its run")]
    Ended,
}

/// What became of one publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The new versions, all durable and in the tree; also of folders that had to be made.
    pub versions: Vec<Version>,
    /// Paths at which stood already what was wanted, and removed folders that stay since others have files in them.
    pub unchanged: Vec<TreePath>,
    /// Why nothing was published; empty when all was.
    pub refusals: Vec<Refusal>,
    /// What cannot be shared at all.
    pub unshared: Vec<Refusal>,
}

impl Outcome {
    /// Whether the changes are published.
    pub fn is_published(&self) -> bool {
        self.refusals.is_empty()
    }
}

/// Owner of a run's shared tree, leases and journal.
pub struct Broker {
    journal: Box<dyn Journal>,
    tree: Tree,
    index: Index,
    leases: Leases,
    waits: Waits,
    limits: Limits,
    sequence: u64,
    tokens_below: u64,
    /// Facts about leases that ride along with the next commit.
    pending: Vec<Fact>,
    /// Committed facts that the host has not taken yet.
    committed: Vec<Fact>,
    refused: HashMap<(Option<String>, String), Refusal>,
    /// Bytes of contents that the journal has for each seat's sake, since this host began.
    kept: HashMap<String, u64>,
    failed: Option<JournalError>,
    tree_fault: Option<String>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("tree", &self.tree.path())
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Opens the shared tree of a run's folder after recovery, and says what was repaired. Leases of an earlier host
    /// have ended: their holders ended with it. Facts after `taken`, the last one that is in a tick's input (0 at first),
    /// are given out again by [`Broker::take_facts`].
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn open(
        folder: &Path,
        journal: Box<dyn Journal>,
        limits: Limits,
        taken: u64,
    ) -> Result<(Broker, Repaired), RecoverError> {
        let (tree, repaired) = recover(folder, journal.as_ref())?;
        let mut index = Index::default();
        for version in journal.newest()? {
            index.put(version);
        }
        let marks = journal.marks()?;
        let mut broker = Broker {
            tree,
            index,
            leases: Leases::new(marks.tokens_below.max(1)),
            waits: Waits::default(),
            limits,
            sequence: marks.sequence,
            tokens_below: marks.tokens_below.max(1),
            pending: Vec::new(),
            committed: journal.facts_after(taken)?,
            refused: HashMap::new(),
            kept: HashMap::new(),
            failed: None,
            tree_fault: None,
            journal,
        };
        for open in broker.journal.open_leases()? {
            let sequence = broker.next_sequence();
            let how = LeaseEnd::Restart;
            broker.pending.push(Fact::Lease(LeaseFact {
                sequence,
                change: LeaseChange::Ended { how },
                ..open
            }));
        }
        broker.commit(Batch::default())?;
        Ok((broker, repaired))
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn usable(&self) -> Result<(), JournalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Commits a batch behind the facts that wait, and reserves tokens when half of the last block is gone.
    fn commit(&mut self, mut batch: Batch) -> Result<(), JournalError> {
        self.usable()?;
        let mut facts = std::mem::take(&mut self.pending);
        facts.append(&mut batch.facts);
        let reserve = self.leases.next_token() + TOKEN_BLOCK;
        if self.tokens_below < reserve - TOKEN_BLOCK / 2 {
            batch.tokens_below = Some(reserve);
        }
        if facts.is_empty() && batch.contents.is_empty() && batch.tokens_below.is_none() {
            return Ok(());
        }
        batch.facts = facts.clone();
        let tokens_below = batch.tokens_below;
        match self.journal.commit(batch) {
            Ok(()) => {
                self.tokens_below = tokens_below.unwrap_or(self.tokens_below);
                self.committed.append(&mut facts);
                Ok(())
            }
            Err(error) => {
                // What is in memory is ahead of the journal; recovery starts from the journal.
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Checks publishes in this order, commits them as one batch, and brings the tree to it. Returns when all of it is
    /// durable. Whoever comes later in the batch sees what came before.
    ///
    /// # Errors
    /// The journal failed: none of it is published, and nothing will be any more.
    pub fn publish(
        &mut self,
        publishes: &[Publish],
        now_ms: u64,
    ) -> Result<Vec<Outcome>, BrokerError> {
        self.usable()?;
        let tick = publishes.iter().map(|p| p.tick).max().unwrap_or(0);
        self.expire(tick, now_ms);
        let mut contents: BTreeMap<ContentHash, Arc<[u8]>> = BTreeMap::new();
        let mut facts = Vec::new();
        let before = self.sequence;
        let outcomes = publishes
            .iter()
            .map(|publish| self.decide(publish, &mut contents, &mut facts))
            .collect::<Result<Vec<_>, _>>()
            // What is in memory may be ahead of the journal by now.
            .inspect_err(|error: &JournalError| self.failed = Some(error.clone()))?;
        let mut fresh = Vec::new();
        for (hash, content) in &contents {
            let known = self.journal.has_content(hash);
            if !known.inspect_err(|error| self.failed = Some(error.clone()))? {
                fresh.push((*hash, Arc::clone(content)));
            }
        }
        self.commit(Batch {
            contents: fresh,
            facts,
            tokens_below: None,
        })?;
        self.materialise(before, &contents);
        Ok(outcomes)
    }

    /// Brings the tree to the versions after `before`, which are durable. What fails is repaired at the next publish.
    fn materialise(&mut self, before: u64, contents: &BTreeMap<ContentHash, Arc<[u8]>>) {
        let result = if self.tree_fault.is_some() {
            self.repair().map(drop).map_err(|error| error.to_string())
        } else {
            self.bring(before, contents)
        };
        self.tree_fault = result.err();
    }

    fn bring(
        &mut self,
        before: u64,
        contents: &BTreeMap<ContentHash, Arc<[u8]>>,
    ) -> Result<(), String> {
        for version in self.index.changed_since(before) {
            let done = match version.state {
                State::Absent => self.tree.remove(&version.path).map(drop),
                State::Dir => self.tree.put_dir(&version.path).map(drop),
                State::File {
                    hash, executable, ..
                } => {
                    let put =
                        |tree: &mut Tree, c: &[u8]| tree.put_file(&version.path, c, executable);
                    match contents.get(&hash) {
                        Some(content) => put(&mut self.tree, content),
                        None => match self.journal.content(&hash) {
                            Ok(Some(content)) => put(&mut self.tree, &content),
                            Ok(None) => return Err(format!("the journal has no content {hash}")),
                            Err(error) => return Err(error.to_string()),
                        },
                    }
                }
            };
            done.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// What is wrong with the shared tree, which is then behind the journal until the next publish or a restart.
    pub fn tree_fault(&self) -> Option<&str> {
        self.tree_fault.as_deref()
    }

    /// Makes the tree equal to the journal now: after a fault, or when somebody may have tampered with it.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn repair(&mut self) -> Result<Repaired, RecoverError> {
        // Opened anew: the folders themselves may have been replaced.
        let (tree, repaired) = recover(self.tree.folder(), self.journal.as_ref())?;
        self.tree = tree;
        self.tree_fault = None;
        Ok(repaired)
    }

    /// Commits what waits and returns all facts that were committed since the last call: they belong into the next
    /// tick's input, where the highest sequence number says how far that went.
    ///
    /// # Errors
    /// The journal failed.
    pub fn take_facts(&mut self, tick: u64, now_ms: u64) -> Result<Vec<Fact>, BrokerError> {
        self.expire(tick, now_ms);
        self.commit(Batch::default())?;
        Ok(std::mem::take(&mut self.committed))
    }

    /// The leases that are held.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Who waits for a lease; none if that is as it was at the last call.
    pub fn take_waits(&mut self) -> Option<Vec<Wait>> {
        self.waits.take()
    }

    /// The newest versions.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The sequence number of the last fact.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The folder of the shared tree.
    pub fn shared(&self) -> PathBuf {
        self.tree.path()
    }

    /// All versions of a path, the oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn log(&self, path: &TreePath) -> Result<Vec<Version>, JournalError> {
        self.journal.log(path)
    }

    /// A content: of any version, or of a refusal.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, JournalError> {
        self.journal.content(hash)
    }
}
