//! The journal: what the broker asks of whoever keeps its facts durable. The recorder implements it over `run.db`.
//!
//! Must not know how they are stored. The commit of a batch is the commit point of everything in it: a publish is
//! acknowledged, and the shared tree touched, only after it.

use std::sync::Arc;

use super::path::TreePath;
use super::version::{ContentHash, Fact, LeaseFact, Version};

/// What is committed together: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Contents that the journal does not have yet.
    pub contents: Vec<(ContentHash, Arc<[u8]>)>,
    /// Facts in order of their sequence numbers.
    pub facts: Vec<Fact>,
    /// All fencing tokens below this may have been given out. Tokens are reserved ahead, in blocks, so that a grant
    /// waits for no disk and yet no token comes twice.
    pub tokens_below: Option<u64>,
}

/// How far a journal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// The highest sequence number; 0 when there is no fact.
    pub sequence: u64,
    /// The highest `tokens_below`; 0 when none was reserved.
    pub tokens_below: u64,
}

/// Why the journal did not answer. It says where the journal is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// Durable storage of the broker's facts.
pub trait Journal: Send {
    /// Writes a batch and returns when it would survive a power cut. After an error nothing of it may be there.
    ///
    /// # Errors
    /// The disk is full, say. The broker takes no publish any more.
    fn commit(&mut self, batch: Batch) -> Result<(), JournalError>;

    /// Whether a content is there.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn has_content(&self, hash: &ContentHash) -> Result<bool, JournalError>;

    /// A content.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn content(&self, hash: &ContentHash) -> Result<Option<Vec<u8>>, JournalError>;

    /// The newest version of each path that ever had one, absent ones included.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn newest(&self) -> Result<Vec<Version>, JournalError>;

    /// All versions of a path, the oldest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn log(&self, path: &TreePath) -> Result<Vec<Version>, JournalError>;

    /// All facts with a higher sequence number, in order.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn facts_after(&self, sequence: u64) -> Result<Vec<Fact>, JournalError>;

    /// The last fact of each lease that has no end.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn open_leases(&self) -> Result<Vec<LeaseFact>, JournalError>;

    /// How far it has come.
    ///
    /// # Errors
    /// The journal cannot be read.
    fn marks(&self) -> Result<Marks, JournalError>;
}
