//! The part of the driver that reads what agents write: pieces, floods, and what counts when.
//!
//! Must not know what a message means, beyond which comes first.

use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::agents::Told;
use super::driver::Driver;
use super::io::Token;
use super::link::Outgoing;
use super::state::{Event, State};
use crate::adapter::{Adapter, Output, Stdio};
use crate::event::{AgentEventBody, Blame, Fault, FaultKind};
use crate::protocol::{BYTES_PER_TICK, FromAgent, MESSAGES_PER_TICK, decode_to_agent};

impl Driver {
    /// Reads one piece of an agent's output. False when there is nothing more for now.
    pub(super) fn read(&mut self, slot: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let length = match &self.seats[slot].stdout {
            Some(stdout) if !self.seats[slot].paused => nix::unistd::read(stdout, &mut buffer),
            _ => Err(Errno::EAGAIN),
        };
        let more = match length {
            Ok(0) => {
                self.hear(slot, None);
                self.seats[slot].stdout = None;
                self.feed(slot, Event::OutputEnded);
                false
            }
            Ok(length) => {
                self.hear(slot, Some(&buffer[..length]));
                self.weigh(slot, length);
                true
            }
            Err(Errno::EINTR) => true,
            Err(_) => false,
        };
        self.buffer = buffer;
        more
    }

    /// Counts bytes: a line without an end is no message, and must not keep the host busy for ever.
    fn weigh(&mut self, slot: usize, length: usize) {
        let seat = &self.seats[slot];
        if seat.plan.program.adapter.translates() {
            // A model's program may say much, and the seat's limits of tokens hold it.
            return;
        }
        let before = seat.link.bytes.fetch_add(length as u64, Ordering::Relaxed);
        if before <= BYTES_PER_TICK && before + length as u64 > BYTES_PER_TICK {
            self.flood(slot, &format!("more than {BYTES_PER_TICK} bytes"));
        }
    }

    /// Too much since the last observation: nothing more is read until the next one.
    fn flood(&mut self, slot: usize, what: &str) {
        if !std::mem::replace(&mut self.seats[slot].flooded, true) {
            let detail = format!(
                "{what} since the last observation; the rest is dropped and nothing is read from it until the next one; \
                 answer once for each `observe`"
            );
            self.fault(slot, Fault::new(FaultKind::Flood, Blame::Agent, detail));
            self.pause(slot);
        }
    }

    /// Passes bytes (or their end) through the seat's adapter and on to the host.
    fn hear(&mut self, slot: usize, bytes: Option<&[u8]>) {
        self.with_adapter(slot, |adapter, out| match bytes {
            Some(bytes) => adapter.read(bytes, out),
            None => adapter.end(out),
        });
    }

    /// Passes lines of the host to a seat's adapter.
    pub(super) fn tell(&mut self, slot: usize, told: Told) {
        for line in told.control.into_iter().chain(told.observation) {
            match decode_to_agent(&line) {
                Ok(message) => {
                    self.with_adapter(slot, |adapter, out| adapter.tell(message, out));
                }
                Err(error) => tracing::error!(slot, %error, "a line of the host is no message"),
            }
        }
    }

    /// The alarm of a seat's adapter is due.
    pub(super) fn alarm(&mut self, slot: usize) {
        self.with_adapter(slot, |adapter, out| adapter.alarm(out));
    }

    pub(super) fn with_adapter(
        &mut self,
        slot: usize,
        use_it: impl FnOnce(&mut dyn Adapter, &mut dyn FnMut(Output)),
    ) {
        // Out of the seat while it speaks, since what it says changes the seat.
        let mut adapter = std::mem::replace(&mut self.seats[slot].adapter, Box::new(Stdio::new()));
        use_it(&mut *adapter, &mut |output| self.take_output(slot, output));
        self.seats[slot].adapter = adapter;
    }

    fn take_output(&mut self, slot: usize, output: Output) {
        match output {
            Output::Message(_) | Output::Fault(_) => self.heard(slot, output),
            Output::Transcript(line) => self.emit(slot, AgentEventBody::Transcript(line)),
            Output::Cost(cost) => self.emit(slot, AgentEventBody::Cost(cost)),
            Output::Line(line) => {
                let message = Outgoing::Control(line.into());
                if self.seats[slot]
                    .link
                    .send(message, &self.shared.poller)
                    .is_some()
                {
                    self.not_reading(slot);
                }
            }
            Output::ToolLine(connection, line) => self.send_tools(slot, connection, &line),
            Output::Alarm(ms) => self.set_wake(slot, ms),
            Output::GiveUp(fault) => {
                let reason = fault.detail.clone();
                self.fault(slot, fault);
                self.feed(slot, Event::GaveUp { reason });
            }
        }
    }

    fn heard(&mut self, slot: usize, output: Output) {
        let seat = &mut self.seats[slot];
        if seat.plan.program.adapter.translates() {
            // Its lines are a model's and its program's: how many there are is not the seat's doing.
            seat.link.received.store(0, Ordering::Relaxed);
        }
        let received = seat.link.received.fetch_add(1, Ordering::Relaxed) + 1;
        if received == 1 {
            seat.flooded = false;
        }
        if received > MESSAGES_PER_TICK {
            return self.flood(slot, &format!("more than {MESSAGES_PER_TICK} messages"));
        }
        let message = match output {
            Output::Fault(fault) => return self.fault(slot, fault),
            Output::Message(message) => message,
            _ => return,
        };
        match (&seat.machine.state, &message) {
            (State::Starting, FromAgent::Ready(_)) => self.feed(slot, Event::SaidReady),
            (State::Ready, FromAgent::Act(_)) => self.feed(slot, Event::Acted),
            (State::Starting, _) => return self.out_of_order(slot, "a message before `ready`"),
            (State::Ready | State::Running, FromAgent::Ready(_)) => {
                return self.out_of_order(slot, "a second `ready`");
            }
            (State::Ready | State::Running, _) => {}
            // What an agent says while it is being ended has no reader.
            (State::Terminating { .. } | State::Exited { .. }, _) => return,
        }
        self.emit(slot, AgentEventBody::Message(message));
    }

    fn out_of_order(&mut self, slot: usize, what: &str) {
        let detail = format!(
            "{what} was dropped; answer `hello` with one `ready`, then send `act`, `remember` and `log`"
        );
        self.fault(
            slot,
            Fault::new(FaultKind::OutOfOrder, Blame::Agent, detail),
        );
    }

    fn pause(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        if let Some(stdout) = &seat.stdout {
            self.shared.poller.remove(stdout);
            seat.paused = true;
            seat.link.pause();
        }
    }

    pub(super) fn resume(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        seat.flooded = false;
        if std::mem::take(&mut seat.paused)
            && let Some(stdout) = &seat.stdout
            && self
                .shared
                .poller
                .add_readable(stdout, Token::Stdout(slot))
                .is_err()
        {
            // No memory for one entry in the kernel: the seat is late from now on, and named so.
            tracing::error!(slot, "cannot wait for an agent's output any more");
        }
    }

    /// What an agent wrote before its end counts before its end.
    pub(super) fn after_last_words(&mut self, slot: usize, event: Event) -> Event {
        // As much as a pipe holds, and one line: a child that writes on and on must not hold this up.
        for _ in 0..32 {
            if !self.read(slot) {
                break;
            }
        }
        if event == Event::TreeGone && self.seats[slot].stdout.is_some() {
            self.hear(slot, None);
        }
        event
    }
}
