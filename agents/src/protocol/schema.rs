//! The JSON Schema of the protocol, made from the message types.
//!
//! Must not be edited by hand into anything else: `docs/agent-protocol.schema.json` is its output.

use serde_json::{Value, json};

use super::{FromAgent, PROTOCOL, ToAgent};

/// A JSON Schema (draft 2020-12) with one definition a message: any line of either direction validates against it.
pub fn schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let to_agent = generator.subschema_for::<ToAgent>();
    let from_agent = generator.subschema_for::<FromAgent>();
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Formicarium agent protocol {PROTOCOL}"),
        "description": "One line of the protocol. Generated from the message types; do not edit.",
        "oneOf": [to_agent, from_agent],
        "$defs": definitions,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ACTIONS_PER_ACT, ANSWER_BYTES, FromAgent, LINE_BYTES, ToAgent};
    use super::super::{
        BYTES_PER_TICK, MESSAGES_PER_TICK, REMEMBER_BYTES, decode_from_agent, decode_to_agent,
    };
    use super::*;
    use crate::event::FaultKind;

    const DOCUMENT: &str = include_str!("../../../docs/agent-protocol.md");

    /// `make bless` writes it anew.
    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        expect_test::expect_file!["../../../docs/agent-protocol.schema.json"].assert_eq(&text);
    }

    /// Each example of the document is a message, and each message of the protocol has an example.
    #[test]
    fn the_examples_of_the_document_are_messages() {
        let mut shown = Vec::new();
        for example in DOCUMENT.split("```json\n").skip(1) {
            let line = example.split("\n```").next().unwrap().as_bytes();
            shown.push(match (decode_to_agent(line), decode_from_agent(line)) {
                (Ok(ToAgent::Hello(_)), _) => "hello",
                (Ok(ToAgent::Observe(_)), _) => "observe",
                (Ok(ToAgent::Question(_)), _) => "question",
                (Ok(ToAgent::Files(_)), _) => "files, answered",
                (Ok(ToAgent::End(_)), _) => "end",
                (_, Ok(FromAgent::Ready(_))) => "ready",
                (_, Ok(FromAgent::Act(_))) => "act",
                (_, Ok(FromAgent::Answer(_))) => "answer",
                (_, Ok(FromAgent::Remember(_))) => "remember",
                (_, Ok(FromAgent::Lease(_))) => "lease",
                (_, Ok(FromAgent::Publish(_))) => "publish",
                (_, Ok(FromAgent::Files(_))) => "files",
                (_, Ok(FromAgent::Log(_))) => "log",
                (Err(to), Err(from)) => panic!("{to}; {from}: {}", String::from_utf8_lossy(line)),
            });
        }
        assert_eq!(
            shown,
            [
                "hello",
                "observe",
                "question",
                "files, answered",
                "end",
                "ready",
                "act",
                "answer",
                "remember",
                "lease",
                "publish",
                "files",
                "log"
            ]
        );
    }

    #[test]
    fn the_document_names_every_fault_and_limit() {
        for kind in FaultKind::ALL {
            let word = format!("`{}`", kind.as_str());
            assert!(DOCUMENT.contains(&word), "{word} is not documented");
        }
        for limit in [
            LINE_BYTES,
            REMEMBER_BYTES as usize,
            MESSAGES_PER_TICK as usize,
            BYTES_PER_TICK as usize,
            ACTIONS_PER_ACT,
            ANSWER_BYTES,
        ] {
            let table = DOCUMENT.split("## Limits").nth(1).unwrap();
            assert!(table.contains(&limit.to_string()), "{limit}");
        }
    }
}
