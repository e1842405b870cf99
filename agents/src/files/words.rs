//! How requests about the shared files are answered: a sentence for people and models, the same as data for programs.
//!
//! Pure. Must not know desks or the broker beyond their results. A refusal says who holds what, for how long, and what to
//! do next.

use std::fmt::Write;

use base64::Engine;
use serde_json::{Value, json};

use crate::broker::lease::span;
use crate::broker::{
    BrokerError, Lease, LeaseError, Outcome, PathError, Publish, Reason, Refusal, Scope, State,
    TreePath, Version, Wanted,
};
use crate::protocol::{FILES_TEXT_BYTES, Files, PublishWhen};
use crate::workspace::desk::{DeskError, Refreshed};

/// Most lines of one list.
const LINES: usize = 200;

/// What was done, in words and as data.
#[derive(Debug)]
pub(super) struct Good {
    text: String,
    data: Value,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No request about files.
    #[error("this is no request about files")]
    NoRequest,
    /// A path is missing.
    #[error("name a path")]
    NoPath,
    /// The number of a version is missing.
    #[error(
        "name the version that you have looked at: what was published after it is not to be lost"
    )]
    NoNumber,
    /// A path that no tree takes.
    #[error("{text:?} is no path of the shared tree: {error}")]
    Path {
        /// As it was given.
        text: String,
        /// Why not.
        error: PathError,
    },
    /// There is no such version.
    #[error("{path} {}", known_words(*.known))]
    NoVersion {
        /// The path.
        path: TreePath,
        /// The newest version.
        known: u64,
    },
    /// A lease for too long, or for no time.
    #[error("a lease holds for up to {} here, not {}; ask again for less, and again before it ends", span(*.most), span(*.ttl_ms))]
    TooLong {
        /// What was asked for.
        ttl_ms: u64,
        /// The longest.
        most: u64,
    },
    /// The seat does not hold it.
    #[error("you hold no lease of {scope}{}", held_words(.held))]
    HoldsNot {
        /// What was named.
        scope: Scope,
        /// What it holds.
        held: Vec<Scope>,
    },
    /// A lease.
    #[error("{0}")]
    Lease(LeaseError),
    /// Something was not published, and so nothing was.
    #[error("{}", refused_words(.0))]
    Refused(Outcome),
    /// What lies on the desk cannot make room.
    #[error(
        "{0}: a folder of yours with files of yours in it is in the way; move them, then take it again"
    )]
    InTheWay(TreePath),
    /// The desk.
    #[error("{0}")]
    Desk(DeskError),
    /// The broker.
    #[error("{0}")]
    Broker(BrokerError),
}

impl Trouble {
    /// The word for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Trouble::NoRequest | Trouble::NoPath | Trouble::NoNumber => "request",
            Trouble::Path { .. } => "name",
            Trouble::NoVersion { .. } => "no-version",
            Trouble::TooLong { .. } => "ttl",
            Trouble::HoldsNot { .. } => "not-held",
            Trouble::Lease(LeaseError::Held { .. }) => "leased",
            Trouble::Lease(LeaseError::NotHeld { .. }) => "not-held",
            Trouble::Lease(LeaseError::TooMany) => "limit",
            Trouble::Lease(LeaseError::Ttl { .. }) => "ttl",
            Trouble::Refused(outcome) => outcome
                .refusals
                .first()
                .map_or("refused", |refusal| refusal.reason.as_str()),
            Trouble::InTheWay(_) => "kind",
            Trouble::Desk(_) => "desk",
            Trouble::Broker(_) => "broker",
        }
    }

    fn data(&self) -> Value {
        let mut data = match self {
            Trouble::Lease(LeaseError::Held { held, left_ms }) => lease_data(held, *left_ms),
            Trouble::Refused(outcome) => outcome_data(outcome),
            Trouble::NoVersion { path, known } => json!({"path": path, "newest": known}),
            _ => json!({}),
        };
        data["code"] = self.code().into();
        data
    }
}

/// The answer to a request.
pub(super) fn answer(id: Option<u64>, answer: Result<Good, Trouble>) -> Files {
    let (ok, text, data) = match answer {
        Ok(Good { text, data }) => (true, text, data),
        Err(trouble) => (false, trouble.to_string(), trouble.data()),
    };
    Files { id, ok, text, data }
}

/// The run is over.
pub(super) fn over(id: Option<u64>) -> Files {
    plain(id, "over", "the run is over: nothing more is published")
}

/// Too many requests wait.
pub(super) fn too_many(id: Option<u64>) -> Files {
    plain(
        id,
        "flood",
        "too many requests of this seat wait already; take their answers first",
    )
}

/// A refusal that no seat's desk had a part in.
pub(super) fn plain(id: Option<u64>, code: &str, why: &str) -> Files {
    Files {
        id,
        ok: false,
        text: why.to_owned(),
        data: json!({"code": code}),
    }
}

fn known_words(known: u64) -> String {
    match known {
        0 => "has never been in the shared tree; `desk status` lists what you have and did not publish".into(),
        1 => "has one version, 1".into(),
        n => format!("has the versions 1 to {n}"),
    }
}

