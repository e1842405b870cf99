//! Everything about agent processes: what they say, how they are started, watched and ended, where they live.
//!
//! A table of contents. This crate must not know the world, its rules, the scenario format or the spectators' feed.
//!
//! * [`protocol`]: the typed messages of agent protocol 1 and their JSON Lines form
//! * [`adapter`]: turns what a process writes into typed messages and faults
//! * [`files`]: the shared files of a run as its seats have them
//! * [`broker`]: leases, publishes and versions of the shared tree
//! * [`process`]: keepers, the state machine of a process, and the driver of them all ([`Agents`])
//! * [`isolation`]: what a seat's process may reach, and what this machine can enforce
//! * [`gateway`]: the model door between the seats' agents and a model's API
//! * [`mcp`]: a seat as tools: what they are, and what a call of one means
//! * [`escape`]: attacks of one seat on another, to prove what isolation holds
//! * [`workspace`]: a seat's folders, its environment, and where its command is found
//! * [`event`]: what the host is told
//! * [`plan`]: what the host asks for

pub mod adapter;
pub mod broker;
pub mod escape;
pub mod event;
pub mod files;
pub mod gateway;
pub mod isolation;
pub mod mcp;
pub mod plan;
pub mod process;
pub mod protocol;
mod sys;
pub mod workspace;

pub use event::{
    AgentEvent, AgentEventBody, Blame, Cost, Fault, FaultKind, Phase, ProcessStatus, Transcript,
    TranscriptKind,
};
pub use plan::{
    AcpPlan, AdapterPlan, ClaudePlan, ProcessLimits, Program, Restart, RestartPolicy, SeatPlan,
    Turn,
};
#[cfg(feature = "sim")]
pub use process::sim;
pub use process::{
    Agents, Nursery, NurseryError, Outgoing, Prepared, StartError, Stopper, raise_descriptor_limit,
};
