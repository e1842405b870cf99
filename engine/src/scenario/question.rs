//! `[[question]]`: what a scenario asks its agents beside the game. Read and checked here; who asks, and what becomes of
//! an answer, is the host's: no answer ever enters the world.

use super::diagnostic::suggest;
use super::params::is_name;
use super::reader::{Item, Table};
use serde_json::{Value, json};

/// The most questions of a scenario.
const MOST: usize = 16;

/// `[[question]]`: asked of agents, answered beside the game.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionSpec {
    /// Its name.
    pub name: String,
    /// The question in words.
    pub text: String,
    /// The seat groups that are asked.
    pub groups: Vec<String>,
    /// Asked with the observation of these ticks.
    pub at: Vec<u64>,
    /// Asked with the observation of every tick that is a multiple of this; 0 for none.
    pub every: u64,
    /// Asked when the run is over.
    pub at_end: bool,
    /// How long the end of the run waits for the answer, in milliseconds.
    pub wait_ms: u64,
    /// JSON Schema of the answer, always of an object.
    pub schema: Value,
}

impl QuestionSpec {
    /// Whether it is asked with the observation of this tick.
    #[must_use]
    pub fn is_due(&self, tick: u64) -> bool {
        self.at.contains(&tick) || (self.every > 0 && tick.is_multiple_of(self.every))
    }
}

/// The schema of a question that brings none: some words.
fn words() -> Value {
    json!({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"],
        "additionalProperties": false})
}

/// Reads all questions; those that are not enabled are checked and left out.
pub(super) fn read(root: &Table<'_>, groups: &[&str]) -> Vec<QuestionSpec> {
    let mut questions: Vec<QuestionSpec> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for table in root.tables("question") {
        let name = table.need("name", "a name, a-z first").and_then(|item| {
            let name = item.text()?;
            if !is_name(&name) {
                item.fault(format!("`{name}` cannot name a question"))
                    .expected("a-z, then a-z, 0-9, _ or -");
            } else if names.contains(&name) {
                item.fault(format!("a second [[question]] is named `{name}`"));
            }
            names.push(name.clone());
            Some(name)
        });
        let text = table
            .need("text", "the question in words")
            .and_then(|item| item.text_of(1..=4000));
        let enabled = table.bool_or("enabled", true);
        let at = table
            .get("at")
            .and_then(|item| item.list())
            .unwrap_or_default();
        let at: Vec<u64> = at
            .iter()
            .filter_map(|item| item.int(0..=1 << 40))
            .map(|tick| tick as u64)
            .collect();
        let every = table.int_or("every", 1..=1 << 40, 0) as u64;
        let at_end = table.bool_or("at_end", false);
        if table.get("at").is_none() && table.get("every").is_none() && !at_end {
            table
                .reader()
                .fault(table.span(), "this question is never asked")
                .expected("at = [ticks], every = ticks, or at_end = true");
        }
        let question = QuestionSpec {
            name: name.unwrap_or_default(),
            text: text.unwrap_or_default(),
            groups: read_groups(&table, groups),
            at,
            every,
            at_end,
            wait_ms: table.int_or("wait_ms", 1..=3_600_000, 60_000) as u64,
            schema: table
                .get("schema")
                .and_then(|item| read_schema(&item))
                .unwrap_or_else(words),
        };
        if enabled {
            questions.push(question);
        }
    }
    if names.len() > MOST {
        root.reader()
            .fault(0..0, format!("there are {} questions", names.len()))
            .expected(format!("at most {MOST}"));
    }
    questions
}

fn read_groups(table: &Table<'_>, groups: &[&str]) -> Vec<String> {
    let Some(item) = table.get("seats") else {
        return groups.iter().map(|group| (*group).to_owned()).collect();
    };
    let asked = item.texts().unwrap_or_default();
    for name in asked.iter().filter(|name| !groups.contains(&name.as_str())) {
        item.fault(format!("there is no [[seat]] `{name}`"))
            .help(suggest(name, groups.iter().copied()));
    }
    asked
}

fn read_schema(item: &Item<'_>) -> Option<Value> {
    let schema = item.json()?;
    if schema["type"] != "object" {
        item.fault(format!("`{}` is no schema of an object", item.path()))
            .expected("type = \"object\", with properties")
            .help("models answer by calling a tool, whose arguments are always an object");
        return None;
    }
    if let Err(error) = jsonschema::draft202012::new(&schema) {
        let place = error.instance_path().to_string();
        item.fault(format!("`{}` is no JSON Schema", item.path()))
            .help(format!(
                "at {}: {error}",
                if place.is_empty() { "/" } else { &place }
            ));
        return None;
    }
    Some(schema)
}

