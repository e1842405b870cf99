//! The adapter for any agent that speaks the Agent Client Protocol on its standard streams.
//!
//! A pure machine. One prompt may span many ticks: the seat acts through the host's MCP server, which reaches the agent
//! as a bridge to a socket; the call that answers a tick is held until the tick is closed, and carries the next
//! observation. The host offers the agent no files and no terminals, and answers its requests for permission by the
//! plan. What was measured, and ways not taken: docs/design/acp.md.

mod open;
mod policy;
mod talk;
#[cfg(test)]
mod tests;
mod turn;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use self::talk::Talk;
use self::turn::Next;
use self::wire::{Ask, Failure, Line, Update};
use super::claude::advice;
use super::lines::{Lines, Piece};
use super::{Adapter, Launch, Output};
use crate::event::{Blame, Fault, FaultKind, Transcript, TranscriptKind};
use crate::mcp::files::Waiting;
use crate::mcp::play::{Answer, Play};
use crate::mcp::rpc::{self, Todo};
use crate::mcp::socket;
use crate::mcp::tools::Tools;
use crate::plan::AcpPlan;
use crate::protocol::{Hello, ToAgent, excerpt};
use crate::workspace::Workspace;

/// Longest line of the agent: a file that it shows, escaped, and room.
const LINE_BYTES: usize = 32 << 20;
/// After `session/cancel` the agent has so long to end its turn, in milliseconds.
const CANCEL_MS: u64 = 10_000;
/// Lines that are no JSON-RPC and are told of; some programs talk on their output.
const GARBAGE_TOLD: u32 = 3;
/// What the host has asked and not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Initialize,
    New,
    Load,
    Mode,
    Prompt,
}

/// Where the agent's turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not greeted, or without a session yet.
    Opening,
    /// Waits for a prompt.
    Idle,
    /// In a turn.
    Running,
    /// In a turn that was cancelled for being silent.
    Cancelled,
}

/// A call of a tool whose answer waits for the next observation, or for the broker.
#[derive(Debug, PartialEq)]
struct Held {
    connection: u32,
    call: Value,
}

/// The talk with one seat's ACP agent.
#[derive(Debug)]
pub struct Acp {
    plan: AcpPlan,
    lines: Lines,
    state: State,
    hello: Option<Box<Hello>>,
    tools: Tools,
    play: Play,
    talk: Talk,
    held: Option<Held>,
    /// Calls that wait for the broker.
    waiting: Waiting<Held>,
    asked: BTreeMap<u64, Asked>,
    requests: u64,
    /// Where the agent works, and the socket of its tools.
    cwd: PathBuf,
    socket: PathBuf,
    /// The agent's name, from its answer to `initialize`.
    name: String,
    /// The agent keeps the session and can load it again.
    loads: bool,
    session: Option<String>,
    /// The session has been told role and rules.
    is_greeted: bool,
    over: bool,
    /// A tool of the seat was called in this turn.
    has_called: bool,
    garbage: u32,
    /// What the session had cost when it was last told, and now.
    told_usd: f64,
    usd: f64,
}

impl Acp {
    /// A seat before its first process.
    pub fn new(plan: AcpPlan) -> Self {
        Self {
            plan,
            lines: Lines::new(LINE_BYTES),
            state: State::Opening,
            hello: None,
            tools: Tools::default(),
            play: Play::default(),
            talk: Talk::default(),
            held: None,
            waiting: Waiting::default(),
            asked: BTreeMap::new(),
            requests: 0,
            cwd: PathBuf::new(),
            socket: PathBuf::new(),
            name: String::new(),
            loads: false,
            session: None,
            is_greeted: false,
            over: false,
            has_called: false,
            garbage: 0,
            told_usd: 0.0,
            usd: 0.0,
        }
    }

    fn request(&mut self, what: Asked, params: &Value, out: &mut dyn FnMut(Output)) {
        let method = match what {
            Asked::Initialize => "initialize",
            Asked::New => "session/new",
            Asked::Load => "session/load",
            Asked::Mode => "session/set_mode",
            Asked::Prompt => "session/prompt",
        };
        self.requests += 1;
        self.asked.insert(self.requests, what);
        out(Output::Line(wire::request(self.requests, method, params)));
    }

