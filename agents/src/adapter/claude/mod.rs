//! The adapter for Claude Code: stream-json with the control channel, the host as the seat's MCP server in that pipe.
//!
//! A pure machine. One turn of the program may span many ticks: the result of the call that answers a tick is held
//! until the tick is closed, and carries the next observation. A message is never sent in the middle of a turn. Facts
//! about the program: docs/design/claude.md.

mod launch;
pub mod session;
mod wire;

pub(super) use launch::advice;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::wire::{Ask, Block, Line, TurnResult, Usage};
use super::lines::{Lines, Piece};
use super::{Adapter, Launch, Output};
use crate::event::{Blame, Cost, Fault, FaultKind, Transcript, TranscriptKind};
use crate::mcp::files::Waiting;
use crate::mcp::play::{Answer, Play};
use crate::mcp::rpc::{self, Todo};
use crate::mcp::tools::Tools;
use crate::plan::{ClaudePlan, Turn};
use crate::protocol::{FromAgent, Hello, Ready, ToAgent, excerpt};
use crate::workspace::Workspace;

/// Longest line of the program: a model's longest answer, escaped, and room.
const LINE_BYTES: usize = 32 << 20;
/// Characters of a transcript's words for people.
const WORDS: usize = 2000;
/// After an interrupt the program has so long to end its turn, in milliseconds.
const INTERRUPT_MS: u64 = 10_000;
/// Versions that were tested: from the first, up to the second without it.
const TESTED: [(u64, u64); 2] = [(2, 1), (2, 2)];

const INITIALIZE: &str = "initialize";
/// Said to a call that a newer one takes the place of.
const TOO_MANY: &str = "too many calls at once; wait for their answers";

/// A call of a tool whose answer waits for the next observation, or for the broker.
#[derive(Debug)]
struct Held {
    request: String,
    call: Value,
}

/// Where the program's turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not greeted, or the greeting not answered.
    Greeting,
    /// Waits for a message.
    Idle,
    /// In a turn.
    Running,
    /// In a turn that was interrupted for being silent.
    Interrupted,
}

/// The talk with one seat's Claude Code.
#[derive(Debug)]
pub struct Claude {
    plan: ClaudePlan,
    lines: Lines,
    state: State,
    hello: Option<Box<Hello>>,
    tools: Tools,
    play: Play,
    held: Option<Held>,
    /// Calls that wait for the broker.
    waiting: Waiting<Held>,
    /// The program keeps a session under the plan's id: a new process resumes it.
    has_session: bool,
    is_greeted: bool,
    over: bool,
    /// Totals of this process that have been told.
    told: BTreeMap<String, Usage>,
    version_seen: bool,
    in_retry: bool,
    requests: u64,
}

impl Claude {
    /// A seat before its first process.
    pub fn new(plan: ClaudePlan) -> Self {
        Self {
            has_session: plan.has_session,
            plan,
            lines: Lines::new(LINE_BYTES),
            state: State::Greeting,
            hello: None,
            tools: Tools::default(),
            play: Play::default(),
            held: None,
            waiting: Waiting::default(),
            is_greeted: false,
            over: false,
            told: BTreeMap::new(),
            version_seen: false,
            in_retry: false,
            requests: 0,
        }
    }

    fn request(&mut self, request: &Value, out: &mut dyn FnMut(Output)) {
        self.requests += 1;
        let id = format!("host-{}", self.requests);
        out(Output::Line(wire::request(&id, request)));
    }

    fn fault(kind: FaultKind, blame: Blame, detail: String, out: &mut dyn FnMut(Output)) {
        out(Output::Fault(Fault::new(kind, blame, detail)));
    }

    /// Sets the alarm for a silent turn, or takes it away while nothing is waited for.
    fn watch(&self, out: &mut dyn FnMut(Output)) {
        let ms = match self.state {
            State::Running if self.held.is_none() => Some(self.plan.stall_ms),
            State::Interrupted => Some(INTERRUPT_MS),
            _ => None,
        };
        out(Output::Alarm(ms));
    }

