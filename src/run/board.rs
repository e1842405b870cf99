//! Who plays, who is late, who is gone: the one place that holds every seat's status in words.
//!
//! Tells the recording, the feed and the log of each change. Must not decide anything.

use std::sync::Arc;

use serde_json::json;

use crate::feed::handover::Feed;
use crate::feed::wire::{Event, SeatStatus};
use crate::recorder::Note;
use crate::recorder::writer::Recorder;

/// Faults of one seat that are logged as warnings; the recording and the page have all of them.
const FAULTS_LOGGED: u64 = 5;

/// Status word of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its agent is being started.
    Starting,
    /// Its agent is ready, the run has not begun.
    Ready,
    /// It plays.
    Playing,
    /// It missed the last tick.
    Late,
    /// Nobody waits for it.
    Absent,
    /// Its agent is gone.
    Exited,
    /// The run is over.
    Ended,
}

impl Status {
    /// The word on the feed and in summaries.
    pub fn word(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Ready => "ready",
            Status::Playing => "playing",
            Status::Late => "late",
            Status::Absent => "absent",
            Status::Exited => "exited",
            Status::Ended => "ended",
        }
    }
}

#[derive(Debug, Clone)]
struct Seat {
    name: Arc<str>,
    status: Status,
    reason: Option<String>,
    late_ticks: u64,
    faults: u64,
}

/// The statuses of all seats.
#[derive(Debug)]
pub struct Board {
    seats: Vec<Seat>,
}

/// Where changes are told.
#[derive(Debug, Clone, Copy)]
pub struct Listeners<'a> {
    /// The recording.
    pub recorder: &'a Recorder,
    /// The feed, if anybody may watch.
    pub feed: Option<&'a Feed>,
    /// Tick of the world now.
    pub tick: u64,
}

impl Listeners<'_> {
    /// Records a note and shows it on the feed under `event`.
    pub fn note(
        &self,
        seat: impl Into<Option<usize>>,
        kind: &'static str,
        event: &str,
        text: &str,
        data: serde_json::Value,
    ) {
        let seat = seat.into().map(|seat| seat as u32);
        let words = if data.is_null() {
            String::new()
        } else {
            data.to_string()
        };
        self.recorder.note(Note {
            tick: self.tick,
            seat,
            kind,
            text: text.to_owned(),
            data: words,
        });
        if let Some(feed) = self.feed {
            feed.event(Event::of_agent(
                self.tick,
                event,
                seat,
                text.to_owned(),
                data,
            ));
        }
    }
}

impl Board {
    /// All seats, starting.
    pub fn new(names: &[String]) -> Board {
        let seats = names
            .iter()
            .map(|name| Seat {
                name: name.as_str().into(),
                status: Status::Starting,
                reason: None,
                late_ticks: 0,
                faults: 0,
            })
            .collect();
        Board { seats }
    }

    /// A builtin agent is ready from the start; nobody has to be told.
    pub fn seat_builtin(&mut self, seat: usize) {
        self.seats[seat].status = Status::Ready;
    }

    /// A seat's name.
    pub fn name(&self, seat: usize) -> &str {
        &self.seats[seat].name
    }

    /// A seat's status.
    pub fn status(&self, seat: usize) -> Status {
        self.seats[seat].status
    }

    /// Number of seats with a status.
    pub fn count(&self, status: Status) -> usize {
        self.seats
            .iter()
            .filter(|seat| seat.status == status)
            .count()
    }

    /// Final words of a seat: its status, and what was wrong.
    pub fn words(&self, seat: usize) -> (&'static str, Option<String>) {
        let seat = &self.seats[seat];
        let mut trouble: Vec<String> = seat.reason.iter().cloned().collect();
        let counted =
            |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        if seat.late_ticks > 0 {
            trouble.push(format!("late at {}", counted(seat.late_ticks, "tick")));
        }
        if seat.faults > 0 {
            trouble.push(counted(seat.faults, "fault"));
        }
        (
            seat.status.word(),
            (!trouble.is_empty()).then(|| trouble.join("; ")),
        )
    }

    /// Sets a seat's status and tells everybody if it is news.
    pub fn set(&mut self, seat: usize, status: Status, reason: Option<String>, to: Listeners<'_>) {
        let entry = &mut self.seats[seat];
        if status == Status::Late {
            entry.late_ticks += 1;
        }
        if entry.status == status && entry.reason == reason {
            return;
        }
        let trouble = matches!(status, Status::Late | Status::Absent | Status::Exited);
        let news = entry.status != status;
        entry.status = status;
        entry.reason.clone_from(&reason);
        if let Some(feed) = to.feed {
            feed.status(SeatStatus {
                seat: seat as u32,
                status: status.word(),
                reason: reason.clone(),
                cost: None,
            });
        }
        if !news {
            return;
        }
        let words = reason.as_deref().unwrap_or("");
        let text = if words.is_empty() {
            status.word().to_owned()
        } else {
            format!("{}: {words}", status.word())
        };
        if trouble {
            tracing::warn!(seat = &*entry.name, tick = to.tick, "{text}");
        } else {
            tracing::debug!(seat = &*entry.name, tick = to.tick, "{text}");
        }
        to.note(
            seat,
            "status",
            "agent.status",
            &text,
            json!({"status": status.word()}),
        );
    }

    /// Tells everybody of a fault: `kind` is the fault's word, `blame` whose it was.
    pub fn fault(&mut self, seat: usize, kind: &str, blame: &str, detail: &str, to: Listeners<'_>) {
        let entry = &mut self.seats[seat];
        entry.faults += 1;
        match entry.faults {
            1..=FAULTS_LOGGED => {
                tracing::warn!(seat = &*entry.name, tick = to.tick, kind, blame, "{detail}")
            }
            _ => tracing::debug!(seat = &*entry.name, tick = to.tick, kind, blame, "{detail}"),
        }
        to.note(
            seat,
            "fault",
            "agent.fault",
            detail,
            json!({"kind": kind, "blame": blame}),
        );
    }
}
