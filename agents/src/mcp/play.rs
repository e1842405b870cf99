//! A seat that is played by tool calls. A pure machine: observations and calls go in, messages of the agent protocol
//! and answers for the model come out. Must not know who calls, or over what.

use super::tools::Asked;
use crate::protocol::{Act, ActionCall, FromAgent, Hello, Observe, Remember, THOUGHT_CHARS};

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Say this at once.
    Now(String),
    /// The call was refused, with this reason.
    Refused(String),
    /// Answer with the next observation: [`Play::shown`].
    Hold,
}

/// The seat's part in the present tick.
#[derive(Debug, Default)]
pub struct Play {
    actions_most: u32,
    now: Option<Observe>,
    /// Actions of this tick that are gathered until all are there.
    calls: Vec<ActionCall>,
    /// This tick has been answered.
    closed: bool,
    /// The tick that the model has been shown last; none before the first.
    shown: Option<u64>,
    /// The model's words since its last act.
    thought: String,
}

impl Play {
    /// A seat that was greeted so, before its first observation.
    pub fn new(hello: &Hello) -> Self {
        Self {
            actions_most: hello.limits.actions.max(1),
            ..Self::default()
        }
    }

    /// A new tick. What was gathered and not sent counts for the new one.
    pub fn observe(&mut self, observe: Observe) {
        self.now = Some(observe);
        self.closed = false;
    }

    /// Whether the present tick is still to be answered.
    pub fn is_open(&self) -> bool {
        self.now.is_some() && !self.closed
    }

    /// Whether there is an observation that the model has not been shown.
    pub fn has_news(&self) -> bool {
        self.now.as_ref().map(|now| now.tick) != self.shown && self.now.is_some()
    }

    /// Words of the model, for the thought of its next act.
    pub fn think(&mut self, words: &str) {
        if !self.thought.is_empty() {
            self.thought.push('\n');
        }
        let room = (THOUGHT_CHARS as usize).saturating_sub(self.thought.chars().count());
        self.thought.extend(words.trim().chars().take(room));
    }

    /// The present observation in words; from now on the model has been shown it.
    pub fn show(&mut self) -> String {
        let Some(now) = &self.now else {
            return "The world has not begun yet.".into();
        };
        self.shown = Some(now.tick);
        let mut text = now.text.clone();
        for result in now.results.iter().filter(|result| !result.ok) {
            let reason = result.reason.as_deref().unwrap_or(&result.code);
            if !now.text.contains(reason) {
                let what = result.action.as_deref().unwrap_or("your last answer");
                text.push_str(&format!("Refused: {what}: {reason}\n"));
            }
        }
        text
    }

    /// A call of a tool.
    pub fn call(&mut self, asked: Asked, out: &mut dyn FnMut(FromAgent)) -> Answer {
        match asked {
            Asked::Look => Answer::Now(self.show()),
            Asked::Remember(state) => {
                out(FromAgent::Remember(Remember { state }));
                Answer::Now("Kept.".into())
            }
            _ if self.now.is_none() => Answer::Refused(
                "the world has not begun yet; wait for the first observation".into(),
            ),
            _ if self.closed => Answer::Refused(
                "you have used your actions of this tick; wait for the next observation".into(),
            ),
            Asked::Say(call) => {
                self.send(vec![call], out);
                Answer::Now("Said: it is heard at the end of this tick. You may still act.".into())
            }
            Asked::Wait => {
                self.close(out);
                Answer::Hold
            }
            Asked::Act(call) => {
                self.calls.push(call);
                let left = self.actions_most.saturating_sub(self.calls.len() as u32);
                if left == 0 {
                    self.close(out);
                    return Answer::Hold;
                }
                Answer::Now(format!(
                    "Noted. {left} more possible in this tick; call wait to end it."
                ))
            }
        }
    }

