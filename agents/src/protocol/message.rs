//! The messages as types. Unknown keys are errors everywhere; nothing is coerced.
//!
//! Must not know lines, bytes or limits' consequences.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the host says to an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToAgent {
    /// First message to each process; answered by `ready`.
    Hello(Box<Hello>),
    /// What the seat is shown after a step; answered by `act`.
    Observe(Observe),
    /// Something the scenario wants to know; answered by `answer`. Only for those who said in `ready` that they answer.
    Question(Box<Question>),
    /// The answer to `lease`, `publish` or `files`: one for each, in their order.
    Files(Files),
    /// Last message: the run is over for this seat.
    End(End),
}

/// What an agent says to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromAgent {
    /// The answer to `hello`.
    Ready(Ready),
    /// The answer to an `observe`.
    Act(Act),
    /// The answer to a `question`.
    Answer(Answer),
    /// A small state that the host keeps and hands back in `hello.remembered` after a restart.
    Remember(Remember),
    /// Takes, prolongs or gives back a lease on files of the shared tree; answered by `files`.
    Lease(AskLease),
    /// Publishes what the seat has changed on its desk; answered by `files`.
    Publish(AskPublish),
    /// Asks about the shared tree or the seat's desk; answered by `files`.
    Files(AskFiles),
    /// A line for the seat's log.
    Log(Log),
}

impl FromAgent {
    /// The number of a request about files, which its answer repeats.
    pub fn request_id(&self) -> Option<u64> {
        match self {
            FromAgent::Lease(ask) => ask.id,
            FromAgent::Publish(ask) => ask.id,
            FromAgent::Files(ask) => ask.id,
            _ => None,
        }
    }
}

/// First message to each process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Version of the protocol: 1.
    pub protocol: u32,
    /// Id of the run.
    pub run: String,
    /// The scenario's name and title.
    pub scenario: ScenarioName,
    /// The seat this process fills, for example `harvester-1`.
    pub seat: String,
    /// What the seat is there for, in words.
    pub role: String,
    /// The rules of the world, in words.
    pub rules: String,
    /// What the seat can do. The built-in `wait` is among them.
    pub actions: Vec<ActionSpec>,
    /// Limits on what the agent sends.
    pub limits: Limits,
    /// What the seat may be asked, at times that the host chooses.
    #[serde(default)]
    pub questions: Vec<QuestionSpec>,
    /// The shared tree and the seat's desk; absent where the seat has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesInfo>,
    /// How time passes.
    pub time: Time,
    /// What an earlier process of this seat asked the host to remember; null if nothing.
    pub remembered: Option<Value>,
    /// Where the seat stands in a run that its host has resumed; absent in one that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

/// Where a seat stands in a run that was cut off and goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resumed {
    /// The tick that is observed next; what an earlier process did for it, or later, never happened.
    pub tick: u64,
    /// How many acts of the seat the world has taken.
    pub acts: u64,
    /// The tick that the last of them answered; null if there was none.
    pub last_act: Option<u64>,
}

/// A scenario's name (its folder) and title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioName {
    /// The folder's name, for example `commons`.
    pub name: String,
    /// The title for people.
    pub title: String,
}

/// One action of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// The name to use in `act`.
    pub name: String,
    /// What it does, in words.
    pub description: String,
    /// A JSON Schema of `args`, always of an object.
    pub parameters: Value,
}

/// Something that a seat may be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionSpec {
    /// Its name, to use in `answer`.
    pub name: String,
    /// The question in words.
    pub text: String,
    /// A JSON Schema of the answer, always of an object.
    pub schema: Value,
}

/// Limits on what an agent sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Actions a tick, speech not counted.
    pub actions: u32,
    /// Utterances a tick.
    pub speech: u32,
    /// Characters of one utterance.
    pub speech_chars: u32,
    /// Characters of a `thought`; a longer one is cut.
    pub thought_chars: u32,
    /// Characters of a `log`; a longer one is cut.
    pub log_chars: u32,
    /// Bytes of a `remember` state as compact JSON.
    pub remember_bytes: u32,
    /// Bytes of a line without its newline.
    pub line_bytes: u32,
}

