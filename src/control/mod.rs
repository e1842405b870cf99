//! The control door: what whoever runs the host may ask of a run while it runs (docs/control.md).
//!
//! Here are the words: requests, answers, and the channel between the HTTP side (`http`) and the tick loop, which alone
//! does what is asked. `pass` holds the token and the file by which local tools find both. Must not know the world.

pub mod http;
pub mod pass;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the tick loop; who comes later waits in the HTTP side.
const QUEUE: usize = 16;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// How the run stands.
    Status,
    /// Tell a seat something.
    Say(Say),
    /// Another value of a parameter.
    Set(Set),
    /// Another agent on a seat.
    Swap(Swap),
    /// Make no tick until told to.
    Pause,
    /// Make ticks again.
    Resume,
    /// Make some ticks, then pause again.
    Step(Step),
}

/// The body of `say`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// The seat's name.
    pub seat: String,
    /// What its agent reads.
    pub text: String,
}

/// The body of `set`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The parameter's name.
    pub name: String,
    /// Its value, as text.
    pub value: String,
}

/// The body of `swap`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// The seat's name.
    pub seat: String,
    /// Who, as `--agent` takes it after the `=`.
    pub agent: String,
}

/// The body of `step`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How many ticks, from 1.
    #[serde(default = "one")]
    pub ticks: u64,
}

fn one() -> u64 {
    1
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What is named is not there.
    Unknown(String),
    /// It does not go together with how the run stands.
    Conflict(String),
    /// The value cannot be taken.
    Invalid(String),
}

/// What comes of a request.
pub type Answer = Result<Value, Refusal>;

/// One request, and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes; nobody may wait there any more.
    pub answer: oneshot::Sender<Answer>,
}

/// The two ends of the channel between the HTTP side and the tick loop.
pub fn channel() -> (mpsc::Sender<Request>, mpsc::Receiver<Request>) {
    mpsc::channel(QUEUE)
}
