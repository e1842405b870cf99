//! A seat as tools: the action catalogue as typed tools, and what a call means in the course of ticks.
//!
//! * [`tools`]: names, descriptions, schemas; a call read back
//! * [`files`]: the tools of a seat's desk
//! * [`play`]: a seat that is played by tool calls: when an answer is held, what it says
//! * [`rpc`]: the messages of the Model Context Protocol, as JSON-RPC, that a server of tools needs
//! * [`server`]: seats over streamable HTTP, for any MCP client
//! * [`socket`]: a seat's tools on a socket in its folder, for agents that start their tool servers themselves
//!
//! All but `server` and `socket` must not know how messages travel.

pub mod files;
pub mod play;
pub mod rpc;
pub mod server;
pub mod socket;
pub mod tools;
