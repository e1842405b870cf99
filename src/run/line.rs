//! Writes the lines of protocol 1 that go to agents. Shapes only; docs/agent-protocol.md describes them.
//!
//! The observation borrows everything: it is the one message made for every seat at every tick.

use std::borrow::Cow;

use formicarium_engine::{Heard, Observation, Value};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::catalogue::Catalogue;
use super::clock::Terms;
use super::door::{DoorResult, TOLD};

#[derive(Serialize)]
struct Observe<'a> {
    r#type: &'static str,
    tick: u64,
    deadline_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_ms: Option<u64>,
    text: &'a str,
    state: &'a Value,
    heard: HeardList<'a>,
    results: Results<'a>,
}

/// The `observe` line of one seat, newline included. `names` are the seats' names; `door` are the
/// results of calls that never reached the world.
pub fn observe(
    observation: &Observation,
    terms: Terms,
    names: &[String],
    catalogue: &Catalogue,
    door: &[DoorResult],
) -> Vec<u8> {
    let told = door.iter().filter(|result| result.code == TOLD);
    let mut text = Cow::Borrowed(observation.text.as_str());
    for result in told {
        let line = format!("You are told by who runs this world: {}\n", result.reason);
        text.to_mut().push_str(&line);
    }
    let message = Observe {
        r#type: "observe",
        tick: observation.tick,
        deadline_ms: terms.deadline_ms,
        bank_ms: terms.bank_ms,
        text: &text,
        state: &observation.state,
        heard: HeardList {
            heard: &observation.heard,
            names,
        },
        results: Results {
            observation,
            catalogue,
            door,
        },
    };
    let mut line = Vec::with_capacity(1024);
    serde_json::to_writer(&mut line, &message)
        .expect("observations have string keys and finite numbers");
    line.push(b'\n');
    line
}

struct HeardList<'a> {
    heard: &'a [Heard],
    names: &'a [String],
}

impl Serialize for HeardList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            from: &'a str,
            how: &'static str,
            text: &'a str,
            tick: u64,
        }
        let mut list = serializer.serialize_seq(Some(self.heard.len()))?;
        for heard in self.heard {
            let from = self
                .names
                .get(heard.from.index())
                .map_or("", String::as_str);
            list.serialize_element(&Line {
                from,
                how: heard.how.as_str(),
                text: &heard.text,
                tick: heard.tick,
            })?;
        }
        list.end()
    }
}

struct Results<'a> {
    observation: &'a Observation,
    catalogue: &'a Catalogue,
    door: &'a [DoorResult],
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            action: Option<&'a str>,
            ok: bool,
            code: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
        }
        let count = self.observation.results.len() + self.door.len();
        let mut list = serializer.serialize_seq(Some(count))?;
        for result in &self.observation.results {
            list.serialize_element(&Line {
                action: Some(self.catalogue.name(result.action)),
                ok: result.code == "ok",
                code: result.code,
                reason: result.reason.as_deref(),
            })?;
        }
        for result in self.door {
            list.serialize_element(&Line {
                action: result.action.as_deref(),
                ok: result.code == TOLD,
                code: result.code,
                reason: Some(&result.reason),
            })?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use formicarium_agents::protocol::{ToAgent, decode_to_agent};
    use formicarium_engine::{ActionId, ActionResult, ActionSpec, How, SeatId};

    use super::*;

    #[test]
    fn an_observation_is_a_message_of_the_protocol_with_type_and_tick_first() {
        let spec = ActionSpec {
            id: ActionId(0),
            name: "wait".into(),
            description: String::new(),
            params: Vec::new(),
            speech: false,
        };
        let names = ["ada".to_owned(), "bob".to_owned()];
        let catalogue = Catalogue::new(vec![spec], &names);
        let result = |code, reason: Option<&str>| ActionResult {
            action: ActionId(0),
            code,
            reason: reason.map(Into::into),
        };
        let observation = Observation {
            tick: 7,
            text: "a \"quiet\" place\n".into(),
            state: Value::Map(vec![("you".into(), Value::Int(3))]),
            heard: vec![Heard {
                from: SeatId(1),
                how: How::Whisper,
                text: "psst".into(),
                tick: 7,
            }],
            results: vec![result("ok", None), result("blocked", Some("a wall"))],
        };
        let door = [DoorResult {
            action: None,
            code: "stale",
            reason: "too late".into(),
        }];
        let terms = Terms {
            deadline_ms: 250,
            bank_ms: Some(9),
        };
        let line = observe(&observation, terms, &names, &catalogue, &door);
        // Agents without a JSON parser rely on these first words (docs/agent-protocol.md).
        assert!(
            line.starts_with(b"{\"type\":\"observe\",\"tick\":7,"),
            "{}",
            String::from_utf8_lossy(&line)
        );
        let Ok(ToAgent::Observe(read)) = decode_to_agent(&line) else {
            panic!("not an observe: {}", String::from_utf8_lossy(&line))
        };
        assert_eq!(
            (
                read.tick,
                read.deadline_ms,
                read.bank_ms,
                read.text.as_str()
            ),
            (7, 250, Some(9), "a \"quiet\" place\n")
        );
        assert_eq!(read.state, serde_json::json!({"you": 3}));
        assert_eq!(
            (read.heard[0].from.as_str(), read.heard[0].text.as_str()),
            ("bob", "psst")
        );
        let codes: Vec<(Option<&str>, bool, &str, Option<&str>)> = read
            .results
            .iter()
            .map(|result| {
                (
                    result.action.as_deref(),
                    result.ok,
                    result.code.as_str(),
                    result.reason.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            codes,
            [
                (Some("wait"), true, "ok", None),
                (Some("wait"), false, "blocked", Some("a wall")),
                (None, false, "stale", Some("too late"))
            ]
        );
    }
}
