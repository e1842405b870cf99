//! Tables `files` and `leases`: what became of the shared tree, fact by fact.
//!
//! Must not know the broker beyond its data.

use formicarium_agents::broker::{
    Fact, LeaseChange, LeaseEnd, LeaseFact, Refusal, Scope, State, Version,
};

use super::ExportError;
use super::rows::{Each, QueryError, query};
use super::table::Cell;
use crate::recorder::reader::Recording;

/// Calls `each` with a row for each version and refusal.
pub(super) fn files(recording: &Recording, each: &mut Each<'_>) -> Result<(), ExportError> {
    facts(
        recording,
        "files",
        "kind != 'lease'",
        &mut |fact, entered| match fact {
            Fact::Version(version) => each(&of_version(&version, entered)),
            Fact::Refusal(refusal) => each(&of_refusal(&refusal, entered)),
            Fact::Lease(_) => Ok(()),
        },
    )
}

/// Calls `each` with a row for each change of a lease.
pub(super) fn leases(recording: &Recording, each: &mut Each<'_>) -> Result<(), ExportError> {
    facts(
        recording,
        "leases",
        "kind = 'lease'",
        &mut |fact, entered| match fact {
            Fact::Lease(lease) => each(&of_lease(&lease, entered)),
            Fact::Version(_) | Fact::Refusal(_) => Ok(()),
        },
    )
}

fn facts(
    recording: &Recording,
    table: &'static str,
    which: &str,
    each: &mut dyn FnMut(Fact, Option<u64>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    if !recording.has_facts()? {
        return Ok(());
    }
    let entered = recording.entered()?;
    let sql =
        format!("SELECT sequence, tick, body FROM file_facts WHERE {which} ORDER BY sequence");
    query(recording, table, &sql, |row| {
        let (sequence, tick, body): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let fact: Fact = serde_json::from_str(&body).map_err(|error| {
            let why = format!("fact {sequence} of the shared tree: {error}");
            QueryError::Other(recording.damaged(tick.max(0) as u64, why).into())
        })?;
        let is_start = matches!(&fact, Fact::Version(version) if version.seat.is_none());
        let entered = match is_start {
            true => Some(0),
            false => entered.get(&(sequence as u64)).copied(),
        };
        Ok(each(fact, entered)?)
    })
}

/// The cells of `kind`, `bytes`, `hash`, `executable`.
fn of_state(state: Option<State>) -> [Cell; 4] {
    match state {
        None => [Cell::Null, Cell::Null, Cell::Null, Cell::Null],
        Some(State::Absent) => [Cell::text("absent"), Cell::Null, Cell::Null, Cell::Null],
        Some(State::Dir) => [Cell::text("dir"), Cell::Null, Cell::Null, Cell::Null],
        Some(State::File {
            hash,
            bytes,
            executable,
        }) => [
            Cell::text("file"),
            Cell::int(bytes),
            Cell::text(hash.to_string()),
            Cell::Bool(executable),
        ],
    }
}

fn of_version(version: &Version, entered: Option<u64>) -> Vec<Cell> {
    // As the world is told of it.
    let change = match (version.state, version.parent) {
        (State::Absent, _) => "deleted",
        (_, None) => "created",
        _ => "changed",
    };
    let [kind, bytes, hash, executable] = of_state(Some(version.state));
    vec![
        Cell::int(version.sequence),
        Cell::int(version.tick),
        Cell::int(entered),
        Cell::text(version.path.as_str()),
        Cell::text_or_null(version.seat.clone()),
        Cell::text(change),
        Cell::int(version.number),
        kind,
        bytes,
        hash,
        executable,
        Cell::int(version.parent),
        Cell::int(version.from),
        Cell::Bool(version.merged.is_some()),
        Cell::text_or_null(version.merged.map(|hash| hash.to_string())),
        Cell::int(version.token),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]
}

fn of_refusal(refusal: &Refusal, entered: Option<u64>) -> Vec<Cell> {
    let [kind, bytes, hash, executable] = of_state(refusal.wanted);
    vec![
        Cell::int(refusal.sequence),
        Cell::int(refusal.tick),
        Cell::int(entered),
        Cell::text(&refusal.path),
        Cell::text_or_null(refusal.seat.clone()),
        Cell::text("refused"),
        Cell::Null,
        kind,
        bytes,
        hash,
        executable,
        Cell::Null,
        Cell::Null,
        Cell::Bool(false),
        Cell::Null,
        Cell::Null,
        Cell::text(refusal.reason.as_str()),
        Cell::text(&refusal.why),
        Cell::int(refusal.base),
        Cell::int(refusal.current),
        Cell::text_or_null(refusal.holder.clone()),
    ]
}

fn of_lease(lease: &LeaseFact, entered: Option<u64>) -> Vec<Cell> {
    let scope = match lease.scope {
        Scope::Path(_) => "path",
        Scope::Subtree(_) => "subtree",
        Scope::Tree => "tree",
    };
    let (change, ttl_ms) = match lease.change {
        LeaseChange::Granted { ttl_ms } => ("granted", Some(ttl_ms)),
        LeaseChange::Renewed { ttl_ms } => ("renewed", Some(ttl_ms)),
        LeaseChange::Ended { how } => match how {
            LeaseEnd::Expired => ("expired", None),
            LeaseEnd::Released => ("released", None),
            LeaseEnd::HolderGone => ("holder_gone", None),
            LeaseEnd::Restart => ("restart", None),
        },
    };
    vec![
        Cell::int(lease.sequence),
        Cell::int(lease.tick),
        Cell::int(entered),
        Cell::int(lease.token),
        Cell::text(scope),
        Cell::text_or_null(lease.scope.path().map(|path| path.as_str())),
        Cell::text(&lease.seat),
        Cell::text(change),
        Cell::int(ttl_ms),
    ]
}