    /// Begins a turn with the present observation.
    fn begin_turn(&mut self, out: &mut dyn FnMut(Output)) {
        let mut text = String::new();
        if !std::mem::replace(&mut self.is_greeted, true)
            && let Some(hello) = &self.hello
        {
            text = launch::greeting(hello, self.plan.system.is_some());
        }
        text += &self.play.show();
        self.state = State::Running;
        out(Output::Line(wire::message(&text)));
    }

    fn line(&mut self, bytes: &[u8], out: &mut dyn FnMut(Output)) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let line = match wire::read(bytes) {
            Ok(line) => line,
            Err(error) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                let detail = format!(
                    "a line of the agent's program is not JSON ({error}): {shown:?}; it was dropped; if it comes again, try \
                     another version of the program"
                );
                Self::fault(FaultKind::Garbage, Blame::Agent, detail, out);
                return;
            }
        };
        self.transcribe(&line, bytes, out);
        match line {
            Line::Init { version, servers } => self.begun(&version, &servers, out),
            Line::Retry {
                attempt,
                most,
                status,
            } => {
                if !std::mem::replace(&mut self.in_retry, true) {
                    let detail = format!(
                        "the model answered {status} (attempt {attempt} of {most}; the program tries again by itself); {}",
                        launch::advice(&status)
                    );
                    Self::fault(FaultKind::ModelError, Blame::Machine, detail, out);
                }
            }
            Line::Assistant(blocks) => {
                self.in_retry = false;
                for block in blocks {
                    if let Block::Text(words) | Block::Thinking(words) = block {
                        self.play.think(&words);
                    }
                }
            }
            Line::Result(result) => self.turn_over(result, out),
            Line::Asks { id, what } => self.asked(id, what, out),
            Line::Answers { id, error } if id == INITIALIZE => match error {
                None => {
                    self.state = State::Idle;
                    let name = Some("Claude Code".to_owned());
                    out(Output::Message(FromAgent::Ready(Ready {
                        name,
                        answers: true,
                    })));
                }
                Some(error) => out(Output::GiveUp(Fault::new(
                    FaultKind::SpawnFailed,
                    Blame::Agent,
                    format!(
                        "Claude Code refused to begin: {error}; is its version one that was tested?"
                    ),
                ))),
            },
            Line::Answers { .. } | Line::ToolResults(_) | Line::Other => {}
        }
        self.watch(out);
    }

    fn begun(&mut self, version: &str, servers: &[(String, String)], out: &mut dyn FnMut(Output)) {
        self.has_session = true;
        if let Some((name, status)) = servers.iter().find(|(_, status)| status != "connected") {
            let detail =
                format!("its tool server {name:?} is {status}: it cannot act; start the run again");
            Self::fault(FaultKind::ModelError, Blame::Agent, detail, out);
        }
        if std::mem::replace(&mut self.version_seen, true) {
            return;
        }
        let mut numbers = version
            .split('.')
            .map(|part| part.parse::<u64>().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if found < TESTED[0] || found >= TESTED[1] {
            let detail = format!(
                "Claude Code {version} is outside the tested range {}.{} to below {}.{}: it may behave differently; install a \
                 tested version (make agents)",
                TESTED[0].0, TESTED[0].1, TESTED[1].0, TESTED[1].1
            );
            Self::fault(FaultKind::UntestedVersion, Blame::Machine, detail, out);
        }
    }

    fn turn_over(&mut self, result: TurnResult, out: &mut dyn FnMut(Output)) {
        self.held = None;
        self.waiting = Waiting::default();
        self.in_retry = false;
        let was_interrupted = self.state == State::Interrupted;
        self.state = State::Idle;
        for (model, now) in result.usage {
            let before = self.told.insert(model.clone(), now).unwrap_or_default();
            let cost = Cost {
                model,
                input_tokens: now.input.saturating_sub(before.input),
                output_tokens: now.output.saturating_sub(before.output),
                cache_read_tokens: now.cache_read.saturating_sub(before.cache_read),
                cache_write_tokens: now.cache_write.saturating_sub(before.cache_write),
                usd: (now.usd - before.usd).max(0.0),
            };
            if now != before {
                out(Output::Cost(cost));
            }
        }
        let full = result.subtype == "error_max_turns";
        let failed = result.is_error && !full && !was_interrupted;
        if failed {
            let status = result
                .status
                .map_or(String::new(), |status| format!("{status} "));
            let detail = format!(
                "its turn ended in an error ({}): {status}{}; it passes this tick and tries again with the next; {}",
                result.subtype,
                excerpt(result.words.trim(), 200),
                launch::advice(&format!("{status}{}", result.words))
            );
            Self::fault(FaultKind::ModelError, Blame::Machine, detail, out);
        } else if result.stop_reason == "refusal" {
            let detail = format!(
                "the model refused to answer: {}; look at the scenario's prompts",
                excerpt(result.words.trim(), 200)
            );
            Self::fault(FaultKind::ModelError, Blame::Agent, detail, out);
        }
        if self.over {
            return;
        }
        // What it has not seen yet, or not to the end, it sees now; what it has seen it has passed on.
        let goes_on = self.play.has_news() || (full && self.play.is_open());
        if !failed && !was_interrupted && goes_on {
            self.begin_turn(out);
        } else {
            let mut say = |message| out(Output::Message(message));
            self.play.close(&mut say);
            self.play.decline(&mut say);
        }
    }

    fn asked(&mut self, id: String, what: Ask, out: &mut dyn FnMut(Output)) {
        match what {
            Ask::Permission { tool, input } => {
                let allowed = launch::may_use(&self.plan, &tool);
                let answer = match allowed {
                    true => json!({"behavior": "allow", "updatedInput": input}),
                    false => json!({"behavior": "deny",
                        "message": format!("{tool} is not allowed for this seat; go on without it")}),
                };
                out(Output::Line(wire::answer(&id, &answer)));
            }
            Ask::Unknown(what) => {
                let why = format!("this host does not know the request {what:?}");
                out(Output::Line(wire::refuse(&id, &why)));
            }
            Ask::Mcp(request) => {
                let call = request.id.clone().unwrap_or(Value::Null);
                let reply = match rpc::read(&request, &self.tools.list()) {
                    Todo::Nothing => json!({"jsonrpc": "2.0", "result": {}}),
                    Todo::Reply(result) => rpc::reply(&call, result),
                    Todo::Fail(code, words) => rpc::failure(&call, code, &words),
                    Todo::Call { name, args } => {
                        let answer = match self.tools.read(&name, args) {
                            Err(why) => Answer::Refused(why),
                            Ok(asked) => self
                                .play
                                .call(asked, &mut |message| out(Output::Message(message))),
                        };
                        match answer {
                            Answer::Now(text) => rpc::reply(&call, rpc::tool_result(&text, false)),
                            Answer::Refused(why) => rpc::reply(&call, rpc::tool_result(&why, true)),
                            Answer::Hold if self.plan.turn == Turn::PerTick => {
                                let text = "Done. Your tick is over: end your turn now; the next observation comes as a message.";
                                rpc::reply(&call, rpc::tool_result(text, false))
                            }
                            Answer::Hold => {
                                self.held = Some(Held { request: id, call });
                                return;
                            }
                            Answer::Later(number) => {
                                if let Some(forgotten) =
                                    self.waiting.add(number, Held { request: id, call })
                                {
                                    answer_call(&forgotten, TOO_MANY, true, out);
                                }
                                return;
                            }
                        }
                    }
                };
                out(Output::Line(wire::answer(
                    &id,
                    &json!({"mcp_response": reply}),
                )));
            }
        }
    }

    /// Answers the call that is held.
    fn release(&mut self, text: &str, out: &mut dyn FnMut(Output)) -> bool {
        let held = self.held.take();
        held.is_some_and(|held| {
            answer_call(&held, text, false, out);
            true
        })
    }

    fn transcribe(&self, line: &Line, bytes: &[u8], out: &mut dyn FnMut(Output)) {
        let (kind, words) = match line {
            // The channel between program and host is no part of the conversation.
            Line::Asks { .. } | Line::Answers { .. } => return,
            Line::Assistant(blocks) => match blocks.first() {
                Some(Block::Text(words)) => (TranscriptKind::Text, words.clone()),
                Some(Block::Thinking(words)) => (TranscriptKind::Thinking, words.clone()),
                Some(Block::ToolCall { name, input }) => {
                    let name = name.trim_start_matches("mcp__world__");
                    (TranscriptKind::ToolCall, format!("{name} {input}"))
                }
                None => (TranscriptKind::Other, String::new()),
            },
            Line::ToolResults(words) => (TranscriptKind::ToolResult, words.clone()),
            Line::Result(result) => (TranscriptKind::Result, result.subtype.clone()),
            Line::Init { .. } | Line::Retry { .. } | Line::Other => {
                (TranscriptKind::Other, String::new())
            }
        };
        out(Output::Transcript(Transcript {
            kind,
            text: excerpt(&words, WORDS).into_owned(),
            line: String::from_utf8_lossy(bytes).into_owned(),
        }));
    }
}

