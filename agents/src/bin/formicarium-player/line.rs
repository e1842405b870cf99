//! The lines of protocol 1 as a player needs them: read hello, answer each observation, stop at the end.
//!
//! It must not know any scenario: `state` stays JSON here, and the policies read from it what is theirs.

use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, BufRead, Write};

/// Why a player stops before its run ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The pipe to or from the host failed.
    #[error("the pipe to the host failed: {0}")]
    Pipe(#[from] io::Error),
    /// A line that is not a message of protocol 1.
    #[error("a line of the host is not a message of protocol 1: {0}")]
    Message(#[from] serde_json::Error),
    /// The host speaks another protocol.
    #[error("the host speaks protocol {0}, this player speaks protocol 1")]
    Protocol(u64),
    /// An observation before hello.
    #[error("the host sent an observation before hello")]
    NoHello,
    /// The observation lacks something this player decides by: it plays another scenario.
    #[error(
        "the observation has no usable '{0}': is this player in the scenario it was written for?"
    )]
    Missing(&'static str),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromHost {
    Hello(Hello),
    Observe(Seen),
    Question(Question),
    End {},
}

/// What a player reads of `question`.
#[derive(Deserialize)]
struct Question {
    name: String,
    tick: u64,
    schema: Value,
    /// The run is over: no observation follows.
    end: Option<Value>,
}

impl Question {
    /// A player has one thing to say, its reasons; to a question that wants anything else it has no answer.
    fn answer(&self, thought: &str) -> Value {
        let wanted = self.schema["required"].as_array();
        let fits = self.schema["properties"]["answer"]["type"] == "string"
            && wanted.is_none_or(|names| names.iter().all(|name| name == "answer"));
        let value = fits.then(|| json!({"answer": thought}));
        json!({"type": "answer", "question": self.name, "tick": self.tick, "value": value})
    }
}

/// What a player keeps of `hello`.
#[derive(Deserialize)]
pub(crate) struct Hello {
    protocol: u64,
    /// The seat's name.
    pub(crate) seat: String,
}

/// What a player reads of `observe`.
#[derive(Deserialize)]
pub(crate) struct Seen {
    /// The tick shown, to be named in the answer.
    pub(crate) tick: u64,
    /// The scenario's structured observation.
    pub(crate) state: Value,
}

/// The answer to one observation.
pub(crate) struct Act {
    /// The action's name.
    pub(crate) action: &'static str,
    /// Its one argument, if it has any.
    pub(crate) arg: Option<(&'static str, String)>,
    /// What to say aloud.
    pub(crate) say: Option<String>,
    /// What spectators are shown of the reasons; sent only when it differs from the one before.
    pub(crate) thought: String,
}

impl Act {
    /// Does nothing, and closes the tick.
    pub(crate) fn wait(thought: impl Into<String>) -> Act {
        Act {
            action: "wait",
            arg: None,
            say: None,
            thought: thought.into(),
        }
    }

