//! Agent protocol 1: the typed messages, their JSON Lines form and the limits of both.
//!
//! Must not know processes, pipes or the world. The same thing in words: `docs/agent-protocol.md`.

mod answer;
mod decode;
mod message;
mod schema;

pub use answer::check_answer;
pub(crate) use decode::excerpt;
pub use decode::{DecodeError, DecodeErrorKind, decode_from_agent, decode_to_agent, encode};
pub use message::{
    Act, ActionCall, ActionResult, ActionSpec, Answer, AskFiles, AskLease, AskPublish, Bank, End,
    Files, FilesInfo, FilesWhat, FromAgent, Heard, Hello, How, LeaseWhat, Limits, Log, Observe,
    PublishWhen, Question, QuestionSpec, Ready, Remember, Resumed, ScenarioName, Think, ThinkPer,
    Time, TimeMode, ToAgent,
};
pub use schema::schema;

/// The version of the protocol, as it stands in `hello`.
pub const PROTOCOL: u32 = 1;
/// Longest line without its newline, in bytes (1 MiB). A longer one is skipped to its newline.
pub const LINE_BYTES: usize = 1_048_576;
/// Longest speech, in characters (Unicode scalar values).
pub const SPEECH_CHARS: u32 = 500;
/// Longest `thought`, in characters. A longer one is cut.
pub const THOUGHT_CHARS: u32 = 2000;
/// Longest `log`, in characters. A longer one is cut.
pub const LOG_CHARS: u32 = 2000;
/// Largest `remember` state, in bytes of compact JSON.
pub const REMEMBER_BYTES: u32 = 16_384;
/// Largest `answer`, in bytes of compact JSON.
pub const ANSWER_BYTES: usize = 16_384;
/// Most paths that one `publish` may name.
pub const PATHS_PER_PUBLISH: usize = 1000;
/// Longest text of a `files` answer in bytes. A longer content is cut, and says so.
pub const FILES_TEXT_BYTES: usize = 262_144;
/// Most messages a seat may send between two observations. The rest is dropped.
pub const MESSAGES_PER_TICK: u32 = 64;
/// Most bytes that an agent may write between two observations, as if each message were as long as it may be.
pub const BYTES_PER_TICK: u64 = MESSAGES_PER_TICK as u64 * LINE_BYTES as u64;
/// Most actions in one `act`, whatever the scenario's own limit. More are no message of the protocol.
pub const ACTIONS_PER_ACT: usize = 64;