/// Answers a call of a tool.
fn answer_call(held: &Held, text: &str, refused: bool, out: &mut dyn FnMut(Output)) {
    let reply = rpc::reply(&held.call, rpc::tool_result(text, refused));
    let answer = json!({"mcp_response": reply});
    out(Output::Line(wire::answer(&held.request, &answer)));
}

impl Adapter for Claude {
    fn start(&mut self, at: &Workspace) -> Launch {
        self.lines = Lines::new(LINE_BYTES);
        self.state = State::Greeting;
        self.held = None;
        self.waiting = Waiting::default();
        self.told.clear();
        self.in_retry = false;
        launch::launch(&self.plan, self.has_session, at)
    }

    fn read(&mut self, bytes: &[u8], out: &mut dyn FnMut(Output)) {
        // Out of the way while lines are taken, since they change everything else.
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.read(bytes, |piece| match piece {
            Piece::Line(line) => self.line(line, out),
            Piece::TooLong => {
                let detail = format!("a line of the agent's program is longer than {LINE_BYTES} bytes and was skipped");
                Self::fault(FaultKind::TooLong, Blame::Agent, detail, out);
            }
        });
        self.lines = lines;
    }

    fn end(&mut self, out: &mut dyn FnMut(Output)) {
        self.lines.end();
        out(Output::Alarm(None));
    }

