//! Processes: the nursery and its keepers, the state machine of a seat's process, and the driver of them all.
//!
//! Must not know what agents say, beyond `ready` and `act`.

mod agents;
mod driver;
mod halt;
mod io;
mod keeper;
mod link;
mod listen;
mod nursery;
mod quota;
mod seat;
#[cfg(feature = "sim")]
pub mod sim;
mod state;
mod stroke;
mod tools;
pub(crate) mod tree;
mod wire;

pub use agents::{Agents, Prepared, StartError};
pub use halt::Stopper;
pub use io::raise_descriptor_limit;
pub use link::Outgoing;
pub use nursery::{Nursery, NurseryError};
