//! One seat as its clients see it: who plays, which calls are held, what the host is told.
//!
//! A pure machine behind a lock: messages of the host, calls and comings and goings of clients go in; events for the
//! host and answers for the calls come out. Must not know HTTP, MCP's messages, or what time it is.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::oneshot;

use super::sessions::{Doubt, Sessions};
use super::words;
use crate::event::{AgentEvent, AgentEventBody, Blame, ProcessStatus};
use crate::mcp::files::Waiting;
use crate::mcp::play::{Answer, Play};
use crate::mcp::tools::{Asked, Tool, Tools};
use crate::protocol::{
    End, FromAgent, Hello, Log, MESSAGES_PER_TICK, Observe, Question, Ready, ToAgent,
    decode_to_agent, excerpt,
};

/// Calls of a seat that may wait for the next observation.
const HELD: usize = 32;
/// Characters of a client's name.
const NAME: usize = 80;

/// What a call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// The words.
    pub(super) text: String,
    /// It was refused.
    pub(super) refused: bool,
}

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum Called {
    /// It is answered.
    Done(Reply),
    /// It is answered with the next observation. The number is for [`Desk::forget`].
    Held(u64, oneshot::Receiver<Reply>),
}

/// Whether a session may play.
#[derive(Debug)]
pub(super) enum Visit {
    /// It plays.
    Plays,
    /// It was given up as gone and is back: it plays as soon as it is greeted.
    Back(oneshot::Receiver<()>),
    /// It does not; why.
    Not(String),
}

/// A session that was let in.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number, for all else.
    pub(super) session: u64,
    /// Fires when the host has greeted it; closed if the run is over.
    pub(super) greeted: oneshot::Receiver<()>,
    /// Sessions whose time is over.
    pub(super) close: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Held {
    number: u64,
    answer: oneshot::Sender<Reply>,
}

/// One seat.
#[derive(Debug)]
pub(super) struct Desk {
    index: usize,
    events: UnboundedSender<AgentEvent>,
    hello: Option<Box<Hello>>,
    tools: Tools,
    play: Play,
    /// The newest observation, whether anybody is there to see it or not.
    newest: Option<Arc<[u8]>>,
    over: Option<String>,
    sessions: Sessions,
    /// The session that plays; none: the seat is away.
    active: Option<u64>,
    /// The active session has been greeted, and the host told that it is ready.
    greeted: bool,
    /// It came in the middle of a tick, which the host closes without it.
    joining: bool,
    has_acted: bool,
    /// For the host's log, when the new client is ready.
    news: Option<String>,
    waiting: Vec<oneshot::Sender<()>>,
    held: Vec<Held>,
    /// Calls that wait for the broker.
    waiting_files: Waiting<Held>,
    /// Since the last observation.
    messages: u32,
    attempt: u32,
    /// Of the call that was held last.
    last: u64,
}

impl Desk {
    /// A seat that nobody has taken.
    pub(super) fn new(index: usize, events: UnboundedSender<AgentEvent>) -> Self {
        Self {
            index,
            events,
            hello: None,
            tools: Tools::default(),
            play: Play::default(),
            newest: None,
            over: None,
            sessions: Sessions::default(),
            active: None,
            greeted: false,
            joining: false,
            has_acted: false,
            news: None,
            waiting: Vec::new(),
            held: Vec::new(),
            waiting_files: Waiting::default(),
            messages: 0,
            attempt: 0,
            last: 0,
        }
    }

    fn tell(&self, body: AgentEventBody) {
        let seat = self.index;
        // Nobody listens any more when the run is over.
        let _ = self.events.send(AgentEvent { seat, body });
    }