    fn tell(&mut self, message: ToAgent, out: &mut dyn FnMut(Output)) {
        match message {
            ToAgent::Hello(hello) => {
                self.tools = Tools::new(&hello);
                self.play = Play::new(&hello);
                let request = launch::initialize(&self.plan);
                out(Output::Line(wire::request(INITIALIZE, &request)));
                self.hello = Some(hello);
            }
            ToAgent::Observe(observe) => {
                self.play.observe(observe);
                if self.held.is_some() {
                    let text = self.play.show();
                    self.release(&text, out);
                } else if self.state == State::Idle {
                    self.begin_turn(out);
                }
            }
            ToAgent::Question(question) => {
                let is_last = question.end.is_some();
                self.play.ask(*question);
                // One that belongs to a tick is shown with its observation, which follows.
                if is_last && self.held.is_some() {
                    let text = self.play.show();
                    self.release(&text, out);
                } else if is_last && self.state == State::Idle {
                    self.begin_turn(out);
                }
            }
            ToAgent::Files(files) => {
                if let Some(call) = self.waiting.take(files.id) {
                    answer_call(&call, &files.text, !files.ok, out);
                }
            }
            ToAgent::End(end) => {
                self.over = true;
                // Nobody pays for words that nobody can act on: the turn ends before the held call is answered.
                if self.state == State::Running {
                    self.request(&json!({"subtype": "interrupt"}), out);
                    let text = format!(
                        "The run is over: {}. Your score: {}.",
                        end.reason, end.score
                    );
                    self.release(&text, out);
                }
            }
        }
        self.watch(out);
    }

    fn alarm(&mut self, out: &mut dyn FnMut(Output)) {
        match self.state {
            State::Running if self.held.is_none() => {
                self.state = State::Interrupted;
                let detail = format!(
                    "its turn was silent for {} ms and was interrupted; the model or the way to it is slow; it passes this tick",
                    self.plan.stall_ms
                );
                Self::fault(FaultKind::Stalled, Blame::Machine, detail, out);
                self.request(&json!({"subtype": "interrupt"}), out);
                self.play
                    .close(&mut |message| out(Output::Message(message)));
                self.watch(out);
            }
            State::Interrupted => {
                let detail =
                    "it did not end its turn after an interrupt; its process is ended".to_owned();
                out(Output::GiveUp(Fault::new(
                    FaultKind::Stalled,
                    Blame::Agent,
                    detail,
                )));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