impl Default for Limits {
    /// One action and one utterance a tick; the other limits are those of the protocol.
    fn default() -> Self {
        Self {
            actions: 1,
            speech: 1,
            speech_chars: super::SPEECH_CHARS,
            thought_chars: super::THOUGHT_CHARS,
            log_chars: super::LOG_CHARS,
            remember_bytes: super::REMEMBER_BYTES,
            line_bytes: super::LINE_BYTES as u32,
        }
    }
}

/// The shared tree as a seat has it: a folder in its working folder, its desk, that it edits with any tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesInfo {
    /// The desk, relative to the working folder: `shared`.
    pub folder: String,
    /// When what the seat changed is published.
    pub publish: PublishWhen,
    /// Time of a lease that names none, and the longest, in milliseconds.
    pub lease_ms: u64,
    /// Files and folders that the tree may have.
    pub max_files: u64,
    /// Bytes that all of them may have.
    pub max_bytes: u64,
    /// Bytes that one may have.
    pub max_file_bytes: u64,
}

/// When what a seat changed on its desk is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PublishWhen {
    /// When it acts, and when it asks.
    OnAct,
    /// When it asks.
    Explicit,
}

/// How time passes in the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Who waits for whom.
    pub mode: TimeMode,
    /// How long the host waits for an answer at most, in milliseconds.
    pub deadline_ms: u64,
    /// Ticks a second in `realtime` and `async`; null where a tick waits for answers.
    pub hz: Option<f64>,
    /// The run's last tick; 0 = no end.
    pub ticks: u64,
    /// What each seat may think in all; absent where only the deadline counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<Bank>,
    /// What thinking costs; absent where it costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
}

/// A chess clock for each seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bank {
    /// What a seat begins with, in milliseconds.
    pub initial_ms: u64,
    /// What it gets for each answer in time, in milliseconds.
    pub increment_ms: u64,
    /// The shortest deadline, also when nothing is left, in milliseconds.
    pub min_ms: u64,
}

/// What thinking costs in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Think {
    /// What is measured.
    pub per: ThinkPer,
    /// So much of it costs a tick: the act takes effect so many ticks later.
    pub amount: u64,
    /// The most that one answer costs.
    pub max_ticks: u64,
}

/// What thinking is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThinkPer {
    /// Milliseconds from `observe` to `act`.
    Ms,
    /// Tokens that the seat's model wrote, as the model door counts them.
    Tokens,
}

/// Who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeMode {
    /// The world waits for all seats, up to the deadline.
    Lockstep,
    /// The world goes on at a fixed rate.
    Realtime,
    /// The world goes on at a fixed rate; a seat is shown it when it has answered the last time, and is never late.
    Async,
    /// The world waits for one seat at each tick, one after the other.
    Turns,
}

/// What a seat is shown after a step.
///
/// `S` is the structured state; [`Value`] when it is read back, any serialisable type when it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observe<S = Value> {
    /// Steps done so far; 0 before the first. `act` repeats it.
    pub tick: u64,
    /// How long the host waits for the answer, in milliseconds.
    pub deadline_ms: u64,
    /// What the seat's time bank has left, in milliseconds; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank_ms: Option<u64>,
    /// The observation in words.
    pub text: String,
    /// The observation as data; its fields are the scenario's.
    pub state: S,
    /// What was said within hearing since the last observation.
    pub heard: Vec<Heard>,
    /// What became of the seat's last actions, refused ones with a reason.
    pub results: Vec<ActionResult>,
}

/// One utterance that the seat heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// The seat that spoke.
    pub from: String,
    /// How it was said.
    pub how: How,
    /// The words.
    pub text: String,
    /// The tick of the step in which it was said.
    pub tick: u64,
}

/// How something was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// To all within a radius.
    Say,
    /// To one seat.
    Whisper,
    /// To all seats.
    Broadcast,
}