    /// Lets a client in; it plays from now on, and whoever played before does not. `notices` takes words for it.
    ///
    /// # Errors
    /// The run is over.
    pub(super) fn enter(&mut self, client: &str, notices: Sender<String>) -> Result<Entry, String> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        let client: String = client
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let client = excerpt(client.trim(), NAME).into_owned();
        let before = self.active;
        // The one before stays, to be told why it no longer plays; older ones go.
        let close = self.sessions.keep(before);
        if let Some(before) = before {
            let why = words::taken_over(&client);
            self.refuse_held(&why);
            self.sessions.notify(Some(before), &why);
            self.news = Some(format!(
                "another client, {client}, has taken the seat over from {}",
                self.sessions.client(before).unwrap_or_default()
            ));
        }
        let session = self.sessions.add(client, notices);
        Ok(Entry {
            session,
            greeted: self.begin(session),
            close,
        })
    }

    /// Asks the host to greet a session that plays from now on.
    fn begin(&mut self, number: u64) -> oneshot::Receiver<()> {
        if self.active.is_none() {
            self.greeted = false;
            self.play = Play::default();
        }
        self.active = Some(number);
        self.attempt += 1;
        let attempt = self.attempt;
        self.tell(AgentEventBody::Started { attempt });
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    /// The sessions of the seat's clients.
    pub(super) fn sessions(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    /// Time has passed since a doubt: if the client has not come back, it is gone.
    pub(super) fn resolve(&mut self, doubt: Doubt) {
        if self.active == Some(doubt.session()) && self.sessions.is_gone(doubt) {
            self.leave("the connection to its client is gone", Some(Blame::Agent));
        }
    }

    /// A client has ended its session.
    pub(super) fn ended(&mut self, number: u64) {
        self.sessions.remove(number);
        if self.active == Some(number) {
            self.leave("its client has ended its session", None);
        }
    }

    fn leave(&mut self, reason: &str, blame: Option<Blame>) {
        self.active = None;
        self.greeted = false;
        self.has_acted = false;
        self.news = None;
        self.refuse_held("this session has ended");
        if self.over.is_none() {
            self.tell(AgentEventBody::Status(ProcessStatus::Exited {
                reason: reason.to_owned(),
                blame,
                will_restart: true,
            }));
        }
    }

    fn refuse_held(&mut self, why: &str) {
        for held in self.held.drain(..).chain(self.waiting_files.clear()) {
            let reply = Reply {
                text: why.to_owned(),
                refused: true,
            };
            // Whoever asked may have left.
            let _ = held.answer.send(reply);
        }
    }

    /// What the host says, as a line of the protocol.
    pub(super) fn line(&mut self, line: &Arc<[u8]>) {
        match decode_to_agent(line) {
            Ok(ToAgent::Hello(hello)) => self.greet(hello),
            Ok(ToAgent::Observe(observe)) => self.observe(observe),
            Ok(ToAgent::Question(question)) => self.ask(*question),
            Ok(ToAgent::Files(files)) => {
                if let Some(held) = self.waiting_files.take(files.id) {
                    // Whoever asked may have left.
                    let _ = held.answer.send(Reply {
                        text: files.text,
                        refused: !files.ok,
                    });
                }
            }
            Ok(ToAgent::End(end)) => self.end(&end),
            Err(error) => {
                tracing::error!(%error, "a line of the host is no message: a bug in formicarium")
            }
        }
    }

    /// An observation as a line: kept as it is while nobody is there.
    pub(super) fn observation(&mut self, line: Arc<[u8]>) {
        if self.greeted {
            self.line(&line);
        }
        self.newest = Some(line);
    }

    fn greet(&mut self, hello: Box<Hello>) {
        self.tools = Tools::new(&hello);
        if let Some(active) = self.active {
            if !self.greeted {
                self.play = Play::new(&hello);
                if let Some(now) = self.now() {
                    self.play.observe(now);
                    self.joining = true;
                }
            }
            self.greeted = true;
            let name = self.sessions.client(active).map(str::to_owned);
            self.tell(AgentEventBody::Message(FromAgent::Ready(Ready {
                name,
                answers: true,
            })));
            self.tell(AgentEventBody::Status(ProcessStatus::Ready));
            if let Some(text) = self.news.take() {
                self.tell(AgentEventBody::Message(FromAgent::Log(Log { text })));
            }
        }
        self.hello = Some(hello);
        for waiting in self.waiting.drain(..) {
            // A client that did not wait is found gone by its connection.
            let _ = waiting.send(());
        }
    }

    fn observe(&mut self, observe: Observe) {
        self.messages = 0;
        self.joining = false;
        self.play.observe(observe);
        self.show();
    }

    /// One that belongs to a tick is shown with its observation, which follows.
    fn ask(&mut self, question: Question) {
        let is_last = question.end.is_some();
        self.play.ask(question);
        if is_last {
            self.messages = 0;
            self.show();
        }
    }

    /// Answers the calls that are held with what there is to see now.
    fn show(&mut self) {
        if !self.held.is_empty() {
            let text = self.play.show();
            self.answer_held(&text);
        }
    }

    fn answer_held(&mut self, text: &str) {
        for held in self.held.drain(..) {
            let reply = Reply {
                text: text.to_owned(),
                refused: false,
            };
            // Whoever asked may have left; what there is to see can be looked at.
            let _ = held.answer.send(reply);
        }
    }

    fn end(&mut self, end: &End) {
        let over = words::over(end);
        self.answer_held(&over);
        self.sessions.notify(None, &over);
        self.waiting.clear();
        self.over = Some(over);
    }

    /// Whether a session may play; one that was given up takes the seat again if it is free.
    pub(super) fn visit(&mut self, number: u64) -> Visit {
        if let Some(over) = &self.over {
            return Visit::Not(over.clone());
        }
        match self.active {
            Some(active) if active == number => Visit::Plays,
            Some(active) => Visit::Not(words::taken_over(
                self.sessions.client(active).unwrap_or_default(),
            )),
            None => Visit::Back(self.begin(number)),
        }
    }

    /// A call of a tool by the session that plays.
    pub(super) fn call(&mut self, session: u64, name: &str, args: Map<String, Value>) -> Called {
        let refused = |text: String| {
            Called::Done(Reply {
                text,
                refused: true,
            })
        };
        match self.visit(session) {
            Visit::Plays => {}
            Visit::Back(_) => return refused("the seat was left; call again".into()),
            Visit::Not(why) => return refused(why),
        }
        let asked = match self.tools.read(name, args) {
            Ok(asked) => asked,
            Err(why) => return refused(why),
        };
        let waits = asked == Asked::Wait && (self.joining || !self.play.is_open());
        if !waits && self.joining && matches!(asked, Asked::Act(_) | Asked::Say(_)) {
            return refused(words::JOINING.into());
        }
        if self.messages >= MESSAGES_PER_TICK {
            return refused(words::flood(MESSAGES_PER_TICK));
        }
        if self.held.len() >= HELD {
            return refused(words::flood(HELD as u32));
        }
        let mut said = Vec::new();
        let answer = match waits {
            true => Answer::Hold,
            false => self.play.call(asked, &mut |message| said.push(message)),
        };
        for message in said {
            self.messages += 1;
            let acts = matches!(message, FromAgent::Act(_));
            self.tell(AgentEventBody::Message(message));
            if acts && !std::mem::replace(&mut self.has_acted, true) {
                self.tell(AgentEventBody::Status(ProcessStatus::Running));
            }
        }
        match answer {
            Answer::Now(text) => Called::Done(Reply {
                text,
                refused: false,
            }),
            Answer::Refused(why) => refused(why),
            Answer::Hold | Answer::Later(_) => {
                let (sender, receiver) = oneshot::channel();
                self.last += 1;
                let number = self.last;
                let held = Held {
                    number,
                    answer: sender,
                };
                match answer {
                    // One that is forgotten for it finds its channel closed.
                    Answer::Later(request) => drop(self.waiting_files.add(request, held)),
                    _ => self.held.push(held),
                }
                Called::Held(number, receiver)
            }
        }
    }

    /// Nobody waits for that call any more. What it did stays done.
    pub(super) fn forget(&mut self, call: u64) {
        self.held.retain(|held| held.number != call);
        self.waiting_files.retain(|held| held.number != call);
    }

    /// What the host said first.
    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.as_deref()
    }

    /// The seat's tools.
    pub(super) fn tools(&self) -> Vec<Tool> {
        self.tools.list()
    }

    /// The newest observation.
    pub(super) fn now(&self) -> Option<Observe> {
        match decode_to_agent(self.newest.as_ref()?) {
            Ok(ToAgent::Observe(observe)) => Some(observe),
            _ => None,
        }
    }
}
