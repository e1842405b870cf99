//! The Formicarium host: the only place that knows both the engine and the agents.
//!
//! A table of contents: `library` finds scenarios, `held` marks waits for threads, `cast` seats agents, `run` drives a run,
//! `recorder` keeps it, `export` writes it as tables, `sweep` makes many, `feed` shows it, `control` lets its operator steer
//! it, `page` holds the embedded viewer, `cli` is the command line.

pub mod cast;
pub mod cli;
pub mod control;
pub mod export;
pub mod feed;
pub mod held;
pub mod library;
mod page;
pub mod recorder;
pub mod run;
pub mod sweep;
