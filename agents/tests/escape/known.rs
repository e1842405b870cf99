//! What is documented: what a kernel stops even where nothing confines, and what users alone do not stop.
//!
//! Must not know how cases run.

use formicarium_agents::escape::Exception;

/// Cases that an ordinary user fails at even against itself, and why.
pub const STOPPED_ANYHOW: &[(&str, &str)] = &[];

/// What users and limits alone do not stop.
pub const EXCEPTIONS: &[Exception] = &[];
