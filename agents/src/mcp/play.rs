//! A seat that is played by tool calls. A pure machine: observations and calls go in, messages of the agent protocol
//! and answers for the model come out. Must not know who calls, or over what.

use serde_json::{Map, Value};

use super::files;
use super::tools::{self, Asked};
use crate::protocol::{
    self, Act, ActionCall, FromAgent, Hello, Observe, Question, Remember, THOUGHT_CHARS,
    check_answer,
};

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Say this at once.
    Now(String),
    /// The call was refused, with this reason.
    Refused(String),
    /// Answer with the next observation: [`Play::shown`].
    Hold,
    /// Answer with the host's answer of this number: [`ToAgent::Files`](crate::protocol::ToAgent).
    Later(u64),
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
    /// The run is over, and only questions are left.
    over: bool,
    /// What is asked and not answered, and whether the model has been shown it.
    questions: Vec<(Question, bool)>,
    /// The model's words since its last act.
    thought: String,
    /// Requests about the shared files so far.
    requests: u64,
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

    /// A question. One of the same name that is still open is forgotten; at the end of the run, all that were asked before.
    pub fn ask(&mut self, question: Question) {
        self.over |= question.end.is_some();
        self.questions
            .retain(|(open, _)| open.name != question.name && (open.end.is_some() || !self.over));
        self.questions.push((question, false));
    }

    /// The run is over, and the model has nothing more to say: what is still asked stays without an answer.
    pub fn decline(&mut self, out: &mut dyn FnMut(FromAgent)) {
        if self.over {
            for (question, _) in self.questions.drain(..) {
                out(FromAgent::Answer(protocol::Answer {
                    question: question.name,
                    tick: question.tick,
                    value: None,
                }));
            }
        }
    }

    /// Whether the present tick is still to be answered.
    pub fn is_open(&self) -> bool {
        self.now.is_some() && !self.closed && !self.over
    }

    /// Whether there is something that the model has not been shown and may answer: the observation of a tick that is
    /// open, or a question.
    pub fn has_news(&self) -> bool {
        let now = self.now.as_ref().map(|now| now.tick);
        // A question of a tick comes before its observation, and is shown with it.
        let asked = |(question, shown): &(Question, bool)| {
            !shown && (question.end.is_some() || now >= Some(question.tick))
        };
        (self.is_open() && now != self.shown) || self.questions.iter().any(asked)
    }

    /// Words of the model, for the thought of its next act.
    pub fn think(&mut self, words: &str) {
        if !self.thought.is_empty() {
            self.thought.push('\n');
        }
        let room = (THOUGHT_CHARS as usize).saturating_sub(self.thought.chars().count());
        self.thought.extend(words.trim().chars().take(room));
    }

    /// What there is to see, in words: the present observation, or how the run ended; and what is asked. From now on the
    /// model has been shown it.
    pub fn show(&mut self) -> String {
        let mut text = match self
            .questions
            .iter()
            .find_map(|(question, _)| question.end.as_ref())
        {
            Some(end) => format!(
                "The run is over: {}. Your score: {}.\n",
                end.reason, end.score
            ),
            None => self.show_observation(),
        };
        for (question, shown) in &mut self.questions {
            *shown = true;
            let refused = question.refused.as_ref();
            let refused = refused.map_or(String::new(), |why| format!(" (refused: {why})"));
            text.push_str(&format!(
                "You are asked: {} Answer with the tool {}; it costs no action.{refused}\n",
                question.text.trim(),
                tools::answers(&question.name)
            ));
        }
        text
    }

    fn show_observation(&mut self) -> String {
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
            Asked::Answer(name, value) => self.answer(&name, value, out),
            // Whoever thought about the next move when the run ended is asked at once, not after another turn.
            _ if self.over => Answer::Refused(format!("Not done. {}", self.show())),
            Asked::Files(mut request) => {
                self.requests += 1;
                files::number(&mut request, self.requests);
                out(request);
                Answer::Later(self.requests)
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

    fn answer(
        &mut self,
        name: &str,
        value: Map<String, Value>,
        out: &mut dyn FnMut(FromAgent),
    ) -> Answer {
        let Some(at) = self
            .questions
            .iter()
            .position(|(open, _)| open.name == name)
        else {
            return Answer::Refused("you are not asked that now".into());
        };
        if let Err(why) = check_answer(&self.questions[at].0.schema, &value) {
            return Answer::Refused(why);
        }
        let (question, _) = self.questions.remove(at);
        out(FromAgent::Answer(protocol::Answer {
            question: question.name,
            tick: question.tick,
            value: Some(value),
        }));
        match (self.over, self.has_news()) {
            (true, true) => Answer::Now(self.show()),
            (true, false) if self.questions.is_empty() => Answer::Hold,
            (true, false) => Answer::Now("Noted. There is another question.".into()),
            (false, _) => Answer::Now("Noted. You may still act.".into()),
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
    use serde_json::json;

    use super::*;
    use crate::protocol::{ActionResult, End, Limits, ScenarioName, Time, TimeMode};

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
            questions: Vec::new(),
            files: None,
            time: Time {
                mode: TimeMode::Lockstep,
                deadline_ms: 1,
                hz: None,
                ticks: 9,
                bank: None,
                think: None,
            },
            remembered: None,
            resumed: None,
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
            bank_ms: None,
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

    fn question(name: &str, tick: u64, end: bool) -> Question {
        Question {
            name: name.into(),
            tick,
            text: "How many?".into(),
            schema: json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}),
            end: end.then(|| End {
                reason: "tick 9 of 9 reached".into(),
                score: 3.0,
                tick,
            }),
            refused: None,
        }
    }

    fn answer(name: &str, value: Value) -> Asked {
        Asked::Answer(name.into(), value.as_object().unwrap().clone())
    }

    #[test]
    fn a_question_of_a_tick_is_shown_with_its_observation_and_leaves_the_tick_open() {
        let mut play = play(1);
        play.observe(observe(3));
        play.show();
        play.ask(question("count", 4, false));
        assert!(!play.has_news(), "its observation has not come");
        play.observe(observe(4));
        let shown = play.show();
        assert!(
            shown.ends_with(
                "You are asked: How many? Answer with the tool answer_count; it costs no action.\n"
            ),
            "{shown}"
        );
        let lines = lines(
            &mut play,
            vec![
                answer("mood", json!({})),
                answer("count", json!({"n": "many"})),
                answer("count", json!({"n": 4})),
                answer("count", json!({"n": 4})),
                Asked::Act(call("move")),
            ],
        );
        assert_eq!(
            lines,
            [
                r#" -> Refused("you are not asked that now")"#,
                r#" -> Refused("the answer does not fit: /n: \"many\" is not of type \"integer\"")"#,
                r#"{"type":"answer","question":"count","tick":4,"value":{"n":4}} -> Now("Noted. You may still act.")"#,
                r#" -> Refused("you are not asked that now")"#,
                r#"{"type":"act","tick":4,"actions":[{"name":"move","args":{}}]} -> Hold"#,
            ]
        );
    }

    #[test]
    fn when_the_run_is_over_only_questions_are_left() {
        let mut play = play(1);
        play.observe(observe(8));
        play.show();
        play.ask(question("zero", 8, false));
        play.ask(question("one", 9, true));
        assert!(!play.is_open() && play.has_news());
        assert_eq!(
            play.show(),
            "The run is over: tick 9 of 9 reached. Your score: 3.\nYou are asked: How many? Answer with the tool answer_one; it \
             costs no action.\n"
        );
        play.ask(question("two", 9, true));
        play.ask(question("three", 9, true));
        let lines = lines(
            &mut play,
            vec![
                Asked::Act(call("move")),
                answer("one", json!({"n": 1})),
                answer("two", json!({"n": 2})),
            ],
        );
        let (refused, another) = (&lines[0], r#"Now("Noted. There is another question.")"#);
        assert!(
            refused.contains(r#"Refused("Not done. The run is over"#),
            "{refused}"
        );
        assert!(refused.contains("answer_three"), "all are shown: {refused}");
        assert!(lines[1].ends_with(another), "{}", lines[1]);
        assert!(lines[2].ends_with(another), "{}", lines[2]);
        let mut sent = Vec::new();
        play.decline(&mut |message| sent.push(serde_json::to_string(&message).unwrap()));
        assert_eq!(
            sent,
            [r#"{"type":"answer","question":"three","tick":9,"value":null}"#]
        );
        assert!(!play.has_news());
    }
}
