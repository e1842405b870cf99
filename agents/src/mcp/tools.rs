//! The tools of a seat: its actions, a tool for each question that it may be asked, those of its desk, and `look`, `wait`
//! and `remember`.
//! Knows no tick and no state.

use serde_json::{Map, Value, json};

use super::files;
use crate::protocol::{
    ActionCall, ActionSpec, FilesInfo, FromAgent, Hello, QuestionSpec, REMEMBER_BYTES,
};

/// One tool, as MCP lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name: an action's, `answer_` and a question's, or `look`, `wait`, `remember`.
    pub name: String,
    /// What it does, in words.
    pub description: String,
    /// A JSON Schema of its arguments.
    pub schema: Value,
}

/// What a call of a tool asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// An action of the catalogue that is not speech.
    Act(ActionCall),
    /// Speech.
    Say(ActionCall),
    /// The present observation again.
    Look,
    /// Nothing more in this tick.
    Wait,
    /// Keep a state over restarts.
    Remember(Value),
    /// The answer to the question of this name.
    Answer(String, Map<String, Value>),
    /// A request about the shared files: `lease`, `publish` or `files`.
    Files(FromAgent),
}

/// The tools of a seat.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    actions: Vec<ActionSpec>,
    questions: Vec<QuestionSpec>,
    files: Option<FilesInfo>,
}

/// Name of the speech action in every catalogue that has one.
const SAY: &str = "say";
/// What the names of the tools that answer questions begin with.
const ANSWER: &str = "answer_";

/// The tool that answers a question.
pub(super) fn answers(question: &str) -> String {
    format!("{ANSWER}{question}")
}

impl Tools {
    /// The tools for a seat that was greeted so.
    pub fn new(hello: &Hello) -> Self {
        Self {
            actions: hello.actions.clone(),
            questions: hello.questions.clone(),
            files: hello.files.clone(),
        }
    }

    /// All tools, in the catalogue's order; questions, the desk and the seat's own at the end.
    pub fn list(&self) -> Vec<Tool> {
        let nothing = || json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
        let own = [
            (
                "wait",
                "Do nothing more in this tick. The answer comes when the tick is over and shows what you see then.",
                nothing(),
            ),
            (
                "look",
                "Show the present observation again. Costs no action and no time.",
                nothing(),
            ),
            (
                "remember",
                "Keep a note that is handed back to you if you are started again. It replaces the one before.",
                json!({"type": "object", "properties": {"note": {"type": "string", "maxLength": REMEMBER_BYTES / 4,
                    "description": "what to keep"}}, "required": ["note"], "additionalProperties": false}),
            ),
        ];
        let actions = self
            .actions
            .iter()
            .filter(|spec| spec.name != "wait")
            .map(|spec| Tool {
                name: spec.name.clone(),
                description: spec.description.clone(),
                schema: spec.parameters.clone(),
            });
        let questions = self.questions.iter().map(|question| Tool {
            name: answers(&question.name),
            description: format!(
                "Only when you are asked: {} Costs no action and no time.",
                question.text.trim()
            ),
            schema: question.schema.clone(),
        });
        actions
            .chain(questions)
            .chain(self.files.iter().flat_map(files::list))
            .chain(own.map(|(name, description, schema)| Tool {
                name: name.into(),
                description: description.into(),
                schema,
            }))
            .collect()
    }

    /// Reads a call.
    ///
    /// # Errors
    /// A sentence for the model: there is no such tool, or the note is missing or too long. Arguments of actions are
    /// checked where all actions are, by the host.
    pub fn read(&self, name: &str, args: Map<String, Value>) -> Result<Asked, String> {
        match name {
            "look" => return Ok(Asked::Look),
            "wait" => return Ok(Asked::Wait),
            "remember" => {
                let Some(note) = args.get("note").filter(|note| note.is_string()) else {
                    return Err("remember needs the argument `note`, a text".into());
                };
                if note.to_string().len() > REMEMBER_BYTES as usize {
                    return Err(format!(
                        "the note is too long: {REMEMBER_BYTES} bytes are the most"
                    ));
                }
                return Ok(Asked::Remember(note.clone()));
            }
            _ => {}
        }
        if let Some(question) = name.strip_prefix(ANSWER)
            && self.questions.iter().any(|known| known.name == question)
        {
            return Ok(Asked::Answer(question.to_owned(), args));
        }
        if self.files.is_some()
            && let Some(request) = files::read(name, &args)
        {
            return request.map(Asked::Files);
        }
        if !self.actions.iter().any(|spec| spec.name == name) {
            let names: Vec<String> = self.list().into_iter().map(|tool| tool.name).collect();
            return Err(format!(
                "there is no tool {name:?}; there are: {}",
                names.join(", ")
            ));
        }
        let call = ActionCall {
            name: name.to_owned(),
            args,
        };
        Ok(if name == SAY {
            Asked::Say(call)
        } else {
            Asked::Act(call)
        })
    }
}
