//! Adapters: each turns what one kind of agent writes into typed messages and faults.
//!
//! One file each. An adapter sees bytes only; it must not know processes, pipes, ticks or the state of its seat.

mod stdio;

pub use stdio::Stdio;

use crate::event::Fault;
use crate::protocol::FromAgent;

/// What an adapter made of the bytes it was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A message that keeps the protocol and its limits.
    Message(FromAgent),
    /// Something that does not. Whatever it was has been dropped, or cut as the fault says.
    Fault(Fault),
}

/// One agent's output, as a stream of bytes in pieces of any size.
pub trait Adapter: Send {
    /// Takes the next piece and passes on each message and fault in it, in order.
    fn read(&mut self, bytes: &[u8], on: &mut dyn FnMut(Heard));

    /// The output has ended: passes on what that means for a piece still unfinished.
    fn end(&mut self, on: &mut dyn FnMut(Heard));
}
