//! The one place where the world of processes meets the clock: it waits, reads, turns what happens into events of the
//! state machines, and does what they say.
//!
//! One task for all seats. Must not decide what an event means for a process; that is `state.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::EpollEvent;
use nix::sys::socket::{MsgFlags, send};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::agents::Shared;
use super::io::{Packet, Token, take_packet, token_of};
use super::nursery::Nursery;
use super::seat::{Asking, Seat, explain_spawn};
use super::state::{Effect, Event, ExitStatus, State, Timer};
use super::wire::{Command, NurseryReport, Report};
use crate::event::{AgentEvent, AgentEventBody, Blame, Fault, FaultKind, ProcessStatus};

/// Bytes read from one agent at a time, into a buffer that all share.
const READ_BYTES: usize = 65_536;
/// Events taken from the poller at a time.
const BATCH: usize = 256;
/// Longest timer: a year is as good as any longer time, and does not overflow.
const LONGEST_MS: u64 = 31_536_000_000;

/// The end of all, once it has been asked for.
struct Closing {
    term_at: Option<Instant>,
    kill_at: Option<Instant>,
}

/// All seats, and the task that drives them.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    nursery: Nursery,
    nursery_lives: bool,
    pub(super) seats: Vec<Seat>,
    /// Which slot a keeper was asked for.
    serials: BTreeMap<u32, usize>,
    next_serial: u32,
    asking: VecDeque<Asking>,
    timers: BTreeSet<(Instant, usize)>,
    /// Alarms of adapters.
    wakes: BTreeSet<(Instant, usize)>,
    inbox: Sender<AgentEvent>,
    /// What did not fit into the inbox. While there is any, nothing is read.
    pending: VecDeque<AgentEvent>,
    closing: Option<Closing>,
    pub(super) buffer: Vec<u8>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        nursery: Nursery,
        seats: Vec<Seat>,
        inbox: Sender<AgentEvent>,
    ) -> Self {
        Self {
            shared,
            nursery,
            nursery_lives: true,
            seats,
            serials: BTreeMap::new(),
            next_serial: 0,
            asking: VecDeque::new(),
            timers: BTreeSet::new(),
            wakes: BTreeSet::new(),
            inbox,
            pending: VecDeque::new(),
            closing: None,
            buffer: vec![0; READ_BYTES],
        }
    }

    pub(super) async fn run(mut self, ready: AsyncFd<OwnedFd>) -> Nursery {
        for slot in 0..self.seats.len() {
            let effects = self.seats[slot].machine.begin();
            self.perform(slot, effects);
        }
        let shared = Arc::clone(&self.shared);
        let inbox = self.inbox.clone();
        loop {
            if shared.is_abandoned() && self.closing.is_none() {
                break;
            }
            if self.closing.is_some() {
                // Nobody may be reading the inbox any more.
                self.pending.clear();
                if self
                    .seats
                    .iter()
                    .all(|seat| seat.machine.state == State::Exited { again: false })
                {
                    break;
                }
            }
            let next = self.next_time();
            if next.is_some_and(|at| at <= Instant::now()) {
                // Also while somebody writes without an end: the select takes what comes before the clock.
                self.take_time();
                continue;
            }
            tokio::select! {
                biased;
                () = shared.wake.notified() => self.take_mail(),
                permit = inbox.reserve(), if !self.pending.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.pending.pop_front() {
                            permit.send(event);
                        }
                        self.offer();
                    }
                    Err(_) => self.pending.clear(),
                },
                guard = ready.readable(), if self.pending.is_empty() => {
                    let Ok(mut guard) = guard else { break };
                    if !self.take_events() {
                        guard.clear_ready();
                    }
                }
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => self.take_time(),
            }
        }
        for seat in &mut self.seats {
            seat.release();
        }
        self.nursery
    }

    fn next_time(&self) -> Option<Instant> {
        let closing = self
            .closing
            .as_ref()
            .and_then(|closing| closing.term_at.or(closing.kill_at));
        let first = |set: &BTreeSet<(Instant, usize)>| set.first().map(|(at, _)| *at);
        [first(&self.timers), first(&self.wakes), closing]
            .into_iter()
            .flatten()
            .min()
    }

    fn take_time(&mut self) {
        let now = Instant::now();
        while let Some(&(at, slot)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, slot));
            let Some((_, timer)) = self.seats[slot].timer.take() else {
                continue;
            };
            self.feed(
                slot,
                match timer {
                    Timer::Ready => Event::ReadyTimeout,
                    Timer::Grace => Event::GraceOver,
                    Timer::Backoff => Event::BackoffOver,
                },
            );
        }
        while let Some(&(at, slot)) = self.wakes.first().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, slot));
            self.seats[slot].wake = None;
            self.alarm(slot);
        }
        let Some(closing) = &mut self.closing else {
            return;
        };
        if closing.term_at.is_some_and(|at| at <= now) {
            closing.term_at = None;
            for slot in 0..self.seats.len() {
                self.feed(
                    slot,
                    Event::StopAsked {
                        reason: "the run is over".into(),
                    },
                );
            }
        } else if closing.term_at.is_none() && closing.kill_at.is_some_and(|at| at <= now) {
            closing.kill_at = None;
            for slot in 0..self.seats.len() {
                self.command(slot, Command::Kill);
            }
        }
    }

    fn take_mail(&mut self) {
        let mail = self.shared.collect();
        for slot in mail.ended {
            self.feed(slot, Event::RunEnded);
        }
        for slot in mail.resumed {
            self.resume(slot);
        }
        for slot in mail.not_reading {
            self.not_reading(slot);
        }
        for (slot, told) in mail.told {
            self.tell(slot, told);
        }
        for (slot, halt) in mail.halts {
            self.halt(slot, halt);
        }
        for (slot, stroke) in mail.strokes {
            self.strike(slot, stroke);
        }
        for (slot, why) in mail.over {
            if !matches!(self.seats[slot].machine.state, State::Exited { .. }) {
                self.fault(
                    slot,
                    Fault::new(FaultKind::OverLimit, Blame::Agent, why.clone()),
                );
            }
            self.feed(slot, Event::StopAsked { reason: why });
        }
        for (slot, reason) in mail.stops {
            self.feed(slot, Event::StopAsked { reason });
        }
        if let Some(grace) = mail.shutdown {
            let now = Instant::now();
            self.closing = Some(Closing {
                term_at: Some(now + grace / 2),
                kill_at: Some(now + grace),
            });
            for slot in 0..self.seats.len() {
                self.feed(slot, Event::RunEnded);
                self.seats[slot].link.close_when_sent(&self.shared.poller);
            }
        }
    }

    /// True when there was something.
    fn take_events(&mut self) -> bool {
        let mut events = [EpollEvent::empty(); BATCH];
        let count = self.shared.poller.take(&mut events);
        for event in &events[..count] {
            match token_of(event) {
                Token::Stdout(slot) => {
                    self.read(slot);
                }
                Token::Stdin(slot) => self.seats[slot].link.writable(&self.shared.poller),
                Token::Control(slot) => self.take_reports(slot),
                Token::Door(slot) => self.accept_tools(slot),
                Token::Tools(slot, place) => self.tools_ready(slot, place),
                Token::Nursery => self.take_nursery_reports(),
            }
        }
        if !self.asking.is_empty() {
            self.ask();
        }
        count > 0
    }

    fn take_reports(&mut self, slot: usize) {
        loop {
            let Some(control) = &self.seats[slot].control else {
                return;
            };
            match take_packet(control) {
                Packet::None => return,
                Packet::Report(bytes) => {
                    if let Some(report) = Report::decode(&bytes) {
                        self.take_report(slot, report);
                    }
                }
                Packet::Ended => {
                    self.seats[slot].control = None;
                    self.feed(slot, Event::KeeperLost);
                    if !self.nursery_lives {
                        self.feed(slot, Event::TreeGone);
                    }
                    return;
                }
            }
        }
    }

    fn take_report(&mut self, slot: usize, report: Report) {
        let event = match report {
            Report::Spawned { keeper } => {
                self.seats[slot].keeper = keeper;
                if self.seats[slot].full {
                    self.command(slot, Command::Fill);
                }
                Event::Spawned
            }
            Report::SpawnFailed { errno, stage } => {
                let (blame, detail) =
                    explain_spawn(&self.seats[slot].plan.program.command, errno, stage);
                Event::SpawnFailed { blame, detail }
            }
            Report::ExitedCode(code) => {
                self.after_last_words(slot, Event::MainExited(ExitStatus::Code(code)))
            }
            Report::ExitedSignal(signal) => {
                self.after_last_words(slot, Event::MainExited(ExitStatus::Signal(signal)))
            }
            Report::TreeGone => self.after_last_words(slot, Event::TreeGone),
            Report::Stopped => return self.stopped(slot),
            Report::Filled => return self.filled(slot),
        };
        self.feed(slot, event);
    }

    fn take_nursery_reports(&mut self) {
        loop {
            match take_packet(self.nursery.socket()) {
                Packet::None => return,
                Packet::Report(bytes) => match NurseryReport::decode(&bytes) {
                    Some(NurseryReport::Cleared { serial }) => {
                        if let Some(slot) = self.slot_of(serial) {
                            // The socket may hold what the keeper said last, or not have told of its end yet.
                            self.take_reports(slot);
                            if self.slot_of(serial).is_some() {
                                self.feed(slot, Event::KeeperLost);
                                self.feed(slot, Event::TreeGone);
                            }
                        }
                    }
                    Some(NurseryReport::ForkFailed { serial, errno }) => {
                        if let Some(slot) = self.slot_of(serial) {
                            let command = &self.seats[slot].plan.program.command;
                            let (blame, detail) =
                                explain_spawn(command, errno, super::wire::Stage::Fork);
                            self.feed(slot, Event::SpawnFailed { blame, detail });
                        }
                    }
                    None => {}
                },
                Packet::Ended => {
                    self.nursery_lost();
                    return;
                }
            }
        }
    }

    /// Slot of a keeper that is still the seat's own.
    fn slot_of(&self, serial: u32) -> Option<usize> {
        let slot = *self.serials.get(&serial)?;
        let seat = &self.seats[slot];
        (seat.serial == serial && !matches!(seat.machine.state, State::Exited { .. }))
            .then_some(slot)
    }

    /// Someone killed the nursery: its keepers live on, but no process can be started and no lost tree ended any more.
    fn nursery_lost(&mut self) {
        tracing::error!(
            "the nursery of agent processes was killed; no agent can be started any more"
        );
        self.nursery_lives = false;
        self.shared.poller.remove(self.nursery.socket());
        self.ask();
        for slot in 0..self.seats.len() {
            if self.seats[slot].control.is_none() {
                self.feed(slot, Event::TreeGone);
            }
        }
    }

    pub(super) fn feed(&mut self, slot: usize, event: Event) {
        let effects = self.seats[slot].machine.on(event);
        self.perform(slot, effects);
    }

    fn perform(&mut self, slot: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn => self.spawn(slot),
                Effect::Term => self.command(slot, Command::Term),
                Effect::Kill => self.command(slot, Command::Kill),
                Effect::Set(timer, ms) => self.set_timer(slot, Some((timer, ms))),
                Effect::Clear => self.set_timer(slot, None),
                Effect::Started { attempt } => self.emit(slot, AgentEventBody::Started { attempt }),
                Effect::Status(mut status) => {
                    if let ProcessStatus::Exited {
                        reason,
                        blame: Some(Blame::Agent),
                        ..
                    } = &mut status
                        && let Some(words) = self.seats[slot].last_words()
                    {
                        *reason += &format!("; its last words on stderr: {words}");
                    }
                    if matches!(self.seats[slot].machine.state, State::Exited { .. }) {
                        self.serials.remove(&self.seats[slot].serial);
                        self.seats[slot].release();
                        self.seats[slot].frozen = false;
                        self.stopped(slot);
                        self.filled(slot);
                    }
                    self.emit(slot, AgentEventBody::Status(status));
                }
                Effect::Fault(fault) => self.fault(slot, fault),
            }
        }
    }

    fn set_timer(&mut self, slot: usize, timer: Option<(Timer, u64)>) {
        if let Some((at, _)) = self.seats[slot].timer.take() {
            self.timers.remove(&(at, slot));
        }
        if let Some((timer, ms)) = timer {
            let at = Instant::now() + Duration::from_millis(ms.min(LONGEST_MS));
            self.seats[slot].timer = Some((at, timer));
            self.timers.insert((at, slot));
        }
    }

    pub(super) fn command(&mut self, slot: usize, command: Command) {
        if let Some(control) = &self.seats[slot].control {
            let _ = send(
                control.as_raw_fd(),
                &command.encode(),
                MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            );
        }
    }

    fn spawn(&mut self, slot: usize) {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        match self.seats[slot].ask(slot, serial, &self.shared.poller) {
            Ok(asking) => {
                self.serials.insert(serial, slot);
                self.asking.push_back(asking);
                self.ask();
            }
            Err((blame, detail)) => self.feed(slot, Event::SpawnFailed { blame, detail }),
        }
    }

    /// Hands waiting requests to the nursery, as many as it takes; the rest when there is room again.
    fn ask(&mut self) {
        while let Some(asking) = self.asking.front() {
            let descriptors = [
                &asking.stdin,
                &asking.stdout,
                &asking.stderr,
                &asking.control,
            ];
            let asked = if self.nursery_lives {
                self.nursery.ask(&asking.request, &descriptors)
            } else {
                Err(Errno::EPIPE)
            };
            match asked {
                Ok(()) => {
                    self.asking.pop_front();
                }
                // Full, or more descriptors under way than the system allows: the nursery takes them out.
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ETOOMANYREFS | Errno::ENOBUFS) => break,
                Err(errno) => {
                    let slot = asking.slot;
                    self.asking.pop_front();
                    let detail = format!(
                        "the nursery of agent processes does not answer: {errno}; start the run again"
                    );
                    self.feed(
                        slot,
                        Event::SpawnFailed {
                            blame: Blame::Machine,
                            detail,
                        },
                    );
                }
            }
        }
        let waiting = !self.asking.is_empty();
        self.shared
            .poller
            .watch_writable(self.nursery.socket(), Token::Nursery, waiting);
    }

    pub(super) fn not_reading(&mut self, slot: usize) {
        let detail = "it does not read its standard input: an observation was replaced by a newer one before it was \
                      taken; read a line for each `observe`";
        self.fault(
            slot,
            Fault::new(FaultKind::NotReading, Blame::Agent, detail),
        );
    }

    /// Sets or clears the alarm of a seat's adapter.
    pub(super) fn set_wake(&mut self, slot: usize, ms: Option<u64>) {
        let due = ms.map(|ms| Instant::now() + Duration::from_millis(ms.min(LONGEST_MS)));
        if let Some(before) = std::mem::replace(&mut self.seats[slot].wake, due) {
            self.wakes.remove(&(before, slot));
        }
        self.wakes.extend(due.map(|due| (due, slot)));
    }

    pub(super) fn fault(&mut self, slot: usize, fault: Fault) {
        self.emit(slot, AgentEventBody::Fault(fault));
    }

    pub(super) fn emit(&mut self, slot: usize, body: AgentEventBody) {
        self.pending.push_back(AgentEvent {
            seat: self.seats[slot].index,
            body,
        });
        self.offer();
    }

    fn offer(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            match self.inbox.try_send(event) {
                Ok(()) => {}
                Err(tokio::sync::mpsc::error::TrySendError::Full(event)) => {
                    self.pending.push_front(event);
                    return;
                }
                Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => {
                    self.pending.clear();
                    return;
                }
            }
        }
    }
}
