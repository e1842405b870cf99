//! A run's folder with a broker in it, and short ways to say what is published. Must not know what is tested.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;

use formicarium_agents::broker::*;
use formicarium_agents::isolation::Owner;
use formicarium_agents::workspace::desk::{Desk, DeskPlan, Refreshed};

use crate::sqlite::Sqlite;

/// A folder of its own that goes when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("formicarium-broker-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn shared(&self, path: &str) -> PathBuf {
        self.0.join("shared").join(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn journal(folder: &Path) -> Sqlite {
    Sqlite::open(&folder.join("run.db")).unwrap()
}

pub fn open(folder: &Path) -> (Broker, Repaired) {
    Broker::open(folder, Box::new(journal(folder)), Limits::default(), 0).unwrap()
}

pub fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub fn file(content: &str) -> Wanted {
    Wanted::file(content.as_bytes(), false)
}

/// A publish against what stands now.
pub fn publish(broker: &Broker, seat: &str, changes: &[(&str, Wanted)]) -> Publish {
    let base = |at: &TreePath| {
        let version = broker.index().get(at).filter(|v| v.state != State::Absent);
        version.map_or(Base::NONE, |v| Base {
            version: Some(v.sequence),
            state: v.state,
        })
    };
    let change = |(at, wanted): &(&str, Wanted)| Change {
        path: path(at),
        wanted: wanted.clone(),
        base: base(&path(at)),
        from: None,
    };
    Publish {
        seat: Some(seat.to_owned()),
        changes: changes.iter().map(change).collect(),
        ..Publish::default()
    }
}

pub fn now(broker: &mut Broker, seat: &str, changes: &[(&str, Wanted)]) -> Outcome {
    let asked = publish(broker, seat, changes);
    one(broker, asked)
}

pub fn one(broker: &mut Broker, publish: Publish) -> Outcome {
    broker.publish(&[publish], 0).unwrap().remove(0)
}

/// Why each path was refused.
pub fn reasons(outcome: &Outcome) -> Vec<(&str, Reason)> {
    let refusals = outcome.refusals.iter();
    refusals.map(|r| (r.path.as_str(), r.reason)).collect()
}

/// The tree on disk is what the index says, to the bit.
pub fn check_tree(folder: &Path, broker: &Broker) {
    let (_, repaired) = recover(folder, &journal(folder)).unwrap();
    assert!(repaired.is_nothing(), "{repaired}");
    let shared = folder.join("shared");
    for version in broker.index().present() {
        assert!(
            shared
                .join(version.path.as_str())
                .symlink_metadata()
                .is_ok()
        );
    }
}

/// A desk of a seat in the run's folder.
pub fn desk(folder: &Path, broker: &Broker, seat: &str, owner: Option<Owner>) -> Desk {
    let workspace = folder.join("agents").join(seat);
    std::fs::create_dir_all(&workspace).unwrap();
    if let Some(owner) = owner {
        std::os::unix::fs::chown(&workspace, Some(owner.uid), Some(owner.gid)).unwrap();
    }
    let plan = DeskPlan {
        workspace,
        shared: broker.shared(),
        owner,
        limits: *broker.limits(),
        time: Duration::from_secs(60),
    };
    let present: Vec<Version> = broker.index().present().cloned().collect();
    Desk::make(plan, &present, broker.sequence()).unwrap()
}

/// Publishes what has changed on a desk.
pub fn hand_in(broker: &mut Broker, desk: &mut Desk, seat: &str) -> Outcome {
    let mut asked = desk.collect(None, &mut ()).unwrap();
    asked.seat = Some(seat.to_owned());
    let outcome = one(broker, asked);
    desk.settle(&outcome);
    outcome
}

pub fn refresh(broker: &Broker, desk: &mut Desk) -> Refreshed {
    let changed: Vec<Version> = broker
        .index()
        .changed_since(desk.sequence())
        .cloned()
        .collect();
    let present = || broker.index().present().cloned().collect();
    desk.refresh(&changed, present, broker.sequence(), &mut ())
        .unwrap()
}