    fn cancel(&self, out: &mut dyn FnMut(Output)) {
        if let Some(session) = &self.session {
            let params = json!({"sessionId": session});
            out(Output::Line(wire::notify("session/cancel", &params)));
        }
    }

    fn fault(kind: FaultKind, blame: Blame, detail: String, out: &mut dyn FnMut(Output)) {
        out(Output::Fault(Fault::new(kind, blame, detail)));
    }

    fn give_up(kind: FaultKind, blame: Blame, detail: String, out: &mut dyn FnMut(Output)) {
        out(Output::GiveUp(Fault::new(kind, blame, detail)));
    }

    /// Sets the alarm for a silent turn, or takes it away while nothing is waited for.
    fn watch(&self, out: &mut dyn FnMut(Output)) {
        out(Output::Alarm(match self.state {
            State::Running if self.held.is_none() => Some(self.plan.stall_ms),
            State::Cancelled => Some(CANCEL_MS),
            _ => None,
        }));
    }

    /// Passes the tick, if it is still open, and what is asked at the end.
    fn pass(&mut self, out: &mut dyn FnMut(Output)) {
        let mut say = |message| out(Output::Message(message));
        self.play.close(&mut say);
        self.play.decline(&mut say);
    }

    fn line(&mut self, bytes: &[u8], out: &mut dyn FnMut(Output)) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        match wire::read(bytes) {
            Err(error) => {
                self.garbage += 1;
                if self.garbage <= GARBAGE_TOLD {
                    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                    let last = if self.garbage == GARBAGE_TOLD {
                        "; more such lines are dropped without a word"
                    } else {
                        ""
                    };
                    let detail = format!(
                        "a line of the agent is no JSON-RPC ({error}): {shown:?}; it was dropped; is it a command that speaks \
                         ACP on its standard streams?{last}"
                    );
                    Self::fault(FaultKind::Garbage, Blame::Agent, detail, out);
                }
                return;
            }
            Ok(Line::Answers { id, result }) => match self.asked.remove(&id) {
                Some(what) => self.answered(what, result, out),
                None => return,
            },
            Ok(Line::Asks { id, what }) => {
                let line = match what {
                    Ask::Permission { call, options } => {
                        let call = self.talk.whole(*call);
                        let allowed = policy::may_use(&call, &self.tools, &self.plan.allow);
                        wire::answer(&id, policy::outcome(&options, allowed))
                    }
                    Ask::Unknown(method) => wire::refuse(&id, &method),
                };
                out(Output::Line(line));
            }
            // While a session is loaded the agent repeats it all.
            Ok(Line::Update { .. }) if self.state == State::Opening => {}
            Ok(Line::Update { session, update }) if self.session.as_ref() == Some(&session) => {
                if let Update::Cost(usd) = update {
                    self.usd = usd;
                }
                let play = &mut self.play;
                self.talk.update(update, bytes, &mut |said, words| {
                    tell(play, said, words, out)
                });
            }
            Ok(Line::Update { .. } | Line::Other) => {}
        }
        self.watch(out);
    }

    /// What is unfinished of the conversation is whole now.
    fn flush(&mut self, out: &mut dyn FnMut(Output)) {
        let play = &mut self.play;
        self.talk
            .flush(&mut |said, words| tell(play, said, words, out));
    }

    fn answered(
        &mut self,
        what: Asked,
        result: Result<Value, Failure>,
        out: &mut dyn FnMut(Output),
    ) {
        match (what, result) {
            (_, Err(failure)) if failure.code == wire::AUTH_REQUIRED => {
                let detail = format!(
                    "the agent wants somebody to log in first ({}), and this host logs in nowhere: give it a key or a token in \
                     `env` of the cast, or log in once by hand",
                    excerpt(&failure.words(), 200)
                );
                Self::give_up(FaultKind::SpawnFailed, Blame::Cast, detail, out);
            }
            (Asked::Initialize, Ok(result)) => self.initialized(&result, out),
            (Asked::New, Ok(result)) => {
                self.session = result["sessionId"].as_str().map(str::to_owned);
                self.is_greeted = false;
                (self.usd, self.told_usd) = (0.0, 0.0);
                if self.session.is_none() {
                    let detail = "its answer to session/new has no sessionId".to_owned();
                    return Self::give_up(FaultKind::SpawnFailed, Blame::Agent, detail, out);
                }
                self.opened(&result["modes"], out);
            }
            (Asked::Load, Ok(result)) => self.opened(&result["modes"], out),
            (Asked::Load, Err(_)) => self.open_new(out),
            (Asked::Mode, Ok(_)) => self.ready(out),
            (Asked::Prompt, Ok(result)) => self.turn_over(&result, out),
            // Some agents answer a cancelled prompt so.
            (Asked::Prompt, Err(_)) if self.over || self.state == State::Cancelled => {
                self.turn_over(&json!({"stopReason": "cancelled"}), out);
            }
            (Asked::Prompt, Err(failure)) => {
                let words = failure.words();
                let detail = format!(
                    "its turn ended in an error ({}): {}; it passes this tick and tries again with the next; {}",
                    failure.code,
                    excerpt(&words, 200),
                    advice(&words)
                );
                self.flush(out);
                self.transcribe_end("error", out);
                Self::fault(FaultKind::ModelError, Blame::Machine, detail, out);
                self.idle(Next::Pass, out);
            }
            (Asked::Initialize | Asked::New | Asked::Mode, Err(failure)) => {
                let step = match what {
                    Asked::Initialize => "initialize",
                    Asked::New => "session/new",
                    _ => "session/set_mode",
                };
                let detail = format!(
                    "the agent refused {step} ({}): {}; try another version of it",
                    failure.code,
                    excerpt(&failure.words(), 200)
                );
                Self::give_up(FaultKind::SpawnFailed, Blame::Agent, detail, out);
            }
        }
    }

    /// A call of a tool; none: its answer comes later.
    fn called(
        &mut self,
        held: Held,
        name: &str,
        args: serde_json::Map<String, Value>,
        out: &mut dyn FnMut(Output),
    ) -> Option<Value> {
        self.has_called = true;
        let answer = match self.tools.read(name, args) {
            _ if self.over => Answer::Refused("the run is over; end your turn".into()),
            Err(why) => Answer::Refused(why),
            Ok(asked) => self
                .play
                .call(asked, &mut |message| out(Output::Message(message))),
        };
        let result = match answer {
            Answer::Now(text) => rpc::tool_result(&text, false),
            Answer::Refused(why) => rpc::tool_result(&why, true),
            Answer::Hold => {
                self.held = Some(held);
                return None;
            }
            Answer::Later(number) => {
                if let Some(forgotten) = self.waiting.add(number, held) {
                    let why = "too many calls at once; wait for their answers";
                    answer_call(&forgotten, why, true, out);
                }
                return None;
            }
        };
        Some(rpc::reply(&held.call, result))
    }

    /// Answers the call that is held.
    fn release(&mut self, text: &str, out: &mut dyn FnMut(Output)) -> bool {
        let held = self.held.take();
        held.is_some_and(|held| {
            answer_call(&held, text, false, out);
            true
        })
    }
}

