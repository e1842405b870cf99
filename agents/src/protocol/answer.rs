//! Whether an answer is what its question asked for. Must not know who asks or who answers.

use serde_json::{Map, Value};

use super::{ANSWER_BYTES, excerpt};

/// Faults of one answer that are told.
const TOLD: usize = 3;

/// Checks an answer against the question's JSON Schema (draft 2020-12).
///
/// # Errors
/// A sentence for who answered: too long, or where it does not fit and what is wanted there.
pub fn check_answer(schema: &Value, value: &Map<String, Value>) -> Result<(), String> {
    let value = Value::Object(value.clone());
    let bytes = value.to_string().len();
    if bytes > ANSWER_BYTES {
        return Err(format!(
            "the answer has {bytes} bytes, and {ANSWER_BYTES} is the most; say it in fewer words"
        ));
    }
    let validator = jsonschema::draft202012::new(schema)
        .map_err(|error| format!("the question's schema is no JSON Schema: {error}"))?;
    let faults: Vec<String> = validator
        .iter_errors(&value)
        .take(TOLD)
        .map(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() {
                "the answer"
            } else {
                &place
            };
            format!("{place}: {}", excerpt(&error.to_string(), 200))
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("the answer does not fit: {}", faults.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_held_against_the_schema() {
        let schema = json!({"type": "object", "properties": {"trust": {"type": "integer", "minimum": 0, "maximum": 10},
            "why": {"type": "string"}}, "required": ["trust"], "additionalProperties": false});
        let check = |value: Value| check_answer(&schema, value.as_object().unwrap());
        assert_eq!(check(json!({"trust": 3, "why": "they left two"})), Ok(()));
        for (value, words) in [
            (json!({}), "\"trust\" is a required property"),
            (
                json!({"trust": 11}),
                "/trust: 11 is greater than the maximum of 10",
            ),
            (
                json!({"trust": "3"}),
                "/trust: \"3\" is not of type \"integer\"",
            ),
            (json!({"trust": 3, "mood": 1}), "'mood' was unexpected"),
            (
                json!({"trust": 3, "why": "x".repeat(ANSWER_BYTES)}),
                "16384 is the most",
            ),
        ] {
            let why = check(value).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
