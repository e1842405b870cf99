//! `files RUN log`: facts of the shared tree, a line each, for people and for programs.

use std::path::Path;

use formicarium_agents::broker::{Fact, LeaseChange, LeaseEnd, Refusal, State, Version};
use serde_json::Value;

use super::{SCENARIO, seconds, table, ttl};
use crate::recorder::versions::{History, Told, seat};

/// The facts as the recording keeps them, each with the tick whose input it entered.
pub(super) fn json(facts: &[&Told]) -> Value {
    facts
        .iter()
        .map(|told| {
            let mut fact = serde_json::to_value(&told.fact).unwrap_or_default();
            fact["entered"] = told.entered.into();
            fact
        })
        .collect()
}

/// A table; what was refused is marked, and the last lines say how to read what is kept.
pub(super) fn words(facts: &[&Told], history: &History, run: &Path) -> String {
    if facts.is_empty() {
        return "nothing has been published, refused or leased\n".to_owned();
    }
    let head = ["", "NUMBER", "TICK", "INPUT", "SEAT", "PATH", "WHAT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut keeps = false;
    for told in facts {
        let (mark, tick, path, what) = match &told.fact {
            Fact::Version(version) => {
                keeps |= version.merged.is_some();
                let path = match version.state {
                    State::Dir => format!("{}/", version.path),
                    _ => version.path.to_string(),
                };
                let path = format!("{path}@{}", version.number);
                ("", version.tick, path, of_version(version, history))
            }
            Fact::Refusal(refusal) => {
                keeps |= kept(refusal).is_some();
                let path = printable(&refusal.path);
                ("!", refusal.tick, path, of_refusal(refusal))
            }
            Fact::Lease(lease) => {
                let what = match lease.change {
                    LeaseChange::Granted { .. } => format!("leased for {}", seconds(ttl(lease))),
                    LeaseChange::Renewed { .. } => {
                        format!("lease renewed for {}", seconds(ttl(lease)))
                    }
                    LeaseChange::Ended { how } => match how {
                        LeaseEnd::Expired => "lease expired".to_owned(),
                        LeaseEnd::Released => "lease released".to_owned(),
                        LeaseEnd::HolderGone => "lease ended: its holder is gone".to_owned(),
                        LeaseEnd::Restart => "lease ended: the host was started anew".to_owned(),
                    },
                };
                let what = format!("{what} (token {})", lease.token);
                ("", lease.tick, lease.scope.to_string(), what)
            }
        };
        let entered = told.entered.map_or("-".to_owned(), |tick| tick.to_string());
        rows.push(vec![
            mark.to_owned(),
            told.fact.sequence().to_string(),
            tick.to_string(),
            entered,
            seat(&told.fact).unwrap_or(SCENARIO).to_owned(),
            path,
            what,
        ]);
    }
    let mut text = table(&rows, &[1, 2, 3]);
    if keeps {
        let run = run.display();
        text += &format!(
            "\nwhat is kept of a refusal or a merge: formicarium files {run} show --hash HASH\n"
        );
    }
    text
}

fn of_version(version: &Version, history: &History) -> String {
    let parent = version
        .parent
        .and_then(|sequence| history.of_sequence(sequence));
    let was_there = parent.is_some_and(|parent| parent.state != State::Absent);
    let mut words = match (version.state, was_there) {
        (State::Absent, _) => "removed".to_owned(),
        (State::Dir, _) => "folder made".to_owned(),
        (State::File { bytes, .. }, true) => format!("changed, {bytes} bytes"),
        (State::File { bytes, .. }, false) => format!("created, {bytes} bytes"),
    };
    if let State::File {
        executable: true, ..
    } = version.state
    {
        words += ", executable";
    }
    if let Some(from) = version
        .from
        .and_then(|sequence| history.of_sequence(sequence))
    {
        words += &format!(", renamed from {}@{}", from.path, from.number);
    }
    if let Some(written) = version.merged {
        words += &format!(", merged; as the seat wrote it: {written}");
    }
    words
}

fn of_refusal(refusal: &Refusal) -> String {
    let mut words = format!(
        "refused ({}): {}",
        refusal.reason.as_str(),
        printable(&refusal.why)
    );
    if let Some(hash) = kept(refusal) {
        words += &format!("; kept: {hash}");
    }
    words
}

fn kept(refusal: &Refusal) -> Option<String> {
    let hash = refusal.wanted.as_ref()?.hash()?;
    Some(hash.to_string())
}

/// A text that may hold anything, for a terminal.
fn printable(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn no_text_moves_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\n\u{9b}"), "a\\u{1b}[2Jb\\n\\u{9b}");
        assert_eq!(printable("Käfer 蟻"), "Käfer 蟻");
    }
}