fn held_words(held: &[Scope]) -> String {
    match held {
        [] => "; you hold none".into(),
        some => {
            let list: Vec<String> = some.iter().map(ToString::to_string).collect();
            format!("; yours are: {}", list.join(", "))
        }
    }
}

/// Why a path was not published.
pub(super) fn refusal(refusal: &Refusal) -> String {
    let Refusal { path, why, .. } = refusal;
    match refusal.reason {
        Reason::Conflict => format!(
            "{path}: {why}. `desk show {path}` shows theirs. Then put both together and say so with `desk resolve` and that \
             version, or take theirs with `desk take {path}`, and act again"
        ),
        _ => format!("{path}: {why}"),
    }
}

fn refused_words(outcome: &Outcome) -> String {
    let mut text = String::from("nothing was published");
    lines(
        &mut text,
        outcome
            .refusals
            .iter()
            .chain(&outcome.unshared)
            .map(refusal),
    );
    text
}

/// Adds lines to a text, as many as anybody reads.
fn lines(text: &mut String, lines: impl Iterator<Item = String>) {
    let mut lines = lines.fuse();
    for line in lines.by_ref().take(LINES) {
        let _ = write!(text, "\n{line}");
    }
    let more = lines.count();
    if more > 0 {
        let _ = write!(text, "\nand {more} more");
    }
}

fn lease_data(lease: &Lease, left_ms: u64) -> Value {
    json!({"path": lease.scope.to_string(), "holder": lease.seat, "token": lease.token, "left_ms": left_ms})
}

fn outcome_data(outcome: &Outcome) -> Value {
    let refused = |refusal: &Refusal| json!({"path": refusal.path, "code": refusal.reason.as_str(), "reason": refusal.why});
    let published: Vec<Value> = outcome
        .versions
        .iter()
        .map(|version| json!({"path": version.path, "version": version.number, "merged": version.merged.is_some()}))
        .collect();
    json!({
        "published": published,
        "unchanged": outcome.unchanged,
        "refused": outcome.refusals.iter().map(refused).collect::<Vec<_>>(),
        "unshared": outcome.unshared.iter().map(refused).collect::<Vec<_>>(),
    })
}

pub(super) fn leased(lease: &Lease, ttl_ms: u64, refreshed: &Refreshed) -> Good {
    let mut text = format!(
        "{} is yours for {} (token {}): until then nobody else's changes of it are published",
        lease.scope,
        span(ttl_ms),
        lease.token
    );
    refreshed_lines(&mut text, refreshed);
    Good {
        text,
        data: json!({"path": lease.scope.to_string(), "token": lease.token, "ttl_ms": ttl_ms,
            "updated": refreshed.updated, "kept": refreshed.kept}),
    }
}

pub(super) fn released(lease: &Lease) -> Good {
    Good {
        text: format!("{} is given back", lease.scope),
        data: json!({"path": lease.scope.to_string(), "token": lease.token}),
    }
}

pub(super) fn published(outcome: &Outcome) -> Good {
    let mut text = match outcome.versions.len() {
        0 => "nothing has changed".to_owned(),
        1 => "published:".into(),
        n => format!("published {n} versions:"),
    };
    lines(
        &mut text,
        outcome.versions.iter().map(|version| {
            let merged = match version.merged {
                Some(_) => " (merged with what others published; refresh to see it)",
                None => "",
            };
            format!(
                "{}@{}{}{merged}",
                version.path,
                version.number,
                state(version)
            )
        }),
    );
    if !outcome.unshared.is_empty() {
        text += "\nnot shared:";
        lines(&mut text, outcome.unshared.iter().map(refusal));
    }
    Good {
        text,
        data: outcome_data(outcome),
    }
}

fn state(version: &Version) -> &'static str {
    match version.state {
        State::Absent => " (removed)",
        State::Dir => " (folder)",
        State::File { .. } => "",
    }
}

fn refreshed_lines(text: &mut String, refreshed: &Refreshed) {
    if !refreshed.updated.is_empty() {
        *text += "\nbrought in:";
        lines(text, refreshed.updated.iter().map(ToString::to_string));
    }
    if !refreshed.kept.is_empty() {
        *text += "\nchanged by you and by others, left as you have it (publish merges it, or take, or merge by hand and resolve):";
        lines(text, refreshed.kept.iter().map(ToString::to_string));
    }
}

pub(super) fn refreshed(refreshed: &Refreshed) -> Good {
    let mut text = String::from("your desk is up to date");
    refreshed_lines(&mut text, refreshed);
    Good {
        text,
        data: json!({"updated": refreshed.updated, "kept": refreshed.kept}),
    }
}

