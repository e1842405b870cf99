//! Adapters: each turns the talk with one kind of agent into typed messages and faults, and back.
//!
//! One trait, one file (or folder) each. An adapter is a pure machine: bytes, messages and an alarm go in, [`Output`]s
//! come out. It must not know processes, pipes, clocks or the world.

mod acp;
mod claude;
pub(crate) mod lines;
mod model;
mod stdio;

use std::ffi::OsString;

pub use acp::Acp;
pub use claude::{Claude, session};
pub use stdio::Stdio;

use crate::event::{Cost, Fault, Transcript};
use crate::plan::AdapterPlan;
use crate::protocol::{FromAgent, ToAgent};
use crate::workspace::Workspace;

/// What comes out of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// To the host: a message that keeps the protocol and its limits.
    Message(FromAgent),
    /// To the host: something that does not. Whatever it was has been dropped, or cut as the fault says.
    Fault(Fault),
    /// To the host: a line of the talk between adapter and program.
    Transcript(Transcript),
    /// To the host: what the program has used.
    Cost(Cost),
    /// To the program: a whole line with its newline.
    Line(Vec<u8>),
    /// To a connection of the seat's tool socket: a whole line with its newline. To one that is closed: nothing.
    ToolLine(u32, Vec<u8>),
    /// To the driver: call [`Adapter::alarm`] in so many milliseconds, in place of an alarm set before; none: do not.
    Alarm(Option<u64>),
    /// To the driver: the program cannot be brought back to reason; end it, and start it again if its policy says so.
    GiveUp(Fault),
}

/// What a process is started with beyond the plan's own arguments and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// Appended to the plan's arguments.
    pub args: Vec<OsString>,
    /// Set before the plan's own, which win.
    pub env: Vec<(String, OsString)>,
}

/// The talk with one seat's program, over all its processes.
pub trait Adapter: Send {
    /// A new process is about to be started: forgets what belonged to the last one.
    fn start(&mut self, at: &Workspace) -> Launch;

    /// Takes the next piece of the program's output.
    fn read(&mut self, bytes: &[u8], out: &mut dyn FnMut(Output));

    /// The output has ended: passes on what that means for a piece still unfinished.
    fn end(&mut self, out: &mut dyn FnMut(Output));

    /// Takes what the host says. Only for programs that do not speak the agent protocol themselves: to those that do,
    /// the host's lines go straight.
    fn tell(&mut self, _message: ToAgent, _out: &mut dyn FnMut(Output)) {}

    /// Takes a line, without its newline, of a connection to the seat's tool socket. Only for programs that have one.
    fn tool_line(&mut self, _connection: u32, _line: &[u8], _out: &mut dyn FnMut(Output)) {}

    /// A connection to the seat's tool socket has ended.
    fn tool_closed(&mut self, _connection: u32, _out: &mut dyn FnMut(Output)) {}

    /// The alarm that was set is due.
    fn alarm(&mut self, _out: &mut dyn FnMut(Output)) {}
}

/// The adapter for a plan.
pub fn of(plan: &AdapterPlan) -> Box<dyn Adapter> {
    match plan {
        AdapterPlan::Stdio => Box::new(Stdio::new()),
        AdapterPlan::Acp(plan) => Box::new(Acp::new(plan.as_ref().clone())),
        AdapterPlan::Claude(plan) => Box::new(Claude::new(plan.as_ref().clone())),
    }
}
