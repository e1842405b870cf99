//! `formicarium doctor --attack`: tries on this machine what the levels of isolation are documented to hold.
//!
//! Knows the escape suite and how users are claimed; must not know single attacks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use formicarium_agents::escape::{Case, EXCEPTIONS, Isolated, Report, Suite, cases};
use formicarium_agents::isolation::uid::{self, CLAIMS, UidRange};
use formicarium_agents::isolation::{Level, become_owner};
use formicarium_engine::scenario::suggest;

use super::Exit;
use crate::run::seclusion::{self, Wanted};

/// After which an attack counts as hanging.
const LIMIT: Duration = Duration::from_secs(40);

/// Runs the suite at one level, and prints its report. `only` is a part of the cases' names. Starts no thread.
pub(super) fn run(wanted: Option<Wanted>, range: UidRange, only: Option<&str>, json: bool) -> Exit {
    match attack(wanted, range, only, json) {
        Ok(report) => {
            if json {
                println!("{}", serde_json::to_string(&report).unwrap_or_default());
            } else {
                print!("{report}");
            }
            match report.is_clean() {
                true => Exit::Good,
                false => Exit::Failed,
            }
        }
        Err(why) => {
            eprintln!("formicarium: {why}");
            Exit::Usage
        }
    }
}

fn attack(
    wanted: Option<Wanted>,
    range: UidRange,
    only: Option<&str>,
    json: bool,
) -> Result<Report, String> {
    let chosen: Vec<Case> = cases()
        .into_iter()
        .filter(|case| only.is_none_or(|part| case.name.contains(part)))
        .collect();
    if chosen.is_empty() {
        let known = cases();
        let near = suggest(only.unwrap_or_default(), known.iter().map(|case| case.name));
        return Err(format!(
            "no case of the escape suite has that in its name; {near}"
        ));
    }
    let level = seclusion::level(wanted, range).map_err(|error| error.to_string())?;
    if level == Level::Advisory {
        return Err("at level advisory nothing is enforced, and there is nothing to try".into());
    }
    // Two users for the seats; at level landlock one for all, which must not be root.
    let is_root = nix::unistd::geteuid().is_root();
    let claims = match is_root {
        true => uid::claim(range, 2, Path::new(CLAIMS)).map_err(|error| error.to_string())?,
        false => Vec::new(),
    };
    let owners: Vec<_> = claims.iter().map(uid::Claim::owner).collect();
    let confine = match (level, &owners[..]) {
        (Level::Uid, [attacker, victim]) => Isolated::by_user(*attacker, *victim),
        (Level::Landlock, [ordinary, ..]) => {
            become_owner(*ordinary)
                .map_err(|errno| format!("cannot become user {}: {errno}", ordinary.uid))?;
            Isolated::by_landlock()
        }
        _ => Isolated::by_landlock(),
    };
    let folder = PathBuf::from(format!("/tmp/formicarium-attack-{}", std::process::id()));
    if !json {
        println!("{} attacks at isolation level {level}\n", chosen.len());
    }
    let suite = Suite {
        confine: &confine,
        exceptions: EXCEPTIONS,
        folder: &folder,
        limit: LIMIT,
    };
    suite
        .run(&chosen, |_| {})
        .map_err(|error| error.to_string())
}
