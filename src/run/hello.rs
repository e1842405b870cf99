//! What an agent is told when it starts: its seat, the rules in words, its actions and limits, and
//! what an earlier process of the seat asked to remember.

use std::collections::BTreeMap;
use std::sync::Arc;

use formicarium_agents::protocol::{
    self, ActionSpec, FilesInfo, Hello, QuestionSpec, ScenarioName, Time, ToAgent,
};
use formicarium_engine::SeatInfo;
use serde_json::Value;

use super::Timing;
use super::catalogue::Catalogue;
use super::door::Limits;

/// Makes the `hello` and `end` lines.
#[derive(Debug)]
pub struct Greeter {
    run: String,
    scenario: ScenarioName,
    rules: String,
    actions: Vec<ActionSpec>,
    limits: protocol::Limits,
    time: Time,
    seats: Vec<SeatInfo>,
    /// The shared files, and which seats have a desk.
    files: (Option<FilesInfo>, Vec<bool>),
    remembered: BTreeMap<usize, Value>,
    /// Where each seat stands in a run that goes on; empty in one that begins.
    resumed: Vec<protocol::Resumed>,
}

impl Greeter {
    /// Gathers what is the same for all seats.
    pub(super) fn new(
        run: &str,
        scenario: ScenarioName,
        rules: String,
        catalogue: &Catalogue,
        limits: Limits,
        timing: &Timing,
        seats: Vec<SeatInfo>,
    ) -> Greeter {
        let actions = catalogue
            .to_json()
            .into_iter()
            .map(|(name, description, parameters)| ActionSpec {
                name,
                description,
                parameters,
            })
            .collect();
        let limits = protocol::Limits {
            actions: limits.actions,
            speech: limits.speech,
            ..protocol::Limits::default()
        };
        Greeter {
            run: run.to_owned(),
            scenario,
            rules,
            actions,
            limits,
            time: timing.hello(),
            seats,
            files: (None, Vec::new()),
            remembered: BTreeMap::new(),
            resumed: Vec::new(),
        }
    }

    /// Tells the seats with a desk of the shared files.
    pub(super) fn share(&mut self, files: FilesInfo, desks: Vec<bool>) {
        self.files = (Some(files), desks);
    }

    /// Keeps what a seat asked to remember, for its next process.
    pub fn remember(&mut self, seat: usize, state: Value) {
        self.remembered.insert(seat, state);
    }

    /// The run goes on: says where each seat stands.
    pub(super) fn resume(&mut self, seats: Vec<protocol::Resumed>) {
        self.resumed = seats;
    }

    /// The `hello` line of a seat; `questions` are those that it may be asked.
    pub fn line(&self, seat: usize, questions: Vec<QuestionSpec>) -> Arc<[u8]> {
        protocol::encode(&ToAgent::Hello(Box::new(self.hello(seat, questions)))).into()
    }

    /// What a seat is told first.
    pub fn hello(&self, seat: usize, questions: Vec<QuestionSpec>) -> Hello {
        let info = &self.seats[seat];
        Hello {
            protocol: protocol::PROTOCOL,
            run: self.run.clone(),
            scenario: self.scenario.clone(),
            seat: info.name.clone(),
            role: info.role.clone(),
            rules: self.rules.clone(),
            actions: self.actions.clone(),
            limits: self.limits,
            questions,
            files: self
                .files
                .0
                .clone()
                .filter(|_| self.files.1.get(seat) == Some(&true)),
            time: self.time,
            remembered: self.remembered.get(&seat).cloned(),
            resumed: self.resumed.get(seat).copied(),
        }
    }
}