/// What became of one action, or of an `act` as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionResult {
    /// The action's name; null when the whole `act` is meant (`stale`, `duplicate`).
    pub action: Option<String>,
    /// Whether it was done.
    pub ok: bool,
    /// `ok`, or a short word for the reason.
    pub code: String,
    /// The reason in words; absent when `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something the scenario wants to know. It costs no action and no time of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its name. `answer` repeats it.
    pub name: String,
    /// Steps done when it is asked; the observation of that tick follows, unless the run is over. `answer` repeats it.
    pub tick: u64,
    /// The question in words.
    pub text: String,
    /// A JSON Schema of the answer, always of an object.
    pub schema: Value,
    /// What the seat came to, if the run is over and only this question is left; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Why the last answer was refused, if this is the question again; otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Last message to an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Why the run is over.
    pub reason: String,
    /// The seat's score.
    pub score: f64,
    /// Steps done.
    pub tick: u64,
}

/// The answer to `hello`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// What the agent calls itself; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it answers questions; those that do not are not asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answers: bool,
}

/// The answer to a `question`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The question's name.
    pub question: String,
    /// The question's tick.
    pub tick: u64,
    /// The answer, as the question's schema wants it; null: the seat does not answer this one.
    pub value: Option<Map<String, Value>>,
}

/// The answer to an `observe`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// The tick of the observation that is answered.
    pub tick: u64,
    /// What the seat does; at most 64. Empty and without `say`: it passes.
    #[serde(default, deserialize_with = "super::decode::objects")]
    #[schemars(length(max = 64))]
    pub actions: Vec<ActionCall>,
    /// Shorthand for one action `say` with this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    /// What the agent thinks; spectators see it, other agents do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought: Option<String>,
}

/// One action that an agent asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionCall {
    /// A name of the catalogue.
    pub name: String,
    /// Its arguments, by name.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// A small state that the host keeps for the seat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remember {
    /// Any JSON; it replaces what was kept before.
    pub state: Value,
}

/// Takes, prolongs or gives back a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskLease {
    /// The answer repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// A path of the tree; with `/**` behind it, it and all below; `**`: everything.
    pub path: String,
    /// What to do with it.
    #[serde(default, rename = "do")]
    pub what: LeaseWhat,
    /// For how long from now, in milliseconds; absent: as long as a lease may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// The agent will ask again within so many milliseconds (at most 60,000) while another holds it: until then it is
    /// shown as waiting, and a row of such requests is one refusal. Absent: it will not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_ms: Option<u64>,
}

/// What to do with a lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseWhat {
    /// Take it; one's own is prolonged.
    #[default]
    Take,
    /// Prolong it; one that is not held any more is not taken anew.
    Renew,
    /// Give it back.
    Release,
}

/// Publishes what has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskPublish {
    /// The answer repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Only these, and what lies below them; empty: all that has changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub paths: Vec<String>,
}

/// Asks about the shared tree or the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskFiles {
    /// The answer repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What is asked.
    #[serde(rename = "do")]
    pub what: FilesWhat,
    /// The path, for `log`, `show`, `take` and `resolve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The version of the path: for `show`, absent the newest; for `resolve` the one that the seat has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What is asked about the shared tree or the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilesWhat {
    /// What the seat changed, what others changed too, and the leases.
    Status,
    /// The leases that are held.
    Leases,
    /// The versions of a path.
    Log,
    /// The content of a version.
    Show,
    /// Bring what others published onto the desk now.
    Refresh,
    /// Give up what the seat has at a path for what stands in the shared tree.
    Take,
    /// What the seat has at a path follows `version`: it has brought both together.
    Resolve,
}

/// The answer to `lease`, `publish` and `files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Of what is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Whether it was done.
    pub ok: bool,
    /// For people and models: what became of it; if it was refused, why, and what to do.
    pub text: String,
    /// The same for programs; its fields depend on what was asked. `code` says in a word why it was refused.
    pub data: Value,
}

/// A line for the seat's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The line.
    pub text: String,
}
