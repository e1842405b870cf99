//! What a case of the escape suite is: a name, what is tried, and how.
//!
//! Must not know levels of isolation, nor what they are expected to hold.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::stage::Stage;
use super::{effect, tools};

/// What became of one attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "how")]
pub enum Outcome {
    /// It was stopped: by what (`EACCES`, the last line of a tool).
    Held(String),
    /// It had an effect: which.
    Escaped(String),
    /// It could not be tried: a program or a feature of the kernel is missing.
    Skipped(String),
    /// A seat cannot do what it must be able to do: a level that stops everything holds nothing.
    Broken(String),
}

impl Outcome {
    /// Of a try whose success is the escape.
    pub(super) fn of(tried: Result<String, Errno>) -> Self {
        match tried {
            Ok(what) => Self::Escaped(what),
            Err(errno) => Self::Held(format!("{errno:?}")),
        }
    }
}

/// How an attack is made. What it changes is judged by the effect, from inside and from outside.
#[derive(Clone, Copy)]
pub(super) enum Attack {
    /// Judges itself.
    Free(fn(&Stage) -> Outcome),
    /// Tries to change each foreign file.
    File(fn(&Stage, &Path) -> Result<(), Errno>),
    /// Tries to change each foreign folder.
    Folder(fn(&Stage, &Path) -> Result<(), Errno>),
    /// Tries to get something of each foreign file that shows in no content: `Ok` is an escape.
    Gain(fn(&Stage, &Path) -> Result<String, Errno>),
    /// Tries to reach the victim's process and the host's: `Ok` is an escape.
    Process(fn(&Stage, Pid) -> Result<String, Errno>),
    /// What a seat must be able to do; says what worked.
    Control(fn(&Stage) -> Result<String, Errno>),
    /// A shell script with a program that must be there; `$T` is a foreign file, `$D` its folder.
    Tool(&'static str, &'static str),
    /// The same, to bring the content of the other seat's file `$T` into `loot`.
    Loot(&'static str, &'static str),
}

/// What a case needs besides the stage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// The host replaces a file over and over while the attack runs.
    Churn,
    /// Proof from inside that the suite's own runner cannot be reached: the attack would end whatever it reaches.
    Distance,
}

/// One attack of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Stable: reports, exceptions and documents refer to it.
    pub name: &'static str,
    /// One sentence.
    pub tries: &'static str,
    pub(super) attack: Attack,
    pub(super) needs: Needs,
}

impl Case {
    pub(super) const fn new(name: &'static str, tries: &'static str, attack: Attack) -> Self {
        let needs = Needs::Nothing;
        Self {
            name,
            tries,
            attack,
            needs,
        }
    }

    pub(super) const fn with(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Runs the attack in this process, which must be a seat's already.
    pub(super) fn run(&self, stage: &Stage) -> Outcome {
        match self.attack {
            Attack::Free(attack) => attack(stage),
            Attack::File(attack) => effect::change(stage, &stage.foreign_files(), attack),
            Attack::Folder(attack) => effect::change(stage, &stage.foreign_folders(), attack),
            Attack::Gain(attack) => {
                effect::first(stage.foreign_files().iter().map(|f| attack(stage, f)))
            }
            Attack::Process(attack) => {
                let others = [stage.victim.pid, stage.host.pid].map(Pid::from_raw);
                effect::first(others.into_iter().map(|pid| attack(stage, pid)))
            }
            Attack::Control(works) => match works(stage) {
                Ok(what) => Outcome::Held(what),
                Err(errno) => Outcome::Broken(format!("a seat must be able to do this: {errno:?}")),
            },
            Attack::Tool(program, script) => tools::change(stage, program, script),
            Attack::Loot(program, script) => tools::loot(stage, program, script),
        }
    }
}
