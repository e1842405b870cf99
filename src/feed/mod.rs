//! The spectators' feed, `formicarium.observe.v1` (docs/feed-protocol.md).
//!
//! `wire` holds the messages (`files_wire` those of the shared files), `statics` makes the first, `picture` the state that a late
//! joiner is shown (`files` its shared files), `handover` is the tick
//! loop's side, `hub` encodes each tick once for all, `client` serves one socket, `server` is the HTTP
//! side. The tick loop only ever drops a value into a bounded queue: a spectator can never slow it.

pub mod client;
pub mod files;
pub mod files_wire;
pub mod handover;
pub mod hub;
pub mod picture;
pub mod server;
pub mod statics;
pub mod wire;
