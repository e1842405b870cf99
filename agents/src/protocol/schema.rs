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
