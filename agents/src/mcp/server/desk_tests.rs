//! The desk: who plays, held calls, take-over, doubts. No clock and no socket.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot::error::TryRecvError;

use super::desk::{Called, Desk, Entry, Reply, Visit};
use crate::event::{AgentEvent, AgentEventBody, ProcessStatus};
use crate::protocol::FromAgent;

struct Stage {
    desk: Desk,
    events: UnboundedReceiver<AgentEvent>,
    notices: Vec<mpsc::Receiver<String>>,
}

fn line(message: Value) -> Arc<[u8]> {
    format!("{message}\n").into_bytes().into()
}

impl Stage {
    fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            desk: Desk::new(3, sender),
            events,
            notices: Vec::new(),
        }
    }

    fn enter(&mut self, client: &str) -> Entry {
        let (sender, notices) = mpsc::channel(4);
        self.notices.push(notices);
        self.desk.enter(client, sender).expect("the run goes on")
    }

    /// Enters, and is greeted by the host.
    fn sit(&mut self, client: &str) -> u64 {
        let mut entry = self.enter(client);
        assert_eq!(entry.greeted.try_recv(), Err(TryRecvError::Empty));
        self.greet();
        assert_eq!(entry.greeted.try_recv(), Ok(()));
        entry.session
    }

    fn greet(&mut self) {
        self.desk.line(&line(json!({
            "type": "hello", "protocol": 1, "run": "r", "scenario": {"name": "s", "title": "S"}, "seat": "a", "role": "",
            "rules": "", "actions": [{"name": "move", "description": "", "parameters": {"type": "object"}}],
            "limits": {"actions": 1, "speech": 1, "speech_chars": 500, "thought_chars": 2000, "log_chars": 2000,
                "remember_bytes": 16384, "line_bytes": 1048576},
            "time": {"mode": "lockstep", "deadline_ms": 10, "hz": null, "ticks": 9}, "remembered": null,
        })));
    }

    fn observe(&mut self, tick: u64) {
        self.desk.observation(line(json!({
            "type": "observe", "tick": tick, "deadline_ms": 1, "text": format!("tick {tick}"), "state": {}, "heard": [],
            "results": [],
        })));
    }

    fn end(&mut self) {
        self.desk.line(&line(
            json!({"type": "end", "reason": "done", "score": 1.5, "tick": 9}),
        ));
    }

    fn call(&mut self, session: u64, name: &str) -> Called {
        self.desk.call(session, name, Map::new())
    }

    /// What a call is answered at once.
    fn now(&mut self, session: u64, name: &str) -> Reply {
        match self.call(session, name) {
            Called::Done(reply) => reply,
            Called::Held(..) => panic!("{name} is held"),
        }
    }

    /// What the host was told, one word each.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            assert_eq!(event.seat, 3);
            told.push(match event.body {
                AgentEventBody::Started { attempt } => format!("started {attempt}"),
                AgentEventBody::Message(FromAgent::Ready(ready)) => {
                    format!("ready {}", ready.name.unwrap_or_default())
                }
                AgentEventBody::Message(FromAgent::Act(act)) => {
                    format!("act {} x{}", act.tick, act.actions.len())
                }
                AgentEventBody::Message(FromAgent::Log(log)) => format!("log {}", log.text),
                AgentEventBody::Status(ProcessStatus::Ready) => continue,
                AgentEventBody::Status(ProcessStatus::Running) => "running".into(),
                AgentEventBody::Status(ProcessStatus::Exited {
                    reason,
                    will_restart: true,
                    ..
                }) => format!("away: {reason}"),
                other => format!("{other:?}"),
            });
        }
        told
    }
}

fn answer(called: Called) -> Reply {
    match called {
        Called::Held(_, mut answer) => answer.try_recv().expect("an answer"),
        Called::Done(reply) => panic!("answered at once: {reply:?}"),
    }
}

#[test]
fn a_client_plays_and_each_held_call_carries_the_next_observation() {
    let mut stage = Stage::new();
    let a = stage.sit("inspector 1");
    assert_eq!(stage.told(), ["started 1", "ready inspector 1"]);
    // Before the first tick: looking is answered, waiting is held and sends nothing.
    assert_eq!(stage.now(a, "look").text, "The world has not begun yet.");
    let first = stage.call(a, "wait");
    assert_eq!(stage.told(), [""; 0]);
    stage.observe(0);
    assert_eq!(answer(first).text, "tick 0");
    let moved = stage.call(a, "move");
    let second = stage.now(a, "move");
    assert!(second.refused, "{second:?}");
    // Waiting after the answer of a tick only waits.
    let waits = stage.call(a, "wait");
    assert_eq!(stage.told(), ["act 0 x1", "running"]);
    stage.observe(1);
    assert_eq!(
        (answer(moved).text, answer(waits).text),
        ("tick 1".into(), "tick 1".into())
    );
    let passed = stage.call(a, "wait");
    assert_eq!(stage.told(), ["act 1 x0"]);
    stage.end();
    let last = answer(passed);
    assert!(
        last.text
            .contains("over after 9 ticks: done. Your score: 1.5"),
        "{last:?}"
    );
    assert!(stage.now(a, "move").refused);
    let (sender, _notices) = mpsc::channel(4);
    assert!(stage.desk.enter("late 1", sender).is_err());
}