pub(super) fn status(
    seat: &str,
    publish: PublishWhen,
    changed: &Publish,
    behind: &[Version],
    held: &[(Lease, u64)],
) -> Good {
    let mut text = String::new();
    let when = match publish {
        PublishWhen::OnAct => "published when you act",
        PublishWhen::Explicit => "published by `desk publish`",
    };
    let kind = |wanted: &Wanted, base: State| match (wanted, base) {
        (Wanted::Absent, _) => "removed",
        (_, State::Absent) => "new",
        _ => "changed",
    };
    match changed.changes.is_empty() {
        true => text += "you have changed nothing that is not published",
        false => {
            let _ = write!(text, "not published yet ({when}):");
            let line = |change: &crate::broker::Change| {
                format!(
                    "{} ({})",
                    change.path,
                    kind(&change.wanted, change.base.state)
                )
            };
            lines(&mut text, changed.changes.iter().map(line));
        }
    }
    if !behind.is_empty() {
        text += "\nothers have changed these too:";
        let line = |version: &Version| {
            let by = version.seat.as_deref().unwrap_or("the host");
            format!("{}@{} by {by}", version.path, version.number)
        };
        lines(&mut text, behind.iter().map(line));
    }
    if !changed.unshared.is_empty() {
        text += "\ncannot be shared:";
        let line =
            |unshared: &crate::broker::Unshared| format!("{}: {}", unshared.path, unshared.why);
        lines(&mut text, changed.unshared.iter().map(line));
    }
    let leases = leases(seat, held);
    let _ = write!(text, "\n{}", leases.text);
    let changes: Vec<Value> = changed
        .changes
        .iter()
        .map(|change| json!({"path": change.path, "change": kind(&change.wanted, change.base.state)}))
        .collect();
    let behind: Vec<Value> = behind
        .iter()
        .map(|version| json!({"path": version.path, "version": version.number, "seat": version.seat}))
        .collect();
    let unshared: Vec<&str> = changed.unshared.iter().map(|u| &*u.path).collect();
    Good {
        text,
        data: json!({"changed": changes, "behind": behind, "unshared": unshared, "leases": leases.data["leases"]}),
    }
}

pub(super) fn leases(seat: &str, held: &[(Lease, u64)]) -> Good {
    let mut text = match held.is_empty() {
        true => "no leases".to_owned(),
        false => "leases:".into(),
    };
    let line = |(lease, left): &(Lease, u64)| {
        let who = match lease.seat == seat {
            true => "you",
            false => &lease.seat,
        };
        format!("{} of {who} for another {}", lease.scope, span(*left))
    };
    lines(&mut text, held.iter().map(line));
    let data: Vec<Value> = held
        .iter()
        .map(|(lease, left)| lease_data(lease, *left))
        .collect();
    Good {
        text,
        data: json!({"leases": data}),
    }
}

pub(super) fn log(path: &TreePath, versions: &[Version]) -> Good {
    let mut text = format!("versions of {path}, the newest first:");
    let line = |version: &Version| {
        let by = version.seat.as_deref().unwrap_or("the scenario");
        let merged = version.merged.map_or("", |_| ", merged");
        let what = match version.state {
            State::File { bytes, .. } => format!("{bytes} bytes"),
            other => other.to_string(),
        };
        format!(
            "{path}@{} by {by}, tick {}: {what}{merged}",
            version.number, version.tick
        )
    };
    lines(&mut text, versions.iter().rev().map(line));
    let data: Vec<Value> = versions
        .iter()
        .rev()
        .take(LINES)
        .map(|version| {
            json!({"version": version.number, "seat": version.seat, "tick": version.tick,
                "bytes": version.state.bytes(), "removed": version.state == State::Absent, "merged": version.merged.is_some()})
        })
        .collect();
    Good {
        text,
        data: json!({"path": path, "versions": data}),
    }
}

pub(super) fn show(version: &Version, content: Option<Vec<u8>>) -> Good {
    let data = json!({"path": version.path, "version": version.number, "seat": version.seat, "tick": version.tick});
    let Some(mut content) = content else {
        return Good {
            text: format!("{}@{} is {}", version.path, version.number, version.state),
            data,
        };
    };
    let bytes = content.len();
    content.truncate(FILES_TEXT_BYTES);
    let mut data = data;
    data["bytes"] = bytes.into();
    data["cut"] = (content.len() < bytes).into();
    let text = match String::from_utf8(content) {
        Ok(text) => {
            data["content"] = text.clone().into();
            text
        }
        Err(error) => match error.utf8_error().error_len() {
            // Only the cut went through a character.
            None if bytes > FILES_TEXT_BYTES => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                data["content"] = text.clone().into();
                text
            }
            _ => {
                let engine = base64::engine::general_purpose::STANDARD;
                data["base64"] = engine.encode(error.as_bytes()).into();
                format!(
                    "{}@{} is no text: {bytes} bytes",
                    version.path, version.number
                )
            }
        },
    };
    Good { text, data }
}

pub(super) fn taken(version: &Version) -> Good {
    done(
        version,
        "is on your desk now as it stands in the shared tree",
    )
}

pub(super) fn resolved(version: &Version) -> Good {
    done(
        version,
        "is what yours follows from now on: publish to put yours in its place",
    )
}

fn done(version: &Version, what: &str) -> Good {
    Good {
        text: format!("{}@{} {what}", version.path, version.number),
        data: json!({"path": version.path, "version": version.number}),
    }
}