    /// Answers the tick with what was gathered, or passes. Does nothing if it is answered already.
    pub fn close(&mut self, out: &mut dyn FnMut(FromAgent)) {
        if self.is_open() {
            let calls = std::mem::take(&mut self.calls);
            self.closed = true;
            self.send(calls, out);
        }
    }

    fn send(&mut self, actions: Vec<ActionCall>, out: &mut dyn FnMut(FromAgent)) {
        let thought = std::mem::take(&mut self.thought);
        out(FromAgent::Act(Act {
            tick: self.now.as_ref().map_or(0, |now| now.tick),
            actions,
            say: None,
            thought: (!thought.is_empty()).then_some(thought),
        }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::protocol::{ActionResult, Limits, ScenarioName, Time, TimeMode};

    fn play(actions: u32) -> Play {
        Play::new(&Hello {
            protocol: 1,
            run: "r".into(),
            scenario: ScenarioName {
                name: "s".into(),
                title: "S".into(),
            },
            seat: "a".into(),
            role: String::new(),
            rules: String::new(),
            actions: Vec::new(),
            limits: Limits {
                actions,
                ..Limits::default()
            },
            time: Time {
                mode: TimeMode::Lockstep,
                deadline_ms: 1,
                hz: None,
                ticks: 9,
            },
            remembered: None,
        })
    }

    fn observe(tick: u64) -> Observe {
        let refused = ActionResult {
            action: None,
            ok: false,
            code: "stale".into(),
            reason: Some("too old".into()),
        };
        Observe {
            tick,
            deadline_ms: 1,
            text: "A field.\n".into(),
            state: json!({}),
            heard: Vec::new(),
            results: vec![refused],
        }
    }

    fn call(name: &str) -> ActionCall {
        ActionCall {
            name: name.into(),
            args: Map::new(),
        }
    }

    /// What the calls come to, one line each: the messages, then the answer.
    fn lines(play: &mut Play, calls: Vec<Asked>) -> Vec<String> {
        calls
            .into_iter()
            .map(|asked| {
                let mut sent = Vec::new();
                let answer = play.call(asked, &mut |message| {
                    sent.push(serde_json::to_string(&message).unwrap())
                });
                format!("{} -> {answer:?}", sent.join(" "))
            })
            .collect()
    }

    #[test]
    fn an_action_closes_the_tick_and_its_answer_is_held() {
        let mut play = play(1);
        assert!(matches!(
            play.call(Asked::Act(call("move")), &mut |_| panic!("too early")),
            Answer::Refused(_)
        ));
        play.observe(observe(3));
        assert_eq!(
            play.show(),
            "A field.\nRefused: your last answer: too old\n"
        );
        play.think(" north it is ");
        let lines = lines(
            &mut play,
            vec![
                Asked::Say(call("say")),
                Asked::Act(call("move")),
                Asked::Act(call("move")),
            ],
        );
        assert_eq!(
            lines,
            [
                r#"{"type":"act","tick":3,"actions":[{"name":"say","args":{}}],"thought":"north it is"} -> Now("Said: it is heard at the end of this tick. You may still act.")"#,
                r#"{"type":"act","tick":3,"actions":[{"name":"move","args":{}}]} -> Hold"#,
                r#" -> Refused("you have used your actions of this tick; wait for the next observation")"#,
            ]
        );
        assert!(!play.is_open());
        play.observe(observe(4));
        assert!(play.is_open() && play.has_news());
    }

    #[test]
    fn several_actions_are_gathered_and_wait_sends_what_is_there() {
        let mut play = play(3);
        play.observe(observe(0));
        let lines = lines(
            &mut play,
            vec![
                Asked::Act(call("turn")),
                Asked::Act(call("move")),
                Asked::Wait,
            ],
        );
        assert_eq!(
            lines[2],
            r#"{"type":"act","tick":0,"actions":[{"name":"turn","args":{}},{"name":"move","args":{}}]} -> Hold"#
        );
    }
}