    /// An action with one argument.
    pub(crate) fn with(
        action: &'static str,
        arg: (&'static str, &str),
        thought: impl Into<String>,
    ) -> Act {
        Act {
            action,
            arg: Some((arg.0, arg.1.to_owned())),
            say: None,
            thought: thought.into(),
        }
    }
}

/// Speaks with the host on standard input and output until the run ends or the host closes the pipe.
pub(crate) fn run(name: &str, maker: super::Maker) -> Result<(), Error> {
    serve(io::stdin().lock(), io::stdout().lock(), name, maker)
}

fn serve(
    mut input: impl BufRead,
    mut output: impl Write,
    name: &str,
    maker: super::Maker,
) -> Result<(), Error> {
    let mut maker = Some(maker);
    let mut decide: Option<super::Policy> = None;
    let mut thought = String::new();
    let mut questions: Vec<Question> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answers = match serde_json::from_slice(&line)? {
            FromHost::Hello(hello) if hello.protocol != 1 => {
                return Err(Error::Protocol(hello.protocol));
            }
            FromHost::Hello(hello) => {
                if let Some(make) = maker.take() {
                    decide = Some(make(&hello));
                }
                vec![json!({"type": "ready", "name": name, "answers": true})]
            }
            FromHost::Observe(seen) => {
                let act = decide.as_mut().ok_or(Error::NoHello)?(&seen)?;
                // What it thinks of this tick is what it was asked for with it.
                let questions = questions.drain(..);
                let mut answers: Vec<Value> = questions
                    .map(|question| question.answer(&act.thought))
                    .collect();
                answers.push(write_act(seen.tick, &act, act.thought != thought));
                thought = act.thought;
                answers
            }
            FromHost::Question(question) if question.end.is_some() => {
                vec![question.answer(&thought)]
            }
            FromHost::Question(question) => {
                questions.push(question);
                continue;
            }
            FromHost::End {} => return Ok(()),
        };
        line.clear();
        for answer in answers {
            serde_json::to_writer(&mut line, &answer)?;
            line.push(b'\n');
        }
        // One write a message: a line is never half in the pipe while the process is descheduled.
        output.write_all(&line)?;
        output.flush()?;
    }
}

fn write_act(tick: u64, act: &Act, new_thought: bool) -> Value {
    let mut args = serde_json::Map::new();
    if let Some((key, value)) = &act.arg {
        args.insert((*key).to_owned(), Value::from(value.as_str()));
    }
    let mut message =
        json!({"type": "act", "tick": tick, "actions": [{"name": act.action, "args": args}]});
    if let Some(say) = &act.say {
        message["say"] = Value::from(say.as_str());
    }
    if new_thought {
        message["thought"] = Value::from(act.thought.as_str());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(lines: &str) -> (Result<(), Error>, Vec<Value>) {
        let mut output = Vec::new();
        let policy: super::super::Maker = Box::new(|hello| {
            let seat = hello.seat.clone();
            Box::new(move |_| {
                Ok(Act {
                    say: Some("hi".into()),
                    ..Act::wait(seat.as_str())
                })
            })
        });
        let done = serve(lines.as_bytes(), &mut output, "test", policy);
        let sent = output
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        (
            done,
            sent.map(|line| serde_json::from_slice(line).expect("a line is JSON"))
                .collect(),
        )
    }

    const HELLO: &str = r#"{"type":"hello","protocol":1,"run":"r","seat":"alice","rules":""}"#;
    const OBSERVE: &str = r#"{"type":"observe","tick":7,"deadline_ms":9,"text":"","state":{},"heard":[],"results":[]}"#;

    #[test]
    fn hello_is_answered_by_ready_and_each_observation_by_an_act_of_its_tick() {
        let (done, sent) = talk(&format!(
            "{HELLO}\n{OBSERVE}\n{OBSERVE}\n{{\"type\":\"end\",\"reason\":\"ticks\"}}\n"
        ));
        assert!(done.is_ok());
        assert_eq!(
            sent[0],
            json!({"type": "ready", "name": "test", "answers": true})
        );
        let act = json!({"type": "act", "tick": 7, "actions": [{"name": "wait", "args": {}}], "say": "hi"});
        let mut first = act.clone();
        first["thought"] = json!("alice");
        assert_eq!(sent[1..], [first, act]);
    }

    #[test]
    fn a_question_is_answered_by_the_reasons_of_its_tick_where_words_are_wanted() {
        let question = |name: &str, schema: &str, end: &str| {
            format!(
                r#"{{"type":"question","name":"{name}","tick":7,"text":"Why?","schema":{schema}{end}}}"#
            )
        };
        let words =
            r#"{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}"#;
        let number =
            r#"{"type":"object","properties":{"apples":{"type":"integer"}},"required":["apples"]}"#;
        let end = r#","end":{"reason":"over","score":1.0,"tick":7}"#;
        let lines = [
            HELLO.to_owned(),
            question("why", words, ""),
            question("apples", number, ""),
            OBSERVE.to_owned(),
            question("lesson", words, end),
        ];
        let (done, sent) = talk(&lines.join("\n"));
        assert!(done.is_ok());
        let answers = [&sent[1], &sent[2], &sent[4]]
            .map(|answer| (&answer["question"], &answer["value"]["answer"]));
        assert_eq!(
            answers,
            [
                (&json!("why"), &json!("alice")),
                (&json!("apples"), &Value::Null),
                (&json!("lesson"), &json!("alice"))
            ]
        );
        assert_eq!(sent[2]["value"], Value::Null);
        assert_eq!(sent[3]["type"], "act");
    }

    #[test]
    fn a_closed_pipe_is_an_end_and_other_lines_are_errors() {
        assert!(talk(HELLO).0.is_ok());
        assert!(matches!(talk(OBSERVE).0, Err(Error::NoHello)));
        assert!(matches!(talk("{}\n").0, Err(Error::Message(_))));
        assert!(matches!(
            talk(&HELLO.replace(":1,", ":2,")).0,
            Err(Error::Protocol(2))
        ));
    }
}