/// Answers a call of a tool.
fn answer_call(held: &Held, text: &str, refused: bool, out: &mut dyn FnMut(Output)) {
    let reply = rpc::reply(&held.call, rpc::tool_result(text, refused));
    out(Output::ToolLine(held.connection, socket::line(&reply)));
}

/// A part of the conversation is whole: told, and kept for the next act if it is the model's words.
fn tell(play: &mut Play, said: Transcript, words: &str, out: &mut dyn FnMut(Output)) {
    if said.kind == TranscriptKind::Text {
        play.think(words);
    }
    out(Output::Transcript(said));
}

impl Adapter for Acp {
    fn start(&mut self, at: &Workspace) -> Launch {
        self.lines = Lines::new(LINE_BYTES);
        self.state = State::Opening;
        self.talk = Talk::default();
        self.held = None;
        self.waiting = Waiting::default();
        self.asked.clear();
        self.garbage = 0;
        self.cwd = at.workspace.clone();
        self.socket = at.root.join(socket::NAME);
        open::launch(&self.plan, at)
    }

    fn read(&mut self, bytes: &[u8], out: &mut dyn FnMut(Output)) {
        // Out of the way while lines are taken, since they change everything else.
        let mut lines = std::mem::replace(&mut self.lines, Lines::new(0));
        lines.read(bytes, |piece| match piece {
            Piece::Line(line) => self.line(line, out),
            Piece::TooLong => {
                let detail = format!(
                    "a line of the agent is longer than {LINE_BYTES} bytes and was skipped"
                );
                Self::fault(FaultKind::TooLong, Blame::Agent, detail, out);
            }
        });
        self.lines = lines;
    }

