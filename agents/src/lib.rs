//! Everything about agent processes: what they say, how they are started, watched and ended, where they live.
//!
//! A table of contents. This crate must not know the world, its rules, the scenario format or the spectators' feed.
//!
//! * [`protocol`]: the typed messages of agent protocol 1 and their JSON Lines form
//! * [`adapter`]: turns what a process writes into typed messages and faults
//! * [`process`]: keepers, the state machine of a process, and the driver of them all ([`Agents`])
//! * [`workspace`]: a seat's folders, its environment, and where its command is found
//! * [`event`]: what the host is told
//! * [`plan`]: what the host asks for

pub mod adapter;
pub mod event;
pub mod plan;
pub mod process;
pub mod protocol;
pub mod workspace;

pub use event::{AgentEvent, AgentEventBody, Blame, Fault, FaultKind, Phase, ProcessStatus};
pub use plan::{ProcessLimits, Program, Restart, RestartPolicy, SeatPlan};
pub use process::{Agents, Nursery, NurseryError, Outgoing, StartError, raise_descriptor_limit};
