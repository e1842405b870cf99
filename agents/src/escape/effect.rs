//! Judges an attack by its effect, as far as the attacker itself can see it.
//!
//! Must not know single cases. What the attacker cannot see, the runner compares from outside.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::case::Outcome;
use super::stage::Stage;

/// Tries each target; escaped when one of them, or its folder, looks different afterwards.
pub(super) fn change(
    stage: &Stage,
    targets: &[PathBuf],
    attack: impl Fn(&Stage, &Path) -> Result<(), Errno>,
) -> Outcome {
    let mut held = BTreeSet::new();
    for target in targets {
        let before = look(target);
        let tried = attack(stage, target);
        if look(target) != before {
            return Outcome::Escaped(format!("{} was changed", stage.short(target)));
        }
        held.insert(match tried {
            Ok(()) => "no effect".to_owned(),
            Err(errno) => format!("{errno:?}"),
        });
    }
    Outcome::Held(held.into_iter().collect::<Vec<_>>().join(", "))
}

/// Escaped at the first try that succeeds.
pub(super) fn first(tries: impl Iterator<Item = Result<String, Errno>>) -> Outcome {
    let mut held = BTreeSet::new();
    for tried in tries {
        match tried {
            Ok(what) => return Outcome::Escaped(what),
            Err(errno) => held.insert(format!("{errno:?}")),
        };
    }
    Outcome::Held(held.into_iter().collect::<Vec<_>>().join(", "))
}

/// How a path, what is in it and what stands beside it look to this process.
fn look(path: &Path) -> String {
    let mut seen = String::new();
    let folder = path.parent().unwrap_or(path);
    describe(path, &mut seen);
    for listed in [path, folder] {
        let Ok(entries) = std::fs::read_dir(listed) else {
            continue;
        };
        let mut entries: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        entries.sort();
        for entry in entries {
            describe(&entry, &mut seen);
        }
    }
    seen
}

fn describe(path: &Path, seen: &mut String) {
    let _ = write!(seen, "{}:", path.display());
    if let Ok(m) = path.symlink_metadata() {
        let times = (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
        let _ = write!(
            seen,
            "{:o} {} {} {} {} {times:?}",
            m.mode(),
            m.ino(),
            m.uid(),
            m.gid(),
            m.size()
        );
        if m.is_file() {
            let _ = write!(seen, " {:?}", std::fs::read(path).ok());
        }
    }
    seen.push('\n');
}
