//! How the suite turns a forked process into one of its roles: the seam between attacks and levels of isolation.
//!
//! Must not know single attacks.

use nix::unistd::{Gid, Pid, Uid};

use super::stage::Stage;
use super::sys;
use crate::isolation::{self, Owner};
use crate::process::tree;

/// Who a process of the suite plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The attacking seat.
    Attacker,
    /// The other seat.
    Victim,
    /// The host's stand-in.
    Host,
}

/// A level of isolation, as the suite sees it.
pub trait Confine {
    /// The level's name, to which exceptions refer.
    fn level(&self) -> &str;

    /// Whom the files of a role belong to.
    fn owner(&self, role: Role) -> (Uid, Gid);

    /// Makes this forked process, which has one thread, into the role. Descriptor 3 is the report and must stay open;
    /// the attacker must not keep any above it.
    ///
    /// # Errors
    /// What could not be applied; the case then fails.
    fn enter(&self, role: Role, stage: &Stage) -> Result<(), String>;

    /// Ends the attacker and all it has started, as the level does when a seat is over; whatever lives on is an escape. `others` are processes of the suite that must live.
    fn end(&self, attacker: Pid, others: &[Pid]) {
        end_tree(attacker, others);
    }
}

/// Separate users and limits of resources, and nothing else: what the kernel holds by itself. For tests of the suite.
pub struct ByUid {
    /// User and group of the attacker.
    pub attacker: u32,
    /// User and group of the victim.
    pub victim: u32,
}

impl Confine for ByUid {
    fn level(&self) -> &str {
        "uid-only"
    }

    fn owner(&self, role: Role) -> (Uid, Gid) {
        let id = match role {
            Role::Attacker => self.attacker,
            Role::Victim => self.victim,
            Role::Host => return (Uid::current(), Gid::current()),
        };
        (Uid::from_raw(id), Gid::from_raw(id))
    }

    fn enter(&self, role: Role, stage: &Stage) -> Result<(), String> {
        if role == Role::Host {
            return Ok(());
        }
        become_user(self.owner(role))?;
        sys::call!(
            nix::libc::SYS_prctl,
            nix::libc::PR_SET_NO_NEW_PRIVS,
            1,
            0,
            0,
            0
        )
        .map_err(|e| format!("cannot set no_new_privs: {e}"))?;
        if role == Role::Attacker {
            isolation::limit(&stage.limits.rlimits())
                .map_err(|e| format!("cannot set limits: {e}"))?;
            crate::sys::close_from(4);
        }
        Ok(())
    }
}

/// No confinement: attacker, victim and host are one user without privileges. Shows that the attacks work.
pub struct Unconfined {
    /// The user and group of all.
    pub everybody: u32,
}

impl Confine for Unconfined {
    fn level(&self) -> &str {
        "none"
    }

    fn owner(&self, _: Role) -> (Uid, Gid) {
        (Uid::from_raw(self.everybody), Gid::from_raw(self.everybody))
    }

    fn enter(&self, role: Role, _: &Stage) -> Result<(), String> {
        become_user(self.owner(role))
    }

    /// Like a host without keepers: kills the one process that it knows.
    fn end(&self, attacker: Pid, _: &[Pid]) {
        let _ = nix::sys::signal::kill(attacker, nix::sys::signal::Signal::SIGKILL);
    }
}

fn become_user((uid, gid): (Uid, Gid)) -> Result<(), String> {
    let owner = Owner {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
    };
    isolation::become_owner(owner)
        .map_err(|e| format!("cannot become user {uid}: {e}; run the suite as root"))
}

/// Ends the attacker and all it has started, by the tree.
pub(super) fn end_tree(attacker: Pid, others: &[Pid]) {
    let mut roots = vec![attacker];
    // Daemons fall to the runner, which is a subreaper.
    roots.extend(tree::children_of(Pid::this()));
    roots.retain(|pid| !others.contains(pid));
    tree::kill_all(&roots);
}