    fn end(&mut self, out: &mut dyn FnMut(Output)) {
        self.lines.end();
        self.flush(out);
        out(Output::Alarm(None));
    }

    fn tell(&mut self, message: ToAgent, out: &mut dyn FnMut(Output)) {
        match message {
            ToAgent::Hello(hello) => {
                self.tools = Tools::new(&hello);
                self.play = Play::new(&hello);
                self.hello = Some(hello);
                let params = json!({"protocolVersion": wire::VERSION,
                    "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
                    "clientInfo": {"name": "formicarium", "title": "Formicarium", "version": env!("CARGO_PKG_VERSION")}});
                self.request(Asked::Initialize, &params, out);
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
                let text = format!(
                    "The run is over: {}. Your score: {}.",
                    end.reason, end.score
                );
                if self.state == State::Running {
                    // Before the answer: nobody pays for words that nobody can act on.
                    self.cancel(out);
                }
                self.release(&text, out);
            }
        }
        self.watch(out);
    }

    fn tool_line(&mut self, connection: u32, line: &[u8], out: &mut dyn FnMut(Output)) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let request: rpc::Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                let reply = rpc::failure(&Value::Null, -32700, &format!("no JSON-RPC: {error}"));
                return out(Output::ToolLine(connection, socket::line(&reply)));
            }
        };
        if let Some(call) = request.cancels() {
            // The agent waits no longer for the answer.
            let cancelled = Held { connection, call };
            self.held.take_if(|held| *held == cancelled);
            self.waiting.retain(|held| *held != cancelled);
            return self.watch(out);
        }
        let call = request.id.clone().unwrap_or(Value::Null);
        let reply = match rpc::read(&request, &self.tools.list()) {
            Todo::Nothing => None,
            Todo::Reply(result) => Some(rpc::reply(&call, result)),
            Todo::Fail(code, words) => Some(rpc::failure(&call, code, &words)),
            Todo::Call { name, args } => {
                // The words before a call are the thought that led to it.
                self.flush(out);
                self.called(Held { connection, call }, &name, args, out)
            }
        };
        if let Some(reply) = reply {
            out(Output::ToolLine(connection, socket::line(&reply)));
        }
        self.watch(out);
    }

    fn tool_closed(&mut self, connection: u32, out: &mut dyn FnMut(Output)) {
        self.held.take_if(|held| held.connection == connection);
        self.waiting.retain(|held| held.connection != connection);
        self.watch(out);
    }

    fn alarm(&mut self, out: &mut dyn FnMut(Output)) {
        match self.state {
            State::Running if self.held.is_none() => {
                self.state = State::Cancelled;
                let detail = format!(
                    "its turn was silent for {} ms and was cancelled; the model or the way to it is slow; it passes this tick",
                    self.plan.stall_ms
                );
                Self::fault(FaultKind::Stalled, Blame::Machine, detail, out);
                self.cancel(out);
                self.pass(out);
                self.watch(out);
            }
            State::Cancelled => {
                let detail =
                    "it did not end its turn after session/cancel; its process is ended".to_owned();
                Self::give_up(FaultKind::Stalled, Blame::Agent, detail, out);
            }
            _ => {}
        }
    }
}