#[test]
fn the_client_that_came_last_plays_and_the_one_before_is_told() {
    let mut stage = Stage::new();
    let a = stage.sit("a 1");
    stage.observe(0);
    let held = stage.call(a, "move");
    stage.told();
    let b = stage.sit("b 1");
    assert_eq!(
        stage.told(),
        [
            "started 2",
            "ready b 1",
            "log another client, b 1, has taken the seat over from a 1"
        ]
    );
    let refused = answer(held);
    assert!(
        refused.refused && refused.text.contains("b 1"),
        "{refused:?}"
    );
    assert!(stage.now(a, "look").text.contains("b 1"));
    assert!(
        stage.notices[0]
            .try_recv()
            .is_ok_and(|notice| notice.contains("b 1"))
    );
    // The seat's answer of this tick is given, whoever gave it.
    assert!(stage.now(b, "move").refused);
    let waits = stage.call(b, "wait");
    stage.observe(1);
    assert_eq!(answer(waits).text, "tick 1");
    // A third one: the first session's time is over.
    stage.desk.name(a, "id-a");
    let third = stage.enter("c 1");
    assert_eq!(third.close, ["id-a".into()]);
    assert_eq!(stage.desk.find("id-a"), None);
    // Not greeted yet, and the one before is gone: nobody is told that the seat is left.
    stage.desk.ended(b);
    stage.told();
    stage.desk.ended(third.session);
    assert_eq!(stage.told(), ["away: its client has ended its session"]);
}

#[test]
fn a_cut_connection_is_a_doubt_until_the_client_comes_back_or_time_is_up() {
    let mut stage = Stage::new();
    let a = stage.sit("a 1");
    stage.observe(0);
    stage.told();
    // A stream and a call; the call is taken whole.
    stage.desk.opened(a);
    stage.desk.opened(a);
    assert_eq!(stage.desk.closed(a, false), None);
    let doubt = stage.desk.closed(a, true).expect("nothing is open");
    // It comes back in time.
    stage.desk.opened(a);
    stage.desk.resolve(doubt);
    assert_eq!(stage.told(), [""; 0]);
    assert_eq!(stage.desk.closed(a, false), None);
    stage.desk.resolve(doubt);
    assert_eq!(stage.told(), [""; 0]);
    // It does not.
    stage.desk.opened(a);
    let doubt = stage.desk.closed(a, true).expect("nothing is open");
    let held = stage.call(a, "wait");
    stage.told();
    stage.desk.resolve(doubt);
    assert_eq!(stage.told(), ["away: the connection to its client is gone"]);
    assert!(answer(held).refused);
    stage.desk.resolve(doubt);
    assert_eq!(stage.told(), [""; 0]);
    // Observations go on; nobody acts.
    stage.observe(1);
    stage.observe(2);
    // It was not gone after all: the same session takes the seat again.
    let Visit::Back(mut greeted) = stage.desk.visit(a) else {
        panic!("not let back in");
    };
    stage.greet();
    assert_eq!(greeted.try_recv(), Ok(()));
    assert_eq!(stage.told(), ["started 2", "ready a 1"]);
    assert_eq!(stage.now(a, "look").text, "tick 2");
    // It came in the middle of a tick that the host closes without it.
    assert!(stage.now(a, "move").text.contains("call wait"));
    let waits = stage.call(a, "wait");
    assert_eq!(stage.told(), [""; 0]);
    stage.observe(3);
    assert_eq!(answer(waits).text, "tick 3");
    assert!(matches!(stage.call(a, "move"), Called::Held(..)));
    assert_eq!(stage.told(), ["act 3 x1", "running"]);
}

#[test]
fn a_cancelled_call_is_forgotten_and_calls_have_a_limit() {
    let mut stage = Stage::new();
    let a = stage.sit("a 1");
    let Called::Held(number, mut answered) = stage.call(a, "wait") else {
        panic!("not held");
    };
    stage.desk.forget(number);
    stage.observe(0);
    assert_eq!(answered.try_recv(), Err(TryRecvError::Closed));
    assert!(
        stage
            .now(a, "fly")
            .text
            .contains("there are: move, wait, look, remember")
    );
    let mut held = vec![stage.call(a, "wait")];
    let refused = loop {
        match stage.call(a, "wait") {
            Called::Done(reply) => break reply,
            more => held.push(more),
        }
    };
    assert!(
        refused.refused && refused.text.contains("too many calls"),
        "{refused:?}"
    );
    assert_eq!(held.len(), 32);
    stage.observe(1);
    for called in held {
        assert_eq!(answer(called).text, "tick 1");
    }
}
