//! `formicarium fingerprint`: one line that stands for a whole run.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail};
use crate::recorder::RecorderError;
use crate::recorder::fingerprint::fingerprint;
use crate::recorder::reader::Recording;

#[derive(Debug, Args)]
pub(super) struct FingerprintArgs {
    /// A run's folder or its run.db; the run may still go on.
    run: PathBuf,
    /// Print one JSON object with all parts of it.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &FingerprintArgs) -> Exit {
    match Recording::open(&args.run).and_then(|recording| fingerprint(&recording)) {
        Ok(fingerprint) => {
            match args.json {
                true => println!("{}", serde_json::json!(fingerprint)),
                false => println!("{}", fingerprint.fingerprint),
            }
            Exit::Good
        }
        Err(error @ RecorderError::Damaged { .. }) => fail(Exit::Different, &error),
        Err(error) => fail(Exit::Failed, &error),
    }
}
