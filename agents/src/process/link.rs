//! The way to an agent: its standard input, written to by whoever sends, queued only while the pipe is full.
//!
//! Must not know messages or processes. What must arrive waits in order, in a queue with a limit; of observations only the
//! newest waits, so an agent that does not read costs two lines of memory.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::io::{Poller, Token};

/// What is sent to an agent: a whole line with its newline.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// `hello`, and whatever else must arrive, in order. Observations to a process that got none yet are dropped.
    Control(Arc<[u8]>),
    /// Only the newest is kept while the agent does not read.
    Observation(Arc<[u8]>),
    /// `end`: must arrive; after it an exit of the process is no fault.
    End(Arc<[u8]>),
}

/// Most lines that must arrive and wait; an agent that leaves more of them unread has its input closed.
const CONTROL_LINES: usize = 16;

/// What the driver has to be told about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// An observation took the place of one that the agent had not taken.
    NotReading,
    /// An observation went out (or waits) while the agent's output was not read.
    Resume,
}

/// The way to one agent. Shared by the driver and whoever sends.
#[derive(Debug)]
pub(super) struct Link {
    slot: usize,
    /// Messages read from the agent since the last observation was sent to it.
    pub(super) received: AtomicU32,
    /// Bytes read from it since then.
    pub(super) bytes: AtomicU64,
    out: Mutex<Out>,
}

#[derive(Debug, Default)]
struct Out {
    pipe: Option<OwnedFd>,
    greeted: bool,
    /// A line of which a part has gone out, and how much.
    current: Option<(Arc<[u8]>, usize)>,
    control: VecDeque<Arc<[u8]>>,
    newest: Option<Arc<[u8]>>,
    /// The poller tells when there is room again.
    waiting: bool,
    complained: bool,
    paused: bool,
    close_when_sent: bool,
}

impl Link {
    pub(super) fn new(slot: usize) -> Self {
        Self {
            slot,
            received: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            out: Mutex::default(),
        }
    }

    fn forget_received(&self) {
        self.received.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the host's end of a new process's standard input.
    pub(super) fn open(&self, pipe: OwnedFd) {
        self.forget_received();
        *self.lock() = Out {
            pipe: Some(pipe),
            ..Out::default()
        };
    }

    /// Closes the pipe and forgets what waits.
    pub(super) fn close(&self) {
        *self.lock() = Out::default();
    }

    /// Closes the pipe as soon as what waits has gone out.
    pub(super) fn close_when_sent(&self, poller: &Poller) {
        let mut out = self.lock();
        out.close_when_sent = true;
        self.flush(&mut out, poller);
    }

    /// Marks that the agent's output is not read until the next observation.
    pub(super) fn pause(&self) {
        self.lock().paused = true;
    }

    /// Sends a line, or lets it wait. Never blocks.
    pub(super) fn send(&self, message: Outgoing, poller: &Poller) -> Option<Note> {
        let mut note = None;
        let mut out = self.lock();
        if out.pipe.is_none() || out.close_when_sent {
            return None;
        }
        match message {
            Outgoing::Control(line) | Outgoing::End(line) => {
                out.greeted = true;
                if out.control.len() >= CONTROL_LINES {
                    *out = Out::default();
                    return Some(Note::NotReading);
                }
                out.control.push_back(line);
            }
            Outgoing::Observation(line) => {
                if !out.greeted {
                    return None;
                }
                self.forget_received();
                if std::mem::take(&mut out.paused) {
                    note = Some(Note::Resume);
                }
                if out.newest.replace(line).is_some()
                    && !std::mem::replace(&mut out.complained, true)
                {
                    // A paused agent is not read either: it has been complained about.
                    note = note.or(Some(Note::NotReading));
                }
            }
        }
        if !out.waiting {
            self.flush(&mut out, poller);
        }
        note
    }

    /// There is room again, or nobody reads any more.
    pub(super) fn writable(&self, poller: &Poller) {
        let mut out = self.lock();
        let waited = std::mem::take(&mut out.waiting);
        if let Some(pipe) = &out.pipe
            && waited
        {
            poller.remove(pipe);
        }
        self.flush(&mut out, poller);
    }

    fn flush(&self, out: &mut Out, poller: &Poller) {
        loop {
            let Some(pipe) = &out.pipe else { return };
            if out.current.is_none() {
                out.current = out
                    .control
                    .pop_front()
                    .or_else(|| out.newest.take())
                    .map(|line| (line, 0));
            }
            let Some((line, sent)) = &mut out.current else {
                out.complained = false;
                if out.close_when_sent {
                    *out = Out::default();
                }
                return;
            };
            match nix::unistd::write(pipe, &line[*sent..]) {
                Ok(length) => {
                    *sent += length;
                    if *sent == line.len() {
                        out.current = None;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    // Without a place in the poller the next line tries again.
                    out.waiting =
                        out.waiting || poller.add_writable(pipe, Token::Stdin(self.slot)).is_ok();
                    return;
                }
                Err(_) => {
                    // Nobody reads any more. Its exit, or its silence, says the rest.
                    *out = Out {
                        greeted: true,
                        ..Out::default()
                    };
                    return;
                }
            }
        }
    }
}
