//! The escape suite: attacks of one seat on another, on the shared tree and on the host, run by real processes.
//!
//! A table of contents. Levels of isolation come in by [`Confine`], and what they cannot hold by [`Exception`]; only
//! `product` knows the product's own. docs/escape-suite.md says how to read a report and how to add a case.
//!
//! * `case`, `effect`, `stage`: what a case is, how it is judged from inside, what an attacker knows
//! * `control`: what a seat must be able to do
//! * `files`, `tools`, `names`, `stale`, `processes`, `peek`, `ipc`, `network`, `sockets`, `resources`: the cases
//! * `confine`: the seam to a level of isolation; `product`: the product's own levels, and what they do not hold
//! * `run`, `scene`, `others`, `outside`, `report`: the runner, its folders and processes, what it compares, its result

mod case;
mod confine;
mod control;
mod effect;
mod files;
mod ipc;
mod names;
mod network;
mod others;
mod outside;
mod peek;
mod processes;
mod product;
mod report;
mod resources;
mod run;
mod scene;
mod sockets;
mod stage;
mod stale;
mod sys;
mod tools;

pub use case::{Case, Outcome};
pub use confine::{ByUid, Confine, Role, Unconfined};
pub use product::{EXCEPTIONS, Isolated};
pub use report::{Exception, Report, Row, Verdict};
pub use run::{Suite, SuiteError};
pub use stage::{Host, LIMITS, Limits, Stage, Victim};

/// All cases, in the order of the documentation.
pub fn cases() -> Vec<Case> {
    [
        control::CASES,
        files::CASES,
        tools::CASES,
        names::CASES,
        stale::CASES,
        processes::CASES,
        peek::CASES,
        ipc::CASES,
        network::CASES,
        sockets::CASES,
        resources::CASES,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    /// Reports and exceptions refer to cases by name.
    #[test]
    fn names_are_unique_and_documented() {
        let page = include_str!("../../../docs/escape-suite.md");
        let mut seen = std::collections::BTreeSet::new();
        let mut lacking = String::new();
        for case in super::cases() {
            assert!(seen.insert(case.name), "{} stands twice", case.name);
            let line = format!("| `{}` | {} |\n", case.name, case.tries);
            if !page.contains(&line) {
                lacking += &line;
            }
        }
        assert!(lacking.is_empty(), "docs/escape-suite.md lacks:\n{lacking}");
        let (_, table) = page.split_once("## Cases").expect("the page has its list");
        let documented = table.lines().filter(|l| l.starts_with("| `")).count();
        assert_eq!(
            documented,
            seen.len(),
            "docs/escape-suite.md has cases that are no more"
        );
    }
}
