//! The part of the driver that carries lines between seats' tool sockets and their adapters.
//!
//! Must not know what a line means.

use super::driver::Driver;
use super::io::Token;
use super::tree;
use crate::event::{Blame, Fault, FaultKind};
use crate::isolation::Level;
use crate::mcp::socket::{Got, LINE_BYTES};
use nix::unistd::Pid;

impl Driver {
    /// Somebody wants to connect to a seat's tool socket.
    pub(super) fn accept_tools(&mut self, slot: usize) {
        let seat = &mut self.seats[slot];
        // Where all seats run as one user, the socket's rights keep none of them out.
        let keeper = match seat.plan.isolation.level {
            Level::Landlock => Some(Pid::from_raw(seat.keeper)),
            Level::Uid | Level::Advisory => None,
        };
        let Some(socket) = &mut seat.tools else {
            return;
        };
        while let Some(place) = socket.accept() {
            let peer = socket.peer(place).map(Pid::from_raw);
            let own = |keeper| peer.is_some_and(|peer| tree::descends(peer, keeper));
            if !keeper.is_none_or(own) {
                socket.dismiss(place);
                tracing::warn!(
                    slot,
                    "another seat's process wanted to connect to this seat's tools"
                );
                continue;
            }
            let Some((stream, _)) = socket.place(place) else {
                continue;
            };
            let token = Token::Tools(slot, place);
            if self.shared.poller.add_readable(stream, token).is_err() {
                // No memory for one entry in the kernel: the agent has no tools, and its turns say so.
                tracing::error!(slot, "cannot wait for a connection to the seat's tools");
            }
        }
    }

    /// A connection has something to read, room to write, or has ended.
    pub(super) fn tools_ready(&mut self, slot: usize, place: usize) {
        let Some(socket) = &mut self.seats[slot].tools else {
            return;
        };
        let waited = socket.place(place).is_some_and(|(_, waits)| waits);
        socket.write(place);
        if waited {
            self.watch_tools(slot, place);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let got = match &mut self.seats[slot].tools {
            Some(socket) => socket.read(place, &mut buffer),
            None => Vec::new(),
        };
        self.buffer = buffer;
        for got in got {
            match got {
                Got::Line(connection, line) => self.with_adapter(slot, |adapter, out| {
                    adapter.tool_line(connection, &line, out);
                }),
                Got::Closed(connection) => self.with_adapter(slot, |adapter, out| {
                    adapter.tool_closed(connection, out);
                }),
                Got::TooLong(_) => {
                    let detail = format!(
                        "a line to the seat's tools is longer than {LINE_BYTES} bytes; the connection was closed"
                    );
                    self.fault(slot, Fault::new(FaultKind::TooLong, Blame::Agent, detail));
                }
            }
        }
    }

    /// Writes a line to a connection; to one that is closed, nothing.
    pub(super) fn send_tools(&mut self, slot: usize, connection: u32, line: &[u8]) {
        if let Some(socket) = &mut self.seats[slot].tools
            && let Some(place) = socket.send(connection, line)
        {
            self.watch_tools(slot, place);
        }
    }

    fn watch_tools(&mut self, slot: usize, place: usize) {
        if let Some(socket) = &self.seats[slot].tools
            && let Some((stream, waits)) = socket.place(place)
        {
            let token = Token::Tools(slot, place);
            self.shared.poller.watch_writable(stream, token, waits);
        }
    }
}
