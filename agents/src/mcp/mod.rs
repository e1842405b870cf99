//! A seat as tools: the action catalogue as typed tools, and what a call means in the course of ticks.
//!
//! * [`tools`]: names, descriptions, schemas; a call read back
//! * [`play`]: a seat that is played by tool calls: when an answer is held, what it says
//! * [`rpc`]: the messages of the Model Context Protocol, as JSON-RPC, that a server of tools needs
//! * [`socket`]: a seat's tools on a socket in its folder, for agents that start their tool servers themselves
//!
//! Must not know how messages travel, but for the last.

pub mod play;
pub mod rpc;
pub mod socket;
pub mod tools;
