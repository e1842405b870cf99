//! `formicarium delete`: removes a run's folder, unless somebody needs it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use super::ask::ANNOTATIONS;
use super::{Exit, fail};
use crate::control::pass;
use crate::recorder::ancestry::{FORKS, dependents, forget};
use crate::recorder::reader::Recording;
use crate::recorder::{RecorderError, RunMeta, sealed};
use crate::run::lock::{LockError, RunLock, await_gone};
use crate::run::seclusion;

/// What a host makes in a run's folder, besides the recording.
const FOLDERS: [&str; 6] = ["agents", FORKS, "shared", "source", "staging", "workspaces"];
/// Files of the recording: the last to go, so that what is left of a removal that was cut off is still a run's.
const FILES: [&str; 10] = [
    pass::FILE,
    ANNOTATIONS,
    "run.db-wal",
    "run.db-shm",
    "run.db-journal",
    sealed::PART,
    sealed::DRAFT,
    "run.db.sealing-journal",
    sealed::OPEN,
    sealed::SEALED,
];
const LOCK: &str = "run.lock";

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// A run's folder.
    run: PathBuf,
    /// Delete the forks that need it too, and theirs.
    #[arg(long)]
    with_forks: bool,
    /// Print one JSON object on standard output instead of a sentence.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum DeleteError {
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{path} {why}", path = .0.display(), why = .1)]
    NoFolder(PathBuf, String),
    #[error(
        "{path} holds what no host has put there ({names}); move it elsewhere, or remove the folder yourself",
        path = .0.display(), names = .1
    )]
    Strange(PathBuf, String),
    #[error(
        "{path}: forks have their history from it: {forks}. Seal them first (formicarium seal FORK), or delete them too with --with-forks",
        path = .0.display(), forks = .1
    )]
    Needed(PathBuf, String),
    #[error("removing {path}: {source}; what is left is still a run's folder, delete it again", path = .0.display(), source = .1)]
    Io(PathBuf, io::Error),
}

/// A run that is about to go, and nobody else is at it.
struct Doomed {
    run: String,
    folder: PathBuf,
    meta: RunMeta,
    _lock: RunLock,
}

pub(super) fn run(args: &DeleteArgs) -> Exit {
    let mut doomed = Vec::new();
    let found = gather(
        &args.run,
        args.with_forks,
        &mut BTreeSet::new(),
        &mut doomed,
    );
    // All are looked at before the first goes; forks go before what they need.
    let done = found.and_then(|()| doomed.iter().rev().try_for_each(remove));
    if let Err(error) = done {
        let exit = match error {
            DeleteError::Lock(_) | DeleteError::Io(..) => Exit::Failed,
            _ => Exit::Usage,
        };
        return fail(exit, &error);
    }
    let gone = doomed.iter().rev();
    if args.json {
        let list: Vec<_> = gone
            .map(|run| serde_json::json!({"run": run.run, "dir": run.folder}))
            .collect();
        println!("{}", serde_json::json!({ "deleted": list }));
    } else {
        gone.for_each(|run| println!("deleted {} ({})", run.folder.display(), run.run));
    }
    Exit::Good
}

/// Looks at a run and locks it; with `forks`, at those that need it too.
fn gather(
    folder: &Path,
    forks: bool,
    seen: &mut BTreeSet<PathBuf>,
    doomed: &mut Vec<Doomed>,
) -> Result<(), DeleteError> {
    // `link/` would be followed; without its end it is not.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let folder: PathBuf = folder.components().collect();
    if !seen.insert(folder.clone()) {
        return Ok(());
    }
    let wrong = |why: &str| DeleteError::NoFolder(folder.clone(), why.to_owned());
    match fs::symlink_metadata(&folder) {
        Ok(found) if found.is_symlink() => {
            return Err(wrong("is a link; name the run's folder itself"));
        }
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(wrong("is no folder; name a run's folder")),
        Err(error) => return Err(wrong(&format!("cannot be had: {error}"))),
    }
    // A folder that is no run's is refused here.
    let (path, connection) = Recording::connect(&folder)?;
    let meta = Recording::of(path, connection)?.meta;
    let mut strange = Vec::new();
    let entries = fs::read_dir(&folder).map_err(|error| DeleteError::Io(folder.clone(), error))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_known = match is_dir {
            true => FOLDERS.contains(&&*name),
            // The seats' folders may lie elsewhere, with a link here.
            false => FILES.contains(&&*name) || name == LOCK || name == "agents",
        };
        if !is_known {
            strange.push(name);
        }
    }
    if !strange.is_empty() {
        strange.sort();
        return Err(DeleteError::Strange(folder, strange.join(", ")));
    }
    let lock = RunLock::take(&folder)?;
    await_gone(&folder)?;
    // Only now: a fork may have been made until a moment ago.
    let needy = dependents(&folder);
    if !needy.is_empty() && !forks {
        let names: Vec<String> = needy
            .iter()
            .map(|fork| format!("{} in {}", fork.run, fork.folder.display()))
            .collect();
        return Err(DeleteError::Needed(folder, names.join(", ")));
    }
    doomed.push(Doomed {
        run: meta.run.clone(),
        folder,
        meta,
        _lock: lock,
    });
    needy
        .iter()
        .try_for_each(|fork| gather(&fork.folder, forks, seen, doomed))
}

fn remove(run: &Doomed) -> Result<(), DeleteError> {
    let folder = &run.folder;
    let failed = |error| DeleteError::Io(folder.clone(), error);
    seclusion::clear(folder, &run.run);
    for name in FOLDERS {
        let path = folder.join(name);
        // Never through a link: that one alone goes.
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path).map_err(failed)?,
            Ok(_) => fs::remove_file(&path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    for name in FILES.iter().chain(&[LOCK]) {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    // The way to its parent leads through the folder.
    forget(folder, &run.meta);
    fs::remove_dir(folder).map_err(failed)?;
    Ok(())
}