#[cfg(test)]
mod tests {
    use crate::fixture::{COMMONS, MAP, bundle};
    use crate::scenario::Scenario;

    fn faults(toml: &str, map: &str) -> String {
        match Scenario::load(&bundle(toml, map)) {
            Ok(_) => "no fault\n".into(),
            Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
        }
    }

    #[test]
    fn questions() {
        let ask = |more: &str| {
            let question =
                format!("[[question]]\nname = \"mood\"\ntext = \"How are you?\"\n{more}\n");
            faults(&format!("{COMMONS}\n{question}"), MAP)
        };
        assert_eq!(ask("at_end = true"), "no fault\n");
        let lines = COMMONS.lines().count();
        let check = |more: &str, expected: &[&str]| {
            let found = ask(more);
            let found: Vec<String> = found
                .lines()
                .map(|line| {
                    let rest = line.strip_prefix("scenario.toml:").unwrap();
                    let (number, rest) = rest.split_once(':').unwrap();
                    format!("{}:{rest}", number.parse::<usize>().unwrap() - lines)
                })
                .collect();
            assert_eq!(found, expected, "{more}");
        };
        check(
            "",
            &[
                "2:1: this question is never asked (expected at = [ticks], every = ticks, or at_end = true)",
            ],
        );
        check(
            "every = 0\nseats = [\"atn\"]\nwait_ms = 0",
            &[
                "5:9: `question[0].every` is 0 (expected a whole number from 1 to 1099511627776)",
                "6:9: there is no [[seat]] `atn`; did you mean `ant`?",
                "7:11: `question[0].wait_ms` is 0 (expected a whole number from 1 to 3600000)",
            ],
        );
        check(
            "at = [1]\nschema = { type = \"string\" }",
            &[
                "6:10: `question[0].schema` is no schema of an object (expected type = \"object\", with properties); models answer \
               by calling a tool, whose arguments are always an object",
            ],
        );
        check(
            "at = [1]\nschema = { type = \"object\", properties = { n = { type = \"integr\" } } }",
            &[
                "6:10: `question[0].schema` is no JSON Schema; at /properties/n/type: \"integr\" is not valid under any of the \
               schemas listed in the 'anyOf' keyword",
            ],
        );
        check(
            "at = [1]\nschema = { type = \"object\", since = 2026-01-01, most = \"$harvestrs\" }",
            &[
                "6:37: `question[0].schema.since` is a date (expected something that JSON has: text, a finite number, true or \
               false, a list, a table)",
            ],
        );
        check(
            "at_end = true\n[[question]]\nname = \"mood\"\ntext = \"\"\nenabled = false\nat_end = true",
            &[
                "7:8: a second [[question]] is named `mood`",
                "8:8: `question[1].text` has 0 characters (expected 1 to 4000 characters)",
            ],
        );
    }

    #[test]
    fn a_question_is_a_choice_of_the_run_and_its_schema_takes_parameters() {
        let toml = format!(
            "{COMMONS}\n[params.ask]\ntype = \"bool\"\ndefault = false\ndoc = \"Whether to ask\"\n[params.most]\ntype = \
             \"int\"\ndefault = 9\ndoc = \"The most\"\n[[question]]\nname = \"count\"\ntext = \"How many?\"\nenabled = \
             \"$ask\"\nat = [3]\nevery = 5\nschema = {{ type = \"object\", properties = {{ n = {{ type = \"integer\", \
             maximum = \"$most\" }} }} }}\n"
        );
        let scenario = Scenario::load(&bundle(&toml, MAP)).unwrap();
        let with = |overrides: &[(&str, &str)]| {
            let overrides: Vec<_> = overrides
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            scenario.questions(&scenario.params(&overrides).unwrap())
        };
        assert_eq!(with(&[]), []);
        let asked = with(&[("ask", "true"), ("most", "4")]);
        assert_eq!(asked[0].schema["properties"]["n"]["maximum"], 4);
        let due: Vec<u64> = (0..12).filter(|tick| asked[0].is_due(*tick)).collect();
        assert_eq!(due, [0, 3, 5, 10]);
    }
}
