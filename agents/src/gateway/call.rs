//! What the host is told of each request through the door: who asked, what came of it, what it used.
//!
//! Must not know HTTP bodies or how tokens are counted: others fill it in. It is told once, however the request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;

use super::count::Usage;
use super::secret::Secret;

/// Longest path in a report, in bytes: a seat chooses it, and reports wait in a queue.
const PATH_BYTES: usize = 256;
/// Longest reason in a report, in characters.
const REASON_CHARS: usize = 400;

/// One request of one seat, over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCall {
    /// The seat whose token it carried.
    pub seat: usize,
    /// The path without its query, at most 256 bytes of it.
    pub path: String,
    /// The model that answered, in the upstream's words; empty when no answer named one.
    pub model: String,
    /// The status that the seat was sent; 0 when the request ended before there was one.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Tokens read anew.
    pub input_tokens: u64,
    /// Tokens written; of a stream that was cut, those counted so far.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Why the counts may fall short, if they may. The answer itself was passed on unchanged.
    pub unread: Option<Unread>,
    /// When the request came, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took to the end of the answer.
    pub duration_ms: u64,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The upstream's answer was passed on to its end, whatever its status.
    Complete,
    /// The seat went away first.
    ClientLeft,
    /// The upstream could not be reached, cut its answer, or reported an error within it. Why, in words.
    UpstreamFailed(String),
    /// The door itself refused: a limit, or a path that it does not open.
    Refused,
    /// The gateway was stopped while the request was under way.
    Stopped,
}

/// Why the counts of a call may fall short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unread {
    /// The upstream compressed its answer although it was asked not to.
    Compressed,
    /// One event or one JSON answer was longer than the reading copy may grow.
    TooLong,
    /// Not the JSON that the Messages API speaks.
    Garbled,
    /// The answer came to its end without a count.
    Missing,
    /// An answer of a type, or to a path, that the door does not know how to count.
    UnknownForm,
}

/// Where reports go, and what all of them share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) calls: Sender<ModelCall>,
    pub(super) dropped: AtomicU64,
    pub(super) stopping: AtomicBool,
    pub(super) key: Option<Secret>,
}

/// The report of one request. It is sent when this is dropped, so no way out of a request goes untold.
#[derive(Debug)]
pub(super) struct Report {
    call: Option<ModelCall>,
    decided: bool,
    begun: Instant,
    desk: Arc<Desk>,
    /// The seat's place among its concurrent requests; free again when the report goes out.
    place: Option<OwnedSemaphorePermit>,
}

impl Report {
    pub(super) fn new(desk: Arc<Desk>, seat: usize, path: &str) -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            call: Some(ModelCall {
                seat,
                path: path[..path.floor_char_boundary(PATH_BYTES)].to_owned(),
                model: String::new(),
                status: 0,
                outcome: Outcome::ClientLeft,
                input_tokens: 0,
                output_tokens: 0,
                cache_read_tokens: 0,
                cache_write_tokens: 0,
                unread: None,
                started_ms: since_1970.as_millis() as u64,
                duration_ms: 0,
            }),
            decided: false,
            begun: Instant::now(),
            desk,
            place: None,
        }
    }

    pub(super) fn take_place(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    pub(super) fn status(&mut self, status: u16) {
        if let Some(call) = &mut self.call {
            call.status = status;
        }
    }

    pub(super) fn usage(&mut self, usage: &Usage, unread: Option<Unread>) {
        if let Some(call) = &mut self.call {
            call.model = usage.model.clone();
            call.input_tokens = usage.input_tokens;
            call.output_tokens = usage.output_tokens;
            call.cache_read_tokens = usage.cache_read_tokens;
            call.cache_write_tokens = usage.cache_write_tokens;
            call.unread = unread;
        }
    }

    pub(super) fn decided(&self) -> bool {
        self.decided
    }

    /// Sets the outcome. The first one counts: what comes later only follows from it.
    pub(super) fn decide(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.decided, true)
            && let Some(call) = &mut self.call
        {
            call.outcome = outcome;
        }
    }

    /// The upstream failed. Words of others may quote the key back: it is blotted out.
    pub(super) fn upstream_failed(&mut self, reason: &str) {
        let reason = match &self.desk.key {
            Some(key) => key.scrub(reason),
            None => reason.to_owned(),
        };
        let reason = reason.chars().take(REASON_CHARS).collect();
        self.decide(Outcome::UpstreamFailed(reason));
    }
}

impl Report {
    /// Sends it now, instead of when it is dropped: what comes later changes nothing.
    pub(super) fn send(&mut self) {
        if self.desk.stopping.load(Ordering::Acquire) {
            self.decide(Outcome::Stopped);
        }
        self.decide(Outcome::ClientLeft);
        if let Some(mut call) = self.call.take() {
            // Whoever has read the report may count on the place.
            self.place = None;
            call.duration_ms = self.begun.elapsed().as_millis() as u64;
            // The door never waits for whoever reads the reports.
            if self.desk.calls.try_send(call).is_err() {
                self.desk.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.send();
    }
}
