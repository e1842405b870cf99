//! `formicarium seal`: makes a recording that stands alone, compact and read-only.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, fail};
use crate::recorder::RecorderError;
use crate::recorder::reader::Recording;
use crate::recorder::seal::{folder_of, seal};
use crate::recorder::sealed::SEALED;
use crate::run::lock::{RunLock, await_gone};

#[derive(Debug, Args)]
pub(super) struct SealArgs {
    /// A run's folder.
    run: PathBuf,
    /// Print one JSON object on standard output instead of a sentence.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SealArgs) -> Exit {
    let folder = folder_of(&args.run);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    // Before anything is written there: a folder that is no run's is left alone.
    let looked = Recording::connect(&folder).and_then(|(path, of)| Recording::of(path, of));
    if let Err(error) = looked {
        return fail(Exit::Usage, &error);
    }
    let lock = match RunLock::take(&folder) {
        Ok(lock) => lock,
        Err(error) => return fail(Exit::Failed, &error),
    };
    if let Err(error) = await_gone(&folder) {
        return fail(Exit::Failed, &error);
    }
    let done = match seal(&folder) {
        Ok(done) => done,
        Err(error @ RecorderError::Damaged { .. }) => return fail(Exit::Different, &error),
        Err(error) => return fail(Exit::Failed, &error),
    };
    drop(lock);
    let file = folder.join(SEALED);
    match args.json {
        true => {
            let mut json = serde_json::to_value(done).unwrap_or_default();
            json["file"] = serde_json::json!(file);
            println!("{json}");
        }
        false => println!(
            "{}: {} bytes, {} when open{}",
            file.display(),
            done.sealed_bytes,
            done.open_bytes,
            if done.already {
                "; it was sealed already"
            } else {
                ""
            }
        ),
    }
    Exit::Good
}
