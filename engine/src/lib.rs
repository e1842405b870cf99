//! The deterministic world of Formicarium: a scenario in memory -> [`World`] -> step.
//!
//! This crate knows no files, threads, processes, clocks, sockets and no wire format. The only door for what is not
//! deterministic is [`TickInput`]. This file is a table of contents and nothing else.

mod action;
mod component;
mod event;
#[cfg(test)]
mod fixture;
mod id;
mod input;
mod mechanic;
mod observation;
mod picture;
mod registry;
mod rng;
pub mod scenario;
mod space;
mod value;
mod world;

pub use action::{ActionCall, ActionSpec, Arg, ParamKind, ParamSpec};
pub use event::{Event, Rejection};
pub use id::{ActionId, SeatId};
pub use input::{FaultKind, FileFact, FileNews, InputBody, SeatInput, TickInput};
pub use observation::{ActionResult, Heard, How, Observation};
pub use picture::{Delta, KindInfo, Picture, SpaceInfo, Thing};
pub use scenario::{
    BankSpec, Bundle, Diagnostic, FaultSpec, FilesSpec, LimitSpec, MetricSpec, Mode, OnLate,
    ParamDoc, ParamType, ParamValue, Params, Per, PublishMode, QuestionSpec, Scenario, ScoreSpec,
    Severity, ThinkSpec, TimeSpec,
};
pub use value::Value;
pub use world::{Executor, RestoreError, SeatInfo, TickOutput, World};

/// Raised whenever the same inputs could lead to another hash. A recording names the one it was made with.
pub const SEMANTICS: u32 = 1;
