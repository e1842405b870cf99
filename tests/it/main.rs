//! The host as its users meet it: the real binary, real agent processes, real recordings.
//!
//! One binary for all, so that it links once. Programs: `FORMICARIUM_BIN` or the one cargo built.

mod ask;
mod claude;
mod claude_desk;
mod claude_fork;
mod command_line;
mod compare;
mod control;
mod desk;
mod escape;
mod export;
mod fault;
mod faults;
mod feed;
mod fork;
mod generated;
mod golden_format;
mod goldens;
mod host;
mod isolation;
mod questions;
mod recording;
mod replay_serve;
mod resume;
mod seal;
mod seats;
mod shared_feed;
mod storm;
mod story;
mod sweep;
mod time;
mod verify;
mod versions;
mod workshop;
mod workspaces;
